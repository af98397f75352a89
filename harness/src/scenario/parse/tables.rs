//! Tables, columns and rows as a file writes them.

use std::collections::HashMap;

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;

use super::reader::Reader;
use crate::scenario::Catalogue;
use crate::scenario::grammar;
use crate::scenario::mistake::{Mistake, all_of, closest};
use crate::scenario::model::{ColumnChange, TableSpec, WrittenRows};
use crate::scenario::place::{At, Spanned};
use crate::scenario::yaml::{Data, Key, Node};

/// The most drawn rows of one table.
pub(super) const ROWS_MAX: u64 = 10_000_000;

/// Tables by name: a number of rows, or columns and rows.
pub(super) fn tables(
    reader: &mut Reader,
    catalogue: &Catalogue,
    entries: &[(&Key, &Node)],
) -> Vec<TableSpec> {
    let mut specs: Vec<TableSpec> = Vec::new();
    for (key, node) in entries {
        if let Some(twice) = specs.iter().find(|s| same_name(&s.table.name, &key.text)) {
            reader.note(
                Mistake::new(
                    key.at,
                    format!("table `{}` is made twice", key.text),
                    "letter case does not count",
                )
                .and(twice.at, "the first time"),
            );
            continue;
        }
        specs.extend(table(reader, catalogue, key, node));
    }
    specs
}

fn table(reader: &mut Reader, catalogue: &Catalogue, key: &Key, node: &Node) -> Option<TableSpec> {
    if let Data::Map(_) = node.data {
        return written_table(reader, catalogue, key, node);
    }
    let table = catalogue_table(reader, catalogue, key);
    let what = "a number of rows, or a mapping with `columns`, `rows` or `drawn`";
    let drawn = reader.number(node, what, 0, ROWS_MAX)?;
    Some(TableSpec {
        at: key.at,
        table: table?,
        rows: Vec::new(),
        drawn,
    })
}

fn catalogue_table(reader: &mut Reader, catalogue: &Catalogue, key: &Key) -> Option<Table> {
    if let Some(table) = catalogue.table(&key.text) {
        return Some(table.clone());
    }
    let label = match closest(&key.text, catalogue.names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "its columns are not known".to_owned(),
    };
    reader.note(
        Mistake::new(
            key.at,
            format!("`{}` is not a table of {}", key.text, catalogue.title()),
            label,
        )
        .help("a table of your own needs `columns: {id: int not null, …}`"),
    );
    None
}

fn written_table(reader: &mut Reader, catalogue: &Catalogue, key: &Key, node: &Node) -> Option<TableSpec> {
    let fields = reader.fields(node, &grammar::TABLE)?;
    let table = match fields.get("columns") {
        None => catalogue_table(reader, catalogue, key),
        Some(node) => {
            let columns = columns(reader, node)?;
            let table = Table {
                name: key.text.clone(),
                columns: columns.into_iter().map(|c| c.value).collect(),
            };
            match table.check() {
                Ok(()) => Some(table),
                Err(error) => {
                    reader.note(Mistake::new(key.at, error.to_string(), "this table"));
                    None
                }
            }
        }
    };
    let mut drawn = match fields.get("drawn") {
        Some(node) => reader.number(node, "a number of drawn rows", 0, ROWS_MAX)?,
        None => 0,
    };
    let table = table?;
    let rows = match fields.get("rows") {
        None => Vec::new(),
        Some(Node {
            data: Data::List(list),
            ..
        }) => rows(reader, &table, list),
        Some(node) => {
            drawn += reader.number(node, "a number of drawn rows, or a list of rows", 0, ROWS_MAX)?;
            Vec::new()
        }
    };
    Some(TableSpec {
        at: key.at,
        table,
        rows,
        drawn,
    })
}

pub(super) fn rows(reader: &mut Reader, table: &Table, list: &[Node]) -> Vec<Vec<Value<'static>>> {
    let mut keys: HashMap<String, At> = HashMap::new();
    let mut rows = Vec::new();
    for node in list {
        let Data::List(cells) = &node.data else {
            reader.wrong(node, "a row: a list with a value for each column");
            continue;
        };
        if cells.len() != table.columns.len() {
            let names = all_of(table.columns.iter().map(|c| &c.name));
            reader.note(
                Mistake::new(
                    node.at,
                    format!(
                        "this row has {} values, and `{}` {} columns",
                        cells.len(),
                        table.name,
                        table.columns.len()
                    ),
                    "count them",
                )
                .help(format!("a value each for {}", names)),
            );
            continue;
        }
        let row: Vec<_> = cells
            .iter()
            .zip(&table.columns)
            .filter_map(|(cell, column)| value(reader, cell, column))
            .collect();
        if row.len() != cells.len() {
            continue;
        }
        if let Some(first) = keys.insert(format!("{:?}", row[0]), cells[0].at) {
            reader.note(
                Mistake::new(
                    cells[0].at,
                    format!("two rows of `{}` have this key", table.name),
                    "the second one",
                )
                .and(first, "the first one"),
            );
        }
        rows.push(row);
    }
    rows
}

