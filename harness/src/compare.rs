//! The comparer: whether a mirror holds what its source holds.
//!
//! It verifies tables, columns (type, nullability, default by value), keys, and every row, cell by cell, to the bit. Both
//! sides are streamed in key order and merged; no table is ever held in memory. What it does *not* verify is said in
//! every report, with the reason: see [`Report::not_compared`].
//!
//! - [`side`]: what a database must offer to be compared
//! - [`sqlite`]: a SQLite file as a side
//! - [`mssql`]: a database of a SQL Server as a side; `spool`: its rows sorted here where its order is another
//! - `inside`: two databases of one SQL Server, compared by the server
//! - [`finding`]: differences, and the report of them
//! - [`show`]: two values, shown so that their difference is seen
//! - [`output`]: a report as text, JSON lines, CSV

use std::collections::BTreeMap;

use mirrorlab_protocol::names::{fold, same_name};

pub mod finding;
mod inside;
pub mod mssql;
pub mod output;
mod rows;
mod schema;
pub mod show;
pub mod side;
mod spool;
pub mod sqlite;
#[cfg(test)]
mod tests;

pub use finding::{Compared, Finding, Kind, NotCompared, Report, TableReport};
pub use mssql::MssqlSide;
pub use side::{Side, SideError, SideTable};
pub use sqlite::SqliteSide;

use finding::Recorder;

/// Something that is left out of a comparison, and the reason that the report gives for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    /// The table; `None` for every table.
    pub table: Option<String>,
    /// The column; `None` for the whole table.
    pub column: Option<String>,
    /// Why it is left out.
    pub why: String,
}

impl Ignore {
    /// Reads `contact` (a table), `contact.updated` (a column) or `*.updated` (a column of every table). `None` for
    /// anything else.
    pub fn parse(text: &str, why: &str) -> Option<Ignore> {
        let (table, column) = match text.split_once('.') {
            Some((table, column)) => (table, Some(column)),
            None => (text, None),
        };
        let every = table == "*";
        if table.is_empty() || column == Some("") || (every && column.is_none()) {
            return None;
        }
        Some(Ignore {
            table: (!every).then(|| table.to_owned()),
            column: column.map(str::to_owned),
            why: why.to_owned(),
        })
    }

    fn names_table(&self, table: &str) -> bool {
        self.table.as_deref().is_none_or(|name| same_name(name, table))
    }

    /// Whether this is a table, or a table with a column, that is to be left out.
    pub fn is_about(&self, table: &SideTable) -> bool {
        self.names_table(&table.name) && self.column.as_deref().is_none_or(|column| table.has(column))
    }

    fn is_column(&self, table: &str, column: &str) -> bool {
        self.names_table(table) && self.column.as_deref().is_some_and(|name| same_name(name, column))
    }
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Only these tables; `None` for all. A name that stands on neither side is an error.
    pub tables: Option<Vec<String>>,
    /// Only these columns, in whatever table they stand, and each table's key; `None` for all.
    pub columns: Option<Vec<String>>,
    /// Tables and columns to leave out.
    pub ignore: Vec<Ignore>,
    /// Whether types, nullability, defaults and keys may differ. Types whose values cannot be compared may not.
    pub rows_only: bool,
    /// At most this many findings of one table are kept, and of each kind at least one; all are counted.
    pub findings_per_table_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            tables: None,
            columns: None,
            ignore: Vec::new(),
            rows_only: false,
            findings_per_table_max: 20,
        }
    }
}

/// A comparison that could not be made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A side could not be read.
    #[error(transparent)]
    Side(#[from] SideError),
    /// A table was asked for that is nowhere.
    #[error("there is no table `{table}`, neither in {left} nor in {right}")]
    UnknownTable {
        /// The name asked for.
        table: String,
        /// One side.
        left: String,
        /// The other.
        right: String,
    },
    /// Two tables of one side have one name, its letter case left aside.
    #[error("{side} has the tables `{one}` and `{other}`, one name to SQL Server: rename one of them")]
    SameName {
        /// The side.
        side: String,
        /// One table.
        one: String,
        /// The other.
        other: String,
    },
    /// A column was asked for that is nowhere.
    #[error("no compared table has a column `{0}`")]
    UnknownColumn(String),
}

