//! A schema in a file: plain lines that a person can read and write.
//!
//! ```text
//! # A comment.
//! table contact
//!     contact_id   int            not null
//!     name         nvarchar(219)  not null  default (N'')
//!     [a name]     datetime       null
//! ```
//!
//! A line at the margin begins a table; indented lines are its columns: name, type, `null` or `not null`, and the default
//! as SuperOffice writes it, if there is one. The first column is the key. A name with blanks stands in brackets, `]`
//! in it doubled.
//!
//! A capture is taken for a schema too: the TableSchema call that SuperOffice itself sent, saved in any of the forms that
//! [`crate::capture`] reads.
//!
//! - [`captured`]: the tables of a captured TableSchema call
//! - [`mod@drawn`]: schemas of any size, drawn from a seed
//!
//! [`superoffice`] has tables of a real SuperOffice database.

pub mod captured;
pub mod drawn;

use std::path::Path;
use std::sync::OnceLock;

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, SchemaError, Table, check_distinct};
use mirrorlab_protocol::types::ColumnType;

use crate::capture::{self, CaptureError, place};

/// A schema that was read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its tables, in the file's order.
    pub tables: Vec<Table>,
    /// Whether SuperOffice sent them: then the list of blocked tables does not apply to them.
    pub is_captured: bool,
}

impl Schema {
    /// The names of the tables that a capture shows to be sent.
    pub fn captured(&self) -> impl Iterator<Item = &str> {
        self.tables
            .iter()
            .filter(|_| self.is_captured)
            .map(|table| table.name.as_str())
    }
}

/// A schema file that could not be read: where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {what}", place(*.line, *.column))]
pub struct SchemaFileError {
    /// The file, as the person named it.
    pub file: String,
    /// The line, counted from 1; 0 where the file as a whole cannot be read.
    pub line: usize,
    /// The column in characters, counted from 1; 0 where the whole line is meant.
    pub column: usize,
    /// What is wrong with it.
    pub what: String,
}

impl From<CaptureError> for SchemaFileError {
    fn from(error: CaptureError) -> SchemaFileError {
        SchemaFileError {
            file: error.file,
            line: error.line,
            column: error.column,
            what: error.what,
        }
    }
}

/// Reads the schema in the file `path`: plain lines, or a capture.
///
/// # Errors
/// [`SchemaFileError`], with the place.
pub fn load(path: &Path) -> Result<Schema, SchemaFileError> {
    let file = path.display().to_string();
    let bytes = capture::read_file(path)?;
    if capture::split::is_capture(&bytes) {
        return Ok(Schema {
            tables: captured::read(&file, &bytes)?,
            is_captured: true,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Schema {
            tables: parse(&file, &text)?,
            is_captured: false,
        }),
        Err(error) => Err(SchemaFileError {
            file,
            line: 0,
            column: 0,
            what: format!(
                "it is neither a schema nor a capture: no UTF-8 from byte {} on",
                error.utf8_error().valid_up_to()
            ),
        }),
    }
}

/// Reads a schema's text; `file` is what errors call it.
///
/// # Errors
/// [`SchemaFileError`], with the line.
pub fn parse(file: &str, text: &str) -> Result<Vec<Table>, SchemaFileError> {
    let mut tables: Vec<Table> = Vec::new();
    let mut begun = 0;
    let failed = |line: usize, what: String| SchemaFileError {
        file: file.to_owned(),
        line,
        column: 0,
        what,
    };
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = at + 1;
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            finished(&tables).map_err(|what| failed(begun, what))?;
            let name = read_table(content).map_err(|what| failed(number, what))?;
            tables.push(Table {
                name,
                columns: Vec::new(),
            });
            check_distinct(&tables).map_err(|error| failed(number, error.to_string()))?;
            begun = number;
            continue;
        }
        let Some(table) = tables.last_mut() else {
            return Err(failed(
                number,
                "a column stands before the first `table NAME`".into(),
            ));
        };
        read_column(content)
            .and_then(|column| {
                table.columns.push(column);
                // Checked with each column, so that the error has its line.
                table.check().map_err(|error| error.to_string())
            })
            .map_err(|what| failed(number, what))?;
    }
    finished(&tables).map_err(|what| failed(begun, what))?;
    if tables.is_empty() {
        return Err(failed(1, "there is no table in it; expected `table NAME`".into()));
    }
    Ok(tables)
}

fn finished(tables: &[Table]) -> Result<(), String> {
    match tables.last() {
        Some(table) if table.columns.is_empty() => {
            Err(SchemaError::NoColumns(table.name.clone()).to_string())
        }
        _ => Ok(()),
    }
}

fn read_table(content: &str) -> Result<String, String> {
    let expected = || {
        format!(
            "`{}`: expected `table NAME` (columns are indented)",
            excerpt(content)
        )
    };
    let rest = content
        .get(..5)
        .filter(|word| word.eq_ignore_ascii_case("table"))
        .map(|word| &content[word.len()..])
        .filter(|rest| rest.starts_with(char::is_whitespace))
        .ok_or_else(expected)?;
    let (name, rest) = read_name(rest.trim_start())?;
    if rest.trim().is_empty() {
        Ok(name)
    } else {
        Err(expected())
    }
}

/// Splits a name off the beginning of `text`.
fn read_name(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('[') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once(']') {
        name.push_str(before);
        match after.strip_prefix(']') {
            Some(more) => {
                name.push(']');
                rest = more;
            }
            None => return Ok((name, after)),
        }
    }
    Err(format!("`{}`: the name's bracket is not closed", excerpt(text)))
}

