//! A person's SQL: one transaction, tracked like any other, and kept from what would undo that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::{Trouble, check, shape, snapshot, tracking};
use crate::source::Flow;

/// What the guard and the run share.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// Whether the statements being prepared are the person's; ours go around them.
    active: Arc<AtomicBool>,
    /// Why one was not let through.
    denied: Arc<Mutex<Option<String>>>,
}

impl Guard {
    /// Sets the guard: transactions are ours, tracking's tables are written by their triggers alone, and other files
    /// stay other files.
    pub fn set(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let guard = self.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            match refusal(&context).filter(|_| guard.active.load(Ordering::Relaxed)) {
                None => Authorization::Allow,
                Some(why) => {
                    *guard.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    Authorization::Deny
                }
            }
        }))
    }

    /// Takes the guard away.
    pub fn lift(connection: &mut Connection) -> rusqlite::Result<()> {
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
    }

    fn run(&self, connection: &Connection, sql: &str) -> Result<(), Trouble> {
        self.active.store(true, Ordering::Relaxed);
        let done = connection.execute_batch(sql);
        self.active.store(false, Ordering::Relaxed);
        let why = self.denied.lock().unwrap_or_else(PoisonError::into_inner).take();
        done.map_err(|error| Trouble::Said(why.unwrap_or_else(|| error.to_string())))
    }
}

fn refusal(context: &AuthContext<'_>) -> Option<String> {
    let own = |table: &str| {
        (context.accessor.is_none() && tracking::is_own(table))
            .then(|| format!("`{table}` belongs to change tracking"))
    };
    match context.action {
        AuthAction::Transaction { .. } => {
            Some("BEGIN, COMMIT and ROLLBACK are not for a script: all of it is one transaction".into())
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Some("ATTACH and DETACH are not for a script".into())
        }
        AuthAction::Pragma {
            pragma_name,
            pragma_value: Some(_),
        } => Some(format!("PRAGMA {pragma_name} cannot be set by a script")),
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
        | AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. } => own(table_name),
        _ => None,
    }
}

/// Runs the statements and checks what they left.
pub(super) fn run(
    connection: &Connection,
    before: &[Table],
    sql: &str,
    guard: &Guard,
) -> Result<(), Trouble> {
    let (version, declared) = (tracking::version(connection)?, shape::number(connection)?);
    guard.run(connection, sql)?;
    if declared == shape::number(connection)? {
        return check_rows(connection, before, version);
    }
    tracking::follow_tables(connection)?;
    let mut tables = Vec::new();
    for (name, _) in shape::declarations(connection)? {
        tables.push(shape::describe(connection, &name)?);
    }
    for gone in before {
        if !tables.iter().any(|table| same_name(&table.name, &gone.name)) {
            shape::forget_defaults(connection, &gone.name)?;
        }
    }
    check_rows(connection, &tables, version)
}

/// SQLite takes any value in any column, SQL Server does not: what the statements left in tracked tables must fit.
fn check_rows(connection: &Connection, tables: &[Table], version: i64) -> Result<(), Trouble> {
    if !tracking::has_unsealed(connection)? {
        return Ok(());
    }
    for table in tables {
        let Some(known) = tracking::tracked(connection, &table.name)? else {
            continue;
        };
        snapshot::net_changes::<Trouble>(
            connection,
            table,
            known.id,
            (version, version + 1),
            |operation, values| {
                if *operation == RowOperation::Delete {
                    return Ok(Flow::Continue);
                }
                for (value, column) in values.iter().zip(&table.columns) {
                    check::fits(value, column).map_err(|why| {
                        Trouble::Said(format!(
                            "table `{}`, row with key {}, column `{}`: {why}",
                            table.name,
                            excerpt(&values[0].to_string()),
                            column.name
                        ))
                    })?;
                }
                Ok(Flow::Continue)
            },
        )?;
    }
    Ok(())
}
