//! Two tables' shapes, and the plan by which their rows are compared.

use mirrorlab_engines::mssql::describe::UnreadableColumn;
use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;

use super::finding::{Finding, Kind, Recorder};
use super::side::SideTable;
use super::{Options, show};

/// How two tables' rows are compared: which columns, in one order for both sides, the key's first.
pub(super) struct Plan {
    pub(super) left: Table,
    pub(super) right: Table,
    /// Positions in left's columns.
    pub(super) left_columns: Vec<usize>,
    /// Positions in right's columns.
    pub(super) right_columns: Vec<usize>,
    /// How many of them are the key.
    pub(super) key_columns: usize,
}

/// Records every difference of two tables' shapes. `None` where their rows cannot be compared: the report says why.
pub(super) fn compare(
    left: &SideTable,
    right: &SideTable,
    options: &Options,
    recorder: &mut Recorder,
) -> Option<Plan> {
    let (a, b) = (&left.readable, &right.readable);
    let troubles = (
        unreadable(left, options, recorder),
        unreadable(right, options, recorder),
    );
    if troubles.0.is_some() || troubles.1.is_some() {
        let text = |trouble: Option<String>| trouble.unwrap_or_else(|| "readable".to_owned());
        recorder.add(Finding::of_table(Kind::TableUnreadable).with(text(troubles.0), text(troubles.1)));
        rows_not_compared(recorder, "its columns cannot be read");
        return None;
    }
    let key: Vec<&str> = key_of(left, a);
    let right_key = key_of(right, b);
    let is_key = |name: &str| key.iter().any(|k| same_name(k, name));
    let same_key = left.key.is_empty() == right.key.is_empty()
        && key.len() == right_key.len()
        && key.iter().zip(&right_key).all(|(x, y)| same_name(x, y));
    if !same_key && !options.rows_only {
        let shown = |t: &SideTable| match t.key.is_empty() {
            true => "none".to_owned(),
            false => t.key.join(", "),
        };
        recorder.add(Finding::of_table(Kind::Key).with(shown(left), shown(right)));
    }

    let mut pairs = Vec::new();
    for (at, column) in a.columns.iter().enumerate() {
        if !wanted(&column.name, &left.name, is_key(&column.name), options, recorder) {
            continue;
        }
        match b.position(&column.name) {
            None => recorder.add(Finding::of_column(Kind::ColumnMissing, &column.name)),
            Some(other) => {
                let other_column = &b.columns[other];
                if !options.rows_only {
                    columns(column, other_column, recorder);
                } else if !comparable(column.ty, other_column.ty) {
                    // Types may differ there, but nobody could say that these cells are equal.
                    recorder.add(
                        Finding::of_column(Kind::ColumnType, &column.name)
                            .with(column.ty.to_string(), other_column.ty.to_string()),
                    );
                }
                pairs.push((at, other));
            }
        }
    }
    for column in &b.columns {
        if a.position(&column.name).is_none() && wanted(&column.name, &left.name, false, options, recorder) {
            recorder.add(Finding::of_column(Kind::ColumnExtra, &column.name));
        }
    }

    let mut plan = Plan {
        left: a.clone(),
        right: b.clone(),
        left_columns: Vec::new(),
        right_columns: Vec::new(),
        key_columns: key.len(),
    };
    let mut add = |pair: &(usize, usize)| {
        plan.left_columns.push(pair.0);
        plan.right_columns.push(pair.1);
    };
    for name in &key {
        let pair = pairs.iter().find(|(at, _)| same_name(&a.columns[*at].name, name));
        let Some(pair) = pair else {
            rows_not_compared(
                recorder,
                &format!("{} has no column `{name}`, the key", right.name),
            );
            return None;
        };
        let (x, y) = (a.columns[pair.0].ty, b.columns[pair.1].ty);
        if !comparable(x, y) {
            rows_not_compared(
                recorder,
                &format!("the key `{name}` is {x} on one side and {y} on the other"),
            );
            return None;
        }
        add(pair);
    }
    for pair in &pairs {
        let (x, y) = (&a.columns[pair.0], &b.columns[pair.1]);
        if is_key(&x.name) {
            continue;
        }
        if comparable(x.ty, y.ty) {
            add(pair);
        } else {
            let what = format!("the cells of {}.{}", left.name, x.name);
            let why = format!("they are {} on one side and {} on the other", x.ty, y.ty);
            recorder.not_compared(&what, &why);
        }
    }
    Some(plan)
}

