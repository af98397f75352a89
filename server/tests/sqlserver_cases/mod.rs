//! What only a server can show.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mirrorlab_engines::mssql::testing::TestServer;
use mirrorlab_engines::mssql::{Address, Secret, ServerOptions, quote, retry, value};
use mirrorlab_protocol::message::{RowOperation, Rows};
use mirrorlab_protocol::value::Value;
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::testing::{Bench, CONTEXT, batch_of, table};
use mirrorlab_server::store::{Applied, MirrorPlace, MirrorStore, Scope, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Mirror;

/// Set for a child process: the database it works on, and the table.
pub const CHILD: &str = "MIRRORLAB_TEST_MSSQL_CHILD";
const CHILD_TABLE: &str = "MIRRORLAB_TEST_MSSQL_CHILD_TABLE";
/// How many calls each of several writers makes.
const CALLS: i64 = 10;

/// Every case with its name.
pub const CASES: &[(&str, fn(&TestServer))] = &[
    (
        "every_type_keeps_its_values_on_every_road",
        every_type_keeps_its_values_on_every_road,
    ),
    (
        "large_cells_travel_beside_a_bulk_load",
        large_cells_travel_beside_a_bulk_load,
    ),
    (
        "batches_of_any_size_do_what_their_rows_would_one_by_one",
        batches_of_any_size,
    ),
    ("several_processes_write_one_table_in_turn", several_processes),
    (
        "two_processes_write_two_tables_of_a_tenant_at_once",
        two_processes_on_two_tables,
    ),
    (
        "a_call_that_needs_more_than_it_said_waits_for_it",
        a_call_that_needs_more,
    ),
    (
        "a_mirror_is_made_once_by_calls_that_share_it",
        a_mirror_is_made_once,
    ),
    ("tenants_go_side_by_side", tenants_go_side_by_side),
    ("a_mirror_that_is_held_is_busy", a_mirror_that_is_held_is_busy),
    (
        "a_connection_that_breaks_costs_its_call_alone",
        a_connection_that_breaks,
    ),
    (
        "mirrors_that_cannot_be_opened_say_why",
        mirrors_that_cannot_be_opened,
    ),
    (
        "databases_are_made_only_where_that_is_wanted",
        databases_are_made_only_where_wanted,
    ),
    ("a_login_without_rights_is_told_so", a_login_without_rights),
    ("a_wipe_minds_foreign_keys", a_wipe_minds_foreign_keys),
    ("partners_indexes_survive_a_change_in_place", partners_indexes),
    ("changes_in_place_of_every_kind", changes_in_place_of_every_kind),
];

/// Type, bare values. Those marked with `*` need more than engines on PostgreSQL keep of a second: six digits.
const VALUES: &[(&str, &[&str])] = &[
    ("smallint", &["-32768", "32767"]),
    ("tinyint", &["0", "255"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("bit", &["0", "1"]),
    (
        "float",
        &[
            "0.1",
            "-0",
            "1.7976931348623157E+308",
            "2.2250738585072014E-308",
            "123456789.12345678",
        ],
    ),
    ("real", &["0.1", "3.4028235E+38"]),
    (
        "decimal(38,2)",
        &["123456789012345678901234567890123456.78", "-0.01", "0"],
    ),
    ("decimal(10,4)", &["0", "-12.5", "999999.9999"]),
    ("money", &["922337203685477.5807", "-922337203685477.5808"]),
    ("smallmoney", &["214748.3647", "-0.0001"]),
    (
        "datetime",
        &[
            "1753-01-01",
            "1760-01-01",
            "2020-12-31 23:59:59.997",
            "2020-05-18 10:40:43.003",
            "9999-12-31 23:59:59.997",
        ],
    ),
    ("smalldatetime", &["1900-01-01", "2079-06-06 23:59:00"]),
    (
        "datetime2(7)",
        &[
            "0001-01-01",
            "2020-01-01 01:02:03.123456",
            "*9999-12-31 23:59:59.9999999",
        ],
    ),
    ("datetime2(3)", &["2020-05-18 10:40:43.123"]),
    (
        "datetimeoffset(7)",
        &[
            "05/18/2020 10:40:43.123456 -09:30",
            "05/18/2020 10:40:43 +14:00",
            "*05/18/2020 10:40:43.1234567 +00:00",
        ],
    ),
    ("date", &["0001-01-01", "9999-12-31"]),
    ("time(7)", &["00:00:00", "23:59:59.999999", "*23:59:59.9999999"]),
    ("time(0)", &["14:52"]),
    (
        "nvarchar(50)",
        &[
            "",
            "  blanks  ",
            "å😀\r\n\t\u{1}\u{b}\u{fffe}",
            "[I:5]",
            "it's; --",
        ],
    ),
    ("nvarchar(4000)", &["", "é"]),
    ("nvarchar(max)", &["", "x"]),
    ("varchar(10)", &["", "æøå €"]),
    ("char(5)", &["abcde"]),
    ("nchar(5)", &["åbcde"]),
    ("ntext", &["", "å😀"]),
    ("text", &["", "æ"]),
    ("varbinary(10)", &["AAH/"]),
    ("varbinary(max)", &["AAH/"]),
    ("binary(4)", &["AAH/AA=="]),
    ("image", &["AAH/"]),
    ("uniqueidentifier", &["6F9619FF-8B86-D011-B42D-00C04FC964FF"]),
    ("rowversion", &["AAAAAAAAB9E="]),
];

fn every_type_keeps_its_values_on_every_road(server: &TestServer) {
    let mirror = Mirror::new(server);
    let exact = mirror.store.server().capabilities().unwrap().sql_server;
    for (n, (ty, bares)) in VALUES.iter().enumerate() {
        let wide = table(&format!("t{n}"), &format!("id int not null; v {ty} null"));
        let ty = wide.columns[1].ty;
        let bares: Vec<&str> = bares
            .iter()
            .filter_map(|bare| match bare.strip_prefix('*') {
                Some(bare) => exact.then_some(bare),
                None => Some(*bare),
            })
            .collect();
        // Small: one statement. Large, by rows that repeat: a bulk load.
        for times in [1, 400] {
            let name = format!("{ty}, {times} times");
            let mut rows = Rows::default();
            let mut expected = Vec::new();
            for n in 0..times * (bares.len() + 1) {
                let cell = bares.get(n % (bares.len() + 1));
                let value = match cell {
                    None => Value::Null,
                    Some(cell) => Value::read(Some(Cow::Borrowed(*cell)), ty).unwrap(),
                };
                rows.push(
                    RowOperation::Insert,
                    [Some(Cow::Owned(n.to_string())), cell.map(|c| Cow::Borrowed(*c))],
                );
                expected.push(value);
            }
            let mut call = mirror.begin().unwrap();
            call.create(&wide).unwrap();
            let applied = call
                .apply(&wide, &[0, 1], &rows)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(applied.inserted as usize, expected.len(), "{name}");
            call.commit().unwrap();
            let sql = format!(
                "SELECT {} FROM {} ORDER BY id",
                value::select("v", ty),
                quote(&wide.name)
            );
            let found = mirror.client().rows(&sql, &[]).unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (row, value) in found.iter().zip(&expected) {
                assert_eq!(row.value(0, ty).as_ref(), Ok(value), "{name}");
            }
            let mut call = mirror.begin().unwrap();
            call.drop_table(&wide.name).unwrap();
            call.commit().unwrap();
        }
    }
}

fn large_cells_travel_beside_a_bulk_load(server: &TestServer) {
    let mirror = Mirror::new(server);
    let wide = table(
        "t",
        "id int not null; a nvarchar(max) null; b varbinary(max) null",
    );
    let text = "åx😀".repeat(300_000);
    let bytes = format!("[B:{}]", "AAH/".repeat(500_000));
    let numbers: Vec<String> = (0..700).map(|n| n.to_string()).collect();
    let rows: Vec<[&str; 3]> = numbers
        .iter()
        .map(|n| match n.as_str() {
            "5" => ["5", &text, "NULL"],
            "699" => ["699", "NULL", &bytes],
            n => [n, "x", "[B:AA==]"],
        })
        .collect();
    let rows: Vec<(&str, &[&str])> = rows.iter().map(|row| ("I", &row[..])).collect();
    let mut call = mirror.begin().unwrap();
    call.create(&wide).unwrap();
    let applied = call.apply(&wide, &[0, 1, 2], &batch_of(&rows)).unwrap();
    assert_eq!(applied.inserted, 700);
    call.commit().unwrap();
    let found = mirror
        .client()
        .rows("SELECT a, b FROM t WHERE id IN (5, 699) ORDER BY id", &[])
        .unwrap();
    assert!(found[0].text(0) == Some(&text), "the text came back changed");
    assert_eq!(found[1].bytes(1).map(<[u8]>::len), Some(1_500_000));
    assert_eq!(
        mirror.query("SELECT COUNT(*), COUNT(a), COUNT(b) FROM t"),
        ["700|699|699"]
    );
}

/// The model: the rows one by one, in order.
fn one_by_one(rows: &mut BTreeMap<i64, String>, batch: &[(char, i64, String)]) -> Applied {
    let mut applied = Applied::default();
    for (operation, key, text) in batch {
        match operation {
            'D' => applied.deleted += u64::from(rows.remove(key).is_some()),
            _ => match rows.insert(*key, text.clone()) {
                None => applied.inserted += 1,
                Some(_) => applied.updated += 1,
            },
        }
    }
    applied
}

fn batches_of_any_size(server: &TestServer) {
    let mirror = Mirror::new(server);
    let narrow = table("t", "id int not null; a nvarchar(20) not null");
    let mut call = mirror.begin().unwrap();
    call.create(&narrow).unwrap();
    call.commit().unwrap();
    let row = (
        prop_oneof![Just('I'), Just('U'), Just('D')],
        0i64..400,
        "[a-c]{0,3}",
    );
    let batches = prop_oneof![
        prop::collection::vec(row.clone(), 0..8),
        prop::collection::vec(row, 300..700)
    ];
    // Its seed is fixed, so that a failure is the same the next time.
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: 12,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let model = Mutex::new(BTreeMap::new());
    runner
        .run(&batches, |batch| {
            let mut rows = Rows::default();
            for (operation, key, text) in &batch {
                let key = Some(Cow::Owned(key.to_string()));
                let operation = RowOperation::read(&operation.to_string());
                match operation {
                    RowOperation::Delete => rows.push(operation, [key]),
                    _ => rows.push(operation, [key, Some(Cow::Borrowed(text.as_str()))]),
                }
            }
            let mut model = model.lock().unwrap();
            let expected = one_by_one(&mut model, &batch);
            let mut call = mirror.begin().unwrap();
            let applied = call.apply(&narrow, &[0, 1], &rows).unwrap();
            call.commit().unwrap();
            prop_assert_eq!(applied, expected);
            let found = mirror.query("SELECT id, a FROM t ORDER BY id");
            let wanted: Vec<String> = model.iter().map(|(key, text)| format!("{key}|{text}")).collect();
            prop_assert_eq!(found, wanted);
            Ok(())
        })
        .unwrap();
}

/// Reads the LSN, writes a row that says so, stores the next LSN: two of these at once would lose one.
fn count_up(store: &MssqlStore, place: &MirrorPlace, name: &str) {
    let counted = table(name, "id int not null");
    for _ in 0..CALLS {
        let mut call = store.begin_on(CONTEXT, place, Scope::Tables(&[name])).unwrap();
        let lsn = call.table(name).unwrap().unwrap().lsn;
        let next = (lsn + 1).to_string();
        call.apply(&counted, &[0], &batch_of(&[("I", &[&next])])).unwrap();
        call.set_lsn(name, lsn + 1).unwrap();
        call.commit().unwrap();
    }
}

/// Another process that counts up.
fn counting(server: &TestServer, mirror: &Mirror, table: &str) -> Child {
    let address = server.address();
    Command::new(std::env::current_exe().unwrap())
        .env(CHILD, &mirror.scratch.name)
        .env(CHILD_TABLE, table)
        .env(
            mirrorlab_engines::mssql::testing::VARIABLE,
            format!(
                "mssql://{}:{}@{}/master?encrypt={}&trust-server-certificate={}",
                address.user,
                address.password.expose(),
                address.server(),
                address.encrypt,
                address.trust_server_certificate
            ),
        )
        .spawn()
        .unwrap()
}

/// The other process.
pub fn child() {
    let database = std::env::var(CHILD).unwrap();
    let server = TestServer::find().unwrap_or_else(|e| panic!("{e:?}"));
    let store = MssqlStore::new(server.address().clone(), MssqlOptions::default());
    let table = std::env::var(CHILD_TABLE).unwrap();
    count_up(&store, &MirrorPlace::SqlServerDatabase(database), &table);
}

fn several_processes(server: &TestServer) {
    let mirror = Mirror::new(server);
    let mut call = mirror.begin().unwrap();
    call.create(&table("t", "id int not null")).unwrap();
    call.set_lsn("t", 0).unwrap();
    call.commit().unwrap();
    let mut child = counting(server, &mirror, "t");
    let second = MssqlStore::new(server.address().clone(), MssqlOptions::default());
    thread::scope(|scope| {
        scope.spawn(|| count_up(&mirror.store, &mirror.place(), "T"));
        scope.spawn(|| count_up(&second, &mirror.place(), "t"));
    });
    assert!(child.wait().unwrap().success());
    let all = 3 * CALLS;
    assert_eq!(
        mirror.query("SELECT COUNT(*), MIN(id), MAX(id) FROM t"),
        [format!("{all}|1|{all}")]
    );
    assert_eq!(mirror.query("SELECT LSN FROM Cust1_mirroring"), [all.to_string()]);
}

/// A store that waits for nobody for long.
fn impatient(server: &TestServer) -> MssqlStore {
    let options = MssqlOptions {
        busy_wait: Duration::from_millis(300),
        ..MssqlOptions::default()
    };
    MssqlStore::new(server.address().clone(), options)
}

/// Mirror with tables `a` and `b`, each at LSN 0.
fn two_tables(server: &TestServer) -> Mirror {
    let mirror = Mirror::new(server);
    let mut call = mirror.begin().unwrap();
    for name in ["a", "b"] {
        call.create(&table(name, "id int not null")).unwrap();
        call.set_lsn(name, 0).unwrap();
    }
    call.commit().unwrap();
    mirror
}

fn two_processes_on_two_tables(server: &TestServer) {
    let mirror = two_tables(server);
    let (a, place) = (table("a", "id int not null"), mirror.place());
    let mut call = mirror
        .store
        .begin_on(CONTEXT, &place, Scope::Tables(&["a"]))
        .unwrap();
    call.apply(&a, &[0], &batch_of(&[("I", &["1"])])).unwrap();
    call.set_lsn("a", 1).unwrap();
    // The whole of another process's work is done while this call is open, and some of this process's own.
    assert!(counting(server, &mirror, "b").wait().unwrap().success());
    count_up(&mirror.store, &place, "B");
    assert_eq!(
        mirror.query("SELECT LSN FROM Cust1_mirroring WHERE tablename = 'b'"),
        [(2 * CALLS).to_string()]
    );
    // The same table, and all of them, are held, by whichever process.
    let other = impatient(server);
    for scope in [Scope::Tables(&["A"]), Scope::Tables(&["b", "a"]), Scope::Tenant] {
        let error = other.begin_on(CONTEXT, &place, scope).err();
        assert!(
            matches!(error, Some(StoreError::Busy { .. })),
            "{scope:?}: {error:?}"
        );
    }
    call.commit().unwrap();
    assert_eq!(mirror.query("SELECT id FROM a"), ["1"]);
    drop(other.begin(CONTEXT, &place).unwrap());
    // All of the tenant is held, and so is each table.
    let all = mirror.begin().unwrap();
    let error = other.begin_on(CONTEXT, &place, Scope::Tables(&["b"])).err();
    assert!(matches!(error, Some(StoreError::Busy { .. })), "{error:?}");
    drop(all);
}

fn a_call_that_needs_more(server: &TestServer) {
    let mirror = two_tables(server);
    let (b, place, other) = (table("b", "id int not null"), mirror.place(), impatient(server));
    let held = mirror
        .store
        .begin_on(CONTEXT, &place, Scope::Tables(&["a"]))
        .unwrap();
    // Nobody has b.
    let mut call = other.begin_on(CONTEXT, &place, Scope::Tables(&[])).unwrap();
    call.apply(&b, &[0], &batch_of(&[("I", &["1"])])).unwrap();
    call.set_lsn("b", 1).unwrap();
    // Somebody has a, and shares the tenant.
    let error = call.set_lsn("a", 5).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    drop(call);
    let mut call = other.begin_on(CONTEXT, &place, Scope::Tables(&["b"])).unwrap();
    let error = call.create(&table("c", "id int not null")).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    drop(call);
    // A script may do anything.
    let mut call = other.begin_on(CONTEXT, &place, Scope::Tables(&["b"])).unwrap();
    let error = call.run_script("DELETE FROM a").unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    drop(call);
    drop(held);
    let mut call = other.begin_on(CONTEXT, &place, Scope::Tables(&["b"])).unwrap();
    call.create(&table("c", "id int not null")).unwrap();
    call.run_script("INSERT INTO c (id) VALUES (1)").unwrap();
    call.commit().unwrap();
    assert_eq!(
        mirror.query("SELECT id FROM b"),
        [""; 0],
        "it was dropped uncommitted"
    );
    assert_eq!(mirror.query("SELECT id FROM c"), ["1"]);
}

fn a_mirror_is_made_once(server: &TestServer) {
    let mirror = Mirror::new(server);
    let stores: Vec<MssqlStore> = (0..3)
        .map(|_| MssqlStore::new(server.address().clone(), MssqlOptions::default()))
        .collect();
    thread::scope(|scope| {
        for store in &stores {
            let place = mirror.place();
            scope.spawn(move || {
                let mut call = store.begin_on(CONTEXT, &place, Scope::Tables(&["t"])).unwrap();
                assert_eq!(call.table("t").unwrap(), None);
                call.commit().unwrap();
            });
        }
    });
    assert_eq!(mirror.query("SELECT COUNT(*) FROM Cust1_mirroring"), ["0"]);
}

fn tenants_go_side_by_side(server: &TestServer) {
    // Their databases are made at the same moment, too.
    let mirrors: Vec<Mirror> = (0..3).map(|_| Mirror::new(server)).collect();
    let shared = MssqlStore::new(server.address().clone(), MssqlOptions::default());
    thread::scope(|scope| {
        for (n, mirror) in mirrors.iter().enumerate() {
            let shared = &shared;
            scope.spawn(move || {
                let mut call = shared.begin(&format!("Cust{n}"), &mirror.place()).unwrap();
                call.create(&table("t", "id int not null")).unwrap();
                call.commit().unwrap();
            });
        }
    });
    for (n, mirror) in mirrors.iter().enumerate() {
        assert_eq!(
            mirror.query(&format!("SELECT tablename FROM Cust{n}_mirroring")),
            ["t"]
        );
    }
}

fn a_mirror_that_is_held_is_busy(server: &TestServer) {
    let mirror = Mirror::new(server);
    let held = mirror.begin().unwrap();
    let other = impatient(server);
    let error = other.begin(CONTEXT, &mirror.place()).err().unwrap();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "the mirror {}/{} is busy: another call or program holds it",
            server.address().server(),
            mirror.scratch.name
        )
    );
    // Another tenant's mirror in the same database is not held.
    let patient = MssqlStore::new(server.address().clone(), MssqlOptions::default());
    drop(patient.begin("Cust2", &mirror.place()).unwrap());
    drop(held);
    drop(patient.begin(CONTEXT, &mirror.place()).unwrap());
}

/// Hands bytes on, until it is told to cut what it has.
struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn new(server: &Address) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let (kept, target) = (Arc::clone(&open), server.server());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&target).unwrap());
                let mut kept = kept.lock().unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    kept.push(from.try_clone().unwrap());
                    thread::spawn(move || {
                        let mut buffer = [0; 8192];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Proxy { port, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn a_connection_that_breaks(server: &TestServer) {
    let proxy = Proxy::new(server.address());
    let through = Address {
        host: "127.0.0.1".into(),
        port: proxy.port,
        ..server.address().clone()
    };
    let mirror = Mirror::at(server, through, MssqlOptions::default());
    let narrow = table("t", "id int not null");
    let mut call = mirror.begin().unwrap();
    call.create(&narrow).unwrap();
    call.commit().unwrap();
    // Between two calls: the pool's connection is dead, and nobody sees it.
    proxy.cut();
    let mut call = mirror.begin().unwrap();
    call.apply(&narrow, &[0], &batch_of(&[("I", &["1"])])).unwrap();
    call.commit().unwrap();
    // Amid a call: it fails, nothing of it is kept, and it may be done anew.
    let mut call = mirror.begin().unwrap();
    call.apply(&narrow, &[0], &batch_of(&[("I", &["2"])])).unwrap();
    proxy.cut();
    let error = call
        .apply(&narrow, &[0], &batch_of(&[("I", &["3"])]))
        .unwrap_err();
    assert!(matches!(error, StoreError::Passing { .. }), "{error:?}");
    assert!(
        mirror
            .store
            .pause_before_retry(&error, 1, Duration::ZERO)
            .is_some()
    );
    let limit = MssqlOptions::default().call_limit;
    assert!(mirror.store.pause_before_retry(&error, 1, limit).is_none());
    drop(call);
    let mut call = mirror.begin().unwrap();
    call.apply(&narrow, &[0], &batch_of(&[("I", &["4"])])).unwrap();
    call.commit().unwrap();
    assert_eq!(mirror.query("SELECT id FROM t ORDER BY id"), ["1", "4"]);
}

fn mirrors_that_cannot_be_opened(server: &TestServer) {
    let name = server.scratch().name.clone();
    let place = MirrorPlace::SqlServerDatabase(name.clone());
    let quick = MssqlOptions {
        server: ServerOptions {
            wait_limit: Duration::from_millis(200),
            ..ServerOptions::default()
        },
        busy_wait: Duration::from_millis(200),
        ..MssqlOptions::default()
    };
    let told = |address: Address| {
        let error = MssqlStore::new(address, quick)
            .begin(CONTEXT, &place)
            .err()
            .unwrap();
        assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
        error.to_string()
    };
    let wrong = told(Address {
        password: Secret::new("hush-hush"),
        ..server.address().clone()
    });
    assert!(
        wrong.starts_with(&format!(
            "the mirror {}/{name} cannot be opened: the login was refused; check user and password: ",
            server.address().server()
        )),
        "{wrong}"
    );
    assert!(!wrong.contains("hush"), "{wrong}");
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = told(Address {
        host: "127.0.0.1".into(),
        port,
        ..server.address().clone()
    });
    let expected =
        format!("the mirror 127.0.0.1:{port}/{name} cannot be opened: the server cannot be reached: ");
    assert!(nobody.starts_with(&expected), "{nobody}");
    // One that speaks another language.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let stranger = told(Address {
        host: "127.0.0.1".into(),
        port,
        encrypt: true,
        ..server.address().clone()
    });
    assert!(
        stranger.contains("does not speak SQL Server's protocol"),
        "{stranger}"
    );
    // One that says nothing at all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = told(Address {
        host: "127.0.0.1".into(),
        port: silent.local_addr().unwrap().port(),
        connect_timeout: Duration::from_millis(300),
        ..server.address().clone()
    });
    assert!(mute.contains("no answer within"), "{mute}");
}

