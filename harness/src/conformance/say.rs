//! Messages with any content, right or wrong.
//!
//! They are written here and not by the protocol crate: a check must be able to say what no sender of ours would, and a
//! mistake of that writer must not be shared.

use mirrorlab_protocol::names::{ARRAYS, INSTANCE, MESSAGES, SOAP11, STRUCTURES};
use mirrorlab_protocol::xml;

/// A table as a message carries it: every part is text, right or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ColumnSpec>,
}

/// A column as a message carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// `IsNullable`; `None` leaves it out.
    pub nullable: Option<bool>,
    /// `DefaultValue`.
    pub default: String,
}

impl TableSpec {
    /// Reads `id int not null; v nvarchar(10) null default ((0))`.
    pub fn new(name: &str, columns: &str) -> TableSpec {
        let columns = columns.split(';').map(str::trim).filter(|c| !c.is_empty());
        TableSpec {
            name: name.to_owned(),
            columns: columns.map(ColumnSpec::new).collect(),
        }
    }

    /// The same with another name.
    #[must_use]
    pub fn named(&self, name: &str) -> TableSpec {
        TableSpec {
            name: name.to_owned(),
            columns: self.columns.clone(),
        }
    }
}

impl ColumnSpec {
    fn new(text: &str) -> ColumnSpec {
        let (declared, default) = match text.find(" default ") {
            Some(at) => (&text[..at], text[at + 1..].to_owned()),
            None => (text, String::new()),
        };
        let (declared, nullable) = match declared.strip_suffix(" not null") {
            Some(rest) => (rest, false),
            None => (declared.strip_suffix(" null").unwrap_or(declared), true),
        };
        let (name, ty) = declared.split_once(' ').unwrap_or((declared, "int"));
        ColumnSpec {
            name: name.to_owned(),
            ty: ty.to_owned(),
            nullable: Some(nullable),
            default,
        }
    }
}

/// A cell; `None` is NULL.
pub type Cell = Option<String>;

/// Cells of a row: `~` is NULL.
pub fn cells(texts: &[&str]) -> Vec<Cell> {
    texts
        .iter()
        .map(|text| (*text != "~").then(|| (*text).to_owned()))
        .collect()
}

/// Rows of one table, as a message carries them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The table; `None` leaves TableInfo out.
    pub table: Option<TableSpec>,
    /// Operation and cells.
    pub rows: Vec<(String, Vec<Cell>)>,
    /// LSN; `None` leaves it out.
    pub lsn: Option<i64>,
}

impl Batch {
    /// A batch without rows.
    pub fn new(table: &TableSpec, lsn: i64) -> Batch {
        Batch {
            table: Some(table.clone()),
            rows: Vec::new(),
            lsn: Some(lsn),
        }
    }

    /// Adds a row; `~` is NULL.
    #[must_use]
    pub fn row(self, operation: &str, texts: &[&str]) -> Batch {
        self.row_of(operation, cells(texts))
    }

    /// Adds a row.
    #[must_use]
    pub fn row_of(mut self, operation: &str, cells: Vec<Cell>) -> Batch {
        self.rows.push((operation.to_owned(), cells));
        self
    }

    /// The same with another LSN, or none.
    #[must_use]
    pub fn at(mut self, lsn: Option<i64>) -> Batch {
        self.lsn = lsn;
        self
    }
}

