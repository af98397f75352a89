//! Failures that are known: a file with an id and a reason a line. One that does not fail any more is an error, so that
//! the file never says what is not so.

use std::path::Path;

/// Known failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedFailures {
    entries: Vec<(String, String, String)>,
}

impl ExpectedFailures {
    /// Reads a file.
    ///
    /// # Errors
    /// A text with the place.
    pub fn load(path: &Path) -> Result<ExpectedFailures, String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        ExpectedFailures::parse(&name, &text)
    }

    /// Reads a file's text: `id reason` a line; empty lines and those with `#` do not count.
    ///
    /// # Errors
    /// A text with the place.
    pub fn parse(file: &str, text: &str) -> Result<ExpectedFailures, String> {
        let mut entries: Vec<(String, String, String)> = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{file}:{}", number + 1);
            let (id, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if reason.trim().is_empty() {
                return Err(format!(
                    "{place}: `{}` has no reason; expected a check's id and why it fails, a line each",
                    mirrorlab_protocol::excerpt(id)
                ));
            }
            if entries.iter().any(|(known, _, _)| known == id) {
                return Err(format!(
                    "{place}: `{}` stands there twice",
                    mirrorlab_protocol::excerpt(id)
                ));
            }
            entries.push((id.to_owned(), reason.trim().to_owned(), place));
        }
        Ok(ExpectedFailures { entries })
    }

    /// Why a check is expected to fail, if it is.
    pub fn reason(&self, id: &str) -> Option<&str> {
        let found = self.entries.iter().find(|(known, _, _)| known == id);
        found.map(|(_, reason, _)| reason.as_str())
    }

    /// Every id with its place.
    pub fn ids(&self) -> impl Iterator<Item = (&str, String)> {
        self.entries
            .iter()
            .map(|(id, _, place)| (id.as_str(), place.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_id_and_a_reason() {
        let read = |text: &str| ExpectedFailures::parse("known.txt", text);
        let known = read("# ours\n\ntrust.expired  the clock of the test machine\nvalues.x\ty\n").unwrap();
        assert_eq!(
            known.reason("trust.expired"),
            Some("the clock of the test machine")
        );
        assert_eq!(known.reason("values.x"), Some("y"));
        assert_eq!(known.reason("values"), None);
        insta::assert_snapshot!(read("a b\n\nc\n").unwrap_err(), @"known.txt:3: `c` has no reason; expected a check's id and why it fails, a line each");
        insta::assert_snapshot!(read("a b\na c\n").unwrap_err(), @"known.txt:2: `a` stands there twice");
    }
}
