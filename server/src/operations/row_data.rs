//! RowData: rows of one table or of several.

use std::collections::HashMap;

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::{ResponseDetail, RowDataBatch, TableSchemaInfo};
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::types::ColumnType;

use super::{Call, Mirroring, Refusal, present_table};
use crate::store::{Scope, StoredTable};

impl Mirroring {
    pub(super) fn row_data(
        &self,
        call: Call<'_>,
        batches: &[RowDataBatch<'_>],
    ) -> Result<ResponseDetail, Refusal> {
        let written: Vec<&str> = batches
            .iter()
            .filter_map(|batch| batch.table.as_ref()?.name.as_deref())
            .collect();
        let mut transaction = self.begin(call, Scope::Tables(&written))?;
        let mut tables: HashMap<String, StoredTable> = HashMap::new();
        for (at, batch) in batches.iter().enumerate() {
            let named = batch.table.as_ref();
            let name = named.and_then(|info| info.name.as_deref()).unwrap_or_default();
            let (Some(info), false) = (named, name.is_empty()) else {
                return Err(Refusal::Request(format!(
                    "batch {} names no table: its TableInfo is missing or has no TableName",
                    at + 1
                )));
            };
            let folded = fold(name);
            if !tables.contains_key(&folded) {
                tables.insert(folded.clone(), present_table(transaction.as_mut(), name)?);
            }
            let table = &tables[&folded].table;
            let order = column_order(table, info)?;
            transaction.apply(table, &order, &batch.rows)?;
            // Only a table's last batch has one, and it is kept in the commit that keeps its rows.
            if let Some(lsn) = batch.valid_lsn() {
                transaction.set_lsn(&table.name, lsn)?;
            }
        }
        transaction.commit()?;
        Ok(ResponseDetail::RowData)
    }
}

/// For each cell of a row, its position in the stored table's columns. A TableInfo without columns means the stored
/// order (assumed).
fn column_order(table: &Table, info: &TableSchemaInfo<'_>) -> Result<Vec<usize>, Refusal> {
    if info.columns.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let differs = |what: String| {
        Refusal::Request(format!(
            "table `{}`: {what}; send TableSchema before rows of another shape",
            table.name
        ))
    };
    let mut order = Vec::with_capacity(info.columns.len());
    let mut taken = vec![false; table.columns.len()];
    for column in &info.columns {
        let name = column.name.as_deref().unwrap_or_default();
        let at = table.position(name).ok_or_else(|| {
            differs(format!(
                "the batch has a column `{}`, and the mirror has not",
                excerpt(name)
            ))
        })?;
        let stored = &table.columns[at];
        if taken[at] {
            return Err(differs(format!(
                "the batch has the column `{}` twice",
                stored.name
            )));
        }
        taken[at] = true;
        if let Some(text) = column.ty.as_deref().filter(|t| !t.is_empty()) {
            let sent = ColumnType::parse(text)
                .map_err(|e| differs(format!("column `{}` of the batch: {e}", stored.name)))?;
            if sent != stored.ty {
                return Err(differs(format!(
                    "column `{}` is {sent} in the batch and {} in the mirror",
                    stored.name, stored.ty
                )));
            }
        }
        order.push(at);
    }
    match taken.iter().position(|taken| !taken) {
        None => Ok(order),
        Some(at) => Err(differs(format!(
            "the batch lacks the mirror's column `{}`",
            table.columns[at].name
        ))),
    }
}
