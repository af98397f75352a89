//! Bodies about rows.

use super::*;

/// Body.
pub fn rows_and_lsn_are_kept_together_or_not_at_all(bench: &dyn Bench) {
    let contact = filled(bench);
    assert_eq!(contacts(bench), ["1|one|10", "2|two|NULL"]);
    assert_eq!(lsns(bench), ["contact|7"]);
    let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
    call.apply(&contact, &[0, 1, 2], &batch_of(&[("U", &["1", "lost", "NULL"])]))
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
            &batch_of(&[
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
        &batch_of(&[
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
        call.apply(&contact, &[0, 1, 2], &batch_of(&[("I", &cells)]))
            .unwrap();
    }
    let applied = call
        .apply(
            &contact,
            &[0, 1, 2],
            &batch_of(&[
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
    call.apply(&contact, &[1, 2, 0], &batch_of(&[("D", &["5"])]))
        .unwrap();
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
            &batch_of(&[("I", &["1"]), ("U", &["1"]), ("I", &["1"]), ("U", &["2"])]),
        )
        .unwrap();
    call.commit().unwrap();
    assert_eq!((applied.inserted, applied.updated), (2, 2));
    assert_eq!(bench.query("SELECT id FROM y_link ORDER BY id"), ["1", "2"]);
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
        &batch_of(&[
            ("I", &["1", "NULL", "NULL", "NULL"]),
            ("I", &["2", "", "", "[B:]"]),
            ("I", &["3", " [I:5] ", "[I:5]", "[B:AAE=]"]),
        ]),
    )
    .unwrap();
    call.commit().unwrap();
    assert_eq!(
        bench.query(
            "SELECT id, CASE WHEN a IS NULL THEN 'null' ELSE '(' || a || ')' END, b, c FROM t ORDER BY id"
        ),
        ["1|null|NULL|NULL", "2|()|NULL|[]", "3|( [I:5] )|5|[0, 1]"]
    );
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
        let batch = batch_of(&[("U", &["1", "gone again", "0"]), ("I", bad)]);
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
        let batch = batch_of(&[("D", &["77"]), (operation, cells)]);
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
pub fn what_a_person_asked_for_outlives_the_cycle_under_way(bench: &dyn Bench) {
    let contact = filled(bench);
    // Between two calls of a cycle; its last batch comes only then.
    bench.store().invalidate(CONTEXT, &bench.place(), None).unwrap();
    let reach = |lsn: i64, wiped: bool| {
        let mut call = bench.store().begin(CONTEXT, &bench.place()).unwrap();
        if wiped {
            call.wipe(&contact).unwrap();
        }
        call.set_lsn("contact", lsn).unwrap();
        call.commit().unwrap();
        lsns(bench)
    };
    assert_eq!(reach(9, false), ["contact|-1"], "the next cycle sends everything");
    assert_eq!(reach(10, true), ["contact|10"], "and now it has");
    bench.execute("UPDATE Cust1_mirroring SET LSN = -1");
    assert_eq!(reach(11, false), ["contact|-1"], "by hand it is the same");
}
