//! Rows of two databases of one SQL Server, compared by the server itself.
//!
//! One statement a table: both tables side by side, by their keys, and of them only what differs. Cells are told apart as
//! [`exact`] has them, to the bit, by `EXCEPT`, to which two NULLs are equal. Only rows that differ leave the server, and
//! what is said of them is what streaming says.

use mirrorlab_engines::mssql::exact::{equals_exactly, exact, order_by, three_names};
use mirrorlab_engines::mssql::value::select;
use mirrorlab_engines::mssql::{Kind as ErrorKind, MssqlError, Row, quote};
use mirrorlab_protocol::value::Value;

use super::finding::{Finding, Kind, Recorder};
use super::mssql::{self, MssqlSide, Place};
use super::rows::{compare_cells, key_text};
use super::schema::Plan;
use super::side::{SideError, UnreadableCell};

/// What became of it.
pub(super) enum Inside {
    /// The table's rows are compared.
    Done,
    /// The server cannot do it, or not exactly, for this reason; nothing is recorded.
    NotPossible(String),
}

/// Whether two sides are databases of one server, of which one moment can be read at once. `Err` says why not.
pub(super) fn possible(left: &MssqlSide, right: &MssqlSide) -> Result<(), String> {
    let server = |side: &MssqlSide| side.address().server().to_ascii_lowercase();
    if server(left) != server(right) {
        return Err("the two databases are on two servers".into());
    }
    if left.place().one_moment != right.place().one_moment {
        return Err("only one of the two databases allows snapshot isolation".into());
    }
    Ok(())
}

/// Compares the rows of one table. `keyed` says whether both sides have the plan's key as their primary key.
///
/// # Errors
/// [`SideError`] where reading breaks off after it began.
pub(super) fn compare(
    left: &mut MssqlSide,
    right: &MssqlSide,
    plan: &Plan,
    keyed: bool,
    recorder: &mut Recorder,
) -> Result<Inside, SideError> {
    if !keyed {
        return Ok(Inside::NotPossible(
            "its key is no primary key on both sides, and may come twice".into(),
        ));
    }
    let Some(sql) = statement(plan, left.place(), right.place()) else {
        return Ok(Inside::NotPossible(
            "the server would take two of its keys for one, or order them otherwise".into(),
        ));
    };
    let names = (
        super::Side::name(left).to_owned(),
        super::Side::name(right).to_owned(),
    );
    let (connection, _) = left.parts();
    let counted = connection.row(&sql.counts, &[]);
    let (rows_left, rows_right) = match counts(&counted) {
        Ok(counts) => counts,
        Err(why) => return Ok(Inside::NotPossible(why)),
    };
    let failed = |e: &MssqlError| mssql::failed(&names.0, Some(&plan.left.name), e);
    let mut stream = match connection.stream(&sql.differences, &[]) {
        Ok(stream) => stream,
        Err(e) if !lost(&e) => return Ok(Inside::NotPossible(e.why())),
        Err(e) => return Err(failed(&e)),
    };
    let mut row = match stream.next_row() {
        Ok(row) => row,
        Err(e) if !lost(&e) => return Ok(Inside::NotPossible(e.why())),
        Err(e) => return Err(failed(&e)),
    };
    let mut missing = 0;
    while let Some(differing) = row {
        missing += u64::from(one(&differing, plan, recorder));
        row = stream.next_row().map_err(|e| failed(&e))?;
    }
    let table = recorder.table();
    table.rows_left = rows_left;
    table.rows_right = rows_right;
    table.rows_compared = rows_left.saturating_sub(missing);
    table.compared = super::finding::Compared::InServer;
    Ok(Inside::Done)
}

fn lost(error: &MssqlError) -> bool {
    matches!(error.kind, ErrorKind::Lost | ErrorKind::Timeout)
}

fn counts(counted: &Result<Option<Row>, MssqlError>) -> Result<(u64, u64), String> {
    let row = counted.as_ref().map_err(MssqlError::why)?;
    let number = |at: usize| {
        let count = row.as_ref().and_then(|r| r.integer(at));
        count.and_then(|n| u64::try_from(n).ok())
    };
    number(0)
        .zip(number(1))
        .ok_or_else(|| "the server counted no rows".into())
}

/// Records what differs in one row; whether it is missing on the right.
fn one(row: &Row, plan: &Plan, recorder: &mut Recorder) -> bool {
    let columns = plan.left_columns.len();
    let left = |at: usize| mssql::cell(row, 1 + at, plan.left.columns[plan.left_columns[at]].ty);
    let right = |at: usize| {
        mssql::cell(
            row,
            1 + columns + at,
            plan.right.columns[plan.right_columns[at]].ty,
        )
    };
    let (kind, cell): (_, &dyn Fn(usize) -> Result<Value<'static>, UnreadableCell>) = match row.integer(0) {
        Some(1) => (Some(Kind::RowMissing), &|at| left(at).map(Value::into_owned)),
        Some(2) => (Some(Kind::RowExtra), &|at| right(at).map(Value::into_owned)),
        _ => (None, &|at| left(at).map(Value::into_owned)),
    };
    let key: Result<Vec<Value<'static>>, UnreadableCell> = (0..plan.key_columns).map(cell).collect();
    let key = match key {
        Ok(key) => key,
        Err(UnreadableCell(found)) => {
            recorder.add_with(Kind::KeyUnreadable, |_| Finding {
                note: Some(found),
                ..Finding::of_table(Kind::KeyUnreadable)
            });
            return kind == Some(Kind::RowMissing);
        }
    };
    match kind {
        Some(kind) => recorder.add_with(kind, |_| Finding::of_row(kind, key_text(plan, &key))),
        None => {
            if !compare_cells(plan, &key, &left, &right, recorder) {
                // Half of a surrogate pair, say, which SQL Server keeps and no text here can hold.
                recorder.add_with(Kind::Cell, |_| Finding {
                    note: Some(
                        "the server tells the two rows apart, and what it sends of them is the same".into(),
                    ),
                    ..Finding::of_row(Kind::Cell, key_text(plan, &key))
                });
            }
        }
    }
    kind == Some(Kind::RowMissing)
}

