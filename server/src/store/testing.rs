//! What every store must do, as test bodies that each engine mounts on a [`Bench`] of its own.
//!
//! Bodies read back with literal SQL, not with the store: [`with_store_bodies`](crate::with_store_bodies) hands their
//! names to a macro that makes a test of each, [`BODIES`] lists them for a harness that decides at run time.
#![allow(clippy::unwrap_used)] // test code, compiled for other crates' tests as well

use std::borrow::Cow;

use mirrorlab_protocol::default::Default as ColumnDefault;
use mirrorlab_protocol::message::{RowOperation, Rows};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;

use super::{Applied, MirrorPlace, MirrorStore, StoreError};

/// One engine's store, with a mirror that is not made yet, and the engine's own way to look into it.
pub trait Bench {
    /// The store under test.
    fn store(&self) -> &dyn MirrorStore;
    /// Where the mirror of this bench lives.
    fn place(&self) -> MirrorPlace;
    /// Runs a query with the engine's own client: a line a row, values separated by `|`, NULL as `NULL`.
    fn query(&self, sql: &str) -> Vec<String>;
    /// Runs statements with the engine's own client.
    fn execute(&self, sql: &str);
}

/// A body's name and the body.
pub type Body = (&'static str, fn(&dyn Bench));

/// Calls the macro `$then` with the names of all bodies.
#[macro_export]
macro_rules! with_store_bodies {
    ($then:ident) => {
        $then! {
            a_fresh_mirror_has_its_metadata_and_nothing_else,
            a_table_is_made_and_listed,
            rows_and_lsn_are_kept_together_or_not_at_all,
            every_reading_of_a_change_is_taken,
            cells_follow_the_order_that_was_given,
            a_delete_needs_nothing_but_its_key,
            a_key_alone_is_a_table_too,
            letter_case_does_not_count_in_names,
            null_and_empty_are_two_values,
            a_wiped_table_asks_for_everything,
            a_foreign_table_is_never_touched,
            a_change_in_place_keeps_rows_and_lsn,
            new_columns_are_filled_as_the_source_fills_them,
            a_dropped_table_is_gone_with_its_row,
            what_a_person_did_by_hand_is_seen,
            a_bad_cell_is_named_and_nothing_is_kept,
            a_bad_row_is_named,
            scripts_run_inside_the_call,
            scripts_cannot_end_the_call,
            invalidating_sets_lsns_and_makes_nothing,
            whether_rows_or_nulls_are_there,
            names_cannot_leave_their_quotes,
        }
    };
}

macro_rules! list {
    ($($name:ident),* $(,)?) => {
        /// Every body with its name.
        pub const BODIES: &[Body] = &[$((stringify!($name), $name)),*];
    };
}
with_store_bodies!(list);

/// The tenant of every body.
pub const CONTEXT: &str = "Cust1";

/// A table from a line: `id int not null; name nvarchar(20) null default (N'')`.
pub fn table(name: &str, columns: &str) -> Table {
    let table = Table {
        name: name.into(),
        columns: columns
            .split("; ")
            .map(|text| {
                let (name, rest) = text.split_once(' ').unwrap();
                let (rest, default) = rest.split_once(" default ").unwrap_or((rest, ""));
                let ty = rest.trim_end_matches(" null").trim_end_matches(" not");
                Column {
                    name: name.into(),
                    ty: ColumnType::parse(ty).unwrap(),
                    nullable: !rest.ends_with("not null"),
                    default: ColumnDefault::parse(default).unwrap(),
                }
            })
            .collect(),
    };
    table.check().unwrap();
    table
}

/// Rows from an operation and its cells; the cell `NULL` is `i:nil`.
pub fn rows<'a>(list: &[(&str, &[&'a str])]) -> Rows<'a> {
    let mut rows = Rows::default();
    for (operation, cells) in list {
        rows.push(
            RowOperation::read(operation),
            cells
                .iter()
                .map(|cell| (*cell != "NULL").then_some(Cow::Borrowed(*cell))),
        );
    }
    rows
}

fn contact() -> Table {
    table(
        "contact",
        "contact_id int not null; name nvarchar(20) not null default (N''); number1 int null",
    )
}

/// A mirror with `contact`, two rows and LSN 7.
fn filled(bench: &dyn Bench) -> Table {
    let contact = contact();
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&contact).unwrap();
    call.apply(
        &contact,
        &[0, 1, 2],
        &rows(&[
            ("I", &["[I:1]", "one", "[I:10]"]),
            ("I", &["[I:2]", "two", "NULL"]),
        ]),
    )
    .unwrap();
    call.set_lsn("contact", 7).unwrap();
    call.commit().unwrap();
    contact
}

fn contacts(bench: &dyn Bench) -> Vec<String> {
    bench.query("SELECT contact_id, name, number1 FROM contact ORDER BY contact_id")
}

