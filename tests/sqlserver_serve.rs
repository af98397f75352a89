//! Mirrors on a SQL Server, by the program as a user runs it: `serve --sql-server`, `simulate`, `invalidate`.
//!
//! `MIRRORLAB_TEST_MSSQL=mssql://user:password@host:port` names a server; with the feature `sqlserver` one is started in a
//! container. Where there is neither, those tests are shown as ignored, with the reason. Those that need no more than a
//! server that answers as it is told run everywhere.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test with a main of its own, so clippy takes its helpers for a program's"
)]

mod support;
#[path = "support/trial.rs"]
mod trial;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial as Case};
use mirrorlab_engines::mssql::testing::mock::{Cell, Mock, PASSWORD, Question, Reply};
use mirrorlab_engines::mssql::testing::{NoServer, Scratch, TestServer};
use mirrorlab_engines::mssql::{Address, quote, retry};
use rusqlite::Connection;
use support::{Ended, Started, mirrorlab};
use trial::{Trial, listening};

/// The environment variable that the program is told to look into.
const NAME: &str = "MIRRORLAB_TEST_CONNECTION";
const TENANTS: [&str; 2] = ["Cust10001", "Cust10002"];

type Test = fn(&TestServer);

const ON_A_SERVER: &[(&str, Test)] = &[
    ("serve_and_simulate", serve_and_simulate),
    ("two_servers_behind_one_address", two_servers_behind_one_address),
    ("a_server_that_is_killed_costs_nothing", a_server_that_is_killed),
    ("databases_that_a_person_made", databases_that_a_person_made),
    (
        "what_is_refused_loses_nothing_and_the_next_cycle_heals",
        what_is_refused_loses_nothing,
    ),
];

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
    let on_a_server = ON_A_SERVER.iter().map(|(name, test)| match &found {
        Ok(server) => {
            let server = Arc::clone(server);
            Case::test(*name, move || {
                test(&server);
                Ok(())
            })
        }
        Err(NoServer::Ignored(reason)) => Case::test(*name, || Ok(()))
            .with_kind(reason)
            .with_ignored_flag(true),
        Err(NoServer::Broken(why)) => {
            let why = why.clone();
            Case::test(*name, move || Err(why.into()))
        }
    });
    let everywhere: [(&str, fn()); 3] = [
        (
            "what_a_sql_server_refuses_is_told_in_words",
            what_a_sql_server_refuses,
        ),
        ("the_password_is_in_no_output", the_password_is_in_no_output),
        ("a_sql_server_that_is_not_there", a_sql_server_that_is_not_there),
    ];
    let everywhere = everywhere.into_iter().map(|(name, test)| {
        Case::test(name, move || {
            test();
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, on_a_server.chain(everywhere).collect());
    // Its container goes with it.
    drop(found);
    conclusion.exit();
}

/// Databases of a name that nobody else uses; they are dropped with it.
struct Mirrors {
    template: String,
    connection: String,
    databases: Vec<Scratch>,
}

impl Mirrors {
    fn new(server: &TestServer) -> Mirrors {
        let stem = server.scratch().name.clone();
        let databases = TENANTS
            .iter()
            .map(|tenant| {
                let mut scratch = server.scratch();
                scratch.name = format!("{stem}_{tenant}");
                scratch
            })
            .collect();
        Mirrors {
            template: format!("{stem}_{{context}}"),
            connection: connection_string(server.address()),
            databases,
        }
    }

    /// A server on these mirrors, and its URL.
    fn serve(&self, trial: &Trial, more: &[&str]) -> (Started, String) {
        self.serve_by(&self.connection, trial, more)
    }

    /// The same by another connection string.
    fn serve_by(&self, connection: &str, trial: &Trial, more: &[&str]) -> (Started, String) {
        let mut args = trial.serve_args(more);
        let at = args.iter().position(|arg| *arg == "--mirrors").unwrap();
        args[at] = "--sql-server";
        let variable = format!("env:{NAME}");
        args[at + 1] = &variable;
        args.extend(["--name-template", &self.template]);
        let mut command = mirrorlab(trial.dir(), &args);
        command.env(NAME, connection);
        listening(Started::new(command))
    }

    /// Fails unless each tenant's mirror has its source's rows.
    fn equal(&self, trial: &Trial) {
        self.equal_of(trial, TENANTS.len());
    }

    /// The same of the first tenants.
    fn equal_of(&self, trial: &Trial, tenants: usize) {
        for (tenant, mirror) in TENANTS.iter().zip(&self.databases).take(tenants) {
            let source = Connection::open(trial.path("data").join(format!("{tenant}.db"))).unwrap();
            let mut client = mirror.server.open(&mirror.name).unwrap();
            let metadata = quote(&format!("{tenant}_mirroring"));
            let listed = client
                .rows(&format!("SELECT tablename, LSN FROM {metadata}"), &[])
                .unwrap();
            assert!(listed.len() > 20, "{tenant}: {} tables", listed.len());
            let mut rows = 0;
            for row in &listed {
                let table = row.text(0).unwrap();
                assert!(row.integer(1).unwrap() > 0, "{tenant}, {table}: no LSN");
                let wanted: Vec<i64> = source
                    .prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1"))
                    .unwrap()
                    .query_map([], |row| row.get(0))
                    .unwrap()
                    .collect::<Result<_, _>>()
                    .unwrap();
                let found: Vec<i64> = client
                    .rows(&format!("SELECT * FROM {} ORDER BY 1", quote(table)), &[])
                    .unwrap()
                    .iter()
                    .map(|row| row.integer(0).unwrap())
                    .collect();
                assert_eq!(found, wanted, "{tenant}, {table}");
                rows += found.len();
            }
            assert!(rows > 0, "{tenant} has rows");
        }
    }
}

fn connection_string(address: &Address) -> String {
    format!(
        "mssql://{}:{}@{}/master?encrypt={}&trust-server-certificate={}",
        address.user,
        address.password.expose(),
        address.server(),
        address.encrypt,
        address.trust_server_certificate
    )
}

const CYCLES: [&str; 10] = [
    "--tenants",
    "2",
    "--cycles",
    "2",
    "--every",
    "0s",
    "--changes",
    "10",
    "--rows",
    "20",
];

fn serve_and_simulate(server: &TestServer) {
    let (trial, mirrors) = (Trial::new(), Mirrors::new(server));
    let (mut running, url) = mirrors.serve(&trial, &["--log", "trace"]);
    running.wait_for("mirrors are databases of this SQL Server");
    trial.simulate(&url, &CYCLES).expect(0);
    mirrors.equal(&trial);
    // One table anew, by the name of its database and by the connection string's own.
    let invalidate = |connection: &str, more: &[&str]| -> Ended {
        let variable = format!("env:{NAME}");
        let mut args = vec!["invalidate", &variable, "--tenant", TENANTS[0]];
        args.extend(more);
        let mut command = mirrorlab(trial.dir(), &args);
        command.env(NAME, connection);
        Started::new(command).end()
    };
    let database = &mirrors.databases[0].name;
    let all = invalidate(
        &mirrors.connection,
        &["--database", database, "--table", "contact"],
    )
    .expect(0);
    assert!(all.out.contains("1 table of Cust10001: LSN -1"), "{}", all.out);
    let named = mirrors.connection.replace("/master?", &format!("/{database}?"));
    invalidate(&named, &["--table", "person"]).expect(0);
    let none = invalidate(&mirrors.connection, &[]).expect(2);
    assert!(
        none.err.contains("there is no mirror ") && none.err.contains("/Mirror_Cust10001"),
        "{}",
        none.err
    );
    let unknown = invalidate(&named, &["--table", "nowhere"]).expect(2);
    assert!(unknown.err.contains("`nowhere` is not among"), "{}", unknown.err);
    let again = trial
        .simulate(&url, &["--tenants", "2", "--cycles", "1", "--rows", "20"])
        .expect(0);
    mirrors.equal(&trial);
    running.signal("TERM");
    let ended = running.end().expect(0);
    let password = server.address().password.expose();
    for text in [
        &ended.out,
        &ended.err,
        &again.out,
        &again.err,
        &none.err,
        &unknown.err,
    ] {
        assert!(!text.contains(password), "{text}");
    }
}

/// Hands each connection to another one of several servers, as a load balancer does.
struct Balancer(u16);

impl Balancer {
    fn new(ports: Vec<u16>) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            pass_all_on(&listener, |n| {
                TcpStream::connect(("127.0.0.1", ports[n % ports.len()]))
            });
        });
        Balancer(port)
    }
}

