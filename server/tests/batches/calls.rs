//! Calls, how they are drawn, and their bytes.

use proptest::prelude::*;
use proptest::sample::select;

/// A column: name, type, whether NULL is a value.
pub type Column = (&'static str, &'static str, bool);

/// The tables. The first column is the key.
pub const TABLES: [(&str, &[Column]); 3] = [
    (
        "contact",
        &[
            ("contact_id", "int", false),
            ("name", "nvarchar(5)", false),
            ("number1", "int", true),
        ],
    ),
    (
        "person",
        &[
            ("person_id", "int", false),
            ("score", "float", true),
            ("kind", "smallint", false),
            ("born", "datetime", true),
        ],
    ),
    (
        "y_note",
        &[("id", "int", false), ("x_text", "nvarchar(max)", true)],
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Known(usize),
    /// A name that no TableSchema brought.
    Unknown,
    /// No TableInfo.
    Unnamed,
}

/// What TableInfo says of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// As they are.
    Stored,
    /// In the other direction, key last. Cells follow.
    Reversed,
    /// Nothing, which means as they are.
    None,
    /// One is missing.
    Lacking,
    /// One stands twice, in another's place.
    Twice,
    /// The last one has another type.
    OtherType,
}

/// A cell: what is sent, and what SQL gives back where the column can hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// `None` is `i:nil`.
    pub wire: Option<String>,
    /// `Err` where the type cannot hold it.
    pub value: Result<Option<String>, ()>,
}

impl Cell {
    /// A cell of which nothing is known; `NULL` is `i:nil`.
    pub fn odd(text: &str) -> Cell {
        Cell {
            wire: (text != "NULL").then(|| text.to_owned()),
            value: Err(()),
        }
    }
}

/// A row, its cells in the table's own column order as far as they go.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub operation: &'static str,
    pub cells: Vec<Cell>,
}

#[derive(Debug, Clone)]
pub struct Batch {
    pub table: Target,
    pub upper_case: bool,
    pub columns: Columns,
    pub lsn: Option<i64>,
    pub rows: Vec<Row>,
}

impl Batch {
    pub fn plain(table: usize, rows: Vec<Row>) -> Batch {
        Batch {
            table: Target::Known(table),
            upper_case: false,
            columns: Columns::Stored,
            lsn: None,
            rows,
        }
    }

    /// The cells of a row in the order sent.
    pub fn ordered<'r>(&self, row: &'r Row) -> Vec<&'r Cell> {
        let mut cells: Vec<&Cell> = row.cells.iter().collect();
        if self.columns == Columns::Reversed && row.cells.len() > 1 {
            cells.reverse();
        }
        cells
    }
}

#[derive(Debug, Clone)]
pub enum Call {
    /// These tables, by number, and no others.
    Schema(Vec<usize>),
    Wipe(Target),
    Rows(Vec<Batch>),
    Completed,
}

pub fn a_table() -> impl Strategy<Value = usize> {
    0..TABLES.len()
}

/// Few keys, so that rows meet.
fn a_key() -> impl Strategy<Value = Cell> {
    (0..6_i64, any::<bool>()).prop_map(|(key, bare)| Cell {
        wire: Some(if bare {
            key.to_string()
        } else {
            format!("[I:{key}]")
        }),
        value: Ok(Some(key.to_string())),
    })
}

/// A cell that its column can hold.
fn a_right_cell(column: Column) -> BoxedStrategy<Cell> {
    let held = |wire: &'static str, value: &'static str| Cell {
        wire: Some(wire.into()),
        value: Ok(Some(value.into())),
    };
    let null = Cell {
        wire: None,
        value: Ok(None),
    };
    // Empty is NULL in what is no text.
    let empty = Cell {
        wire: Some(String::new()),
        value: Ok(None),
    };
    let mut cells: Vec<Cell> = match column.1 {
        "int" => vec![
            held("[I:-7]", "-7"),
            held("12", "12"),
            held("[I:2147483647]", "2147483647"),
        ],
        "smallint" => vec![held("[S:3]", "3"), held("[I:-32768]", "-32768"), held("0", "0")],
        "float" => vec![
            held("[F:1.5]", "1.5"),
            held("-2.25", "-2.25"),
            held("[F:1E+21]", "1e+21"),
        ],
        "datetime" => vec![
            held("[DT:05/18/2020 10:40:43.0000000]", "2020-05-18 10:40:43.000"),
            held("[DT:01/01/1760 00:00:00.0000000]", "1760-01-01 00:00:00.000"),
        ],
        _ => ["", "a", " b ", "[I:5]", "é\u{1F600}", "\u{1}\r\n", "x]]>&"]
            .into_iter()
            .map(|text| held(text, text))
            .collect(),
    };
    if column.2 {
        cells.push(null);
        if !column.1.starts_with("nvarchar") {
            cells.push(empty);
        }
    }
    select(cells).boxed()
}

