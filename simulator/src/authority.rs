//! SuperOffice's side of trust: its certificate and key, and the tokens it signs with them.
//!
//! The certificates seen are RSA 2048, of a private authority, valid for a hundred years; only the key inside counts.
//! Nothing is cached: each call has its own token with its own nonce (seen). What a run shares is the parsed key.

mod tokens;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mirrorlab_protocol::certificate::{Certificate, CertificateError};
use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::keys::{KeyError, PrivateKey};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};

pub use tokens::{FOREIGN_TENANT, Minted, TokenDefect, Tokens, UnknownDefect, hmac_sha256};

/// The size of SuperOffice's keys, in bits (seen).
pub const KEY_BITS: usize = 2048;
/// How long a made certificate is valid, in years (seen).
pub const VALID_YEARS: i64 = 100;

/// Why there is no authority. No text holds a part of a key.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {why}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The certificate.
    #[error("{place}: {source}")]
    Certificate {
        /// The file, or `the certificate`.
        place: String,
        /// What is wrong.
        source: CertificateError,
    },
    /// The key.
    #[error("{place}: {source}")]
    Key {
        /// The file, or `the key`.
        place: String,
        /// What is wrong.
        source: KeyError,
    },
    /// Two halves that do not belong together.
    #[error("{key} is not the private key of {certificate}; expected the two files of one `keys new`")]
    Mismatch {
        /// Where the certificate stands.
        certificate: String,
        /// Where the key stands.
        key: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

/// SuperOffice: a key, and the certificate by which receivers know it. Parsed once; share it by `Arc`.
#[derive(Debug)]
pub struct Authority {
    key: PrivateKey,
    certificate: Certificate,
    certificate_pem: String,
    /// A key that no certificate of ours knows, made when a wrong signature is first asked for.
    stranger: OnceLock<PrivateKey>,
}

impl Authority {
    /// Makes a key and its certificate, valid from the day of `now` (seconds since 1970 UTC) for [`VALID_YEARS`].
    ///
    /// # Errors
    /// [`AuthorityError::Key`], [`AuthorityError::Make`].
    pub fn generate(now: i64) -> Result<Authority, AuthorityError> {
        let key = PrivateKey::generate(KEY_BITS).map_err(|source| AuthorityError::Key {
            place: "the key".into(),
            source,
        })?;
        Authority::of_key(key, now)
    }

    /// Makes a certificate for a key of at least [`KEY_BITS`].
    ///
    /// # Errors
    /// [`AuthorityError::Make`] where the key is too small, or `now` is no date.
    pub fn of_key(key: PrivateKey, now: i64) -> Result<Authority, AuthorityError> {
        let make = |error: &dyn std::fmt::Display| AuthorityError::Make(error.to_string());
        let pem = key.to_pem().map_err(|e| make(&e))?;
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_RSA_SHA256).map_err(|e| make(&e))?;
        let (year, month, day) = DateTime::from_unix_seconds(now)
            .ok_or_else(|| make(&"the time is out of range"))?
            .date();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "SuperOffice AS");
        let (from_year, month_number, day_number) = narrow(year, month, day)?;
        params.not_before = rcgen::date_time_ymd(from_year, month_number, day_number);
        // 29 February may have no hundredth anniversary.
        let last_day = if month == 2 { day.min(28) } else { day };
        let (to_year, month_number, day_number) = narrow(year + VALID_YEARS, month, last_day)?;
        params.not_after = rcgen::date_time_ymd(to_year, month_number, day_number);
        let made = params.self_signed(&pair).map_err(|e| make(&e))?;
        let certificate = Certificate::from_bytes(made.der()).map_err(|e| make(&e))?;
        Ok(Authority {
            key,
            certificate,
            certificate_pem: made.pem(),
            stranger: OnceLock::new(),
        })
    }

    /// Reads both from text: the certificate in PEM, the key in PEM or RSA XML.
    ///
    /// # Errors
    /// [`AuthorityError`], of a pair that does not belong together too.
    pub fn from_text(certificate: &str, key: &str) -> Result<Authority, AuthorityError> {
        Authority::read(certificate.as_bytes(), "the certificate", key, "the key")
    }

    /// Reads both from files: the certificate in PEM or DER, the key in PEM or RSA XML.
    ///
    /// # Errors
    /// [`AuthorityError`], naming the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Authority, AuthorityError> {
        let file = |path: &Path, why| AuthorityError::File {
            path: path.to_owned(),
            why,
        };
        let certificate_bytes = std::fs::read(certificate).map_err(|why| file(certificate, why))?;
        let key_text = std::fs::read_to_string(key).map_err(|why| file(key, why))?;
        Authority::read(
            &certificate_bytes,
            &certificate.display().to_string(),
            &key_text,
            &key.display().to_string(),
        )
    }

    fn read(
        certificate_bytes: &[u8],
        certificate_place: &str,
        key: &str,
        key_place: &str,
    ) -> Result<Authority, AuthorityError> {
        let certificate =
            Certificate::from_bytes(certificate_bytes).map_err(|source| AuthorityError::Certificate {
                place: certificate_place.to_owned(),
                source,
            })?;
        let key = PrivateKey::from_text(key).map_err(|source| AuthorityError::Key {
            place: key_place.to_owned(),
            source,
        })?;
        if key.public() != *certificate.key() {
            return Err(AuthorityError::Mismatch {
                certificate: certificate_place.to_owned(),
                key: key_place.to_owned(),
            });
        }
        let certificate_pem = pem_of(certificate.der());
        Ok(Authority {
            key,
            certificate,
            certificate_pem,
            stranger: OnceLock::new(),
        })
    }

    /// The same, with a key for signatures that are to be wrong in place of one made when it is first asked for, and
    /// with every signature made once: for runs that give the same bytes each time.
    pub fn repeating(self, stranger: PrivateKey) -> Authority {
        Authority {
            key: self.key.remembering(),
            stranger: OnceLock::from(stranger.remembering()),
            ..self
        }
    }

    /// The certificate that receivers are to trust.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate as PEM: what goes into a receiver's directory.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key as PEM (PKCS#8): for SuperOffice's side alone.
    ///
    /// # Errors
    /// [`KeyError`] where it cannot be encoded.
    pub fn key_pem(&self) -> Result<String, KeyError> {
        self.key.to_pem()
    }

    /// The private key, for tokens that are made by hand.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// A key nobody trusts, of the same size as ours, so that only the signature itself is wrong.
    pub fn stranger(&self) -> &PrivateKey {
        self.stranger.get_or_init(|| {
            PrivateKey::generate(KEY_BITS).expect("a key of this size was, or could be, generated before")
        })
    }
}

