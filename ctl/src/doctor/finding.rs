//! What was found out about one thing. No input or output.

use crate::json::Object;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Something is to be done; the sentence says what.
    Problem,
    /// Could not be looked at, or is not wanted here; the sentence says why.
    Skipped,
}

impl State {
    /// As it is printed, and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Problem => "problem",
            State::Skipped => "skipped",
        }
    }
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at, in a word.
    pub(crate) subject: &'static str,
    pub(crate) state: State,
    /// A sentence; a problem's ends with what to do.
    pub(crate) sentence: String,
}

impl Finding {
    pub(crate) fn ok(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(subject, State::Ok, sentence)
    }

    pub(crate) fn problem(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(subject, State::Problem, sentence)
    }

    pub(crate) fn skipped(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(subject, State::Skipped, sentence)
    }

    fn new(subject: &'static str, state: State, sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Finding {
            subject,
            state,
            sentence,
        }
    }

    /// The same with the user's home folder as `~`, so that a report can be shown to others.
    pub(crate) fn without_home(mut self, home: &str) -> Self {
        let home = home.trim_end_matches('/');
        if !home.is_empty() {
            self.sentence = self.sentence.replace(&format!("{home}/"), "~/");
        }
        self
    }

    /// As a line for people.
    pub(crate) fn to_line(&self) -> String {
        let state = self.state.name();
        format!("{state:<8} {:<13} {}", self.subject, self.sentence)
    }

    /// As an object for programs.
    pub(crate) fn to_object(&self) -> Object {
        Object::plain()
            .with("check", self.subject)
            .with("state", self.state.name())
            .with("sentence", &self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_an_object() {
        let finding = Finding::problem("model", "/h/me/m.bin is damaged: get it again");
        let finding = finding.without_home("/h/me/");
        assert_eq!(
            finding.to_line(),
            "problem  model         ~/m.bin is damaged: get it again"
        );
        assert_eq!(
            finding.to_object().to_line(),
            r#"{"check":"model","state":"problem","sentence":"~/m.bin is damaged: get it again"}"#
        );
        let root = Finding::ok("bus", "/a/b").without_home("/");
        assert_eq!(root.sentence, "/a/b");
    }
}
