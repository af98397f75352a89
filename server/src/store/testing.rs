//! What every store must do, as test bodies that each engine mounts on a [`Bench`] of its own.
//!
//! Bodies read back with literal SQL, not with the store: [`with_store_bodies`](crate::with_store_bodies) hands their
//! names to a macro that makes a test of each, [`BODIES`] lists them for a harness that decides at run time.
#![allow(clippy::unwrap_used)] // test code, compiled for other crates' tests as well

mod rows;
mod tables;

use std::borrow::Cow;

use mirrorlab_protocol::default::Default as ColumnDefault;
use mirrorlab_protocol::message::{RowOperation, Rows};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;

pub use rows::*;
pub use tables::*;

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
            what_a_person_asked_for_outlives_the_cycle_under_way,
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
pub fn batch_of<'a>(list: &[(&str, &[&'a str])]) -> Rows<'a> {
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
        &batch_of(&[
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