/// Why a table cannot be compared: columns that cannot be read, and that nobody asked to leave out. The key cannot be left
/// out.
fn unreadable(side: &SideTable, options: &Options, recorder: &mut Recorder) -> Option<String> {
    if side.columns().next().is_none() {
        return Some("it has no columns".into());
    }
    let is_key = |column: &UnreadableColumn| match side.key.as_slice() {
        [] => column.at == 0,
        key => key.iter().any(|name| same_name(name, &column.name)),
    };
    let whys: Vec<&str> = side
        .unreadable
        .iter()
        .filter(|c| wanted(&c.name, &side.name, is_key(c), options, recorder))
        .map(|c| c.why.as_str())
        .collect();
    (!whys.is_empty()).then(|| whys.join("; "))
}

/// The key's columns; the first column where a table has no key of its own, as in every table seen on the wire.
fn key_of<'t>(side: &'t SideTable, table: &'t Table) -> Vec<&'t str> {
    if side.key.is_empty() {
        vec![table.key().name.as_str()]
    } else {
        side.key.iter().map(String::as_str).collect()
    }
}

fn rows_not_compared(recorder: &mut Recorder, why: &str) {
    let what = format!("the rows of {}", recorder.table().name);
    recorder.not_compared(&what, why);
}

fn wanted(column: &str, table: &str, is_key: bool, options: &Options, recorder: &mut Recorder) -> bool {
    if is_key {
        return true;
    }
    if let Some(names) = &options.columns
        && !names.iter().any(|name| same_name(name, column))
    {
        return false;
    }
    match options.ignore.iter().find(|i| i.is_column(table, column)) {
        None => true,
        Some(ignore) => {
            recorder.not_compared(&format!("column {table}.{column}"), &ignore.why);
            false
        }
    }
}

fn columns(a: &Column, b: &Column, recorder: &mut Recorder) {
    if !same_type(a.ty, b.ty) {
        recorder.add(Finding::of_column(Kind::ColumnType, &a.name).with(a.ty.to_string(), b.ty.to_string()));
    }
    if a.nullable != b.nullable {
        let shown = |c: &Column| if c.nullable { "NULL" } else { "NOT NULL" };
        recorder.add(Finding::of_column(Kind::ColumnNull, &a.name).with(shown(a), shown(b)));
    }
    if !same_default(a, b) {
        let shown = |c: &Column| match &c.default {
            None => "none".to_owned(),
            // Its quotes are SQL's own, and doubled inside.
            Some(default) => show::escaped(&default.to_string()).replace("\\'", "'"),
        };
        recorder.add(Finding::of_column(Kind::ColumnDefault, &a.name).with(shown(a), shown(b)));
    }
}

/// A row version is mirrored as its eight bytes: a mirror's own would be other ones.
fn same_type(a: ColumnType, b: ColumnType) -> bool {
    let bytes = |ty| matches!(ty, ColumnType::RowVersion | ColumnType::Binary(8));
    a == b || (bytes(a) && bytes(b))
}

/// Whether two defaults give the same value: `((0))` and `((0.0))` do for a float. NULL is as if there were none. What
/// has no fixed value, the present or a new GUID, must be the same function.
fn same_default(a: &Column, b: &Column) -> bool {
    let given = |c: &Column| c.default.clone().filter(|d| *d != Default::Null);
    match (given(a), given(b)) {
        (None, None) => true,
        (Some(x), Some(y)) => {
            x == y
                || match (x.value(a.ty), y.value(b.ty)) {
                    (Ok(Some(x)), Ok(Some(y))) => x == y,
                    _ => false,
                }
        }
        _ => false,
    }
}

/// Whether values of two types can be equal at all: `int` and `bigint` can, `int` and `nvarchar` cannot.
fn comparable(a: ColumnType, b: ColumnType) -> bool {
    let class = |ty: ColumnType| match ty {
        _ if ty.is_text() => (1, 0),
        _ if ty.is_binary() => (2, 0),
        _ if ty.integer_range().is_some() => (3, 0),
        ColumnType::Float | ColumnType::Real => (4, 0),
        ColumnType::DateTimeOffset(_) => (5, 0),
        ColumnType::Time(_) => (6, 0),
        ColumnType::UniqueIdentifier => (7, 0),
        _ => match ty.decimal_shape() {
            Some((_, scale)) => (8, scale),
            None => (9, 0),
        },
    };
    class(a) == class(b)
}