fn databases_are_made_only_where_wanted(server: &TestServer) {
    let options = MssqlOptions {
        create_databases: false,
        ..MssqlOptions::default()
    };
    let mirror = Mirror::at(server, server.address().clone(), options);
    let error = mirror.begin().err().unwrap().to_string();
    assert!(
        error.contains("there is no such database, and this server is told to make none"),
        "{error}"
    );
    assert!(matches!(
        mirror.store.invalidate(CONTEXT, &mirror.place(), None),
        Err(StoreError::NoMirror { .. })
    ));
    drop(mirror.scratch.make());
    mirror.execute("CREATE TABLE report (id int)");
    let mut call = mirror.begin().unwrap();
    assert_eq!(call.tables().unwrap(), []);
    call.create(&table("t", "id int not null")).unwrap();
    call.commit().unwrap();
    assert_eq!(
        mirror.query("SELECT COUNT(*) FROM report"),
        ["0"],
        "somebody's table in it stays"
    );
}

fn a_login_without_rights(server: &TestServer) {
    let mirror = Mirror::new(server);
    let mut master = mirror.scratch.server.open("master").unwrap();
    let login = mirror.scratch.name.clone();
    let password = "Nobody-5-special";
    master
        .batch(&format!(
            "CREATE LOGIN {} WITH PASSWORD = '{password}'",
            quote(&login)
        ))
        .unwrap();
    let nobody = Address {
        user: login.clone(),
        password: Secret::new(password),
        ..server.address().clone()
    };
    let store = MssqlStore::new(nobody, MssqlOptions::default());
    let error = store.begin(CONTEXT, &mirror.place()).err().unwrap().to_string();
    // There is one, but not for this login.
    drop(mirror.scratch.make());
    let closed = store.begin(CONTEXT, &mirror.place()).err().unwrap().to_string();
    drop(store);
    // The server may take a moment to see that its connections are closed.
    let drop_login = || master.batch(&format!("DROP LOGIN {}", quote(&login)));
    retry::retry(Duration::from_secs(20), |_| true, drop_login).unwrap();
    assert!(
        error.contains(&format!("the login `{login}` may not make one")),
        "{error}"
    );
    assert!(
        closed.contains(&format!("the login `{login}` may not enter it")),
        "{closed}"
    );
    assert!(!error.contains(password) && !closed.contains(password));
}

