//! `mirrorlab compare`.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mirrorlab_protocol::names::same_name;
use mirrorlab_simulator::blocked;
use mirrorlab_simulator::source::sqlite::tracking;

use super::{CliError, Exit, values};
use crate::compare::output::Form;
use crate::compare::{self as comparer, Ignore, Options, Side as _, SideTable, SqliteSide};

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
LEFT is what should be, RIGHT what is: a source and its mirror, SQLite files
both. They are only read. Change tracking, metadata, and blocked tables that
RIGHT does not have are left out. What is not compared is listed, with the
reason.

Examples:
  mirrorlab compare sources/Cust10001.db mirrors/Mirror_Cust10001.db
  mirrorlab compare before.db after.db --table contact --table person
  mirrorlab compare source.db mirror.db --ignore '*.updated' --format csv

Exit code 0: equal. 1: they differ.")]
pub struct CompareArgs {
    /// The database that is right
    #[arg(value_name = "LEFT")]
    pub left: PathBuf,
    /// The database that is compared with it
    #[arg(value_name = "RIGHT")]
    pub right: PathBuf,
    /// Compare only this table; may be given several times
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
    /// Compare only this column, and each table's key; may be given several times
    #[arg(long = "column", value_name = "NAME")]
    pub columns: Vec<String>,
    /// Leave this out: contact, contact.updated, or *.updated; may be given several times
    #[arg(long, value_name = "WHAT", value_parser = values::ignore)]
    pub ignore: Vec<Ignore>,
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
    let (left_name, right_name) = names(&args.left, &args.right);
    let open = |name: &str, path: &Path| {
        SqliteSide::open(name, path, Box::new(|table| !tracking::is_own(table))).map_err(CliError::broken)
    };
    let mut left = open(&left_name, &args.left)?;
    let mut right = open(&right_name, &args.right)?;
    let lefts = left.tables().map_err(CliError::broken)?;
    let rights = right.tables().map_err(CliError::broken)?;
    if lefts.iter().chain(&rights).all(is_metadata) {
        return Err(CliError::broken(format!(
            "there is nothing to compare: neither {} nor {} has a table",
            args.left.display(),
            args.right.display()
        )));
    }
    let mut ignore = args.ignore;
    ignore.extend(expected_differences(&lefts, &rights));
    let options = Options {
        tables: (!args.tables.is_empty()).then_some(args.tables),
        columns: (!args.columns.is_empty()).then_some(args.columns),
        ignore,
        findings_per_table_max: args.max,
    };
    let report = comparer::compare(&mut left, &mut right, &options).map_err(|error| match error {
        comparer::CompareError::UnknownTable { .. } | comparer::CompareError::UnknownColumn(_) => {
            CliError::usage(error)
        }
        other => CliError::broken(other),
    })?;
    let form = match args.format {
        Format::Text => Form::Text,
        Format::JsonLines => Form::JsonLines,
        Format::Csv => Form::Csv,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    report
        .write(form, &mut out)
        .and_then(|()| io::Write::flush(&mut out))
        .map_err(CliError::output)?;
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

/// `<context>_mirroring` with its two columns that every mirroring server's has (doc).
fn is_metadata(table: &SideTable) -> bool {
    let has = |column| {
        table
            .shape
            .as_ref()
            .is_ok_and(|shape| shape.position(column).is_some())
    };
    table.name.to_ascii_lowercase().ends_with("_mirroring") && has("tablename") && has("LSN")
}

/// The shortest names that tell the two files apart.
fn names(left: &Path, right: &Path) -> (String, String) {
    let short = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    match (short(left), short(right)) {
        (Some(a), Some(b)) if a != b => (a, b),
        _ if left != right => (left.display().to_string(), right.display().to_string()),
        _ => ("left".into(), "right".into()),
    }
}
