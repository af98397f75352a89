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

use libtest_mimic::{Arguments, Trial as Case};
use mirrorlab_engines::mssql::testing::mock::{Mock, PASSWORD, Question, Reply};
use mirrorlab_engines::mssql::testing::{NoServer, Scratch, TestServer};
use mirrorlab_engines::mssql::{Address, quote};
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
    let everywhere: [(&str, fn()); 2] = [
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
        let mut args = trial.serve_args(more);
        let at = args.iter().position(|arg| *arg == "--mirrors").unwrap();
        args[at] = "--sql-server";
        let variable = format!("env:{NAME}");
        args[at + 1] = &variable;
        args.extend(["--name-template", &self.template]);
        let mut command = mirrorlab(trial.dir(), &args);
        command.env(NAME, &self.connection);
        listening(Started::new(command))
    }

    /// Fails unless each tenant's mirror has its source's rows.
    fn equal(&self, trial: &Trial) {
        for (tenant, mirror) in TENANTS.iter().zip(&self.databases) {
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
            for (n, client) in listener.incoming().enumerate() {
                let (Ok(client), Ok(server)) =
                    (client, TcpStream::connect(("127.0.0.1", ports[n % ports.len()])))
                else {
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
        });
        Balancer(port)
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

fn a_sql_server_that_is_not_there() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
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
