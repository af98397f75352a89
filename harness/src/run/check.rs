//! What a step's result must hold, against what it was.
//!
//! Every check has a written id that never changes. Here are those of the scenarios' expectations; a comparison's
//! findings have their own kinds.

use std::collections::BTreeMap;

use mirrorlab_protocol::names::{Operation, same_name};

use super::lsns::WrongLsn;
use crate::compare::{Finding, Kind, Report, TableReport};
use crate::scenario::expect::{
    CallCounts, CompareExpect, EventKind, Keys, LogSide, MirrorExpect, Outcome, RunDueExpect, Side,
    TableCounts, TableDifference, Wiped,
};
use crate::scenario::place::At;

/// One expectation that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The check's id.
    pub check: &'static str,
    /// Where the expectation stands in the file.
    pub at: At,
    /// What would have been right.
    pub expected: String,
    /// What came.
    pub received: String,
    /// The message that was received, where there is one: the answer that ended a cycle.
    pub message: Option<String>,
}

/// Rows of one table that a cycle sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// As I.
    pub inserts: u64,
    /// As U.
    pub updates: u64,
    /// As D.
    pub deletes: u64,
}

/// One cycle of one tenant, as the checks need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleResult {
    /// How it ended.
    pub outcome: Outcome,
    /// The Error event's text.
    pub error: Option<String>,
    /// The answer that ended it, as it came.
    pub message: Option<String>,
    /// Whether what it says are words of an endpoint that is not ours: then it says no more than that it was refused.
    pub foreign_words: bool,
    /// Every table that the cycle would mirror.
    pub mirrored: Vec<String>,
    /// Tables that were wiped.
    pub wiped: Vec<String>,
    /// Rows sent, for tables with any.
    pub sent: BTreeMap<String, Sent>,
    /// Calls that the endpoint was sent.
    pub calls: BTreeMap<Operation, u64>,
    /// New entries of both logs.
    pub events: Vec<(LogSide, EventKind, String)>,
    /// Whether the server's log can be read at all.
    pub server_log: bool,
}

impl CycleResult {
    /// A tenant without a cycle.
    pub fn none() -> CycleResult {
        CycleResult {
            outcome: Outcome::None,
            error: None,
            message: None,
            foreign_words: false,
            mirrored: Vec::new(),
            wiped: Vec::new(),
            sent: BTreeMap::new(),
            calls: BTreeMap::new(),
            events: Vec::new(),
            server_log: true,
        }
    }

    fn ending(&self) -> String {
        match (&self.outcome, &self.error) {
            (Outcome::Error, Some(error)) => format!("error: {error}"),
            (outcome, _) => outcome.to_string(),
        }
    }
}

/// Checks one cycle.
pub fn cycle(expect: &MirrorExpect, result: &CycleResult) -> Vec<Mismatch> {
    let mut found = what_differs(expect, result);
    for mismatch in &mut found {
        mismatch.message.clone_from(&result.message);
    }
    found
}

