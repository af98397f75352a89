//! Scenarios and comparisons on a SQL Server: sources and mirrors are databases there.
//!
//! `MIRRORLAB_TEST_MSSQL=mssql://user:password@host:port` names a server; with the feature `sqlserver` one is started in a
//! container. Where there is neither, every test is shown as ignored, with the reason; a scenario that needs what the
//! engine cannot do is ignored for that.
#![allow(
    clippy::unwrap_used,
    reason = "a test with a main of its own, so clippy takes its helpers for a program's"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mirrorlab::compare::{Compared, Ignore, MssqlSide, Options, Report, Side, SqliteSide, compare};
use mirrorlab::report::Verdict;
use mirrorlab::run::host::Transport;
use mirrorlab::run::keys::RunKeys;
use mirrorlab::run::mssql::Databases;
use mirrorlab::run::runner::{self, RunSettings};
use mirrorlab::run::world::WorldSettings;
use mirrorlab::run::{mirror, needs, source};
use mirrorlab::scenario::Catalogue;
use mirrorlab::scenario::discover::discover;
use mirrorlab_engines::mssql::testing::{NoServer, Scratch, TestServer};
use mirrorlab_engines::mssql::{Address, Secret, Server, ServerOptions};
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::schema_file::superoffice;

fn main() {
    let arguments = Arguments::from_args();
    let found = match arguments.list {
        true => Err(NoServer::Ignored(
            "not looked for: the tests are only listed".into(),
        )),
        false => TestServer::find().map(Arc::new),
    };
    if let Err(NoServer::Ignored(reason)) = &found {
        eprintln!("the tests on SQL Server are ignored: {reason}");
    }
    let conclusion = libtest_mimic::run(&arguments, trials(&found));
    // Its container goes with it.
    drop(found);
    conclusion.exit();
}

type Case = fn(&TestServer);

const CASES: [(&str, Case); 6] = [
    (
        "an_endpoint_whose_mirrors_are_there",
        an_endpoint_whose_mirrors_are_there,
    ),
    (
        "the_server_finds_what_streaming_finds",
        the_server_finds_what_streaming_finds,
    ),
    ("a_file_and_a_database", a_file_and_a_database),
    ("keys_in_an_order_that_is_ours", keys_in_an_order_that_is_ours),
    (
        "a_column_that_cannot_be_read_can_be_left_out",
        a_column_that_cannot_be_read,
    ),
    ("mistakes_have_one_clear_message", mistakes_have_one_clear_message),
];

fn trials(found: &Result<Arc<TestServer>, NoServer>) -> Vec<Trial> {
    let ignored = |name: String, reason: &str| {
        Trial::test(name, || Ok(()))
            .with_kind(reason)
            .with_ignored_flag(true)
    };
    let scenarios = Arc::new(Scenarios::read());
    let ids: Vec<String> = scenarios
        .all
        .iter()
        .map(|s| format!("scenario {}", s.id.value))
        .collect();
    let cases = CASES.iter().map(|(name, _)| (*name).to_owned());
    match found {
        Err(NoServer::Ignored(reason)) => cases.chain(ids).map(|name| ignored(name, reason)).collect(),
        Err(NoServer::Broken(why)) => cases
            .chain(ids)
            .map(|name| {
                let why = why.clone();
                Trial::test(name, move || Err(why.into()))
            })
            .collect(),
        Ok(server) => {
            let settings = Arc::new(settings(server.address()));
            let cases = CASES.iter().map(|(name, case)| {
                let server = Arc::clone(server);
                Trial::test(*name, move || {
                    case(&server);
                    Ok(())
                })
            });
            let scenarios = ids.into_iter().enumerate().map(|(at, name)| {
                let why_not = needs::why_not(&scenarios.all[at], &settings.world);
                if !why_not.is_empty() {
                    return ignored(name, &why_not.join("; "));
                }
                let (scenarios, settings) = (Arc::clone(&scenarios), Arc::clone(&settings));
                Trial::test(name, move || {
                    let result = runner::one(&scenarios.all[at], &settings);
                    match &result.verdict {
                        Verdict::Held => Ok(()),
                        Verdict::Broken { reason } => Err(reason.clone().into()),
                        _ => {
                            let told: Vec<String> = result.failures().iter().map(|f| f.text()).collect();
                            Err(told.join("\n").into())
                        }
                    }
                })
            });
            cases.chain(scenarios).collect()
        }
    }
}

struct Scenarios {
    all: Vec<mirrorlab::scenario::model::Scenario>,
}

impl Scenarios {
    fn read() -> Scenarios {
        let catalogue = Catalogue::new(superoffice().iter().cloned());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let all = discover(&[folder], &[], &catalogue);
        Scenarios {
            all: all.unwrap_or_else(|e| panic!("{}", e.render(110, false))),
        }
    }
}