fn a_wipe_minds_foreign_keys(server: &TestServer) {
    let mirror = Mirror::new(server);
    let narrow = table("t", "id int not null");
    let mut call = mirror.begin().unwrap();
    call.create(&narrow).unwrap();
    call.apply(&narrow, &[0], &batch_of(&[("I", &["1"])])).unwrap();
    call.commit().unwrap();
    mirror.execute("CREATE TABLE note (id int, t int REFERENCES t (id))");
    let mut call = mirror.begin().unwrap();
    call.wipe(&narrow).unwrap();
    call.commit().unwrap();
    assert_eq!(mirror.query("SELECT COUNT(*) FROM t"), ["0"]);
}

fn partners_indexes(server: &TestServer) {
    let mirror = Mirror::new(server);
    let old = table(
        "t",
        "id int not null; a nvarchar(10) null; b int null; c int null",
    );
    let mut call = mirror.begin().unwrap();
    call.create(&old).unwrap();
    call.commit().unwrap();
    mirror.execute(
        "CREATE INDEX ix_a ON t (a DESC, c); CREATE INDEX ix_b ON t (b); CREATE INDEX ix_c ON t (c)",
    );
    let new = table("t", "id int not null; a nvarchar(20) null; c int null");
    let mut call = mirror.begin().unwrap();
    call.alter(&old, &new).unwrap();
    call.commit().unwrap();
    let named = mirror.query(
        "SELECT i.name FROM sys.indexes i WHERE i.object_id = OBJECT_ID('t') AND i.is_primary_key = 0 \
         AND i.name IS NOT NULL ORDER BY i.name",
    );
    // Engines may lengthen an index's name.
    let found: Vec<&str> = named.iter().map(|name| &name[..4]).collect();
    assert_eq!(found, ["ix_a", "ix_c"], "{named:?}");
}

