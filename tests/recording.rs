//! Recording and replay, and captured schemas, as a user has them: each program a process of its own.

#[path = "recording/proxy.rs"]
mod proxy;
mod support;
#[path = "support/trial.rs"]
mod trial;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use proxy::upstream;
use support::{Ended, Started, mirrorlab, run};
use trial::{Trial, listening};

const TLS: [&str; 4] = [
    "--tls-cert",
    "keys/tls-certificate.pem",
    "--tls-key",
    "keys/tls-private-key.pem",
];

/// A server whose mirrors are in a directory of that name.
fn serve(trial: &Trial, mirrors: &str) -> (Started, String) {
    let mut args = trial.serve_args(&[]);
    let at = args.iter().position(|a| *a == "mirrors").expect("it is a flag's");
    args[at] = mirrors;
    listening(Started::new(mirrorlab(trial.dir(), &args)))
}

/// A recorder before an endpoint, over TLS on both sides.
fn record(trial: &Trial, upstream: &str, more: &[&str]) -> (Started, String) {
    let args = [
        &["record", "--listen", "127.0.0.1:0", "--upstream", upstream][..],
        &["--ca", "keys/tls-ca.pem", "--out", "calls"],
        &TLS,
        more,
    ]
    .concat();
    listening(Started::new(mirrorlab(trial.dir(), &args)))
}

#[track_caller]
fn end(recorder: Started) -> Ended {
    recorder.signal("TERM");
    recorder.end().expect(0)
}

fn replay(trial: &Trial, url: &str, more: &[&str]) -> Ended {
    let args = [
        &["replay", "calls", "--endpoint", url, "--ca", "keys/tls-ca.pem"][..],
        more,
    ]
    .concat();
    run(trial.dir(), &args)
}