/// Compares `right` with `left`, which is taken as what should be: a table that `right` lacks is missing, one that only
/// `right` has is extra. Each side shows one moment of its database, if its [`Side`] says so.
///
/// # Errors
/// [`CompareError`]. A difference is no error: it is in the [`Report`].
pub fn compare(left: &mut dyn Side, right: &mut dyn Side, options: &Options) -> Result<Report, CompareError> {
    let lefts = by_name(left)?;
    let rights = by_name(right)?;
    check_names(&lefts, &rights, left, right, options)?;

    let mut recorder = Recorder::new(left.name(), right.name(), options.findings_per_table_max);
    for (what, why) in NEVER_COMPARED {
        recorder.not_compared(what, why);
    }
    if options.rows_only {
        recorder.not_compared(
            "types, nullability, defaults and keys",
            "only rows were asked for",
        );
    }
    for spot in left.blind_spots().into_iter().chain(right.blind_spots()) {
        recorder.not_compared(&spot.what, &spot.why);
    }

    let mut names: Vec<&String> = lefts.keys().chain(rights.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let shown = lefts.get(name).or(rights.get(name)).map_or(name, |t| &t.name);
        if let Some(tables) = &options.tables
            && !tables.iter().any(|t| same_name(t, name))
        {
            continue;
        }
        let ignored = |i: &&Ignore| i.column.is_none() && i.names_table(name);
        if let Some(ignore) = options.ignore.iter().find(ignored) {
            recorder.not_compared(&format!("table {shown}"), &ignore.why);
            continue;
        }
        recorder.begin(shown);
        match (lefts.get(name), rights.get(name)) {
            (Some(_), None) => recorder.add(Finding::of_table(Kind::TableMissing)),
            (None, Some(_)) => recorder.add(Finding::of_table(Kind::TableExtra)),
            (Some(a), Some(b)) => {
                if let Some(plan) = schema::compare(a, b, options, &mut recorder) {
                    let same = |(x, y): (&String, &String)| same_name(x, y);
                    let keyed =
                        !a.key.is_empty() && a.key.len() == b.key.len() && a.key.iter().zip(&b.key).all(same);
                    rows_of(left, right, &plan, keyed, &mut recorder)?;
                }
            }
            (None, None) => {}
        }
    }
    for remark in left.take_remarks().into_iter().chain(right.take_remarks()) {
        recorder.remark(remark);
    }
    Ok(recorder.finish())
}

/// Compares a table's rows: inside the server where both sides are databases of one, else here.
fn rows_of(
    left: &mut dyn Side,
    right: &mut dyn Side,
    plan: &schema::Plan,
    keyed: bool,
    recorder: &mut Recorder,
) -> Result<(), SideError> {
    if let (Some(a), Some(b)) = (left.on_server(), right.on_server()) {
        let table = plan.left.name.clone();
        let why = match inside::possible(a, b) {
            Err(why) => why,
            Ok(()) => match inside::compare(a, b, plan, keyed, recorder)? {
                inside::Inside::Done => return Ok(()),
                inside::Inside::NotPossible(why) => format!("{table}: {why}"),
            },
        };
        recorder.remark(format!(
            "rows were read and compared here, not inside the server: {why}"
        ));
    }
    rows::compare(left, right, plan, recorder)
}

/// What no report of this comparer speaks of.
const NEVER_COMPARED: [(&str, &str); 3] = [
    (
        "foreign keys, indexes, collations, schema prefixes",
        "the protocol does not carry them, a mirror has none or its own",
    ),
    (
        "views, triggers, check constraints, identity",
        "they are the source's own means; their results are in the rows",
    ),
    (
        "the columns' order, and the letter case of names",
        "tables and columns are matched by name, as SQL Server does",
    ),
];

fn by_name(side: &mut dyn Side) -> Result<BTreeMap<String, SideTable>, CompareError> {
    let mut tables = BTreeMap::new();
    for table in side.tables()? {
        if let Some(other) = tables.insert(fold(&table.name), table.clone()) {
            return Err(CompareError::SameName {
                side: side.name().to_owned(),
                one: other.name,
                other: table.name,
            });
        }
    }
    Ok(tables)
}

/// A name that nothing answers to would make a comparison that cannot fail.
fn check_names(
    lefts: &BTreeMap<String, SideTable>,
    rights: &BTreeMap<String, SideTable>,
    left: &dyn Side,
    right: &dyn Side,
    options: &Options,
) -> Result<(), CompareError> {
    let is_there = |table: &String| {
        let folded = fold(table);
        lefts.contains_key(&folded) || rights.contains_key(&folded)
    };
    if let Some(table) = options.tables.iter().flatten().find(|t| !is_there(t)) {
        return Err(CompareError::UnknownTable {
            table: table.clone(),
            left: left.name().to_owned(),
            right: right.name().to_owned(),
        });
    }
    let chosen = |name: &str| {
        let tables = options.tables.as_ref();
        tables.is_none_or(|tables| tables.iter().any(|t| same_name(t, name)))
    };
    let has = |column: &String, table: &SideTable| chosen(&table.name) && table.has(column);
    for column in options.columns.iter().flatten() {
        if !lefts.values().chain(rights.values()).any(|t| has(column, t)) {
            return Err(CompareError::UnknownColumn(column.clone()));
        }
    }
    Ok(())
}
