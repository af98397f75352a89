//! Isolation: tenants never meet, whatever their tables are called.

use mirrorlab_protocol::names::Operation;
use mirrorlab_simulator::authority::TokenDefect;

use super::super::bench::Bench;
use super::super::check::{Check, Done, must};
use super::super::say::{self, Batch, TableSpec};
use super::PLAIN;

/// Two tenants with a table of one name: the first at 10, the second at 20.
fn two(b: &mut Bench<'_>) -> Done<TableSpec> {
    let table = TableSpec::new("shared", PLAIN);
    for (tenant, lsn, text) in [(0, 10, "of one"), (1, 20, "of two")] {
        b.be(tenant);
        b.schema(std::slice::from_ref(&table))?;
        b.rows(&[Batch::new(&table, lsn).row("I", &["[I:1]", text])])?;
    }
    Ok(table)
}

fn first_is_as_it_was(b: &mut Bench<'_>, table: &TableSpec) -> Done {
    b.be(0);
    b.holds(table, &[&["[I:1]", "of one"]])?;
    b.lsn_is(std::slice::from_ref(table), "shared", 10)
}

fn apart(
    id: &str,
    title: &str,
    act: impl Fn(&mut Bench<'_>, &TableSpec) -> Done + Send + Sync + 'static,
) -> Check {
    must(format!("isolation.{id}"), "TRUST-05", title, move |b| {
        let table = two(b)?;
        b.be(1);
        act(b, &table)?;
        first_is_as_it_was(b, &table)
    })
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        apart(
            "rows",
            "one tenant's rows and LSNs are not another's",
            |b, table| {
                b.holds(table, &[&["[I:1]", "of two"]])?;
                b.lsn_is(std::slice::from_ref(table), "shared", 20)
            },
        ),
        apart(
            "wipe",
            "one tenant's Wipe leaves the other's table",
            |b, table| {
                b.wipe("shared")?;
                b.lsn_is(std::slice::from_ref(table), "shared", -1)
            },
        ),
        apart("delete", "one tenant's D leaves the other's row", |b, table| {
            b.rows(&[Batch::new(table, 21).row("D", &["[I:1]", "~"])])?;
            b.holds(table, &[])
        }),
        apart("schema", "one tenant's schema is not another's", |b, table| {
            let other = TableSpec::new("shared", "id int not null; n datetime null; more int null");
            b.schema(&[other])?;
            b.schema(&[table.named("something_else")])?;
            Ok(())
        }),
        apart(
            "refusal",
            "one tenant's refused call leaves the other's mirror",
            |b, table| {
                b.rows_refused(
                    &[Batch::new(table, 21).row("X", &["[I:1]", "a"])],
                    "an unknown operation",
                )
            },
        ),
        must(
            "isolation.dropped-elsewhere",
            "SCHEMA-02",
            "a table that one tenant lacks stays with the other",
            |b| {
                let table = two(b)?;
                b.be(1);
                b.schema(&[table.named("the_only_one")])?;
                first_is_as_it_was(b, &table)
            },
        ),
        must(
            "isolation.by-token-alone",
            "TRUST-05",
            "the tenant is what the token says, and nothing else",
            |b| {
                let table = two(b)?;
                // ClientState and every name in the message are the sender's to choose.
                let first = b.shared().context(999, 0);
                b.be(0);
                let other = b.context().to_owned();
                b.be(1);
                for claimed in [other, first] {
                    let batch = Batch::new(&table, 21).row("D", &["[I:1]", "~"]);
                    let state = format!("{{\"context\": \"{claimed}\"}}");
                    let said = b.call(Operation::RowData, &say::row_data(Some(&state), &[batch]))?;
                    b.yes(said, "RowData whose ClientState names another tenant")?;
                }
                first_is_as_it_was(b, &table)
            },
        ),
        must(
            "isolation.follows-token",
            "TRUST-05",
            "a call goes to the mirror of the tenant in its token",
            |b| {
                let table = two(b)?;
                b.be(0);
                let first = b.context().to_owned();
                b.be(1);
                // The second tenant's hands, and the first one's name, rightly signed.
                let minted = b.mint();
                let now = b.clock();
                let text = b
                    .tokens()
                    .defective(&TokenDefect::ForeignTenant(first), &minted.nonce, now);
                let batch = Batch::new(&table, 11).row("U", &["[I:1]", "changed"]);
                let said = b.call_as(
                    Operation::RowData,
                    text.as_deref(),
                    &say::row_data(None, &[batch]),
                )?;
                b.yes(said, "RowData with a right token of the other tenant")?;
                b.lsn_is(std::slice::from_ref(&table), "shared", 20)?;
                b.holds(&table, &[&["[I:1]", "of two"]])?;
                b.be(0);
                b.lsn_is(std::slice::from_ref(&table), "shared", 11)?;
                b.holds(&table, &[&["[I:1]", "changed"]])
            },
        ),
        must(
            "isolation.provisioned",
            "ADMIN-01",
            "a new tenant's mirror is made by its first call",
            |b| {
                for tenant in 0..3 {
                    b.be(tenant);
                    b.authenticate()?;
                    let table = TableSpec::new("first", PLAIN);
                    b.lsn_is(std::slice::from_ref(&table), "first", -1)?;
                }
                Ok(())
            },
        ),
    ]
}
