//! TableSchema: tables are made, changed, made anew and dropped; the answer says how far each one is.

use std::collections::{HashMap, HashSet};

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::{LSN_INVALID, ResponseDetail, TableLsn, TableSchemaInfo};
use mirrorlab_protocol::names::{Operation, fold, same_name};
use mirrorlab_protocol::schema::{SchemaError, Table, check_distinct};

use super::{Call, Mirroring, Refusal, counted};
use crate::admin::{Announced, Announcement, TableChange};
use crate::events::EventKind;
use crate::schema_change::{Alteration, SchemaChange, compare};
use crate::store::metadata::metadata_table;
use crate::store::{MirrorTransaction, Scope, StoredTable};

/// From how many tables on a call that drops more than half of them is suspicious.
const GUARDED_TABLES_MIN: usize = 10;

impl Mirroring {
    pub(super) fn table_schema(
        &self,
        call: Call<'_>,
        sent: &[TableSchemaInfo<'_>],
    ) -> Result<ResponseDetail, Refusal> {
        let wanted = read_tables(call.context, sent)?;
        let mut transaction = self.begin(call, Scope::Tenant)?;
        let mut plan = Plan::make(transaction.as_mut(), &wanted)?;
        self.guard_drops(call, plan.kept, &plan.absent)?;
        if self.admin.announces(Announced::Tables) && plan.changes().next().is_some() {
            // Nobody is kept from the mirror while a partner is told.
            drop(transaction);
            let announcements: Vec<Announcement<'_>> = plan
                .changes()
                .map(|(table, change)| Announcement::Table { table, change })
                .collect();
            self.announce(call, "OnBeforeReplicateTable", &announcements)?;
            transaction = self.begin(call, Scope::Tenant)?;
            let again = Plan::make(transaction.as_mut(), &wanted)?;
            if !again.does_the_same(&plan) {
                return Err(Refusal::Request(
                    "the mirror was changed while the partner was told of its new schema; the next cycle does it"
                        .into(),
                ));
            }
            plan = again;
        }
        let absent = plan.absent;
        // Names that are freed may be wanted: drops come first.
        for table in &absent {
            transaction.drop_table(&table.table.name)?;
        }
        let mut done = Vec::with_capacity(wanted.len());
        for (step, table) in plan.steps.into_iter().zip(&wanted) {
            let (change, lsn) = bring(transaction.as_mut(), step, table)?;
            done.push((table.name.as_str(), change, lsn));
        }
        for (table, change, _) in &done {
            self.admin
                .on_before_replicate_table(
                    call.context,
                    table,
                    change,
                    call.client_state,
                    transaction.as_mut(),
                )
                .map_err(Refusal::admin("OnBeforeReplicateTable"))?;
        }
        transaction.commit()?;
        self.tell_changes(call, &done, &absent);
        Ok(ResponseDetail::TableSchema(
            done.into_iter()
                .map(|(table, _, lsn)| TableLsn {
                    lsn,
                    table: table.to_owned(),
                })
                .collect(),
        ))
    }

    /// Warns of a call that would drop more than half of ten or more tables, and refuses it where the partner wants so.
    fn guard_drops(&self, call: Call<'_>, kept: usize, absent: &[StoredTable]) -> Result<(), Refusal> {
        let all = kept + absent.len();
        if all < GUARDED_TABLES_MIN || absent.len() * 2 <= all {
            return Ok(());
        }
        let names: Vec<&str> = absent.iter().map(|t| t.table.name.as_str()).collect();
        let what = format!(
            "the call lists {kept} of the mirror's {all} tables, which drops {} with their rows",
            absent.len()
        );
        self.log(
            call,
            Operation::TableSchema,
            EventKind::Warning,
            what.clone(),
            names.join(", "),
        );
        if !self.options.drop_guard {
            return Ok(());
        }
        Err(Refusal::Request(format!(
            "{what}; drop_guard refuses that; if it is meant, run one cycle without drop_guard, or drop the tables \
             by hand and delete their rows from `{}`",
            metadata_table(call.context)
        )))
    }

    fn tell_changes(&self, call: Call<'_>, done: &[(&str, TableChange, i64)], absent: &[StoredTable]) {
        let mut details = Vec::new();
        let (mut created, mut altered, mut recreated) = (0, 0, 0);
        for (table, change, _) in done {
            match change {
                TableChange::Unchanged => {}
                TableChange::Created => {
                    created += 1;
                    details.push(format!("{table} made"));
                }
                TableChange::Altered {
                    added,
                    dropped,
                    changed,
                } => {
                    altered += 1;
                    let marked = |mark: &'static str, names: &[String]| {
                        names.iter().map(|n| format!(" {mark}{n}")).collect::<String>()
                    };
                    details.push(format!(
                        "{table} changed in place:{}{}{}",
                        marked("+", added),
                        marked("-", dropped),
                        marked("~", changed)
                    ));
                }
                TableChange::Recreated { reason } => {
                    recreated += 1;
                    details.push(format!("{table} made anew: {reason}"));
                }
            }
        }
        details.extend(absent.iter().map(|t| format!("{} dropped", t.table.name)));
        if details.is_empty() {
            return;
        }
        let message = format!(
            "the schema changed: {} made, {altered} changed in place, {recreated} made anew, {} dropped",
            counted(created, "table"),
            absent.len()
        );
        self.log(
            call,
            Operation::TableSchema,
            EventKind::Information,
            message,
            details.join("; "),
        );
    }
}

