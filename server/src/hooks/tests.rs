use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::message::ReplicationSummary;
use mirrorlab_protocol::message::Request;

use super::*;
use crate::operations::{Mirroring, Options};
use crate::store::sqlite::SqliteStore;
use crate::testing::{Bench, Canned, logged, row_data, table_schema};

fn wipe() -> Request<'static> {
    Request::Wipe {
        client_state: Some("state".into()),
        table: Some("CONTACT".into()),
    }
}

fn completed() -> Request<'static> {
    Request::ReplicationCompleted {
        client_state: None,
        changed: vec![ReplicationSummary {
            inserts: 1,
            updates: 2,
            deletes: 3,
            table: Some("contact".into()),
        }],
    }
}

/// What stands in the table `log` that the tests' SQL files write.
fn log(bench: &Bench) -> Vec<String> {
    let mirror = rusqlite::Connection::open(bench.directory.path().join("Mirror_Cust1.db")).unwrap();
    let mut query = mirror.prepare("select what from log order by rowid").unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn note(what: &str) -> String {
    format!("create table if not exists log (what text); insert into log values ('{what}');")
}

#[test]
fn a_sql_file_runs_in_the_tenants_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, note(name)).unwrap();
        Some(Hook::SqlFile(path))
    };
    let bench = Bench::with_hooks(Hooks {
        before_table: file("before"),
        wipe: file("wipe"),
        completed: file("completed"),
        ..Hooks::default()
    });
    for request in [
        table_schema(&["contact", "person"]),
        wipe(),
        completed(),
        // Nothing has changed: no event.
        table_schema(&["contact", "person"]),
    ] {
        assert!(bench.call(&request).successful);
    }
    assert_eq!(log(&bench), ["before", "before", "wipe", "completed"]);
}

#[test]
fn a_directory_holds_a_file_for_each_table_and_all_run_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Contact.sql", "b.SQL", "ignored.txt"] {
        fs::write(folder.path().join(name), note(name)).unwrap();
    }
    let hook = Some(Hook::SqlDirectory(folder.path().to_owned()));
    let bench = Bench::with_hooks(Hooks {
        before_table: hook.clone(),
        wipe: None,
        completed: hook,
        ..Hooks::default()
    });
    for request in [table_schema(&["contact", "person"]), wipe(), completed()] {
        assert!(bench.call(&request).successful);
    }
    assert_eq!(log(&bench), ["Contact.sql", "Contact.sql", "b.SQL"]);
}

#[test]
fn a_hook_that_fails_fails_its_call_and_nothing_of_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.sql"), folder.path().join("bad.sql"));
    fs::write(&good, note("good")).unwrap();
    fs::write(&bad, note("bad") + "insert into nowhere values (1);").unwrap();
    let bench = Bench::with_hooks(Hooks {
        before_table: Some(Hook::SqlFile(good.clone())),
        wipe: Some(Hook::SqlFile(bad.clone())),
        completed: Some(Hook::SqlFile(folder.path().join("gone.sql"))),
        ..Hooks::default()
    });
    assert!(bench.call(&table_schema(&["contact"])).successful);
    let said = [bench.call(&wipe()), bench.call(&completed())].map(|response| {
        assert!(!response.successful);
        response.error.unwrap()
    });
    insta::assert_snapshot!(
        said.join("\n")
            .replace(&bench.directory.path().display().to_string(), "DIR")
    );
    assert_eq!(log(&bench), ["good"]);
    // Mended while the server runs.
    fs::write(&bad, note("mended")).unwrap();
    assert!(bench.call(&wipe()).successful);
    assert_eq!(log(&bench), ["good", "mended"]);
}

