//! What a caller's side needs of a key set: SuperOffice's key, and the public half of the application's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_protocol::keys::{KeyError, PrivateKey, PublicKey};
use mirrorlab_simulator::authority::{Authority, AuthorityError};

use crate::keyset;

/// The caller's keys.
#[derive(Debug, Clone)]
pub struct CallerKeys {
    /// SuperOffice: signs tokens.
    pub authority: Arc<Authority>,
    /// The application's public key: checks Authenticate's answer.
    pub application: PublicKey,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum CallerKeysError {
    /// The directory.
    #[error("{}: {why}; `mirrorlab keys new` makes keys for a trial", .dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that is missing.
    #[error("{0}; expected a directory as `mirrorlab keys new` makes it")]
    File(#[source] AuthorityError),
    /// SuperOffice's.
    #[error(transparent)]
    Authority(AuthorityError),
    /// The application's.
    #[error("{}: {why}", .path.display())]
    Application {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl CallerKeys {
    /// Reads a directory such as `mirrorlab keys new` makes. The application's private key may be missing.
    ///
    /// # Errors
    /// [`CallerKeysError`].
    pub fn load(dir: &Path) -> Result<CallerKeys, CallerKeysError> {
        if !dir.is_dir() {
            return Err(CallerKeysError::Directory {
                dir: dir.to_owned(),
                why: "there is no such directory".into(),
            });
        }
        let authority = Authority::load(
            &dir.join(keyset::SUPEROFFICE_CERTIFICATE),
            &dir.join(keyset::SUPEROFFICE_KEY),
        )
        .map_err(|error| match error {
            AuthorityError::File { .. } => CallerKeysError::File(error),
            other => CallerKeysError::Authority(other),
        })?;
        Ok(CallerKeys {
            authority: Arc::new(authority),
            application: application_key(dir)?,
        })
    }
}

fn application_key(dir: &Path) -> Result<PublicKey, CallerKeysError> {
    type Read = fn(&str) -> Result<PublicKey, KeyError>;
    let public: Read = PublicKey::from_text;
    let private: Read = |text| PrivateKey::from_text(text).map(|key| key.public());
    for (name, read) in [
        (keyset::APPLICATION_PUBLIC_XML, public),
        (keyset::APPLICATION_PUBLIC_PEM, public),
        (keyset::APPLICATION_KEY_XML, private),
        (keyset::APPLICATION_KEY_PEM, private),
    ] {
        let path = dir.join(name);
        let wrong = |why: String| CallerKeysError::Application {
            path: path.clone(),
            why,
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => return read(&text).map_err(|error| wrong(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
    Err(CallerKeysError::Directory {
        dir: dir.to_owned(),
        why: format!(
            "the application's public key is not there; expected {} or {}",
            keyset::APPLICATION_PUBLIC_XML,
            keyset::APPLICATION_PUBLIC_PEM
        ),
    })
}