fn settings(address: &Address) -> RunSettings {
    let databases = Databases::connect(address.clone(), "env:MIRRORLAB_TEST_MSSQL", false).unwrap();
    let keys = RunKeys::generate(SystemClock.now()).unwrap();
    let dir: PathBuf = tempfile::Builder::new()
        .prefix("mirrorlab-")
        .tempdir()
        .unwrap()
        .keep();
    RunSettings {
        world: WorldSettings {
            mirrors: Some(Arc::new(mirror::mssql::MssqlDatabases::new(Arc::clone(
                &databases,
            )))),
            sources: Arc::new(source::mssql::MssqlDatabases::new(databases)),
            ..WorldSettings::new(keys, 1, Transport::InProcess)
        },
        jobs: 1,
        dir,
        keep: false,
    }
}

const SHAPE: &str = "CREATE TABLE t (id int NOT NULL PRIMARY KEY, n nvarchar(40) NULL, m nvarchar(max) NULL, f float NULL, \
    d datetime NULL, x decimal(18,4) NULL, b varbinary(max) NULL)";

fn make(server: &TestServer, sql: &[&str]) -> Scratch {
    let scratch = server.scratch();
    let mut connection = scratch.make();
    for statement in sql {
        connection.batch(statement).unwrap();
    }
    scratch
}

fn side(server: &TestServer, name: &str, database: &str) -> Box<dyn Side> {
    let address = server.address().with_database(database);
    Box::new(MssqlSide::open(name, &address, Box::new(|_| true)).unwrap())
}

fn findings(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|f| format!("{}: {}", f.table, report.finding_text(f)))
        .collect()
}