/// What becomes of one table's rows in a `rows` step.
pub(super) fn written_rows(
    reader: &mut Reader,
    table: &Table,
    name: Spanned<String>,
    node: &Node,
) -> Option<WrittenRows> {
    let fields = reader.fields(node, &grammar::WRITTEN_ROWS)?;
    let before = reader.mistakes.len();
    let mut written = WrittenRows::of(name);
    let list = |reader: &mut Reader, key: &str, what: &str| -> &[Node] {
        match fields.get(key) {
            None => &[],
            Some(Node {
                data: Data::List(list),
                ..
            }) if !list.is_empty() => list,
            Some(node) => {
                reader.wrong(node, what);
                &[]
            }
        }
    };
    for node in list(reader, "delete", "a list of keys") {
        written.delete.extend(value(reader, node, table.key()));
    }
    for node in list(
        reader,
        "key_change",
        "a list of pairs: the old key and the new one",
    ) {
        let Data::List(pair) = &node.data else {
            reader.wrong(node, "a pair: the old key and the new one");
            continue;
        };
        let [old, new] = pair.as_slice() else {
            reader.wrong(node, "a pair: the old key and the new one");
            continue;
        };
        if let (Some(old), Some(new)) = (value(reader, old, table.key()), value(reader, new, table.key())) {
            written.key_change.push((old, new));
        }
    }
    let nodes = list(reader, "update", "a list of rows");
    written.update = rows(reader, table, nodes);
    let nodes = list(reader, "insert", "a list of rows");
    written.insert = rows(reader, table, nodes);
    if written.count() == 0 && reader.mistakes.len() == before {
        reader.note(Mistake::new(
            node.at,
            format!("nothing happens to `{}`", written.table),
            "no change is named",
        ));
    }
    (reader.mistakes.len() == before).then_some(written)
}

fn value(reader: &mut Reader, cell: &Node, column: &Column) -> Option<Value<'static>> {
    let text = match &cell.data {
        Data::Null if column.nullable => return Some(Value::Null),
        Data::Null => {
            reader.note(Mistake::new(
                cell.at,
                format!("column `{}` is not null", column.name),
                "this is NULL",
            ));
            return None;
        }
        Data::Scalar { text, .. } => text,
        _ => {
            reader.wrong(cell, &format!("a value of type {}", column.ty));
            return None;
        }
    };
    match Value::from_bare(text, column.ty) {
        Ok(value) => Some(value.into_owned()),
        Err(error) => {
            reader.note(Mistake::new(
                cell.at,
                error.to_string(),
                format!("column `{}`", column.name),
            ));
            None
        }
    }
}

/// Columns by name, each `type [not] null [default (…)]`.
pub(super) fn columns(reader: &mut Reader, node: &Node) -> Option<Vec<Spanned<Column>>> {
    let fields = reader.fields(node, &grammar::COLUMNS)?;
    let before = reader.mistakes.len();
    let columns: Vec<_> = fields
        .others
        .iter()
        .filter_map(|(key, node)| column(reader, key, node))
        .collect();
    (reader.mistakes.len() == before).then_some(columns)
}

fn column(reader: &mut Reader, key: &Key, node: &Node) -> Option<Spanned<Column>> {
    const HELP: &str = "write it as SQL Server does: `int not null`, `nvarchar(20) null default (N'x')`";
    let text = reader.text(node, "a column's type, as in `int not null`")?;
    let wrong = |message: String, label: &str| Mistake::new(node.at, message, label).help(HELP);
    let lower = text.to_ascii_lowercase();
    let (head, default) = match lower.find(" default") {
        Some(at) => (&text[..at], text[at..].trim_start()),
        None => (text.as_str(), ""),
    };
    let head_lower = head.trim_end().to_ascii_lowercase();
    let (ty, nullable) = if let Some(ty) = head_lower.strip_suffix("not null") {
        (ty, false)
    } else if let Some(ty) = head_lower.strip_suffix("null") {
        (ty, true)
    } else {
        let message = format!("column `{}` does not say whether it may be NULL", key.text);
        reader.note(wrong(message, "`null` or `not null`?"));
        return None;
    };
    let ty = ColumnType::parse(ty.trim_end())
        .map_err(|e| reader.note(wrong(e.to_string(), "this type")))
        .ok()?;
    let default = Default::parse(default)
        .map_err(|e| reader.note(wrong(e.to_string(), "this default")))
        .ok()?;
    let column = Column {
        name: key.text.clone(),
        ty,
        nullable,
        default,
    };
    if let Some(Err(error)) = column.default.as_ref().map(|d| d.value(ty)) {
        reader.note(wrong(
            format!("the default does not fit: {error}"),
            "this default",
        ));
        return None;
    }
    Some(Spanned::new(column, key.at))
}

