//! Writing messages: members in the contract's order, as .NET's serializer lays them out.

use super::{ReplicationSummary, Request, Response, ResponseDetail, RowDataBatch, TableSchemaInfo};
use crate::names::{ARRAYS, INSTANCE, MESSAGES, STRUCTURES};
use crate::xml;

/// Writes a request's message, to be put into an envelope.
pub fn write_request(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let name = request.operation().request_element();
    begin(&mut out, name);
    member(&mut out, "ClientState", request.client_state());
    match request {
        Request::Authenticate { .. } => {}
        Request::TableSchema { tables, .. } => list(&mut out, "Tables", tables, |out, table| {
            table_info(out, "a:TableSchemaInfo", table);
        }),
        Request::RowData { batches, .. } => list(&mut out, "DataBatches", batches, batch),
        Request::Wipe { table, .. } => member(&mut out, "TableName", table.as_deref()),
        Request::ReplicationCompleted { changed, .. } => {
            list(&mut out, "ChangedTables", changed, summary);
        }
    }
    end(&mut out, name);
    out
}

/// Writes a response's message, to be put into an envelope.
pub fn write_response(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    let name = response.detail.operation().response_element();
    begin(&mut out, name);
    element(
        &mut out,
        "IsSuccessful",
        if response.successful { "true" } else { "false" },
    );
    member(&mut out, "ErrorMessage", response.error.as_deref());
    match &response.detail {
        ResponseDetail::Authenticate(detail) => {
            for (name, value) in [
                ("SignedApplicationToken", &detail.signed_application_token),
                ("SupportedInterfaces", &detail.supported_interfaces),
                ("SuperOfficeMirroringBuild", &detail.build),
                ("ClientState", &detail.client_state),
                ("AdditionalInformationJson", &detail.additional_information_json),
            ] {
                member(&mut out, name, value.as_deref());
            }
        }
        ResponseDetail::TableSchema(lsns) => list(&mut out, "MirrorLSN", lsns, |out, lsn| {
            out.extend_from_slice(b"<a:TableLSN>");
            element(out, "a:LSN", &lsn.lsn.to_string());
            member(out, "a:TableName", Some(&lsn.table));
            out.extend_from_slice(b"</a:TableLSN>");
        }),
        ResponseDetail::RowData | ResponseDetail::Wipe | ResponseDetail::ReplicationCompleted => {}
    }
    end(&mut out, name);
    out
}

pub(super) fn begin(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(format!("<{name} xmlns=\"{MESSAGES}\">").as_bytes());
}

fn end(out: &mut Vec<u8>, name: &str) {
    open(out, "/", name);
    out.push(b'>');
}

fn element(out: &mut Vec<u8>, name: &str, text: &str) {
    open(out, name, ">");
    xml::escape(out, text);
    end(out, name);
}

/// `<name` and what closes the tag.
fn open(out: &mut Vec<u8>, name: &str, close: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(close.as_bytes());
}

/// A nillable string. Null and empty are different values, and look different (.NET).
pub(super) fn member(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    match text {
        None => open(out, name, &format!(" i:nil=\"true\" xmlns:i=\"{INSTANCE}\"/>")),
        some => string_in(out, name, some),
    }
}

/// A nillable string where the prefix `i` is already declared.
pub(super) fn string_in(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    match text {
        None => open(out, name, " i:nil=\"true\"/>"),
        Some("") => open(out, name, "/>"),
        Some(text) => element(out, name, text),
    }
}

fn list<T>(out: &mut Vec<u8>, name: &str, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    let open = format!("<{name} xmlns:a=\"{STRUCTURES}\" xmlns:i=\"{INSTANCE}\"");
    out.extend_from_slice(open.as_bytes());
    if items.is_empty() {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    for item in items {
        write(out, item);
    }
    end(out, name);
}

pub(super) fn table_info(out: &mut Vec<u8>, name: &str, table: &TableSchemaInfo<'_>) {
    out.extend_from_slice(format!("<{name}><a:Columns>").as_bytes());
    for column in &table.columns {
        out.extend_from_slice(b"<a:ColumnInfo>");
        string_in(out, "a:DefaultValue", column.default.as_deref());
        if let Some(nullable) = column.nullable {
            element(out, "a:IsNullable", if nullable { "true" } else { "false" });
        }
        string_in(out, "a:Name", column.name.as_deref());
        string_in(out, "a:Type", column.ty.as_deref());
        out.extend_from_slice(b"</a:ColumnInfo>");
    }
    out.extend_from_slice(b"</a:Columns>");
    string_in(out, "a:TableName", table.name.as_deref());
    end(out, name);
}

fn batch(out: &mut Vec<u8>, batch: &RowDataBatch<'_>) {
    if batch.rows.is_empty() {
        out.extend_from_slice(b"<a:RowDataBatch><a:Data/>");
    } else {
        out.extend_from_slice(b"<a:RowDataBatch><a:Data>");
    }
    for row in batch.rows.iter() {
        out.extend_from_slice(format!("<a:RowData><a:ColumnValues xmlns:b=\"{ARRAYS}\">").as_bytes());
        for cell in row.cells {
            string_in(out, "b:string", cell.as_deref());
        }
        out.extend_from_slice(b"</a:ColumnValues>");
        element(out, "a:Operation", row.operation.letter());
        out.extend_from_slice(b"</a:RowData>");
    }
    if !batch.rows.is_empty() {
        out.extend_from_slice(b"</a:Data>");
    }
    if let Some(lsn) = batch.lsn {
        element(out, "a:LSN", &lsn.to_string());
    }
    if let Some(table) = &batch.table {
        table_info(out, "a:TableInfo", table);
    }
    out.extend_from_slice(b"</a:RowDataBatch>");
}

fn summary(out: &mut Vec<u8>, summary: &ReplicationSummary<'_>) {
    out.extend_from_slice(b"<a:ReplicationSummary>");
    element(out, "a:Deletes", &summary.deletes.to_string());
    element(out, "a:Inserts", &summary.inserts.to_string());
    string_in(out, "a:TableName", summary.table.as_deref());
    element(out, "a:Updates", &summary.updates.to_string());
    out.extend_from_slice(b"</a:ReplicationSummary>");
}
