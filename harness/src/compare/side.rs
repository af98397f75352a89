//! What a database must offer to be one side of a comparison.

use mirrorlab_engines::mssql::describe::UnreadableColumn;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::NotCompared;
use super::mssql::MssqlSide;

/// A side that could not be read. Displayed, it is for people.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {side}{}: {why}", .table.as_ref().map(|t| format!(", table {t}")).unwrap_or_default())]
pub struct SideError {
    /// The side's name, with its file or server.
    pub side: String,
    /// The table that was being read, where there is one.
    pub table: Option<String>,
    /// What was wrong.
    pub why: String,
}

/// A table as a side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideTable {
    /// Its name, as the database writes it.
    pub name: String,
    /// Its columns, those that can be read.
    pub readable: Table,
    /// Those that SQL Server could not have, or that no mirror could: they can be left out, not compared.
    pub unreadable: Vec<UnreadableColumn>,
    /// The names of its primary key's columns, in the key's order; empty where there is none.
    pub key: Vec<String>,
}

impl SideTable {
    /// Whether it has a column of this name, readable or not.
    pub fn has(&self, column: &str) -> bool {
        self.readable.position(column).is_some() || self.unreadable.iter().any(|c| same_name(&c.name, column))
    }

    /// The names of all its columns, the readable ones first.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let readable = self.readable.columns.iter().map(|c| c.name.as_str());
        readable.chain(self.unreadable.iter().map(|c| c.name.as_str()))
    }
}

/// A database as one side of a comparison. All that it answers should be one moment of the database.
pub trait Side {
    /// What reports call this side: `source`, `mirror`, a file's name.
    fn name(&self) -> &str;

    /// Every table that is to be compared, in any order.
    ///
    /// # Errors
    /// [`SideError`].
    fn tables(&mut self) -> Result<Vec<SideTable>, SideError>;

    /// What this kind of database cannot keep apart, and why: for the report.
    fn blind_spots(&self) -> Vec<NotCompared>;

    /// This side as a database of a SQL Server, where it is one: two of one server are compared inside it.
    fn on_server(&mut self) -> Option<&mut MssqlSide> {
        None
    }

    /// What is to be said of how its rows were read since the last time, where that is not as usual.
    fn take_remarks(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Streams the rows of `table` to `read`. The cursor's cells are `columns`, positions in the table's shape, of which
    /// the first `key_columns` are the key. Rows come in ascending key order: numbers and dates by value; text by
    /// code point; bytes byte by byte; GUIDs and exact numbers (`decimal`, `money`) by their text, by code point. The
    /// database's own collation must not count. The comparer checks the order, and says so where it is broken.
    ///
    /// # Errors
    /// [`SideError`], that of `read` too.
    fn rows(
        &mut self,
        table: &Table,
        columns: &[usize],
        key_columns: usize,
        read: &mut dyn FnMut(&mut dyn Cursor) -> Result<(), SideError>,
    ) -> Result<(), SideError>;
}

/// A cell that is no value of its column's type. The text says what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableCell(pub String);

/// The rows of one table, one at a time.
pub trait Cursor {
    /// Goes to the next row, at first to the first one; `false` behind the last.
    ///
    /// # Errors
    /// [`SideError`].
    fn advance(&mut self) -> Result<bool, SideError>;

    /// A cell of the present row, counted in the columns asked for. Text and bytes are borrowed where they can be.
    ///
    /// # Errors
    /// [`UnreadableCell`] where it is no value of the column's type.
    fn cell(&self, at: usize) -> Result<Value<'_>, UnreadableCell>;
}