/// A cell that its column cannot hold.
fn a_wrong_cell(column: Column) -> BoxedStrategy<Cell> {
    let mut texts = match column.1 {
        "int" => vec!["[I:2147483648]", "one", "[F:1.5]", "[I:", "[I:5] "],
        "smallint" => vec!["[S:32768]", "1.5", "[DT:05/18/2020 10:40:43.0000000]"],
        "float" => vec!["[F:NaN]", "[F:1,5]", "x"],
        "datetime" => vec![
            "[DT:13/01/2020 00:00:00.0000000]",
            "[DT:01/01/1752 00:00:00.0000000]",
        ],
        "nvarchar(5)" => vec!["sixsix", "\u{1F600}\u{1F600}\u{1F600}"],
        _ => vec![],
    };
    if !column.2 {
        texts.push("NULL");
    }
    if texts.is_empty() {
        return a_right_cell(column);
    }
    select(texts).prop_map(Cell::odd).boxed()
}

/// An I or U with all its cells, or a D in one of the forms that have its key.
pub fn a_right_row(table: usize) -> BoxedStrategy<Row> {
    let columns = TABLES[table].1;
    let rest: Vec<BoxedStrategy<Cell>> = columns[1..].iter().map(|c| a_right_cell(*c)).collect();
    let whole =
        (select(vec!["I", "U", "D", "i", " U "]), a_key(), rest).prop_map(|(operation, key, rest)| Row {
            operation,
            cells: std::iter::once(key).chain(rest).collect(),
        });
    let bare = a_key().prop_map(|key| Row {
        operation: "D",
        cells: vec![key],
    });
    let others = columns.len() - 1;
    let filled = (a_key(), select(vec!["NULL", "", "rubbish"])).prop_map(move |(key, filling)| Row {
        operation: "D",
        cells: std::iter::once(key)
            .chain(std::iter::repeat_n(Cell::odd(filling), others))
            .collect(),
    });
    prop_oneof![6 => whole, 1 => bare, 1 => filled].boxed()
}

/// A row that may be wrong in one thing.
fn a_row(table: usize) -> BoxedStrategy<Row> {
    let columns = TABLES[table].1;
    let with_wrong_cell =
        (a_right_row(table), any::<prop::sample::Index>()).prop_flat_map(move |(row, index)| {
            let at = index.index(row.cells.len());
            a_wrong_cell(columns[at]).prop_map(move |cell| {
                let mut row = row.clone();
                row.cells[at] = cell;
                row
            })
        });
    let too_few = (a_right_row(table), any::<prop::sample::Index>()).prop_map(|(mut row, index)| {
        row.cells.truncate(index.index(row.cells.len()));
        row
    });
    let too_many = a_right_row(table).prop_map(|mut row| {
        row.cells.push(Cell::odd("1"));
        row
    });
    let odd_operation = (a_right_row(table), select(vec!["X", "", "ID"])).prop_map(|(mut row, operation)| {
        row.operation = operation;
        row
    });
    prop_oneof![
        60 => a_right_row(table),
        2 => with_wrong_cell,
        1 => too_few,
        1 => too_many,
        1 => odd_operation,
    ]
    .boxed()
}

fn a_batch() -> impl Strategy<Value = Batch> {
    let columns = prop_oneof![
        12 => Just(Columns::Stored),
        3 => Just(Columns::Reversed),
        3 => Just(Columns::None),
        1 => select(vec![Columns::Lacking, Columns::Twice, Columns::OtherType]),
    ];
    let target =
        prop_oneof![40 => Just(None), 1 => Just(Some(Target::Unknown)), 1 => Just(Some(Target::Unnamed))];
    let lsn = select(vec![
        None,
        Some(-1),
        Some(0),
        Some(1),
        Some(7),
        Some(1_506_269),
        Some(i64::MAX),
    ]);
    (a_table(), target, columns, lsn, prop::bool::weighted(0.2)).prop_flat_map(
        |(table, target, columns, lsn, upper_case)| {
            prop::collection::vec(a_row(table), 0..8).prop_map(move |rows| Batch {
                table: target.unwrap_or(Target::Known(table)),
                upper_case,
                columns,
                lsn,
                rows,
            })
        },
    )
}

