//! The settings file as it is written, each value with its place.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{Mistake, Overrides};

/// A value and where it stands; flags stand at 0..0.
pub(super) type Place<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub listen: Place<String>,
    pub plain_http: Place<bool>,
    pub application_id: Place<String>,
    pub application_key: Place<PathBuf>,
    pub trusted_certificates: Place<PathBuf>,
    pub resolver: Place<String>,
    pub mirrors: Place<PathBuf>,
    pub name: Place<String>,
    pub drop_guard: Place<bool>,
    pub refuse_replayed_nonces: Place<bool>,
    pub leeway_seconds: Place<u64>,
    pub log: Place<String>,
    #[serde(default)]
    pub sql_server: RawSqlServer,
    #[serde(default)]
    pub tls: RawTls,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub hooks: RawHooks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSqlServer {
    pub connection: Place<String>,
    pub create_databases: Place<bool>,
    pub connections_max: Place<u64>,
    pub statement_seconds: Place<u64>,
    pub call_seconds: Place<u64>,
    pub busy_seconds: Place<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub certificate: Place<PathBuf>,
    pub key: Place<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub body_bytes_max: Place<u64>,
    pub depth_max: Place<u64>,
    pub bytes_in_flight_max: Place<u64>,
    pub calls_max: Place<u64>,
    pub connections_max: Place<u64>,
    pub turn_seconds: Place<u64>,
    pub handshake_seconds: Place<u64>,
    pub header_seconds: Place<u64>,
    pub body_idle_seconds: Place<u64>,
    pub body_seconds: Place<u64>,
    pub shutdown_seconds: Place<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHooks {
    pub before_table: Place<String>,
    pub wipe: Place<String>,
    pub completed: Place<String>,
    pub webhook_seconds: Place<u64>,
    pub webhooks_per_call_seconds: Place<u64>,
}

/// Reads the text; what is no TOML, or no setting, is one mistake.
pub(super) fn read(text: &str) -> Result<Raw, Mistake> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        let shown = line
            .and_then(|line| text.lines().nth(line - 1))
            .unwrap_or_default();
        let mut said = error.message().trim().replace('\n', "; ");
        if is_unquoted(shown) && !said.contains("quoted") {
            said.push_str("; a text stands in quotes, as in listen = \"127.0.0.1:8443\"");
        }
        Mistake {
            line,
            // The parser does not say which setting it is.
            text: format!(
                "`{}`: {}",
                mirrorlab_protocol::excerpt(&without_password(shown.trim())),
                said.replace("expected u64", "expected a whole number")
            ),
        }
    })
}

/// Whether a line gives a key something that is neither quoted, nor a number, nor a list, nor true or false.
fn is_unquoted(line: &str) -> bool {
    let Some((_, value)) = line.split_once('=') else {
        return false;
    };
    let value = value.split('#').next().unwrap_or_default().trim();
    let plain = value.starts_with(['"', '\'', '[', '{']) || matches!(value, "" | "true" | "false");
    !plain && value.parse::<f64>().is_err()
}

/// A line of the file as a message may show it: where a connection string stands in it, that is left out.
fn without_password(line: &str) -> String {
    match line.find("mssql:") {
        Some(at) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// The line, counted from 1, of a place in the text.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|b| **b == b'\n').count()
}

/// Whether a hook's text is a URL, not a path.
pub(super) fn is_url(text: &str) -> bool {
    text.contains("://")
}

impl Raw {
    /// Makes the file's paths relative to the file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let paths = [
            &mut self.application_key,
            &mut self.trusted_certificates,
            &mut self.mirrors,
            &mut self.tls.certificate,
            &mut self.tls.key,
        ];
        for path in paths.into_iter().flatten() {
            let whole = base.join(path.get_ref());
            *path.get_mut() = whole;
        }
        if let Some(connection) = &mut self.sql_server.connection
            && let Some(path) = connection.get_ref().strip_prefix('@')
        {
            let whole = base.join(path);
            *connection.get_mut() = format!("@{}", whole.to_string_lossy());
        }
        let hooks = [
            &mut self.hooks.before_table,
            &mut self.hooks.wipe,
            &mut self.hooks.completed,
        ];
        for hook in hooks.into_iter().flatten() {
            if !is_url(hook.get_ref()) {
                let whole = base.join(hook.get_ref());
                *hook.get_mut() = whole.to_string_lossy().into_owned();
            }
        }
    }

    /// Lets flags stand in for the file's settings.
    pub(super) fn override_with(&mut self, flags: Overrides) {
        if flags.plain_http {
            self.tls = RawTls::default();
        }
        if flags.tls_certificate.is_some() || flags.tls_key.is_some() {
            self.plain_http = self.plain_http.take().filter(|_| flags.plain_http);
        }
        if flags.mirrors.is_some() {
            self.sql_server = RawSqlServer::default();
        }
        if flags.sql_server.is_some() {
            self.mirrors = None;
        }
        set(&mut self.listen, flags.listen);
        set(&mut self.tls.certificate, flags.tls_certificate);
        set(&mut self.tls.key, flags.tls_key);
        set(&mut self.plain_http, flags.plain_http.then_some(true));
        set(&mut self.application_id, flags.application_id);
        set(&mut self.application_key, flags.application_key);
        set(&mut self.trusted_certificates, flags.trusted_certificates);
        set(&mut self.resolver, flags.resolver);
        set(&mut self.mirrors, flags.mirrors);
        set(&mut self.sql_server.connection, flags.sql_server);
        set(
            &mut self.sql_server.create_databases,
            flags.existing_databases.then_some(false),
        );
        set(&mut self.name, flags.name);
        set(&mut self.drop_guard, flags.drop_guard.then_some(true));
        set(
            &mut self.refuse_replayed_nonces,
            flags.refuse_replayed_nonces.then_some(true),
        );
        set(&mut self.log, flags.log);
    }
}

fn set<T>(place: &mut Place<T>, flag: Option<T>) {
    if let Some(value) = flag {
        *place = Some(Spanned::new(0..0, value));
    }
}
