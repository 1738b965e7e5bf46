//! Table `[remote.NAME]`: servers of somebody else's. Secrets do not belong here: they are refused
//! before anything of them can be shown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::file::{ConfigError, range, value};
use crate::transcriber::{self, DEFAULT_PROTOCOL, Fallback, TokenFrom};

/// Table `[remote.NAME]`. The meaning of every key is in the commented default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented default says it")]
pub struct Remote {
    pub url: String,
    pub protocol: String,
    pub model: String,
    pub language: String,
    pub token_file: String,
    pub token_env: String,
    pub token_credential: String,
    pub token_header: String,
    pub ca_file: String,
    pub connect_timeout_s: u32,
    pub answer_timeout_s: u32,
    pub fallback: String,
    pub fallback_after_s: u32,
    pub return_after_s: u32,
    pub connection: Connect,
    pub idle_disconnect_s: u32,
    pub server_vad: bool,
}

/// When a remote is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connect {
    /// When dictation starts.
    #[default]
    Stay,
    /// When somebody speaks.
    OnSpeech,
}

impl Default for Remote {
    fn default() -> Self {
        Remote {
            url: String::new(),
            protocol: DEFAULT_PROTOCOL.to_owned(),
            model: String::new(),
            language: String::new(),
            token_file: String::new(),
            token_env: String::new(),
            token_credential: String::new(),
            token_header: String::new(),
            ca_file: String::new(),
            connect_timeout_s: 10,
            answer_timeout_s: 30,
            fallback: String::new(),
            // Longer than the restart of a server, shorter than anybody waits for a word.
            fallback_after_s: 5,
            return_after_s: 30,
            connection: Connect::default(),
            // As long as the local engine is kept.
            idle_disconnect_s: 300,
            server_vad: false,
        }
    }
}

impl Remote {
    /// As the transcriber takes it.
    pub fn settings(&self, name: &str) -> transcriber::Remote {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let file = some(&self.token_file).map(|path| TokenFrom::File(from_home(&path)));
        let env = some(&self.token_env).map(TokenFrom::Env);
        let credential = some(&self.token_credential).map(TokenFrom::Credential);
        transcriber::Remote {
            name: name.to_owned(),
            url: self.url.clone(),
            protocol: self.protocol.clone(),
            model: some(&self.model),
            language: some(&self.language),
            token: file.or(env).or(credential),
            token_header: some(&self.token_header),
            ca_file: some(&self.ca_file).map(|path| from_home(&path)),
            connect_timeout: seconds(self.connect_timeout_s),
            answer_timeout: seconds(self.answer_timeout_s),
            fallback: some(&self.fallback).map(|to| Fallback {
                to,
                after: seconds(self.fallback_after_s),
                well_for: seconds(self.return_after_s),
            }),
            early: self.connection == Connect::Stay,
            idle_disconnect: (self.idle_disconnect_s > 0).then(|| seconds(self.idle_disconnect_s)),
            server_vad: self.server_vad,
        }
    }
}

/// `~/` is the user's home.
fn from_home(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => match directories::BaseDirs::new() {
            Some(dirs) => dirs.home_dir().join(rest),
            None => PathBuf::from(path),
        },
        None => PathBuf::from(path),
    }
}