fn what_differs(expect: &MirrorExpect, result: &CycleResult) -> Vec<Mismatch> {
    let mut found = Mismatches::default();
    // A cycle that ended otherwise than meant makes every other number meaningless.
    if !found.outcome(expect.at, expect.outcome, result) {
        return found.0;
    }
    if let Some(error) = &expect.error {
        let text = result.error.as_deref().unwrap_or_default();
        if !error.matches(text) && !result.foreign_words {
            found.add(
                "cycle-error-text",
                error.at,
                format!("an error with `{}`", error.value),
                if text.is_empty() { "no error" } else { text },
            );
        }
    }
    if let Some(wiped) = &expect.wiped {
        let mut wanted: Vec<&str> = match &wiped.value {
            Wiped::All => result.mirrored.iter().map(String::as_str).collect(),
            Wiped::None => Vec::new(),
            Wiped::Tables(tables) => tables.iter().map(|t| t.as_str()).collect(),
        };
        let mut got: Vec<&str> = result.wiped.iter().map(String::as_str).collect();
        wanted.sort_unstable_by_key(|name| name.to_lowercase());
        got.sort_unstable_by_key(|name| name.to_lowercase());
        let same = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(a, b)| same_name(a, b));
        if !same {
            found.add(
                "cycle-wiped",
                wiped.at,
                format!("wiped: {}", listed(&wanted)),
                format!("wiped: {}", listed(&got)),
            );
        }
    }
    found.counts(&expect.tables, &result.sent);
    if let Some(quiet) = &expect.quiet {
        let was = result.sent.is_empty() && result.wiped.is_empty();
        if was != quiet.value {
            let word = |quiet: bool| {
                if quiet {
                    "a quiet cycle"
                } else {
                    "a cycle with rows or wipes"
                }
            };
            let received = format!(
                "{}: wiped {}, sent {}",
                word(was),
                listed(&result.wiped),
                rows(&result.sent)
            );
            found.add("cycle-quiet", quiet.at, word(quiet.value), received);
        }
    }
    match &expect.calls {
        None => {}
        Some(CallCounts::InAll(count)) => {
            let calls: u64 = result.calls.values().sum();
            if !count.holds(calls) {
                found.add(
                    "cycle-calls",
                    count.at,
                    format!("{} calls", count.value),
                    format!("{calls} calls"),
                );
            }
        }
        Some(CallCounts::Each(each)) => {
            for (operation, count) in each {
                let calls = result.calls.get(&operation.value).copied().unwrap_or(0);
                if !count.holds(calls) {
                    found.add(
                        "cycle-calls",
                        operation.at,
                        format!("{count} {} calls", operation.value),
                        format!("{calls}"),
                    );
                }
            }
        }
    }
    for event in &expect.events {
        if event.log == LogSide::Server && !result.server_log {
            continue;
        }
        let holds = |(log, kind, text): &&(LogSide, EventKind, String)| {
            *log == event.log
                && *kind == event.kind
                && event
                    .text
                    .as_ref()
                    .is_none_or(|pattern| result.foreign_words || pattern.matches(text))
        };
        if !result.events.iter().any(|e| holds(&e)) {
            let text = event
                .text
                .as_ref()
                .map(|t| format!(" with `{t}`"))
                .unwrap_or_default();
            let seen: Vec<String> = result
                .events
                .iter()
                .map(|(log, kind, text)| format!("{} {}: {text}", log_name(*log), kind_name(*kind)))
                .collect();
            found.add(
                "event-missing",
                event.at,
                format!(
                    "an event of the {}: {}{text}",
                    log_name(event.log),
                    kind_name(event.kind)
                ),
                if seen.is_empty() {
                    "no event".into()
                } else {
                    seen.join("; ")
                },
            );
        }
    }
    found.0
}

/// The expected words that a cycle's error was not compared with, because they would be an endpoint's own.
pub fn words_not_compared(expect: &MirrorExpect, result: &CycleResult) -> Vec<String> {
    let text = result.error.as_deref().unwrap_or_default();
    let patterns = expect.error.iter().map(|e| (e.at, &e.value));
    let events = expect.events.iter().filter(|e| e.log == LogSide::Task);
    patterns
        .chain(events.filter_map(|e| e.text.as_ref().map(|t| (e.at, t))))
        .filter(|(_, pattern)| result.foreign_words && !pattern.matches(text))
        .map(|(at, pattern)| format!("line {}, `{pattern}`: the endpoint said: {text}", at.line))
        .collect()
}

/// Checks the cycles that ran while the clock moved on. `starts` are minutes since midnight, local time.
pub fn run_due(expect: &RunDueExpect, cycles: &[CycleResult], starts: &[u16]) -> Vec<Mismatch> {
    let mut found = Mismatches::default();
    for result in cycles {
        if !found.outcome(expect.at, expect.outcome, result)
            && let Some(mismatch) = found.0.last_mut()
        {
            mismatch.message.clone_from(&result.message);
        }
    }
    if let Some(count) = &expect.cycles
        && !count.holds(cycles.len() as u64)
    {
        found.add(
            "due-cycles",
            count.at,
            format!("{} cycles", count.value),
            format!("{} cycles", cycles.len()),
        );
    }
    if let Some(pause) = &expect.none_between {
        let inside = |minute: u16| {
            if pause.from <= pause.to {
                (pause.from..pause.to).contains(&minute)
            } else {
                minute >= pause.from || minute < pause.to
            }
        };
        let wrong: Vec<String> = starts.iter().filter(|m| inside(**m)).map(|m| clock(*m)).collect();
        if !wrong.is_empty() {
            found.add(
                "due-none-between",
                pause.at,
                format!("no cycle between {} and {}", clock(pause.from), clock(pause.to)),
                format!("cycles at {}", wrong.join(", ")),
            );
        }
    }
    if let Some(first) = &expect.first {
        let got = starts.first().copied();
        if got != Some(first.value) {
            let received = got.map_or("no cycle".into(), |m| format!("at {}", clock(m)));
            found.add(
                "due-first",
                first.at,
                format!("the first cycle at {}", clock(first.value)),
                received,
            );
        }
    }
    let mut sum: BTreeMap<String, Sent> = BTreeMap::new();
    for (table, sent) in cycles.iter().flat_map(|c| &c.sent) {
        let total = sum.entry(table.clone()).or_default();
        total.inserts += sent.inserts;
        total.updates += sent.updates;
        total.deletes += sent.deletes;
    }
    found.counts(&expect.tables, &sum);
    found.0
}

