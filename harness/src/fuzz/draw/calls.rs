//! Calls written out, below the level of the source: any order of operations, any split into calls and batches, repeated
//! calls, batches of several tables, empty ones, unknown tables, wrong numbers of cells, cells that the type cannot hold.

use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;
use mirrorlab_simulator::draw::pick;

use super::Drawer;
use super::shape;
use super::steps::ask;
use crate::fuzz::foresee::{ASK_LSNS, bare};
use crate::fuzz::rules::cells;
use crate::scenario::model::StepKind;
use crate::scenario::place::{At, Spanned};
use crate::scenario::sent::{MirrorRows, Sent, SentBatch, SentCall, SentColumn, SentExpect, SentRow};

/// A table that nobody has.
const NOWHERE: &str = "y_nowhere";
/// Cells of a D beside its key.
const FILLINGS: [Option<&str>; 3] = [None, Some(""), Some("rubbish")];

impl Drawer {
    /// A call, and a look at what it left. Only of a server of our own is it known what it makes of every such call.
    pub(super) fn send(&mut self, tenant: &str) {
        if self.world.is_some() {
            return;
        }
        for _ in 0..1 + pick::below(&mut self.rng, 2) {
            let call = match self.earlier_call(tenant) {
                Some(call) if self.chance(120) => call,
                _ => self.call(tenant),
            };
            let sent = Sent {
                call,
                expect: SentExpect::default(),
            };
            if self.push(Some(tenant), StepKind::Send(sent.clone())) {
                self.look_behind(tenant, &sent.call);
            }
        }
    }

    /// One that came before, to come once more.
    fn earlier_call(&mut self, tenant: &str) -> Option<SentCall> {
        let several = self.view.tenants.len() > 1;
        let calls: Vec<SentCall> = self
            .foreseen
            .iter()
            .filter(|f| !several || f.step.tenant.as_ref().is_some_and(|t| t.value == tenant))
            .filter_map(|f| match &f.step.kind {
                StepKind::Send(sent) => Some(sent.call.clone()),
                _ => None,
            })
            .collect();
        (!calls.is_empty()).then(|| pick::one(&mut self.rng, &calls).clone())
    }

    /// Rows of the tables that a call speaks of, or of all, and LSNs.
    fn look_behind(&mut self, tenant: &str, call: &SentCall) {
        if self.chance(850) {
            let named: Vec<String> = match call {
                SentCall::Rows(batches) if self.chance(700) => batches
                    .iter()
                    .filter_map(|batch| Some(batch.table.as_ref()?.to_lowercase()))
                    .collect(),
                SentCall::Wipe(Some(name)) if self.chance(700) => vec![name.to_lowercase()],
                _ => self.of(tenant).mirror.tables.keys().cloned().collect(),
            };
            let mut looked: Vec<MirrorRows> = Vec::new();
            for name in named {
                let known = self.of(tenant).mirror.tables.get(&name);
                if let Some(known) = known.filter(|_| !looked.iter().any(|l| l.table.name == name)) {
                    let mut table = known.shape.clone();
                    table.name = name;
                    looked.push(MirrorRows {
                        at: At::default(),
                        table,
                        rows: Vec::new(),
                    });
                }
            }
            self.push(Some(tenant), StepKind::MirrorRows(looked));
        }
        if self.chance(400) {
            self.push(Some(tenant), ask(ASK_LSNS));
        }
    }

    fn call(&mut self, tenant: &str) -> SentCall {
        match pick::below(&mut self.rng, 100) {
            0..=9 => SentCall::Schema(self.called_tables(tenant)),
            10..=18 => SentCall::Wipe(match pick::below(&mut self.rng, 10) {
                0 => None,
                1 => Some(bare(NOWHERE.to_owned())),
                2 => self.of(tenant).mirror.own.first().cloned().map(bare),
                _ => self.mirror_table_of(tenant).map(bare),
            }),
            19..=21 => SentCall::Completed,
            _ => {
                let count = match pick::below(&mut self.rng, 20) {
                    0 => 0,
                    1..=11 => 1,
                    12..=17 => 2,
                    _ => 3,
                };
                SentCall::Rows((0..count).map(|_| self.batch(tenant)).collect())
            }
        }
    }