pub fn a_call() -> impl Strategy<Value = Call> {
    let tables = prop::collection::btree_set(a_table(), 0..=TABLES.len());
    let wiped = prop_oneof![
        8 => a_table().prop_map(Target::Known),
        1 => Just(Target::Unknown),
        1 => Just(Target::Unnamed),
    ];
    prop_oneof![
        16 => prop::collection::vec(a_batch(), 0..4).prop_map(Call::Rows),
        2 => Just(Call::Schema(vec![0, 1, 2])),
        1 => tables.prop_map(|tables| Call::Schema(tables.into_iter().collect())),
        2 => wiped.prop_map(Call::Wipe),
        1 => Just(Call::Completed),
    ]
}

/// The message of a call, by hand.
pub fn message(call: &Call) -> (&'static str, String) {
    match call {
        Call::Schema(tables) => {
            let infos: String = tables
                .iter()
                .map(|t| {
                    format!(
                        "<a:TableSchemaInfo>{}</a:TableSchemaInfo>",
                        table_info(TABLES[*t].0, TABLES[*t].1)
                    )
                })
                .collect();
            ("TableSchema", format!("<Tables xmlns:a=\"{A}\">{infos}</Tables>"))
        }
        Call::Wipe(target) => {
            let name = match target {
                Target::Known(table) => format!("<TableName>{}</TableName>", TABLES[*table].0),
                Target::Unknown => "<TableName>nowhere</TableName>".into(),
                Target::Unnamed => String::new(),
            };
            ("Wipe", name)
        }
        Call::Rows(batches) => {
            let batches: String = batches.iter().map(batch).collect();
            (
                "RowData",
                format!(
                    "<DataBatches xmlns:a=\"{A}\" xmlns:b=\"{B}\" xmlns:i=\"{I}\">{batches}</DataBatches>"
                ),
            )
        }
        Call::Completed => (
            "ReplicationCompleted",
            format!("<ChangedTables xmlns:a=\"{A}\"/>"),
        ),
    }
}

const A: &str = "http://schemas.datacontract.org/2004/07/SuperOffice.Online.Mirroring.Contract.V1";
const B: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";
const I: &str = "http://www.w3.org/2001/XMLSchema-instance";

fn batch(batch: &Batch) -> String {
    let rows: String = batch.rows.iter().map(|r| row(batch, r)).collect();
    let lsn = batch
        .lsn
        .map(|lsn| format!("<a:LSN>{lsn}</a:LSN>"))
        .unwrap_or_default();
    let info = match batch.table {
        Target::Unnamed => String::new(),
        target => {
            let (name, columns) = match target {
                Target::Known(table) => TABLES[table],
                _ => ("nowhere", TABLES[0].1),
            };
            let mut columns = columns.to_vec();
            match batch.columns {
                Columns::Stored => {}
                Columns::Reversed => columns.reverse(),
                Columns::None => columns.clear(),
                Columns::Lacking => drop(columns.pop()),
                Columns::Twice => *columns.last_mut().unwrap() = columns[0],
                Columns::OtherType => columns.last_mut().unwrap().1 = "date",
            }
            let name = if batch.upper_case {
                name.to_uppercase()
            } else {
                name.to_owned()
            };
            format!("<a:TableInfo>{}</a:TableInfo>", table_info(&name, &columns))
        }
    };
    format!("<a:RowDataBatch><a:Data>{rows}</a:Data>{lsn}{info}</a:RowDataBatch>")
}

fn row(batch: &Batch, row: &Row) -> String {
    let cells: String = batch
        .ordered(row)
        .into_iter()
        .map(|cell| match &cell.wire {
            None => "<b:string i:nil=\"true\"/>".to_owned(),
            Some(text) => format!("<b:string>{}</b:string>", escape(text)),
        })
        .collect();
    format!(
        "<a:RowData><a:ColumnValues>{cells}</a:ColumnValues><a:Operation>{}</a:Operation></a:RowData>",
        row.operation
    )
}

fn table_info(name: &str, columns: &[Column]) -> String {
    let columns: String = columns
        .iter()
        .map(|(name, ty, nullable)| {
            format!(
                "<a:ColumnInfo><a:DefaultValue/><a:IsNullable>{nullable}</a:IsNullable><a:Name>{name}</a:Name>\
                 <a:Type>{ty}</a:Type></a:ColumnInfo>"
            )
        })
        .collect();
    format!("<a:Columns>{columns}</a:Columns><a:TableName>{name}</a:TableName>")
}

/// As .NET writes text.
fn escape(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '\r' => "&#xD;".into(),
        '\u{1}' => "&#x1;".into(),
        other => other.to_string(),
    };
    text.chars().map(one).collect()
}
