//! Backups: the engine's own, tracking and its counter within; where there are none, the tables copied, tracking's with
//! them.

use mirrorlab_engines::mssql::backup::{self, copied, safe_name};
use mirrorlab_engines::mssql::quote;
use mirrorlab_protocol::names::same_name;

use super::{Means, MssqlSource, Trouble, connect, shape, tracking};
use crate::source::SourceError;

impl MssqlSource {
    pub(super) fn back_up(&mut self, name: &str, doing: &str) -> Result<(), SourceError> {
        let means = Means::of(&self.capabilities);
        if let Some(why) = means.no_backup() {
            return Err(self.error(doing, Trouble::Said(why.into())));
        }
        let name = safe_name(name).map_err(|why| self.error(doing, why.into()))?;
        if means.own_backup {
            let done = backup::back_up(&mut self.connection, &self.database, &name);
            return done.map_err(|error| self.error(doing, error.into()));
        }
        self.write(doing, |source| {
            Ok(backup::copy_out(&mut source.connection, &backup::schema(&name))?)
        })
    }

    pub(super) fn bring_back(&mut self, name: &str, doing: &str) -> Result<(), SourceError> {
        let name = safe_name(name).map_err(|why| self.error(doing, why.into()))?;
        let done = match Means::of(&self.capabilities).own_backup {
            true => self.restored(&name).map_err(|trouble| self.error(doing, trouble)),
            false => {
                let schema = backup::schema(&name);
                self.write(doing, |source| source.copy_in(&schema))
            }
        };
        self.shapes.forget();
        done
    }

    fn restored(&mut self, name: &str) -> Result<(), Trouble> {
        let restored = backup::restore(&self.server, &self.database, name);
        // This connection was thrown out too.
        self.connection = connect(&self.server, &self.database)?;
        restored?;
        // A number that a reader has seen may come again with other tables.
        let newer = "UPDATE mirrorlab_ct_state SET shape = shape + 1000000";
        Ok(self.connection.batch(newer)?)
    }

    fn copy_in(&mut self, schema: &str) -> Result<(), Trouble> {
        let connection = &mut self.connection;
        let row = connection.row("SELECT s.shape FROM mirrorlab_ct_state s", &[])?;
        let number = row.and_then(|row| row.integer(0)).unwrap_or_default();
        let copies = backup::copies(connection, schema)?
            .ok_or_else(|| Trouble::Said("there is no backup of that name".into()))?;
        backup::drop_all(connection)?;
        connection.batch(tracking::TABLES)?;
        for table in tracking::TABLE_NAMES {
            connection.batch(&format!(
                "INSERT INTO {} SELECT * FROM {}",
                quote(table),
                copied(schema, table)
            ))?;
        }
        // Another number than any that a reader has seen.
        connection.batch(&format!(
            "UPDATE mirrorlab_ct_state SET shape = shape + 1 + {number}"
        ))?;
        let rows = connection.rows(
            "SELECT t.id, t.name FROM mirrorlab_ct_tables t ORDER BY t.id",
            &[],
        )?;
        let mut tables = shape::kept_tables(connection)?;
        tables.retain(|table| copies.iter().any(|name| same_name(name, &table.name)));
        for table in &tables {
            backup::copy_in(connection, schema, table)?;
        }
        for row in &rows {
            let (Some(id), Some(name)) = (row.integer(0), row.text(1)) else {
                continue;
            };
            let table = shape::find(&tables, name)?;
            let log = tracking::log(id);
            connection.batch(&tracking::make_log(table, id))?;
            connection.batch(&format!(
                "INSERT INTO {} SELECT * FROM {}",
                quote(&log),
                copied(schema, &log)
            ))?;
            for trigger in tracking::triggers(table, id) {
                connection.batch(&trigger)?;
            }
        }
        Ok(())
    }
}
