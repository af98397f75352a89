//! A check that did not hold.

use std::fmt::Write as _;

use serde::Serialize;

/// The most characters of a received message that are shown to a person; JSON has all of it.
const MESSAGE_SHOWN_MAX: usize = 2000;

/// A check that did not hold: everything that a person needs to see why, and to see it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Failure {
    /// The check's id, which never changes: `mirror.wiped`.
    pub check: String,
    /// The rule that it cites.
    pub rule: String,
    /// The scenario file, as it was named on the command line.
    pub file: Option<String>,
    /// The line of the step in it, counted from 1.
    pub line: Option<usize>,
    /// The step, as the file writes it, in one line.
    pub step: Option<String>,
    /// What would have been right.
    pub expected: String,
    /// What came.
    pub received: String,
    /// The message that was received, where there is one.
    pub message: Option<String>,
    /// The seed that everything was drawn from.
    pub seed: Option<u64>,
    /// The command that repeats just this.
    pub repeat_command: String,
}

impl Failure {
    /// The place: `scenarios/restore/ahead.yaml:12`.
    pub fn place(&self) -> Option<String> {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (Some(file), None) => Some(file.clone()),
            _ => None,
        }
    }

    /// The failure for people, a part a line, each line indented by two blanks. Whatever came from outside has its
    /// control characters escaped: no terminal obeys it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut part = |name: &str, text: Option<&str>| {
            let Some(text) = text.filter(|t| !t.is_empty()) else {
                return;
            };
            for (n, line) in text.lines().enumerate() {
                let label = if n == 0 { name } else { "" };
                let _ = writeln!(out, "  {label:<9} {}", printable(line));
            }
        };
        part("check", Some(&self.check));
        part("rule", Some(&self.rule));
        part("at", self.place().as_deref());
        part("step", self.step.as_deref());
        part("expected", Some(&self.expected));
        part("received", Some(&self.received));
        part("message", self.message.as_deref().map(shortened).as_deref());
        part("seed", self.seed.map(|s| s.to_string()).as_deref());
        part("repeat", Some(&self.repeat_command));
        out
    }
}

fn shortened(message: &str) -> String {
    let length = message.chars().count();
    if length <= MESSAGE_SHOWN_MAX {
        return message.to_owned();
    }
    let mut out: String = message.chars().take(MESSAGE_SHOWN_MAX).collect();
    let _ = write!(out, "\n… {} more characters", length - MESSAGE_SHOWN_MAX);
    out
}

/// `text` with its control and direction characters escaped.
pub(crate) fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