/// Checks a comparison. `None` expects no difference; `at` is then the step's own place.
pub fn comparison(expect: Option<&CompareExpect>, at: At, report: &Report) -> Vec<Mismatch> {
    let mut found = Mismatches::default();
    for table in &report.tables {
        match expect.and_then(|e| e.table(&table.name)) {
            None if table.findings_count() == 0 => {}
            None => found.add(
                "mirror-differs",
                expect.map_or(at, |e| e.at),
                format!("table {} is equal in source and mirror", table.name),
                format!(
                    "{}:\n{}",
                    match table.findings_count() {
                        1 => "1 difference".to_owned(),
                        n => format!("{n} differences"),
                    },
                    first_lines(report, &table.name)
                ),
            ),
            Some(wanted) => found.difference(wanted, report, table),
        }
    }
    for wanted in expect.iter().flat_map(|e| &e.tables) {
        if !report.tables.iter().any(|t| same_name(&t.name, &wanted.table)) {
            found.add(
                "compare-table",
                wanted.table.at,
                format!("table {} compared", wanted.table),
                "it is on neither side",
            );
        }
    }
    found.0
}

/// Checks the LSNs that an endpoint keeps, or what came instead of them. `at` is the step's own place.
pub fn lsns(at: At, asked: Result<Option<Vec<WrongLsn>>, String>) -> Vec<Mismatch> {
    let mut found = Mismatches::default();
    match asked {
        Err(why) => found.add("mirror-lsn", at, "the endpoint answers which LSNs it keeps", why),
        Ok(wrong) => {
            for WrongLsn {
                table,
                expected,
                received,
            } in wrong.into_iter().flatten()
            {
                found.add(
                    "mirror-lsn",
                    at,
                    format!("{table}: LSN {expected}, which the endpoint has answered for"),
                    format!("{table}: LSN {received}"),
                );
            }
        }
    }
    found.0
}

#[derive(Default)]
struct Mismatches(Vec<Mismatch>);

impl Mismatches {
    fn add(&mut self, check: &'static str, at: At, expected: impl Into<String>, received: impl Into<String>) {
        self.0.push(Mismatch {
            check,
            at,
            expected: expected.into(),
            received: received.into(),
            message: None,
        });
    }

    fn outcome(&mut self, at: At, expected: Outcome, result: &CycleResult) -> bool {
        if expected == result.outcome {
            return true;
        }
        let expected = match expected {
            Outcome::Ok => "the cycle succeeds",
            Outcome::Error => "the cycle ends with an error",
            Outcome::Declined => "the endpoint declines with doNotReplicate",
            Outcome::None => "no cycle: the tenant has not approved the application",
        };
        self.add("cycle-outcome", at, expected, result.ending());
        false
    }

    /// Where one table is named, the others must have no rows.
    fn counts(&mut self, expected: &[TableCounts], sent: &BTreeMap<String, Sent>) {
        let Some(first) = expected.first() else {
            return;
        };
        let show = |s: &Sent| {
            format!(
                "{} inserts, {} updates, {} deletes",
                s.inserts, s.updates, s.deletes
            )
        };
        for wanted in expected {
            let want = Sent {
                inserts: wanted.inserts,
                updates: wanted.updates,
                deletes: wanted.deletes,
            };
            let got = sent
                .iter()
                .find(|(table, _)| same_name(table, &wanted.table))
                .map_or(Sent::default(), |(_, sent)| *sent);
            if got != want {
                let name = &wanted.table;
                self.add(
                    "cycle-rows",
                    name.at,
                    format!("{name}: {}", show(&want)),
                    format!("{name}: {}", show(&got)),
                );
            }
        }
        for (table, got) in sent {
            if !expected.iter().any(|wanted| same_name(&wanted.table, table)) {
                self.add(
                    "cycle-rows",
                    first.table.at,
                    format!("{table}: no rows"),
                    format!("{table}: {}", show(got)),
                );
            }
        }
    }

