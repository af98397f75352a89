//! Connections, logins, errors and second tries, against a server that answers what the test tells it to.
#![allow(
    clippy::unwrap_used,
    reason = "test code; clippy takes its helpers for a program's"
)]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mirrorlab_engines::mssql::testing::mock::{Cell, Encryption, Mock, PASSWORD, Question, Reply, USER};
use mirrorlab_engines::mssql::{Address, Connection, Kind, MssqlError, Param, Server, ServerOptions};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

const LIMIT: Duration = Duration::from_secs(20);

fn open(mock: &Mock) -> Result<Connection, MssqlError> {
    Connection::open(&mock.address(), LIMIT)
}

fn error(number: u32, text: &str) -> Reply {
    Reply::Error(number, text.to_owned())
}

fn is_login(question: &Question) -> bool {
    matches!(question, Question::Login { .. })
}

/// Answers the first `count` questions that `hits` hits with `first`, and everything else with Done.
fn at_first(
    count: usize,
    hits: impl Fn(&Question) -> bool + Send + Sync + 'static,
    first: Reply,
) -> impl Fn(&Question) -> Reply + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |question| match hits(question) && seen.fetch_add(1, Ordering::SeqCst) < count {
        true => first.clone(),
        false => Reply::Done,
    }
}

fn server(mock: &Mock) -> Server {
    waiting(mock, LIMIT)
}

fn waiting(mock: &Mock, wait_limit: Duration) -> Server {
    let options = ServerOptions {
        connections_max: 2,
        statement_limit: LIMIT,
        wait_limit,
    };
    Server::new(mock.address(), options)
}

#[test]
fn a_login_and_a_statement() {
    let mock = Mock::start(|question| match question {
        Question::Sql { .. } => Reply::Results(vec![
            vec![
                vec![Cell::Integer(7), Cell::Text("å😀".repeat(500)), Cell::Null],
                vec![Cell::Null, Cell::Text(String::new()), Cell::Null],
            ],
            vec![vec![Cell::Integer(-1)]],
        ]),
        _ => Reply::Done,
    });
    let address = mock.address().with_database("Mirror_Cust1");
    let mut connection = Connection::open(&address, LIMIT).unwrap();
    let results = connection.results("SELECT 1", &[]).unwrap();
    assert_eq!(results.len(), 2);
    let first = &results[0];
    assert_eq!(
        (first[0].integer(0), first[0].text(1)),
        (Some(7), Some("å😀".repeat(500).as_str()))
    );
    assert_eq!((first[1].integer(0), first[1].text(1)), (None, Some("")));
    assert_eq!(results[1][0].integer(0), Some(-1));
    let long = format!("SELECT @P1 /* {} */", "x".repeat(5000));
    connection.results("SELECT @P1", &[Param::text("x")]).unwrap();
    connection.results(&long, &[Param::text("x")]).unwrap();
    let sql = |sql: &str| Question::Sql {
        database: "Mirror_Cust1".into(),
        sql: sql.into(),
    };
    assert_eq!(
        mock.asked(),
        [
            Question::Login {
                user: USER.into(),
                password: PASSWORD.into(),
                database: "Mirror_Cust1".into()
            },
            sql("SELECT 1"),
            sql("SELECT @P1"),
            sql(&long),
        ]
    );
}

/// A certificate for 127.0.0.1 that nobody signed, and its key.
fn self_signed() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