fn changes_in_place_of_every_kind(server: &TestServer) {
    let mirror = Mirror::new(server);
    let old = table(
        "t",
        "id int not null; a nvarchar(10) null default (N'x'); b int not null default ((1)); c int null; d smallint null",
    );
    let new = table(
        "t",
        "id bigint not null; a nvarchar(max) not null default (N'y'); b int null; d int null default ((7)); \
         e datetime not null default (N'1760-01-01 00:00:00'); f int null default ((5)); g nvarchar(5) null",
    );
    let mut call = mirror.begin().unwrap();
    call.create(&old).unwrap();
    call.apply(
        &old,
        &[0, 1, 2, 3, 4],
        &batch_of(&[("I", &["1", "a", "2", "3", "4"])]),
    )
    .unwrap();
    call.alter(&old, &new).unwrap();
    call.commit().unwrap();
    let text = "SELECT id, a, b, d, CONVERT(nvarchar(10), e, 120), f, g FROM t ORDER BY id";
    assert_eq!(mirror.query(text), ["1|a|2|4|1760-01-01|NULL|NULL"]);
    // The new defaults hold.
    mirror.execute("INSERT INTO t (id) VALUES (4000000000)");
    assert_eq!(mirror.query(text)[1], "4000000000|y|NULL|7|1760-01-01|5|NULL");
    let described = mirrorlab_engines::mssql::describe::describe(&mut mirror.client(), "T")
        .unwrap()
        .unwrap();
    let mut found = described.keyed().unwrap();
    found.columns.sort_by_key(|c| new.position(&c.name));
    let shape = |t: &mirrorlab_protocol::schema::Table| -> Vec<String> {
        t.columns
            .iter()
            .map(|c| {
                let default = c.default.as_ref().map(|d| d.value(c.ty).unwrap());
                format!("{} {} {} {default:?}", c.name, c.ty, c.nullable)
            })
            .collect()
    };
    assert_eq!(shape(&found), shape(&new));
    // And again the other way, which is narrowing only where the rows allow it.
    let mut call = mirror.begin().unwrap();
    let again = table(
        "t",
        "id bigint not null; a nvarchar(max) not null default (N'y'); h int not null default ((9))",
    );
    call.alter(&new, &again).unwrap();
    call.commit().unwrap();
    assert_eq!(
        mirror.query("SELECT id, a, h FROM t ORDER BY id"),
        ["1|a|9", "4000000000|y|9"]
    );
}
