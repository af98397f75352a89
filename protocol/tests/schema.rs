//! A table's shape: what is taken, what is refused with which text, what existing rows get, and when a change is noticed.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use mirrorlab_protocol::default::Default as ColumnDefault;
use mirrorlab_protocol::message::{ColumnInfo, TableSchemaInfo};
use mirrorlab_protocol::schema::{COLUMNS_MAX, Column, NAME_LENGTH_MAX, SchemaError, Table, check_distinct};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

fn column(name: &str, ty: &str, nullable: bool, default: &str) -> Column {
    Column {
        name: name.into(),
        ty: ColumnType::parse(ty).unwrap(),
        nullable,
        default: ColumnDefault::parse(default).unwrap(),
    }
}

fn contact() -> Table {
    Table {
        name: "contact".into(),
        columns: vec![
            column("contact_id", "int", false, ""),
            column("name", "nvarchar(219)", false, "default (N'')"),
            column("deleted", "smallint", true, "default ((0))"),
        ],
    }
}

/// `contact` with one thing changed.
fn with(change: impl FnOnce(&mut Table)) -> Table {
    let mut table = contact();
    change(&mut table);
    table
}

fn wide(columns: usize) -> Table {
    with(|t| {
        let names = t.columns.len()..columns;
        t.columns
            .extend(names.map(|n| column(&format!("c{n}"), "int", true, "")));
    })
}