#[test]
fn encryption_is_on_unless_told_otherwise() {
    let plain = Mock::start(|_| Reply::Done);
    let safe = |mock: &Mock| Address {
        encrypt: true,
        ..mock.address()
    };
    // Safe is what a connection string without options asks for.
    let text = format!("mssql://{USER}:{PASSWORD}@127.0.0.1:{}", plain.port());
    assert_eq!(Address::read(&text).unwrap(), safe(&plain));
    // It is offered none: it does not log in without.
    let none = Connection::open(&safe(&plain), LIMIT).unwrap_err();
    assert_eq!(none.kind, Kind::Tls);
    assert_eq!(
        none.why(),
        "no encrypted connection: the server does not offer encryption; `encrypt=false` goes without it, the password \
         readable on the network"
    );
    assert!(plain.asked().is_empty(), "no password was sent");

    let encrypted = Mock::start_with(Encryption::Offered(self_signed()), |_| Reply::Done);
    // A certificate that nobody vouches for: no password for it either.
    let stranger = Connection::open(&safe(&encrypted), LIMIT).unwrap_err();
    assert_eq!(stranger.kind, Kind::Tls);
    assert!(
        stranger
            .why()
            .contains("the server's certificate is not trusted: "),
        "{stranger}"
    );
    assert!(
        stranger
            .why()
            .ends_with("`trust-server-certificate=true` takes any certificate"),
        "{stranger}"
    );
    assert!(encrypted.asked().is_empty(), "no password was sent");
    let trusting = Address {
        trust_server_certificate: true,
        ..safe(&encrypted)
    };
    let mut connection = Connection::open(&trusting, LIMIT).unwrap();
    // More than one TLS record, each way.
    let long = format!("SELECT '{}'", "x".repeat(50_000));
    connection.batch(&long).unwrap();
    assert_eq!(encrypted.count("xxx"), 1);
    // It demands encryption, and the client is told to have none.
    let bare = Connection::open(&encrypted.address(), LIMIT).unwrap_err();
    assert_eq!(bare.kind, Kind::Unreachable);
    assert!(
        bare.why()
            .contains("it may demand encryption, and encrypt=false gives none"),
        "{bare}"
    );
}

