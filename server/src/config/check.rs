//! Checks the settings as a whole: every mistake is found, not only the first.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::keys::PrivateKey;

use super::raw::{Place, Raw, RawHooks, RawLimits, RawTls, is_url, line_of};
use super::{Config, LogFormat, Mirrors, Mistake, sql_server};
use crate::hooks::webhook::{self, Webhook};
use crate::hooks::{Hook, Hooks, NameTemplate, WEBHOOKS_PER_CALL};
use crate::http::{HttpSettings, tls};
use crate::operations::Options;
use crate::trust::LEEWAY_SECONDS;
use crate::trust::directory::CertificateDirectory;
use crate::trust::openid::OpenIdResolver;
use mirrorlab_protocol::xml::DEPTH_MAX;

/// Where is listened unless said: this machine alone.
const LISTEN: &str = "127.0.0.1:8443";
/// The longest time that a setting may ask for, in seconds: a day.
pub(super) const SECONDS_MAX: u64 = 24 * 60 * 60;

pub(super) struct Mistakes<'t> {
    text: &'t str,
    found: Vec<Mistake>,
}

impl Mistakes<'_> {
    /// Takes down what is wrong with a setting.
    pub(super) fn wrong<T>(&mut self, key: &str, place: &Place<T>, why: impl std::fmt::Display) {
        let at = place.as_ref().map(|p| p.span()).filter(|span| !span.is_empty());
        self.found.push(Mistake {
            line: at.map(|span| line_of(self.text, span.start)),
            text: format!("{key}: {why}"),
        });
    }

    pub(super) fn missing(&mut self, key: &str, expected: &str) {
        self.wrong::<()>(key, &None, format_args!("is missing; expected {expected}"));
    }

    /// The setting's value, if it is there and `check` finds it right.
    pub(super) fn take<T, U, E: std::fmt::Display>(
        &mut self,
        key: &str,
        place: &Place<T>,
        check: impl FnOnce(&T) -> Result<U, E>,
    ) -> Option<U> {
        match check(place.as_ref()?.get_ref()) {
            Ok(value) => Some(value),
            Err(why) => {
                self.wrong(key, place, why);
                None
            }
        }
    }
}