fn read_tables(context: &str, sent: &[TableSchemaInfo<'_>]) -> Result<Vec<Table>, Refusal> {
    if sent.is_empty() {
        return Err(Refusal::Request(
            "the call lists no tables, and an empty list drops nothing; list every mirrored table".into(),
        ));
    }
    let metadata = metadata_table(context);
    let mut wanted = Vec::with_capacity(sent.len());
    for (at, info) in sent.iter().enumerate() {
        let table = Table::from_wire(info).map_err(|error| {
            let place = match (&error, info.name.as_deref()) {
                // These do not name their table.
                (SchemaError::NoName(_), None | Some("")) => format!(" (number {} of the call)", at + 1),
                (SchemaError::BadName(_), Some(name)) => {
                    format!(" (table `{}`, number {} of the call)", excerpt(name), at + 1)
                }
                _ => String::new(),
            };
            Refusal::Request(format!("{error}{place}"))
        })?;
        if same_name(&table.name, &metadata) {
            return Err(Refusal::Request(format!(
                "`{metadata}` is the mirror's own table, and cannot be mirrored"
            )));
        }
        wanted.push(table);
    }
    check_distinct(&wanted).map_err(|error| Refusal::Request(error.to_string()))?;
    Ok(wanted)
}

/// What a call is going to do, before it does any of it.
struct Plan<'w> {
    /// How many of the stored tables are wanted still.
    kept: usize,
    /// Those that are not.
    absent: Vec<StoredTable>,
    /// What becomes of each wanted table, in their order.
    steps: Vec<Step<'w>>,
}

struct Step<'w> {
    name: &'w str,
    change: TableChange,
    /// The table as it is, where it is there.
    stored: Option<StoredTable>,
}

impl<'w> Plan<'w> {
    /// Looks at everything and changes nothing.
    fn make(transaction: &mut dyn MirrorTransaction, wanted: &'w [Table]) -> Result<Plan<'w>, Refusal> {
        let names: HashSet<String> = wanted.iter().map(|t| fold(&t.name)).collect();
        let (kept, absent): (Vec<_>, Vec<_>) = transaction
            .tables()?
            .into_iter()
            .partition(|t| names.contains(&fold(&t.table.name)));
        let count = kept.len();
        let mut kept: HashMap<String, StoredTable> =
            kept.into_iter().map(|t| (fold(&t.table.name), t)).collect();
        let mut steps = Vec::with_capacity(wanted.len());
        for table in wanted {
            let stored = kept.remove(&fold(&table.name)).filter(|t| t.present);
            steps.push(Step {
                name: &table.name,
                change: decide(transaction, stored.as_ref(), table)?,
                stored,
            });
        }
        Ok(Plan {
            kept: count,
            absent,
            steps,
        })
    }

    /// The tables that do not stay as they are.
    fn changes(&self) -> impl Iterator<Item = (&'w str, &TableChange)> {
        let changed = |step: &&Step<'_>| step.change != TableChange::Unchanged;
        self.steps
            .iter()
            .filter(changed)
            .map(|step| (step.name, &step.change))
    }

    fn does_the_same(&self, other: &Plan<'_>) -> bool {
        let names =
            |plan: &Plan<'_>| -> Vec<String> { plan.absent.iter().map(|t| t.table.name.clone()).collect() };
        self.changes().eq(other.changes()) && names(self) == names(other)
    }
}

/// What has to be done to a table.
fn decide(
    transaction: &mut dyn MirrorTransaction,
    stored: Option<&StoredTable>,
    wanted: &Table,
) -> Result<TableChange, Refusal> {
    let Some(stored) = stored else {
        return Ok(TableChange::Created);
    };
    Ok(match compare(&stored.table, &stored.hash, wanted) {
        SchemaChange::Keep => TableChange::Unchanged,
        SchemaChange::Recreate(reason) => TableChange::Recreated { reason },
        SchemaChange::Alter(alteration) => match hindrance(transaction, &stored.table, &alteration)? {
            Some(reason) => TableChange::Recreated { reason },
            None => TableChange::Altered {
                added: alteration.added,
                dropped: alteration.dropped,
                changed: alteration.changed,
            },
        },
    })
}

/// Brings one table into shape; what that took, and its LSN.
fn bring(
    transaction: &mut dyn MirrorTransaction,
    step: Step<'_>,
    wanted: &Table,
) -> Result<(TableChange, i64), Refusal> {
    let lsn = match (&step.change, &step.stored) {
        (TableChange::Unchanged, Some(stored)) => stored.lsn,
        (TableChange::Altered { .. }, Some(stored)) => {
            transaction.alter(&stored.table, wanted)?;
            stored.lsn
        }
        (_, stored) => {
            if let Some(stored) = stored {
                transaction.drop_table(&stored.table.name)?;
            }
            transaction.create(wanted)?;
            LSN_INVALID
        }
    };
    Ok((step.change, lsn))
}

/// Which rows stand in the way of a change in place.
fn hindrance(
    transaction: &mut dyn MirrorTransaction,
    table: &Table,
    alteration: &Alteration,
) -> Result<Option<String>, Refusal> {
    if let Some(column) = alteration.no_rows_for.first()
        && transaction.has_row(table, None)?
    {
        return Ok(Some(format!(
            "column `{column}` is new and NOT NULL without a fixed default, and the table has rows"
        )));
    }
    for at in &alteration.no_null_in {
        if transaction.has_row(table, Some(*at))? {
            return Ok(Some(format!(
                "column `{}` is NOT NULL now, and rows hold NULL there",
                table.columns[*at].name
            )));
        }
    }
    Ok(None)
}
