//! Everything that a run needs to know of an endpoint that is not ours: for the program, for tests in Rust, for whoever
//! draws histories against it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::endpoint::https::{HttpsError, HttpsOptions, Trust};
use tokio::runtime::Handle;

use super::host::{ForeignEndpoint, Transport};
use super::keys::{APPLICATION_ID, KeysError, RunKeys};
use super::mirror::{MirrorKind, mssql, sqlite};
use super::tenants::{self, TenantNames};
use super::world::WorldSettings;
use crate::conformance::MirrorAt;
use crate::conformance::probe::Probe;
use crate::conformance::wire::{Limits, Wire};
use crate::keyset;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call may take unless somebody says otherwise.
pub const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// An endpoint that is not ours, and all that is known of it.
#[derive(Clone)]
pub struct Target {
    /// `https://host/path/MirroringClientService.svc`.
    pub url: String,
    /// Whose certificates it may have.
    pub trust: Trust,
    /// SuperOffice's key, and the application's, public at least.
    pub keys: RunKeys,
    /// Where its mirrors are, if rows are to be compared.
    pub mirror: Option<Arc<dyn MirrorKind>>,
    /// What fresh tenants' names begin with.
    pub tenant_prefix: String,
    /// How long a call may take.
    pub call_timeout: Duration,
}

/// Why there is no run against an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// What was given is not enough: a URL that is none, keys that are none.
    #[error("{0}")]
    Usage(String),
    /// There is no endpoint; the text says what to do.
    #[error("{0}")]
    NoEndpoint(String),
}

impl From<HttpsError> for TargetError {
    fn from(error: HttpsError) -> TargetError {
        TargetError::Usage(error.to_string())
    }
}

impl Target {
    /// An endpoint with keys from a directory such as `mirrorlab keys new` makes; where that has the authority of a TLS
    /// certificate, the endpoint's has to be of that authority. Its mirrors are not looked at.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn new(url: &str, application_id: &str, keys: &Path) -> Result<Target, KeysError> {
        let authority = keys.join(keyset::TLS_CA);
        Ok(Target {
            url: url.to_owned(),
            trust: match authority.exists() {
                true => Trust::File(authority),
                false => Trust::System,
            },
            keys: RunKeys::load(keys, application_id)?,
            mirror: None,
            tenant_prefix: tenants::PREFIX_DEFAULT.to_owned(),
            call_timeout: CALL_TIMEOUT_DEFAULT,
        })
    }

    /// The id of an application that nobody has named: Mirrorlab's own.
    pub fn application_id_default() -> &'static str {
        APPLICATION_ID
    }

    /// Says where its mirrors are: `sqlite:DIRECTORY`, or `sqlite:` and a path with `{context}` in it, or a SQL Server.
    ///
    /// # Errors
    /// A text for people.
    pub fn with_mirror(self, place: &str) -> Result<Target, String> {
        Ok(Target {
            mirror: Some(kind(&MirrorAt::parse(place)?)?),
            ..self
        })
    }

    /// Asks the endpoint whether it is one, and gives what worlds against it are made of. Tenants have names that no
    /// earlier run had.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn settings(&self, seed: u64, runtime: &Handle) -> Result<WorldSettings, TargetError> {
        let now = SystemClock.now();
        let names = TenantNames::fresh(&self.tenant_prefix, now);
        let limits = Limits {
            connect: CONNECT_TIMEOUT,
            call: self.call_timeout,
        };
        let wire = Wire::new(&self.url, &self.trust, limits)?;
        let probe = Probe {
            wire: &wire,
            authority: &self.keys.authority,
            application_id: &self.keys.application_id,
            context: &format!("{}99999", names.beginning().unwrap_or_default()),
            seed,
            now,
            done: "checked",
        };
        probe.ask().map_err(TargetError::NoEndpoint)?;
        let transport = Transport::Foreign(ForeignEndpoint {
            options: HttpsOptions {
                trust: self.trust.clone(),
                connect_timeout: CONNECT_TIMEOUT,
                call_timeout: self.call_timeout,
                seed,
                ..HttpsOptions::new(&self.url)
            },
            runtime: runtime.clone(),
        });
        Ok(WorldSettings {
            mirrors: self.mirror.clone(),
            tenants: names,
            ..WorldSettings::new(self.keys.clone(), seed, transport)
        })
    }
}

/// The mirrors of a place as a run opens them.
///
/// # Errors
/// A text for people, where a server cannot be reached, or a directory is not there.
pub fn kind(place: &MirrorAt) -> Result<Arc<dyn MirrorKind>, String> {
    Ok(match place {
        MirrorAt::Sqlite(template) => {
            let path = Path::new(template);
            let tenants_own = |dir: &&Path| dir.to_string_lossy().contains("{context}");
            let dir = path.ancestors().skip(1).find(|dir| !tenants_own(dir));
            // Told once, and not by every check.
            if let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) {
                let why = match std::fs::metadata(dir) {
                    Ok(found) if found.is_dir() => None,
                    Ok(_) => Some("it is no directory; expected the one where the endpoint keeps its mirrors".into()),
                    Err(error) if error.kind() == ErrorKind::NotFound => Some(
                        "there is no such directory; expected the one where the endpoint keeps its mirrors. Make it \
                         where the endpoint has yet to"
                            .into(),
                    ),
                    Err(error) => Some(format!("it cannot be looked at: {error}")),
                };
                if let Some(why) = why {
                    return Err(format!("{}: {why}", dir.display()));
                }
            }
            Arc::new(sqlite::SqliteFiles::at(template))
        }
        MirrorAt::SqlServer {
            address, template, ..
        } => {
            let databases = mssql::TheirDatabases::connect(address, template);
            Arc::new(databases.map_err(|error| error.to_string())?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_told_from_one_that_is_none_or_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let told = |dir: &Path| {
            let place = MirrorAt::parse(&format!("sqlite:{}", dir.display())).unwrap();
            kind(&place).err().unwrap_or_default()
        };
        assert_eq!(told(folder.path()), "");
        assert!(told(&folder.path().join("none")).contains("there is no such directory"));
        assert!(told(&file).contains("it is no directory"));
        // Neither there nor not there: a name that no directory can have, as one whose parent nobody may look into.
        let told = told(&folder.path().join("n".repeat(5000)));
        assert!(told.contains("it cannot be looked at: "), "{told}");
    }
}
