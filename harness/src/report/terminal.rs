//! A run as it is shown while it goes: a line a scenario, the failures again at the end, a summary.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::failure::printable;
use super::{RunResult, ScenarioResult, Verdict};

/// A title longer than this pushes what follows to the right.
const TITLE_WIDTH_MAX: usize = 72;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Whether marks are coloured.
    pub colour: bool,
    /// Whether a progress bar stands on stderr.
    pub progress: bool,
}

impl Style {
    /// What suits this process: colour where stdout is a terminal and `NO_COLOR` is not set, a progress bar where
    /// stderr is one.
    pub fn detect() -> Style {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Style {
            colour: io::stdout().is_terminal() && !plain,
            progress: io::stderr().is_terminal(),
        }
    }
}

/// Shows a run.
pub struct Terminal<W: Write> {
    out: W,
    style: Style,
    bar: ProgressBar,
    id_width: usize,
    title_width: usize,
}

impl<W: Write> Terminal<W> {
    /// Begins a run of the scenarios named (id and title each). Nothing is written yet.
    pub fn new<'s>(
        out: W,
        style: Style,
        scenarios: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Terminal<W> {
        let (mut count, mut id_width, mut title_width) = (0, 0, 0);
        for (id, title) in scenarios {
            count += 1;
            id_width = id_width.max(id.chars().count());
            title_width = title_width.max(title.chars().count()).min(TITLE_WIDTH_MAX);
        }
        let target = match style.progress {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(count), target);
        if let Ok(template) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
            bar.set_style(template);
        }
        Terminal {
            out,
            style,
            bar,
            id_width,
            title_width,
        }
    }

    /// A scenario begins: the progress bar names it.
    pub fn begins(&self, id: &str) {
        self.bar.set_message(printable(id));
    }

    /// A scenario's line.
    ///
    /// # Errors
    /// What the writer says.
    pub fn ended(&mut self, result: &ScenarioResult) -> io::Result<()> {
        let (mark, reasons) = match &result.verdict {
            Verdict::Held => (self.painted("ok    ", GREEN), &[][..]),
            Verdict::Failed { .. } => (self.painted("FAIL  ", RED), &[][..]),
            Verdict::Skipped { reasons } => (self.painted("skip  ", YELLOW), reasons.as_slice()),
            Verdict::Broken { reason } => (self.painted("BROKEN", RED), std::slice::from_ref(reason)),
        };
        let mut line = format!(
            "{mark} {:<id$}  {:<title$}",
            printable(&result.id),
            printable(&result.title),
            id = self.id_width,
            title = self.title_width
        );
        if !matches!(result.verdict, Verdict::Skipped { .. }) {
            line.push_str(&format!(
                "  {:>3} steps  {:>9} rows  {:>8}",
                result.steps,
                grouped(result.rows_compared),
                time(result.elapsed)
            ));
        }
        line.truncate(line.trim_end().len());
        for first in reasons.iter().filter_map(|r| r.lines().next()) {
            line.push_str(&format!("\n       {}", printable(first)));
        }
        let out = &mut self.out;
        let written = self.bar.suspend(|| writeln!(out, "{line}"));
        self.bar.inc(1);
        written
    }

    /// The run's end: every failure with all its parts, then the summary line.
    ///
    /// # Errors
    /// What the writer says.
    pub fn run_ended(mut self, run: &RunResult) -> io::Result<W> {
        self.bar.finish_and_clear();
        for scenario in &run.scenarios {
            for failure in scenario.failures() {
                let mark = self.painted("FAIL", RED);
                let (id, title) = (printable(&scenario.id), printable(&scenario.title));
                writeln!(self.out, "\n{mark} {id}: {title}")?;
                self.out.write_all(failure.text().as_bytes())?;
            }
            if let Verdict::Broken { reason } = &scenario.verdict {
                let mark = self.painted("BROKEN", RED);
                writeln!(
                    self.out,
                    "\n{mark} {} ({})",
                    printable(&scenario.id),
                    printable(&scenario.file)
                )?;
                for line in reason.lines() {
                    writeln!(self.out, "  {}", printable(line))?;
                }
            }
        }
        let unseen = run.not_checked();
        if !unseen.is_empty() {
            writeln!(self.out, "\nNot checked:")?;
            for (kind, count) in unseen {
                let scenarios = match count {
                    1 => "1 scenario".to_owned(),
                    n => format!("{n} scenarios"),
                };
                writeln!(self.out, "  {} ({scenarios})", kind.name())?;
            }
        }
        let [held, failed, skipped, broken] = run.counts();
        let mut parts = vec![format!("{held} ok")];
        for (count, word) in [(failed, "failed"), (broken, "broken"), (skipped, "skipped")] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        let scenarios = match run.scenarios.len() {
            1 => "1 scenario".to_owned(),
            n => format!("{n} scenarios"),
        };
        writeln!(
            self.out,
            "\n{scenarios}: {}; {} rows compared in {}; seed {}",
            parts.join(", "),
            grouped(run.rows_compared()),
            time(run.elapsed),
            run.seed
        )?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        match self.style.colour {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

const GREEN: &str = "32";
const RED: &str = "1;31";
const YELLOW: &str = "33";

/// `1,300`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `0.42 s`, `2 min 05 s`.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.2} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}
