//! A source's tables out of a schema file or a captured TableSchema call.

use std::path::Path;

use mirrorlab_protocol::names::same_name;
use mirrorlab_simulator::schema_file::{self, Schema};

use super::reader::Reader;
use super::tables;
use crate::scenario::Catalogue;
use crate::scenario::mistake::Mistake;
use crate::scenario::model::TableSpec;
use crate::scenario::place::At;
use crate::scenario::yaml::{Key, Node};

/// How many rows each table of a schema gets where the file does not say.
pub(super) const ROWS_DEFAULT: u64 = 10;

/// Reads the file that a node names, from the scenario's folder on.
pub(super) fn load(reader: &mut Reader, folder: &Path, node: &Node) -> Option<Schema> {
    let name = reader.text(node, "a file: a schema, or a captured TableSchema call")?;
    match schema_file::load(&folder.join(name.as_str())) {
        Ok(schema) => Some(schema),
        Err(mut error) => {
            // As the file names it, whatever folder it was read from.
            error.file.clone_from(&name.value);
            let mut mistake = Mistake::new(node.at, error.to_string(), "this schema");
            if error.line == 0 {
                mistake = mistake.help("the file is looked for from the folder of the scenario on");
            }
            reader.note(mistake);
            None
        }
    }
}

/// All of a schema's tables in its order, each with `rows` drawn rows, unless the file lists it with others; then those
/// that only the file has.
pub(super) fn tables(
    reader: &mut Reader,
    schema: &Schema,
    at: At,
    rows: u64,
    listed: &[(&Key, &Node)],
) -> Vec<TableSpec> {
    let catalogue = Catalogue::of_file(schema.tables.iter().cloned());
    let mut own = tables::tables(reader, &catalogue, listed);
    let mut all: Vec<TableSpec> = schema
        .tables
        .iter()
        .map(|table| {
            match own
                .iter()
                .position(|spec| same_name(&spec.table.name, &table.name))
            {
                Some(listed) => own.remove(listed),
                None => TableSpec {
                    at,
                    table: table.clone(),
                    rows: Vec::new(),
                    drawn: rows,
                },
            }
        })
        .collect();
    all.append(&mut own);
    all
}
