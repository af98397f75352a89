//! What a step's result must hold.

use super::clock;
use super::doc::Doc;
use super::hours;
use crate::scenario::expect::{
    CallCounts, CompareExpect, EventExpect, EventKind, Keys, LogSide, MirrorExpect, Outcome, PerTenant,
    RunDueExpect, Side, SqlExpect, TableCounts, TableDifference, Wiped,
};
use crate::scenario::grammar;

/// Entries of an expectation, tables apart from its own words.
type Parts = Vec<(String, Doc)>;

/// `None` where nothing is expected beyond what a step expects by itself.
pub(super) fn per_tenant<T>(expect: &PerTenant<T>, one: fn(&T) -> Parts) -> Option<Doc> {
    let mut parts: Parts = expect.all.as_ref().map(one).unwrap_or_default();
    for (tenant, expect) in &expect.tenants {
        parts.push((tenant.value.clone(), Doc::Map(one(expect))));
    }
    (!parts.is_empty()).then_some(Doc::Map(parts))
}

fn own(key: &str, doc: Doc) -> (String, Doc) {
    (key.to_owned(), doc)
}

/// Tables by name, or under `tables` where a name is one of the expectation's own words.
fn tables(parts: &mut Parts, words: &[&str], entries: Parts) {
    let (clashing, clear): (Parts, Parts) = entries
        .into_iter()
        .partition(|(name, _)| words.contains(&name.as_str()));
    parts.extend(clear);
    if !clashing.is_empty() {
        parts.push(own("tables", Doc::Map(clashing)));
    }
}

fn counts(tables: &[TableCounts]) -> Parts {
    tables
        .iter()
        .map(|t| {
            let all = [
                ("inserts", t.inserts),
                ("updates", t.updates),
                ("deletes", t.deletes),
            ];
            let some = all.iter().filter(|(_, n)| *n > 0);
            (
                t.table.value.clone(),
                Doc::map(some.map(|(k, n)| (*k, Doc::plain(n))).collect()),
            )
        })
        .collect()
}

fn outcome(outcome: Outcome) -> Option<(String, Doc)> {
    (outcome != Outcome::Ok).then(|| own("outcome", Doc::plain(outcome)))
}

pub(super) fn mirror(expect: &MirrorExpect) -> Parts {
    let mut parts = Parts::new();
    match &expect.error {
        Some(error) => parts.push(own("error", Doc::text(&error.to_string()))),
        None => parts.extend(outcome(expect.outcome)),
    }
    if let Some(wiped) = &expect.wiped {
        let doc = match &wiped.value {
            Wiped::All => Doc::plain("all"),
            Wiped::None => Doc::plain("none"),
            Wiped::Tables(tables) => Doc::List(tables.iter().map(|t| Doc::text(t)).collect()),
        };
        parts.push(own("wiped", doc));
    }
    if let Some(quiet) = &expect.quiet {
        parts.push(own("quiet", Doc::plain(quiet.value)));
    }
    match &expect.calls {
        None => {}
        Some(CallCounts::InAll(count)) => parts.push(own("calls", Doc::plain(count.value))),
        Some(CallCounts::Each(each)) => {
            let each = each.iter().map(|(o, n)| (o.name(), Doc::plain(n))).collect();
            parts.push(own("calls", Doc::map(each)));
        }
    }
    if !expect.events.is_empty() {
        let events = expect.events.iter().map(event).collect();
        parts.push(own("events", Doc::List(events)));
    }
    tables(&mut parts, grammar::MIRROR_EXPECT.keys, counts(&expect.tables));
    // A tenant's expectation of nothing but success is still one.
    if parts.is_empty() {
        parts.push(own("outcome", Doc::plain(Outcome::Ok)));
    }
    parts
}

fn event(event: &EventExpect) -> Doc {
    let kind = EventKind::NAMED
        .iter()
        .find(|(_, k)| *k == event.kind)
        .map_or("", |(n, _)| n);
    let mut parts = Vec::new();
    if event.log == LogSide::Server {
        parts.push(("log", Doc::plain("server")));
    }
    parts.push(("kind", Doc::plain(kind)));
    if let Some(text) = &event.text {
        parts.push(("text", Doc::text(&text.to_string())));
    }
    Doc::map(parts)
}

pub(super) fn compare(expect: &CompareExpect) -> Parts {
    let mut parts = Parts::new();
    let entries = expect.tables.iter().map(difference).collect();
    tables(&mut parts, grammar::COMPARE_EXPECT.keys, entries);
    if parts.is_empty() {
        parts.push(own("differences", Doc::plain("none")));
    }
    parts
}

fn difference(difference: &TableDifference) -> (String, Doc) {
    let keys = |keys: &Keys| match keys {
        Keys::Count(count) => Doc::plain(count),
        Keys::These(these) => Doc::List(these.iter().map(|k| Doc::text(k)).collect()),
    };
    let mut parts = Vec::new();
    if let Some(side) = difference.only_in {
        let side = match side {
            Side::Source => "source",
            Side::Mirror => "mirror",
        };
        parts.push(("only_in", Doc::plain(side)));
    }
    for (key, value) in [
        ("columns", &difference.columns),
        ("missing", &difference.missing),
        ("extra", &difference.extra),
        ("different", &difference.different),
    ] {
        parts.extend(value.as_ref().map(|v| (key, keys(v))));
    }
    (difference.table.value.clone(), Doc::map(parts))
}

pub(super) fn run_due(expect: &RunDueExpect) -> Parts {
    let mut parts = Parts::new();
    if let Some(cycles) = &expect.cycles {
        parts.push(own("cycles", Doc::plain(cycles.value)));
    }
    parts.extend(outcome(expect.outcome));
    if let Some(pause) = &expect.none_between {
        parts.push(own("none_between", hours(pause)));
    }
    if let Some(first) = &expect.first {
        parts.push(own("first", Doc::text(&clock(first.value))));
    }
    tables(&mut parts, grammar::RUN_DUE_EXPECT.keys, counts(&expect.tables));
    if parts.is_empty() {
        parts.push(own("outcome", Doc::plain(Outcome::Ok)));
    }
    parts
}

pub(super) fn sql(expect: &SqlExpect) -> Doc {
    let cell = |cell: &Option<String>| cell.as_deref().map_or(Doc::Null, Doc::text);
    let rows = expect
        .rows
        .iter()
        .map(|r| Doc::List(r.iter().map(cell).collect()));
    Doc::map(vec![("rows", Doc::List(rows.collect()))])
}