/// Hands every connection on, to where its number leads.
fn pass_all_on(listener: &TcpListener, connect: impl Fn(usize) -> io::Result<TcpStream>) {
    for (n, client) in listener.incoming().enumerate() {
        let (Ok(client), Ok(server)) = (client, connect(n)) else {
            continue;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                // One end that is closed closes the other.
                let _ = pass_on(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}

fn pass_on(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16_384];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

fn port_of(url: &str) -> u16 {
    let authority = url.split('/').nth(2).unwrap();
    authority.rsplit(':').next().unwrap().parse().unwrap()
}

fn two_servers_behind_one_address(server: &TestServer) {
    let (trial, mirrors) = (Trial::new(), Mirrors::new(server));
    let (mut first, first_url) = mirrors.serve(&trial, &[]);
    let (mut second, second_url) = mirrors.serve(&trial, &[]);
    let ports = vec![port_of(&first_url), port_of(&second_url)];
    let balancer = Balancer::new(ports.clone());
    let url = first_url.replace(&ports[0].to_string(), &balancer.0.to_string());
    trial.simulate(&url, &CYCLES).expect(0);
    mirrors.equal(&trial);
    for running in [&mut first, &mut second] {
        running.wait_for("\"done\"");
    }
}

fn a_server_that_is_killed(server: &TestServer) {
    let (trial, mirrors) = (Trial::new(), Mirrors::new(server));
    let (mut running, url) = mirrors.serve(&trial, &[]);
    let mut simulator = Started::new(mirrorlab(trial.dir(), &trial.simulate_args(&url, &CYCLES)));
    running.wait_for("RowData");
    running.kill();
    // It ends with what it could not send.
    while simulator.wait_for("Cust1").is_empty() {}
    drop(simulator);
    let (_again, url) = mirrors.serve(&trial, &[]);
    trial.simulate(&url, &CYCLES).expect(0);
    mirrors.equal(&trial);
}

fn databases_that_a_person_made(server: &TestServer) {
    let (trial, mirrors) = (Trial::new(), Mirrors::new(server));
    let (_running, url) = mirrors.serve(&trial, &["--existing-databases"]);
    let refused = trial.simulate(&url, &CYCLES);
    assert_ne!(refused.code, Some(0));
    let told = format!("{}{}", refused.out, refused.err);
    assert!(
        told.contains(&mirrors.databases[0].name) && told.contains("this server is told to make none"),
        "{told}"
    );
    for database in &mirrors.databases {
        drop(database.make());
    }
    trial.simulate(&url, &CYCLES).expect(0);
    mirrors.equal(&trial);
}

/// A port where nobody listens, and that is nobody else's meanwhile: a connection that was accepted there still has it.
struct ClosedPort {
    number: u16,
    kept: [TcpStream; 2],
}

impl ClosedPort {
    fn new() -> ClosedPort {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = door.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = door.accept().unwrap();
        ClosedPort {
            number: address.port(),
            kept: [client, server],
        }
    }

    /// Somebody listens from now on.
    fn open(self) -> TcpListener {
        let door = TcpListener::bind(("127.0.0.1", self.number)).unwrap();
        drop(self.kept);
        door
    }
}

fn what_is_refused_loses_nothing(server: &TestServer) {
    const WRONG: &str = "hush-Hush-0815";
    const CYCLE: [&str; 6] = ["--cycles", "1", "--rows", "3", "--changes", "3"];
    let (trial, mirrors) = (Trial::new(), Mirrors::new(server));
    let (shown, database) = (server.address().server(), &mirrors.databases[0]);
    let refused = |database: &Scratch, url: &str, words: &[&str]| {
        let ended = trial.simulate(url, &CYCLE);
        assert_ne!(ended.code, Some(0));
        let told = format!("{}{}", ended.out, ended.err);
        for words in words.iter().chain([&database.name.as_str()]) {
            assert!(told.contains(words), "{words}\n{told}");
        }
        for password in [server.address().password.expose(), WRONG] {
            assert!(!told.contains(password), "{told}");
        }
    };
    let heals = |mirrors: &Mirrors, url: &str| {
        trial.simulate(url, &CYCLE).expect(0);
        mirrors.equal_of(&trial, 1);
    };
    // Nothing listens where the server should be; then it does.
    let closed_port = ClosedPort::new();
    let port = closed_port.number;
    let through = mirrors
        .connection
        .replace(&format!("@{shown}"), &format!("@127.0.0.1:{port}"));
    let (_running, url) = mirrors.serve_by(&through, &trial, &[]);
    let away = format!("the mirror 127.0.0.1:{port}/");
    refused(database, &url, &[&away, "the server cannot be reached"]);
    let door = closed_port.open();
    let target = shown.clone();
    thread::spawn(move || pass_all_on(&door, |_| TcpStream::connect(&target)));
    // A database that is there already, full of somebody's; then that is gone.
    let mut somebody = database.make();
    somebody
        .batch("CREATE TABLE orders (id int NOT NULL PRIMARY KEY); INSERT INTO orders (id) VALUES (1)")
        .unwrap();
    refused(
        database,
        &url,
        &[
            &away,
            "has tables that this server did not make: orders; name the mirrors otherwise",
        ],
    );
    let kept = somebody.row("SELECT COUNT(*) FROM orders", &[]).unwrap();
    assert_eq!(
        kept.and_then(|row| row.integer(0)),
        Some(1),
        "it is never touched"
    );
    somebody.batch("DROP TABLE orders").unwrap();
    drop(somebody);
    heals(&mirrors, &url);
    // Another server process with a wrong password, amid the mirror's life.
    let wrong = mirrors
        .connection
        .replace(server.address().password.expose(), WRONG);
    let (stranger, closed) = mirrors.serve_by(&wrong, &trial, &[]);
    let here = format!("the mirror {shown}/");
    refused(
        database,
        &closed,
        &[&here, "the login was refused; check user and password"],
    );
    drop(stranger);
    heals(&mirrors, &url);
    // A login that may make no database, where there is none.
    let login = format!("{}_nobody", database.name);
    let mut master = database.server.open("master").unwrap();
    master
        .batch(&format!(
            "CREATE LOGIN {} WITH PASSWORD = '{WRONG}'",
            quote(&login)
        ))
        .unwrap();
    let user = format!(
        "//{}:{}@",
        server.address().user,
        server.address().password.expose()
    );
    let nobody = mirrors.connection.replace(&user, &format!("//{login}:{WRONG}@"));
    let unmade = Mirrors::new(server);
    let (powerless, closed) = unmade.serve_by(&nobody, &trial, &[]);
    refused(
        &unmade.databases[0],
        &closed,
        &[&here, "may not make one; give it the right CREATE ANY DATABASE"],
    );
    drop(powerless);
    let (_able, open) = unmade.serve(&trial, &[]);
    heals(&unmade, &open);
    // Its connections may take a moment to be gone.
    let drop_login = || master.batch(&format!("DROP LOGIN {}", quote(&login)));
    retry::retry(Duration::from_secs(60), |_| true, drop_login).unwrap();
}

/// A server on a SQL Server that is none, and a cycle against it.
fn cycle_on(connection: &str) -> (Ended, Ended) {
    let trial = Trial::new();
    let variable = format!("env:{NAME}");
    let mut args = trial.serve_args(&["--log", "trace"]);
    let at = args.iter().position(|arg| *arg == "--mirrors").unwrap();
    args[at] = "--sql-server";
    args[at + 1] = &variable;
    let mut command = mirrorlab(trial.dir(), &args);
    command.env(NAME, connection);
    let (running, url) = listening(Started::new(command));
    let simulated = trial.simulate(&url, &["--cycles", "1", "--rows", "1"]);
    running.signal("TERM");
    (simulated, running.end())
}

fn the_password_is_in_no_output() {
    let repeated = format!("Login failed for user 'mirrors' with password '{PASSWORD}'.");
    for number in [18_456, 40_613, 9002] {
        let reply = Reply::Error(number, repeated.clone());
        let mock = Mock::start(move |question| match question {
            Question::Login { .. } if number == 9002 => Reply::Done,
            _ => reply.clone(),
        });
        // Read in full, so that a program that shows what it was given is caught.
        assert!(mock.connection_string().contains(PASSWORD));
        let (simulated, served) = cycle_on(&mock.connection_string().replace("?", "?connect-timeout=5&"));
        assert_ne!(simulated.code, Some(0), "{number}");
        let all = format!("{}{}{}{}", simulated.out, simulated.err, served.out, served.err);
        assert!(all.contains(&format!("127.0.0.1:{}", mock.port())), "{all}");
        assert!(all.contains("with password '***'"), "{all}");
        assert!(!all.contains(PASSWORD), "{number}: {all}");
    }
}

/// What a SQL Server says that has the first tenant's mirror without a table in it, but for what `odd` says.
fn but(odd: impl Fn(&Question) -> Option<Reply> + Send + Sync + 'static) -> Mock {
    Mock::start(move |question| {
        if let Some(reply) = odd(question) {
            return reply;
        }
        let Question::Sql { sql, .. } = question else {
            return Reply::Done;
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        if sql.contains("BEGIN TRANSACTION; DECLARE @got") {
            let (got, there, same) = (Cell::Integer(0), Cell::Integer(1), Cell::Integer(1));
            Reply::row(vec![got, there, same, text("Latin1_General_100_CI_AS")])
        } else if sql.contains("'ProductVersion'") {
            Reply::row(vec![
                text("16.0"),
                text("Microsoft SQL Server 2022"),
                Cell::Integer(3),
            ])
        } else if sql.contains("SELECT @got") {
            Reply::row(vec![Cell::Integer(0)])
        } else if sql.contains("SELECT DB_ID") {
            Reply::row(vec![Cell::Null, Cell::Integer(1)])
        } else if sql.contains("SELECT tablename, schemahash") {
            Reply::Results(vec![vec![], vec![]])
        } else {
            Reply::Done
        }
    })
}

fn what_a_sql_server_refuses() {
    let sql =
        |question: &Question, part: &str| matches!(question, Question::Sql { sql, .. } if sql.contains(part));
    let error = |number: u32, words: &str| Reply::Error(number, words.to_owned());
    let opened = |has_metadata: i64, same: i64, collation: &str| {
        let numbers = [0, has_metadata, same].map(Cell::Integer);
        let mut row = numbers.to_vec();
        row.push(Cell::Text(collation.to_owned()));
        Reply::row(row)
    };
    const OPENS: &str = "BEGIN TRANSACTION; DECLARE @got";
    let mocks = [
        but(move |q| {
            let login = matches!(q, Question::Login { .. });
            login.then(|| error(18_456, "Login failed for user 'mirrors'."))
        }),
        but(move |q| match q {
            Question::Login { database, .. } if database.starts_with("Mirror_") => {
                Some(error(4060, "Cannot open database."))
            }
            q => sql(q, "CREATE DATABASE")
                .then(|| error(262, "CREATE DATABASE permission denied in database 'master'.")),
        }),
        but(move |q| {
            if sql(q, "SELECT t.name FROM sys.tables") {
                let names = ["invoice", "orders"].map(|name| vec![Cell::Text(name.to_owned())]);
                return Some(Reply::Results(vec![names.to_vec()]));
            }
            sql(q, OPENS).then(|| opened(0, 1, "x"))
        }),
        but(move |q| sql(q, OPENS).then(|| opened(1, 0, "Latin1_General_CS_AS"))),
        but(move |q| {
            let words = "The transaction log for database 'Mirror_Cust10001' is full due to 'LOG_BACKUP'.";
            sql(q, "CREATE TABLE").then(|| error(9002, words))
        }),
    ];
    let told: Vec<String> = mocks
        .iter()
        .map(|mock| {
            let (simulated, served) = cycle_on(&mock.connection_string());
            assert_ne!(simulated.code, Some(0));
            let all = format!("{}{}{}", simulated.out, simulated.err, served.err);
            assert!(!all.contains(PASSWORD), "{all}");
            assert_eq!(mock.count("COMMIT"), 0, "nothing is kept");
            let said = format!("{}{}", simulated.out, simulated.err);
            let line = said.lines().find(|line| line.contains("the mirror "));
            let line = line.unwrap_or_else(|| panic!("no reason: {said}"));
            let at = line.find("Cust10001, ").unwrap_or_default();
            line[at..].replace(&format!(":{}", mock.port()), ":PORT")
        })
        .collect();
    insta::assert_snapshot!("what_a_sql_server_refuses", told.join("\n"));
}

fn a_sql_server_that_is_not_there() {
    let closed_port = ClosedPort::new();
    let port = closed_port.number;
    let (simulated, served) = cycle_on(&format!("mssql://mirrors:{PASSWORD}@127.0.0.1:{port}"));
    assert_ne!(simulated.code, Some(0));
    let told = format!("{}{}", simulated.out, simulated.err);
    assert!(
        told.contains(&format!(
            "the mirror 127.0.0.1:{port}/Mirror_Cust10001 cannot be opened: the server cannot be reached"
        )),
        "{told}"
    );
    assert!(
        served
            .err
            .contains("the SQL Server of the mirrors cannot be used now"),
        "{}",
        served.err
    );
}
