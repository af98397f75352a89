//! Every message both ways, byte for byte: the snapshots were read against the contract, and are read again.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use mirrorlab_protocol::message::{
    AuthenticateDetail, Cell, ColumnInfo, ReplicationSummary, Request, Response, ResponseDetail,
    RowDataBatch, RowDataBody, RowOperation, Rows, TableLsn, TableSchemaInfo, read_request, read_response,
    write_request, write_response,
};
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::soap::{self, FaultCode};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use mirrorlab_protocol::xml::Reader;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("messages are written in UTF-8")
}

fn column(
    name: &'static str,
    ty: &'static str,
    nullable: bool,
    default: &'static str,
) -> ColumnInfo<'static> {
    ColumnInfo {
        default: Some(default.into()),
        nullable: Some(nullable),
        name: Some(name.into()),
        ty: Some(ty.into()),
    }
}

fn contact() -> TableSchemaInfo<'static> {
    TableSchemaInfo {
        columns: vec![
            column("contact_id", "int", false, ""),
            column("name", "nvarchar(219)", false, "default (N'<none>')"),
            column("deleted", "smallint", true, "default ((0))"),
        ],
        name: Some("contact".into()),
    }
}

fn row(cells: &[Option<&'static str>]) -> Vec<Cell<'static>> {
    cells.iter().map(|c| c.map(Into::into)).collect()
}

fn requests() -> Vec<(&'static str, Request<'static>)> {
    let mut rows = Rows::default();
    rows.push(RowOperation::Insert, row(&[Some("[I:1]"), Some(""), None]));
    rows.push(
        RowOperation::Update,
        row(&[Some("[I:2]"), Some(" a<b>&\"'\r\n\t\u{1}]]> "), Some("[S:0]")]),
    );
    rows.push(RowOperation::Delete, row(&[Some("[I:3]"), None, None]));
    let batch = RowDataBatch {
        rows,
        lsn: Some(0),
        table: Some(contact()),
    };
    let person = TableSchemaInfo {
        columns: vec![column("person_id", "int", false, "")],
        name: Some("person".into()),
    };
    let state = || Some("state & more".into());
    vec![
        ("authenticate", Request::Authenticate { client_state: None }),
        (
            "authenticate_with_state",
            Request::Authenticate {
                client_state: Some("".into()),
            },
        ),
        (
            "table_schema",
            Request::TableSchema {
                client_state: state(),
                tables: vec![contact(), person.clone()],
            },
        ),
        (
            "table_schema_of_nothing",
            Request::TableSchema {
                client_state: None,
                tables: Vec::new(),
            },
        ),
        (
            "row_data_of_two_tables",
            Request::RowData {
                client_state: state(),
                batches: vec![
                    batch,
                    RowDataBatch {
                        rows: Rows::default(),
                        lsn: Some(1_506_336),
                        table: Some(person),
                    },
                ],
            },
        ),
        (
            "wipe",
            Request::Wipe {
                client_state: state(),
                table: Some("y_extra".into()),
            },
        ),
        (
            "replication_completed",
            Request::ReplicationCompleted {
                client_state: state(),
                changed: vec![ReplicationSummary {
                    deletes: 1,
                    inserts: 2,
                    table: Some("contact".into()),
                    updates: 3,
                }],
            },
        ),
        (
            "replication_completed_quiet",
            Request::ReplicationCompleted {
                client_state: None,
                changed: Vec::new(),
            },
        ),
    ]
}

fn responses() -> Vec<(&'static str, Response)> {
    let full = AuthenticateDetail {
        signed_application_token: Some("ABC.202005181040.c2lnbmF0dXJl".into()),
        supported_interfaces: Some("1".into()),
        build: Some("4.0.0.0/Release_1".into()),
        client_state: Some("state & more".into()),
        additional_information_json: Some("{ \"doNotReplicate\": \"true\" }".into()),
    };
    let lsn = |lsn, table: &str| TableLsn {
        lsn,
        table: table.into(),
    };
    let mut all = vec![
        (
            "authenticate",
            Response::success(ResponseDetail::Authenticate(full)),
        ),
        (
            "table_schema",
            Response::success(ResponseDetail::TableSchema(vec![
                lsn(-1, "contact"),
                lsn(1_506_269, "person"),
            ])),
        ),
        ("row_data", Response::success(ResponseDetail::RowData)),
        ("wipe", Response::success(ResponseDetail::Wipe)),
        (
            "replication_completed",
            Response::success(ResponseDetail::ReplicationCompleted),
        ),
    ];
    for (name, operation) in [
        ("authenticate_refused", Operation::Authenticate),
        ("table_schema_refused", Operation::TableSchema),
        ("row_data_refused", Operation::RowData),
        ("wipe_refused", Operation::Wipe),
        ("replication_completed_refused", Operation::ReplicationCompleted),
    ] {
        all.push((name, Response::refusal(operation, "no: <table> & row")));
    }
    all
}

#[test]
fn every_request_byte_for_byte() {
    for (name, request) in requests() {
        let envelope = text(soap::envelope(Some("aaa.bbb.ccc"), &write_request(&request)));
        insta::assert_snapshot!(format!("request_{name}"), envelope);
    }
}

#[test]
fn every_request_is_read_as_it_was_written() {
    for (name, request) in requests() {
        let envelope = text(soap::envelope(Some("aaa.bbb.ccc"), &write_request(&request)));
        let mut reader = Reader::new(&envelope);
        assert_eq!(
            soap::open(&mut reader).unwrap().token.as_deref(),
            Some("aaa.bbb.ccc")
        );
        assert_eq!(read_request(&mut reader).unwrap(), request, "{name}");
    }
}

#[test]
fn every_response_byte_for_byte() {
    for (name, response) in responses() {
        let envelope = text(soap::envelope(None, &write_response(&response)));
        insta::assert_snapshot!(format!("response_{name}"), envelope);
        let read = read_response(&envelope, response.detail.operation()).unwrap();
        assert_eq!(read, Ok(response), "{name}");
    }
}

#[test]
fn every_fault_byte_for_byte() {
    let mut all = Vec::new();
    for code in [
        FaultCode::Client,
        FaultCode::Server,
        FaultCode::MustUnderstand,
        FaultCode::VersionMismatch,
        FaultCode::ActionNotSupported,
    ] {
        let fault = text(soap::write_fault(code, "what <was> wrong"));
        let read = read_response(&fault, Operation::Wipe).unwrap().unwrap_err();
        assert_eq!(
            (read.code.as_str(), read.text.as_str()),
            (code.name(), "what <was> wrong")
        );
        all.push(fault);
    }
    insta::assert_snapshot!(all.join("\n"));
}

/// The streaming writer and the plain one are two roads to the same bytes.
#[test]
fn rows_written_one_by_one_are_the_same_message() {
    let table = Table::from_wire(&contact()).unwrap();
    let types: Vec<ColumnType> = table.columns.iter().map(|c| c.ty).collect();
    let values = [
        [Value::Int(1), Value::Text("".into()), Value::Null],
        [
            Value::Int(-2),
            Value::Text(" <\r\n]]>\u{fffe} ".into()),
            Value::Int(7),
        ],
    ];
    let mut body = RowDataBody::new(Some("s"));
    body.end_batch(0, &table);
    for value in &values {
        body.row(
            &RowOperation::Insert,
            value.iter().cloned().zip(types.iter().copied()),
        );
    }
    assert_eq!(body.rows_in_batch(), 2);
    body.row_of_cells(
        &RowOperation::Unknown("<X>".into()),
        [Some("[I:x]"), Some(""), None],
    );
    let before_end = body.byte_count();
    body.end_batch(9, &table);
    assert!(body.byte_count() > before_end);
    assert_eq!(body.rows_in_batch(), 0);
    let streamed = text(body.finish());

    let mut rows = Rows::default();
    rows.push(RowOperation::Insert, row(&[Some("[I:1]"), Some(""), None]));
    rows.push(
        RowOperation::Insert,
        row(&[Some("[I:-2]"), Some(" <\r\n]]>\u{fffe} "), Some("[S:7]")]),
    );
    rows.push(
        RowOperation::Unknown("<X>".into()),
        row(&[Some("[I:x]"), Some(""), None]),
    );
    let batch = |rows, lsn| RowDataBatch {
        rows,
        lsn: Some(lsn),
        table: Some(contact()),
    };
    let request = Request::RowData {
        client_state: Some("s".into()),
        batches: vec![batch(Rows::default(), 0), batch(rows, 9)],
    };
    assert_eq!(streamed, text(write_request(&request)));
}

/// A row that went over the sender's limit goes into the next message, and neither message knows of it.
#[test]
fn the_last_row_can_be_taken_out_and_put_into_another_message() {
    let table = Table::from_wire(&contact()).unwrap();
    let row = |body: &mut RowDataBody, n: &'static str| {
        body.row_of_cells(&RowOperation::Insert, [Some(n), None, None]);
    };
    let message = |rows: &[&'static str]| {
        let mut body = RowDataBody::new(None);
        rows.iter().for_each(|n| row(&mut body, n));
        body.end_batch(0, &table);
        text(body.finish())
    };

    let mut first = RowDataBody::new(None);
    assert_eq!(
        (first.rows_in_batch(), first.take_row()),
        (0, None),
        "nothing to take"
    );
    let empty = first.byte_count();
    row(&mut first, "1");
    let one = first.byte_count();
    assert!(one > empty);
    row(&mut first, "2");
    assert_eq!(first.rows_in_batch(), 2);
    let second_row = first.take_row().unwrap();
    assert_eq!((first.rows_in_batch(), first.byte_count()), (1, one));
    assert_eq!(first.take_row(), None, "only the very last");
    first.end_batch(0, &table);
    assert_eq!(first.take_row(), None, "its batch is closed");
    assert_eq!(text(first.finish()), message(&["1"]));

    let mut next = RowDataBody::new(None);
    next.put_row(&second_row);
    assert_eq!(next.rows_in_batch(), 1);
    row(&mut next, "3");
    next.put_row(&second_row);
    assert_eq!(next.rows_in_batch(), 3);
    next.end_batch(0, &table);
    assert_eq!(text(next.finish()), message(&["2", "3", "2"]));

    // The batch that the row opened goes with it.
    let mut none = RowDataBody::new(None);
    none.put_row(&second_row);
    assert_eq!(none.take_row(), Some(second_row));
    assert_eq!((none.rows_in_batch(), none.byte_count()), (0, empty));
    none.end_batch(0, &table);
    assert_eq!(text(none.finish()), message(&[]));
}

#[test]
fn rows_are_counted() {
    let mut rows = Rows::default();
    assert_eq!((rows.len(), rows.is_empty()), (0, true));
    rows.push(RowOperation::Insert, row(&[]));
    assert_eq!((rows.len(), rows.is_empty()), (1, false));
    rows.push_cell(Some("[I:1]".into()));
    rows.end_row(RowOperation::Delete);
    assert_eq!((rows.len(), rows.iter().len()), (2, 2));
    let cells: Vec<usize> = rows.iter().map(|row| row.cells.len()).collect();
    assert_eq!(cells, [0, 1]);
}

#[test]
fn only_an_lsn_above_zero_is_one() {
    for (lsn, valid) in [
        (None, None),
        (Some(-1), None),
        (Some(0), None),
        (Some(1), Some(1)),
        (Some(i64::MAX), Some(i64::MAX)),
    ] {
        let batch = RowDataBatch {
            lsn,
            ..RowDataBatch::default()
        };
        assert_eq!(batch.valid_lsn(), valid);
    }
}
