//! The endpoint's own certificate and key.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why certificate and key are of no use. No text holds a part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The certificate file.
    #[error("{0}; expected PEM with -----BEGIN CERTIFICATE-----, the endpoint's own first")]
    Certificate(String),
    /// The key file.
    #[error("{0}; expected PEM with -----BEGIN PRIVATE KEY----- (or RSA, or EC)")]
    Key(String),
    /// Both together.
    #[error("certificate and key do not make a TLS endpoint: {0}")]
    Pair(String),
}

/// The last second in which the first of `certificates`, in PEM, is valid, in seconds since 1970 UTC.
pub fn valid_until(certificates: &[u8]) -> Option<i64> {
    let first = CertificateDer::pem_slice_iter(certificates).next()?.ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&first).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// TLS 1.2 and 1.3 with a chain of certificates and the first one's key, both in PEM.
///
/// # Errors
/// [`TlsError`], also where the key is not the certificate's.
pub fn server_config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("no certificate is in it".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        TlsError::Key(match error {
            pem::Error::NoItemsFound => "no private key is in it".into(),
            other => other.to_string(),
        })
    })?;
    let pair = |error: rustls::Error| {
        TlsError::Pair(match error {
            rustls::Error::InconsistentKeys(_) => "the key is that of another certificate".into(),
            other => other.to_string(),
        })
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