fn the_server_finds_what_streaming_finds(server: &TestServer) {
    let rows = "INSERT INTO t (id, n, m, f, d, x, b) VALUES (1, N'Ola', N'long', 0.0, '20200518 10:40:43.003', 1.5, 0x00), \
        (2, NULL, N'', 0.1, NULL, NULL, NULL), (3, N'same', NULL, NULL, NULL, NULL, 0x0102), (4, N'gone', NULL, NULL, NULL, NULL, NULL)";
    let left = make(
        server,
        &[
            SHAPE,
            rows,
            "CREATE TABLE only_left (id int NOT NULL PRIMARY KEY)",
        ],
    );
    let right = make(
        server,
        &[
            SHAPE,
            rows,
            "UPDATE t SET n = N'ola ', b = 0x0000, x = 1.5001 WHERE id = 1",
            "UPDATE t SET n = N'', m = NULL, f = 0.1000000000000000194 WHERE id = 2",
            "DELETE FROM t WHERE id = 4; INSERT INTO t (id) VALUES (-5), (9)",
        ],
    );
    let compared = |right_address: &str| {
        let mut a = side(server, "left", &left.name);
        let address = server.address().with_database(&right.name);
        let address = Address {
            host: right_address.to_owned(),
            ..address
        };
        let mut b = MssqlSide::open("right", &address, Box::new(|_| true)).unwrap();
        compare(a.as_mut(), &mut b, &Options::default()).unwrap()
    };
    let here = server.address().host.clone();
    let inside = compared(&here);
    assert_eq!(
        inside.table("t").unwrap().compared,
        Compared::InServer,
        "{}",
        inside.text()
    );
    // The same server by another name is another server, as far as anybody knows.
    let other = if here == "localhost" {
        "127.0.0.1"
    } else {
        "localhost"
    };
    let streamed = compared(other);
    assert_eq!(streamed.table("t").unwrap().compared, Compared::Streamed);
    assert_eq!(findings(&inside), findings(&streamed));
    let counts = |report: &Report| {
        let t = report.table("t").unwrap();
        (t.rows_left, t.rows_right, t.rows_compared, t.findings.clone())
    };
    assert_eq!(counts(&inside), counts(&streamed));
    let told = findings(&inside).join("\n");
    for part in [
        "row-extra        id=-5:",
        "cell             id=1 n: left 'Ola', right 'ola '",
        "cell             id=1 x: left 1.5000, right 1.5001",
        "cell             id=1 b: left 0x00, right 0x0000",
        "cell             id=2 n: left NULL, right ''",
        "cell             id=2 m: left '', right NULL",
        "cell             id=2 f: left 0.1, right 0.10000000000000002",
        "row-missing      id=4:",
        "row-extra        id=9:",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert_eq!(findings(&inside).len(), 10, "and a table is missing\n{told}");
    let mut same = (
        side(server, "left", &left.name),
        side(server, "right", &left.name),
    );
    let report = compare(same.0.as_mut(), same.1.as_mut(), &Options::default()).unwrap();
    assert!(
        report.is_equal() && report.rows_compared() == 4,
        "{}",
        report.text()
    );
}

fn a_file_and_a_database(server: &TestServer) {
    let rows = "INSERT INTO t (id, n, f, b) VALUES (1, 'Ola', 0.1, x'0001'), (2, NULL, NULL, NULL), (3, 'a', 1e300, NULL)";
    let database = make(server, &[SHAPE, &rows.replace("x'0001'", "0x0001")]);
    let file = |extra: &str| {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let shape = SHAPE
            .replace("nvarchar(max)", "\"nvarchar(max)\"")
            .replace("varbinary(max)", "\"varbinary(max)\"")
            .replace("decimal(18,4)", "\"decimal_text(18,4)\"");
        connection
            .execute_batch(&format!("{shape}; {rows}; {extra}"))
            .unwrap();
        SqliteSide::from_connection("file", connection, Box::new(|_| true))
    };
    let mut mirror = side(server, "database", &database.name);
    let report = compare(&mut file(""), mirror.as_mut(), &Options::default()).unwrap();
    assert!(report.is_equal(), "{}", report.text());
    assert_eq!(report.rows_compared(), 3);
    let mut mirror = side(server, "database", &database.name);
    let changed = "UPDATE t SET n = 'ola' WHERE id = 1; DELETE FROM t WHERE id = 3";
    let report = compare(&mut file(changed), mirror.as_mut(), &Options::default()).unwrap();
    assert_eq!(report.findings_count(), 2, "{}", report.text());
}

fn keys_in_an_order_that_is_ours(server: &TestServer) {
    let rows = "INSERT INTO k VALUES (N'b', 1), (N'a', 2), (N'Z', 3), (N'å', 4), (N'aa', 5), (N'-', 6)";
    let shape = "CREATE TABLE k (k nvarchar(20) NOT NULL PRIMARY KEY, v int NULL)";
    let a = make(server, &[shape, rows]);
    let b = make(server, &[shape, rows, "UPDATE k SET v = 7 WHERE k = N'Z'"]);
    let (mut left, mut right) = (side(server, "left", &a.name), side(server, "right", &b.name));
    let report = compare(left.as_mut(), right.as_mut(), &Options::default()).unwrap();
    assert_eq!(
        findings(&report),
        ["k: cell             k='Z' v: left 3, right 7"]
    );
    assert!(report.text().contains("were sorted here"), "{}", report.text());
}

fn a_column_that_cannot_be_read(server: &TestServer) {
    let shape = "CREATE TABLE t (v sql_variant NULL, id int NOT NULL PRIMARY KEY, x xml NULL, n nvarchar(10) NULL); \
        INSERT INTO t (v, id, x, n) VALUES (CAST(1 AS int), 1, '<a/>', N'Ola'), (NULL, 2, NULL, N'Kari')";
    let a = make(server, &[shape]);
    let b = make(server, &[shape, "UPDATE t SET n = N'ola', x = NULL WHERE id = 1"]);
    let with = |ignored: &[&str]| {
        let (mut left, mut right) = (side(server, "left", &a.name), side(server, "right", &b.name));
        let options = Options {
            ignore: ignored
                .iter()
                .map(|t| Ignore::parse(t, "asked for").unwrap())
                .collect(),
            ..Options::default()
        };
        compare(left.as_mut(), right.as_mut(), &options).unwrap()
    };
    let report = with(&["t.v", "*.X"]);
    let told = findings(&report);
    let cell = "t: cell             id=1 n: left 'Ola', right 'ola'";
    assert!(told.len() == 1 && told[0].starts_with(cell), "{told:?}");
    assert_eq!(report.table("t").unwrap().compared, Compared::InServer);
    assert!(
        report.text().contains("column t.x: asked for"),
        "{}",
        report.text()
    );
    let told = findings(&with(&["t.v"])).join("\n");
    assert!(
        told.contains("table-unreadable") && told.contains("`x`") && !told.contains("`v`"),
        "{told}"
    );
}

fn mistakes_have_one_clear_message(server: &TestServer) {
    let scratch = make(server, &[SHAPE]);
    let good = server.address().with_database(&scratch.name);
    let told = |address: &Address| {
        let run = Command::new(env!("CARGO_BIN_EXE_mirrorlab"))
            .args(["compare", "env:THE_LEFT", "env:THE_RIGHT"])
            .env("THE_LEFT", connection_string(&good))
            .env("THE_RIGHT", connection_string(address))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        for address in [&good, address] {
            assert!(!told.contains(address.password.expose()), "{told}");
        }
        (run.status.code(), told)
    };
    let wrong_password = Address {
        password: Secret::new("not-the-password-1"),
        ..good.clone()
    };
    let (code, message) = told(&wrong_password);
    assert_eq!(code, Some(4));
    assert!(
        message.lines().count() == 1 && message.contains("the login was refused"),
        "{message}"
    );
    let (code, message) = told(&good.with_database("mirrorlab_no_such_database"));
    assert_eq!(code, Some(4));
    assert!(
        message.lines().count() == 1 && message.contains("there is no such database"),
        "{message}"
    );
    let nobody = Address {
        port: 1,
        host: "127.0.0.1".into(),
        ..good.clone()
    };
    let (code, message) = told(&nobody);
    assert_eq!(code, Some(4));
    assert!(
        message.lines().count() == 1 && message.contains("cannot be reached"),
        "{message}"
    );
    assert_eq!(told(&good).0, Some(0), "{:?}", told(&good));
}

fn connection_string(address: &Address) -> String {
    let escaped: String = address
        .password
        .expose()
        .bytes()
        .map(|b| format!("%{b:02X}"))
        .collect();
    format!(
        "mssql://{}:{escaped}@{}/{}?encrypt={}&trust-server-certificate={}",
        address.user,
        address.server(),
        address.database,
        address.encrypt,
        address.trust_server_certificate
    )
}

/// Databases whose names begin so; they are dropped with it.
struct Begun {
    address: Address,
    prefix: String,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let server = Server::new(self.address.clone(), ServerOptions::default());
        let names = server.connect("master").and_then(|mut master| {
            master.results(
                &format!(
                    "SELECT name FROM sys.databases WHERE name LIKE '{}%'",
                    self.prefix
                ),
                &[],
            )
        });
        for row in names.into_iter().flatten().flatten() {
            if let Some(name) = row.text(0) {
                let _ = server.drop_database(name);
            }
        }
    }
}

