//! Tables and columns, and their rows.

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;
use mirrorlab_simulator::draw::{RowDraw, Style, pick};
use rand_chacha::ChaCha8Rng;

use crate::scenario::model::TableSpec;
use crate::scenario::place::At;

/// Names of tables: extra tables, as partners have them.
pub(super) const NAMES: [&str; 8] = [
    "y_seat", "y_order", "y_note", "y_price", "y_visit", "y_route", "y_part", "y_case",
];

/// What a history is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// A little of everything.
    Plain,
    /// Values at the edges of many types.
    Values,
    /// Long texts and large rows.
    Long,
    /// A dozen small tables.
    ManyTables,
    /// Calls that no source would send.
    Calls,
    /// Tokens and answers.
    Trust,
}

impl Flavour {
    pub fn draw(rng: &mut ChaCha8Rng) -> Flavour {
        match pick::below(rng, 100) {
            0..=44 => Flavour::Plain,
            45..=65 => Flavour::Values,
            66..=71 => Flavour::Long,
            72..=76 => Flavour::ManyTables,
            77..=88 => Flavour::Calls,
            _ => Flavour::Trust,
        }
    }

    fn style(self) -> Style {
        let (edges, length) = match self {
            Flavour::Values => (700, 400),
            Flavour::Long => (300, 30_000),
            _ => (150, 60),
        };
        Style {
            edges_per_mille: edges,
            nulls_per_mille: 120,
            text_length_max: length,
            blob_bytes_max: 300,
            nul: true,
        }
    }
}

/// The types that histories are made of, the usual ones first.
const USUAL: [&str; 5] = ["int", "nvarchar(40)", "smallint", "datetime", "float"];
const ALL: [&str; 20] = [
    "int",
    "nvarchar(40)",
    "smallint",
    "datetime",
    "float",
    "nvarchar(300)",
    "nvarchar(max)",
    "ntext",
    "varbinary(300)",
    "varbinary(max)",
    "bigint",
    "tinyint",
    "bit",
    "decimal(18,4)",
    "money",
    "date",
    "time(7)",
    "datetime2(7)",
    "uniqueidentifier",
    "real",
];

fn ty(text: &str) -> ColumnType {
    ColumnType::parse(text).expect("the types above are types")
}

/// A column that can be added to a table with rows.
pub(super) fn column(rng: &mut ChaCha8Rng, name: String, flavour: Flavour) -> Column {
    let ty = match flavour {
        Flavour::Values => ty(pick::one::<&str>(rng, &ALL)),
        Flavour::Long if pick::chance(rng, 700) => ty("nvarchar(max)"),
        Flavour::Calls if pick::chance(rng, 500) => ty(pick::one::<&str>(rng, &ALL)),
        _ if pick::chance(rng, 250) => ty(pick::one::<&str>(rng, &ALL)),
        _ => ty(pick::one::<&str>(rng, &USUAL)),
    };
    let nullable = pick::chance(rng, 600);
    let default = (!nullable || pick::chance(rng, 250))
        .then(|| default(rng, ty))
        .flatten();
    Column {
        name,
        ty,
        // What must not be NULL and has no default cannot be added.
        nullable: nullable || default.is_none(),
        default,
    }
}

/// A column that is added to a table with rows. With a default it says the most: whether the rows that were there hold it.
pub(super) fn added_column(rng: &mut ChaCha8Rng, name: String, flavour: Flavour) -> Column {
    let mut column = column(rng, name, flavour);
    if column.default.is_none() && pick::chance(rng, 500) {
        column.default = default(rng, column.ty);
    }
    column
}

/// A default of the kinds that SuperOffice writes.
pub(super) fn default(rng: &mut ChaCha8Rng, ty: ColumnType) -> Option<Default> {
    if ty.is_text() {
        return Some(Default::Text((*pick::one(rng, &["", "new"])).to_owned()));
    }
    if ty == ColumnType::Bit {
        return Some(Default::Number("1".into()));
    }
    if ty.integer_range().is_some() {
        return Some(Default::Number((*pick::one(rng, &["0", "7"])).to_owned()));
    }
    match ty {
        ColumnType::DateTime => Some(Default::Text("1760-01-01 00:00:00".into())),
        ColumnType::Float => Some(Default::Number((*pick::one(rng, &["0", "0.5"])).to_owned())),
        _ => None,
    }
}

/// `x_a`, `x_b`, … `x_aa`.
pub(super) fn column_name(mut number: u32) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + u8::try_from(number % 26).expect("below 26")));
        if number < 26 {
            break;
        }
        number = number / 26 - 1;
    }
    format!("x_{}", letters.iter().rev().collect::<String>())
}

