//! The keys of a run: made once, shared by all its scenarios, and kept by nobody unless the run is asked to. Those of a
//! foreign endpoint come from a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_protocol::answer;
use mirrorlab_protocol::keys::{KeyError, PrivateKey, PublicKey};
use mirrorlab_simulator::authority::{Authority, AuthorityError};

use crate::conformance::keys::{CallerKeys, CallerKeysError};
use crate::keyset::{self, KeySet, KeySetError};

/// The application id of a run: 32 hex digits, as SuperOffice hands them out.
pub const APPLICATION_ID: &str = "9d1a7c60f2b84e0f8f3e5b6a7c8d9e0f";

/// All keys of a run.
#[derive(Clone)]
pub struct RunKeys {
    /// The application's id, as tokens name it.
    pub application_id: String,
    /// SuperOffice.
    pub authority: Arc<Authority>,
    /// The application's key, as SuperOffice knows it: checks Authenticate's answers.
    pub application: PublicKey,
    /// Its private half, where the run has it.
    pub signer: Option<PrivateKey>,
    /// The same as files, and a listener's TLS certificate: where the server is this run's own.
    pub set: Option<Arc<KeySet>>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They could not be made.
    #[error(transparent)]
    Set(#[from] KeySetError),
    /// The application's key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// They are no authority's.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The directory's.
    #[error(transparent)]
    Caller(#[from] CallerKeysError),
    /// The application's private key, where there is one.
    #[error("{}: {why}", .path.display())]
    Signer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl RunKeys {
    /// The test keys of this repository, which everybody knows: for runs in one process that must give the same bytes
    /// each time. There is no TLS with them.
    ///
    /// # Errors
    /// [`KeysError`], never in fact: the keys are part of the program.
    pub fn fixed() -> Result<RunKeys, KeysError> {
        const CERTIFICATE: &str = include_str!("../../../fixtures/keys/superoffice.crt.pem");
        const KEY: &str = include_str!("../../../fixtures/keys/superoffice.key.pem");
        const APPLICATION: &str = include_str!("../../../fixtures/keys/application.key.xml");
        const STRANGER: &str = include_str!("../../../fixtures/keys/stranger.key.pem");
        let application = PrivateKey::from_text(APPLICATION)?.remembering();
        let authority = Authority::from_text(CERTIFICATE, KEY)?;
        Ok(RunKeys {
            application_id: APPLICATION_ID.to_owned(),
            authority: Arc::new(authority.repeating(PrivateKey::from_text(STRANGER)?)),
            application: application.public(),
            signer: Some(application.clone()),
            set: Some(Arc::new(KeySet {
                superoffice_certificate: CERTIFICATE.to_owned(),
                superoffice_key: KEY.to_owned(),
                application_key: application,
                tls_certificate: String::new(),
                tls_key: String::new(),
                tls_ca: String::new(),
                tls_valid_to: String::new(),
            })),
        })
    }

    /// Makes them, from the system's randomness: nothing that a run shows depends on them. `now`, in seconds since 1970
    /// UTC, dates the certificates.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn generate(now: i64) -> Result<RunKeys, KeysError> {
        let set = KeySet::generate(now, &[])?;
        Ok(RunKeys {
            application_id: APPLICATION_ID.to_owned(),
            authority: Arc::new(Authority::from_text(
                &set.superoffice_certificate,
                &set.superoffice_key,
            )?),
            application: set.application_key.public(),
            signer: Some(set.application_key.clone()),
            set: Some(Arc::new(set)),
        })
    }

    /// Reads those of a foreign endpoint from a directory such as `mirrorlab keys new` makes. The application's private
    /// key may be missing; then no answer can be signed in the endpoint's place.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load(dir: &Path, application_id: &str) -> Result<RunKeys, KeysError> {
        let caller = CallerKeys::load(dir)?;
        Ok(RunKeys {
            application_id: application_id.to_owned(),
            authority: caller.authority,
            application: caller.application,
            signer: signer(dir)?,
            set: None,
        })
    }

    /// An answer to Authenticate as the application signs it; `None` where its key is not known.
    pub fn sign(&self, nonce: &str, now: i64) -> Option<String> {
        let key = self.signer.as_ref()?;
        Some(answer::sign(nonce, now, key))
    }
}

fn signer(dir: &Path) -> Result<Option<PrivateKey>, KeysError> {
    for name in [keyset::APPLICATION_KEY_XML, keyset::APPLICATION_KEY_PEM] {
        let path = dir.join(name);
        let wrong = |path: &Path, why: String| KeysError::Signer {
            path: path.to_owned(),
            why,
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let key = PrivateKey::from_text(&text);
                return key.map(Some).map_err(|error| wrong(&path, error.to_string()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(&path, error.to_string())),
        }
    }
    Ok(None)
}
