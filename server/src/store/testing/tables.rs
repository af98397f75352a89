//! Bodies about tables, metadata, scripts.

use super::*;

/// Body.
pub fn a_fresh_mirror_has_its_metadata_and_nothing_else(bench: &dyn Bench) {
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    assert_eq!(call.tables().unwrap(), []);
    assert_eq!(call.table("contact").unwrap(), None);
    drop(call);
    assert_eq!(
        bench.query("SELECT COUNT(*) FROM Cust1_mirroring"),
        ["0"],
        "made even by a call that kept nothing"
    );
}

/// Body.
pub fn a_table_is_made_and_listed(bench: &dyn Bench) {
    let contact = contact();
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&contact).unwrap();
    call.commit().unwrap();
    assert_eq!(
        bench.query("SELECT tablename, schemahash, LSN FROM Cust1_mirroring"),
        [format!("contact|{}|-1", contact.hash())]
    );
    assert_eq!(contacts(bench), [""; 0]);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let stored = call.tables().unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(
        (&stored[0].table, stored[0].lsn, stored[0].present),
        (&contact, -1, true)
    );
    assert_eq!(stored[0].hash, contact.hash());
    assert_eq!(call.table("contact").unwrap().as_ref(), Some(&stored[0]));
}

/// Body.
pub fn letter_case_does_not_count_in_names(bench: &dyn Bench) {
    filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let stored = call.table("CONTACT").unwrap().unwrap();
    assert_eq!(stored.table.name, "contact");
    call.set_lsn("Contact", 9).unwrap();
    assert!(matches!(
        call.create(&table("CONTACT", "id int not null")),
        Err(StoreError::ForeignTable { .. })
    ));
    call.wipe(&table("CONTACT", "id int not null")).unwrap();
    call.set_lsn("CONTACT", 10).unwrap();
    call.commit().unwrap();
    assert_eq!(lsns(bench), ["contact|10"]);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&table("Ægir", "id int not null")).unwrap();
    call.set_lsn("æGIR", 3).unwrap();
    assert_eq!(call.table("ægir").unwrap().unwrap().lsn, 3);
}

/// Body.
pub fn a_wiped_table_asks_for_everything(bench: &dyn Bench) {
    let contact = filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.wipe(&contact).unwrap();
    call.commit().unwrap();
    assert_eq!(contacts(bench), [""; 0]);
    assert_eq!(lsns(bench), ["contact|-1"]);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let error = call.wipe(&table("person", "id int not null")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table `person` is not in the mirror; send TableSchema first"
    );
}

/// Body.
pub fn a_foreign_table_is_never_touched(bench: &dyn Bench) {
    filled(bench);
    bench.execute("CREATE TABLE report (id int); INSERT INTO report VALUES (5)");
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let error = call.create(&table("Report", "id int not null")).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("the mirror ")
            && error.ends_with(
                " already has a table `report` that this server did not make; rename or drop it by hand, it is never \
                 touched"
            ),
        "{error}"
    );
    assert!(matches!(
        call.drop_table("report"),
        Err(StoreError::UnknownTable(_))
    ));
    assert!(call.table("report").unwrap().is_none());
    drop(call);
    assert_eq!(bench.query("SELECT id FROM report"), ["5"]);
}

/// Body.
pub fn a_change_in_place_keeps_rows_and_lsn(bench: &dyn Bench) {
    let old = filled(bench);
    let new = table(
        "CONTACT",
        "contact_id bigint not null; x_new int null; name nvarchar(200) null",
    );
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.alter(&old, &new).unwrap();
    let stored = call.table("contact").unwrap().unwrap();
    assert_eq!((stored.lsn, stored.hash), (7, new.hash()));
    assert_eq!(stored.table.columns, new.columns);
    let long = "é".repeat(150);
    call.apply(
        &stored.table,
        &[0, 1, 2],
        &batch_of(&[("U", &["1", "5", &long]), ("I", &["9", "6", "NULL"])]),
    )
    .unwrap();
    call.commit().unwrap();
    assert_eq!(
        bench.query("SELECT contact_id, x_new, name FROM contact ORDER BY contact_id"),
        [format!("1|5|{long}"), "2|NULL|two".into(), "9|6|NULL".into()]
    );
    assert_eq!(lsns(bench), ["contact|7"]);
}

/// Body.
pub fn new_columns_are_filled_as_the_source_fills_them(bench: &dyn Bench) {
    let old = filled(bench);
    let line = "contact_id int not null; name nvarchar(20) not null default (N''); number1 int null";
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let appended = table(
        "contact",
        &format!(
            "{line}; x_not nvarchar(9) not null default (N'it''s'); x_num smallint not null default ((-1))"
        ),
    );
    call.alter(&old, &appended).unwrap();
    let nullable = table(
        "contact",
        &format!(
            "{line}; x_not nvarchar(9) not null default (N'it''s'); x_num smallint not null default ((-1)); \
             x_null int null default ((5))"
        ),
    );
    call.alter(&appended, &nullable).unwrap();
    call.commit().unwrap();
    assert_eq!(
        bench.query("SELECT contact_id, x_not, x_num, x_null FROM contact ORDER BY contact_id"),
        ["1|it's|-1|NULL", "2|it's|-1|NULL"],
        "a nullable column stays NULL in spite of its default"
    );
}

