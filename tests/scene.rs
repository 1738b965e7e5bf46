use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wstream_api::keys;
use zbus::Fd;

use crate::{CountingServer, Desktop, Details, Follower, Running, Seen, sound};

/// A desktop with a daemon whose texts come from a [`CountingServer`], and one word to dictate.
#[derive(Debug)]
pub struct Scene {
    /// Its desktop.
    pub desktop: Desktop,
    /// Its daemon.
    pub daemon: Running,
    /// Who sees its signals.
    pub follower: Follower,
    /// Who gives it texts.
    pub server: CountingServer,
    word: PathBuf,
}

/// What came of dictating the word once.
#[derive(Debug)]
pub struct Heard {
    /// Behind the filters.
    pub text: String,
    /// Of the final.
    pub details: Details,
    /// Sentences of `Trouble` meanwhile.
    pub troubles: Vec<String>,
}

impl Heard {
    /// A text among the details; empty where there is none.
    pub fn detail(&self, key: &str) -> &str {
        let detail = self.details.get(key).map(<&str>::try_from);
        detail.and_then(Result::ok).unwrap_or_default()
    }

    /// The keys that are to be pressed behind it.
    pub fn keys(&self) -> Vec<String> {
        let keys = self
            .details
            .get(keys::KEYS)
            .and_then(|it| it.try_clone().ok());
        let keys = keys.map(Vec::<String>::try_from);
        keys.and_then(Result::ok).unwrap_or_default()
    }
}

impl Scene {
    /// With these lines behind the configuration that the scene needs.
    pub async fn with(configuration: &str) -> Result<Self> {
        Self::with_command(configuration, |_| {}).await
    }

    /// And with a changed command of the daemon.
    pub async fn with_command(
        configuration: &str,
        change: impl FnOnce(&mut tokio::process::Command),
    ) -> Result<Self> {
        let server = CountingServer::start().await?;
        let desktop = Desktop::new(&std::env::temp_dir()).await?;
        desktop.configure(&format!("{}{configuration}", server.configuration()))?;
        let daemon = desktop.start_with(change).await?;
        Self::on(desktop, daemon, server).await
    }

    /// With a daemon that runs already.
    pub async fn on(desktop: Desktop, daemon: Running, server: CountingServer) -> Result<Self> {
        let word = sound::speak(desktop.path(), "word", "Yes.")?;
        let follower = Follower::new(&daemon.connection).await?;
        Ok(Scene {
            desktop,
            daemon,
            follower,
            server,
            word,
        })
    }

    /// Writes another configuration, which the daemon takes over by itself.
    pub fn reconfigure(&self, configuration: &str) -> Result<()> {
        let configuration = format!("{}{configuration}", self.server.configuration());
        self.desktop.configure(&configuration)
    }

    /// Begins to dictate the word; answers with the session.
    pub async fn feed(&self) -> Result<u64> {
        let sound = File::open(&self.word)?;
        Ok(self
            .daemon
            .proxy
            .feed(Fd::from(&sound), HashMap::new())
            .await?)
    }

    /// Dictates the word and waits for its final.
    pub async fn say(&mut self) -> Result<Heard> {
        let session = self.feed().await?;
        let mut said = None;
        let mut troubles = Vec::new();
        for seen in self.follower.session(session).await? {
            match seen {
                Seen::Final { text, details, .. } => said = Some((text, details)),
                Seen::Trouble { message, .. } => troubles.push(message),
                Seen::Failed { message, .. } => anyhow::bail!("failed: {message}"),
                _ => {}
            }
        }
        let (text, details) = said.context("nothing was heard")?;
        Ok(Heard {
            text,
            details,
            troubles,
        })
    }

    /// The entries of `Plugins`, asked until they are as wanted.
    pub async fn plugins_until(
        &self,
        mut wanted: impl FnMut(&[HashMap<String, zbus::OwnedVariant>]) -> bool,
    ) -> Result<Vec<HashMap<String, zbus::OwnedVariant>>> {
        use futures_util::StreamExt as _;

        let mut changes = self.daemon.changes.receive_plugins_changed().await;
        loop {
            let plugins = self.daemon.proxy.plugins().await?;
            if wanted(&plugins) {
                return Ok(plugins);
            }
            tokio::time::timeout(Duration::from_secs(60), changes.next())
                .await
                .with_context(|| format!("the plugins stay {plugins:?}"))?
                .context("the bus has gone")?;
        }
    }
}
