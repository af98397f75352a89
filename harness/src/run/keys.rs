//! The keys of a run: made once, shared by all its scenarios, and kept by nobody unless the run is asked to.

use std::sync::Arc;

use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_simulator::authority::{Authority, AuthorityError};

use crate::keyset::{KeySet, KeySetError};

/// The application id of a run: 32 hex digits, as SuperOffice hands them out.
pub const APPLICATION_ID: &str = "9d1a7c60f2b84e0f8f3e5b6a7c8d9e0f";

/// All keys of a run.
#[derive(Clone)]
pub struct RunKeys {
    /// SuperOffice.
    pub authority: Arc<Authority>,
    /// The application's key, which signs Authenticate's answers.
    pub application: PrivateKey,
    /// The same as files, and the listener's TLS certificate.
    pub set: Arc<KeySet>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They could not be made.
    #[error(transparent)]
    Set(#[from] KeySetError),
    /// They are no authority's.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl RunKeys {
    /// Makes them, from the system's randomness: nothing that a run shows depends on them. `now`, in seconds since 1970
    /// UTC, dates the certificates.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn generate(now: i64) -> Result<RunKeys, KeysError> {
        let set = KeySet::generate(now, &[])?;
        Ok(RunKeys {
            authority: Arc::new(Authority::from_text(
                &set.superoffice_certificate,
                &set.superoffice_key,
            )?),
            application: set.application_key.clone(),
            set: Arc::new(set),
        })
    }
}