fn lsns(bench: &dyn Bench) -> Vec<String> {
    bench.query("SELECT tablename, LSN FROM Cust1_mirroring ORDER BY tablename")
}

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
pub fn rows_and_lsn_are_kept_together_or_not_at_all(bench: &dyn Bench) {
    let contact = filled(bench);
    assert_eq!(contacts(bench), ["1|one|10", "2|two|NULL"]);
    assert_eq!(lsns(bench), ["contact|7"]);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.apply(&contact, &[0, 1, 2], &rows(&[("U", &["1", "lost", "NULL"])]))
        .unwrap();
    call.set_lsn("contact", 8).unwrap();
    call.create(&table("person", "person_id int not null")).unwrap();
    drop(call);
    assert_eq!(contacts(bench), ["1|one|10", "2|two|NULL"]);
    assert_eq!(lsns(bench), ["contact|7"]);
}

/// Body.
pub fn every_reading_of_a_change_is_taken(bench: &dyn Bench) {
    let contact = filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let applied = call
        .apply(
            &contact,
            &[0, 1, 2],
            &rows(&[
                ("I", &["[I:1]", "there already", "[I:11]"]),
                ("U", &["[I:3]", "not there yet", "[I:13]"]),
                ("D", &["[I:99]", "never there", "NULL"]),
                // A key change: the old one goes, the new one comes.
                ("D", &["[I:2]", "two", "NULL"]),
                ("I", &["[I:4]", "two", "NULL"]),
                // Deleted and inserted again.
                ("D", &["[I:3]", "", ""]),
                ("I", &["[I:3]", "back", "[I:14]"]),
                ("U", &["[I:3]", "once more", "[I:15]"]),
            ]),
        )
        .unwrap();
    call.commit().unwrap();
    assert_eq!(
        applied,
        Applied {
            inserted: 3,
            updated: 2,
            deleted: 2
        }
    );
    assert_eq!(
        contacts(bench),
        ["1|there already|11", "3|once more|15", "4|two|NULL"]
    );
}

/// Body.
pub fn cells_follow_the_order_that_was_given(bench: &dyn Bench) {
    let contact = filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.apply(
        &contact,
        &[2, 0, 1],
        &rows(&[
            ("I", &["[I:30]", "[I:3]", "three"]),
            ("D", &["NULL", "[I:1]", "NULL"]),
        ]),
    )
    .unwrap();
    call.commit().unwrap();
    assert_eq!(contacts(bench), ["2|two|NULL", "3|three|30"]);
}

/// Body.
pub fn a_delete_needs_nothing_but_its_key(bench: &dyn Bench) {
    let contact = filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let more: Vec<Vec<String>> = (3..=5)
        .map(|n| vec![n.to_string(), "x".into(), "0".into()])
        .collect();
    for row in &more {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        call.apply(&contact, &[0, 1, 2], &rows(&[("I", &cells)])).unwrap();
    }
    let applied = call
        .apply(
            &contact,
            &[0, 1, 2],
            &rows(&[
                ("D", &["[I:1]", "NULL", "NULL"]),
                ("D", &["[I:2]", "", ""]),
                ("D", &["3"]),
                (
                    "D",
                    &["4", "far more than the column's twenty characters", "no number"],
                ),
            ]),
        )
        .unwrap();
    assert_eq!(applied.deleted, 4);
    call.apply(&contact, &[1, 2, 0], &rows(&[("D", &["5"])])).unwrap();
    call.commit().unwrap();
    assert_eq!(contacts(bench), [""; 0]);
}

