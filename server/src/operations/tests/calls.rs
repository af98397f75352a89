//! The other four operations, hooks, events, and every refusal.

use std::time::Duration;

use super::*;

#[test]
fn authenticate_answers_what_the_partner_says_and_needs_no_mirror() {
    let world = World::new();
    let authenticate = |state: &'static str| Request::Authenticate {
        client_state: Some(state.into()),
    };
    let detail = |response: Response| match response.detail {
        ResponseDetail::Authenticate(detail) => detail,
        other => panic!("{other:?}"),
    };
    let plain = world.run(&authenticate("any"));
    assert!(plain.successful);
    let plain = detail(plain);
    assert_eq!(plain.supported_interfaces.as_deref(), Some("1"));
    assert_eq!(plain.build.as_deref(), Some("4.0.0.0/Release_1"));
    assert_eq!(
        (plain.client_state, plain.additional_information_json),
        (None, None)
    );
    let skipped = detail(world.run(&authenticate("skip")));
    assert_eq!(skipped.client_state.as_deref(), Some("skipped"));
    assert_eq!(
        skipped.additional_information_json.as_deref(),
        Some(r#"{ "doNotReplicate": "true" }"#)
    );
    assert_eq!(
        world.refused(&authenticate("fail")),
        "Cust1, Authenticate: OnAuthenticate failed: not today"
    );
    assert!(!world.path().exists());
}

#[test]
fn nothing_of_a_refused_call_is_kept() {
    let world = filled();
    world.schema(&[contact(), person()]);
    let text = world.refused(&row_data(&[
        batch(contact(), 8, batch_of(&[("D", &["1"]), ("I", &["3", "three"])])),
        batch(
            person(),
            8,
            batch_of(&[
                ("I", &["5", "[F:1.5]"]),
                ("I", &["6", "[DT:05/18/2020 10:40:43.0000000]"]),
            ]),
        ),
    ]));
    assert_eq!(
        text,
        "Cust1, RowData: table `person`, row with key 6, column `score`: `[DT:05/18/2020 10:40:43.0000000]` is not a \
         value of type float; expected [F:123.4] or 123.4; nothing of this call is kept"
    );
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    assert_eq!(world.query("SELECT COUNT(*) FROM person"), ["0"]);
    assert_eq!(world.lsns(), ["contact|7", "person|-1"]);
}