/// The built-in server plays an endpoint that is not ours, its mirrors on the server: the conformance report and scenarios
/// look at them there.
fn an_endpoint_whose_mirrors_are_there(server: &TestServer) {
    let begun = Begun {
        address: server.address().clone(),
        prefix: format!("mirrorlab_test_{}_", std::process::id()),
    };
    let template = format!("{}{{context}}", begun.prefix);
    let dir = tempfile::tempdir().unwrap();
    support::run(dir.path(), &["keys", "new", "keys"]).expect(0);
    let at = |args: &[&str], database: &str| {
        let mut command = support::mirrorlab(dir.path(), args);
        command.env(
            "THE_SERVER",
            connection_string(&begun.address.with_database(database)),
        );
        support::Started::new(command)
    };
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--plain-http",
        "--application-id",
        "my-app",
        "--application-key",
        "keys/application-private-key.xml",
        "--trust",
        "keys/trust",
        "--sql-server",
        "env:THE_SERVER",
        "--name-template",
        &template,
    ];
    let mut endpoint = at(&serve, "master");
    let line = endpoint.wait_for("listening on http://");
    let url = line.trim().trim_start_matches("listening on ").to_owned();
    let of_endpoint = ["--endpoint", &url, "--keys", "keys", "--application-id", "my-app"];
    let with_mirror = [&of_endpoint[..], &["--mirror", "env:THE_SERVER"]].concat();

    // Rows, whole cycles, and a person's work by hand.
    let only = [
        "rows.update",
        "rows.delete",
        "values.text-empty",
        "wipe.empties",
        "schema.metadata",
        "schema.lsn-by-hand",
        "schema.dropped-by-hand",
        "schema.foreign-table",
        "schema.name-taken",
        "cycle.changes",
    ];
    let mut conformance = [&["conformance"], &with_mirror[..]].concat();
    conformance.extend(only.iter().flat_map(|id| ["--only", id]));
    let ended = at(&conformance, &template).end().expect(0);
    assert!(ended.out.contains("10 passed"), "{}", ended.out);
    // It has looked: where nothing is, it says so.
    let elsewhere = format!("{}elsewhere_{{context}}", begun.prefix);
    let ended = at(&conformance, &elsewhere).end().expect(4);
    assert!(ended.out.contains("there is no mirror of Cust"), "{}", ended.out);
    let ended = at(&conformance, "one").end().expect(2);
    assert!(ended.err.contains("one tenant's alone"), "{}", ended.err);
    assert!(
        !ended.err.contains(begun.address.password.expose()),
        "{}",
        ended.err
    );

    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/restore");
    let stories = [
        "lsn-set-by-hand",
        "mirror-restored",
        "microsoft-example",
        "table-dropped-by-hand",
    ];
    let mut run = vec!["run"];
    let files: Vec<String> = stories
        .iter()
        .map(|id| scenarios.join(format!("{id}.yaml")).display().to_string())
        .collect();
    run.extend(files.iter().map(String::as_str));
    run.extend(&with_mirror);
    let ended = at(&run, &template).end().expect(0);
    assert!(ended.out.contains("4 scenarios: 4 ok"), "{}", ended.out);
    drop(endpoint);
}
