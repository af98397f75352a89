//! The five requests and their responses.
//!
//! Members are written in the contract's order, since a .NET receiver silently drops those that are not (.NET), and read
//! in any. A batch's rows come before its LSN and its table's name (seen): reading one keeps its cells, borrowed from
//! the call's text, until the name is known.

mod read;
mod rows;
mod write;

use std::borrow::Cow;

pub use read::{read_request, read_response};
pub use rows::{Cell, RowDataBody, RowOperation, RowRef, Rows};
pub use write::{write_request, write_response};

use crate::names::Operation;

/// A request, borrowed from the call's text.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// Opens a cycle.
    Authenticate {
        /// What the last answer gave to be handed back.
        client_state: Option<Cow<'a, str>>,
    },
    /// Every mirrored table's schema.
    TableSchema {
        /// What Authenticate's answer gave to be handed back.
        client_state: Option<Cow<'a, str>>,
        /// Every mirrored table.
        tables: Vec<TableSchemaInfo<'a>>,
    },
    /// Rows.
    RowData {
        /// What Authenticate's answer gave to be handed back.
        client_state: Option<Cow<'a, str>>,
        /// Batches of one table or of several.
        batches: Vec<RowDataBatch<'a>>,
    },
    /// Empties a table.
    Wipe {
        /// What Authenticate's answer gave to be handed back.
        client_state: Option<Cow<'a, str>>,
        /// The table.
        table: Option<Cow<'a, str>>,
    },
    /// Closes a cycle.
    ReplicationCompleted {
        /// What Authenticate's answer gave to be handed back.
        client_state: Option<Cow<'a, str>>,
        /// One entry for each table that had changes; empty in a quiet cycle (seen).
        changed: Vec<ReplicationSummary<'a>>,
    },
}

impl Request<'_> {
    /// Which operation this is a request of.
    pub fn operation(&self) -> Operation {
        match self {
            Request::Authenticate { .. } => Operation::Authenticate,
            Request::TableSchema { .. } => Operation::TableSchema,
            Request::RowData { .. } => Operation::RowData,
            Request::Wipe { .. } => Operation::Wipe,
            Request::ReplicationCompleted { .. } => Operation::ReplicationCompleted,
        }
    }

    /// What Authenticate's answer gave to be handed back.
    pub fn client_state(&self) -> Option<&str> {
        match self {
            Request::Authenticate { client_state }
            | Request::TableSchema { client_state, .. }
            | Request::RowData { client_state, .. }
            | Request::Wipe { client_state, .. }
            | Request::ReplicationCompleted { client_state, .. } => client_state.as_deref(),
        }
    }
}

/// A table's schema as a message carries it; [`crate::schema::Table::from_wire`] makes sense of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSchemaInfo<'a> {
    /// The columns, in the order of a row's cells.
    pub columns: Vec<ColumnInfo<'a>>,
    /// The table's name.
    pub name: Option<Cow<'a, str>>,
}

/// A column as a message carries it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnInfo<'a> {
    /// T-SQL text: `default ((0))`, or empty.
    pub default: Option<Cow<'a, str>>,
    /// Whether NULL is a value.
    pub nullable: Option<bool>,
    /// The name.
    pub name: Option<Cow<'a, str>>,
    /// T-SQL text: `nvarchar(219)`.
    pub ty: Option<Cow<'a, str>>,
}

/// Rows of one table, with the LSN they bring it to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowDataBatch<'a> {
    /// The rows.
    pub rows: Rows<'a>,
    /// SQL Server's change tracking version. Valid only in a table's last batch; 0 or below, or missing, in the
    /// others (doc, assumed).
    pub lsn: Option<i64>,
    /// Name and column order.
    pub table: Option<TableSchemaInfo<'a>>,
}

impl RowDataBatch<'_> {
    /// The LSN where it is one: above 0.
    pub fn valid_lsn(&self) -> Option<i64> {
        self.lsn.filter(|lsn| *lsn > 0)
    }
}

/// How many rows of a table a cycle changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicationSummary<'a> {
    /// Rows sent as D.
    pub deletes: i32,
    /// Rows sent as I.
    pub inserts: i32,
    /// The table.
    pub table: Option<Cow<'a, str>>,
    /// Rows sent as U.
    pub updates: i32,
}

/// A response. `error` stands beside `successful` false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `IsSuccessful`.
    pub successful: bool,
    /// `ErrorMessage`.
    pub error: Option<String>,
    /// What only some operations answer.
    pub detail: ResponseDetail,
}

/// The part of a response that depends on its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseDetail {
    /// Authenticate's.
    Authenticate(AuthenticateDetail),
    /// TableSchema's: the LSN stored for each table, -1 for "send me everything".
    TableSchema(Vec<TableLsn>),
    /// RowData's.
    RowData,
    /// Wipe's.
    Wipe,
    /// ReplicationCompleted's.
    ReplicationCompleted,
}

/// What Authenticate answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthenticateDetail {
    /// `nonce.yyyyMMddHHmm.signature`; see [`crate::answer`].
    pub signed_application_token: Option<String>,
    /// `1` (seen).
    pub supported_interfaces: Option<String>,
    /// `4.0.0.0/Release_1` (seen).
    pub build: Option<String>,
    /// Handed back in every later request of the cycle (doc).
    pub client_state: Option<String>,
    /// `{ "doNotReplicate": "true" }` ends the cycle there (doc).
    pub additional_information_json: Option<String>,
}

/// A table's stored LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLsn {
    /// The change tracking version the mirror has reached; -1 asks for everything.
    pub lsn: i64,
    /// The table.
    pub table: String,
}

/// The LSN that asks for everything.
pub const LSN_INVALID: i64 = -1;

impl ResponseDetail {
    /// An empty detail, as a refusal of `operation` has it.
    pub fn empty(operation: Operation) -> ResponseDetail {
        match operation {
            Operation::Authenticate => ResponseDetail::Authenticate(AuthenticateDetail::default()),
            Operation::TableSchema => ResponseDetail::TableSchema(Vec::new()),
            Operation::RowData => ResponseDetail::RowData,
            Operation::Wipe => ResponseDetail::Wipe,
            Operation::ReplicationCompleted => ResponseDetail::ReplicationCompleted,
        }
    }

    /// Which operation this answers.
    pub fn operation(&self) -> Operation {
        match self {
            ResponseDetail::Authenticate(_) => Operation::Authenticate,
            ResponseDetail::TableSchema(_) => Operation::TableSchema,
            ResponseDetail::RowData => Operation::RowData,
            ResponseDetail::Wipe => Operation::Wipe,
            ResponseDetail::ReplicationCompleted => Operation::ReplicationCompleted,
        }
    }
}

impl Response {
    /// A successful answer.
    pub fn success(detail: ResponseDetail) -> Response {
        Response {
            successful: true,
            error: None,
            detail,
        }
    }

    /// A refusal with its text.
    pub fn refusal(operation: Operation, text: impl Into<String>) -> Response {
        Response {
            successful: false,
            error: Some(text.into()),
            detail: ResponseDetail::empty(operation),
        }
    }
}
