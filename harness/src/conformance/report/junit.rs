//! A run as JUnit XML: a suite for each section.

use std::fmt::Write as _;

use super::{CheckResult, Report, Standing, parts};

pub(super) fn write(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let failed = |r: &&CheckResult| matches!(r.standing(), Standing::Failed | Standing::UnexpectedPass);
    let unjudged = |r: &&CheckResult| r.standing() == Standing::Unjudged;
    let skipped = |r: &&CheckResult| matches!(r.standing(), Standing::Skipped | Standing::KnownFailure);
    let counts = |results: &[&CheckResult]| {
        format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
            results.len(),
            results.iter().copied().filter(|r| failed(r)).count(),
            results.iter().copied().filter(|r| unjudged(r)).count(),
            results.iter().copied().filter(|r| skipped(r)).count(),
            results.iter().map(|r| r.elapsed.as_secs_f64()).sum::<f64>()
        )
    };
    let all: Vec<&CheckResult> = report.results.iter().collect();
    let _ = writeln!(
        out,
        "<testsuites name=\"mirrorlab conformance\" {}>",
        counts(&all)
    );
    for section in report.sections() {
        let results: Vec<&CheckResult> = all.iter().copied().filter(|r| r.section == section).collect();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" {}>",
            attribute(section),
            counts(&results)
        );
        for result in results {
            case(&mut out, result);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, result: &CheckResult) {
    let _ = write!(
        out,
        "    <testcase classname=\"conformance.{}\" name=\"{}: {}\" time=\"{:.3}\"",
        attribute(&result.section),
        attribute(&result.id),
        attribute(&result.title),
        result.elapsed.as_secs_f64()
    );
    let text = || {
        let lines: Vec<String> = parts(result)
            .into_iter()
            .map(|(label, text)| format!("{label}: {text}"))
            .collect();
        lines.join("\n")
    };
    let first = |label: &str| {
        let found = parts(result).into_iter().find(|(l, _)| *l == label);
        attribute(&found.map(|(_, text)| text).unwrap_or_default())
    };
    let (element, message) = match result.standing() {
        Standing::Passed => {
            out.push_str("/>\n");
            return;
        }
        Standing::Failed => ("failure", first("received")),
        Standing::UnexpectedPass => ("failure", first("expected")),
        Standing::Unjudged => ("error", first("why")),
        Standing::Skipped => ("skipped", first("reason")),
        Standing::KnownFailure => ("skipped", first("known")),
    };
    let _ = writeln!(
        out,
        ">\n      <{element} message=\"{message}\">{}</{element}>\n    </testcase>",
        attribute(&text())
    );
}

/// Text for an attribute or an element: characters that XML 1.0 does not have are shown as escapes, since readers of
/// JUnit files refuse them in any form.
fn attribute(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
