use std::sync::atomic::{AtomicI64, Ordering};

use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::message::{ColumnInfo, Response, RowDataBatch, TableSchemaInfo};
use mirrorlab_protocol::names::CONTENT_TYPE;

use super::*;
use crate::run::world::START;

const CONTEXT: &str = "Cust10001";

/// Answers every TableSchema with one LSN for `Contact`, and does with other calls as it is told.
struct Stub {
    lsn: AtomicI64,
    others: Mutex<Result<bool, ()>>,
}

impl Endpoint for Stub {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let response = match (call.operation, *self.others.lock().unwrap()) {
            (Operation::TableSchema, _) => Response {
                successful: true,
                error: None,
                detail: ResponseDetail::TableSchema(vec![TableLsn {
                    lsn: self.lsn.load(Ordering::SeqCst),
                    table: "Contact".into(),
                }]),
            },
            (operation, Ok(true)) => Response {
                successful: true,
                error: None,
                detail: match operation {
                    Operation::Wipe => ResponseDetail::Wipe,
                    _ => ResponseDetail::RowData,
                },
            },
            (operation, Ok(false)) => Response::refusal(operation, "no".to_owned()),
            (_, Err(())) => {
                return Err(TransportError::Broken {
                    endpoint: "it".into(),
                    why: "gone".into(),
                });
            }
        };
        Ok(Reply {
            status: 200,
            content_type: CONTENT_TYPE.into(),
            body: soap::envelope(None, &message::write_response(&response)),
        })
    }
}

struct Bench {
    stub: Arc<Stub>,
    keys: RunKeys,
    book: LsnBook,
}

impl Bench {
    fn new() -> Bench {
        let stub = Arc::new(Stub {
            lsn: AtomicI64::new(-1),
            others: Mutex::new(Ok(true)),
        });
        let keys = RunKeys::generate(START).unwrap();
        let clock = Arc::new(ManualClock::new(START));
        Bench {
            book: LsnBook::new(Arc::clone(&stub) as Arc<dyn Endpoint>, keys.clone(), clock, 1),
            stub,
            keys,
        }
    }

    fn call(&self, request: &Request<'_>, tenant: &str) {
        let authority = Arc::clone(&self.keys.authority);
        let mut tokens = Tokens::new(authority, &self.keys.application_id, tenant, 2);
        let token = tokens.mint(START).text;
        let _ = self.book.call(&OutgoingCall {
            operation: request.operation(),
            context: CONTEXT.into(),
            body: soap::envelope(token.as_deref(), &message::write_request(request)),
        });
    }

    fn table() -> TableSchemaInfo<'static> {
        TableSchemaInfo {
            columns: vec![ColumnInfo {
                default: None,
                nullable: Some(false),
                name: Some("contact_id".into()),
                ty: Some("int".into()),
            }],
            name: Some("contact".into()),
        }
    }

    fn schema(&self) {
        let request = Request::TableSchema {
            client_state: None,
            tables: vec![Bench::table()],
        };
        self.call(&request, CONTEXT);
    }

    fn rows(&self, lsn: Option<i64>, others: Result<bool, ()>, tenant: &str) {
        *self.stub.others.lock().unwrap() = others;
        let request = Request::RowData {
            client_state: None,
            batches: vec![RowDataBatch {
                rows: Default::default(),
                lsn,
                table: Some(Bench::table()),
            }],
        };
        self.call(&request, tenant);
    }

    /// What it says while the endpoint answers this LSN.
    fn says(&self, lsn: i64) -> Vec<(i64, i64)> {
        self.stub.lsn.store(lsn, Ordering::SeqCst);
        let wrong = self.book.ask(CONTEXT).unwrap().expect("somebody knows");
        wrong.iter().map(|w| (w.expected, w.received)).collect()
    }
}

#[test]
fn what_was_accepted_has_to_be_remembered() {
    let bench = Bench::new();
    assert_eq!(bench.book.ask(CONTEXT), Ok(None), "nothing was said yet");
    bench.schema();
    assert_eq!(bench.says(-1), []);
    bench.rows(Some(7), Ok(true), CONTEXT);
    assert_eq!(bench.says(7), []);
    assert_eq!(bench.says(-1), [(7, -1)], "its rows would come again");
    assert_eq!(bench.says(8), [(7, 8)], "a change would never come");
    // An earlier batch of several has no LSN, and a refused call changes none.
    bench.rows(Some(0), Ok(true), CONTEXT);
    bench.rows(Some(9), Ok(false), CONTEXT);
    assert_eq!(bench.says(9), [(7, 9)]);
    // Another tenant's token, another tenant's mirror.
    bench.rows(Some(9), Ok(true), "Cust10002");
    assert_eq!(bench.says(7), []);
    bench.call(
        &Request::Wipe {
            client_state: None,
            table: Some("CONTACT".into()),
        },
        CONTEXT,
    );
    assert_eq!(bench.says(7), [(-1, 7)]);
}

#[test]
fn after_a_lost_answer_nobody_knows() {
    let bench = Bench::new();
    bench.schema();
    bench.rows(Some(7), Err(()), CONTEXT);
    assert_eq!(bench.says(7), []);
    assert_eq!(bench.says(-1), []);
    // Until the endpoint says so itself.
    bench.stub.lsn.store(7, Ordering::SeqCst);
    bench.schema();
    assert_eq!(bench.says(8), [(7, 8)]);
}
