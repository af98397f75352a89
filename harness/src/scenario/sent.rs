//! Calls written out, below the level of any source: what a `send` step sends, whether a sender of ours ever would or not.

use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::value::Value;

use super::expect::TextPattern;
use super::place::{At, Spanned};

/// One call, and what it must come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The call.
    pub call: SentCall,
    /// What it is answered.
    pub expect: SentExpect,
}

/// A call as the file writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum SentCall {
    /// These tables, each with the columns that the source gives it then.
    Schema(Vec<Spanned<String>>),
    /// One table, or no TableName.
    Wipe(Option<Spanned<String>>),
    /// Batches, as many as there are.
    Rows(Vec<SentBatch>),
    /// An empty ChangedTables.
    Completed,
}

impl SentCall {
    /// Which operation it is of.
    pub fn operation(&self) -> Operation {
        match self {
            SentCall::Schema(_) => Operation::TableSchema,
            SentCall::Wipe(_) => Operation::Wipe,
            SentCall::Rows(_) => Operation::RowData,
            SentCall::Completed => Operation::ReplicationCompleted,
        }
    }
}

/// One batch of a RowData call.
#[derive(Debug, Clone, PartialEq)]
pub struct SentBatch {
    /// Its table; `None`: it has no TableInfo.
    pub table: Option<Spanned<String>>,
    /// The columns of its TableInfo; `None`: those that the source gives the table then.
    pub columns: Option<Vec<SentColumn>>,
    /// In the order sent.
    pub rows: Vec<SentRow>,
    /// Its LSN; `None`: it has none.
    pub lsn: Option<i64>,
}

/// A column of a TableInfo.
#[derive(Debug, Clone, PartialEq)]
pub enum SentColumn {
    /// As the source has the column of that name.
    Named(Spanned<String>),
    /// As it stands here.
    Written(Spanned<Column>),
}

impl SentColumn {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            SentColumn::Named(name) => name,
            SentColumn::Written(column) => &column.name,
        }
    }
}

/// A row as it stands on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct SentRow {
    /// `I`, `U`, `D`, or anything else.
    pub operation: String,
    /// The cells' texts; `None` is `i:nil`.
    pub cells: Vec<Option<String>>,
}

/// LSNs by table.
pub type Lsns = Vec<(Spanned<String>, i64)>;

/// What a call is answered. Unless it says otherwise, it must be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SentExpect {
    /// It is refused, and the answer's text contains this.
    pub refused: Option<Spanned<TextPattern>>,
    /// The LSNs that TableSchema answers, by table: exactly these.
    pub lsns: Option<Spanned<Lsns>>,
}

/// The rows that a table of the mirror must hold, all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorRows {
    /// Where the file names it.
    pub at: At,
    /// With the columns that the source gives it at this step.
    pub table: Table,
    /// In any order.
    pub rows: Vec<Vec<Value<'static>>>,
}