pub(super) fn check(raw: Raw, text: &str) -> Result<Config, Vec<Mistake>> {
    let mut mistakes = Mistakes {
        text,
        found: Vec::new(),
    };
    let m = &mut mistakes;
    let listen = match &raw.listen {
        None => LISTEN.parse().ok(),
        some => m.take("listen", some, |text| {
            text.parse::<SocketAddr>().map_err(|_| {
                format!(
                    "`{}` is not an address; expected one with a port, as in `0.0.0.0:8443` or `[::]:8443`",
                    excerpt(text)
                )
            })
        }),
    };
    if raw.application_id.is_none() {
        m.missing("application_id", "the id SuperOffice gave the application");
    }
    let application_id = m.take("application_id", &raw.application_id, |id| {
        let id = id.trim();
        let plain = !id.is_empty() && id.len() <= 128 && id.chars().all(|c| c.is_ascii_graphic());
        if plain && !id.starts_with("spn:") {
            Ok(id.to_owned())
        } else {
            Err("this is no application id; expected it as SuperOffice gave it, without `spn:`")
        }
    });
    if raw.application_key.is_none() {
        m.missing("application_key", "a file with the application's private key");
    }
    let application_key = m.take("application_key", &raw.application_key, |path| {
        let text = String::from_utf8(read(path)?).map_err(|_| format!("{} is not text", path.display()))?;
        PrivateKey::from_text(&text).map_err(|error| format!("{}: {error}", path.display()))
    });
    if raw.trusted_certificates.is_none() && raw.resolver.is_none() {
        m.missing(
            "trusted_certificates",
            "a directory with SuperOffice's public certificates, or a `resolver` to ask for them",
        );
    }
    let trusted_certificates = m.take("trusted_certificates", &raw.trusted_certificates, |path| {
        CertificateDirectory::open(path)
    });
    let resolver = m.take("resolver", &raw.resolver, |url| OpenIdResolver::new(url));
    let mirrors = match (&raw.mirrors, raw.sql_server.is_said()) {
        (Some(_), true) => {
            m.wrong(
                "mirrors",
                &raw.mirrors,
                "stands beside [sql_server]; expected one of the two",
            );
            None
        }
        (None, true) => sql_server::check(m, &raw.sql_server),
        (None, false) => {
            m.missing(
                "mirrors",
                "the directory where mirrors live, or `connection` under [sql_server]",
            );
            None
        }
        (some, false) => m.take("mirrors", some, |path| {
            check_mirrors(path).map(Mirrors::Directory)
        }),
    };
    let name = match &raw.name {
        None => Some(NameTemplate::default()),
        some => m.take("name", some, |text| NameTemplate::parse(text)),
    };
    let leeway_seconds = match &raw.leeway_seconds {
        None => LEEWAY_SECONDS,
        some => m
            .take("leeway_seconds", some, |seconds| match seconds {
                0..=900 => Ok(seconds.cast_signed()),
                other => Err(format!("{other} is too much; expected 0 to 900")),
            })
            .unwrap_or_default(),
    };
    let log = m
        .take("log", &raw.log, |log| match log.as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!(
                "`{}` is no log format; expected `text` or `json`",
                excerpt(other)
            )),
        })
        .unwrap_or_default();
    let depth_max = number(m, "limits.depth_max", &raw.limits.depth_max, 12..=1000)
        .and_then(|depth| usize::try_from(depth).ok())
        .unwrap_or(DEPTH_MAX);
    let mut http = check_limits(m, &raw.limits);
    http.tls = check_tls(m, &raw.tls, &raw.plain_http);
    let certificate = raw.tls.certificate.as_ref().filter(|_| http.tls.is_some());
    let tls_valid_until = certificate
        .and_then(|path| read(path.get_ref()).ok())
        .and_then(|pem| tls::valid_until(&pem));
    let hooks = check_hooks(m, &raw.hooks);
    let on = |place: &Place<bool>| place.as_ref().is_some_and(|p| *p.get_ref());

    let right = (listen, application_id, application_key, mirrors, name);
    if let (Some(listen), Some(application_id), Some(application_key), Some(mirrors), Some(name)) = right
        && mistakes.found.is_empty()
    {
        return Ok(Config {
            listen,
            http,
            tls_valid_until,
            depth_max,
            application_id,
            application_key,
            trusted_certificates,
            resolver,
            mirrors,
            name,
            options: Options {
                drop_guard: on(&raw.drop_guard),
            },
            refuse_replayed_nonces: on(&raw.refuse_replayed_nonces),
            leeway_seconds,
            hooks,
            log,
        });
    }
    // In the order of the file; what is missing has no line, and comes last.
    mistakes
        .found
        .sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
    Err(mistakes.found)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The directory may be missing, but not be something else, and must be one that files can be made in.
fn check_mirrors(path: &Path) -> Result<PathBuf, String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        Ok(meta) if !meta.is_dir() => return Err(format!("{} is not a directory", path.display())),
        Ok(_) => {}
    }
    let probe = path.join(format!(".mirrorlab-probe-{}", std::process::id()));
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .map(|()| path.to_owned())
        .map_err(|error| format!("no file can be made in {}: {error}", path.display()))
}

fn check_tls(m: &mut Mistakes<'_>, tls: &RawTls, plain: &Place<bool>) -> Option<Arc<rustls::ServerConfig>> {
    let plain_http = plain.as_ref().is_some_and(|p| *p.get_ref());
    match (&tls.certificate, &tls.key) {
        (None, None) if plain_http => None,
        (None, None) => {
            m.missing(
                "tls",
                "`certificate` and `key` under [tls], or `plain_http = true` behind a proxy that speaks TLS",
            );
            None
        }
        _ if plain_http => {
            m.wrong(
                "plain_http",
                plain,
                "stands beside [tls]; expected one of the two",
            );
            None
        }
        (None, Some(_)) => {
            m.missing(
                "tls.certificate",
                "a PEM file with the endpoint's certificate, beside its key",
            );
            None
        }
        (Some(_), None) => {
            m.missing(
                "tls.key",
                "a PEM file with the certificate's private key, beside it",
            );
            None
        }
        (certificate, key) => {
            let chain = m.take("tls.certificate", certificate, |path| read(path));
            let private = m.take("tls.key", key, |path| read(path));
            match tls::server_config(&chain?, &private?) {
                Ok(config) => Some(config),
                Err(error @ tls::TlsError::Key(_)) => {
                    m.wrong("tls.key", key, within(key, &error));
                    None
                }
                Err(error) => {
                    m.wrong("tls.certificate", certificate, within(certificate, &error));
                    None
                }
            }
        }
    }
}

