//! Every key that a scenario file may hold, by the mapping in which it stands. The parser takes its keys from here, and
//! a test holds `docs/scenario.schema.json` against it, so that editor, parser and page say the same.

/// What may stand in a mapping.
#[derive(Debug)]
pub struct Shape {
    /// What the mapping is called in messages, and in the JSON Schema's `$defs`.
    pub name: &'static str,
    /// Its own keys.
    pub keys: &'static [&'static str],
    /// What any other key is; `None` where there may be no other.
    pub others: Option<&'static str>,
}

const fn closed(name: &'static str, keys: &'static [&'static str]) -> Shape {
    Shape {
        name,
        keys,
        others: None,
    }
}

const fn open(name: &'static str, keys: &'static [&'static str], others: &'static str) -> Shape {
    Shape {
        name,
        keys,
        others: Some(others),
    }
}

/// The file.
pub const SCENARIO: Shape = closed(
    "scenario",
    &[
        "id", "title", "cites", "settings", "seed", "source", "tenants", "steps",
    ],
);
/// `settings`, before the first step.
pub const SETTINGS: Shape = closed(
    "settings",
    &[
        "start",
        "repopulate",
        "quiet_tables",
        "batch_size",
        "share_calls",
        "skip_tables",
        "not_blocked",
        "every",
        "quiet_hours",
        "time_zone",
        "server",
    ],
);
/// `server` in settings.
pub const SERVER: Shape = closed(
    "server_settings",
    &[
        "drop_guard",
        "refuse_replays",
        "do_not_replicate",
        "certificates",
        "clock_skew",
    ],
);
/// `source`, or one of `tenants`.
pub const TENANT: Shape = closed("tenant", &["approved", "schema", "rows", "tables"]);
/// `tenants`.
pub const TENANTS: Shape = open("tenants", &[], "a tenant");
/// `tables` of a tenant.
pub const TABLES: Shape = open("tables", &[], "a table");
/// A table that is more than a number of rows.
pub const TABLE: Shape = closed("table", &["columns", "rows", "drawn"]);
/// `columns` of a table, and what `alter` adds, widens or changes.
pub const COLUMNS: Shape = open("columns", &[], "a column");

/// The word of every step.
pub const STEP: Shape = closed(
    "step",
    &[
        "approve",
        "withdraw",
        "mirror",
        "change",
        "rows",
        "sql",
        "table",
        "alter",
        "drop",
        "truncate",
        "tracking",
        "backup",
        "restore",
        "advance",
        "maintenance",
        "token",
        "fault",
        "crash",
        "invalidate",
        "mirror_sql",
        "mirror_backup",
        "mirror_restore",
        "send",
        "mirror_rows",
        "compare",
        "run_due",
        "set",
    ],
);
/// Steps that are bare, or about one tenant.
pub const ABOUT_TENANT: Shape = closed("about_tenant", &["tenant"]);
/// `mirror`
pub const MIRROR: Shape = closed("mirror", &["tenant", "expect"]);
/// `change`
pub const CHANGE: Shape = open("change", &["tenant", "transactions"], "a table");
/// What happens to one table in `change`.
pub const CHANGES: Shape = closed(
    "changes",
    &[
        "insert",
        "update",
        "delete",
        "key_change",
        "insert_then_update",
        "insert_then_delete",
        "delete_then_insert",
    ],
);
/// `rows`
pub const ROWS: Shape = open("rows", &["tenant"], "a table");
/// What happens to one table in `rows`.
pub const WRITTEN_ROWS: Shape = closed("written_rows", &["delete", "key_change", "update", "insert"]);
/// `sql`
pub const SQL: Shape = closed("sql", &["tenant", "run"]);
/// `table`
pub const NEW_TABLES: Shape = open("new_tables", &["tenant"], "a table");
/// `alter`
pub const ALTER: Shape = open("alter", &["tenant"], "a table");
/// What happens to one table in `alter`.
pub const ALTERED: Shape = closed("altered", &["drop", "widen", "change", "add"]);
/// `drop`, `truncate` and `invalidate`
pub const NAMED_TABLES: Shape = closed("named_tables", &["tenant", "tables"]);
/// `tracking`
pub const TRACKING: Shape = open("tracking", &["tenant"], "a table");
/// `backup`, `restore`, `mirror_backup` and `mirror_restore`
pub const BACKUP: Shape = closed("backup", &["tenant", "name"]);
/// `maintenance`
pub const MAINTENANCE: Shape = closed("maintenance", &["in", "for"]);
/// `token`
pub const TOKEN: Shape = closed(
    "token",
    &["tenant", "defect", "operation", "table", "after", "calls"],
);
/// `fault`
pub const FAULT: Shape = closed(
    "fault",
    &[
        "tenant",
        "refuse",
        "http",
        "soap_fault",
        "connection",
        "answer",
        "call",
        "server",
        "killed",
        "operation",
        "table",
        "after",
        "calls",
    ],
);
/// `killed` in a fault: one of the two.
pub const KILLED: Shape = closed("killed", &["call", "log"]);
/// The keys of [`FAULT`] of which exactly one says what the calls meet.
pub const FAULT_KINDS: [&str; 8] = [
    "refuse",
    "http",
    "soap_fault",
    "connection",
    "answer",
    "call",
    "server",
    "killed",
];
/// `mirror_sql`
pub const MIRROR_SQL: Shape = closed("mirror_sql", &["tenant", "run", "expect"]);
/// `send`
pub const SEND: Shape = closed(
    "send",
    &[
        "tenant",
        "TableSchema",
        "Wipe",
        "RowData",
        "ReplicationCompleted",
        "expect",
    ],
);
/// The keys of [`SEND`] of which exactly one says what is sent.
pub const SENT_CALLS: [&str; 4] = ["TableSchema", "Wipe", "RowData", "ReplicationCompleted"];
/// One batch of a `RowData` under `send`.
pub const BATCH: Shape = closed("batch", &["table", "columns", "rows", "lsn"]);
/// `expect` under `send`.
pub const SEND_EXPECT: Shape = closed("send_expect", &["refused", "lsns"]);
/// `lsns` under that.
pub const LSNS: Shape = open("lsns", &[], "a table");
/// `mirror_rows`
pub const MIRROR_ROWS: Shape = open("mirror_rows", &["tenant"], "a table");
/// `compare`
pub const COMPARE: Shape = closed("compare", &["tenant", "expect"]);
/// `run_due`
pub const RUN_DUE: Shape = closed("run_due", &["tenant", "for", "expect"]);
/// `set`
pub const SET: Shape = closed(
    "set",
    &[
        "tenant",
        "repopulate",
        "quiet_tables",
        "batch_size",
        "share_calls",
        "skip_tables",
        "every",
        "quiet_hours",
        "time_zone",
        "server",
    ],
);

/// `expect` under `mirror`.
pub const MIRROR_EXPECT: Shape = open(
    "mirror_expect",
    &["outcome", "error", "wiped", "quiet", "calls", "events", "tables"],
    "a table or tenant",
);
/// Rows of one table that a cycle sends.
pub const COUNTS: Shape = closed("counts", &["inserts", "updates", "deletes"]);
/// Calls per operation.
pub const CALLS: Shape = closed(
    "calls",
    &[
        "Authenticate",
        "TableSchema",
        "Wipe",
        "RowData",
        "ReplicationCompleted",
    ],
);
/// A log entry.
pub const EVENT: Shape = closed("event", &["log", "kind", "text"]);
/// `expect` under `mirror_sql`.
pub const SQL_EXPECT: Shape = closed("sql_expect", &["rows"]);
/// `expect` under `compare`.
pub const COMPARE_EXPECT: Shape = open("compare_expect", &["differences", "tables"], "a table or tenant");
/// How one table differs.
pub const DIFFERENCE: Shape = closed(
    "difference",
    &["only_in", "columns", "missing", "extra", "different"],
);
/// `expect` under `run_due`.
pub const RUN_DUE_EXPECT: Shape = open(
    "run_due_expect",
    &["cycles", "outcome", "none_between", "first", "tables"],
    "a table or tenant",
);

/// All of them.
pub const ALL: [&Shape; 44] = [
    &SCENARIO,
    &SETTINGS,
    &SERVER,
    &TENANT,
    &TENANTS,
    &TABLES,
    &TABLE,
    &COLUMNS,
    &STEP,
    &ABOUT_TENANT,
    &MIRROR,
    &CHANGE,
    &CHANGES,
    &ROWS,
    &WRITTEN_ROWS,
    &SQL,
    &NEW_TABLES,
    &ALTER,
    &ALTERED,
    &NAMED_TABLES,
    &TRACKING,
    &BACKUP,
    &MAINTENANCE,
    &TOKEN,
    &FAULT,
    &KILLED,
    &MIRROR_SQL,
    &SEND,
    &BATCH,
    &SEND_EXPECT,
    &LSNS,
    &MIRROR_ROWS,
    &COMPARE,
    &RUN_DUE,
    &SET,
    &MIRROR_EXPECT,
    &COUNTS,
    &CALLS,
    &EVENT,
    &SQL_EXPECT,
    &COMPARE_EXPECT,
    &DIFFERENCE,
    &RUN_DUE_EXPECT,
    &TABLE_LIST,
];
/// `tables` inside an `expect`, for a table whose name is one of the expectation's own words.
pub const TABLE_LIST: Shape = open("table_list", &[], "a table");