/// Checks every remote, and that fallbacks lead somewhere.
pub(super) fn check(remotes: &BTreeMap<String, Remote>) -> Result<(), ConfigError> {
    for (name, remote) in remotes {
        let key = |key: &str| format!("remote.{name}.{key}");
        if name == wstream_api::BACKEND_LOCAL {
            return Err(value(
                &format!("remote.{name}"),
                name,
                "`local` is the engine on this machine: use another name",
            ));
        }
        let tokens = [
            &remote.token_file,
            &remote.token_env,
            &remote.token_credential,
        ];
        if tokens.iter().filter(|token| !token.is_empty()).count() > 1 {
            let problem = "there is one secret: use one of token_file, token_env, token_credential";
            return Err(value(&format!("remote.{name}"), name, problem));
        }
        if remote.token_credential.contains('/') {
            let problem = "not a credential's name: use the one in LoadCredential=";
            return Err(value(
                &key("token_credential"),
                &remote.token_credential,
                problem,
            ));
        }
        if !remote.language.is_empty() && !wstream_wire::language::is_known(&remote.language) {
            let problem = "not a language that Whisper knows: use \"auto\" or an ISO 639-1 code";
            return Err(value(&key("language"), &remote.language, problem));
        }
        // A network that takes longer than a minute is none; an hour without an answer is a mistake.
        range(&key("connect_timeout_s"), remote.connect_timeout_s, 1..=60)?;
        range(&key("answer_timeout_s"), remote.answer_timeout_s, 1..=600)?;
        range(&key("fallback_after_s"), remote.fallback_after_s, 0..=600)?;
        range(&key("return_after_s"), remote.return_after_s, 1..=3600)?;
        range(
            &key("idle_disconnect_s"),
            remote.idle_disconnect_s,
            0..=86_400,
        )?;
        if let Err(bad) = remote.settings(name).check() {
            // What is wrong with a URL may be a secret in it.
            return Err(match bad.key {
                "url" => hidden(&key("url"), &bad.problem),
                other => ConfigError::Value {
                    key: key(other),
                    value: "…".to_owned(),
                    problem: bad.problem,
                },
            });
        }
        check_fallback(remotes, name, remote)?;
    }
    Ok(())
}

fn check_fallback(
    remotes: &BTreeMap<String, Remote>,
    name: &str,
    remote: &Remote,
) -> Result<(), ConfigError> {
    let key = format!("remote.{name}.fallback");
    let mut next = &remote.fallback;
    for _ in 0..=remotes.len() {
        if next.is_empty() || next == wstream_api::BACKEND_LOCAL {
            return Ok(());
        }
        let Some(there) = remotes.get(next) else {
            let problem = "neither `local` nor configured: add a table [remote.NAME] of that name";
            return Err(value(&key, next, problem));
        };
        next = &there.fallback;
    }
    Err(value(
        &key,
        &remote.fallback,
        "leads back here in the end: use \"local\" somewhere",
    ))
}

/// What works but should be looked at.
pub fn warnings(remotes: &BTreeMap<String, Remote>) -> Vec<String> {
    let settings = remotes.iter().map(|(name, remote)| remote.settings(name));
    settings.flat_map(|remote| remote.warnings()).collect()
}

/// Names that people put secrets under, in lower case with `_` for `-`.
const SECRET_NAMES: [&str; 7] = [
    "token",
    "api_key",
    "apikey",
    "secret",
    "password",
    "bearer",
    "authorization",
];

/// Refuses a secret in the file, before the parser would show the line that it is in.
pub(super) fn refuse_secrets(text: &str) -> Result<(), ConfigError> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    for line in lines {
        let mut names = names_before_equals(line);
        if let Some(name) = names.find(|name| SECRET_NAMES.contains(&name.as_str())) {
            let problem = "a secret does not belong in this file: put it into a file of its own \
                           that only you can read, and name that in token_file";
            return Err(hidden(&name, problem));
        }
        let authority = line.split_once("://").map(|it| it.1);
        let authority = authority.and_then(|rest| rest.split(['/', '"', '\'', '?', ' ']).next());
        if authority.is_some_and(|authority| authority.contains('@')) {
            let problem = "a user and a password do not belong in this file: put the secret into a \
                           file of its own that only you can read, and name that in token_file";
            return Err(hidden("url", problem));
        }
    }
    Ok(())
}

/// The names in front of each `=` of a line: keys, also of inline tables, and what a URL asks for.
fn names_before_equals(line: &str) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = line.split('=').collect();
    let before = parts.len() - 1;
    parts
        .into_iter()
        .take(before)
        .map(|part| {
            let part = part.trim_end().trim_end_matches(['"', '\'']);
            let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            let name = part
                .rsplit(|c: char| !is_inside(c))
                .next()
                .unwrap_or_default();
            name.to_ascii_lowercase().replace('-', "_")
        })
        .collect::<Vec<_>>()
        .into_iter()
}