#[derive(Debug)]
struct Statements {
    counts: String,
    differences: String,
}

/// `None` where the keys' own comparison is not exact.
fn statement(plan: &Plan, left: &Place, right: &Place) -> Option<Statements> {
    let a = three_names(&left.database, &left.schema, &plan.left.name);
    let b = three_names(&right.database, &right.schema, &plan.right.name);
    let column = |side: &str, at: usize| {
        let (table, columns) = match side {
            "a" => (&plan.left, &plan.left_columns),
            _ => (&plan.right, &plan.right_columns),
        };
        let column = &table.columns[columns[at]];
        (format!("{side}.{}", quote(&column.name)), column.ty)
    };
    let all = 0..plan.left_columns.len();
    let selected: Vec<String> = all
        .clone()
        .map(|at| column("a", at))
        .chain(all.clone().map(|at| column("b", at)))
        .map(|(name, ty)| select(&name, ty))
        .collect();
    let mut joined = Vec::new();
    let mut order = Vec::new();
    for at in 0..plan.key_columns {
        let ((x, ty), (y, other)) = (column("a", at), column("b", at));
        if !equals_exactly(ty) || !equals_exactly(other) {
            return None;
        }
        joined.push(format!("{x} = {y}"));
        order.push(order_by(&format!("COALESCE({x}, {y})"), ty)?);
    }
    let cells = |side: &str| -> Vec<String> {
        let cells = (plan.key_columns..plan.left_columns.len()).map(|at| column(side, at));
        cells.flat_map(|(name, ty)| exact(&name, ty)).collect()
    };
    let (x, y) = (cells("a"), cells("b"));
    // Two types that are comparable and yet told apart by another number of expressions are not told apart at all.
    if x.len() != y.len() {
        return None;
    }
    let (key_a, key_b) = (column("a", 0).0, column("b", 0).0);
    let mut differing = format!("{key_a} IS NULL OR {key_b} IS NULL");
    if !x.is_empty() {
        differing.push_str(&format!(
            " OR EXISTS (SELECT {} EXCEPT SELECT {})",
            x.join(", "),
            y.join(", ")
        ));
    }
    Some(Statements {
        counts: format!("SELECT (SELECT COUNT_BIG(*) FROM {a}), (SELECT COUNT_BIG(*) FROM {b})"),
        differences: format!(
            "SELECT CASE WHEN {key_b} IS NULL THEN 1 WHEN {key_a} IS NULL THEN 2 ELSE 0 END, {} FROM {a} AS a \
             FULL OUTER JOIN {b} AS b ON {} WHERE {differing} ORDER BY {}",
            selected.join(", "),
            joined.join(" AND "),
            order.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::schema::{Column, Table};
    use mirrorlab_protocol::types::ColumnType;
    use sqlparser::dialect::MsSqlDialect;
    use sqlparser::parser::Parser;

    fn plan(columns: &[&str], key_columns: usize) -> Plan {
        let table = Table {
            name: "y_t]able".into(),
            columns: columns
                .iter()
                .map(|ty| Column {
                    name: format!("x_{}", ty.split('(').next().unwrap()),
                    ty: ColumnType::parse(ty).unwrap(),
                    nullable: true,
                    default: None,
                })
                .collect(),
        };
        let all: Vec<usize> = (0..columns.len()).collect();
        Plan {
            left: table.clone(),
            right: table,
            left_columns: all.clone(),
            right_columns: all,
            key_columns,
        }
    }

    fn place(database: &str) -> Place {
        Place {
            database: database.into(),
            schema: "dbo".into(),
            one_moment: true,
        }
    }

    #[test]
    fn statements_are_t_sql() {
        let mut shown = String::new();
        for (columns, keys) in [
            (&["int"][..], 1),
            (&["int", "nvarchar(20)", "float"], 1),
            (
                &[
                    "uniqueidentifier",
                    "decimal(9,2)",
                    "datetime",
                    "datetimeoffset(7)",
                    "varbinary(max)",
                ],
                2,
            ),
        ] {
            let statements = statement(&plan(columns, keys), &place("Source"), &place("Mirror")).unwrap();
            for sql in [statements.counts, statements.differences] {
                Parser::parse_sql(&MsSqlDialect {}, &sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
                shown.push_str(&format!("{sql}\n"));
            }
        }
        insta::assert_snapshot!(shown);
        for key in ["nvarchar(20)", "varbinary(8)", "float", "datetimeoffset(0)"] {
            assert!(
                statement(&plan(&[key], 1), &place("a"), &place("b")).is_none(),
                "{key}"
            );
        }
    }
}