fn webhooks(url: &str, timeout: Duration) -> Hooks {
    let hook = |path: &str| {
        let webhook = Webhook::new(&format!("{url}{path}"), timeout).unwrap();
        Some(Hook::Webhook(webhook))
    };
    Hooks {
        before_table: hook("/before"),
        wipe: hook("/wipe"),
        completed: hook("/completed?key=secret"),
        ..Hooks::default()
    }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_webhook_is_told_what_happened() {
    let canned = Canned::new(|_| {
        vec![
            ("/before", 200, "", vec![]),
            ("/wipe", 204, "", vec![]),
            ("/completed?key=secret", 201, "", vec![]),
        ]
    });
    let bench = Bench::with_hooks(webhooks(&canned.url, LONG));
    for request in [table_schema(&["contact"]), wipe(), completed()] {
        let response = bench.call(&request);
        assert!(response.successful, "{response:?}");
    }
    insta::assert_snapshot!(canned.asked.lock().unwrap().join("\n"));
}

#[test]
fn only_a_webhook_is_told_before_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = || Some(Hook::SqlFile(folder.path().join("file.sql")));
    let files = Hooks {
        before_table: file(),
        wipe: file(),
        completed: file(),
        ..Hooks::default()
    };
    let web = webhooks("http://127.0.0.1:1", LONG);
    for (hooks, told, acts) in [
        (Hooks::default(), false, false),
        (files, false, true),
        (web, true, false),
    ] {
        let admin = HookAdmin::new(folder.path(), NameTemplate::default(), hooks);
        for what in [Announced::Tables, Announced::Wipe, Announced::Completed] {
            assert_eq!(admin.announces(what), told, "{what:?}");
        }
        assert_eq!(admin.acts_on_wipe(), acts, "in the call's transaction");
    }
}

#[test]
fn events_go_to_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let admin = HookAdmin::new(folder.path(), NameTemplate::default(), Hooks::default());
    for (kind, level) in [
        (EventKind::Information, "INFO"),
        (EventKind::Warning, "WARN"),
        (EventKind::Error, "ERROR"),
    ] {
        let event = Event {
            context: "Cust1".into(),
            operation: Some(Operation::Wipe),
            kind,
            message: "what happened".into(),
            additional_info: "and why".into(),
        };
        let log = logged(|| admin.log_event(&event));
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].starts_with(level), "{log:?}");
        for part in ["Cust1", "Wipe", "what happened", "and why"] {
            assert!(log[0].contains(part), "{log:?}");
        }
    }
}

#[tokio::test]
async fn who_calls_webhooks_may_end_in_an_async_task() {
    // A runtime that is dropped there the usual way panics.
    drop(webhooks("http://127.0.0.1:1", LONG));
}