/// Body.
pub fn a_dropped_table_is_gone_with_its_row(bench: &dyn Bench) {
    filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.drop_table("CONTACT").unwrap();
    assert!(call.table("contact").unwrap().is_none());
    call.create(&table("contact", "contact_id int not null; other datetime null"))
        .unwrap();
    call.commit().unwrap();
    assert_eq!(lsns(bench), ["contact|-1"]);
    assert_eq!(bench.query("SELECT COUNT(other) FROM contact"), ["0"]);
}

/// Body.
pub fn what_a_person_did_by_hand_is_seen(bench: &dyn Bench) {
    let contact = filled(bench);
    bench.execute("UPDATE Cust1_mirroring SET LSN = -1");
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    assert_eq!(call.table("contact").unwrap().unwrap().lsn, -1);
    drop(call);
    bench.execute("DROP TABLE contact");
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    assert!(!call.table("contact").unwrap().unwrap().present);
    assert!(!call.tables().unwrap()[0].present);
    call.create(&contact).unwrap();
    assert!(
        call.table("contact").unwrap().unwrap().present,
        "made anew over its row"
    );
    call.commit().unwrap();
    bench.execute("DELETE FROM Cust1_mirroring; DROP TABLE contact");
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    assert_eq!(call.tables().unwrap(), []);
    call.create(&contact).unwrap();
}

/// Body.
pub fn scripts_run_inside_the_call(bench: &dyn Bench) {
    filled(bench);
    let script = "CREATE TABLE derived (n int); INSERT INTO derived SELECT COUNT(*) FROM contact;";
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.run_script(script).unwrap();
    drop(call);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.run_script(script).unwrap();
    call.commit().unwrap();
    assert_eq!(
        bench.query("SELECT n FROM derived"),
        ["2"],
        "the first was rolled back"
    );
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let error = call.run_script("INSERT INTO nowhere VALUES (1)").unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// Body.
pub fn scripts_cannot_end_the_call(bench: &dyn Bench) {
    let contact = filled(bench);
    for ending in ["COMMIT", "ROLLBACK", "BEGIN"] {
        let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
        call.apply(&contact, &[0, 1, 2], &batch_of(&[("D", &["1"])]))
            .unwrap();
        assert!(call.run_script(ending).is_err(), "{ending}");
        drop(call);
        assert_eq!(contacts(bench).len(), 2, "{ending}");
    }
}

/// Body.
pub fn invalidating_sets_lsns_and_makes_nothing(bench: &dyn Bench) {
    let (store, place) = (bench.store(), bench.place());
    let told = |context: &str, table: Option<&str>| store.invalidate(context, &place, table);
    assert!(matches!(told(CONTEXT, None), Err(StoreError::NoMirror { .. })));
    assert!(
        matches!(told(CONTEXT, None), Err(StoreError::NoMirror { .. })),
        "the question made none"
    );
    filled(bench);
    let mut call = store.begin(CONTEXT, &place).unwrap();
    call.create(&table("person", "person_id int not null")).unwrap();
    call.set_lsn("person", 8).unwrap();
    call.commit().unwrap();
    assert_eq!(told(CONTEXT, Some("PERSON")).unwrap(), 1);
    assert_eq!(lsns(bench), ["contact|7", "person|-1"]);
    assert_eq!(told(CONTEXT, None).unwrap(), 2);
    assert_eq!(lsns(bench), ["contact|-1", "person|-1"]);
    let unknown = told(CONTEXT, Some("sale")).unwrap_err().to_string();
    assert!(
        unknown.starts_with("`sale` is not among the 2 tables of `Cust1_mirroring`"),
        "{unknown}"
    );
    let other = told("Cust2", None).unwrap_err().to_string();
    assert!(
        // Not every engine's catalogue keeps the letters' case.
        other
            .to_lowercase()
            .ends_with("has no table `cust2_mirroring`; it has cust1_mirroring"),
        "{other}"
    );
}

/// Body.
pub fn names_cannot_leave_their_quotes(bench: &dyn Bench) {
    filled(bench);
    let mut nasty = table("t", "id int not null; a int null");
    nasty.name = "y\"'; DROP TABLE contact; --".into();
    nasty.columns[1].name = "a\"' = 1; DROP TABLE contact; --".into();
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&nasty).unwrap();
    call.apply(
        &nasty,
        &[0, 1],
        &batch_of(&[("I", &["1", "2"]), ("U", &["1", "3"]), ("D", &["1"])]),
    )
    .unwrap();
    let mut wider = nasty.clone();
    wider.columns[1].ty = ColumnType::BigInt;
    call.alter(&nasty, &wider).unwrap();
    call.has_row(&wider, Some(1)).unwrap();
    call.wipe(&wider).unwrap();
    call.drop_table(&wider.name).unwrap();
    call.commit().unwrap();
    assert_eq!(contacts(bench).len(), 2);
}
