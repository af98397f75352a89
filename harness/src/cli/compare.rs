//! `mirrorlab compare`.

use std::io;

use clap::{Args, ValueEnum};
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_simulator::blocked;
use mirrorlab_simulator::source::sqlite::tracking;

use super::database::Database;
use super::{CliError, Exit, unless_unread, values};
use crate::compare::output::Form;
use crate::compare::{self as comparer, Ignore, NotCompared, Options, SideTable};

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: findings, tables, what was not compared, and a summary last.
    JsonLines,
    /// The findings, for a spreadsheet.
    Csv,
}

/// The flags of `mirrorlab compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
LEFT is what should be, RIGHT what is: a source and its mirror, a mirror and a
replica. Each is a SQLite file (FILE or sqlite:FILE) or a database of a SQL
Server: env:NAME or @FILE, which hold mssql://user:password@host:port/database.
They are only read. Two databases of one SQL Server are compared by the server
itself. Change tracking, metadata, and blocked tables that RIGHT does not have
are left out. What is not compared is listed, with the reason.

Examples:
  mirrorlab compare sources/Cust10001.db mirrors/Mirror_Cust10001.db
  mirrorlab compare before.db after.db --table contact --table person
  mirrorlab compare source.db mirror.db --ignore '*.updated' --format csv
  mirrorlab compare sources/Cust10001.db env:MIRROR_CONNECTION
  mirrorlab compare env:REPLICA env:MIRROR --common --rows-only

