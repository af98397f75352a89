//! The table `<context>_mirroring` in a SQLite mirror: a row per table, which a person may change at any time.

use std::collections::HashSet;
use std::path::Path;

use mirrorlab_engines::sqlite::quote;
use mirrorlab_protocol::message::LSN_INVALID;
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_protocol::schema::Table;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreError, StoredTable, metadata_table, refused, shown};
use crate::store::metadata::{read_schema, write_schema};

/// One tenant's metadata table: its name, plain and quoted.
pub(super) struct Metadata {
    pub(super) table: String,
    quoted: String,
}

impl Metadata {
    pub(super) fn new(context: &str) -> Metadata {
        let table = metadata_table(context);
        let quoted = quote(&table);
        Metadata { table, quoted }
    }

    pub(super) fn is_there(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE)",
            )?
            .query_row([&self.table], |row| row.get(0))
    }

    pub(super) fn make(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {} (tablename TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, \
             schemahash TEXT NOT NULL, LSN INTEGER NOT NULL DEFAULT -1, tableschema TEXT NOT NULL, \
             filling INTEGER NOT NULL DEFAULT 0)",
            self.quoted
        ))
    }

    /// An error that says what is there instead, where this tenant's metadata is not.
    pub(super) fn require(&self, connection: &Connection, path: &Path) -> Result<(), StoreError> {
        let failed = |e| refused(path, &format!("look for {}", self.table), &e);
        if self.is_there(connection).map_err(failed)? {
            return Ok(());
        }
        let others: Vec<String> = connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%\\_mirroring' ESCAPE '\\' ORDER BY name LIMIT 5")
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .map_err(failed)?;
        Err(StoreError::NoMetadata {
            mirror: super::shown_whole(path),
            metadata: self.table.clone(),
            found: if others.is_empty() {
                "it is no mirror of this server's".into()
            } else {
                format!("it has {}", others.join(", "))
            },
        })
    }

    pub(super) fn names(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        connection
            .prepare_cached(&format!(
                "SELECT tablename FROM {} ORDER BY tablename COLLATE NOCASE",
                self.quoted
            ))?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    /// The spelling under which a table is listed.
    pub(super) fn listed(&self, connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
        let found = connection
            .prepare_cached(&format!(
                "SELECT tablename FROM {} WHERE tablename = ?1 COLLATE NOCASE",
                self.quoted
            ))?
            .query_row([table], |row| row.get(0))
            .optional()?;
        if found.is_some() || table.is_ascii() {
            return Ok(found);
        }
        // SQLite folds ASCII letters alone.
        Ok(self
            .names(connection)?
            .into_iter()
            .find(|name| same_name(name, table)))
    }

    pub(super) fn read_all(
        &self,
        connection: &Connection,
        path: &Path,
    ) -> Result<Vec<StoredTable>, StoreError> {
        let failed = |e| refused(path, &format!("read {}", self.table), &e);
        let present: HashSet<String> = connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
            .and_then(|mut s| {
                s.query_map([], |row| row.get::<_, String>(0))?
                    .map(|name| name.map(|n| fold(&n)))
                    .collect()
            })
            .map_err(failed)?;
        let rows: Vec<MetadataRow> = connection
            .prepare_cached(&format!("{} ORDER BY tablename COLLATE NOCASE", self.select()))
            .and_then(|mut s| s.query_map([], MetadataRow::read)?.collect())
            .map_err(failed)?;
        rows.into_iter()
            .map(|row| {
                let is_present = present.contains(&fold(&row.name));
                self.stored(row, is_present, path)
            })
            .collect()
    }

    pub(super) fn read_one(
        &self,
        connection: &Connection,
        path: &Path,
        table: &str,
    ) -> Result<Option<StoredTable>, StoreError> {
        let failed = |e| refused(path, &format!("read {}", self.table), &e);
        let Some(listed) = self.listed(connection, table).map_err(failed)? else {
            return Ok(None);
        };
        let row = connection
            .prepare_cached(&format!("{} WHERE tablename = ?1", self.select()))
            .and_then(|mut s| s.query_row([&listed], MetadataRow::read))
            .map_err(failed)?;
        let present = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE)",
            )
            .and_then(|mut s| s.query_row([&listed], |row| row.get(0)))
            .map_err(failed)?;
        self.stored(row, present, path).map(Some)
    }

    /// Lists a table, new or made anew, LSN -1.
    pub(super) fn put(&self, connection: &Connection, table: &Table) -> rusqlite::Result<()> {
        if let Some(listed) = self.listed(connection, &table.name)? {
            self.delete(connection, &listed)?;
        }
        connection
            .prepare_cached(&format!(
                "INSERT INTO {} (tablename, schemahash, LSN, tableschema, filling) VALUES (?1, ?2, ?3, ?4, 1)",
                self.quoted
            ))?
            .execute(params![
                table.name,
                table.hash(),
                LSN_INVALID,
                write_schema(table)
            ])?;
        Ok(())
    }

    /// Stores the schema of a table that was changed in place.
    pub(super) fn put_schema(&self, connection: &Connection, table: &Table) -> rusqlite::Result<()> {
        connection
            .prepare_cached(&format!(
                "UPDATE {} SET schemahash = ?2, tableschema = ?3 WHERE tablename = ?1",
                self.quoted
            ))?
            .execute(params![table.name, table.hash(), write_schema(table)])?;
        Ok(())
    }

    /// Stores the LSN that a table's rows have reached. Where a person set it to -1 since the table was last made or wiped,
    /// it stays: what a cycle under way brings is not all that was asked for.
    pub(super) fn set_lsn(&self, connection: &Connection, listed: &str, lsn: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached(&format!(
                "UPDATE {} SET LSN = ?2, filling = 0 WHERE tablename = ?1 AND (filling = 1 OR LSN <> ?3)",
                self.quoted
            ))?
            .execute(params![listed, lsn, LSN_INVALID])?;
        Ok(())
    }

    /// Has everything of a table sent again: asked for by a person, or (`filling`) because it is empty now.
    pub(super) fn invalidate(
        &self,
        connection: &Connection,
        listed: &str,
        filling: bool,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(&format!(
                "UPDATE {} SET LSN = ?2, filling = ?3 WHERE tablename = ?1",
                self.quoted
            ))?
            .execute(params![listed, LSN_INVALID, filling])?;
        Ok(())
    }

    pub(super) fn delete(&self, connection: &Connection, listed: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached(&format!("DELETE FROM {} WHERE tablename = ?1", self.quoted))?
            .execute([listed])?;
        Ok(())
    }

    fn select(&self) -> String {
        format!(
            "SELECT tablename, schemahash, LSN, tableschema FROM {}",
            self.quoted
        )
    }

    fn stored(&self, row: MetadataRow, present: bool, path: &Path) -> Result<StoredTable, StoreError> {
        let mut table = read_schema(&row.schema).map_err(|why| StoreError::Engine {
            mirror: shown(path),
            doing: format!("read the schema of table {} in {}", row.name, self.table),
            why: format!("{why}; delete that row and drop the table, and it is made and sent anew"),
        })?;
        // The listed spelling is the one that statements find it by.
        table.name = row.name;
        Ok(StoredTable {
            table,
            hash: row.hash,
            lsn: row.lsn,
            present,
        })
    }
}

struct MetadataRow {
    name: String,
    hash: String,
    lsn: i64,
    schema: String,
}

impl MetadataRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<MetadataRow> {
        Ok(MetadataRow {
            name: row.get(0)?,
            hash: row.get(1)?,
            // Whatever else a person wrote there stands for no version that rows could have.
            lsn: match row.get_ref(2)? {
                ValueRef::Integer(lsn) => lsn,
                _ => LSN_INVALID,
            },
            schema: row.get(3)?,
        })
    }
}
