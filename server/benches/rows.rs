//! From a call's bytes to committed rows, and a quiet cycle's TableSchema: `cargo bench -p mirrorlab-server`.
//!
//! Each figure stands beside the floor under it, measured in the same run over the same bytes: a bare quick-xml loop over
//! the events, and the same rows, decoded beforehand, by one prepared statement in one transaction on an open connection. What
//! lies between is all that a mirroring server does: namespaces, types, cells, keys, metadata, LSN, the log emptied into
//! the file. `server` is a call within a cycle, `alone` one for which the file is opened and closed.
//! Both sides write with the same settings, without waiting for the disk, which would hide the difference.
//!
//! The same call into a mirror on a SQL Server, new rows and then the same ones again, where `MIRRORLAB_TEST_MSSQL` names a
//! server: the word `sql-server` picks that alone.
//!
//! Arguments: `--bench` is what cargo passes and is ignored; a word picks the shapes whose names hold it.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mirrorlab_engines::mssql::testing::{Scratch, TestServer};
use mirrorlab_engines::sqlite::{self, Bound, Durability};
use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::message::{Request, RowDataBody, RowOperation, read_request, write_request};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use mirrorlab_protocol::xml::{self, Reader};
use mirrorlab_server::admin::{AdminError, MirrorAdmin};
use mirrorlab_server::events::Event;
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::store::MirrorPlace;
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};

/// The sender's default BatchSize, in bytes (doc).
const CALL_BYTES: usize = 1_000_000;
const ROUNDS: usize = 31;
/// On a SQL Server, where a round takes seconds.
const SERVER_ROUNDS: usize = 5;
/// Longer than any pause between two calls of a bench.
const KEEP_OPEN: Duration = Duration::from_secs(60);
const CONTEXT: &str = "Cust10001";

/// Knows one mirror, and keeps no events.
struct One(MirrorPlace);

impl MirrorAdmin for One {
    fn resolve_connection(&self, _: &str, _: Option<&str>) -> Result<MirrorPlace, AdminError> {
        Ok(self.0.clone())
    }

    fn log_event(&self, event: &Event) {
        black_box(event);
    }
}

fn mirroring(file: &Path, keep_open: Duration) -> Mirroring {
    let options = SqliteOptions {
        durability: Durability::Fast,
        keep_open,
        ..SqliteOptions::default()
    };
    Mirroring {
        store: Arc::new(SqliteStore::new(options)),
        admin: Arc::new(One(MirrorPlace::SqliteFile(file.to_owned()))),
        options: Options::default(),
    }
}

/// What the service does with a call whose token was found good.
fn serve(mirroring: &Mirroring, envelope: &[u8]) {
    read(envelope, |request| {
        let response = mirroring.run(CONTEXT, request);
        assert!(response.successful, "{:?}", response.error);
        black_box(response);
    });
}

/// The first half of it: bytes to a request, cells borrowed.
fn read(envelope: &[u8], then: impl FnOnce(&Request<'_>)) {
    let text = xml::decode(envelope).expect("the bench writes UTF-8");
    let mut reader = Reader::new(&text);
    soap::open(&mut reader).expect("the bench writes envelopes");
    then(&read_request(&mut reader).expect("the bench writes requests"));
}

/// Every event of the document, looked at by nobody.
fn bare_events(envelope: &[u8]) -> usize {
    let text = std::str::from_utf8(envelope).expect("the bench writes UTF-8");
    let mut reader = quick_xml::Reader::from_str(text);
    let mut count = 0;
    loop {
        match reader.read_event().expect("the bench writes XML") {
            quick_xml::events::Event::Eof => return count,
            event => {
                black_box(&event);
                count += 1;
            }
        }
    }
}

/// The rows, decoded, by one prepared statement in one transaction.
fn bare_insert(connection: &rusqlite::Connection, table: &Table, rows: &[Vec<Value<'static>>]) {
    let places = vec!["?"; table.columns.len()].join(", ");
    let sql = format!("INSERT INTO {} VALUES ({places})", sqlite::quote(&table.name));
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .expect("an open database");
    let mut statement = connection.prepare_cached(&sql).expect("the table is there");
    for row in rows {
        for (at, (value, column)) in row.iter().zip(&table.columns).enumerate() {
            statement
                .raw_bind_parameter(at + 1, Bound(value, column.ty))
                .expect("a value of the column");
        }
        statement.raw_execute().expect("a new row");
    }
    drop(statement);
    connection.execute_batch("COMMIT").expect("an open transaction");
}

/// A small generator, so that every run sees the same bytes.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn text(&mut self, most: u64) -> String {
        const WORDS: [&str; 12] = [
            "Nordic",
            "Trading",
            "& Sons",
            "AS",
            "ø",
            "Consulting",
            "of",
            "the",
            "<Group>",
            "Bergen",
            "Line\nbreak",
            "International",
        ];
        let mut text = String::new();
        for _ in 0..=self.below(most) {
            text.push_str(WORDS[self.below(12) as usize]);
            text.push(' ');
        }
        text
    }

    fn value(&mut self, column: &Column, words: u64) -> Value<'static> {
        if column.nullable && self.below(10) < 4 {
            return Value::Null;
        }
        match column.ty {
            ColumnType::SmallInt => Value::Int(self.below(2) as i64),
            ColumnType::DateTime => {
                DateTime::from_unix_seconds(1_500_000_000 + self.below(90_000_000) as i64)
                    .map_or(Value::Null, Value::DateTime)
            }
            ty if ty.is_text() => {
                let most = ty.length_max().unwrap_or(usize::MAX);
                Value::Text(self.text(words).chars().take(most).collect::<String>().into())
            }
            _ => Value::Int(self.below(2_000_000) as i64),
        }
    }
}

