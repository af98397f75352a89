//! Steps that change the source or the mirror: rows, tables, columns, tracking.

use mirrorlab_protocol::names::{fold, same_name};

use super::super::expects::Expects;
use super::super::tables::{self, ROWS_MAX};
use super::{Read, Steps};
use crate::scenario::grammar;
use crate::scenario::mistake::Mistake;
use crate::scenario::model::{Alter, Change, StepKind, TableChange};
use crate::scenario::place::Spanned;
use crate::scenario::yaml::{Data, Key, Node};

impl Steps<'_> {
    pub(super) fn change(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::CHANGE)?;
        let tenant = self.tenant(&fields)?;
        let mut changes: Vec<TableChange> = Vec::new();
        for (key, node) in &fields.others {
            let table = Spanned::new(key.text.clone(), key.at);
            if self
                .ledger
                .need_table(self.reader, tenant.as_ref(), &table)
                .is_some()
            {
                changes.extend(self.table_change(tenant.as_ref(), table, node));
            }
        }
        if fields.others.is_empty() {
            self.reader.note(
                Mistake::new(body.at, "nothing is changed", "no table is named")
                    .help("for example `- change: {contact: {update: 20}}`"),
            );
        }
        let rows: u64 = changes.iter().map(TableChange::rows).sum();
        let transactions = match fields.get("transactions") {
            Some(node) => self
                .reader
                .number(node, "a number of transactions", 1, ROWS_MAX)?,
            None => 1,
        };
        if let Some(node) = fields.get("transactions")
            && transactions > rows
        {
            self.reader.note(
                Mistake::new(
                    node.at,
                    format!("{transactions} transactions cannot share {rows} changed rows"),
                    "too many",
                )
                .help("each transaction changes a row at least, or it would not count"),
            );
        }
        Some((
            tenant,
            StepKind::Change(Change {
                tables: changes,
                transactions,
            }),
        ))
    }

    fn table_change(
        &mut self,
        tenant: Option<&Spanned<String>>,
        table: Spanned<String>,
        node: &Node,
    ) -> Option<TableChange> {
        let fields = self.reader.fields(node, &grammar::CHANGES)?;
        let before = self.reader.mistakes.len();
        let mut number = |key: &str| match fields.get(key) {
            Some(node) => self
                .reader
                .number(node, "a number of rows, at least 1", 1, ROWS_MAX)
                .unwrap_or(0),
            None => 0,
        };
        let change = TableChange {
            insert: number("insert"),
            update: number("update"),
            delete: number("delete"),
            key_change: number("key_change"),
            insert_then_update: number("insert_then_update"),
            insert_then_delete: number("insert_then_delete"),
            delete_then_insert: number("delete_then_insert"),
            table,
        };
        if self.reader.mistakes.len() > before {
            return None;
        }
        if change.rows() == 0 {
            self.reader.note(Mistake::new(
                node.at,
                format!("nothing happens to `{}`", change.table),
                "no change is named",
            ));
            return None;
        }
        for state in self.ledger.of(tenant) {
            let Some(known) = state.tables.get_mut(&fold(&change.table)) else {
                continue;
            };
            let Some(rows) = &mut known.rows else { continue };
            if change.rows_needed() > *rows {
                self.reader.note(
                    Mistake::new(
                        node.at,
                        format!(
                            "{} rows of `{}` are to change, and it has {rows} at this step",
                            change.rows_needed(),
                            change.table
                        ),
                        "too many",
                    )
                    .help("no row meets two changes in one step"),
                );
                return None;
            }
            *rows = *rows + change.insert + change.insert_then_update - change.delete;
        }
        Some(change)
    }

    pub(super) fn rows(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::ROWS)?;
        let tenant = self.tenant(&fields)?;
        let named = self.tables_named(tenant.as_ref(), &fields, body, "nothing is changed");
        let mut all = Vec::new();
        for (name, known, node) in named {
            all.extend(tables::written_rows(self.reader, &known.table, name, node));
        }
        // How many rows a table has then depends on which keys were there.
        for state in self.ledger.of(tenant.as_ref()) {
            for written in &all {
                if let Some(known) = state.tables.get_mut(&fold(&written.table)) {
                    known.rows = None;
                }
            }
        }
        Some((tenant, StepKind::Rows(all)))
    }

    fn statements(&mut self, node: &Node) -> Vec<Spanned<String>> {
        let list = self
            .reader
            .one_or_list(node, "a SQL statement, or a list of them");
        list.iter()
            .filter_map(|node| self.reader.text(node, "a SQL statement"))
            .collect()
    }

    pub(super) fn sql(&mut self, body: &Node) -> Option<Read> {
        let (tenant, run) = match &body.data {
            Data::Map(_) => {
                let fields = self.reader.fields(body, &grammar::SQL)?;
                let tenant = self.tenant(&fields)?;
                let node = fields.need(self.reader, "run")?;
                (tenant, self.statements(node))
            }
            _ => (None, self.statements(body)),
        };
        for state in self.ledger.of(tenant.as_ref()) {
            for known in state.tables.values_mut() {
                known.rows = None;
            }
        }
        Some((tenant, StepKind::Sql(run)))
    }

    pub(super) fn mirror_sql(&mut self, body: &Node) -> Option<Read> {
        let Data::Map(_) = body.data else {
            let run = self.statements(body);
            return Some((None, StepKind::MirrorSql { run, expect: None }));
        };
        let fields = self.reader.fields(body, &grammar::MIRROR_SQL)?;
        let tenant = self.tenant(&fields)?;
        let node = fields.need(self.reader, "run")?;
        let run = self.statements(node);
        let expect = fields.get("expect").and_then(|node| {
            let mut expects = Expects {
                reader: &mut *self.reader,
                ledger: &mut *self.ledger,
                tenant: tenant.as_ref(),
            };
            expects.sql(node)
        });
        Some((tenant, StepKind::MirrorSql { run, expect }))
    }

    pub(super) fn table(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::NEW_TABLES)?;
        let tenant = self.tenant(&fields)?;
        let specs = tables::tables(self.reader, self.catalogue, &fields.others);
        if fields.others.is_empty() {
            self.reader
                .note(Mistake::new(body.at, "no table is made", "no table is named"));
        }
        for spec in &specs {
            let mut fresh = true;
            for state in self.ledger.of(tenant.as_ref()) {
                fresh &= state.add_table(&spec.table, spec.row_count());
            }
            if !fresh {
                let message = format!("there is a table `{}` already at this step", spec.table.name);
                self.reader
                    .note(Mistake::new(spec.at, message, "a second one").help("`drop` it first"));
            }
        }
        Some((tenant, StepKind::Table(specs)))
    }

    pub(super) fn alter(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::ALTER)?;
        let tenant = self.tenant(&fields)?;
        let mut alters = Vec::new();
        for (key, node) in &fields.others {
            let table = Spanned::new(key.text.clone(), key.at);
            let Some(known) = self.ledger.need_table(self.reader, tenant.as_ref(), &table) else {
                continue;
            };
            let Some((changes, after)) = tables::alter(self.reader, &known.table, node) else {
                continue;
            };
            for state in self.ledger.of(tenant.as_ref()) {
                if let Some(known) = state.tables.get_mut(&fold(&table)) {
                    known.table = after.clone();
                }
            }
            alters.push(Alter {
                table,
                changes,
                after,
            });
        }
        if fields.others.is_empty() {
            self.reader
                .note(Mistake::new(body.at, "nothing is altered", "no table is named"));
        }
        Some((tenant, StepKind::Alter(alters)))
    }

    pub(super) fn named_tables(&mut self, word: &Key, body: &Node) -> Option<Read> {
        let invalidate = word.text == "invalidate";
        let (tenant, nodes) = match &body.data {
            Data::Null => (None, &[] as &[Node]),
            Data::Map(_) => {
                let fields = self.reader.fields(body, &grammar::NAMED_TABLES)?;
                let tenant = self.tenant(&fields)?;
                let nodes = match fields.get("tables") {
                    None if invalidate => &[],
                    _ => {
                        let node = fields.need(self.reader, "tables")?;
                        self.reader_list(node)
                    }
                };
                (tenant, nodes)
            }
            _ => (None, self.reader_list(body)),
        };
        let mut names: Vec<Spanned<String>> = Vec::new();
        for node in nodes {
            let Some(name) = self.reader.text(node, "a table's name") else {
                continue;
            };
            if invalidate {
                self.ledger.check_ever(self.reader, tenant.as_ref(), &name);
            } else if self
                .ledger
                .need_table(self.reader, tenant.as_ref(), &name)
                .is_none()
            {
                continue;
            }
            if let Some(first) = names.iter().find(|n| same_name(n, &name)) {
                self.reader.note(
                    Mistake::new(name.at, format!("`{}` is named twice", name.value), "again")
                        .and(first.at, "the first time"),
                );
                continue;
            }
            names.push(name);
        }
        for state in self.ledger.of(tenant.as_ref()) {
            for name in &names {
                match word.text.as_str() {
                    "drop" => drop(state.tables.remove(&fold(name))),
                    "truncate" => {
                        if let Some(known) = state.tables.get_mut(&fold(name)) {
                            known.rows = Some(0);
                        }
                    }
                    _ => {}
                }
            }
        }
        let kind = match word.text.as_str() {
            "drop" => StepKind::Drop(names),
            "truncate" => StepKind::Truncate(names),
            _ => StepKind::Invalidate(names),
        };
        Some((tenant, kind))
    }

    fn reader_list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        self.reader.one_or_list(node, "a table, or a list of tables")
    }

    pub(super) fn tracking(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::TRACKING)?;
        let tenant = self.tenant(&fields)?;
        let mut tables = Vec::new();
        for (key, node) in &fields.others {
            let table = Spanned::new(key.text.clone(), key.at);
            let known = self.ledger.need_table(self.reader, tenant.as_ref(), &table);
            let on = self
                .reader
                .word(node, "a state of tracking", &[("on", true), ("off", false)]);
            if let (Some(_), Some(on)) = (known, on) {
                tables.push((table, on));
            }
        }
        if fields.others.is_empty() {
            self.reader.note(
                Mistake::new(body.at, "no table's tracking is switched", "no table is named")
                    .help("for example `- tracking: {contact: off}`"),
            );
        }
        Some((tenant, StepKind::Tracking(tables)))
    }
}