#[test]
fn refusals_name_table_and_column() {
    let said: Vec<String> = [
        with(|t| t.name.clear()),
        with(|t| t.name = "x".repeat(NAME_LENGTH_MAX + 1)),
        with(|t| t.name = "con\ntact".into()),
        with(|t| t.columns.clear()),
        wide(COLUMNS_MAX + 1),
        with(|t| t.columns[1].name.clear()),
        with(|t| t.columns[1].name = "Contact_ID".into()),
        with(|t| t.columns[1].default = ColumnDefault::parse("((0x))").unwrap()),
        with(|t| t.columns[2].default = ColumnDefault::parse("((70000))").unwrap()),
        with(|t| t.columns[0].nullable = true),
        with(|t| t.columns[0].ty = ColumnType::NText),
    ]
    .into_iter()
    .map(|table| table.check().unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    the name `` is not one SQL Server takes: 1 to 128 characters, none of them a control character
    the name `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not one SQL Server takes: 1 to 128 characters, none of them a control character
    the name `con\ntact` is not one SQL Server takes: 1 to 128 characters, none of them a control character
    table `contact` has no columns
    table `contact` has 1025 columns; at most 1024 are possible
    the name `` is not one SQL Server takes: 1 to 128 characters, none of them a control character
    table `contact` has two columns named `Contact_ID`
    column `contact.name`: its default does not fit: `0x…` is not a value of type nvarchar(219); expected text
    column `contact.deleted`: its default does not fit: `70000` is out of range for type smallint
    column `contact.contact_id` comes first and so is the key, but it may be NULL
    column `contact.contact_id` comes first and so is the key, but SQL Server has no key of that type
    ");
}

#[test]
fn limits_are_what_may_still_be() {
    assert_eq!(contact().check(), Ok(()));
    assert_eq!(wide(COLUMNS_MAX).check(), Ok(()));
    assert_eq!(with(|t| t.name = "x".repeat(NAME_LENGTH_MAX)).check(), Ok(()));
    let emoji = NAME_LENGTH_MAX / 2;
    assert_eq!(with(|t| t.name = "😀".repeat(emoji)).check(), Ok(()));
    assert!(with(|t| t.name = "😀".repeat(emoji + 1)).check().is_err());
}

#[test]
fn what_a_message_may_leave_out() {
    let info = |change: fn(&mut TableSchemaInfo<'_>)| {
        let table = contact();
        let mut info = table.to_wire();
        change(&mut info);
        Table::from_wire(&info)
    };
    assert_eq!(info(|_| ()), Ok(contact()));
    assert_eq!(
        info(|t| t.columns[1].nullable = None),
        Ok(contact()),
        "a missing IsNullable is false"
    );
    assert_eq!(
        info(|t| t.columns[0].default = None),
        Ok(contact()),
        "a missing default is none"
    );
    let said: Vec<String> = [
        info(|t| t.name = None),
        info(|t| t.name = Some("".into())),
        info(|t| t.columns[1].name = None),
        info(|t| t.columns[1].name = Some("".into())),
        info(|t| t.columns[1].ty = None),
        info(|t| t.columns[1].ty = Some("xml".into())),
        info(|t| t.columns[1].default = Some("default (user_name())".into())),
        info(|t| t.columns.push(ColumnInfo::default())),
    ]
    .into_iter()
    .map(|table| table.unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(said.join("\n"), @"
    a table has no name
    a table has no name
    column 2 of table `contact` has no name
    column 2 of table `contact` has no name
    column `contact.name`: `` is not a SQL Server column type
    column `contact.name`: columns of type `xml` cannot be mirrored
    column `contact.name`: `default (user_name())` is not a default that can be mirrored: a number, N'text', 0x bytes, null, getdate(), or newid()
    column 4 of table `contact` has no name
    ");
}

#[test]
fn a_column_is_found_by_its_name() {
    let table = contact();
    assert_eq!(table.key().name, "contact_id");
    for (name, position) in [
        ("contact_id", Some(0)),
        ("NAME", Some(1)),
        ("Deleted", Some(2)),
        ("nam", None),
    ] {
        assert_eq!(table.position(name), position, "{name}");
    }
}

#[test]
fn the_hash_changes_with_what_is_mirrored_and_not_with_letter_case() {
    let hash = contact().hash();
    assert_eq!(hash.len(), 64);
    assert!(hash.bytes().all(|b| b.is_ascii_hexdigit()));
    let same = with(|t| {
        t.name = "CONTACT".into();
        t.columns[1].name = "Name".into();
    });
    assert_eq!(same.hash(), hash);
    let mut seen = vec![hash];
    for other in [
        with(|t| t.name = "person".into()),
        with(|t| t.columns[1].name = "nam".into()),
        with(|t| t.columns[1].ty = ColumnType::NText),
        with(|t| t.columns[1].nullable = true),
        with(|t| t.columns[1].default = None),
        with(|t| t.columns.swap(1, 2)),
        with(|t| drop(t.columns.pop())),
        // The end of one name is not the beginning of the next.
        with(|t| t.name = "contactcontact_id".into()),
    ] {
        let hash = other.hash();
        assert!(!seen.contains(&hash), "{other:?}");
        seen.push(hash);
    }
}

#[test]
fn existing_rows_get_null_or_the_default() {
    for (added, expected) in [
        (column("c", "int", true, ""), Some(Value::Null)),
        (column("c", "int", true, "((5))"), Some(Value::Null)),
        (column("c", "int", false, "((5))"), Some(Value::Int(5))),
        (column("c", "ntext", false, "(N'')"), Some(Value::Text("".into()))),
        (column("c", "int", false, ""), None),
        (column("c", "int", false, "(NULL)"), None),
        (column("c", "datetime", false, "(getdate())"), None),
    ] {
        assert_eq!(added.fill_value(), Ok(expected), "{added:?}");
    }
    assert!(column("c", "smallint", false, "((70000))").fill_value().is_err());
}

#[test]
fn no_table_is_listed_twice() {
    let named = |name: &str| with(|t| t.name = name.into());
    assert_eq!(check_distinct(&[]), Ok(()));
    assert_eq!(check_distinct(&[named("a"), named("b"), named("c")]), Ok(()));
    assert_eq!(
        check_distinct(&[named("a"), named("b"), named("A")]),
        Err(SchemaError::DuplicateTable("A".into()))
    );
}
