//! Concurrency: tenants side by side, each as if it were alone.

use mirrorlab_protocol::message::{Response, ResponseDetail};
use mirrorlab_protocol::names::Operation;

use super::super::bench::{Bench, Said, Shared, TENANTS_MAX, read_answer};
use super::super::check::{Check, Done, must};
use super::super::say::{self, Batch, TableSpec};
use super::super::wire::Ask;
use super::PLAIN;

/// One call of a tenant, from a thread of its own.
fn call(
    shared: &Shared,
    context: &str,
    salt: u64,
    operation: Operation,
    message: &str,
) -> Result<Response, String> {
    let mut tokens = mirrorlab_simulator::authority::Tokens::new(
        std::sync::Arc::clone(&shared.authority),
        &shared.application_id,
        context,
        salt,
    );
    let token = tokens.mint(shared.clock.now()).text;
    let body = say::envelope(token.as_deref(), message).into_bytes();
    match shared.wire.ask(&Ask::call(operation, body)) {
        Err(error) => Err(format!("{context}, {operation}: {error}")),
        Ok(answer) => match read_answer(operation, &answer) {
            Said::Yes(response) => Ok(response),
            other => Err(format!("{context}, {operation}: {}", other.brief())),
        },
    }
}

/// One tenant's cycle: schema, wipe, three calls of rows, schema; the LSN that it ends with.
fn cycle(shared: &Shared, context: &str, lsn: i64) -> Result<i64, String> {
    let salt = u64::from(shared.tag) << 8;
    let table = TableSpec::new("beside", PLAIN);
    let tables = [table.clone()];
    let schema = say::table_schema(None, &tables);
    call(shared, context, salt, Operation::TableSchema, &schema)?;
    call(
        shared,
        context,
        salt + 1,
        Operation::Wipe,
        &say::wipe(None, Some("beside")),
    )?;
    for part in 0..3_i64 {
        let mut batch = Batch::new(&table, if part == 2 { lsn } else { 0 });
        for row in 0..50 {
            batch = batch.row("I", &[&format!("[I:{}]", part * 50 + row), context]);
        }
        let salt = salt + 2 + part.unsigned_abs();
        call(
            shared,
            context,
            salt,
            Operation::RowData,
            &say::row_data(None, &[batch]),
        )?;
    }
    match call(shared, context, salt + 9, Operation::TableSchema, &schema)?.detail {
        ResponseDetail::TableSchema(lsns) => Ok(lsns.first().map_or(-1, |l| l.lsn)),
        _ => Err(format!("{context}: not a TableSchemaResponse")),
    }
}

fn side_by_side(b: &mut Bench<'_>) -> Done {
    let shared = b.shared();
    let contexts: Vec<String> = (0..TENANTS_MAX)
        .map(|tenant| {
            b.be(tenant);
            b.context().to_owned()
        })
        .collect();
    let results: Vec<Result<i64, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = contexts
            .iter()
            .zip(100..)
            .map(|(context, lsn)| scope.spawn(move || cycle(shared, context, lsn)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect()
    });
    for (result, right) in results.into_iter().zip(100..) {
        match result {
            Ok(lsn) => b.equal("a tenant's LSN at the end", right, lsn)?,
            Err(why) => return b.fail("ten tenants' cycles side by side come to their end", why),
        }
    }
    for (tenant, context) in contexts.iter().enumerate() {
        b.be(tenant);
        let ids: Vec<String> = (0..150).map(|id| format!("[I:{id}]")).collect();
        let right: Vec<Vec<say::Cell>> = ids.iter().map(|id| say::cells(&[id, context])).collect();
        b.holds_cells(&TableSpec::new("beside", PLAIN), &right)?;
    }
    Ok(())
}

/// The same call from several threads at once, as by a proxy that tries again too early: each is done or refused, and
/// what is kept is what one of them says.
fn same_call(b: &mut Bench<'_>) -> Done {
    let table = b.table("beside", PLAIN)?;
    let shared = b.shared();
    let context = b.context().to_owned();
    let mut batch = Batch::new(&table, 10);
    for id in 0..100 {
        batch = batch.row("I", &[&format!("[I:{id}]"), "same"]);
    }
    let message = say::row_data(None, &[batch]);
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|salt| {
                let (context, message) = (&context, &message);
                scope.spawn(move || call(shared, context, 7000 + salt, Operation::RowData, message))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().is_ok_and(|r| r.is_ok()))
            .filter(|done| *done)
            .count()
    });
    b.expect(
        done > 0,
        "at least one of four equal calls at once is accepted",
        "none is",
    )?;
    let ids: Vec<String> = (0..100).map(|id| format!("[I:{id}]")).collect();
    let right: Vec<Vec<say::Cell>> = ids.iter().map(|id| say::cells(&[id, "same"])).collect();
    b.holds_cells(&table, &right)?;
    b.lsn_is(&[table], "beside", 10)
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "concurrency.tenants",
            "TASK-08",
            "ten tenants' cycles run side by side",
            side_by_side,
        )
        .and(&["ADMIN-06"]),
        must(
            "concurrency.same-call",
            "TASK-08",
            "equal calls at once leave a sound mirror",
            same_call,
        ),
        must(
            "concurrency.connections",
            "WIRE-01",
            "twenty open connections do not keep others out",
            |b| {
                let wire = b.shared().wire.clone();
                let mut open = Vec::new();
                for number in 0..20 {
                    match wire.connect() {
                        Ok(connection) => open.push(connection),
                        Err(error) => {
                            return b.fail(format!("connection number {}", number + 1), error.to_string());
                        }
                    }
                }
                b.authenticate()?;
                drop(open);
                Ok(())
            },
        ),
    ]
}
