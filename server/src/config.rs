//! The server's settings: from a TOML file, from flags, or both; checked as a whole, with one message for each mistake.
//!
//! - `raw`: the file as it is written
//! - `check`: what each setting must be
//! - `sql_server`: mirrors on a SQL Server
//!
//! A small one:
//!
//! ```toml
//! listen = "0.0.0.0:8443"
//! application_id = "3f6c2b1a…"
//! application_key = "application-key.xml"
//! trusted_certificates = "superoffice-certificates"
//! mirrors = "mirrors"
//!
//! [tls]
//! certificate = "tls.pem"
//! key = "tls-key.pem"
//! ```
//!
//! Paths are relative to the file.

mod check;
mod raw;
mod sql_server;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_engines::mssql::Address;
use mirrorlab_engines::private;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::keys::PrivateKey;

use crate::hooks::{Home, HookAdmin, Hooks, NameTemplate};
use crate::http::HttpSettings;
use crate::operations::{Mirroring, Options};
use crate::service::Service;
use crate::store::MirrorStore;
use crate::store::mssql::{MssqlOptions, MssqlStore};
use crate::store::sqlite::SqliteStore;
use crate::trust::Trust;
use crate::trust::directory::CertificateDirectory;
use crate::trust::openid::OpenIdResolver;
use crate::trust::resolver::ResolverLimits;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line of the file, counted from 1; `None` where it is about a flag, or about something that is missing.
    pub line: Option<usize>,
    /// What is wrong, and what was expected.
    pub text: String,
}

/// Everything that is wrong with the settings, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self
            .file
            .as_deref()
            .map_or_else(|| "settings".to_owned(), |file| file.display().to_string());
        for (n, mistake) in self.mistakes.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            match mistake.line {
                Some(line) => write!(f, "{end}{file}:{line}: {}", mistake.text)?,
                None => write!(f, "{end}{file}: {}", mistake.text)?,
            }
        }
        Ok(())
    }
}

/// Settings that stand in for the file's, from a program's flags. Paths are relative to the working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `listen`
    pub listen: Option<String>,
    /// `tls.certificate`
    pub tls_certificate: Option<PathBuf>,
    /// `tls.key`
    pub tls_key: Option<PathBuf>,
    /// `plain_http`; it also sets the file's `[tls]` aside.
    pub plain_http: bool,
    /// `application_id`
    pub application_id: Option<String>,
    /// `application_key`
    pub application_key: Option<PathBuf>,
    /// `trusted_certificates`
    pub trusted_certificates: Option<PathBuf>,
    /// `resolver`
    pub resolver: Option<String>,
    /// `mirrors`; it also sets the file's `[sql_server]` aside.
    pub mirrors: Option<PathBuf>,
    /// `sql_server.connection`; it also sets the file's `mirrors` aside.
    pub sql_server: Option<String>,
    /// `sql_server.create_databases = false`
    pub existing_databases: bool,
    /// `name`
    pub name: Option<String>,
    /// `drop_guard`
    pub drop_guard: bool,
    /// `refuse_replayed_nonces`
    pub refuse_replayed_nonces: bool,
    /// `log`
    pub log: Option<String>,
}

/// Where mirrors are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirrors {
    /// In this directory, a SQLite file for each tenant. It need not be there yet.
    Directory(PathBuf),
    /// On this SQL Server, a database for each tenant.
    SqlServer {
        /// Where it is, and who logs in.
        address: Address,
        /// How the store works.
        options: MssqlOptions,
    },
}

/// Settings that were found right, with the files they name already read.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS and limits.
    pub http: HttpSettings,
    /// The last second of the TLS certificate, where there is one, in seconds since 1970 UTC.
    pub tls_valid_until: Option<i64>,
    /// How deep a call's elements may be nested.
    pub depth_max: usize,
    /// The application's id, without `spn:`.
    pub application_id: String,
    /// The application's private key.
    pub application_key: PrivateKey,
    /// The directory of SuperOffice's certificates.
    pub trusted_certificates: Option<CertificateDirectory>,
    /// Who is asked for unknown ones.
    pub resolver: Option<OpenIdResolver>,
    /// Where mirrors are kept.
    pub mirrors: Mirrors,
    /// How a tenant's mirror is named.
    pub name: NameTemplate,
    /// What the operations are told.
    pub options: Options,
    /// Whether a token may be used once only.
    pub refuse_replayed_nonces: bool,
    /// How far clocks may be apart, in seconds.
    pub leeway_seconds: i64,
    /// SQL files and webhooks.
    pub hooks: Hooks,
    /// How the log is written.
    pub log: LogFormat,
}

impl Config {
    /// Reads a file, if there is one, and what stands in for its settings.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake that was found.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
        let Some(path) = file else {
            return Config::from_text("", None, overrides);
        };
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            file: Some(path.to_owned()),
            mistakes: vec![Mistake {
                line: None,
                text: format!("cannot be read: {error}"),
            }],
        })?;
        Config::from_text(&text, Some(path), overrides)
    }

    /// The same for a text that was already read; `file` is where it came from.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake that was found.
    pub fn from_text(text: &str, file: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
        let error = |mistakes| ConfigError {
            file: file.map(Path::to_owned),
            mistakes,
        };
        let mut raw = raw::read(text).map_err(|mistake| error(vec![mistake]))?;
        let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
        raw.resolve_paths(base);
        raw.override_with(overrides);
        check::check(raw, text).map_err(error)
    }

    /// The service that these settings describe; makes the directory of mirrors, where that is where they are kept. A
    /// SQL Server is not connected to yet.
    ///
    /// # Errors
    /// The directory of mirrors cannot be made.
    pub fn into_service(self, clock: Arc<dyn Clock>) -> io::Result<Service> {
        let (store, home): (Arc<dyn MirrorStore>, Home) = match self.mirrors {
            Mirrors::Directory(directory) => {
                private::create_dir_all(&directory).map_err(|error| {
                    let text = format!(
                        "the directory of mirrors {} cannot be made: {error}",
                        directory.display()
                    );
                    io::Error::new(error.kind(), text)
                })?;
                (Arc::new(SqliteStore::default()), Home::Directory(directory))
            }
            Mirrors::SqlServer { address, options } => {
                (Arc::new(MssqlStore::new(address, options)), Home::SqlServer)
            }
        };
        let mut trust = Trust::new(&self.application_id, Arc::clone(&clock)).with_leeway(self.leeway_seconds);
        if let Some(directory) = self.trusted_certificates {
            trust = trust.with_directory(directory);
        }
        if let Some(resolver) = self.resolver {
            trust = trust.with_resolver(Box::new(resolver), ResolverLimits::default());
        }
        if self.refuse_replayed_nonces {
            trust = trust.refusing_replays();
        }
        let mirroring = Mirroring {
            store,
            admin: Arc::new(HookAdmin::at(home, self.name, self.hooks)),
            options: self.options,
        };
        Ok(Service::new(trust, mirroring, self.application_key, clock).with_depth_max(self.depth_max))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("application_id", &self.application_id)
            .field("mirrors", &self.mirrors)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
