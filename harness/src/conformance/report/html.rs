//! A run as one HTML page: nothing is fetched, nothing runs in it, and it can be sent as it is.

use std::fmt::Write as _;

use mirrorlab_protocol::datetime::DateTime;

use super::super::check::Verdict;
use super::{CheckResult, Report, Standing, parts};

const STYLE: &str = include_str!("report.css");

pub(super) fn write(report: &Report) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n",
    );
    let endpoint = text(&report.endpoint);
    let _ = write!(
        out,
        "<title>Conformance of {endpoint}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    head(&mut out, report);
    summary(&mut out, report);
    let open: Vec<&CheckResult> = [Standing::Failed, Standing::UnexpectedPass, Standing::Unjudged]
        .into_iter()
        .flat_map(|standing| report.of(standing))
        .collect();
    if !open.is_empty() {
        out.push_str(
            "<h2>What does not hold</h2>\n<p class=\"note\">Messages are shown with an element a line.</p>\n",
        );
        for section in report.sections() {
            let here: Vec<&&CheckResult> = open.iter().filter(|r| r.section == section).collect();
            if here.is_empty() {
                continue;
            }
            let _ = writeln!(
                out,
                "<h3 class=\"group\" id=\"failures-{0}\">{0} <span>{1}</span></h3>",
                text(section),
                here.len()
            );
            for result in here {
                failure(&mut out, result);
            }
        }
    }
    let known: Vec<&CheckResult> = report.of(Standing::KnownFailure).collect();
    if !known.is_empty() {
        out.push_str("<h2>Known failures</h2>\n");
        for result in known {
            failure(&mut out, result);
        }
    }
    out.push_str("<h2>All checks</h2>\n");
    for section in report.sections() {
        all_of(&mut out, report, section);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn head(out: &mut String, report: &Report) {
    let verdict = match (report.holds(), report.is_whole()) {
        (true, true) => ("holds", "Every rule that was checked holds"),
        (true, false) => ("unclear", "No rule is broken, but some checks could not tell"),
        (false, _) => ("broken", "Some rules do not hold"),
    };
    let when = DateTime::from_unix_seconds(report.began_at).map_or_else(String::new, |t| {
        let (year, month, day) = t.date();
        let minutes = t.ticks_of_day() / 600_000_000;
        format!(
            "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
            minutes / 60,
            minutes % 60
        )
    });
    let mirror = report
        .mirror
        .as_deref()
        .unwrap_or("none given: answers and LSNs were judged, rows were not compared");
    let _ = write!(
        out,
        "<header class=\"{}\">\n<p class=\"kicker\">Mirrorlab · conformance of a mirroring endpoint</p>\n\
         <h1>{}</h1>\n<dl class=\"facts\">\n\
         <div><dt>Endpoint</dt><dd>{}</dd></div>\n<div><dt>Application</dt><dd>{}</dd></div>\n\
         <div><dt>Mirror</dt><dd>{}</dd></div>\n<div><dt>When</dt><dd>{when}, {:.1} s</dd></div>\n\
         <div><dt>Tenants</dt><dd>Cust{:06}…</dd></div>\n</dl>\n</header>\n",
        verdict.0,
        verdict.1,
        text(&report.endpoint),
        text(&report.application_id),
        text(mirror),
        report.elapsed.as_secs_f64(),
        report.tag
    );
}

fn summary(out: &mut String, report: &Report) {
    out.push_str("<ul class=\"counts\">\n");
    for (standing, word) in WORDS {
        let count = report.count(standing);
        if count > 0 || standing == Standing::Passed || standing == Standing::Failed {
            let _ = writeln!(
                out,
                "<li class=\"{}\"><b>{count}</b> {word}</li>",
                if count == 0 { "none" } else { class(standing) }
            );
        }
    }
    out.push_str("</ul>\n<div class=\"scroll\"><table class=\"sections\">\n<thead><tr><th>Section</th><th>Passed</th><th>Failed</th><th>Other</th></tr></thead>\n<tbody>\n");
    for section in report.sections() {
        let of = |standing: Standing| report.of(standing).filter(|r| r.section == section).count();
        let failed = of(Standing::Failed) + of(Standing::UnexpectedPass);
        let other = of(Standing::KnownFailure) + of(Standing::Skipped) + of(Standing::Unjudged);
        let section_name = text(section);
        let failed = match failed {
            0 => "<td class=\"none\">0</td>".to_owned(),
            _ => format!("<td class=\"failed\"><a href=\"#failures-{section_name}\">{failed}</a></td>"),
        };
        let _ = writeln!(
            out,
            "<tr><td><a href=\"#section-{section_name}\">{section_name}</a></td><td>{}</td>{failed}<td class=\"{}\">{other}</td></tr>",
            of(Standing::Passed),
            if other > 0 { "other" } else { "none" },
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
}

const WORDS: [(Standing, &str); 6] = [
    (Standing::Passed, "passed"),
    (Standing::Failed, "failed"),
    (Standing::UnexpectedPass, "expected to fail, and passed"),
    (Standing::KnownFailure, "failed as expected"),
    (Standing::Unjudged, "could not be judged"),
    (Standing::Skipped, "skipped"),
];

fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::Passed => "passed",
        Standing::Failed | Standing::UnexpectedPass => "failed",
        Standing::KnownFailure | Standing::Unjudged | Standing::Skipped => "other",
    }
}

fn failure(out: &mut String, result: &CheckResult) {
    let _ = write!(
        out,
        "<article class=\"{}\" id=\"{id}\">\n<h4>{}</h4>\n<p class=\"id\"><code>{id}</code></p>\n<dl>\n",
        class(result.standing()),
        marked(&result.title),
        id = text(&result.id),
    );
    for (label, part) in parts(result) {
        let _ = writeln!(out, "<div><dt>{label}</dt><dd>{}</dd></div>", marked(&part));
    }
    out.push_str("</dl>\n");
    if let Verdict::Failed { finding } = &result.verdict {
        for (label, message) in [
            ("The call that was sent", &finding.request),
            ("The answer that came", &finding.answer),
        ] {
            if let Some(message) = message.as_ref().filter(|m| !m.is_empty()) {
                let _ = writeln!(
                    out,
                    "<details><summary>{label}</summary><pre>{}</pre></details>",
                    text(&in_lines(message))
                );
            }
        }
    }
    out.push_str("</article>\n");
}

fn all_of(out: &mut String, report: &Report, section: &str) {
    let results: Vec<&CheckResult> = report.results.iter().filter(|r| r.section == section).collect();
    let broken = results.iter().any(|r| class(r.standing()) == "failed");
    let _ = write!(
        out,
        "<details class=\"section\" id=\"section-{0}\"{1}><summary>{0} <span>{2} checks</span></summary>\n<ul class=\"all\">\n",
        text(section),
        if broken { " open" } else { "" },
        results.len()
    );
    for result in results {
        let standing = result.standing();
        let id = text(&result.id);
        let name = match standing {
            Standing::Passed | Standing::Skipped => format!("<code>{id}</code>"),
            _ => format!("<a href=\"#{id}\"><code>{id}</code></a>"),
        };
        let _ = writeln!(
            out,
            "<li class=\"{}\"><span class=\"mark\">{}</span> <span class=\"title\">{}</span> <span class=\"meta\">{name} · {} · {}</span></li>",
            class(standing),
            match standing {
                Standing::Passed => "passed",
                Standing::Failed => "failed",
                Standing::UnexpectedPass => "passed, though expected to fail",
                Standing::KnownFailure => "failed as expected",
                Standing::Unjudged => "unclear",
                Standing::Skipped => "skipped",
            },
            marked(&result.title),
            result.rule,
            result.level.name(),
        );
    }
    out.push_str("</ul>\n</details>\n");
}

/// A message with an element a line, to be read: on the wire it is one long line.
fn in_lines(message: &str) -> String {
    message.replace("><", ">\n<")
}

/// Text for HTML, what stands between backticks as code.
fn marked(raw: &str) -> String {
    let parts: Vec<&str> = raw.split('`').collect();
    // A backtick without its partner is one.
    if parts.len().is_multiple_of(2) {
        return text(raw);
    }
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        match at % 2 {
            0 => out.push_str(&text(part)),
            _ => {
                let _ = write!(out, "<code>{}</code>", text(part));
            }
        }
    }
    out
}

/// Text for HTML. What a browser would not show, or would turn around, is shown as an escape.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\r' => {}
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::check::{Finding, Level};
    use super::*;

    /// Whatever an endpoint answers is text on this page, and nothing else.
    #[test]
    fn hostile_answers_stay_text() {
        let hostile = "</pre></details><script>alert(1)</script><img src=x onerror=alert(2)>\" onload='x' &lt; \u{202e}\u{0}\u{7} `a` <!--";
        let finding = Finding {
            expected: hostile.into(),
            received: hostile.into(),
            combination: Some(hostile.into()),
            request: Some(hostile.into()),
            answer: Some(hostile.into()),
        };
        let result = |verdict, expected_failure: Option<&str>| CheckResult {
            id: "values.int".into(),
            title: hostile.into(),
            section: "values".into(),
            rule: "VALUE-02",
            rule_text: "",
            level: Level::Must,
            elapsed: Duration::ZERO,
            expected_failure: expected_failure.map(str::to_owned),
            verdict,
        };
        let failed = || Verdict::Failed {
            finding: Box::new(finding.clone()),
        };
        let report = Report {
            endpoint: hostile.into(),
            application_id: hostile.into(),
            mirror: Some(hostile.into()),
            seed: 1,
            tag: 1,
            began_at: 0,
            elapsed: Duration::ZERO,
            results: vec![
                result(failed(), None),
                result(failed(), Some(hostile)),
                result(Verdict::Passed, Some(hostile)),
                result(
                    Verdict::Skipped {
                        reason: hostile.into(),
                    },
                    None,
                ),
                result(Verdict::Unjudged { why: hostile.into() }, None),
            ],
        };
        let page = report.to_html();
        // The page's own elements, and no others; no attribute but its own.
        let own = [
            "!doctype", "a", "article", "b", "body", "code", "dd", "details", "div", "dl", "dt", "h1", "h2",
            "h3", "h4", "head", "header", "html", "li", "main", "meta", "p", "pre", "span", "style",
            "summary", "table", "tbody", "td", "th", "thead", "title", "tr", "ul",
        ];
        for tag in page.split('<').skip(1) {
            let name = tag
                .trim_start_matches('/')
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '!')
                .next();
            assert!(
                own.contains(&name.unwrap_or_default()),
                "<{}",
                tag.chars().take(60).collect::<String>()
            );
            let inside = tag.split('>').next().unwrap_or_default();
            assert!(
                !inside.contains("onload") && !inside.contains("onerror"),
                "<{inside}"
            );
        }
        for c in ['\u{202e}', '\u{0}', '\u{7}'] {
            assert!(!page.contains(c), "{c:?}");
        }
        assert!(page.contains("&lt;script&gt;"));
        let junit = report.to_junit();
        assert!(!junit.contains("<script") && !junit.contains('\u{7}'));
    }
}