#[test]
fn every_change_has_its_json() {
    let altered = TableChange::Altered {
        added: vec!["x_new".into()],
        dropped: vec![],
        changed: vec!["name".into()],
    };
    let recreated = TableChange::Recreated {
        reason: "text became datetime".into(),
    };
    let said = [
        &TableChange::Unchanged,
        &TableChange::Created,
        &altered,
        &recreated,
    ]
    .map(|change| {
        serde_json::to_string(&Notice::before_table("Cust1", Some("s"), "contact", change)).unwrap()
    });
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_webhook_that_fails_fails_its_call_without_showing_its_url() {
    let canned = Canned::new(|_| {
        vec![
            ("/before", 200, "", vec![]),
            ("/wipe", 500, "", vec![]),
            ("/completed?key=secret", 302, "Location: /before\r\n", vec![]),
        ]
    });
    let bench = Bench::with_hooks(webhooks(&canned.url, LONG));
    assert!(bench.call(&table_schema(&["contact"])).successful);
    let mut said = vec![bench.call(&wipe()), bench.call(&completed())];
    let silent = Canned::new(|_| vec![]);
    let bench = Bench::with_hooks(webhooks(&silent.url, Duration::from_millis(50)));
    said.push(bench.call(&completed()));
    // A port where nobody listens: it was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let bench = Bench::with_hooks(webhooks(&url, LONG));
    said.push(bench.call(&completed()));
    let said: Vec<String> = said.into_iter().map(|r| r.error.unwrap()).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn the_webhooks_of_a_call_have_a_time_together() {
    let silent = Canned::new(|_| vec![]);
    let bench = Bench::with_hooks(Hooks {
        webhooks_per_call: Duration::from_millis(50),
        ..webhooks(&silent.url, LONG)
    });
    let said = bench.call(&table_schema(&["contact", "person"])).error.unwrap();
    assert_eq!(
        said,
        "Cust1, TableSchema: OnBeforeReplicateTable failed: the webhook at 127.0.0.1 failed: the webhooks of one call have \
         0.05 s together, and that is over; nothing of this call is kept"
    );
}

fn file_of(admin: &HookAdmin, context: &str) -> Result<String, String> {
    match admin.resolve_connection(context, None) {
        Ok(MirrorPlace::SqliteFile(path)) => Ok(shown(&path)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_directory_that_is_none_is_no_empty_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let admin = HookAdmin::new(file.path(), NameTemplate::default(), Hooks::default());
    file_of(&admin, "Cust4").unwrap_err();
}

#[test]
fn a_tenants_mirror_is_found_whatever_its_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("mirrors");
    let new = || HookAdmin::new(&directory, NameTemplate::default(), Hooks::default());
    let admin = new();
    let first = Ok("Mirror_Cust4.db".to_owned());
    assert_eq!(file_of(&admin, "Cust4"), first);
    assert_eq!(
        file_of(&admin, "cust4"),
        first,
        "the first to come gives the name"
    );
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("Mirror_Cust4.db"), "").unwrap();
    fs::write(directory.join("Mirror_Cust4.db-wal"), "").unwrap();
    for context in ["CUST4", "cust4", "Cust4"] {
        assert_eq!(file_of(&new(), context), first, "{context}");
    }
    assert_eq!(file_of(&new(), "Cust44"), Ok("Mirror_Cust44.db".into()));
    // A person may move it while the server runs.
    fs::rename(
        directory.join("Mirror_Cust4.db"),
        directory.join("mirror_CUST4.DB"),
    )
    .unwrap();
    assert_eq!(file_of(&admin, "Cust4"), Ok("mirror_CUST4.DB".into()));
}

/// Where a file system tells spellings apart.
#[cfg(target_os = "linux")]
#[test]
fn two_mirrors_of_one_tenant_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Mirror_Cust4.db", "Mirror_cust4.db"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let admin = HookAdmin::new(folder.path(), NameTemplate::default(), Hooks::default());
    assert_eq!(
        file_of(&admin, "Cust4").unwrap_err(),
        "there are two mirrors, Mirror_Cust4.db and Mirror_cust4.db: tenants' names are matched without regard to case, so \
         they are one tenant's; keep one of them"
    );
}

#[test]
fn one_tenant_in_two_spellings_has_one_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let mirroring = Mirroring {
        store: Arc::new(SqliteStore::default()),
        admin: Arc::new(HookAdmin::new(
            folder.path(),
            NameTemplate::default(),
            Hooks::default(),
        )),
        options: Options::default(),
    };
    let call = |context: &str, request: &Request<'_>| {
        let response = mirroring.run(context, request);
        assert_eq!(response.error, None, "{context}");
    };
    call("Cust4", &table_schema(&["contact"]));
    call("cUST4", &row_data(3));
    call("cust4", &table_schema(&["contact"]));
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with(".db"))
        .collect();
    assert_eq!(names, ["Mirror_Cust4.db"]);
}

#[test]
fn names_stay_in_the_directory_and_tell_tenants_apart() {
    let longest = format!("{}{{context}}", "x".repeat(64));
    for right in ["Mirror_{context}", "{context}", "a b-{context}.v1", &longest] {
        NameTemplate::parse(right).unwrap();
    }
    for wrong in [
        "",
        "Mirror",
        "{context}{context}",
        "../{context}",
        "a/{context}",
        "a\\{context}",
        ".{context}",
        "{context}.",
        "{context} ",
        "{context}\0",
        "a:{context}",
        "{context}{other}",
        "ø{context}",
        " {context}",
        "a..{context}",
        &format!("x{longest}"),
    ] {
        NameTemplate::parse(wrong).expect_err(wrong);
    }
}
