//! Steps that send calls written out, and look at what they leave.

use mirrorlab_protocol::names::same_name;

use super::super::tables;
use super::{OnlyOne, Read, Steps};
use crate::scenario::expect::TextPattern;
use crate::scenario::grammar;
use crate::scenario::mistake::Mistake;
use crate::scenario::model::StepKind;
use crate::scenario::place::Spanned;
use crate::scenario::sent::{MirrorRows, Sent, SentBatch, SentCall, SentColumn, SentExpect, SentRow};
use crate::scenario::yaml::{Data, Node};

impl Steps<'_> {
    pub(super) fn send(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::SEND)?;
        let tenant = self.tenant(&fields)?;
        let only = OnlyOne {
            none: ["this does not say what is sent", "no call"],
            several: "a step sends one call",
            step: "send",
        };
        let (key, node) = only.of(self.reader, &fields, &grammar::SENT_CALLS)?;
        let before = self.reader.mistakes.len();
        let call = match key {
            "TableSchema" => SentCall::Schema(self.schema_tables(tenant.as_ref(), node)),
            "Wipe" => SentCall::Wipe(match node.data {
                Data::Null => None,
                _ => Some(self.reader.text(node, "a table's name, or null for none")?),
            }),
            "RowData" => SentCall::Rows(self.batches(node)),
            _ => {
                if !matches!(node.data, Data::Null) {
                    self.reader
                        .wrong(node, "null: a call whose ChangedTables is empty");
                }
                SentCall::Completed
            }
        };
        let expect = match fields.get("expect") {
            Some(node) => self.sent_expect(node, &call),
            None => Some(SentExpect::default()),
        };
        if self.reader.mistakes.len() > before {
            return None;
        }
        Some((
            tenant,
            StepKind::Send(Sent {
                call,
                expect: expect?,
            }),
        ))
    }

    /// Items of a list that may be empty; one stands for a list of itself.
    fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.data {
            Data::List(list) => list,
            Data::Scalar { .. } => std::slice::from_ref(node),
            _ => {
                self.reader.wrong(node, what);
                &[]
            }
        }
    }

    fn schema_tables(&mut self, tenant: Option<&Spanned<String>>, node: &Node) -> Vec<Spanned<String>> {
        let mut names: Vec<Spanned<String>> = Vec::new();
        for node in self.list(node, "a table, or a list of tables") {
            let Some(name) = self.reader.text(node, "a table's name") else {
                continue;
            };
            // Its columns are the source's.
            if self.ledger.need_table(self.reader, tenant, &name).is_none() {
                continue;
            }
            if let Some(first) = names.iter().find(|n| same_name(n, &name)) {
                let text = format!("`{}` is named twice", name.value);
                let mistake = Mistake::new(name.at, text, "again").and(first.at, "the first time");
                self.reader.note(mistake);
                continue;
            }
            names.push(name);
        }
        names
    }

    fn batches(&mut self, node: &Node) -> Vec<SentBatch> {
        let Data::List(list) = &node.data else {
            self.reader.wrong(node, "a list of batches");
            return Vec::new();
        };
        list.iter().filter_map(|node| self.batch(node)).collect()
    }

    fn batch(&mut self, node: &Node) -> Option<SentBatch> {
        let fields = self.reader.fields(node, &grammar::BATCH)?;
        let table = match fields.get("table") {
            Some(node) => Some(self.reader.text(node, "a table's name")?),
            None => None,
        };
        let columns = match fields.get("columns") {
            Some(node) => {
                let mut columns = Vec::new();
                for node in self.list(node, "a list of columns") {
                    match &node.data {
                        Data::Map(_) => {
                            let written = tables::columns(self.reader, node).unwrap_or_default();
                            columns.extend(written.into_iter().map(SentColumn::Written));
                        }
                        _ => columns.extend(self.reader.text(node, "a column").map(SentColumn::Named)),
                    }
                }
                Some(columns)
            }
            None => None,
        };
        let lsn = match fields.get("lsn") {
            Some(node) => Some(self.lsn(node)?),
            None => None,
        };
        let rows = match fields.get("rows") {
            Some(Node {
                data: Data::List(list),
                ..
            }) => list.iter().filter_map(|node| self.sent_row(node)).collect(),
            Some(node) => {
                self.reader
                    .wrong(node, "a list of rows, each an operation and its cells");
                return None;
            }
            None => Vec::new(),
        };
        Some(SentBatch {
            table,
            columns,
            rows,
            lsn,
        })
    }

    fn sent_row(&mut self, node: &Node) -> Option<SentRow> {
        const WHAT: &str = "a row: a list of its operation and its cells, as in `[I, \"[I:1]\", Anna]`";
        let Data::List(list) = &node.data else {
            self.reader.wrong(node, WHAT);
            return None;
        };
        let mut texts = Vec::new();
        for node in list {
            match &node.data {
                Data::Null => texts.push(None),
                Data::Scalar { text, .. } => texts.push(Some(text.clone())),
                _ => {
                    self.reader
                        .wrong(node, "a cell as it stands on the wire, or null");
                    return None;
                }
            }
        }
        let mut texts = texts.into_iter();
        match texts.next() {
            Some(Some(operation)) => Some(SentRow {
                operation,
                cells: texts.collect(),
            }),
            _ => {
                self.reader.note(
                    Mistake::new(
                        node.at,
                        "this row does not say its operation",
                        "what comes first?",
                    )
                    .help("`I`, `U` or `D` comes first, or what is to stand there in its place"),
                );
                None
            }
        }
    }

    fn lsn(&mut self, node: &Node) -> Option<i64> {
        let found = match &node.data {
            Data::Scalar { text, plain: true } => text.parse().ok(),
            _ => None,
        };
        if found.is_none() {
            self.reader.wrong(node, "an LSN, a whole number");
        }
        found
    }

    fn sent_expect(&mut self, node: &Node, call: &SentCall) -> Option<SentExpect> {
        let fields = self.reader.fields(node, &grammar::SEND_EXPECT)?;
        let refused = match fields.get("refused") {
            Some(node) => {
                let text = self.reader.text(node, "a part of what the refusal says")?;
                Some(Spanned::new(TextPattern::new(&text.value), text.at))
            }
            None => None,
        };
        let lsns = match fields.get("lsns") {
            Some(node) => {
                let listed = self.reader.fields(node, &grammar::LSNS)?;
                let mut lsns = Vec::new();
                for (key, node) in &listed.others {
                    let name = Spanned::new(key.text.clone(), key.at);
                    lsns.extend(self.lsn(node).map(|lsn| (name, lsn)));
                }
                Some(Spanned::new(lsns, node.at))
            }
            None => None,
        };
        if let (Some(lsns), false) = (&lsns, matches!(call, SentCall::Schema(_)) && refused.is_none()) {
            self.reader.note(Mistake::new(
                lsns.at,
                "only a TableSchema that is done answers LSNs",
                "nobody answers these",
            ));
        }
        Some(SentExpect { refused, lsns })
    }

    pub(super) fn mirror_rows(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::MIRROR_ROWS)?;
        let tenant = self.tenant(&fields)?;
        let named = self.tables_named(tenant.as_ref(), &fields, body, "nothing is looked at");
        let mut all = Vec::new();
        for (name, known, node) in named {
            let Data::List(list) = &node.data else {
                self.reader
                    .wrong(node, "a list of rows, empty where there are none");
                continue;
            };
            all.push(MirrorRows {
                at: name.at,
                rows: tables::rows(self.reader, &known.table, list),
                table: known.table,
            });
        }
        Some((tenant, StepKind::MirrorRows(all)))
    }
}