/// The changes of one table in an `alter` step, and the table as it is afterwards.
pub(super) fn alter(reader: &mut Reader, before: &Table, node: &Node) -> Option<(Vec<ColumnChange>, Table)> {
    let fields = reader.fields(node, &grammar::ALTERED)?;
    let mistakes = reader.mistakes.len();
    let mut after = before.clone();
    let mut changes = Vec::new();
    if let Some(node) = fields.get("drop") {
        for node in reader.one_or_list(node, "a column, or a list of columns") {
            let Some(name) = reader.text(node, "a column's name") else {
                continue;
            };
            if let Some(at) = position(reader, &after, &name.value, name.at) {
                after.columns.remove(at);
                changes.push(ColumnChange::Drop(name));
            }
        }
    }
    for (key, widens) in [("widen", true), ("change", false)] {
        let Some(columns) = fields.get(key).and_then(|node| columns(reader, node)) else {
            continue;
        };
        for column in columns {
            let Some(at) = position(reader, &after, &column.name, column.at) else {
                continue;
            };
            let old = &after.columns[at];
            if widens && !is_wider(old.ty, column.ty) {
                let message = format!("{} is not wider than {}", column.ty, old.ty);
                reader.note(
                    Mistake::new(column.at, message, format!("it is {} by now", old.ty))
                        .help("`change` gives a column any other type"),
                );
                continue;
            }
            after.columns[at] = column.value.clone();
            changes.push(if widens {
                ColumnChange::Widen(column)
            } else {
                ColumnChange::Change(column)
            });
        }
    }
    for column in fields
        .get("add")
        .and_then(|node| columns(reader, node))
        .unwrap_or_default()
    {
        if after.position(&column.name).is_some() {
            reader.note(Mistake::new(
                column.at,
                format!("`{}` has a column `{}` already", before.name, column.name),
                "a second one",
            ));
            continue;
        }
        if !column.nullable && !column.fill_value().is_ok_and(|v| v.is_some()) {
            let message = format!(
                "`{}` is not null, and rows that are there get no value",
                column.name
            );
            reader.note(
                Mistake::new(column.at, message, "no default")
                    .help("give it one: `int not null default ((0))`"),
            );
            continue;
        }
        after.columns.push(column.value.clone());
        changes.push(ColumnChange::Add(column));
    }
    if reader.mistakes.len() > mistakes {
        return None;
    }
    if changes.is_empty() {
        reader.note(Mistake::new(
            node.at,
            "nothing is altered",
            "add, drop, widen or change a column",
        ));
        return None;
    }
    match after.check() {
        Ok(()) => Some((changes, after)),
        Err(error) => {
            reader.note(Mistake::new(node.at, error.to_string(), "after this"));
            None
        }
    }
}

fn position(reader: &mut Reader, table: &Table, column: &str, at: At) -> Option<usize> {
    let names = || table.columns.iter().map(|c| c.name.as_str());
    match table.position(column) {
        Some(0) => {
            reader.note(
                Mistake::new(
                    at,
                    format!("`{column}` is the key of `{}`", table.name),
                    "the first column stays",
                )
                .help("SQL Server refuses it; drop the table and make it anew"),
            );
            None
        }
        Some(at) => Some(at),
        None => {
            let label = match closest(&fold(column), names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "unknown column".to_owned(),
            };
            let message = format!("`{}` has no column `{column}`", table.name);
            reader.note(Mistake::new(at, message, label).help(format!("it has {}", all_of(names()))));
            None
        }
    }
}

/// Whether every value of the old type is one of the new, and the new one holds more.
fn is_wider(old: ColumnType, new: ColumnType) -> bool {
    use ColumnType::{
        BigInt, Binary, Char, Decimal, Int, NChar, NVarChar, Real, SmallInt, TinyInt, VarBinary, VarChar,
    };
    let longer = |a: Length, b: Length| match (a, b) {
        (Length::Limit(a), Length::Limit(b)) => b > a,
        (Length::Limit(_), Length::Max) => true,
        (Length::Max, _) => false,
    };
    match (old, new) {
        (NVarChar(a), NVarChar(b)) | (VarChar(a), VarChar(b)) | (VarBinary(a), VarBinary(b)) => longer(a, b),
        (NChar(a), NChar(b)) | (Char(a), Char(b)) | (Binary(a), Binary(b)) => b > a,
        (TinyInt, SmallInt | Int | BigInt) | (SmallInt, Int | BigInt) | (Int, BigInt) => true,
        (Real, ColumnType::Float) => true,
        (
            Decimal {
                precision: p,
                scale: s,
            },
            Decimal {
                precision: q,
                scale: t,
            },
        ) => t >= s && q - t.min(q) >= p - s.min(p) && (q, t) != (p, s),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_types_hold_every_older_value() {
        let wider = |a: &str, b: &str| is_wider(ColumnType::parse(a).unwrap(), ColumnType::parse(b).unwrap());
        assert!(wider("nvarchar(20)", "nvarchar(21)"));
        assert!(wider("nvarchar(4000)", "nvarchar(max)"));
        assert!(wider("smallint", "int"));
        assert!(wider("decimal(10,2)", "decimal(12,4)"));
        assert!(
            !wider("decimal(10,2)", "decimal(10,4)"),
            "fewer digits before the point"
        );
        assert!(!wider("nvarchar(20)", "nvarchar(20)"));
        assert!(!wider("nvarchar(max)", "nvarchar(4000)"));
        assert!(!wider("int", "datetime"));
    }
}
