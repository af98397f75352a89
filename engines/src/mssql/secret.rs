//! A text that must never be shown.

use std::fmt;

/// A password. Neither `Debug` nor `Display` shows it; [`Secret::expose`] is the one way to it, and is called where a
/// connection logs in and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Below this many characters a secret is no help in finding itself in a text: every second word would match.
const REDACTED_CHARS_MIN: usize = 4;

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without this secret, should a driver or server have repeated it.
    pub fn redact(&self, text: &str) -> String {
        if self.0.chars().count() < REDACTED_CHARS_MIN {
            return text.to_owned();
        }
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
