//! The server's log: lines on stderr, for people or as JSON.
//!
//! What is said while the settings are read is held back: where they are wrong, one clear message is better than a log
//! before it.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use crate::cli::CliError;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads a filter; `info` where nothing is said.
pub(super) fn filter(text: Option<&str>) -> Result<EnvFilter, String> {
    let text = text
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .unwrap_or("info");
    // The library takes a misspelled level for a module's name, and logs nothing.
    let unknown = text.split(',').map(str::trim).find(|part| {
        !part.contains(['=', '[']) && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part))
    });
    let wrong = |what: &str| {
        format!(
            "--log {text}: {what}; expected one of {}, or a filter such as info,mirrorlab_server=debug",
            LEVELS.join(", ")
        )
    };
    match unknown {
        Some(part) => Err(wrong(&format!("`{part}` is no level"))),
        None => EnvFilter::try_new(text).map_err(|_| wrong("it cannot be read")),
    }
}

/// The format that the flag or the settings file asks for. A mistake in the file is told of when it is read as a whole.
pub(super) fn format(flag: Option<LogFormat>, file: Option<&Path>) -> LogFormat {
    #[derive(Deserialize)]
    struct Peek {
        log: Option<String>,
    }
    let asked = || {
        let text = std::fs::read_to_string(file?).ok()?;
        toml::from_str::<Peek>(&text).ok()?.log
    };
    flag.unwrap_or_else(|| match asked().as_deref() {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    })
}

/// Begins to log; what comes is held back until [`Log::release`].
pub(super) fn start(filter: EnvFilter, format: LogFormat) -> Result<Log, CliError> {
    let log = Log {
        held: Arc::new(Mutex::new(Some(Vec::new()))),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log.clone())
        .with_ansi(colours);
    let started = match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| CliError::broken(format!("cannot start the log: {error}")))?;
    Ok(log)
}

/// Where log lines go.
#[derive(Clone)]
pub(super) struct Log {
    /// Lines not yet written; `None` once they are written as they come.
    held: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Log {
    /// Writes what was held back, and from now on every line as it comes.
    pub(super) fn release(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lines) = held {
            // A log that nobody takes must not end the server.
            let _ = io::stderr().write_all(&lines);
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.held.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(held) => held.extend_from_slice(line),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for right in [
            "info",
            "WARN",
            "off",
            " debug ",
            "",
            "info,mirrorlab_server=debug",
            "mirrorlab_server=trace",
        ] {
            assert!(filter(Some(right)).is_ok(), "{right}");
        }
        assert!(filter(None).is_ok());
        let texts: Vec<String> = ["inof", "info,", "info,x=loud"]
            .into_iter()
            .map(|wrong| filter(Some(wrong)).map(|_| ()).unwrap_err())
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @"
        --log inof: `inof` is no level; expected one of off, error, warn, info, debug, trace, or a filter such as info,mirrorlab_server=debug
        --log info,: `` is no level; expected one of off, error, warn, info, debug, trace, or a filter such as info,mirrorlab_server=debug
        --log info,x=loud: it cannot be read; expected one of off, error, warn, info, debug, trace, or a filter such as info,mirrorlab_server=debug
        ");
    }
}