/// Body.
pub fn a_key_alone_is_a_table_too(bench: &dyn Bench) {
    let narrow = table("y_link", "id int not null");
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&narrow).unwrap();
    let applied = call
        .apply(
            &narrow,
            &[0],
            &rows(&[("I", &["1"]), ("U", &["1"]), ("I", &["1"]), ("U", &["2"])]),
        )
        .unwrap();
    call.commit().unwrap();
    assert_eq!((applied.inserted, applied.updated), (2, 2));
    assert_eq!(bench.query("SELECT id FROM y_link ORDER BY id"), ["1", "2"]);
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
pub fn null_and_empty_are_two_values(bench: &dyn Bench) {
    let t = table(
        "t",
        "id int not null; a nvarchar(9) null; b int null; c varbinary(9) null",
    );
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&t).unwrap();
    call.apply(
        &t,
        &[0, 1, 2, 3],
        &rows(&[
            ("I", &["1", "NULL", "NULL", "NULL"]),
            ("I", &["2", "", "", "[B:]"]),
            ("I", &["3", " [I:5] ", "[I:5]", "[B:AAE=]"]),
        ]),
    )
    .unwrap();
    call.commit().unwrap();
    assert_eq!(
        bench.query("SELECT id, CASE WHEN a IS NULL THEN 'null' ELSE '(' || a || ')' END, b, CASE WHEN c IS NULL THEN 'null' ELSE hex(c) END FROM t ORDER BY id"),
        ["1|null|NULL|null", "2|()|NULL|", "3|( [I:5] )|5|0001"]
    );
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
    assert_eq!(
        error.to_string(),
        "the mirror already has a table `report` that this server did not make; rename or drop it by hand, it is \
         never touched"
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
        &rows(&[("U", &["1", "5", &long]), ("I", &["9", "6", "NULL"])]),
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
pub fn a_bad_cell_is_named_and_nothing_is_kept(bench: &dyn Bench) {
    let contact = filled(bench);
    let long = "x".repeat(21);
    let mut texts = Vec::new();
    for bad in [
        &["[I:5]", "five", "[DT:05/18/2020 10:40:43.0000000]"][..],
        &["[I:5]", "five", "[I:2147483648]"],
        &["[I:5]", &long, "NULL"],
        &["[I:5]", "NULL", "NULL"],
        &["five", "five", "NULL"],
        &["NULL", "five", "NULL"],
        &["", "five", "NULL"],
    ] {
        let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
        let batch = rows(&[("U", &["1", "gone again", "0"]), ("I", bad)]);
        let error = call.apply(&contact, &[0, 1, 2], &batch).unwrap_err();
        assert!(matches!(error, StoreError::Cell { .. }));
        texts.push(error.to_string());
        drop(call);
        assert_eq!(contacts(bench), ["1|one|10", "2|two|NULL"]);
    }
    assert_eq!(
        texts,
        [
            "table `contact`, row with key 5, column `number1`: `[DT:05/18/2020 10:40:43.0000000]` is not a value of \
             type int; expected [I:135] or 135",
            "table `contact`, row with key 5, column `number1`: `2147483648` is out of range for type int",
            "table `contact`, row with key 5, column `name`: a value of 21 UTF-16 code units is too long for type \
             nvarchar(20)",
            "table `contact`, row with key 5, column `name`: it is NULL, and the column is NOT NULL",
            "table `contact`, row with key `five`, column `contact_id`: `five` is not a value of type int; expected \
             [I:135] or 135",
            "table `contact`, row with key NULL, column `contact_id`: it is NULL, and the column is NOT NULL",
            "table `contact`, row with key NULL, column `contact_id`: it is empty, which a column of type int reads \
             as NULL, and the column is NOT NULL",
        ]
    );
}

/// Body.
pub fn a_bad_row_is_named(bench: &dyn Bench) {
    let contact = filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    let mut refusal = |operation: &str, cells: &[&str]| {
        let batch = rows(&[("D", &["77"]), (operation, cells)]);
        call.apply(&contact, &[0, 1, 2], &batch).unwrap_err().to_string()
    };
    assert_eq!(
        refusal("I", &["1", "one"]),
        "table `contact`, row 2 of the batch: it has 2 cells and its TableInfo 3 columns"
    );
    assert_eq!(
        refusal("X", &["1", "one", "1"]),
        "table `contact`, row 2 of the batch: its Operation is `X`; expected I, U or D"
    );
    assert_eq!(
        refusal("", &["1", "one", "1"]),
        "table `contact`, row 2 of the batch: it has no Operation; expected I, U or D"
    );
    for none in [&[][..], &["NULL"], &["", "one", "1"]] {
        assert_eq!(
            refusal("D", none),
            "table `contact`, row 2 of the batch: it is a D without a value for the key `contact_id`"
        );
    }
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
        call.apply(&contact, &[0, 1, 2], &rows(&[("D", &["1"])])).unwrap();
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
        other.ends_with("has no table `Cust2_mirroring`; it has Cust1_mirroring"),
        "{other}"
    );
}

/// Body.
pub fn whether_rows_or_nulls_are_there(bench: &dyn Bench) {
    let contact = filled(bench);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    assert!(call.has_row(&contact, None).unwrap());
    assert!(!call.has_row(&contact, Some(1)).unwrap());
    assert!(call.has_row(&contact, Some(2)).unwrap());
    call.wipe(&contact).unwrap();
    assert!(!call.has_row(&contact, None).unwrap());
    assert!(!call.has_row(&contact, Some(2)).unwrap());
}

/// Body.
pub fn names_cannot_leave_their_quotes(bench: &dyn Bench) {
    filled(bench);
    let mut nasty = table("t", "id int not null; a int null");
    nasty.name = "y\"; DROP TABLE contact; --".into();
    nasty.columns[1].name = "a\" = 1; DROP TABLE contact; --".into();
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.create(&nasty).unwrap();
    call.apply(
        &nasty,
        &[0, 1],
        &rows(&[("I", &["1", "2"]), ("U", &["1", "3"]), ("D", &["1"])]),
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