    fn difference(&mut self, wanted: &TableDifference, report: &Report, table: &TableReport) {
        let name = &wanted.table;
        let has = |kind: Kind| table.findings.contains_key(&kind);
        let only_in = match (has(Kind::TableMissing), has(Kind::TableExtra)) {
            (true, _) => Some(Side::Source),
            (_, true) => Some(Side::Mirror),
            _ => None,
        };
        if only_in != wanted.only_in {
            let show = |side: Option<Side>| match side {
                None => "on both sides",
                Some(Side::Source) => "only in the source",
                Some(Side::Mirror) => "only in the mirror",
            };
            self.add(
                "compare-table",
                name.at,
                format!("table {name} {}", show(wanted.only_in)),
                format!("it is {}", show(only_in)),
            );
            return;
        }
        for (what, expected, kinds) in [
            ("columns that differ", &wanted.columns, COLUMN_KINDS),
            (
                "rows only in the source",
                &wanted.missing,
                &[Kind::RowMissing][..],
            ),
            ("rows only in the mirror", &wanted.extra, &[Kind::RowExtra][..]),
            ("rows that differ", &wanted.different, CELL_KINDS),
        ] {
            let got = subjects(report, &table.name, kinds);
            let holds = match expected {
                None => got.is_empty(),
                Some(Keys::Count(wanted)) => wanted.holds(got.len() as u64),
                Some(Keys::These(these)) => {
                    let mut these = these.clone();
                    these.sort();
                    these == got
                }
            };
            if !holds {
                let expected = match expected {
                    None => format!("{name}: no {what}"),
                    Some(Keys::Count(wanted)) => format!("{name}: {wanted} {what}"),
                    Some(Keys::These(these)) => format!("{name}: {what}: {}", listed(these)),
                };
                self.add(
                    "compare-difference",
                    name.at,
                    expected,
                    format!("{} of them: {}", got.len(), listed(&got)),
                );
            }
        }
        // What no expectation can speak of must not hide behind one.
        for (kind, count) in &table.findings {
            if !COLUMN_KINDS.contains(kind) && !CELL_KINDS.contains(kind) && !SPOKEN_OF.contains(kind) {
                self.add(
                    "compare-difference",
                    name.at,
                    format!("{name}: no {kind}"),
                    format!("{count}"),
                );
            }
        }
    }
}

const COLUMN_KINDS: &[Kind] = &[
    Kind::ColumnMissing,
    Kind::ColumnExtra,
    Kind::ColumnType,
    Kind::ColumnNull,
    Kind::ColumnDefault,
];
const CELL_KINDS: &[Kind] = &[Kind::Cell, Kind::CellUnreadable];
const SPOKEN_OF: &[Kind] = &[
    Kind::TableMissing,
    Kind::TableExtra,
    Kind::RowMissing,
    Kind::RowExtra,
];

/// The rows (by their keys) or columns (by their names) that findings of these kinds are about, each once, sorted.
fn subjects(report: &Report, table: &str, kinds: &[Kind]) -> Vec<String> {
    let subject = |finding: &Finding| match &finding.key {
        // `contact_id=17` is the row 17 to a scenario.
        Some(key) => key
            .split_once('=')
            .map_or(key.clone(), |(_, value)| value.to_owned()),
        None => finding.column.clone().unwrap_or_default(),
    };
    let mut subjects: Vec<String> = report
        .findings
        .iter()
        .filter(|f| f.table == table && kinds.contains(&f.kind))
        .map(subject)
        .collect();
    subjects.sort();
    subjects.dedup();
    subjects
}

fn first_lines(report: &Report, table: &str) -> String {
    const SHOWN: usize = 5;
    let lines: Vec<String> = report
        .findings
        .iter()
        .filter(|f| f.table == table)
        .take(SHOWN)
        .map(|f| format!("  {}", report.finding_text(f)))
        .collect();
    lines.join("\n")
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    const SHOWN: usize = 12;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn rows(sent: &BTreeMap<String, Sent>) -> String {
    let tables: Vec<String> = sent
        .iter()
        .map(|(table, s)| format!("{table} {}", s.inserts + s.updates + s.deletes))
        .collect();
    listed(&tables)
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn log_name(log: LogSide) -> &'static str {
    match log {
        LogSide::Task => "task",
        LogSide::Server => "server",
    }
}

fn kind_name(kind: EventKind) -> &'static str {
    EventKind::NAMED
        .iter()
        .find(|(_, k)| *k == kind)
        .map_or("", |(name, _)| name)
}
