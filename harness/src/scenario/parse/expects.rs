//! `expect` under a step.

use mirrorlab_protocol::names::Operation;

use super::ledger::Ledger;
use super::reader::{Fields, Reader};
use crate::scenario::expect::{
    CallCounts, CompareExpect, EventExpect, EventKind, Keys, LogSide, MirrorExpect, Outcome, PerTenant,
    RunDueExpect, Side, SqlExpect, TableCounts, TableDifference, TextPattern, Wiped,
};
use crate::scenario::grammar::{self, Shape};
use crate::scenario::mistake::Mistake;
use crate::scenario::place::Spanned;
use crate::scenario::yaml::{Data, Key, Node};

/// Reads what is expected: of which tenants, of which tables.
pub(super) struct Expects<'a> {
    pub reader: &'a mut Reader,
    pub ledger: &'a mut Ledger,
    /// The tenant of the step.
    pub tenant: Option<&'a Spanned<String>>,
}

/// What a table's own entries are read into.
type TableOf<T> = fn(&mut Expects<'_>, Spanned<String>, &Node) -> Option<T>;

impl Expects<'_> {
    /// An expectation for all, with others for single tenants inside it.
    fn per_tenant<T>(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        one: fn(&mut Expects<'_>, &Node, Fields<'_>) -> T,
    ) -> PerTenant<T> {
        let mut result = PerTenant::default();
        let Some(mut fields) = self.reader.fields(node, shape) else {
            return result;
        };
        let others = std::mem::take(&mut fields.others);
        let (tenants, tables): (Vec<_>, Vec<_>) = others.into_iter().partition(|(key, _)| {
            self.ledger.contexts().any(|c| c == key.text) || looks_like_tenant(&key.text)
        });
        let count = match &node.data {
            Data::Map(entries) => entries.len(),
            _ => 0,
        };
        for (key, node) in &tenants {
            let named = Spanned::new(key.text.clone(), key.at);
            if !self.ledger.check_tenant(self.reader, &named) {
                continue;
            }
            if let Some(step) = self.tenant.filter(|t| t.value != named.value) {
                self.reader.note(
                    Mistake::new(
                        named.at,
                        format!("the step is not about `{}`", named.value),
                        "another tenant",
                    )
                    .and(step.at, "the step's tenant"),
                );
                continue;
            }
            let Some(fields) = self.reader.fields(node, shape) else {
                continue;
            };
            let mut inner = Expects {
                reader: &mut *self.reader,
                ledger: &mut *self.ledger,
                tenant: Some(&named),
            };
            let expect = one(&mut inner, node, fields);
            result.tenants.push((named, expect));
        }
        fields.others = tables;
        if tenants.len() < count || count == 0 {
            result.all = Some(one(self, node, fields));
        }
        result
    }

    /// The tables named among an expectation's own words, and those under `tables`.
    fn tables<T>(&mut self, fields: &Fields<'_>, one: TableOf<T>) -> Vec<T> {
        let mut entries: Vec<(&Key, &Node)> = fields.others.clone();
        if let Some(list) = fields
            .get("tables")
            .and_then(|node| self.reader.fields(node, &grammar::TABLE_LIST))
        {
            entries.extend(list.others);
        }
        let mut tables = Vec::new();
        for (key, node) in entries {
            let name = Spanned::new(key.text.clone(), key.at);
            if only_in_mirror(node) || self.check_table(&name, fields) {
                tables.extend(one(self, name, node));
            }
        }
        tables
    }

    /// An unknown name may be a table or one of the expectation's words: the better guess is shown. `false` for a word.
    fn check_table(&mut self, name: &Spanned<String>, fields: &Fields<'_>) -> bool {
        let before = self.reader.mistakes.len();
        self.ledger.check_ever(self.reader, self.tenant, name);
        if self.reader.mistakes.len() > before
            && let Some(meant) = crate::scenario::mistake::closest(name, fields.shape_keys())
            && let Some(mistake) = self.reader.mistakes.last_mut()
        {
            mistake.message = format!("`{}` is neither a table nor something to expect", name.value);
            mistake.label = format!("did you mean `{meant}`?");
            return false;
        }
        true
    }

    fn named_table(&mut self, node: &Node) -> Option<Spanned<String>> {
        let name = self.reader.text(node, "a table's name")?;
        self.ledger.check_ever(self.reader, self.tenant, &name);
        Some(name)
    }

    /// `expect` under `mirror`.
    pub fn mirror(&mut self, node: &Node) -> PerTenant<MirrorExpect> {
        self.per_tenant(node, &grammar::MIRROR_EXPECT, |e, node, fields| {
            e.one_mirror(node, fields)
        })
    }

    fn one_mirror(&mut self, node: &Node, fields: Fields<'_>) -> MirrorExpect {
        let mut expect = MirrorExpect::ok(node.at);
        if let Some(node) = fields.get("error") {
            expect.error = self
                .reader
                .text(node, "part of the Error event's text")
                .map(pattern);
            expect.outcome = Outcome::Error;
        }
        if let Some(node) = fields.get("outcome") {
            let outcome = self.reader.word(node, "an outcome", &Outcome::NAMED);
            if expect.error.is_some() && outcome.is_some_and(|o| o != Outcome::Error) {
                self.reader.note(
                    Mistake::new(
                        node.at,
                        "only a cycle that fails has an Error event",
                        "this one does not fail",
                    )
                    .help("take out `outcome`, or `error`"),
                );
            }
            expect.outcome = outcome.unwrap_or(expect.outcome);
        }
        expect.wiped = fields.get("wiped").and_then(|node| self.wiped(node));
        expect.quiet = fields.get("quiet").and_then(|node| {
            Some(Spanned::new(
                self.reader.truth(node, "is nothing sent?")?,
                node.at,
            ))
        });
        expect.calls = fields.get("calls").and_then(|node| self.calls(node));
        if let Some(node) = fields.get("events") {
            expect.events = self.events(node);
        }
        expect.tables = self.tables(&fields, |e, table, node| e.counts(table, node));
        expect
    }

    fn wiped(&mut self, node: &Node) -> Option<Spanned<Wiped>> {
        let wiped = match &node.data {
            Data::Scalar { text, .. } if text == "all" => Wiped::All,
            Data::Scalar { text, .. } if text == "none" => Wiped::None,
            _ => {
                let list = self
                    .reader
                    .one_or_list(node, "`all`, `none`, or a list of tables");
                Wiped::Tables(list.iter().filter_map(|node| self.named_table(node)).collect())
            }
        };
        Some(Spanned::new(wiped, node.at))
    }

    fn calls(&mut self, node: &Node) -> Option<CallCounts> {
        let Data::Map(_) = node.data else {
            let what = "a number of calls in all, or a mapping from operation to number";
            return Some(CallCounts::InAll(Spanned::new(
                self.reader.count(node, what)?,
                node.at,
            )));
        };
        let fields = self.reader.fields(node, &grammar::CALLS)?;
        let mut each = Vec::new();
        for operation in Operation::ALL {
            if let Some(node) = fields.get(operation.name())
                && let Some(count) = self.reader.count(node, "a number of calls, or `at least` one")
            {
                each.push((Spanned::new(operation, node.at), count));
            }
        }
        Some(CallCounts::Each(each))
    }

    fn events(&mut self, node: &Node) -> Vec<EventExpect> {
        let Data::List(list) = &node.data else {
            self.reader.wrong(node, "a list of log entries");
            return Vec::new();
        };
        let mut events = Vec::new();
        for node in list {
            let Some(fields) = self.reader.fields(node, &grammar::EVENT) else {
                continue;
            };
            let logs = [("task", LogSide::Task), ("server", LogSide::Server)];
            let log = fields
                .get("log")
                .map_or(Some(LogSide::Task), |n| self.reader.word(n, "a log", &logs));
            let kind = fields
                .need(self.reader, "kind")
                .and_then(|n| self.reader.word(n, "a kind of log entry", &EventKind::NAMED));
            let text = fields
                .get("text")
                .and_then(|n| self.reader.text(n, "part of its text"));
            if let (Some(log), Some(kind)) = (log, kind) {
                let text = text.map(|t| TextPattern::new(&t));
                events.push(EventExpect {
                    at: node.at,
                    log,
                    kind,
                    text,
                });
            }
        }
        events
    }

    fn counts(&mut self, table: Spanned<String>, node: &Node) -> Option<TableCounts> {
        let fields = self.reader.fields(node, &grammar::COUNTS)?;
        let mut number = |key: &str| match fields.get(key) {
            Some(node) => self
                .reader
                .number(node, "a number of rows", 0, super::tables::ROWS_MAX),
            None => Some(0),
        };
        let (inserts, updates, deletes) = (number("inserts"), number("updates"), number("deletes"));
        Some(TableCounts {
            table,
            inserts: inserts?,
            updates: updates?,
            deletes: deletes?,
        })
    }

    /// `expect` under `compare`.
    pub fn compare(&mut self, node: &Node) -> PerTenant<CompareExpect> {
        self.per_tenant(node, &grammar::COMPARE_EXPECT, |e, node, fields| {
            e.one_compare(node, fields)
        })
    }

    fn one_compare(&mut self, node: &Node, fields: Fields<'_>) -> CompareExpect {
        let tables = self.tables(&fields, |e, table, node| e.difference(table, node));
        if let Some(none) = fields.get("differences") {
            self.reader
                .word(none, "what `differences` may be", &[("none", ())]);
            if let Some(table) = tables.first() {
                self.reader.note(
                    Mistake::new(none.at, "there cannot be no difference and this one", "none")
                        .and(table.table.at, "and this one"),
                );
            }
        }
        CompareExpect { at: node.at, tables }
    }

    fn difference(&mut self, table: Spanned<String>, node: &Node) -> Option<TableDifference> {
        let fields = self.reader.fields(node, &grammar::DIFFERENCE)?;
        let sides = [("source", Side::Source), ("mirror", Side::Mirror)];
        let only_in = fields
            .get("only_in")
            .and_then(|n| self.reader.word(n, "a side", &sides));
        let mut keys = |key: &str| fields.get(key).and_then(|node| self.keys(node));
        let difference = TableDifference {
            table,
            columns: keys("columns"),
            missing: keys("missing"),
            extra: keys("extra"),
            different: keys("different"),
            only_in,
        };
        Some(difference)
    }

    fn keys(&mut self, node: &Node) -> Option<Keys> {
        let Data::List(list) = &node.data else {
            return self
                .reader
                .count(node, "how many, or a list of keys")
                .map(Keys::Count);
        };
        Some(Keys::These(
            list.iter()
                .filter_map(|n| Some(self.reader.text(n, "a key")?.value))
                .collect(),
        ))
    }

    /// `expect` under `run_due`.
    pub fn run_due(&mut self, node: &Node) -> PerTenant<RunDueExpect> {
        self.per_tenant(node, &grammar::RUN_DUE_EXPECT, |e, node, fields| {
            e.one_run_due(node, fields)
        })
    }

    fn one_run_due(&mut self, node: &Node, fields: Fields<'_>) -> RunDueExpect {
        let spanned = |count, node: &Node| Spanned::new(count, node.at);
        RunDueExpect {
            at: node.at,
            cycles: fields.get("cycles").and_then(|n| {
                Some(spanned(
                    self.reader.count(n, "a number of cycles, or `at least` one")?,
                    n,
                ))
            }),
            outcome: fields
                .get("outcome")
                .and_then(|n| self.reader.word(n, "an outcome", &Outcome::NAMED))
                .unwrap_or(Outcome::Ok),
            none_between: fields
                .get("none_between")
                .and_then(|n| Some(Spanned::new(self.reader.hours(n)?, n.at))),
            first: fields
                .get("first")
                .and_then(|n| Some(Spanned::new(self.reader.time_of_day(n)?, n.at))),
            tables: self.tables(&fields, |e, table, node| e.counts(table, node)),
        }
    }

    /// `expect` under `mirror_sql`.
    pub fn sql(&mut self, node: &Node) -> Option<SqlExpect> {
        let fields = self.reader.fields(node, &grammar::SQL_EXPECT)?;
        let node_rows = fields.need(self.reader, "rows")?;
        let Data::List(list) = &node_rows.data else {
            self.reader
                .wrong(node_rows, "a list of rows, each a list of values");
            return None;
        };
        let mut rows = Vec::new();
        for row in list {
            let Data::List(cells) = &row.data else {
                self.reader.wrong(row, "a row: a list of values");
                continue;
            };
            let mut out = Vec::new();
            for cell in cells {
                match &cell.data {
                    Data::Null => out.push(None),
                    Data::Scalar { text, .. } => out.push(Some(text.clone())),
                    _ => self.reader.wrong(cell, "a value"),
                }
            }
            rows.push(out);
        }
        Some(SqlExpect { at: node.at, rows })
    }
}

/// Whether a table is expected in the mirror alone: a partner's own is nowhere else in the file.
fn only_in_mirror(node: &Node) -> bool {
    let Data::Map(entries) = &node.data else {
        return false;
    };
    entries.iter().any(|(key, node)| {
        key.text == "only_in" && matches!(&node.data, Data::Scalar { text, .. } if text == "mirror")
    })
}

fn pattern(text: Spanned<String>) -> Spanned<TextPattern> {
    Spanned::new(TextPattern::new(&text.value), text.at)
}

/// Letters, then four digits or more: no table is named so.
pub(super) fn looks_like_tenant(name: &str) -> bool {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.len() - letters.len() >= 4 && !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphabetic())
}