#[test]
fn each_error_has_its_kind_and_its_words() {
    let numbers = [
        (18_456, "Login failed for user 'mirrors'."),
        (
            4060,
            "Cannot open database \"Mirror_Cust1\" requested by the login.",
        ),
        (262, "CREATE DATABASE permission denied in database 'master'."),
        (
            9002,
            "The transaction log for database 'Mirror_Cust1' is full due to 'LOG_BACKUP'.",
        ),
        (
            1105,
            "Could not allocate space for object 'dbo.contact' because the 'PRIMARY' filegroup is full.",
        ),
        (
            1205,
            "Transaction (Process ID 52) was deadlocked on lock resources with another process.",
        ),
        (1222, "Lock request time out period exceeded."),
        (
            40_613,
            "Database 'Mirror_Cust1' on server 'x' is not currently available.",
        ),
        (40_501, "The service is currently busy."),
        (
            2627,
            "Violation of PRIMARY KEY constraint 'PK_contact'. Cannot insert duplicate key.",
        ),
        (1801, "Database 'Mirror_Cust1' already exists."),
        (
            547,
            "The DELETE statement conflicted with the REFERENCE constraint.",
        ),
    ];
    let told: Vec<String> = numbers
        .iter()
        .map(|(number, text)| {
            let reply = error(*number, text);
            let mock = Mock::start(at_first(1, |q| !is_login(q), reply));
            let address = mock.address().with_database("Mirror_Cust1");
            let mut connection = Connection::open(&address, LIMIT).unwrap();
            let error = connection.batch("SELECT 1").unwrap_err();
            assert!(!connection.is_broken(), "{error}");
            connection.batch("SELECT 2").unwrap();
            let shown = error.to_string().replace(&format!(":{}", mock.port()), ":PORT");
            let passes = if error.kind.may_pass() { ", may pass" } else { "" };
            format!("{:?}{passes}: {shown}", error.kind)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    Login: 127.0.0.1:PORT, database Mirror_Cust1: the login was refused; check user and password: Login failed for user 'mirrors' (error 18456)
    NoDatabase: 127.0.0.1:PORT, database Mirror_Cust1: there is no such database for this login: Cannot open database "Mirror_Cust1" requested by the login (error 4060)
    NoPermission: 127.0.0.1:PORT, database Mirror_Cust1: the login has no right to do that: CREATE DATABASE permission denied in database 'master' (error 262)
    Full: 127.0.0.1:PORT, database Mirror_Cust1: the database, its log or its disk is full: The transaction log for database 'Mirror_Cust1' is full due to 'LOG_BACKUP' (error 9002)
    Full: 127.0.0.1:PORT, database Mirror_Cust1: the database, its log or its disk is full: Could not allocate space for object 'dbo.contact' because the 'PRIMARY' filegroup is full (error 1105)
    Deadlock, may pass: 127.0.0.1:PORT, database Mirror_Cust1: it lost a deadlock against another session: Transaction (Process ID 52) was deadlocked on lock resources with another process (error 1205)
    LockTimeout: 127.0.0.1:PORT, database Mirror_Cust1: another session holds it locked: Lock request time out period exceeded (error 1222)
    Transient, may pass: 127.0.0.1:PORT, database Mirror_Cust1: the server cannot do it for the moment: Database 'Mirror_Cust1' on server 'x' is not currently available (error 40613)
    Transient, may pass: 127.0.0.1:PORT, database Mirror_Cust1: the server cannot do it for the moment: The service is currently busy (error 40501)
    Duplicate: 127.0.0.1:PORT, database Mirror_Cust1: Violation of PRIMARY KEY constraint 'PK_contact'. Cannot insert duplicate key (error 2627)
    Exists: 127.0.0.1:PORT, database Mirror_Cust1: Database 'Mirror_Cust1' already exists (error 1801)
    Refused: 127.0.0.1:PORT, database Mirror_Cust1: The DELETE statement conflicted with the REFERENCE constraint (error 547)
    "#);
}

#[test]
fn a_connection_that_breaks_or_hangs_is_of_no_more_use() {
    let mock = Mock::start(at_first(1, |q| !is_login(q), Reply::Cut));
    let mut connection = open(&mock).unwrap();
    let lost = connection.batch("SELECT 1").unwrap_err();
    assert_eq!(lost.kind, Kind::Lost);
    assert!(connection.is_broken() && lost.kind.may_pass());

    let mock = Mock::start(at_first(1, |q| !is_login(q), Reply::Silence));
    let mut connection = open(&mock).unwrap();
    connection.set_time_limit(Duration::from_millis(200));
    let late = connection.batch("SELECT 1").unwrap_err();
    assert_eq!(late.kind, Kind::Timeout);
    assert!(connection.is_broken() && !late.kind.may_pass());

    // At the login, too.
    let mock = Mock::start(at_first(1, is_login, Reply::Silence));
    let quick = Address {
        connect_timeout: Duration::from_millis(200),
        ..mock.address()
    };
    let late = Connection::open(&quick, LIMIT).unwrap_err();
    assert_eq!(late.kind, Kind::Unreachable);
    let mock = Mock::start(at_first(1, is_login, Reply::Cut));
    assert_eq!(open(&mock).unwrap_err().kind, Kind::Unreachable);
}

#[test]
fn a_login_is_sent_on_where_the_server_says_so() {
    let other = Mock::start(|_| Reply::Done);
    let port = other.port();
    let gateway = Mock::start(move |_| Reply::Route("127.0.0.1".into(), port));
    open(&gateway).unwrap();
    assert_eq!((gateway.asked().len(), other.asked().len()), (1, 1));
    // But not for ever.
    let own = Arc::new(Mutex::new(0));
    let told = Arc::clone(&own);
    let ring = Mock::start(move |_| Reply::Route("127.0.0.1".into(), *told.lock().unwrap()));
    *own.lock().unwrap() = ring.port();
    let error = open(&ring).unwrap_err();
    assert!(
        error.why().contains("sent the login on more than 3 times"),
        "{error}"
    );
}

#[test]
fn what_passes_at_the_login_is_tried_again_and_a_wrong_password_is_not() {
    let mock = Mock::start(at_first(
        2,
        is_login,
        error(40_613, "Database 'x' is not currently available."),
    ));
    server(&mock).connect("x").unwrap();
    assert_eq!(mock.asked().len(), 3);
    let mock = Mock::start(at_first(9, is_login, error(18_456, "Login failed.")));
    let wrong = server(&mock).connect("x").unwrap_err();
    assert_eq!((wrong.kind, mock.asked().len()), (Kind::Login, 1));
    // Within its limit only: pauses of 0.1, 0.2 and 0.4 s do not fit into half a second.
    let mock = Mock::start(at_first(9, is_login, error(40_613, "moving house")));
    let half = Duration::from_millis(500);
    let gone = waiting(&mock, half).connect("x").unwrap_err();
    assert_eq!(gone.kind, Kind::Transient);
    assert!((1..=3).contains(&mock.asked().len()), "{:?}", mock.asked().len());
}

#[test]
fn connections_are_kept_and_broken_ones_are_not() {
    let mock = Mock::start(|question| match question {
        Question::Sql { sql, .. } if sql == "CUT" => Reply::Cut,
        _ => Reply::Done,
    });
    let server = waiting(&mock, Duration::from_millis(50));
    let logins = || mock.asked().iter().filter(|q| is_login(q)).count();
    drop(server.connect("a").unwrap());
    drop(server.connect("a").unwrap());
    assert_eq!(logins(), 1, "the same one");
    let (first, second) = (server.connect("a").unwrap(), server.connect("b").unwrap());
    let full = server.connect("c").unwrap_err();
    assert_eq!(full.kind, Kind::Timeout);
    assert!(full.why().contains("all 2 connections are in use"), "{full}");
    drop((first, second));
    // An idle one makes place.
    drop(server.connect("c").unwrap());
    assert_eq!(logins(), 3);
    let mut broken = server.connect("c").unwrap();
    broken.batch("CUT").unwrap_err();
    drop(broken);
    drop(server.connect("c").unwrap());
    assert_eq!(logins(), 4);
}

#[test]
fn a_database_that_another_process_just_made_is_there() {
    let locked = |sql: &str| sql.contains("sp_getapplock");
    let mock = Mock::start(move |question| match question {
        Question::Sql { sql, .. } if locked(sql) => Reply::row(vec![Cell::Integer(0)]),
        Question::Sql { sql, .. } if sql.starts_with("SELECT DB_ID") => Reply::row(vec![Cell::Null]),
        Question::Sql { sql, .. } if sql.starts_with("CREATE DATABASE") => {
            error(1801, "Database 'x' already exists.")
        }
        _ => Reply::Done,
    });
    assert_eq!(server(&mock).create_database("x"), Ok(false));
}

/// Everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_password_is_nowhere_but_in_the_login() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let mut shown = String::new();
    tracing::subscriber::with_default(subscriber, || {
        // Servers that repeat it, in every way that one can fail.
        let repeated = format!("Login failed for user 'mirrors' with password '{PASSWORD}'.");
        for (first, at_login) in [
            (error(18_456, &repeated), true),
            (error(40_613, &repeated), true),
            (error(2627, &repeated), false),
            (Reply::Cut, true),
            (Reply::Cut, false),
        ] {
            let mock = Mock::start(at_first(9, move |q| is_login(q) == at_login, first));
            let server = waiting(&mock, Duration::from_millis(500));
            shown += &format!("{server:?} {:?} {}", mock.address(), mock.address());
            let error = match server.connect("x") {
                Err(error) => error,
                Ok(mut connection) => {
                    shown += &format!("{connection:?}");
                    connection.batch("SELECT 1").unwrap_err()
                }
            };
            shown += &format!("{error} {error:?}\n");
        }
        let mock = Mock::start(|_| Reply::Done);
        let mut connection = open(&mock).unwrap();
        connection.batch("SELECT 1").unwrap();
        // The mock itself was told it: so the search below would find it.
        assert!(format!("{:?}", mock.asked()).contains(PASSWORD));
    });
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(shown.contains("***"), "something was taken out: {shown}");
    for text in [&logged, &shown] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}
