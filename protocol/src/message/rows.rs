//! Rows: how a receiver holds them, and how a sender writes them.

use std::borrow::Cow;

use crate::names::{ARRAYS, INSTANCE, STRUCTURES};
use crate::schema::Table;
use crate::types::ColumnType;
use crate::value::Value;
use crate::xml;

/// A cell's text; `None` is `i:nil`.
pub type Cell<'a> = Option<Cow<'a, str>>;

/// What a row says happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOperation {
    /// `I`: this is the row now.
    Insert,
    /// `U`: this is the row now.
    Update,
    /// `D`: this key is gone.
    Delete,
    /// Anything else, which is refused.
    Unknown(Box<str>),
}

impl RowOperation {
    /// Reads `I`, `U` or `D`.
    pub fn read(text: &str) -> RowOperation {
        match text.trim() {
            "I" | "i" => RowOperation::Insert,
            "U" | "u" => RowOperation::Update,
            "D" | "d" => RowOperation::Delete,
            other => RowOperation::Unknown(other.into()),
        }
    }

    /// The letter on the wire.
    pub fn letter(&self) -> &str {
        match self {
            RowOperation::Insert => "I",
            RowOperation::Update => "U",
            RowOperation::Delete => "D",
            RowOperation::Unknown(text) => text,
        }
    }
}

/// The rows of a batch. All cells stand in one list, so that a batch costs two allocations and not one for each row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows<'a> {
    cells: Vec<Cell<'a>>,
    /// Each row's operation, and where in `cells` it ends.
    rows: Vec<(RowOperation, usize)>,
}

/// One row of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowRef<'r, 'a> {
    /// What happened.
    pub operation: &'r RowOperation,
    /// The row's cells, in TableInfo's column order.
    pub cells: &'r [Cell<'a>],
}

impl<'a> Rows<'a> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the order sent.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowRef<'_, 'a>> {
        let mut start = 0;
        self.rows.iter().map(move |(operation, end)| {
            let cells = &self.cells[start..*end];
            start = *end;
            RowRef { operation, cells }
        })
    }

    /// Adds a cell to the row that [`Rows::end_row`] will close.
    pub fn push_cell(&mut self, cell: Cell<'a>) {
        self.cells.push(cell);
    }

    /// Closes a row.
    pub fn end_row(&mut self, operation: RowOperation) {
        self.rows.push((operation, self.cells.len()));
    }

    /// Adds a row.
    pub fn push(&mut self, operation: RowOperation, cells: impl IntoIterator<Item = Cell<'a>>) {
        self.cells.extend(cells);
        self.end_row(operation);
    }
}

/// Writes the message of a RowData call row by row, so that a sender can stop at its size limit.
pub struct RowDataBody {
    out: Vec<u8>,
    rows_in_batch: usize,
    in_batch: bool,
    /// Where the last row begins, and whether its batch begins with it.
    last_row: Option<(usize, bool)>,
}

/// What opens a batch that has rows.
const BATCH_BEGIN: &[u8] = b"<a:RowDataBatch><a:Data>";

impl RowDataBody {
    /// Begins a message.
    pub fn new(client_state: Option<&str>) -> RowDataBody {
        let mut out = Vec::new();
        super::write::begin(&mut out, "RowDataRequest");
        super::write::member(&mut out, "ClientState", client_state);
        out.extend_from_slice(
            format!("<DataBatches xmlns:a=\"{STRUCTURES}\" xmlns:i=\"{INSTANCE}\">").as_bytes(),
        );
        RowDataBody {
            out,
            rows_in_batch: 0,
            in_batch: false,
            last_row: None,
        }
    }

    /// How many bytes the message has by now, without what closes it.
    pub fn byte_count(&self) -> usize {
        self.out.len()
    }

    /// How many rows the open batch has.
    pub fn rows_in_batch(&self) -> usize {
        self.rows_in_batch
    }

