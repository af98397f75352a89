//! Reading messages: members in any order, unknown ones skipped, as long as nothing is lost by it. A member that the
//! contract knows, in a namespace that is not its own, would be lost: it is an error.

use std::borrow::Cow;
use std::str::FromStr;

use super::{
    AuthenticateDetail, ColumnInfo, ReplicationSummary, Request, Response, ResponseDetail, RowDataBatch,
    RowOperation, Rows, TableLsn, TableSchemaInfo,
};
use crate::names::{ARRAYS, MESSAGES, Operation};
use crate::soap::{self, Fault, SoapError};
use crate::xml::{Ns, Reader, Tag};

/// Reads the request inside a body that [`soap::open`] has opened, to the end of the document.
///
/// # Errors
/// [`SoapError`] for anything that is not one of the five requests, whole and well-formed.
pub fn read_request<'a>(reader: &mut Reader<'a>) -> Result<Request<'a>, SoapError> {
    let Some(message) = reader.child()? else {
        return Err(SoapError::Form("the envelope's Body is empty".into()));
    };
    let operation = Operation::ALL
        .into_iter()
        .find(|o| message.is(Ns::Messages, o.request_element()))
        .ok_or_else(|| {
            SoapError::Form(format!(
                "`{}` is not a request of this service; expected one of namespace {MESSAGES}",
                crate::excerpt(message.local())
            ))
        })?;
    let mut client_state = None;
    let mut tables = Vec::new();
    let mut batches = Vec::new();
    let mut changed = Vec::new();
    let mut table = None;
    while let Some(member) = reader.child()? {
        if member.ns != Ns::Messages {
            unknown(reader, &member, &REQUEST_MEMBERS)?;
            continue;
        }
        match (operation, member.local()) {
            (_, "ClientState") => client_state = string(reader, &member)?,
            (Operation::TableSchema, "Tables") => {
                list(reader, "TableSchemaInfo", |r| {
                    tables.push(table_info(r)?);
                    Ok(())
                })?;
            }
            (Operation::RowData, "DataBatches") => {
                list(reader, "RowDataBatch", |r| {
                    batches.push(batch(r)?);
                    Ok(())
                })?;
            }
            (Operation::Wipe, "TableName") => table = string(reader, &member)?,
            (Operation::ReplicationCompleted, "ChangedTables") => {
                list(reader, "ReplicationSummary", |r| {
                    changed.push(summary(r)?);
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
    }
    close_envelope(reader)?;
    Ok(match operation {
        Operation::Authenticate => Request::Authenticate { client_state },
        Operation::TableSchema => Request::TableSchema { client_state, tables },
        Operation::RowData => Request::RowData {
            client_state,
            batches,
        },
        Operation::Wipe => Request::Wipe { client_state, table },
        Operation::ReplicationCompleted => Request::ReplicationCompleted {
            client_state,
            changed,
        },
    })
}

/// Reads a whole answer to `operation`.
///
/// # Errors
/// The outer [`SoapError`] where it is no such answer; the inner [`Fault`] where it is a fault.
pub fn read_response(text: &str, operation: Operation) -> Result<Result<Response, Fault>, SoapError> {
    let mut reader = Reader::new(text);
    if let Err(fault) = soap::open_response(&mut reader, operation)? {
        return Ok(Err(fault));
    }
    let mut response = Response {
        // A missing IsSuccessful is .NET's default, false.
        successful: false,
        error: None,
        detail: ResponseDetail::empty(operation),
    };
    while let Some(member) = reader.child()? {
        if member.ns != Ns::Messages {
            unknown(&mut reader, &member, &RESPONSE_MEMBERS)?;
            continue;
        }
        match (member.local(), &mut response.detail) {
            ("IsSuccessful", _) => response.successful = boolean(&mut reader, "IsSuccessful")?,
            ("ErrorMessage", _) => response.error = owned(&mut reader, &member)?,
            ("MirrorLSN", ResponseDetail::TableSchema(lsns)) => {
                list(&mut reader, "TableLSN", |r| {
                    lsns.push(table_lsn(r)?);
                    Ok(())
                })?;
            }
            (name, ResponseDetail::Authenticate(detail)) => {
                let AuthenticateDetail {
                    signed_application_token,
                    supported_interfaces,
                    build,
                    client_state,
                    additional_information_json,
                } = detail;
                match name {
                    "SignedApplicationToken" => *signed_application_token = owned(&mut reader, &member)?,
                    "SupportedInterfaces" => *supported_interfaces = owned(&mut reader, &member)?,
                    "SuperOfficeMirroringBuild" => *build = owned(&mut reader, &member)?,
                    "ClientState" => *client_state = owned(&mut reader, &member)?,
                    "AdditionalInformationJson" => {
                        *additional_information_json = owned(&mut reader, &member)?;
                    }
                    _ => reader.skip()?,
                }
            }
            _ => reader.skip()?,
        }
    }
    close_envelope(&mut reader)?;
    Ok(Ok(response))
}

/// Reads what is left behind a message: the ends of Body and Envelope, and nothing else.
fn close_envelope(reader: &mut Reader<'_>) -> Result<(), SoapError> {
    for part in ["Body", "Envelope"] {
        if let Some(extra) = reader.child()? {
            return Err(SoapError::Form(format!(
                "`{}` follows the message in the {part}",
                crate::excerpt(extra.local())
            )));
        }
    }
    reader.finish()?;
    Ok(())
}

fn list<'a>(
    reader: &mut Reader<'a>,
    item: &'static str,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<(), SoapError>,
) -> Result<(), SoapError> {
    while let Some(tag) = reader.child()? {
        if tag.is(Ns::Structures, item) {
            read(reader)?;
        } else {
            unknown(reader, &tag, &[item])?;
        }
    }
    Ok(())
}

/// The members of the requests; each has its own name in all of them.
const REQUEST_MEMBERS: [&str; 5] = [
    "ClientState",
    "Tables",
    "DataBatches",
    "TableName",
    "ChangedTables",
];
/// The members of the responses.
const RESPONSE_MEMBERS: [&str; 8] = [
    "IsSuccessful",
    "ErrorMessage",
    "MirrorLSN",
    "SignedApplicationToken",
    "SupportedInterfaces",
    "SuperOfficeMirroringBuild",
    "ClientState",
    "AdditionalInformationJson",
];

/// Skips an element that the contract does not have here. One that bears the name of a `known` one stands in a wrong
/// namespace: skipping it would lose what it carries, and nobody would notice.
fn unknown(reader: &mut Reader<'_>, tag: &Tag<'_>, known: &[&str]) -> Result<(), SoapError> {
    if known.contains(&tag.local()) {
        return Err(SoapError::Form(format!(
            "`{}` stands in a namespace that is not its own",
            tag.local()
        )));
    }
    Ok(reader.skip()?)
}

fn string<'a>(reader: &mut Reader<'a>, tag: &Tag<'_>) -> Result<Option<Cow<'a, str>>, SoapError> {
    let text = reader.text()?;
    Ok((!tag.nil).then_some(text))
}

fn owned(reader: &mut Reader<'_>, tag: &Tag<'_>) -> Result<Option<String>, SoapError> {
    Ok(string(reader, tag)?.map(Cow::into_owned))
}

fn number<T: FromStr>(reader: &mut Reader<'_>, member: &str) -> Result<T, SoapError> {
    let text = reader.text()?;
    text.trim().parse().map_err(|_| {
        SoapError::Form(format!(
            "{member} is `{}`, not a whole number in range",
            crate::excerpt(&text)
        ))
    })
}

fn boolean(reader: &mut Reader<'_>, member: &str) -> Result<bool, SoapError> {
    let text = reader.text()?;
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(SoapError::Form(format!(
            "{member} is `{}`, neither true nor false",
            crate::excerpt(other)
        ))),
    }
}

fn table_info<'a>(reader: &mut Reader<'a>) -> Result<TableSchemaInfo<'a>, SoapError> {
    let mut table = TableSchemaInfo::default();
    while let Some(member) = reader.child()? {
        match (member.ns, member.local()) {
            (Ns::Structures, "Columns") => {
                list(reader, "ColumnInfo", |r| {
                    table.columns.push(column_info(r)?);
                    Ok(())
                })?;
            }
            (Ns::Structures, "TableName") => table.name = string(reader, &member)?,
            _ => unknown(reader, &member, &["Columns", "TableName"])?,
        }
    }
    Ok(table)
}