#[test]
fn a_wipe_empties_the_table_before_its_hook() {
    let world = filled();
    world.succeed(&wipe("Contact"));
    assert_eq!(world.calls(), [r#"wipe contact empty true Some("state")"#]);
    assert_eq!(world.contacts(), [""; 0]);
    assert_eq!(world.lsns(), ["contact|-1"]);
    assert_eq!(
        world.query("SELECT name FROM hooks WHERE name = 'wipe'"),
        ["wipe"]
    );
}

#[test]
fn a_hook_that_fails_refuses_its_call_and_leaves_no_trace() {
    let world = filled();
    let hooks = world.query("SELECT COUNT(*) FROM hooks");
    let fail = |hook| *world.partner.fails.lock().unwrap() = hook;
    fail("before");
    let before = world.refused(&schema(&[contact(), person()]));
    fail("wipe");
    let wiped = world.refused(&wipe("contact"));
    fail("completed");
    let ended = world.refused(&completed());
    fail("resolve");
    let resolved = world.refused(&completed());
    insta::assert_snapshot!([before, wiped, ended, resolved].join("\n"), @"
        Cust1, TableSchema: OnBeforeReplicateTable failed: the partner's reason; nothing of this call is kept
        Cust1, Wipe: OnWipe failed: the partner's reason; nothing of this call is kept
        Cust1, ReplicationCompleted: OnReplicationCompleted failed: the partner's reason; nothing of this call is kept
        Cust1, ReplicationCompleted: ResolveConnection failed: no mirror is meant for this tenant; nothing of this call is kept
        ");
    // What lies behind each refusal stands in its event.
    let behind: Vec<String> = world
        .events()
        .iter()
        .filter(|event| event.starts_with("Error: "))
        .filter_map(|event| event.split_once(" ["))
        .map(|(_, info)| info.trim_end_matches(']').to_owned())
        .collect();
    let reason = "the partner's reason";
    assert_eq!(
        behind,
        [reason, reason, reason, "no mirror is meant for this tenant"]
    );
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    assert_eq!(world.lsns(), ["contact|7"]);
    assert_eq!(world.query("SELECT COUNT(*) FROM hooks"), hooks);
}

#[test]
fn a_completed_cycle_is_one_information_event() {
    let world = filled();
    world.succeed(&completed());
    assert_eq!(world.calls(), [r#"completed 1 Some("state")"#]);
    assert_eq!(
        world.events(),
        [
            "Information: replication completed: 1 table changed, 2 inserts, 3 updates, 1 deletes [contact: 2/3/1]"
        ]
    );
    world.succeed(&Request::ReplicationCompleted {
        client_state: None,
        changed: Vec::new(),
    });
    assert_eq!(
        world.events(),
        ["Information: replication completed: 0 tables changed, 0 inserts, 0 updates, 0 deletes []"]
    );
}

#[test]
fn refusals_say_what_is_wrong_and_what_to_do() {
    let world = filled();
    let mut nameless = info("contact", CONTACT);
    nameless.name = None;
    let mut no_table = batch(contact(), 0, Rows::default());
    no_table.table = None;
    let one = || batch_of(&[("I", &["1", "x"])]);
    let texts: Vec<String> = [
        schema(&[]),
        schema(&[contact(), person(), info("Contact", CONTACT)]),
        schema(&[contact(), nameless.clone()]),
        schema(&[info("y_\u{7}", CONTACT)]),
        schema(&[info("contact", "contact_id int not null; \u{7} int null")]),
        schema(&[info("contact", "contact_id int not null; shape geography null")]),
        schema(&[info(
            "contact",
            "contact_id int not null; n int null default (user_name())",
        )]),
        schema(&[info(
            "contact",
            "contact_id int not null; n smallint null default ((70000))",
        )]),
        schema(&[info("contact", "contact_id int null")]),
        schema(&[info("contact", "")]),
        schema(&[info("cust1_MIRRORING", "id int not null")]),
        schema(&[info("sqlite_x", "id int not null")]),
        row_data(&[no_table]),
        row_data(&[batch(nameless, 0, Rows::default())]),
        row_data(&[batch(person(), 0, Rows::default())]),
        row_data(&[batch(info("contact", "contact_id int not null"), 0, one())]),
        row_data(&[batch(
            info(
                "contact",
                "contact_id int not null; name nvarchar(20) null; x int null",
            ),
            0,
            one(),
        )]),
        row_data(&[batch(
            info("contact", "contact_id int not null; contact_ID int not null"),
            0,
            one(),
        )]),
        row_data(&[batch(
            info("contact", "contact_id int not null; name nvarchar(30) null"),
            0,
            one(),
        )]),
        row_data(&[batch(
            info("contact", "contact_id int not null; name xml null"),
            0,
            one(),
        )]),
        row_data(&[batch(contact(), 8, batch_of(&[("I", &["1"])]))]),
        row_data(&[batch(
            contact(),
            8,
            batch_of(&[("I", &["1", "x"]), ("Z", &["1", "x"])]),
        )]),
        row_data(&[batch(contact(), 8, batch_of(&[("I", &["4294967296", "x"])]))]),
        row_data(&[batch(contact(), 8, batch_of(&[("U", &["NULL", "x"])]))]),
        row_data(&[batch(contact(), 8, batch_of(&[("D", &["NULL", "x"])]))]),
        wipe(""),
        wipe("person"),
    ]
    .iter()
    .map(|request| world.refused(request))
    .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
        Cust1, TableSchema: the call lists no tables, and an empty list drops nothing; list every mirrored table; nothing of this call is kept
        Cust1, TableSchema: table `Contact` is listed twice; nothing of this call is kept
        Cust1, TableSchema: a table has no name (number 2 of the call); nothing of this call is kept
        Cust1, TableSchema: the name `y_\u{7}` is not one SQL Server takes: 1 to 128 characters, none of them a control character (table `y_\u{7}`, number 1 of the call); nothing of this call is kept
        Cust1, TableSchema: the name `\u{7}` is not one SQL Server takes: 1 to 128 characters, none of them a control character (table `contact`, number 1 of the call); nothing of this call is kept
        Cust1, TableSchema: column `contact.shape`: columns of type `geography` cannot be mirrored; nothing of this call is kept
        Cust1, TableSchema: column `contact.n`: `default (user_name())` is not a default that can be mirrored: a number, N'text', 0x bytes, null, getdate(), or newid(); nothing of this call is kept
        Cust1, TableSchema: column `contact.n`: its default does not fit: `70000` is out of range for type smallint; nothing of this call is kept
        Cust1, TableSchema: column `contact.contact_id` comes first and so is the key, but it may be NULL; nothing of this call is kept
        Cust1, TableSchema: table `contact` has no columns; nothing of this call is kept
        Cust1, TableSchema: `Cust1_mirroring` is the mirror's own table, and cannot be mirrored; nothing of this call is kept
        Cust1, TableSchema: the mirror Mirror_Cust1.db refused to create table sqlite_x: object name reserved for internal use: sqlite_x; nothing of this call is kept
        Cust1, RowData: batch 1 names no table: its TableInfo is missing or has no TableName; nothing of this call is kept
        Cust1, RowData: batch 1 names no table: its TableInfo is missing or has no TableName; nothing of this call is kept
        Cust1, RowData: table `person` is not in the mirror; send TableSchema first; nothing of this call is kept
        Cust1, RowData: table `contact`: the batch lacks the mirror's column `name`; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: the batch has a column `x`, and the mirror has not; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: the batch has the column `contact_id` twice; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: column `name` is nvarchar(30) in the batch and nvarchar(20) in the mirror; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: column `name` of the batch: columns of type `xml` cannot be mirrored; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`, row 1 of the batch: it has 1 cells and its TableInfo 2 columns; nothing of this call is kept
        Cust1, RowData: table `contact`, row 2 of the batch: its Operation is `Z`; expected I, U or D; nothing of this call is kept
        Cust1, RowData: table `contact`, row with key `4294967296`, column `contact_id`: `4294967296` is out of range for type int; nothing of this call is kept
        Cust1, RowData: table `contact`, row with key NULL, column `contact_id`: it is NULL, and the column is NOT NULL; nothing of this call is kept
        Cust1, RowData: table `contact`, row 1 of the batch: it is a D without a value for the key `contact_id`; nothing of this call is kept
        Cust1, Wipe: the request has no TableName; nothing of this call is kept
        Cust1, Wipe: table `person` is not in the mirror; send TableSchema first; nothing of this call is kept
        "#);
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    assert_eq!(world.lsns(), ["contact|7"]);
}

#[test]
fn a_hook_that_panics_leaves_the_mirror_whole_and_free() {
    let world = filled();
    *world.partner.fails.lock().unwrap() = "panic";
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run(&wipe("contact"))));
    assert!(caught.is_err());
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    *world.partner.fails.lock().unwrap() = "";
    world.succeed(&wipe("contact"));
    assert_eq!(world.lsns(), ["contact|-1"]);
}

/// A database that refuses calls for a while, and a store that tries each one three times.
struct Wavering {
    inner: SqliteStore,
    refusals: Mutex<u32>,
    attempts: Mutex<Vec<u32>>,
}

impl MirrorStore for Wavering {
    fn begin_on<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
        scope: Scope<'_>,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError> {
        let mut left = self.refusals.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(StoreError::Passing {
                mirror: "m".into(),
                doing: "begin".into(),
                why: "a deadlock".into(),
            });
        }
        self.inner.begin_on(context, place, scope)
    }

    fn invalidate(&self, _: &str, _: &MirrorPlace, _: Option<&str>) -> Result<u64, StoreError> {
        unreachable!("no call asks for it")
    }

    fn rest(&self, _: &str, _: &MirrorPlace) {}

    fn pause_before_retry(&self, _: &StoreError, attempt: u32, _: Duration) -> Option<Duration> {
        self.attempts.lock().unwrap().push(attempt);
        (attempt < 3).then_some(Duration::ZERO)
    }
}

#[test]
fn a_call_that_meets_a_passing_refusal_is_done_anew_as_often_as_the_store_wants() {
    for (refusals, attempts, done) in [
        (0, vec![], true),
        (2, vec![1, 2], true),
        (3, vec![1, 2, 3], false),
    ] {
        let mut world = filled();
        let store = Arc::new(Wavering {
            inner: SqliteStore::default(),
            refusals: Mutex::new(refusals),
            attempts: Mutex::default(),
        });
        world.mirroring.store = store.clone();
        assert_eq!(world.run(&wipe("contact")).successful, done, "{refusals}");
        assert_eq!(*store.attempts.lock().unwrap(), attempts);
    }
}