/// `text` as XML text, as .NET writes it.
pub fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    xml::escape(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

fn string(name: &str, text: Option<&str>) -> String {
    match text {
        None => format!("<{name} i:nil=\"true\"/>"),
        Some("") => format!("<{name}/>"),
        Some(text) => format!("<{name}>{}</{name}>", escaped(text)),
    }
}

fn state(client_state: Option<&str>) -> String {
    string("ClientState", client_state)
}

/// The namespaces that every message declares.
fn namespaces() -> String {
    format!("xmlns=\"{MESSAGES}\" xmlns:a=\"{STRUCTURES}\" xmlns:b=\"{ARRAYS}\" xmlns:i=\"{INSTANCE}\"")
}

fn request(name: &str, client_state: Option<&str>, rest: &str) -> String {
    format!(
        "<{name}Request {}>{}{rest}</{name}Request>",
        namespaces(),
        state(client_state)
    )
}

/// AuthenticateRequest.
pub fn authenticate(client_state: Option<&str>) -> String {
    request("Authenticate", client_state, "")
}

/// A TableSchemaInfo under the name `element`.
pub fn table_info(element: &str, table: &TableSpec) -> String {
    let mut out = format!("<{element}><a:Columns>");
    for column in &table.columns {
        out.push_str("<a:ColumnInfo>");
        out.push_str(&string("a:DefaultValue", Some(&column.default)));
        if let Some(nullable) = column.nullable {
            out.push_str(&format!("<a:IsNullable>{nullable}</a:IsNullable>"));
        }
        out.push_str(&string("a:Name", Some(&column.name)));
        out.push_str(&string("a:Type", Some(&column.ty)));
        out.push_str("</a:ColumnInfo>");
    }
    out.push_str("</a:Columns>");
    out.push_str(&string("a:TableName", Some(&table.name)));
    out.push_str(&format!("</{element}>"));
    out
}

/// TableSchemaRequest.
pub fn table_schema(client_state: Option<&str>, tables: &[TableSpec]) -> String {
    let tables: String = tables
        .iter()
        .map(|table| table_info("a:TableSchemaInfo", table))
        .collect();
    request("TableSchema", client_state, &format!("<Tables>{tables}</Tables>"))
}

/// One row.
pub fn row(operation: &str, cells: &[Cell]) -> String {
    let cells: String = cells
        .iter()
        .map(|cell| string("b:string", cell.as_deref()))
        .collect();
    format!(
        "<a:RowData><a:ColumnValues>{cells}</a:ColumnValues>{}</a:RowData>",
        string("a:Operation", Some(operation))
    )
}

/// One batch.
pub fn batch(batch: &Batch) -> String {
    let rows: String = batch.rows.iter().map(|(op, cells)| row(op, cells)).collect();
    let lsn = batch
        .lsn
        .map_or_else(String::new, |lsn| format!("<a:LSN>{lsn}</a:LSN>"));
    let info = batch
        .table
        .as_ref()
        .map_or_else(String::new, |table| table_info("a:TableInfo", table));
    format!("<a:RowDataBatch><a:Data>{rows}</a:Data>{lsn}{info}</a:RowDataBatch>")
}

/// RowDataRequest.
pub fn row_data(client_state: Option<&str>, batches: &[Batch]) -> String {
    let batches: String = batches.iter().map(batch).collect();
    request(
        "RowData",
        client_state,
        &format!("<DataBatches>{batches}</DataBatches>"),
    )
}

/// WipeRequest.
pub fn wipe(client_state: Option<&str>, table: Option<&str>) -> String {
    request("Wipe", client_state, &string("TableName", table))
}

/// ReplicationCompletedRequest: table, inserts, updates, deletes.
pub fn completed(client_state: Option<&str>, changed: &[(&str, i64, i64, i64)]) -> String {
    let changed: String = changed
        .iter()
        .map(|(table, inserts, updates, deletes)| {
            format!(
                "<a:ReplicationSummary><a:Deletes>{deletes}</a:Deletes><a:Inserts>{inserts}</a:Inserts>{}\
                 <a:Updates>{updates}</a:Updates></a:ReplicationSummary>",
                string("a:TableName", Some(table))
            )
        })
        .collect();
    request(
        "ReplicationCompleted",
        client_state,
        &format!("<ChangedTables>{changed}</ChangedTables>"),
    )
}

/// The envelope as the real client writes it; no header without a token.
pub fn envelope(token: Option<&str>, message: &str) -> String {
    let header = token.map_or_else(String::new, |token| {
        format!(
            "<s:Header><h:SignedToken s:mustUnderstand=\"1\" xmlns:h=\"{MESSAGES}\">{}</h:SignedToken></s:Header>",
            escaped(token)
        )
    });
    format!("<s:Envelope xmlns:s=\"{SOAP11}\">{header}<s:Body>{message}</s:Body></s:Envelope>")
}