    /// All tables that the source has, or some, or none.
    fn called_tables(&mut self, tenant: &str) -> Vec<Spanned<String>> {
        let mut names: Vec<Spanned<String>> = self
            .of(tenant)
            .source
            .tables
            .values()
            .map(|t| bare(t.shape.name.clone()))
            .collect();
        match pick::below(&mut self.rng, 20) {
            0 => names.clear(),
            1..=7 => {
                let keep = pick::below(&mut self.rng, 1000);
                names.retain(|_| pick::chance(&mut self.rng, u32::try_from(keep).unwrap_or(0)));
            }
            _ => {}
        }
        names
    }

    fn batch(&mut self, tenant: &str) -> SentBatch {
        let lsns = [
            None,
            None,
            Some(-1),
            Some(0),
            Some(1),
            Some(self.of(tenant).source.version),
            Some(self.of(tenant).source.version + 3),
            Some(1_506_269),
            Some(i64::MAX),
        ];
        let lsn = *pick::one(&mut self.rng, &lsns);
        let table = match self.chance(900) {
            true => self.mirror_table_of(tenant),
            false => self.table_of(tenant).map(|t| t.name),
        };
        let name = table.unwrap_or_else(|| NOWHERE.to_owned());
        let shape = self.shape_of(tenant, &name);
        let name = match pick::below(&mut self.rng, 40) {
            0 => None,
            1 => Some(NOWHERE.to_owned()),
            2..=6 => Some(name.to_uppercase()),
            _ => Some(name),
        };
        let Some((stored, known)) = shape else {
            return SentBatch {
                table: name.map(bare),
                columns: None,
                rows: Vec::new(),
                lsn,
            };
        };
        let is_there = name.as_ref().is_some_and(|name| name != NOWHERE);
        let (columns, order) = self.columns(&stored, known.as_ref().filter(|_| is_there));
        let count = pick::below(&mut self.rng, 6);
        let rows = (0..count)
            .map(|_| self.sent_row(tenant, &stored, &order))
            .collect();
        SentBatch {
            table: name.map(bare),
            columns,
            rows,
            lsn,
        }
    }

    /// A table as the mirror has it, or the source; and as the source has it.
    fn shape_of(&self, tenant: &str, name: &str) -> Option<(Table, Option<Table>)> {
        let view = self.of(tenant);
        let folded = name.to_lowercase();
        let known = view.source.tables.get(&folded).map(|t| t.shape.clone());
        let stored = view.mirror.tables.get(&folded).map(|t| t.shape.clone());
        Some((stored.or_else(|| known.clone())?, known))
    }

    /// What TableInfo says of the columns, and the order of a row's cells.
    fn columns(&mut self, stored: &Table, known: Option<&Table>) -> (Option<Vec<SentColumn>>, Vec<Column>) {
        let Some(known) = known else {
            return (None, stored.columns.clone());
        };
        let mut order = known.columns.clone();
        let named = |columns: &[Column]| -> Vec<SentColumn> {
            columns
                .iter()
                .map(|c| SentColumn::Named(bare(c.name.clone())))
                .collect()
        };
        match pick::below(&mut self.rng, 40) {
            0..=5 => {
                pick::shuffle(&mut self.rng, &mut order);
                (Some(named(&order)), order)
            }
            6..=8 => (Some(Vec::new()), stored.columns.clone()),
            9 => {
                order.remove(pick::index(&mut self.rng, order.len()));
                (Some(named(&order)), order)
            }
            10 => {
                let twice = pick::one(&mut self.rng, &order).clone();
                order.push(twice);
                (Some(named(&order)), order)
            }
            11 => {
                let at = pick::index(&mut self.rng, order.len());
                let mut columns = named(&order);
                let ty = match order[at].ty {
                    ColumnType::Date => ColumnType::Int,
                    _ => ColumnType::Date,
                };
                columns[at] = SentColumn::Written(bare(Column {
                    ty,
                    default: None,
                    ..order[at].clone()
                }));
                (Some(columns), order)
            }
            _ => (None, order),
        }
    }

