//! A run as it is shown while it goes: a line for whatever does not pass, the failures whole at the end.

use std::io::{self, Write};

use super::super::check::Verdict;
use super::{CheckResult, Report, Standing, parts};
use crate::report::Style;
use crate::report::failure::printable;

/// The most characters of a message that a terminal is shown; the HTML page and JSON have more.
const MESSAGE_SHOWN_MAX: usize = 600;

/// Shows a run.
pub struct Terminal<W: Write> {
    out: W,
    style: Style,
    section: String,
    all: bool,
}

impl<W: Write> Terminal<W> {
    /// `all` shows what passes too.
    pub fn new(out: W, style: Style, all: bool) -> Terminal<W> {
        Terminal {
            out,
            style,
            section: String::new(),
            all,
        }
    }

    /// A check has ended.
    ///
    /// # Errors
    /// What the writer says.
    pub fn ended(&mut self, result: &CheckResult) -> io::Result<()> {
        let standing = result.standing();
        if !self.all && matches!(standing, Standing::Passed | Standing::Skipped) {
            return Ok(());
        }
        if self.section != result.section {
            self.section.clone_from(&result.section);
            writeln!(self.out, "\n{}", printable(&result.section))?;
        }
        let mark = self.mark(standing);
        writeln!(
            self.out,
            "{mark} {:<6} {}  {}",
            result.level.name(),
            printable(&result.id),
            printable(&result.title)
        )
    }

    /// The run's end: every failure with all its parts, then the summary.
    ///
    /// # Errors
    /// What the writer says.
    pub fn run_ended(mut self, report: &Report) -> io::Result<W> {
        for standing in [Standing::Unjudged, Standing::UnexpectedPass, Standing::Failed] {
            for result in report.of(standing) {
                let mark = self.mark(standing);
                writeln!(
                    self.out,
                    "\n{mark} {}: {}",
                    printable(&result.id),
                    printable(&result.title)
                )?;
                for (label, text) in parts(result) {
                    self.part(label, &text)?;
                }
                if let Verdict::Failed { finding } = &result.verdict {
                    for (label, message) in [("sent", &finding.request), ("answer", &finding.answer)] {
                        if let Some(message) = message {
                            self.part(label, &shortened(message))?;
                        }
                    }
                }
                self.part("repeat", &format!("mirrorlab conformance … --only {}", result.id))?;
            }
        }
        let skipped: Vec<&CheckResult> = report.of(Standing::Skipped).collect();
        if let Some(Verdict::Skipped { reason }) = skipped.first().map(|s| &s.verdict) {
            writeln!(self.out, "\n{} skipped: {}", skipped.len(), printable(reason))?;
        }
        if report.mirror.is_none() {
            writeln!(
                self.out,
                "\nNo mirror was given: answers and LSNs were judged, rows were not compared."
            )?;
        }
        writeln!(
            self.out,
            "\n{}; {:.1} s; tenants Cust{:06}…",
            report.summary(),
            report.elapsed.as_secs_f64(),
            report.tag
        )?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn part(&mut self, label: &str, text: &str) -> io::Result<()> {
        for (number, line) in text.lines().enumerate() {
            let label = if number == 0 { label } else { "" };
            writeln!(self.out, "  {label:<9} {}", printable(line))?;
        }
        Ok(())
    }

    fn mark(&self, standing: Standing) -> String {
        let (text, colour) = match standing {
            Standing::Passed => ("ok    ", "32"),
            Standing::KnownFailure => ("known ", "33"),
            Standing::Skipped => ("skip  ", "33"),
            Standing::Unjudged => ("?     ", "33"),
            Standing::UnexpectedPass => ("PASSES", "1;31"),
            Standing::Failed => ("FAIL  ", "1;31"),
        };
        match self.style.colour {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

fn shortened(message: &str) -> String {
    let count = message.chars().count();
    if count <= MESSAGE_SHOWN_MAX {
        return message.to_owned();
    }
    let start: String = message.chars().take(MESSAGE_SHOWN_MAX).collect();
    format!("{start}\n… {} more characters", count - MESSAGE_SHOWN_MAX)
}