Exit codes: 0 equal; 1 they differ; 2 wrong flags; 4 a side cannot be read.")]
pub struct CompareArgs {
    /// The database that is right
    #[arg(value_name = "LEFT")]
    pub left: String,
    /// The database that is compared with it
    #[arg(value_name = "RIGHT")]
    pub right: String,
    /// Compare only this table; may be given several times
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
    /// Compare only this column, and each table's key; may be given several times
    #[arg(long = "column", value_name = "NAME")]
    pub columns: Vec<String>,
    /// Leave this out: contact, contact.updated, or *.updated; may be given several times
    #[arg(long, value_name = "WHAT", value_parser = values::ignore)]
    pub ignore: Vec<Ignore>,
    /// Leave out tables and columns that only one of the two has
    #[arg(long)]
    pub common: bool,
    /// Compare rows alone: types, nullability, defaults and keys may differ
    #[arg(long)]
    pub rows_only: bool,
    /// Show at most so many findings of a table; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub max: usize,
    /// How the report looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: CompareArgs) -> Result<Exit, CliError> {
    let left_place = Database::parse("LEFT", &args.left)?;
    let right_place = Database::parse("RIGHT", &args.right)?;
    let (left_name, right_name) = names(&left_place, &right_place);
    let open = |name: &str, place: &Database| {
        let opened = place.open(name, Box::new(|table| !tracking::is_own(table)));
        opened.map_err(CliError::broken)
    };
    let mut left = open(&left_name, &left_place)?;
    let mut right = open(&right_name, &right_place)?;
    let lefts = left.tables().map_err(CliError::broken)?;
    let rights = right.tables().map_err(CliError::broken)?;
    if lefts.iter().chain(&rights).all(is_metadata) {
        return Err(CliError::broken(format!(
            "there is nothing to compare: neither {left_place} nor {right_place} has a table"
        )));
    }
    if let Some(unknown) = args
        .ignore
        .iter()
        .find(|i| !lefts.iter().chain(&rights).any(|t| i.is_about(t)))
    {
        let column = unknown.column.as_ref().map(|column| format!(".{column}"));
        return Err(CliError::usage(format!(
            "--ignore {}{}: neither {left_place} nor {right_place} has it",
            unknown.table.as_deref().unwrap_or("*"),
            column.unwrap_or_default()
        )));
    }
    let mut ignore = args.ignore;
    ignore.extend(expected_differences(&lefts, &rights));
    if args.common {
        let both = |table: &SideTable| rights.iter().any(|t| same_name(&t.name, &table.name));
        if !lefts.iter().any(|table| !is_metadata(table) && both(table)) {
            return Err(CliError::broken(format!(
                "there is nothing to compare: {left_place} and {right_place} have no table in common"
            )));
        }
        ignore.extend(on_one_side(&lefts, &rights));
    }
    let options = Options {
        tables: (!args.tables.is_empty()).then_some(args.tables),
        columns: (!args.columns.is_empty()).then_some(args.columns),
        ignore,
        rows_only: args.rows_only,
        findings_per_table_max: args.max,
    };
    let mut report =
        comparer::compare(left.as_mut(), right.as_mut(), &options).map_err(|error| match error {
            comparer::CompareError::UnknownTable { .. } | comparer::CompareError::UnknownColumn(_) => {
                CliError::usage(error)
            }
            other => CliError::broken(other),
        })?;
    report
        .not_compared
        .extend(not_asked_for(&options, &lefts, &rights));
    let form = match args.format {
        Format::Text => Form::Text,
        Format::JsonLines => Form::JsonLines,
        Format::Csv => Form::Csv,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    unless_unread(
        report
            .write(form, &mut out)
            .and_then(|()| io::Write::flush(&mut out)),
    )?;
    Ok(match report.is_equal() {
        true => Exit::Held,
        false => Exit::Failed,
    })
}

/// What two mirrors, or a source and its mirror, need not have in common: each side's own metadata, and tables of left
/// that SuperOffice never mirrors.
fn expected_differences(lefts: &[SideTable], rights: &[SideTable]) -> Vec<Ignore> {
    let ignore = |table: &SideTable, why: String| Ignore {
        table: Some(table.name.clone()),
        column: None,
        why,
    };
    let mut ignored = Vec::new();
    for table in lefts.iter().chain(rights).filter(|t| is_metadata(t)) {
        ignored.push(ignore(table, "the mirroring server's own metadata".into()));
    }
    for table in lefts {
        if let Some(why) = blocked::why_not(&table.name)
            && !rights.iter().any(|t| same_name(&t.name, &table.name))
        {
            ignored.push(ignore(table, format!("never mirrored: {why}")));
        }
    }
    ignored
}

/// What stands beside the tables and columns that were asked for: a part that is equal is not the whole.
fn not_asked_for(options: &Options, lefts: &[SideTable], rights: &[SideTable]) -> Vec<NotCompared> {
    let why = |flag: &str| format!("{flag} asks for others");
    let mut left_out = Vec::new();
    if let Some(tables) = &options.tables {
        let all = lefts.iter().chain(rights).filter(|t| !is_metadata(t));
        let mut others: Vec<&str> = all
            .map(|t| t.name.as_str())
            .filter(|name| !tables.iter().any(|t| same_name(t, name)))
            .collect();
        others.sort_by_key(|name| fold(name));
        others.dedup_by(|a, b| same_name(a, b));
        left_out.extend(others.into_iter().map(|name| NotCompared {
            what: format!("table {name}"),
            why: why("--table"),
        }));
    }
    if let Some(columns) = &options.columns {
        left_out.push(NotCompared {
            what: format!("columns but for {} and keys", columns.join(", ")),
            why: why("--column"),
        });
    }
    left_out
}

/// `<context>_mirroring` with its two columns that every mirroring server's has (doc).
fn is_metadata(table: &SideTable) -> bool {
    table.name.to_ascii_lowercase().ends_with("_mirroring") && table.has("tablename") && table.has("LSN")
}

/// Tables, and columns of tables that are on both sides, that only one side has.
fn on_one_side(lefts: &[SideTable], rights: &[SideTable]) -> Vec<Ignore> {
    const WHY: &str = "only one of the two has it, and --common leaves that out";
    let mut ignored = Vec::new();
    for (these, others) in [(lefts, rights), (rights, lefts)] {
        for table in these {
            let ignore = |column: Option<&str>| Ignore {
                table: Some(table.name.clone()),
                column: column.map(str::to_owned),
                why: WHY.into(),
            };
            let Some(other) = others.iter().find(|t| same_name(&t.name, &table.name)) else {
                ignored.push(ignore(None));
                continue;
            };
            let alone = table.columns().filter(|column| !other.has(column));
            ignored.extend(alone.map(|column| ignore(Some(column))));
        }
    }
    ignored
}

/// The shortest names that tell the two databases apart.
fn names(left: &Database, right: &Database) -> (String, String) {
    match (left.short(), right.short()) {
        (a, b) if a != b => (a, b),
        _ if left != right => (left.to_string(), right.to_string()),
        _ => ("left".into(), "right".into()),
    }
}
