//! TableSchema: tables made, changed, made anew, dropped, guarded.

use super::*;

#[test]
fn tables_are_made_and_answered_in_the_order_sent() {
    let world = World::new();
    assert_eq!(
        world.schema(&[person(), contact()]),
        [lsn("person", -1), lsn("contact", -1)]
    );
    assert_eq!(world.lsns(), ["contact|-1", "person|-1"]);
    assert_eq!(
        world.calls(),
        [
            r#"before person Created Some("state")"#,
            r#"before contact Created Some("state")"#
        ]
    );
    assert_eq!(
        world.events(),
        [
            "Information: the schema changed: 2 tables made, 0 changed in place, 0 made anew, 0 dropped [person made; contact made]"
        ]
    );
    // Again, as another spelling: nothing to do, nothing to tell.
    assert_eq!(
        world.schema(&[info("CONTACT", CONTACT), person()])[0],
        lsn("CONTACT", -1)
    );
    assert_eq!(world.events(), [""; 0]);
    assert_eq!(world.calls()[0], r#"before CONTACT Unchanged Some("state")"#);
}

#[test]
fn a_table_is_changed_in_place_made_anew_or_dropped() {
    let world = filled();
    let wider = "contact_id int not null; name nvarchar(max) null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01')";
    assert_eq!(
        world.schema(&[info("contact", wider), person()]),
        [lsn("contact", 7), lsn("person", -1)]
    );
    assert_eq!(
        world.query("SELECT contact_id, name, x_flag, x_date FROM contact"),
        ["1|one|3|NULL", "2|NULL|3|NULL"]
    );
    // NULLs stand in the way.
    let strict = "contact_id int not null; name nvarchar(max) not null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01')";
    assert_eq!(
        world.schema(&[info("contact", strict), person()])[0],
        lsn("contact", -1)
    );
    assert_eq!(world.contacts(), [""; 0]);
    // Empty, it takes a NOT NULL column without a default in place.
    world.succeed(&row_data(&[batch(info("contact", strict), 8, Rows::default())]));
    let harder = "contact_id int not null; name nvarchar(max) not null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01'); hard int not null";
    assert_eq!(world.schema(&[info("contact", harder)]), [lsn("contact", 8)]);
    assert_eq!(world.lsns(), ["contact|8"]);
    world.succeed(&row_data(&[batch(
        info("contact", harder),
        9,
        batch_of(&[("I", &["1", "a", "1", "NULL", "1"])]),
    )]));
    let hardest = "contact_id int not null; name nvarchar(max) not null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01'); hard int not null; more int not null";
    assert_eq!(world.schema(&[info("contact", hardest)]), [lsn("contact", -1)]);
    assert_eq!(
        world.schema(&[info("contact", "contact_id int not null; name datetime null")]),
        [lsn("contact", -1)]
    );
    insta::assert_snapshot!(world.events().join("\n"), @"
        Information: the schema changed: 1 table made, 1 changed in place, 0 made anew, 0 dropped [contact changed in place: +x_flag +x_date ~name; person made]
        Information: the schema changed: 0 tables made, 0 changed in place, 1 made anew, 0 dropped [contact made anew: column `name` is NOT NULL now, and rows hold NULL there]
        Information: the schema changed: 0 tables made, 1 changed in place, 0 made anew, 1 dropped [contact changed in place: +hard; person dropped]
        Information: the schema changed: 0 tables made, 0 changed in place, 1 made anew, 0 dropped [contact made anew: column `more` is new and NOT NULL without a fixed default, and the table has rows]
        Information: the schema changed: 0 tables made, 0 changed in place, 1 made anew, 0 dropped [contact made anew: column `name` is datetime and was nvarchar(max)]
        ");
    assert!(
        world
            .query("SELECT name FROM sqlite_master")
            .iter()
            .all(|n| n != "person")
    );
}

#[test]
fn what_was_done_by_hand_brings_everything_again() {
    let world = filled();
    world.execute("UPDATE Cust1_mirroring SET LSN = -1 WHERE tablename = 'contact'");
    assert_eq!(world.schema(&[contact()]), [lsn("contact", -1)]);
    assert_eq!(world.contacts().len(), 2, "the sender wipes it, not this call");
    world.execute("UPDATE Cust1_mirroring SET LSN = 7; DROP TABLE contact");
    assert_eq!(
        world.refused(&row_data(&[batch(contact(), 8, Rows::default())])),
        "Cust1, RowData: table `contact` was dropped from the mirror by hand; send TableSchema first, which makes it \
         anew; nothing of this call is kept"
    );
    assert_eq!(world.schema(&[contact()]), [lsn("contact", -1)]);
    assert_eq!(world.contacts(), [""; 0]);
    world.execute("DELETE FROM Cust1_mirroring; DROP TABLE contact");
    assert_eq!(world.schema(&[contact()]), [lsn("contact", -1)]);
    assert_eq!(world.contacts(), [""; 0]);
}

#[test]
fn foreign_tables_are_never_touched() {
    let world = filled();
    world.execute("CREATE TABLE report (n int); INSERT INTO report VALUES (5)");
    assert_eq!(world.schema(&[contact()]), [lsn("contact", 7)]);
    let text = world.refused(&schema(&[person(), info("REPORT", "id int not null")]));
    assert!(text.contains("`report` that this server did not make"), "{text}");
    assert_eq!(world.query("SELECT n FROM report"), ["5"]);
    assert_eq!(
        world.lsns(),
        ["contact|7"],
        "person was not made, contact not dropped"
    );
}

#[test]
fn rows_of_several_tables_and_batches_go_into_one_commit() {
    let world = World::new();
    world.schema(&[contact(), person()]);
    let turned = info("CONTACT", "NAME nvarchar(20) null; Contact_Id int not null");
    let mut unnamed = info("contact", "");
    unnamed.columns.clear();
    world.succeed(&row_data(&[
        batch(contact(), 0, batch_of(&[("I", &["1", "one"])])),
        batch(person(), 20, batch_of(&[("I", &["7", "[F:0.5]"])])),
        batch(
            turned,
            -1,
            batch_of(&[("I", &["two", "2"]), ("U", &["one!", "1"])]),
        ),
        batch(unnamed, 21, batch_of(&[("I", &["3", "three"])])),
    ]));
    assert_eq!(world.contacts(), ["1|one!", "2|two", "3|three"]);
    assert_eq!(world.lsns(), ["contact|21", "person|20"]);
    // An LSN that is none changes nothing, an empty last batch does.
    world.succeed(&row_data(&[batch(contact(), 0, batch_of(&[("D", &["3"])]))]));
    assert_eq!(world.lsns()[0], "contact|21");
    world.succeed(&row_data(&[RowDataBatch {
        lsn: None,
        ..batch(contact(), 0, Rows::default())
    }]));
    world.succeed(&row_data(&[batch(contact(), 30, Rows::default())]));
    assert_eq!(world.lsns()[0], "contact|30");
    world.succeed(&row_data(&[]));
}

const TEN: [&str; 10] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];

fn tables(names: &[&'static str]) -> Vec<TableSchemaInfo<'static>> {
    names.iter().map(|name| info(name, "id int not null")).collect()
}

#[test]
fn dropping_more_than_half_of_ten_tables_is_warned_of() {
    let world = World::new();
    world.schema(&tables(&TEN));
    world.events();
    // Half is no more than half.
    world.schema(&tables(&TEN[..5]));
    assert!(world.events()[0].starts_with("Information"));
    world.schema(&tables(&TEN));
    world.events();
    world.schema(&tables(&TEN[..4]));
    let events = world.events();
    assert_eq!(
        events[0],
        "Warning: the call lists 4 of the mirror's 10 tables, which drops 6 with their rows [t4, t5, t6, t7, t8, t9]"
    );
    assert!(events[1].ends_with(
        "0 made anew, 6 dropped [t4 dropped; t5 dropped; t6 dropped; t7 dropped; t8 dropped; t9 dropped]"
    ));
    assert_eq!(world.lsns().len(), 4);
    // Nine are too few to be guarded.
    world.schema(&tables(&TEN[..9]));
    world.events();
    world.schema(&tables(&TEN[..1]));
    assert_eq!(world.events().len(), 1);
}

#[test]
fn the_drop_guard_refuses_what_would_be_warned_of() {
    let mut world = World::new();
    world.mirroring.options.drop_guard = true;
    world.schema(&tables(&TEN));
    insta::assert_snapshot!(world.refused(&schema(&tables(&TEN[..4]))), @"
        Cust1, TableSchema: the call lists 4 of the mirror's 10 tables, which drops 6 with their rows; drop_guard refuses that; if it is meant, run one cycle without drop_guard, or drop the tables by hand and delete their rows from `Cust1_mirroring`; nothing of this call is kept
        ");
    assert_eq!(world.lsns().len(), 10);
    let events = world.events();
    assert!(events[1].starts_with("Warning"), "{events:?}");
    world.schema(&tables(&TEN[..5]));
}