fn read_column(content: &str) -> Result<Column, String> {
    let (name, rest) = read_name(content)?;
    let (ty, nullable, default) = split_null(rest).ok_or_else(|| {
        format!(
            "column `{}`: expected a type and then `null` or `not null`, as in `name  nvarchar(219)  not null`",
            excerpt(&name)
        )
    })?;
    let told = |error: &dyn std::fmt::Display| format!("column `{}`: {error}", excerpt(&name));
    let ty = ColumnType::parse(ty).map_err(|error| told(&error))?;
    let default = Default::parse(default).map_err(|error| told(&error))?;
    Ok(Column {
        name,
        ty,
        nullable,
        default,
    })
}

/// Splits at the word `null` or the words `not null`: what stands before, whether it may be null, what stands behind.
fn split_null(text: &str) -> Option<(&str, bool, &str)> {
    let mut not_at = None;
    let mut from = 0;
    while let Some(start) = text[from..]
        .find(|c: char| !c.is_whitespace())
        .map(|at| from + at)
    {
        let end = text[start..]
            .find(char::is_whitespace)
            .map_or(text.len(), |at| start + at);
        let word = &text[start..end];
        if word.eq_ignore_ascii_case("null") {
            let ty = text[..not_at.unwrap_or(start)].trim();
            return (!ty.is_empty()).then(|| (ty, not_at.is_none(), text[end..].trim()));
        }
        not_at = word.eq_ignore_ascii_case("not").then_some(start);
        from = end;
    }
    None
}

/// Writes a schema as [`parse`] reads it, its columns aligned.
pub fn write(tables: &[Table]) -> String {
    let bracketed = |name: &str| {
        if name.contains([' ', '\t', '[', ']']) || name.starts_with('#') {
            format!("[{}]", name.replace(']', "]]"))
        } else {
            name.to_owned()
        }
    };
    let mut out = String::new();
    for table in tables {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("table {}\n", bracketed(&table.name)));
        let cells: Vec<[String; 4]> = table
            .columns
            .iter()
            .map(|column| {
                [
                    bracketed(&column.name),
                    column.ty.to_string(),
                    if column.nullable { "null" } else { "not null" }.into(),
                    column
                        .default
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                ]
            })
            .collect();
        let width = |at: usize| cells.iter().map(|c| c[at].chars().count()).max().unwrap_or(0);
        let (names, types) = (width(0), width(1));
        for [name, ty, null, default] in &cells {
            let line = format!("    {name:names$}  {ty:types$}  {null:8}  {default}");
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// 25 tables of a SuperOffice database, as an endpoint is told of them (seen), in name order.
pub fn superoffice() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| {
        parse(
            "superoffice.schema",
            include_str!("../../fixtures/schemas/superoffice.schema"),
        )
        .expect("the embedded schema is read by a test")
    })
}

/// One of SuperOffice's tables; letter case does not count.
pub fn superoffice_table(name: &str) -> Option<&'static Table> {
    superoffice().iter().find(|table| same_name(&table.name, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superoffices_own_tables() {
        assert_eq!(superoffice().len(), 25);
        assert_eq!(superoffice().iter().map(|t| t.columns.len()).sum::<usize>(), 620);
        let contact = superoffice_table("Contact").unwrap();
        assert_eq!(contact.columns.len(), 38);
        assert_eq!(contact.columns[1].ty.to_string(), "nvarchar(219)");
        let text = write(superoffice());
        assert_eq!(parse("again", &text).unwrap(), superoffice());
        assert!(
            include_str!("../../fixtures/schemas/superoffice.schema").ends_with(&text),
            "the file stands as it would be written"
        );
    }

    #[test]
    fn every_form_of_a_line() {
        let text = "\u{feff}# one\r\nTABLE [a ]]b]\r\n\t[the key] decimal (18, 2)  NOT NULL\n\n  # two\n  \
                    x  varchar( max )  null  default (N'not null # x')\n    null int not  null\n";
        let tables = parse("f", text).unwrap();
        insta::assert_snapshot!(write(&tables), @"
        table [a ]]b]
            [the key]  decimal(18,2)  not null
            x          varchar(max)   null      default (N'not null # x')
            null       int            not null
        ");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let good = "table a\n  k int not null\n";
        let mut said = String::new();
        for text in [
            "",
            "  k int not null",
            "contact",
            "table",
            "table a b",
            "table [a\n",
            "table a\n\ntable b\n  k int not null",
            &format!("{good}  x int"),
            &format!("{good}  x not null"),
            &format!("{good}  x integr null"),
            &format!("{good}  x nvarchar(5000) null"),
            &format!("{good}  x xml null"),
            &format!("{good}  x int null default (user_name())"),
            &format!("{good}  x smallint not null default ((70000))"),
            &format!("{good}  K int null"),
            &format!("{good}table A\n  k int not null"),
            "table a\n  k int null",
            "table a\n  k ntext not null",
        ] {
            said.push_str(&format!("{}\n", parse("my.schema", text).unwrap_err()));
        }
        insta::assert_snapshot!(said);
        let error = load(Path::new("/nowhere/x.schema")).unwrap_err().to_string();
        assert!(
            error.starts_with("/nowhere/x.schema: it cannot be read: "),
            "{error}"
        );
    }
}