    /// Adds a row to the open batch, or to one that it opens.
    pub fn row<'v>(
        &mut self,
        operation: &RowOperation,
        values: impl IntoIterator<Item = (Value<'v>, ColumnType)>,
    ) {
        self.begin_row();
        for (value, ty) in values {
            match &value {
                Value::Null => self.out.extend_from_slice(b"<b:string i:nil=\"true\"/>"),
                Value::Text(text) if text.is_empty() => self.out.extend_from_slice(b"<b:string/>"),
                Value::Text(text) => {
                    self.out.extend_from_slice(b"<b:string>");
                    xml::escape(&mut self.out, text);
                    self.out.extend_from_slice(b"</b:string>");
                }
                other => {
                    // No marked form holds a character that XML would have to escape.
                    self.out.extend_from_slice(b"<b:string>");
                    other.write_cell(ty, &mut self.out);
                    self.out.extend_from_slice(b"</b:string>");
                }
            }
        }
        self.end_row(operation);
    }

    /// Adds a row of cells as they stand, right or wrong: for senders that mean to be wrong.
    pub fn row_of_cells<'c>(
        &mut self,
        operation: &RowOperation,
        cells: impl IntoIterator<Item = Option<&'c str>>,
    ) {
        self.begin_row();
        for cell in cells {
            super::write::string_in(&mut self.out, "b:string", cell);
        }
        self.end_row(operation);
    }

    /// Takes the last row out again, with the opening of its batch if it was the first: a sender that went over its
    /// limit puts it into the next message with [`RowDataBody::put_row`]. `None` where no row stands last.
    pub fn take_row(&mut self) -> Option<Vec<u8>> {
        let (start, opened) = self.last_row.take()?;
        let row = self.out.split_off(start);
        self.rows_in_batch -= 1;
        if opened {
            self.out.truncate(start - BATCH_BEGIN.len());
            self.in_batch = false;
        }
        Some(row)
    }

    /// Adds a row that [`RowDataBody::take_row`] took out.
    pub fn put_row(&mut self, row: &[u8]) {
        self.open_row();
        self.out.extend_from_slice(row);
        self.rows_in_batch += 1;
    }

    fn open_row(&mut self) {
        let opens = !self.in_batch;
        if opens {
            self.in_batch = true;
            self.rows_in_batch = 0;
            self.out.extend_from_slice(BATCH_BEGIN);
        }
        self.last_row = Some((self.out.len(), opens));
    }

    fn begin_row(&mut self) {
        self.open_row();
        self.out
            .extend_from_slice(b"<a:RowData><a:ColumnValues xmlns:b=\"");
        self.out.extend_from_slice(ARRAYS.as_bytes());
        self.out.extend_from_slice(b"\">");
    }

    fn end_row(&mut self, operation: &RowOperation) {
        self.out.extend_from_slice(b"</a:ColumnValues><a:Operation>");
        xml::escape(&mut self.out, operation.letter());
        self.out.extend_from_slice(b"</a:Operation></a:RowData>");
        self.rows_in_batch += 1;
    }

    /// Closes the open batch, or writes an empty one. `lsn` is 0 for all but a table's last batch.
    pub fn end_batch(&mut self, lsn: i64, table: &Table) {
        if self.in_batch {
            self.out.extend_from_slice(b"</a:Data>");
        } else {
            self.out.extend_from_slice(b"<a:RowDataBatch><a:Data/>");
        }
        self.out
            .extend_from_slice(format!("<a:LSN>{lsn}</a:LSN>").as_bytes());
        super::write::table_info(&mut self.out, "a:TableInfo", &table.to_wire());
        self.out.extend_from_slice(b"</a:RowDataBatch>");
        self.in_batch = false;
        self.rows_in_batch = 0;
        self.last_row = None;
    }

    /// The whole message.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"</DataBatches></RowDataRequest>");
        self.out
    }
}
