//! The keys of a run: SuperOffice's, the application's, and the listener's TLS certificate. Made once, shared by all its
//! scenarios, and kept by nobody unless the run is asked to.

use std::io;
use std::path::Path;
use std::sync::Arc;

use mirrorlab_protocol::keys::{KeyError, PrivateKey};
use mirrorlab_simulator::authority::{Authority, AuthorityError};

/// The application id of a run: 32 hex digits, as SuperOffice hands them out.
pub const APPLICATION_ID: &str = "9d1a7c60f2b84e0f8f3e5b6a7c8d9e0f";
/// The size of the application's key, in bits.
const APPLICATION_KEY_BITS: usize = 2048;

/// All keys of a run.
#[derive(Clone)]
pub struct RunKeys {
    /// SuperOffice.
    pub authority: Arc<Authority>,
    /// The application's key, which signs Authenticate's answers.
    pub application: PrivateKey,
    /// The listener's certificate, PEM. It is its own authority: the simulator trusts just it.
    pub tls_certificate: String,
    /// The listener's key, PEM.
    pub tls_key: String,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// SuperOffice's.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The application's.
    #[error("the application's key: {0}")]
    Application(#[from] KeyError),
    /// The listener's.
    #[error("the TLS certificate: {0}")]
    Tls(#[from] rcgen::Error),
}

impl RunKeys {
    /// Makes them, from the system's randomness. Nothing that a run shows depends on them. `now` in seconds since 1970
    /// UTC dates SuperOffice's certificate.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn generate(now: i64) -> Result<RunKeys, KeysError> {
        let tls = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        Ok(RunKeys {
            authority: Arc::new(Authority::generate(now)?),
            application: PrivateKey::generate(APPLICATION_KEY_BITS)?,
            tls_certificate: tls.cert.pem(),
            tls_key: tls.signing_key.serialize_pem(),
        })
    }

    /// Writes them into a directory, for a run that keeps everything.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let secret = |error: KeyError| io::Error::other(error.to_string());
        std::fs::write(dir.join("superoffice.cer"), self.authority.certificate_pem())?;
        std::fs::write(dir.join("superoffice-key.pem"), self.authority.key_pem().map_err(secret)?)?;
        std::fs::write(dir.join("application-key.xml"), self.application.to_xml())?;
        std::fs::write(dir.join("tls.pem"), &self.tls_certificate)?;
        std::fs::write(dir.join("tls-key.pem"), &self.tls_key)
    }
}
