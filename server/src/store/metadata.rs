//! What every store keeps beside the tables: `<context>_mirroring`, its name and the text of a schema.

use mirrorlab_protocol::default::Default as ColumnDefault;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use serde::{Deserialize, Serialize};

/// The metadata table's name: `Cust10195_mirroring` (doc).
pub fn metadata_table(context: &str) -> String {
    format!("{context}_mirroring")
}

#[derive(Serialize, Deserialize)]
struct TableText {
    name: String,
    columns: Vec<ColumnText>,
}

/// Types and defaults stand as the T-SQL text that came, so that a person can read them.
#[derive(Serialize, Deserialize)]
struct ColumnText {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    nullable: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    default: String,
}

/// A table's schema as JSON, to be read back by [`read_schema`].
pub fn write_schema(table: &Table) -> String {
    let text = TableText {
        name: table.name.clone(),
        columns: table
            .columns
            .iter()
            .map(|column| ColumnText {
                name: column.name.clone(),
                ty: column.ty.to_string(),
                nullable: column.nullable,
                default: column
                    .default
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            })
            .collect(),
    };
    serde_json::to_string(&text).expect("strings and booleans are always JSON")
}

/// Reads what [`write_schema`] wrote.
///
/// # Errors
/// What is wrong with it, in plain words: a person may have changed it.
pub fn read_schema(text: &str) -> Result<Table, String> {
    let text: TableText = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let columns = text
        .columns
        .into_iter()
        .map(|column| {
            Ok(Column {
                ty: ColumnType::parse(&column.ty).map_err(|e| e.to_string())?,
                nullable: column.nullable,
                default: ColumnDefault::parse(&column.default).map_err(|e| e.to_string())?,
                name: column.name,
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let table = Table {
        name: text.name,
        columns,
    };
    table.check().map_err(|e| e.to_string())?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_read_as_it_was_written() {
        let text = r#"{"name":"y_\"é'","columns":[{"name":"id","type":"int","nullable":false},{"name":"x","type":"nvarchar(max)","nullable":true,"default":"default (N'it''s \"x\"')"},{"name":"d","type":"decimal(18,2)","nullable":true,"default":"default ((0.5))"},{"name":"n","type":"datetime2(7)","nullable":false,"default":"default (sysutcdatetime())"}]}"#;
        let table = read_schema(text).unwrap();
        assert_eq!(write_schema(&table), text);
        assert_eq!(
            table.columns[1].default,
            Some(ColumnDefault::Text("it's \"x\"".into()))
        );
        assert_eq!(read_schema(&write_schema(&table)).unwrap().hash(), table.hash());
    }

    #[test]
    fn a_schema_that_was_tampered_with_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"name":"t","columns":[]}"#,
            r#"{"name":"t","columns":[{"name":"id","type":"int); --","nullable":false}]}"#,
        ] {
            assert!(read_schema(text).is_err(), "{text}");
        }
    }
}
