//! The table `<context>_mirroring` in a SQL Server mirror: a row per table, which a person may change at any time.

use mirrorlab_engines::mssql::ddl::{self, text_literal};
use mirrorlab_engines::mssql::{Row, quote};
use mirrorlab_protocol::message::LSN_INVALID;
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Table;

use super::{StoreError, StoredTable, metadata_table};
use crate::store::metadata::{read_schema, write_schema};

/// One tenant's metadata table: its name, plain and quoted, and the statements about it.
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

    /// An expression: 1 where the table is there.
    pub(super) fn is_there(&self) -> String {
        format!(
            "CASE WHEN OBJECT_ID({}, N'U') IS NULL THEN 0 ELSE 1 END",
            text_literal(&self.quoted)
        )
    }

    pub(super) fn make(&self) -> String {
        format!(
            "CREATE TABLE {} (tablename nvarchar(128) NOT NULL, schemahash nvarchar(64) NOT NULL, \
             LSN bigint NOT NULL CONSTRAINT {} DEFAULT ((-1)), tableschema nvarchar(max) NOT NULL, \
             filling bit NOT NULL CONSTRAINT {} DEFAULT ((0)), CONSTRAINT {} PRIMARY KEY (tablename))",
            self.quoted,
            quote(&ddl::default_name(&self.table, "LSN")),
            quote(&ddl::default_name(&self.table, "filling")),
            quote(&ddl::key_name(&self.table))
        )
    }

    pub(super) fn names(&self) -> String {
        format!("SELECT tablename FROM {}", self.quoted)
    }

    /// The same while other calls write LSNs, without waiting for them. They change no name: that takes the tenant.
    pub(super) fn names_at_once(&self) -> String {
        format!("{} WITH (NOLOCK)", self.names())
    }

    /// Two results: the rows, and the names of all tables that are there.
    pub(super) fn select_all(&self) -> String {
        format!(
            "SELECT tablename, schemahash, LSN, tableschema FROM {}; \
             SELECT t.name FROM sys.tables t WHERE t.schema_id = SCHEMA_ID()",
            self.quoted
        )
    }

    /// The row of table `@P1`, and whether the table is there. It looks at no other table's row, which another call may
    /// be writing at this moment.
    pub(super) fn select_one(&self) -> String {
        format!(
            "SELECT tablename, schemahash, LSN, tableschema, \
             CASE WHEN OBJECT_ID(QUOTENAME(tablename), N'U') IS NULL THEN 0 ELSE 1 END FROM {} WHERE tablename = @P1",
            self.quoted
        )
    }

    /// Lists a table, new or made anew, LSN -1.
    pub(super) fn put(&self, table: &Table, listed: Option<&str>) -> String {
        let delete = listed.map(|listed| format!("{}; ", self.delete(listed)));
        format!(
            "{}INSERT INTO {} (tablename, schemahash, LSN, tableschema, filling) VALUES ({}, {}, {LSN_INVALID}, {}, 1)",
            delete.unwrap_or_default(),
            self.quoted,
            text_literal(&table.name),
            text_literal(&table.hash()),
            text_literal(&write_schema(table))
        )
    }

    /// Stores the schema of a table that was changed in place.
    pub(super) fn put_schema(&self, table: &Table) -> String {
        format!(
            "UPDATE {} SET schemahash = {}, tableschema = {} WHERE tablename = {}",
            self.quoted,
            text_literal(&table.hash()),
            text_literal(&write_schema(table)),
            text_literal(&table.name)
        )
    }

    /// Stores `@P2` as the LSN that the rows of table `@P1` have reached. Where a person set it to -1 since the table was last
    /// made or wiped, it stays: what a cycle under way brings is not all that was asked for.
    pub(super) fn set_lsn(&self) -> String {
        format!(
            "UPDATE {} SET LSN = @P2, filling = 0 WHERE tablename = @P1 AND (filling = 1 OR LSN <> {LSN_INVALID})",
            self.quoted
        )
    }

    /// Has everything of a table sent again: asked for by a person, or (`filling`) because it is empty now.
    pub(super) fn invalidate(&self, listed: &str, filling: bool) -> String {
        format!(
            "UPDATE {} SET LSN = {LSN_INVALID}, filling = {} WHERE tablename = {}",
            self.quoted,
            u8::from(filling),
            text_literal(listed)
        )
    }

    pub(super) fn delete(&self, listed: &str) -> String {
        format!(
            "DELETE FROM {} WHERE tablename = {}",
            self.quoted,
            text_literal(listed)
        )
    }

    /// A row of [`Metadata::select_all`] or [`Metadata::select_one`]; `present` says whether its table, of that folded name,
    /// is there.
    pub(super) fn stored(
        &self,
        row: &Row,
        present: impl Fn(&str) -> bool,
        mirror: &str,
    ) -> Result<StoredTable, StoreError> {
        let text = |at: usize| row.text(at).unwrap_or_default().to_owned();
        let name = text(0);
        let mut table = read_schema(&text(3)).map_err(|why| StoreError::Engine {
            mirror: mirror.to_owned(),
            doing: format!("read the schema of table {name} in {}", self.table),
            why: format!("{why}; delete that row and drop the table, and it is made and sent anew"),
        })?;
        let present = present(&fold(&name));
        // The listed spelling is the one that statements find it by.
        table.name = name;
        Ok(StoredTable {
            table,
            hash: text(1),
            lsn: row.integer(2).unwrap_or(LSN_INVALID),
            present,
        })
    }
}
