//! Mistakes in a scenario file, shown with the file, the line, the place marked, and what was meant.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::place::At;

/// The most mistakes of one file that are shown: a reader mends the first few and tries again.
pub const SHOWN_MAX: usize = 20;

/// One mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub at: At,
    /// What is said at the marked place: what stands there, or what was expected.
    pub label: String,
    /// Other places that explain it.
    pub also: Vec<(At, String)>,
    /// What would be right.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake at a place.
    pub fn new(at: At, message: impl Into<String>, label: impl Into<String>) -> Mistake {
        Mistake {
            message: message.into(),
            at,
            label: label.into(),
            also: Vec::new(),
            help: None,
        }
    }

    /// Says what would be right.
    pub fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }

    /// Points at a second place.
    pub fn and(mut self, at: At, label: impl Into<String>) -> Mistake {
        self.also.push((at, label.into()));
        self
    }
}

/// A scenario file that cannot be used, with every mistake that was found in it, in the file's order.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// The file.
    pub file: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl Mistakes {
    /// The message for a person: `width` columns wide, with colours where `colour` says so.
    pub fn render(&self, width: usize, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            .with_wrap_lines(false)
            .with_context_lines(1);
        let source = NamedSource::new(self.file.display().to_string(), self.text.clone());
        let mut out = String::new();
        for mistake in self.mistakes.iter().take(SHOWN_MAX) {
            let mistake = wrapped(mistake, width);
            let shown = Shown {
                mistake: &mistake,
                source: &source,
            };
            if handler.render_report(&mut out, &shown).is_err() {
                out.push_str(&format!(
                    "{}:{}: {}\n",
                    self.file.display(),
                    mistake.at,
                    mistake.message
                ));
            }
            out.push('\n');
        }
        if let more @ 1.. = self.mistakes.len().saturating_sub(SHOWN_MAX) {
            out.push_str(&format!(
                "… and {more} more mistakes in {}\n",
                self.file.display()
            ));
        }
        out
    }
}

/// With its longer texts broken at blanks only: miette's own wrapping breaks words with hyphens, which are names here.
fn wrapped(mistake: &Mistake, width: usize) -> Mistake {
    let wrap = |text: &str| {
        let mut lines: Vec<String> = Vec::new();
        // miette indents these texts by up to eight columns.
        let room = width.saturating_sub(8).max(20);
        for word in text.split(' ') {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines.join("\n")
    };
    Mistake {
        message: wrap(&mistake.message),
        help: mistake.help.as_deref().map(wrap),
        ..mistake.clone()
    }
}

/// One line a mistake, for logs.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(
                f,
                "{separator}{}:{}: {}",
                self.file.display(),
                mistake.at,
                mistake.message
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// A mistake as miette draws it.
#[derive(Debug)]
struct Shown<'a> {
    mistake: &'a Mistake,
    source: &'a NamedSource<Arc<str>>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.mistake
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let main =
            LabeledSpan::new_primary_with_span(Some(self.mistake.label.clone()), span(self.mistake.at));
        let also = self
            .mistake
            .also
            .iter()
            .map(|(at, label)| LabeledSpan::new_with_span(Some(label.clone()), span(*at)));
        Some(Box::new(std::iter::once(main).chain(also)))
    }
}

fn span(at: At) -> (usize, usize) {
    (at.offset, at.length)
}

/// The known word that a wrong one is most like, if it is alike at all.
pub fn closest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let wrong = wrong.to_lowercase();
    let limit = match wrong.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&wrong, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= limit || singular(word) == singular(&wrong))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Without the plural's s and with one kind of hyphen: `updates` is meant where `update` stands, however short.
fn singular(word: &str) -> String {
    word.trim_end_matches('s').replace('-', "_").to_lowercase()
}

/// `a, b or c`, or with an ellipsis where there are too many to read.
pub fn one_of<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    listed(words, "or")
}

/// `a, b and c`, or with an ellipsis where there are too many to read.
pub fn all_of<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    listed(words, "and")
}

fn listed<S: AsRef<str>>(words: impl IntoIterator<Item = S>, last_with: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] if words.len() <= 30 => format!("{} {last_with} {last}", first.join(", ")),
        _ => format!("{} …", words[..30].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_and_nothing_far_fetched() {
        let words = ["mirror", "compare", "update", "sql", "run_due"];
        assert_eq!(closest("miror", words), Some("mirror"));
        assert_eq!(closest("updates", words), Some("update"));
        assert_eq!(closest("sqls", words), Some("sql"));
        assert_eq!(closest("run-due", words), Some("run_due"));
        assert_eq!(closest("x", words), None);
        assert_eq!(closest("population", words), None);
    }
}