fn table(name: &str, columns: &[(&str, &str, usize)]) -> Table {
    let mut table = Table {
        name: name.into(),
        columns: Vec::new(),
    };
    for (prefix, ty, count) in columns {
        for _ in 0..*count {
            let at = table.columns.len();
            table.columns.push(Column {
                name: format!("{prefix}{at}"),
                ty: ColumnType::parse(ty).expect("a type of SQL Server"),
                nullable: at % 3 == 1,
                default: None,
            });
        }
    }
    table.check().expect("a table as the wire carries them");
    table
}

struct Shape {
    name: &'static str,
    table: Table,
    /// The most words of a text.
    words: u64,
}

fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "contact, 38 columns",
            table: table(
                "contact",
                &[
                    ("id", "int", 1),
                    ("name", "nvarchar(219)", 8),
                    ("ref", "int", 18),
                    ("flag", "smallint", 6),
                    ("at", "datetime", 5),
                ],
            ),
            words: 5,
        },
        Shape {
            name: "narrow, 4 ints",
            table: table("link", &[("id", "int", 4)]),
            words: 0,
        },
        Shape {
            name: "wide text, 1 + 3",
            table: table("text", &[("id", "int", 1), ("text", "nvarchar(max)", 3)]),
            words: 120,
        },
    ]
}

/// A call of about [`CALL_BYTES`], and its rows.
fn call(shape: &Shape) -> (Vec<u8>, Vec<Vec<Value<'static>>>) {
    let mut draw = Draw(0x9E37_79B9_7F4A_7C15);
    let mut rows = Vec::new();
    let mut body = RowDataBody::new(None);
    while body.byte_count() < CALL_BYTES {
        let mut row: Vec<_> = shape
            .table
            .columns
            .iter()
            .map(|c| draw.value(c, shape.words))
            .collect();
        row[0] = Value::Int(rows.len() as i64 + 1);
        body.row(
            &RowOperation::Insert,
            row.iter().cloned().zip(shape.table.columns.iter().map(|c| c.ty)),
        );
        rows.push(row);
    }
    body.end_batch(7, &shape.table);
    (soap::envelope(Some("token"), &body.finish()), rows)
}

fn schema_call(tables: &[Table]) -> Vec<u8> {
    let request = Request::TableSchema {
        client_state: None,
        tables: tables.iter().map(Table::to_wire).collect(),
    };
    soap::envelope(Some("token"), &write_request(&request))
}

/// The shortest of some runs: what other programs do to the machine can only lengthen one.
struct Best(Duration);

impl Best {
    fn new() -> Best {
        Best(Duration::MAX)
    }

    fn time(&mut self, run: impl FnOnce()) {
        let start = Instant::now();
        run();
        self.0 = self.0.min(start.elapsed());
    }

    fn ms(&self) -> f64 {
        self.0.as_secs_f64() * 1e3
    }
}

/// The shortest times of the parts of one shape.
struct Times {
    events: Best,
    insert: Best,
    read: Best,
    server: Best,
    alone: Best,
}

