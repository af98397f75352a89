//! `settings`, and step `set`.

use super::reader::{Fields, Reader};
use crate::scenario::grammar;
use crate::scenario::mistake::Mistake;
use crate::scenario::model::{CertificateStrategy, QuietTables, Repopulate, ServerSettings, Settings};
use crate::scenario::place::Spanned;
use crate::scenario::yaml::{Data, Node};

/// The settings among a mapping's fields.
pub(super) fn settings(reader: &mut Reader, fields: &Fields<'_>) -> Settings {
    let repopulate = [
        ("all_tables", Repopulate::AllTables),
        ("only_ahead", Repopulate::OnlyAhead),
    ];
    let quiet = [("age", QuietTables::Age), ("refresh", QuietTables::Refresh)];
    Settings {
        start: None,
        repopulate: fields
            .get("repopulate")
            .and_then(|n| reader.word(n, "what is sent again", &repopulate)),
        quiet_tables: fields
            .get("quiet_tables")
            .and_then(|n| reader.word(n, "what becomes of quiet tables", &quiet)),
        batch_size: fields.get("batch_size").and_then(|n| {
            let bytes = reader.number(n, "a number of bytes from 1000 to 100000000", 1000, 100_000_000)?;
            u32::try_from(bytes).ok()
        }),
        share_calls: fields
            .get("share_calls")
            .and_then(|n| reader.truth(n, "may tables share a call?")),
        skip_tables: fields.get("skip_tables").map(|n| table_names(reader, n)),
        every: fields
            .get("every")
            .and_then(|n| reader.duration(n, "how long from cycle to cycle")),
        quiet_hours: fields.get("quiet_hours").and_then(|n| reader.hours(n)),
        time_zone: fields.get("time_zone").and_then(|n| time_zone(reader, n)),
        not_blocked: Vec::new(),
        server: fields
            .get("server")
            .map(|n| server(reader, n))
            .unwrap_or_default(),
    }
}

/// A list that may be empty: then no table is skipped any more, say. The tables need not be there.
pub(super) fn table_names(reader: &mut Reader, node: &Node) -> Vec<Spanned<String>> {
    let list = match &node.data {
        Data::List(list) => list.as_slice(),
        _ => reader.one_or_list(node, "a table, or a list of tables"),
    };
    list.iter()
        .filter_map(|n| reader.text(n, "a table's name"))
        .collect()
}

fn time_zone(reader: &mut Reader, node: &Node) -> Option<Spanned<String>> {
    let name = reader.text(node, "a time zone like `Europe/Oslo`")?;
    if jiff::tz::TimeZone::get(&name).is_err() {
        reader.note(
            Mistake::new(
                node.at,
                format!("there is no time zone `{}`", name.value),
                "unknown",
            )
            .help("an IANA name, as in `Europe/Oslo` or `UTC`"),
        );
        return None;
    }
    Some(name)
}

fn server(reader: &mut Reader, node: &Node) -> ServerSettings {
    let Some(fields) = reader.fields(node, &grammar::SERVER) else {
        return ServerSettings::default();
    };
    let strategies = [
        ("directory", CertificateStrategy::Directory),
        ("resolver", CertificateStrategy::Resolver),
    ];
    let mut truth = |key: &str, what: &str| fields.get(key).and_then(|n| reader.truth(n, what));
    ServerSettings {
        drop_guard: truth("drop_guard", "is it on?"),
        refuse_replays: truth("refuse_replays", "is a token's second use refused?"),
        do_not_replicate: truth("do_not_replicate", "is mirroring declined?"),
        certificates: fields
            .get("certificates")
            .and_then(|n| reader.word(n, "where certificates are found", &strategies)),
        clock_skew: fields
            .get("clock_skew")
            .and_then(|n| reader.skew(n, "how far the server's clock is off")),
    }
}
