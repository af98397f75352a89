//! SuperOffice's certificates. They are self-issued by a private authority and signed with SHA-1 (seen): only the public
//! key inside counts, and the SHA-1 thumbprint by which a token names it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha1::{Digest, Sha1};

use crate::keys::{KeyError, PublicKey};

/// Why a certificate was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither PEM nor DER.
    #[error("this is no X.509 certificate, in PEM (-----BEGIN CERTIFICATE-----) or DER: {0}")]
    Unreadable(String),
    /// Its key is of no use.
    #[error("the certificate's key cannot be used: {0}")]
    Key(#[from] KeyError),
}

/// A certificate: its bytes, its thumbprint, its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    key: PublicKey,
    thumbprint: [u8; 20],
}

impl Certificate {
    /// Reads a certificate in PEM or DER.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Certificate, CertificateError> {
        let unreadable = |detail: &str| CertificateError::Unreadable(detail.to_owned());
        let der = match std::str::from_utf8(bytes)
            .ok()
            .filter(|t| t.contains("-----BEGIN"))
        {
            None => bytes.to_vec(),
            Some(text) => {
                let begin = "-----BEGIN CERTIFICATE-----";
                let start = text
                    .find(begin)
                    .ok_or_else(|| unreadable("no CERTIFICATE in this PEM file"))?;
                let rest = &text[start + begin.len()..];
                let end = rest
                    .find("-----END")
                    .ok_or_else(|| unreadable("the PEM has no end"))?;
                let base64: String = rest[..end].split_whitespace().collect();
                STANDARD
                    .decode(base64)
                    .map_err(|_| unreadable("the PEM is not base64"))?
            }
        };
        Certificate::from_der(der)
    }

    /// Reads a certificate's DER bytes.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(der: Vec<u8>) -> Result<Certificate, CertificateError> {
        let (rest, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| CertificateError::Unreadable("its DER is broken or cut off".into()))?;
        if !rest.is_empty() {
            return Err(CertificateError::Unreadable("bytes follow its end".into()));
        }
        let key = PublicKey::from_der(parsed.tbs_certificate.subject_pki.raw)?;
        let thumbprint = Sha1::digest(&der).into();
        Ok(Certificate { der, key, thumbprint })
    }

    /// The DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The SHA-1 thumbprint in upper-case hex: a token's `kid` (seen).
    pub fn thumbprint_hex(&self) -> String {
        self.thumbprint.iter().map(|b| format!("{b:02X}")).collect()
    }

    /// The SHA-1 thumbprint in base64url: a token's `x5t` (seen).
    pub fn thumbprint_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.thumbprint)
    }
}