/// What is wrong inside a file.
fn within(file: &Place<PathBuf>, error: &tls::TlsError) -> String {
    match file {
        Some(path) => format!("{}: {error}", path.get_ref().display()),
        None => error.to_string(),
    }
}

fn check_limits(m: &mut Mistakes<'_>, raw: &RawLimits) -> HttpSettings {
    let mut http = HttpSettings::default();
    let numbers = [
        (
            "body_bytes_max",
            &raw.body_bytes_max,
            &mut http.body_bytes_max,
            64 * 1024..=4 * 1024 * 1024 * 1024,
        ),
        (
            "bytes_in_flight_max",
            &raw.bytes_in_flight_max,
            &mut http.bytes_in_flight_max,
            64 * 1024..=1024 * 1024 * 1024 * 1024,
        ),
        ("calls_max", &raw.calls_max, &mut http.calls_max, 1..=10_000),
        (
            "connections_max",
            &raw.connections_max,
            &mut http.connections_max,
            1..=100_000,
        ),
    ];
    for (key, place, setting, range) in numbers {
        if let Some(number) = number(m, &format!("limits.{key}"), place, range) {
            *setting = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    if http.bytes_in_flight_max < http.body_bytes_max {
        if raw.bytes_in_flight_max.is_some() {
            m.wrong(
                "limits.bytes_in_flight_max",
                &raw.bytes_in_flight_max,
                format_args!(
                    "{} is less than body_bytes_max, {}: the largest call would never fit",
                    http.bytes_in_flight_max, http.body_bytes_max
                ),
            );
        }
        http.bytes_in_flight_max = http.body_bytes_max;
    }
    let times = [
        ("turn_seconds", &raw.turn_seconds, &mut http.turn_timeout),
        (
            "handshake_seconds",
            &raw.handshake_seconds,
            &mut http.handshake_timeout,
        ),
        ("header_seconds", &raw.header_seconds, &mut http.header_timeout),
        (
            "body_idle_seconds",
            &raw.body_idle_seconds,
            &mut http.body_idle_timeout,
        ),
        ("body_seconds", &raw.body_seconds, &mut http.body_timeout),
        (
            "shutdown_seconds",
            &raw.shutdown_seconds,
            &mut http.shutdown_grace,
        ),
    ];
    for (key, place, setting) in times {
        if let Some(seconds) = number(m, &format!("limits.{key}"), place, 1..=SECONDS_MAX) {
            *setting = Duration::from_secs(seconds);
        }
    }
    http
}

pub(super) fn number(
    m: &mut Mistakes<'_>,
    key: &str,
    place: &Place<u64>,
    range: std::ops::RangeInclusive<u64>,
) -> Option<u64> {
    m.take(key, place, |number| {
        if range.contains(number) {
            Ok(*number)
        } else {
            Err(format!(
                "{number} is out of range; expected {} to {}",
                range.start(),
                range.end()
            ))
        }
    })
}

fn check_hooks(m: &mut Mistakes<'_>, raw: &RawHooks) -> Hooks {
    let timeout = number(m, "hooks.webhook_seconds", &raw.webhook_seconds, 1..=600)
        .map_or(webhook::TIMEOUT, Duration::from_secs);
    let webhooks_per_call = number(
        m,
        "hooks.webhooks_per_call_seconds",
        &raw.webhooks_per_call_seconds,
        1..=600,
    )
    .map_or(WEBHOOKS_PER_CALL, Duration::from_secs);
    let mut hook = |key: &str, place: &Place<String>| {
        m.take(key, place, |text| {
            if is_url(text) {
                return Webhook::new(text, timeout).map(Hook::Webhook);
            }
            let path = PathBuf::from(text);
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => Ok(Hook::SqlDirectory(path)),
                Ok(_) => read(&path).map(|_| Hook::SqlFile(path)),
                Err(error) => Err(format!(
                    "{text} cannot be read: {error}; expected a .sql file, a directory of them, or a URL"
                )),
            }
        })
    };
    Hooks {
        before_table: hook("hooks.before_table", &raw.before_table),
        wipe: hook("hooks.wipe", &raw.wipe),
        completed: hook("hooks.completed", &raw.completed),
        webhooks_per_call,
    }
}
