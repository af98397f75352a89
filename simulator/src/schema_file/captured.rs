//! The tables of a captured TableSchema call, as they were sent.

use mirrorlab_protocol::message::{Request, TableSchemaInfo, read_request};
use mirrorlab_protocol::names::{Operation, SOAP11};
use mirrorlab_protocol::schema::{SchemaError, Table, check_distinct};
use mirrorlab_protocol::soap::{self, SoapError};
use mirrorlab_protocol::xml::{self, Reader};

use crate::capture::{CaptureError, Origin, form, split};

/// Reads the tables of the last TableSchema request in a file, which is the newest where there are several. `file` is what
/// errors call it.
///
/// # Errors
/// [`CaptureError`] with line and column.
pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<Table>, CaptureError> {
    let documents = documents(file, bytes)?;
    let mut found = None;
    let mut others: Vec<String> = Vec::new();
    for (text, origin) in &documents {
        match split::message_name(text) {
            Ok(name) if name == Operation::TableSchema.request_element() => found = Some((text, *origin)),
            Ok(name) => {
                let name = mirrorlab_protocol::excerpt(&name);
                if !others.contains(&name) {
                    others.push(name);
                }
            }
            Err((error, at)) => return Err(origin.of(text, at).error(file, error)),
        }
    }
    let Some((text, origin)) = found else {
        let expected = "expected the request of a TableSchema call, its XML or all of the HTTP message";
        let what = match others.as_slice() {
            [] => format!("there is no call in it; {expected}"),
            names => format!(
                "there is no TableSchema request in it, only {}; {expected}",
                names.join(", ")
            ),
        };
        return Err(Origin::FILE.error(file, what));
    };
    tables(file, text, origin)
}

fn documents(file: &str, bytes: &[u8]) -> Result<Vec<(String, Origin)>, CaptureError> {
    if !form::is_recorded(bytes) {
        let documents = split::split(file, bytes)?;
        return Ok(documents.into_iter().map(|d| (d.text, d.origin)).collect());
    }
    let mut all = Vec::new();
    for call in form::read(file, bytes)? {
        let origin = call.request.origin.unwrap_or(Origin::FILE);
        // What is no text is no TableSchema: other calls of the file may be broken on purpose.
        let is_schema = call.operation == Some(Operation::TableSchema);
        match xml::decode(&call.request.body) {
            Ok(text) if is_schema => all.push((text.into_owned(), origin)),
            Err(error) if is_schema => return Err(origin.error(file, error)),
            _ => all.push((
                call.operation
                    .map_or("<unknown/>".to_owned(), |o| format!("<{}/>", o.request_element())),
                origin,
            )),
        }
    }
    Ok(all)
}

fn tables(file: &str, text: &str, origin: Origin) -> Result<Vec<Table>, CaptureError> {
    // The message alone is put into an envelope of our own, which counts for no place.
    let before = format!("<e:Envelope xmlns:e=\"{SOAP11}\"><e:Body>");
    let is_bare = !matches!(Reader::new(text).root(), Ok(root) if root.local() == "Envelope");
    let wrapped;
    let (whole, shift) = if is_bare {
        // A declaration may only stand at a document's beginning.
        let message = text
            .starts_with("<?xml")
            .then(|| {
                text.find("?>")
                    .map(|end| format!("{}{}", " ".repeat(end + 2), &text[end + 2..]))
            })
            .flatten()
            .unwrap_or_else(|| text.to_owned());
        wrapped = format!("{before}{message}</e:Body></e:Envelope>");
        (wrapped.as_str(), before.len())
    } else {
        (text, 0)
    };
    let place = |offset: usize| origin.of(text, offset.saturating_sub(shift));
    let mut reader = Reader::new(whole);
    let read = soap::open(&mut reader).and_then(|_| read_request(&mut reader));
    let infos = match read {
        Ok(Request::TableSchema { tables, .. }) => tables,
        Ok(other) => return Err(origin.error(file, format!("this is a {} request", other.operation()))),
        Err(error) => {
            let (what, at) = match &error {
                SoapError::Xml(error) => (split::told(error), split::offset_of_error(&reader, error)),
                other => (other.to_string(), reader.position()),
            };
            return Err(place(at).error(file, what));
        }
    };
    if infos.is_empty() {
        return Err(origin.error(
            file,
            "this TableSchema request has no table: SuperOffice sends every mirrored one",
        ));
    }
    let mut tables = Vec::with_capacity(infos.len());
    for (at, info) in infos.iter().enumerate() {
        let table = Table::from_wire(info)
            .map_err(|error| place(find(whole, &infos, at, column_of(&error))).error(file, error))?;
        tables.push(table);
        // Against all before it, so that the second one has the place.
        if tables[..at]
            .iter()
            .any(|t| mirrorlab_protocol::names::same_name(&t.name, &tables[at].name))
        {
            let error = check_distinct(&tables).expect_err("two names are the same");
            return Err(place(find(whole, &infos, at, None)).error(file, error));
        }
    }
    Ok(tables)
}

fn column_of(error: &SchemaError) -> Option<&str> {
    match error {
        SchemaError::Type { column, .. }
        | SchemaError::Default { column, .. }
        | SchemaError::DefaultValue { column, .. }
        | SchemaError::DuplicateColumn { column, .. }
        | SchemaError::Key { column, .. } => Some(column),
        _ => None,
    }
}

/// Where a table's element begins, or that of its last column of that name.
fn find(text: &str, infos: &[TableSchemaInfo<'_>], table: usize, column: Option<&str>) -> usize {
    let wanted = column.and_then(|name| {
        infos[table]
            .columns
            .iter()
            .rposition(|c| c.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name)))
    });
    // The text was read once: what cannot be found now has no better place than the beginning.
    walk(text, table, wanted).unwrap_or(0)
}

fn walk(text: &str, table: usize, column: Option<usize>) -> Option<usize> {
    let mut reader = Reader::new(text);
    reader.root().ok()?;
    enter(&mut reader, "Body", 0)?;
    enter(&mut reader, Operation::TableSchema.request_element(), 0)?;
    enter(&mut reader, "Tables", 0)?;
    enter(&mut reader, "TableSchemaInfo", table)?;
    if let Some(column) = column {
        enter(&mut reader, "Columns", 0)?;
        enter(&mut reader, "ColumnInfo", column)?;
    }
    // The reader stands behind the tag.
    text[..reader.position()].rfind('<')
}

/// Goes into the `n`th child of a name.
fn enter(reader: &mut Reader<'_>, name: &str, n: usize) -> Option<()> {
    let mut left = n;
    while let Some(tag) = reader.child().ok()? {
        if tag.local() == name {
            if left == 0 {
                return Some(());
            }
            left -= 1;
        }
        reader.skip().ok()?;
    }
    None
}

#[cfg(test)]
mod tests;