/// Runs a shape's parts in turn, so that a busy moment of the machine strikes all of them alike.
fn measure(shape: &Shape, envelope: &[u8], rows: &[Vec<Value<'static>>], folder: &Path) -> Times {
    let schema = schema_call(std::slice::from_ref(&shape.table));
    let mut times = Times {
        events: Best::new(),
        insert: Best::new(),
        read: Best::new(),
        server: Best::new(),
        alone: Best::new(),
    };
    for round in 0..ROUNDS {
        times.events.time(|| {
            black_box(bare_events(envelope));
        });
        times.read.time(|| {
            read(envelope, |request| {
                black_box(request);
            });
        });

        let path = folder.join(format!("floor{round}.db"));
        let connection = sqlite::open(&path, true, Durability::Fast, Duration::ZERO).expect("a new database");
        connection
            .execute_batch(&sqlite::create_table(&shape.table))
            .expect("a new table");
        times.insert.time(|| bare_insert(&connection, &shape.table, rows));
        drop(connection);

        for (name, keep_open, time) in [
            ("mirror", KEEP_OPEN, &mut times.server),
            ("alone", Duration::ZERO, &mut times.alone),
        ] {
            let mirroring = mirroring(&folder.join(format!("{name}{round}.db")), keep_open);
            serve(&mirroring, &schema);
            time.time(|| serve(&mirroring, envelope));
        }
    }
    times
}

/// The shortest times of a call with new rows, and of the same call again, on a SQL Server.
fn measure_on(server: &TestServer, shape: &Shape, envelope: &[u8]) -> (Best, Best) {
    let scratch: Scratch = server.scratch();
    let mirroring = Mirroring {
        store: Arc::new(MssqlStore::new(server.address().clone(), MssqlOptions::default())),
        admin: Arc::new(One(MirrorPlace::SqlServerDatabase(scratch.name.clone()))),
        options: Options::default(),
    };
    serve(&mirroring, &schema_call(std::slice::from_ref(&shape.table)));
    let wipe = Request::Wipe {
        client_state: None,
        table: Some(shape.table.name.as_str().into()),
    };
    let wipe = soap::envelope(Some("token"), &write_request(&wipe));
    let (mut new, mut again) = (Best::new(), Best::new());
    for _ in 0..SERVER_ROUNDS {
        serve(&mirroring, &wipe);
        new.time(|| serve(&mirroring, envelope));
        again.time(|| serve(&mirroring, envelope));
    }
    // Its connections keep the database.
    drop(mirroring);
    (new, again)
}

#[allow(clippy::print_stdout)] // its result is what a bench is for
fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|w| name.contains(w.as_str()));
    println!(
        "{:<22}{:>8}{:>7}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}{:>10}",
        "RowData", "bytes", "rows", "events", "insert", "floor", "read", "server", "ratio", "MB/s", "alone"
    );
    for shape in shapes().iter().filter(|s| wanted(s.name)) {
        let (envelope, rows) = call(shape);
        let folder = tempfile::tempdir().expect("a place for databases");
        let times = measure(shape, &envelope, &rows, folder.path());
        let floor = times.events.ms() + times.insert.ms();
        println!(
            "{:<22}{:>8}{:>7}{:>8.2}ms{:>8.2}ms{:>8.2}ms{:>8.2}ms{:>8.2}ms{:>8.2}{:>8.0}{:>8.2}ms",
            shape.name,
            envelope.len(),
            rows.len(),
            times.events.ms(),
            times.insert.ms(),
            floor,
            times.read.ms(),
            times.server.ms(),
            times.server.ms() / floor,
            envelope.len() as f64 / times.server.ms() / 1e3,
            times.alone.ms(),
        );
    }

    if wanted("sql-server") {
        match TestServer::find() {
            Err(why) => println!("sql-server: left out: {why:?}"),
            Ok(server) => {
                for shape in shapes() {
                    let (envelope, rows) = call(&shape);
                    let (new, again) = measure_on(&server, &shape, &envelope);
                    let a_second = |time: &Best| rows.len() as f64 / time.0.as_secs_f64();
                    println!(
                        "sql-server: {:<22}{:>6} rows, new {:>8.1} ms ({:.0} rows/s), again {:>8.1} ms ({:.0} rows/s)",
                        shape.name,
                        rows.len(),
                        new.ms(),
                        a_second(&new),
                        again.ms(),
                        a_second(&again)
                    );
                }
            }
        }
    }

    if wanted("quiet") {
        // 413 tables with 5,270 columns in all, as a real tenant has (seen).
        let tables: Vec<Table> = (0..413)
            .map(|n| {
                let dates = if n < 314 { 2 } else { 1 };
                table(
                    &format!("table{n}"),
                    &[
                        ("id", "int", 6),
                        ("t", "nvarchar(255)", 3),
                        ("s", "smallint", 2),
                        ("d", "datetime", dates),
                    ],
                )
            })
            .collect();
        let columns: usize = tables.iter().map(|t| t.columns.len()).sum();
        let envelope = schema_call(&tables);
        let folder = tempfile::tempdir().expect("a place for databases");
        let mirroring = mirroring(&folder.path().join("quiet.db"), KEEP_OPEN);
        let (mut events, mut server) = (Best::new(), Best::new());
        // The first round makes the tables, the others find them as they are.
        for _ in 0..=ROUNDS {
            events.time(|| {
                black_box(bare_events(&envelope));
            });
            server.time(|| serve(&mirroring, &envelope));
        }
        println!(
            "quiet TableSchema: {} tables, {columns} columns, {} bytes: {:.2} ms (bare events {:.2} ms)",
            tables.len(),
            envelope.len(),
            server.ms(),
            events.ms()
        );
    }
}
