//! The program as a user runs it: keys, a server, a simulator and the comparer, each a process of its own, over TLS.

mod support;
#[path = "support/trial.rs"]
mod trial;

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use support::{Ended, Hook, Started, mirrorlab, run};
use trial::{Trial, listening};

const TENANTS: [&str; 2] = ["Cust10001", "Cust10002"];

#[track_caller]
fn equal(trial: &Trial) {
    for tenant in TENANTS {
        let compared = trial.compare(tenant).expect(0);
        assert!(
            compared
                .out
                .contains(&format!("Mirror_{tenant}.db equals {tenant}.db")),
            "{}",
            compared.out
        );
    }
}

fn count(path: &Path, sql: &str) -> i64 {
    let connection = Connection::open(path).expect("a database");
    connection
        .query_row(sql, [], |row| row.get(0))
        .expect("the test's own SQL")
}

#[test]
fn a_whole_trial() {
    let trial = Trial::new();
    // Of the application's key the simulator has the public half alone.
    for secret in ["application-private-key.xml", "application-private-key.pem"] {
        fs::rename(trial.path("keys").join(secret), trial.path(secret)).unwrap();
    }
    let mut args = trial.serve_args(&[]);
    let key = args
        .iter()
        .position(|a| a.starts_with("keys/application"))
        .unwrap();
    args[key] = "application-private-key.xml";
    let (server, url) = listening(Started::new(mirrorlab(trial.dir(), &args)));
    let cycles = [
        "--tenants",
        "2",
        "--cycles",
        "3",
        "--every",
        "0s",
        "--changes",
        "10",
        "--rows",
        "20",
    ];

    let more = [&cycles[..], &["--events", "events.jsonl"]].concat();
    let simulated = trial.simulate(&url, &more).expect(0);
    assert_eq!(simulated.err, "");
    assert!(
        simulated
            .out
            .starts_with("seed 7\nCust10001: made, 25 tables, 20 rows in each\n")
    );
    assert!(
        simulated.out.ends_with("\n6 cycles, 0 failed\n"),
        "{}",
        simulated.out
    );
    assert!(
        !simulated.out.contains("no changes"),
        "business goes on: {}",
        simulated.out
    );
    equal(&trial);
    let events = fs::read_to_string(trial.path("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 6);
    for event in &events {
        assert_eq!(event["level"], "Information");
        let text = event["text"].as_str().unwrap();
        assert!(simulated.out.contains(text), "{text}");
    }

    // A difference that nothing tells the server of.
    let mirror = trial.path("mirrors/Mirror_Cust10001.db");
    Connection::open(&mirror)
        .unwrap()
        .execute("DELETE FROM contact", [])
        .unwrap();
    trial.compare("Cust10001").expect(1);
    run(
        trial.dir(),
        &[
            "invalidate",
            "mirrors/Mirror_Cust10001.db",
            "--tenant",
            "Cust10001",
        ],
    )
    .expect(0);
    let simulated = trial.simulate(&url, &cycles).expect(0);
    assert!(
        simulated
            .out
            .contains("Cust10001: goes on from data/Cust10001.db, 25 tables\n")
    );
    assert!(simulated.out.contains("; 25 wiped."), "{}", simulated.out);
    equal(&trial);
    assert_eq!(trial.listing("data"), ["Cust10001.db", "Cust10002.db"]);
    assert_eq!(
        trial.listing("mirrors"),
        ["Mirror_Cust10001.db", "Mirror_Cust10002.db"]
    );
    server.kill();
}

/// A server whose `wipe` hook is the test's.
fn hooked(trial: &Trial, hook: &Hook) -> (Started, String) {
    let settings = format!("[hooks]\nwipe = \"{}\"\nwebhook_seconds = 600\n", hook.url());
    fs::write(trial.path("hooks.toml"), settings).expect("a temporary directory");
    trial.serve(&["--config", "hooks.toml"])
}

#[test]
fn a_server_killed_in_the_middle_of_a_population_heals() {
    let trial = Trial::new();
    let hook = Hook::new();
    let (server, url) = hooked(&trial, &hook);
    let once = ["--cycles", "1", "--rows", "30"];
    let simulator = Started::new(mirrorlab(trial.dir(), &trial.simulate_args(&url, &once)));
    for _ in 0..7 {
        hook.next().answer();
    }
    let held = hook.next();
    server.kill();
    drop(held);
    let ended = simulator.end().expect(1);
    assert!(
        ended.out.contains(" Error       Mirroring failed: "),
        "{}",
        ended.out
    );
    assert!(ended.out.ends_with("\n1 cycle, 1 failed\n"), "{}", ended.out);

    // Whole tables are there, and nothing of the others.
    let mirror = trial.path("mirrors/Mirror_Cust10001.db");
    assert_eq!(
        count(
            &mirror,
            "SELECT count(*) FROM Cust10001_mirroring WHERE LSN <> -1"
        ),
        7
    );
    trial.compare("Cust10001").expect(1);

    let (server, url) = trial.serve(&[]);
    let ended = trial.simulate(&url, &once).expect(0);
    assert!(ended.out.contains("; 18 wiped."), "{}", ended.out);
    trial.compare("Cust10001").expect(0);
    server.kill();
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_server_after_the_calls_under_way() {
    let trial = Trial::new();
    let hook = Hook::new();
    let (mut server, url) = hooked(&trial, &hook);
    let once = ["--cycles", "1", "--rows", "1"];
    let simulator = Started::new(mirrorlab(trial.dir(), &trial.simulate_args(&url, &once)));
    let held = hook.next();
    server.signal("TERM");
    server.wait_for("signal=\"SIGTERM\"");
    held.answer();
    let ended = server.end().expect(0);
    assert!(
        ended.err.contains("operation=\"Wipe\" status=200"),
        "{}",
        ended.err
    );
    assert_eq!(ended.out, format!("listening on {url}\n"));
    simulator.end().expect(1);
    assert_eq!(trial.listing("mirrors"), ["Mirror_Cust10001.db"]);

    // Nobody waits for ever.
    let (mut server, url) = hooked(&trial, &hook);
    let simulator = Started::new(mirrorlab(trial.dir(), &trial.simulate_args(&url, &once)));
    let _held = hook.next();
    server.signal("INT");
    server.wait_for("signal=\"SIGINT\"");
    server.signal("INT");
    let ended = server.end().expect(4);
    assert!(ended.err.ends_with(
        "error: a second signal, SIGINT: ended at once; nothing of the calls that were cut off is kept\n"
    ));
    simulator.end().expect(1);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_simulator() {
    let trial = Trial::new();
    let (server, url) = trial.serve(&[]);
    let mut simulator = Started::new(mirrorlab(
        trial.dir(),
        &trial.simulate_args(&url, &["--rows", "1", "--tenants", "2"]),
    ));
    simulator.wait_for(" Cust10001 Information ");
    simulator.signal("INT");
    let ended = simulator.end().expect(0);
    assert!(ended.out.contains(" cycle"), "{}", ended.out);
    assert!(
        ended.err.starts_with("SIGINT: ending after the cycles under way"),
        "{}",
        ended.err
    );
    server.signal("TERM");
    server.end().expect(0);

    // In the middle of a call a second one ends it at once, and its passing databases go with it.
    let hook = Hook::new();
    let (server, url) = hooked(&trial, &hook);
    let passing = trial.path("passing");
    fs::create_dir(&passing).unwrap();
    let mut args = trial.simulate_args(&url, &["--rows", "1"]);
    let data = args.iter().position(|arg| *arg == "--data").unwrap();
    args.drain(data..data + 2);
    let mut command = mirrorlab(trial.dir(), &args);
    command.env("TMPDIR", &passing);
    let mut simulator = Started::new(command);
    let _held = hook.next();
    assert_eq!(trial.listing("passing").len(), 1);
    simulator.signal("INT");
    simulator.wait_for("SIGINT: ending after the cycles under way");
    simulator.signal("TERM");
    simulator.end().expect(4);
    assert!(trial.listing("passing").is_empty());
    server.kill();
}

#[cfg(unix)]
#[test]
fn a_simulator_without_an_end_waits_for_an_endpoint_that_comes_later() {
    let trial = Trial::new();
    // Bound, so that nobody else gets it, and not listened on: who calls there is refused.
    let kept = tokio::net::TcpSocket::new_v4().unwrap();
    kept.set_reuseaddr(true).unwrap();
    kept.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = kept.local_addr().unwrap().port();
    // Beside it the server may listen, under Linux at least.
    let kept = Some(kept).filter(|_| cfg!(target_os = "linux"));
    let url = format!("https://localhost:{port}/MirroringClientService.svc");
    let args = trial.simulate_args(&url, &["--rows", "1", "--every", "1s"]);
    let mut simulator = Started::new(mirrorlab(trial.dir(), &args));
    let warning = simulator.wait_for("warning: ");
    assert_eq!(
        warning,
        format!(
            "warning: {url}: connection refused; nothing listens on 127.0.0.1:{port}. Start the endpoint, or correct \
             --endpoint; nothing was sent yet; each cycle tries it again"
        )
    );
    simulator.wait_for("Cust10001 Error       Mirroring failed: Authenticate: cannot connect to");
    let listen = format!("127.0.0.1:{port}");
    let mut args = trial.serve_args(&[]);
    let at = args.iter().position(|arg| *arg == "127.0.0.1:0").unwrap();
    args[at] = &listen;
    let mut server = Started::new(mirrorlab(trial.dir(), &args));
    server.wait_for("listening on ");
    simulator.wait_for("Cust10001 Information Mirroring completed: 25 of 25 tables");
    simulator.signal("INT");
    simulator.end().expect(1);
    server.kill();
    drop(kept);
}

/// Settings as they are shown, in the directory that `keys new` was run in.
#[test]
fn the_settings_that_are_shown_work() {
    let trial = Trial::new();
    let shown = include_str!("../docs/serve.toml");
    fs::write(trial.path("serve.toml"), shown).unwrap();
    // Every setting that is shown as a comment is one, and has the default's value where it has one.
    fs::create_dir_all(trial.path("hooks/before_table")).unwrap();
    fs::create_dir_all(trial.path("hooks/wipe")).unwrap();
    fs::write(trial.path("hooks/completed.sql"), "").unwrap();
    // One of the two places of mirrors; tests/sqlserver_serve.rs tries the other.
    let (above, below) = shown.split_once("# In place of `mirrors`: ").unwrap();
    let (_, below) = below.split_once("\n[tls]").unwrap();
    let without = format!("{above}[tls]{below}");
    let all: Vec<String> = without
        .lines()
        .filter(|line| !line.starts_with("#plain_http"))
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !setting.is_empty() => setting.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    assert!(all.len() > 60);
    fs::write(trial.path("all.toml"), all.join("\n")).unwrap();
    for file in ["serve.toml", "all.toml"] {
        let server = mirrorlab(
            trial.dir(),
            &["serve", "--config", file, "--listen", "127.0.0.1:0"],
        );
        let (server, url) = listening(Started::new(server));
        trial.simulate(&url, &["--cycles", "1", "--rows", "1"]).expect(0);
        trial.compare("Cust10001").expect(0);
        server.kill();
    }
}

/// Of the same mirror an earlier source may have been sent; by numbers alone the new one would not differ from it.
#[test]
fn sources_made_anew_are_sent_whole() {
    let trial = Trial::new();
    let (server, url) = trial.serve(&[]);
    let cycle = ["--tenants", "2", "--cycles", "1", "--rows", "3"];
    trial.simulate(&url, &cycle).expect(0);
    equal(&trial);
    fs::rename(trial.path("data"), trial.path("older")).unwrap();
    let mut args = trial.simulate_args(&url, &cycle);
    let seed = args.iter().position(|a| *a == "7").unwrap();
    args[seed] = "8";
    run(trial.dir(), &args).expect(0);
    equal(&trial);
    server.kill();
}

#[cfg(unix)]
#[test]
fn customers_data_are_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;
    fn check(path: &Path, seen: &mut usize) {
        let rights = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(rights & 0o077, 0, "{}: {rights:o}", path.display());
        *seen += 1;
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                check(&entry.unwrap().path(), seen);
            }
        }
    }
    let trial = Trial::new();
    let (server, url) = trial.serve(&[]);
    trial.simulate(&url, &["--cycles", "1", "--rows", "1"]).expect(0);
    // With a reader there are a log and an index beside the mirror.
    let reader = Connection::open(trial.path("mirrors/Mirror_Cust10001.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM contact").unwrap();
    let mut seen = 0;
    check(&trial.path("mirrors"), &mut seen);
    assert!(seen >= 4, "{seen} files");
    check(&trial.path("data"), &mut seen);
    server.kill();

    let head = "title: T\ncites: a test\nsource: {tables: {contact: 3}}\nsteps:\n  - mirror\n  - backup: b\n  - mirror_backup: b\n";
    scenario(trial.dir(), "one.yaml", &format!("id: one\n{head}"));
    run(trial.dir(), &["run", "one.yaml", "--keep", "kept"]).expect(0);
    let kept = fs::metadata(trial.path("kept")).unwrap().permissions().mode();
    assert_eq!(kept & 0o777, 0o700, "nobody else gets in");
    let mut found = 0;
    for folder in ["sources", "mirrors", "messages"] {
        for entry in fs::read_dir(trial.path("kept/one").join(folder)).unwrap() {
            check(&entry.unwrap().path(), &mut found);
        }
    }
    assert!(found >= 10, "{found} files");
    // A server that is a process of its own reads its key from a file.
    run(trial.dir(), &["run", "one.yaml", "--process", "--keep", "child"]).expect(0);
    check(&trial.path("child/one/application-private-key.pem"), &mut found);
}

#[test]
fn the_log_is_json_where_asked_for() {
    let trial = Trial::new();
    let (mut server, url) = trial.serve(&["--log-format", "json"]);
    trial
        .simulate(&url, &["--cycles", "2", "--every", "1s", "--rows", "1"])
        .expect(0);
    let line = server.wait_for("\"ReplicationCompleted\",\"status\"");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    for (key, value) in [
        ("level", "INFO"),
        ("tenant", "Cust10001"),
        ("message", "call"),
        ("result", "done"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    server.kill();
}

fn scenario(trial: &Path, name: &str, text: &str) {
    fs::write(trial.join(name), text).expect("a temporary directory");
}

#[test]
fn runs_of_scenarios() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let head = "title: T\ncites: a test\nsource: {tables: {contact: 3}}\nsteps:\n  - mirror\n  - compare\n";
    scenario(dir, "right.yaml", &format!("id: right\n{head}"));
    scenario(
        dir,
        "wrong.yaml",
        &format!("id: wrong\n{head}  - mirror:\n      expect: {{contact: {{inserts: 2}}}}\n"),
    );
    scenario(dir, "broken.yaml", &format!("id: broken\n{head}  - miror\n"));

    let ended = run(dir, &["run", "right.yaml", "--keep", "kept"]).expect(0);
    assert!(ended.out.contains("right"), "{}", ended.out);
    for kept in [
        "keys/trust/superoffice.pem",
        "keys/application-private-key.xml",
        "right/sources/Cust10001.db",
        "right/mirrors/Mirror_Cust10001.db",
    ] {
        assert!(dir.join("kept").join(kept).is_file(), "{kept}");
    }
    let messages = fs::read_dir(dir.join("kept/right/messages")).unwrap().count();
    assert!(messages >= 10, "{messages}");
    let again = run(dir, &["run", "right.yaml", "--keep", "kept"]).expect(2);
    assert_eq!(
        again.err,
        "error: --keep kept: the directory is not empty; name a new one\n"
    );

    let Ended { out, .. } = run(dir, &["run", "right.yaml", "wrong.yaml", "--json", "run.json"]).expect(1);
    for told in [
        "wrong.yaml:9",
        "contact",
        "expected",
        "2",
        "mirrorlab run wrong.yaml",
    ] {
        assert!(out.contains(told), "{told}:\n{out}");
    }
    let json = fs::read_to_string(dir.join("run.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&json).unwrap();

    let Ended { out, err, .. } = run(dir, &["run", "."]).expect(3);
    assert_eq!(out, "", "nothing ran");
    assert!(err.contains("broken.yaml:8") && err.contains("miror"), "{err}");
    let unknown = run(dir, &["run", "right.yaml", "--kep", "x"]).expect(2);
    assert!(unknown.err.contains("--kep"), "{}", unknown.err);
}