/// A day in the numbers that the certificate's maker takes.
fn narrow(year: i64, month: i64, day: i64) -> Result<(i32, u8, u8), AuthorityError> {
    match (i32::try_from(year), u8::try_from(month), u8::try_from(day)) {
        (Ok(year @ 1..=9999), Ok(month), Ok(day)) => Ok((year, month, day)),
        _ => Err(AuthorityError::Make(format!("the year {year} is out of range"))),
    }
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::authority;

    #[test]
    fn what_is_written_is_read_back() {
        let made = authority();
        let read = Authority::from_text(made.certificate_pem(), &made.key_pem().unwrap()).unwrap();
        assert_eq!(read.certificate(), made.certificate());
        assert_eq!(
            read.certificate_pem().trim(),
            made.certificate_pem().replace('\r', "").trim()
        );

        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("so.crt"), dir.path().join("so.key"));
        std::fs::write(&certificate, made.certificate().der()).unwrap();
        std::fs::write(&key, made.key().to_xml()).unwrap();
        let loaded = Authority::load(&certificate, &key).unwrap();
        assert_eq!(loaded.certificate(), made.certificate());
    }

    #[test]
    fn a_certificate_is_valid_for_a_hundred_years_even_from_29_february() {
        let at = |y, m, d| DateTime::from_parts(y, m, d, 0).unwrap().unix_seconds();
        let key = || authority().key().clone();
        let made = Authority::of_key(key(), at(2024, 2, 29) + 5).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(made.certificate().der()).unwrap();
        assert_eq!(parsed.validity().not_before.timestamp(), at(2024, 2, 29));
        assert_eq!(parsed.validity().not_after.timestamp(), at(2124, 2, 28));
        assert_eq!(made.certificate().key().bits(), 2048);
        assert!(Authority::of_key(key(), at(9950, 1, 1)).is_err());
    }

    #[test]
    fn what_is_wrong_with_files_is_said_with_their_place() {
        let made = authority();
        let other = Authority::of_key(made.stranger().clone(), 0).unwrap();
        let text = |result: Result<Authority, AuthorityError>| result.unwrap_err().to_string();
        insta::assert_snapshot!(text(Authority::from_text(made.certificate_pem(), &other.key_pem().unwrap())),
            @"the key is not the private key of the certificate; expected the two files of one `keys new`");
        insta::assert_snapshot!(text(Authority::from_text("hello", "hello")), @"the certificate: this is no X.509 certificate, in PEM (-----BEGIN CERTIFICATE-----) or DER: its DER is broken or cut off");
        insta::assert_snapshot!(text(Authority::from_text(made.certificate_pem(), "hello")), @"the key: this is no key: expected RSA XML (<RSAKeyValue>…) or PEM (-----BEGIN …-----)");
        let public = made.certificate().key().to_pem().unwrap();
        insta::assert_snapshot!(text(Authority::from_text(made.certificate_pem(), &public)), @"the key: this is only the public half of a key; the private half is needed (RSA XML with <D>, or PEM PRIVATE KEY)");
        insta::assert_snapshot!(
            text(Authority::load(Path::new("/nowhere/so.crt"), Path::new("/nowhere/so.key"))), @"cannot read /nowhere/so.crt: No such file or directory (os error 2)");
    }
}