const KEYS: [&str; 2] = ["--keys", "keys"];
const BUSINESS: [&str; 10] = [
    "--tenants",
    "2",
    "--cycles",
    "3",
    "--every",
    "0s",
    "--changes",
    "10",
    "--rows",
    "5",
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Fails unless two mirrors are equal.
#[track_caller]
fn equal(trial: &Trial, left: &str, right: &str) {
    let compared = run(trial.dir(), &["compare", left, right]).expect(0);
    assert!(compared.out.contains(" equals "), "{}", compared.out);
}

#[test]
fn what_was_recorded_is_answered_again_alike() {
    let trial = Trial::new();
    let (server, url) = serve(&trial, "mirrors");
    let (recorder, through) = record(&trial, &url, &[]);
    trial.simulate(&through, &BUSINESS).expect(0);
    let recorded = end(recorder);
    assert!(
        recorded
            .err
            .contains("warning: calls: the files hold signed tokens and customers' data"),
        "{}",
        recorded.err
    );
    let files = trial.listing("calls");
    assert!(
        recorded
            .out
            .ends_with(&format!("\n{} calls recorded in calls\n", files.len())),
        "{}",
        recorded.out
    );
    for name in [
        "Cust10001-Authenticate",
        "Cust10002-TableSchema",
        "Cust10001-Wipe",
        "Cust10002-RowData",
    ] {
        assert!(files.iter().any(|f| f.contains(name)), "{name} among {files:?}");
    }
    #[cfg(unix)]
    for file in &files {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(trial.path("calls").join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    drop(server);

    // A fresh server is brought to the same place.
    let (server, url) = serve(&trial, "again");
    let replayed = replay(&trial, &url, &KEYS).expect(0);
    assert_eq!(
        replayed.out,
        format!("{} calls: {} answered as they were\n", files.len(), files.len())
    );
    for tenant in ["Cust10001", "Cust10002"] {
        let name = format!("Mirror_{tenant}.db");
        equal(&trial, &format!("mirrors/{name}"), &format!("again/{name}"));
    }
    // A second time its LSNs are others.
    let differing = replay(&trial, &url, &KEYS).expect(1);
    assert!(
        differing.out.contains("  check     replay-lsn\n"),
        "{}",
        differing.out
    );
    let lsns = replay(&trial, &url, &["--keys", "keys", "--ignore", "lsn"]).expect(0);
    assert!(!lsns.out.contains("FAIL"), "{}", lsns.out);

    drop(server);
    let (_server, url) = serve(&trial, "renamed");
    let renamed = replay(
        &trial,
        &url,
        &["--keys", "keys", "--tenant", "Cust10001=Cust20007", "--verbose"],
    )
    .expect(0);
    assert!(
        renamed.out.contains("ok   call 1: Authenticate of Cust"),
        "{}",
        renamed.out
    );
    equal(
        &trial,
        "mirrors/Mirror_Cust10001.db",
        "renamed/Mirror_Cust20007.db",
    );
    assert!(!trial.path("renamed/Mirror_Cust10001.db").exists());
    let unknown = replay(&trial, &url, &["--keys", "keys", "--tenant", "Cust9=Cust20007"]).expect(2);
    assert_eq!(
        unknown.err,
        "error: --tenant Cust9=…: no call is for Cust9; there are calls for Cust10001, Cust10002\n"
    );
}

#[test]
fn calls_go_as_they_were_recorded_where_that_is_asked_for() {
    let trial = Trial::new();
    let (_server, url) = serve(&trial, "mirrors");
    let (recorder, through) = record(&trial, &url, &[]);
    let one = ["--cycles", "1", "--rows", "3"];
    trial.simulate(&through, &one).expect(0);
    end(recorder);
    let (server, url) = serve(&trial, "again");
    replay(&trial, &url, &["--as-recorded"]).expect(0);
    equal(&trial, "mirrors/Mirror_Cust10001.db", "again/Mirror_Cust10001.db");
    drop(server);
    // Whoever trusts another certificate refuses them, and the replay says how.
    run(trial.dir(), &["keys", "new", "other"]).expect(0);
    let args: Vec<&str> = trial
        .serve_args(&[])
        .into_iter()
        .map(|arg| if arg == "keys/trust" { "other/trust" } else { arg })
        .collect();
    let (_server, url) = listening(Started::new(mirrorlab(trial.dir(), &args)));
    let refused = replay(&trial, &url, &["--as-recorded"]).expect(1);
    assert!(
        refused.out.contains("  check     replay-successful\n"),
        "{}",
        refused.out
    );
    assert!(
        refused.out.contains("  received  IsSuccessful false: "),
        "{}",
        refused.out
    );
    // Signed by another application's key, the answers are not what they have to be.
    let signed = replay(&trial, &url, &["--keys", "other"]).expect(1);
    assert!(
        signed.out.contains("  check     replay-answer-token\n"),
        "{}",
        signed.out
    );
    // What is no endpoint is told in one message, and nothing else is sent.
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\nConnection: close\r\n\r\n<html/>";
    let (site, asked) = upstream(page.to_vec());
    let mut args = vec!["replay", "calls", "--endpoint", &site, "--as-recorded"];
    let shown = run(trial.dir(), &args).expect(4);
    assert_eq!(shown.out, "");
    assert!(
        shown
            .err
            .contains("it answers a web page (HTTP 200, text/html) and no SOAP."),
        "{}",
        shown.err
    );
    assert_eq!(asked.try_iter().count(), 2, "the first call, and a question");
    args.splice(4.., ["--keys", "keys"]);
    assert_eq!(run(trial.dir(), &args).expect(4).err, shown.err);
    // Nobody there.
    let nobody = replay(&trial, "https://127.0.0.1:1/x", &["--as-recorded"]).expect(4);
    assert!(
        nobody
            .err
            .contains("https://127.0.0.1:1/x: connection refused; nothing listens"),
        "{}",
        nobody.err
    );
}

#[test]
fn a_masked_recording_says_what_it_can_still_do() {
    let trial = Trial::new();
    let (_server, url) = serve(&trial, "mirrors");
    let one = ["--cycles", "1", "--rows", "5"];
    let (recorder, through) = record(&trial, &url, &["--redact", "all"]);
    trial.simulate(&through, &one).expect(0);
    let recorded = end(recorder);
    assert!(!recorded.err.contains("warning"), "{}", recorded.err);
    let files = trial.listing("calls");
    let texts: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(trial.path("calls").join(file)).expect("masked text is text"))
        .collect();
    assert!(texts.iter().all(|text| !text.contains("eyJ")), "no token is left");
    // Every text of the source is another one now.
    let source = rusqlite::Connection::open(trial.path("data/Cust10001.db")).unwrap();
    let names: Vec<String> = source
        .prepare("SELECT name FROM contact WHERE length(name) > 5")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(!names.is_empty());
    for name in names {
        let is_masked = name
            .chars()
            .all(|c| !c.is_ascii_alphanumeric() || "xX0".contains(c));
        assert!(
            is_masked || texts.iter().all(|text| !text.contains(&name)),
            "{name}"
        );
    }
    let refused = replay(&trial, &url, &KEYS).expect(2);
    assert!(
        refused
            .err
            .contains("call 1: its cells were masked when it was recorded (--redact cells)"),
        "{}",
        refused.err
    );
    // Its schema is a schema all the same.
    let schema = files.iter().find(|f| f.contains("TableSchema")).unwrap();
    let listed = run(trial.dir(), &["tables", "--schema", &format!("calls/{schema}")]).expect(0);
    assert!(
        listed.out.ends_with(
            "\n25 tables: 25 mirrored, 0 not\ncaptured: sent as captured, whatever the blocked list says\n"
        ),
        "{}",
        listed.out
    );

    fs::remove_dir_all(trial.path("calls")).unwrap();
    fs::remove_dir_all(trial.path("data")).unwrap();
    fs::remove_file(trial.path("mirrors/Mirror_Cust10001.db")).unwrap();
    let (_server, url) = serve(&trial, "fresh");
    let (recorder, through) = record(&trial, &url, &["--redact", "tokens"]);
    trial.simulate(&through, &one).expect(0);
    end(recorder);
    let (_server, url) = serve(&trial, "again");
    let no_id = replay(&trial, &url, &KEYS).expect(2);
    assert!(no_id.err.contains("give --application-id"), "{}", no_id.err);
    let as_recorded = replay(&trial, &url, &["--as-recorded"]).expect(2);
    assert!(as_recorded.err.contains("give --keys"), "{}", as_recorded.err);
    replay(&trial, &url, &["--keys", "keys", "--application-id", "my-app"]).expect(0);
    equal(&trial, "fresh/Mirror_Cust10001.db", "again/Mirror_Cust10001.db");
}

#[test]
fn messages_that_a_run_kept_are_calls_too() {
    let trial = Trial::new();
    let scenario = repository("scenarios/population/first-population.yaml");
    run(
        trial.dir(),
        &["run", scenario.to_str().unwrap(), "--keep", "calls"],
    )
    .expect(0);
    let mut messages = vec![trial.path("calls")];
    while !messages.last().unwrap().ends_with("messages") {
        let last = messages.pop().unwrap();
        messages.extend(
            fs::read_dir(last)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_dir() && !path.ends_with("keys")),
        );
        messages.sort_by_key(|path| path.ends_with("messages"));
    }
    let messages = messages.pop().unwrap();
    let (_server, url) = serve(&trial, "mirrors");
    let args = [
        "replay",
        messages.to_str().unwrap(),
        "--endpoint",
        &url,
        "--ca",
        "keys/tls-ca.pem",
        "--keys",
        "keys",
        "--application-id",
        "my-app",
    ];
    let replayed = run(trial.dir(), &args).expect(0);
    assert!(
        replayed.out.ends_with(" answered as they were\n"),
        "{}",
        replayed.out
    );
    assert!(trial.path("mirrors/Mirror_Cust10001.db").exists());
}

#[test]
fn a_captured_schema_is_simulated_and_sent_as_captured() {
    let trial = Trial::new();
    let capture = repository("fixtures/captures/table-schema.http");
    let (_server, url) = serve(&trial, "mirrors");
    let args = [
        "--cycles",
        "2",
        "--every",
        "0s",
        "--rows",
        "4",
        "--changes",
        "8",
        "--schema",
    ];
    let args = [&args[..], &[capture.to_str().unwrap()]].concat();
    let simulated = trial.simulate(&url, &args).expect(0);
    assert!(simulated.out.contains("4 rows in each\n"), "{}", simulated.out);
    trial.compare("Cust10001").expect(0);
    let mirror = rusqlite::Connection::open(trial.path("mirrors/Mirror_Cust10001.db")).unwrap();
    let rows: i64 = mirror
        .query_row("SELECT count(*) FROM webhook", [], |row| row.get(0))
        .unwrap();
    assert!(
        rows > 0,
        "the list of blocked tables does not apply to what was captured"
    );
}

#[test]
fn mistakes_are_told_in_one_message() {
    let trial = Trial::new();
    fs::write(trial.path("file"), "hello\n").unwrap();
    fs::create_dir(trial.path("empty")).unwrap();
    fs::write(trial.path("cut.call"), "MIRRORLAB-CALL 1\nnumber: 1\n").unwrap();
    fs::write(trial.path("page.html"), "<html>\n<body/></html>").unwrap();
    fs::write(trial.path("answer-reply-200.xml"), "<a/>").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let right = |changes: &[(&str, &str)], more: &[&str]| -> Vec<String> {
        let mut args: Vec<String> = [
            "record",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "https://localhost:1/x.svc",
            "--out",
            "calls",
        ]
        .iter()
        .chain(&TLS)
        .map(|s| (*s).to_owned())
        .collect();
        for (flag, value) in changes {
            let at = args.iter().position(|arg| arg == flag).expect("a flag");
            args[at + 1] = (*value).to_owned();
        }
        args.extend(more.iter().map(|s| (*s).to_owned()));
        args
    };
    let replay = |files: &[&str], more: &[&str]| -> Vec<String> {
        let mut args = vec!["replay".to_owned()];
        args.extend(files.iter().map(|s| (*s).to_owned()));
        args.extend(["--endpoint", "https://localhost:1/x.svc"].map(str::to_owned));
        args.extend(more.iter().map(|s| (*s).to_owned()));
        args
    };
    let mut told = String::new();
    for args in [
        right(&[("--listen", &address)], &[]),
        right(&[("--listen", "192.0.2.1:1")], &[]),
        right(&[("--out", "file")], &[]),
        right(&[("--out", "file/calls")], &[]),
        right(&[("--upstream", "localhost:5001")], &[]),
        right(&[("--upstream", "ftp://localhost/x")], &[]),
        right(&[("--tls-key", "none")], &[]),
        right(&[("--tls-cert", "file")], &[]),
        right(&[], &["--ca", "none"]),
        right(&[], &["--redact", "names"]),
        right(
            &[("--upstream", "http://localhost:1/x.svc")],
            &["--ca", "keys/tls-ca.pem"],
        ),
        replay(&["none"], &["--as-recorded"]),
        replay(&["empty"], &["--as-recorded"]),
        replay(&["file"], &["--as-recorded"]),
        replay(&["cut.call"], &["--as-recorded"]),
        replay(&["page.html"], &["--as-recorded"]),
        replay(&["answer-reply-200.xml"], &["--as-recorded"]),
        replay(&["keys/tls-ca.pem"], &["--as-recorded"]),
        replay(&["file"], &["--as-recorded", "--tenant", "Cust1"]),
        replay(&["file"], &["--keys", "keys", "--tenant", "Cust1"]),
        replay(&["file"], &[]),
    ] {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let ended = run(trial.dir(), &words);
        told.push_str(&format!(
            "$ mirrorlab {}\n{}{}exit {}\n\n",
            words.join(" "),
            ended.out,
            ended.err,
            ended.code.expect("it ends by itself")
        ));
    }
    insta::assert_snapshot!(told.replace(&address, "127.0.0.1:PORT"));
    assert!(!trial.path("calls").exists(), "nothing was made");
}