fn hidden(key: &str, problem: &str) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        value: "…".to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn secrets_are_refused_and_not_shown() {
        for text in [
            "[remote.desk]\nurl = \"wss://h\"\ntoken = \"hush\"",
            "[remote.desk]\nurl = \"wss://h\"\napi-key = \"hush\"",
            "[remote.desk]\nurl = \"wss://me:hush@h\"",
            "[remote.desk]\nurl = \"wss://hush@h:1/x\"",
            "remote.desk.token = \"hush\"",
            "remote.desk = { url = \"wss://h\", password = \"hush\" }",
            "[remote.desk]\ntoken = \"hush",
            "[remote.desk]\nurl = \"wss://h/asr?language=en&token=hush\"",
            "[remote.desk]\nurl = \"wss://h/asr?api_key=hush",
            "[remote.desk]\n\"Authorization\" = 'hush",
        ] {
            let message = error(text);
            assert!(!message.contains("hush"), "{message}");
            assert!(message.contains("token_file"), "{message}");
        }
    }

    #[test]
    fn values_that_do_not_fit_name_their_key() {
        for (keys, key) in [
            ("protocol = \"klingon\"", "protocol"),
            ("token_file = \"/a\"\ntoken_env = \"B\"", ""),
            ("token_credential = \"../x\"", "token_credential"),
            ("language = \"klingon\"", "language"),
            ("connect_timeout_s = 0", "connect_timeout_s"),
            ("answer_timeout_s = 1000", "answer_timeout_s"),
            ("return_after_s = 0", "return_after_s"),
            ("fallback = \"nobody\"", "fallback"),
            ("fallback = \"desk\"", "fallback"),
            ("server_vad = true", "server_vad"),
            ("token_header = \"Host\"\ntoken_env = \"A\"", "token_header"),
        ] {
            let message = error(&format!("[remote.desk]\nurl = \"wss://h\"\n{keys}"));
            let expected = format!("remote.desk.{key}");
            assert!(
                message.starts_with(expected.trim_end_matches('.')),
                "{message}"
            );
        }
        assert!(error("[remote.desk]\nlanguage = \"en\"").starts_with("remote.desk.url"));
        let circle = "[remote.a]\nurl=\"ws://h\"\nfallback=\"b\"\n\
                      [remote.b]\nurl=\"ws://h\"\nfallback=\"a\"";
        assert!(error(circle).contains("leads back"), "{}", error(circle));
    }

    #[test]
    fn everything_arrives() {
        let config = parse(
            "[remote.desk]\nurl = \"wss://h:1\"\nmodel = \"m\"\nlanguage = \"de\"\n\
             token_env = \"T\"\ntoken_header = \"X-API-Key\"\nca_file = \"/ca.pem\"\n\
             connect_timeout_s = 3\nanswer_timeout_s = 4\nfallback = \"local\"\n\
             fallback_after_s = 5\nreturn_after_s = 6\nconnection = \"on-speech\"\n\
             idle_disconnect_s = 0",
        )
        .unwrap();
        let seconds = Duration::from_secs;
        let expected = transcriber::Remote {
            name: "desk".to_owned(),
            url: "wss://h:1".to_owned(),
            protocol: DEFAULT_PROTOCOL.to_owned(),
            model: Some("m".to_owned()),
            language: Some("de".to_owned()),
            token: Some(TokenFrom::Env("T".to_owned())),
            token_header: Some("X-API-Key".to_owned()),
            ca_file: Some("/ca.pem".into()),
            connect_timeout: seconds(3),
            answer_timeout: seconds(4),
            fallback: Some(Fallback {
                to: "local".to_owned(),
                after: seconds(5),
                well_for: seconds(6),
            }),
            early: false,
            idle_disconnect: None,
            server_vad: false,
        };
        assert_eq!(config.remote["desk"].settings("desk"), expected);
        // What is left out is the same on both sides.
        let plain = parse("[remote.desk]\nurl = \"ws://h\"").unwrap();
        let expected = transcriber::Remote {
            name: "desk".to_owned(),
            url: "ws://h".to_owned(),
            ..transcriber::Remote::default()
        };
        assert_eq!(plain.remote["desk"].settings("desk"), expected);
        assert!(warnings(&plain.remote).is_empty());
    }
}