    fn sent_row(&mut self, tenant: &str, stored: &Table, order: &[Column]) -> SentRow {
        let key = self.called_key(tenant, stored);
        let key_name = stored.columns[0].name.to_lowercase();
        let is_key = |column: &Column| column.name.to_lowercase() == key_name;
        let operation = match pick::below(&mut self.rng, 60) {
            0..=19 => "I",
            20..=37 => "U",
            38..=54 => "D",
            55 => " U ",
            56 => "i",
            57 => "d",
            58 => "X",
            _ => "",
        };
        let key_text = match self.chance(700) {
            true => format!("[I:{key}]"),
            false => key.to_string(),
        };
        let mut cells: Vec<Option<String>> = if operation.eq_ignore_ascii_case("D") && self.chance(600) {
            let filling = *pick::one(&mut self.rng, &FILLINGS);
            match self.chance(400) {
                true => vec![Some(key_text)],
                false => order
                    .iter()
                    .map(|column| match is_key(column) {
                        true => Some(key_text.clone()),
                        false => filling.map(str::to_owned),
                    })
                    .collect(),
            }
        } else {
            let drawn = Table {
                name: stored.name.clone(),
                columns: std::iter::once(stored.columns[0].clone())
                    .chain(order.iter().filter(|c| !is_key(c)).cloned())
                    .collect(),
            };
            let mut values = shape::row(&mut self.rng, &drawn, self.flavour, key)
                .into_iter()
                .skip(1);
            order
                .iter()
                .map(|column| match is_key(column) {
                    true => Some(key_text.clone()),
                    false => self.cell(&values.next().unwrap_or(Value::Null), column),
                })
                .collect()
        };
        // Wrong in one thing.
        match pick::below(&mut self.rng, 40) {
            0 | 1 if cells.len() == order.len() => {
                let at = pick::index(&mut self.rng, cells.len());
                self.spoil(&mut cells[at], &order[at]);
            }
            2 => cells.truncate(pick::index(&mut self.rng, cells.len().max(1))),
            3 => cells.push(Some("1".into())),
            _ => {}
        }
        SentRow {
            operation: operation.to_owned(),
            cells,
        }
    }

    /// Of a row that is there, or of one that is not.
    fn called_key(&mut self, tenant: &str, stored: &Table) -> i64 {
        let mirrored = self.of(tenant).mirror.tables.get(&stored.name.to_lowercase());
        let there: Vec<i64> = mirrored.iter().flat_map(|t| t.rows.keys().copied()).collect();
        match there.is_empty() || self.chance(400) {
            true => 1 + i64::try_from(pick::below(&mut self.rng, 9)).unwrap_or(0),
            false => *pick::one(&mut self.rng, &there),
        }
    }

    /// A value as SuperOffice writes it, or in its bare form.
    fn cell(&mut self, value: &Value<'static>, column: &Column) -> Option<String> {
        if value.is_null() {
            // Empty is NULL in what is no text.
            let empty = !column.ty.is_text() && self.chance(300);
            return empty.then(String::new);
        }
        let mut out = Vec::new();
        value.write_cell(column.ty, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        let has_bare_form = matches!(
            value,
            Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Binary(_)
        );
        if !has_bare_form || self.chance(700) {
            return Some(text);
        }
        let inner = text
            .split_once(':')
            .and_then(|(_, inner)| inner.strip_suffix(']'));
        Some(match inner {
            Some(inner) if !inner.is_empty() => inner.to_owned(),
            _ => text,
        })
    }

    /// What the column cannot hold, where there is such a thing.
    fn spoil(&mut self, cell: &mut Option<String>, column: &Column) {
        let wrong = cells::wrong(column.ty);
        if let ColumnType::NVarChar(Length::Limit(most)) = column.ty {
            *cell = Some("x".repeat(usize::from(most) + 1));
        } else if !column.nullable && (wrong.is_empty() || self.chance(300)) {
            *cell = None;
        } else if !wrong.is_empty() {
            *cell = Some((*pick::one(&mut self.rng, wrong)).to_owned());
        }
    }
}