/// A new table with a few rows.
pub(super) fn table(rng: &mut ChaCha8Rng, name: &str, flavour: Flavour, names: &mut u32) -> TableSpec {
    let mut columns = vec![Column {
        name: "id".into(),
        ty: ColumnType::Int,
        nullable: false,
        default: None,
    }];
    let count = match flavour {
        Flavour::Values => 3 + pick::below(rng, 5),
        Flavour::ManyTables => 1,
        _ => 1 + pick::below(rng, 3),
    };
    for _ in 0..count {
        let mut column = column(rng, column_name(*names), flavour);
        *names += 1;
        // A table that is made with its columns needs no defaults.
        if column.nullable && column.default.is_none() && pick::chance(rng, 300) {
            column.nullable = false;
        }
        columns.push(column);
    }
    let table = Table {
        name: name.to_owned(),
        columns,
    };
    let most = match flavour {
        Flavour::ManyTables => 2,
        Flavour::Long => 4,
        _ => 6,
    };
    let count = pick::below(rng, most + 1);
    let rows = rows(rng, &table, flavour, count);
    TableSpec {
        at: At::default(),
        table,
        rows,
        drawn: 0,
    }
}

fn rows(rng: &mut ChaCha8Rng, table: &Table, flavour: Flavour, count: u64) -> Vec<Vec<Value<'static>>> {
    let keys = 1..=i64::try_from(count).unwrap_or(0);
    keys.map(|key| row(rng, table, flavour, key)).collect()
}

/// A row with this key.
pub(super) fn row(rng: &mut ChaCha8Rng, table: &Table, flavour: Flavour, key: i64) -> Vec<Value<'static>> {
    let draw = RowDraw::new(table, &flavour.style());
    let mut row = draw.row(rng, Value::Int(key));
    for (value, column) in row.iter_mut().zip(&table.columns).skip(1) {
        // One edge among sixty others, and the one that receivers lose most.
        if matches!(value, Value::Text(_)) && pick::chance(rng, 60) {
            *value = Value::Text("".into());
            continue;
        }
        // Beyond the limits of 8 and 64 KB that receivers are known to have.
        if let Value::Text(text) = value
            && flavour == Flavour::Long
            && column.ty.length_max().is_none()
            && !text.is_empty()
            && pick::chance(rng, 150)
        {
            let most = *pick::one(rng, &[9_000, 70_000]);
            *text = text.chars().cycle().take(most).collect::<String>().into();
            continue;
        }
        // Words that ordinary rows hold are long, and tell nobody anything.
        if let Value::Text(text) = value
            && flavour != Flavour::Long
            && text.chars().count() > 24
            && pick::chance(rng, 600)
        {
            *text = text.chars().take(24).collect::<String>().into();
        }
    }
    // Texts of a fixed length are filled up, and were not among the types.
    row
}

/// The tables that a tenant starts with.
pub(super) fn first_tables(rng: &mut ChaCha8Rng, flavour: Flavour) -> Vec<TableSpec> {
    let mut names = 0;
    if flavour == Flavour::ManyTables {
        let count = 10 + pick::below(rng, 3);
        return (0..count)
            .map(|at| table(rng, &format!("y_table{:02}", at + 1), flavour, &mut names))
            .collect();
    }
    let count = 1 + pick::index(rng, 3);
    NAMES[..count]
        .iter()
        .map(|name| {
            names = 0;
            table(rng, name, flavour, &mut names)
        })
        .collect()
}

/// The same tables with other rows.
pub(super) fn redraw_rows(rng: &mut ChaCha8Rng, tables: &mut [TableSpec], flavour: Flavour) {
    for spec in tables {
        let count = pick::below(rng, 6);
        spec.rows = rows(rng, &spec.table, flavour, count);
    }
}

/// The same type with more room.
pub(super) fn wider(ty: ColumnType) -> Option<ColumnType> {
    match ty {
        ColumnType::TinyInt => Some(ColumnType::SmallInt),
        ColumnType::SmallInt => Some(ColumnType::Int),
        ColumnType::Int => Some(ColumnType::BigInt),
        ColumnType::NVarChar(Length::Limit(n)) if n < 2000 => {
            Some(ColumnType::NVarChar(Length::Limit(n * 2)))
        }
        ColumnType::NVarChar(Length::Limit(_)) => Some(ColumnType::NVarChar(Length::Max)),
        _ => None,
    }
}