fn column_info<'a>(reader: &mut Reader<'a>) -> Result<ColumnInfo<'a>, SoapError> {
    let mut column = ColumnInfo::default();
    while let Some(member) = reader.child()? {
        match (member.ns, member.local()) {
            (Ns::Structures, "DefaultValue") => column.default = string(reader, &member)?,
            (Ns::Structures, "IsNullable") => column.nullable = Some(boolean(reader, "IsNullable")?),
            (Ns::Structures, "Name") => column.name = string(reader, &member)?,
            (Ns::Structures, "Type") => column.ty = string(reader, &member)?,
            _ => unknown(reader, &member, &["DefaultValue", "IsNullable", "Name", "Type"])?,
        }
    }
    Ok(column)
}

fn batch<'a>(reader: &mut Reader<'a>) -> Result<RowDataBatch<'a>, SoapError> {
    let mut batch = RowDataBatch::default();
    while let Some(member) = reader.child()? {
        match (member.ns, member.local()) {
            (Ns::Structures, "Data") => list(reader, "RowData", |r| row(r, &mut batch.rows))?,
            (Ns::Structures, "LSN") => batch.lsn = Some(number(reader, "LSN")?),
            (Ns::Structures, "TableInfo") => {
                let info = table_info(reader)?;
                batch.table = (!member.nil).then_some(info);
            }
            _ => unknown(reader, &member, &["Data", "LSN", "TableInfo"])?,
        }
    }
    Ok(batch)
}

