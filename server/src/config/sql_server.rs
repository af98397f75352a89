//! `[sql_server]`: mirrors in databases of a SQL Server, in place of `mirrors`.

use std::time::Duration;

use mirrorlab_engines::mssql::{Address, ServerOptions};

use super::Mirrors;
use super::check::{Mistakes, SECONDS_MAX, number};
use super::raw::RawSqlServer;
use crate::store::mssql::MssqlOptions;

impl RawSqlServer {
    /// Whether the file or a flag says anything of it.
    pub(super) fn is_said(&self) -> bool {
        let RawSqlServer {
            connection,
            create_databases,
            connections_max,
            statement_seconds,
            call_seconds,
            busy_seconds,
        } = self;
        connection.is_some()
            || create_databases.is_some()
            || [connections_max, statement_seconds, call_seconds, busy_seconds]
                .iter()
                .any(|place| place.is_some())
    }
}

pub(super) fn check(m: &mut Mistakes<'_>, raw: &RawSqlServer) -> Option<Mirrors> {
    if raw.connection.is_none() {
        m.missing(
            "sql_server.connection",
            "`env:NAME` or `@file` with a connection string, mssql://user:password@host:port",
        );
    }
    let address = m.take("sql_server.connection", &raw.connection, |text| {
        Address::read(text)
    });
    let known = MssqlOptions::default();
    let seconds = |m: &mut Mistakes<'_>, key: &str, place, known: Duration| {
        number(m, &format!("sql_server.{key}"), place, 1..=SECONDS_MAX).map_or(known, Duration::from_secs)
    };
    let busy_wait = seconds(m, "busy_seconds", &raw.busy_seconds, known.busy_wait);
    let call_limit = seconds(m, "call_seconds", &raw.call_seconds, known.call_limit);
    let statement_limit = seconds(
        m,
        "statement_seconds",
        &raw.statement_seconds,
        known.server.statement_limit,
    );
    let connections_max = number(m, "sql_server.connections_max", &raw.connections_max, 1..=10_000)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(known.server.connections_max);
    let create_databases = raw.create_databases.as_ref().map(|p| *p.get_ref());
    Some(Mirrors::SqlServer {
        address: address?,
        options: MssqlOptions {
            server: ServerOptions {
                connections_max,
                statement_limit,
                wait_limit: busy_wait,
            },
            busy_wait,
            create_databases: create_databases.unwrap_or(known.create_databases),
            call_limit,
        },
    })
}
