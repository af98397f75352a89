//! A check that did not hold.

use std::fmt::Write as _;

use serde::Serialize;

/// The most characters of a received message that are shown to a person, an element a line; JSON has all of it.
const MESSAGE_SHOWN_MAX: usize = 2000;
/// The most of its lines.
const LINES_SHOWN_MAX: usize = 40;

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

/// A message as a person reads it: its elements below each other, and no more than anybody looks through.
fn shortened(message: &str) -> String {
    let laid_out: Vec<String> = message.lines().flat_map(elements).collect();
    let (mut out, mut room, mut shown) = (String::new(), MESSAGE_SHOWN_MAX, 0);
    for line in laid_out.iter().take(LINES_SHOWN_MAX) {
        let length = line.chars().count();
        if length > room {
            let start: String = line.chars().take(room).collect();
            let _ = write!(out, "{start}\n… {} more characters of this line", length - room);
            shown += 1;
            break;
        }
        room -= length;
        shown += 1;
        let _ = writeln!(out, "{line}");
    }
    match laid_out.len() - shown {
        0 => out,
        1 => format!("{}\n… 1 more line", out.trim_end()),
        more => format!("{}\n… {more} more lines", out.trim_end()),
    }
}

/// A line of XML as lines of an element each, deeper ones further in; an element that holds text alone is one line. Any
/// other line is itself.
fn elements(line: &str) -> Vec<String> {
    if !line.starts_with('<') {
        return vec![line.to_owned()];
    }
    let mut lines = Vec::new();
    let (mut depth, mut now, mut is_leaf) = (0_usize, String::new(), false);
    for piece in line.split_inclusive('>') {
        let from = piece.find('<').unwrap_or(0);
        let (is_end, is_alone) = (piece[from..].starts_with("</"), piece.ends_with("/>"));
        // A start tag's text is followed by its end tag, and then both are one line.
        let goes_on = is_end && is_leaf;
        if !goes_on && !now.is_empty() {
            lines.push(std::mem::take(&mut now));
        }
        if is_end {
            depth = depth.saturating_sub(1);
        }
        if now.is_empty() {
            now = "  ".repeat(depth.min(20));
        }
        now.push_str(piece);
        is_leaf = !is_end && !is_alone && piece[from..].starts_with('<');
        if is_leaf && !piece.starts_with("<?") && !piece.starts_with("<!") {
            depth += 1;
        }
    }
    lines.push(now);
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_an_element_a_line() {
        let message = "HTTP 200, text/xml\n<?xml version=\"1.0\"?><s:Body><A><Yes>true</Yes><No/><E>a &lt; b</E></A></s:Body>";
        let shown = "HTTP 200, text/xml\n<?xml version=\"1.0\"?>\n<s:Body>\n  <A>\n    <Yes>true</Yes>\n    <No/>\n    \
                     <E>a &lt; b</E>\n  </A>\n</s:Body>\n";
        assert_eq!(shortened(message), shown);
        // What is no XML stays as it is.
        assert_eq!(
            shortened("Welcome > to <this> page"),
            "Welcome > to <this> page\n"
        );
        assert_eq!(shortened("<"), "<\n");
        assert_eq!(shortened("<a>æ<b>ø"), "<a>\n  æ<b>\n    ø\n");
    }

    #[test]
    fn no_more_is_shown_than_anybody_reads() {
        let many = format!("<A>{}</A>", "<B>1</B>".repeat(100));
        let shown = shortened(&many);
        assert_eq!(shown.lines().count(), LINES_SHOWN_MAX + 1);
        assert!(shown.ends_with("\n… 62 more lines"), "{shown}");
        let long = shortened(&format!("<A>{}</A>", "x".repeat(3000)));
        assert!(
            long.starts_with("<A>xxx") && long.ends_with("… 1007 more characters of this line"),
            "{long}"
        );
    }
}