fn row<'a>(reader: &mut Reader<'a>, rows: &mut Rows<'a>) -> Result<(), SoapError> {
    let mut operation = RowOperation::Unknown("".into());
    while let Some(member) = reader.child()? {
        match (member.ns, member.local()) {
            (Ns::Structures, "ColumnValues") => {
                while let Some(cell) = reader.child()? {
                    // A cell's place says its column: whatever else stands here would move the others.
                    if !cell.is(Ns::Arrays, "string") {
                        return Err(SoapError::Form(format!(
                            "`{}` stands among a row's cells; expected `string` of namespace {ARRAYS}",
                            crate::excerpt(cell.local())
                        )));
                    }
                    rows.push_cell(string(reader, &cell)?);
                }
            }
            (Ns::Structures, "Operation") => operation = RowOperation::read(&reader.text()?),
            _ => unknown(reader, &member, &["ColumnValues", "Operation"])?,
        }
    }
    rows.end_row(operation);
    Ok(())
}

fn summary<'a>(reader: &mut Reader<'a>) -> Result<ReplicationSummary<'a>, SoapError> {
    let mut summary = ReplicationSummary::default();
    while let Some(member) = reader.child()? {
        match (member.ns, member.local()) {
            (Ns::Structures, "Deletes") => summary.deletes = number(reader, "Deletes")?,
            (Ns::Structures, "Inserts") => summary.inserts = number(reader, "Inserts")?,
            (Ns::Structures, "TableName") => summary.table = string(reader, &member)?,
            (Ns::Structures, "Updates") => summary.updates = number(reader, "Updates")?,
            _ => unknown(reader, &member, &["Deletes", "Inserts", "TableName", "Updates"])?,
        }
    }
    Ok(summary)
}

fn table_lsn(reader: &mut Reader<'_>) -> Result<TableLsn, SoapError> {
    let mut lsn = TableLsn {
        lsn: super::LSN_INVALID,
        table: String::new(),
    };
    while let Some(member) = reader.child()? {
        match (member.ns, member.local()) {
            (Ns::Structures, "LSN") => lsn.lsn = number(reader, "LSN")?,
            (Ns::Structures, "TableName") => {
                lsn.table = owned(reader, &member)?.unwrap_or_default();
            }
            _ => unknown(reader, &member, &["LSN", "TableName"])?,
        }
    }
    Ok(lsn)
}
