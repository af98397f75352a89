//! RSA keys in the forms the field uses: SuperOffice hands them out as RSA XML, everyone else has PEM.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Verifier};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey, pkcs1v15};

use crate::xml::{Reader, XmlError};

/// The smallest RSA key that is taken, in bits: the application key in the vendor's capture has 1024 (seen).
pub const BITS_MIN: usize = 1024;
/// The largest, in bits. A larger one only burns time.
pub const BITS_MAX: usize = 4096;

/// Why a key was not read. No text ever holds a part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither RSA XML nor PEM.
    #[error("this is no key: expected RSA XML (<RSAKeyValue>…) or PEM (-----BEGIN …-----)")]
    Unknown,
    /// RSA XML that is broken.
    #[error("the RSA XML cannot be read: {0}")]
    Xml(String),
    /// RSA XML without a part.
    #[error("the RSA XML has no valid `{0}`")]
    Part(&'static str),
    /// A public key where a private one is needed.
    #[error(
        "this is only the public half of a key; the private half is needed (RSA XML with <D>, or PEM PRIVATE KEY)"
    )]
    PublicOnly,
    /// PEM of a kind that is not read.
    #[error(
        "PEM of kind `{0}` is not an RSA key; expected PRIVATE KEY, RSA PRIVATE KEY, PUBLIC KEY or RSA PUBLIC KEY"
    )]
    Kind(String),
    /// PEM that is broken or not RSA.
    #[error("the PEM cannot be read as an RSA key: {0}")]
    Pem(String),
    /// The numbers do not make a key.
    #[error("the numbers do not form an RSA key: {0}")]
    Invalid(String),
    /// Too small or too large.
    #[error("an RSA key of {0} bits is not accepted; {BITS_MIN} to {BITS_MAX} are")]
    Size(usize),
}

/// Signatures by message.
type Signatures = HashMap<Vec<u8>, Vec<u8>>;

/// A private RSA key: the application's, or in the simulator SuperOffice's.
#[derive(Clone)]
pub struct PrivateKey {
    key: RsaPrivateKey,
    /// Signatures made before, by message, where it keeps them.
    memory: Option<Arc<Mutex<Signatures>>>,
}

/// A public RSA key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: RsaPublicKey,
}

impl PrivateKey {
    /// Makes a key of `bits` bits from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Size`] outside [`BITS_MIN`] to [`BITS_MAX`].
    pub fn generate(bits: usize) -> Result<PrivateKey, KeyError> {
        check_size(bits)?;
        RsaPrivateKey::new(&mut OsRng, bits)
            .map(|key| PrivateKey { key, memory: None })
            .map_err(|error| KeyError::Invalid(error.to_string()))
    }

    /// Reads RSA XML or PEM (PKCS#1 or PKCS#8).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_text(text: &str) -> Result<PrivateKey, KeyError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let key = if text.starts_with('<') {
            let parts = XmlParts::read(text)?;
            let d = parts.d.ok_or(KeyError::PublicOnly)?;
            check_size(parts.modulus.bits())?;
            let primes = match (parts.p, parts.q) {
                (Some(p), Some(q)) => vec![p, q],
                // Without its primes the key is found from D alone.
                _ => Vec::new(),
            };
            RsaPrivateKey::from_components(parts.modulus, parts.exponent, d, primes)
                .map_err(|error| KeyError::Invalid(error.to_string()))?
        } else {
            match pem_block(text)? {
                ("PRIVATE KEY", block) => RsaPrivateKey::from_pkcs8_pem(block).map_err(|e| unread(&e))?,
                ("RSA PRIVATE KEY", block) => RsaPrivateKey::from_pkcs1_pem(block).map_err(|e| unread(&e))?,
                ("PUBLIC KEY" | "RSA PUBLIC KEY", _) => return Err(KeyError::PublicOnly),
                (other, _) => return Err(KeyError::Kind(crate::excerpt(other))),
            }
        };
        check_size(key.n().bits())?;
        Ok(PrivateKey { key, memory: None })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey {
            key: self.key.to_public_key(),
        }
    }

    /// The key as RSA XML, with its private parts. .NET wants D as long as the modulus and the others half of it, so
    /// they begin with zero bytes where they must (.NET).
    pub fn to_xml(&self) -> String {
        let primes = self.key.primes();
        let whole = self.key.size();
        let half = whole.div_ceil(2);
        let mut xml = self.public().xml_beginning();
        let mut part = |name: &str, number: Option<Vec<u8>>, length: usize| {
            if let Some(number) = number {
                let mut padded = vec![0; length.saturating_sub(number.len())];
                padded.extend(number);
                xml.push_str(&format!("<{name}>{}</{name}>", STANDARD.encode(padded)));
            }
        };
        part("P", primes.first().map(BigUint::to_bytes_be), half);
        part("Q", primes.get(1).map(BigUint::to_bytes_be), half);
        part("DP", self.key.dp().map(BigUint::to_bytes_be), half);
        part("DQ", self.key.dq().map(BigUint::to_bytes_be), half);
        part(
            "InverseQ",
            self.key.crt_coefficient().map(|q| q.to_bytes_be()),
            half,
        );
        part("D", Some(self.key.d().to_bytes_be()), whole);
        xml + "</RSAKeyValue>"
    }

    /// The key as PEM, PKCS#8.
    ///
    /// # Errors
    /// [`KeyError::Pem`] where the key cannot be encoded.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.key
            .to_pkcs8_pem(LineEnding::LF)
            .map(|pem| pem.to_string())
            .map_err(|error| KeyError::Pem(error.to_string()))
    }

    /// The same key, which keeps every signature that it makes: for runs that say the same thing a thousand times. It
    /// never forgets one.
    pub fn remembering(self) -> PrivateKey {
        PrivateKey {
            memory: Some(Arc::default()),
            ..self
        }
    }

    /// An RSA PKCS#1 v1.5 SHA-256 signature. The numbers are blinded, the result is the same every time.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let Some(memory) = &self.memory else {
            return self.sign_anew(message);
        };
        let known = |memory: &Mutex<Signatures>| {
            let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.get(message).cloned()
        };
        known(memory).unwrap_or_else(|| {
            // Not while the memory is held: others sign meanwhile.
            let made = self.sign_anew(message);
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.insert(message.to_vec(), made.clone());
            made
        })
    }

    fn sign_anew(&self, message: &[u8]) -> Vec<u8> {
        pkcs1v15::SigningKey::<Sha256>::new(self.key.clone())
            .sign_with_rng(&mut OsRng, message)
            .to_vec()
    }
}

/// Shows the size alone.
impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} bits)", self.key.n().bits())
    }
}

impl PublicKey {
    /// Reads RSA XML or PEM; of a private key its public half.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_text(text: &str) -> Result<PublicKey, KeyError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let key = if text.starts_with('<') {
            let parts = XmlParts::read(text)?;
            check_size(parts.modulus.bits())?;
            RsaPublicKey::new_with_max_size(parts.modulus, parts.exponent, BITS_MAX)
                .map_err(|error| KeyError::Invalid(error.to_string()))?
        } else {
            match pem_block(text)? {
                ("PUBLIC KEY", block) => RsaPublicKey::from_public_key_pem(block).map_err(|e| unread(&e))?,
                ("RSA PUBLIC KEY", block) => RsaPublicKey::from_pkcs1_pem(block).map_err(|e| unread(&e))?,
                _ => return PrivateKey::from_text(text).map(|key| key.public()),
            }
        };
        check_size(key.n().bits())?;
        Ok(PublicKey { key })
    }

    /// Reads the SubjectPublicKeyInfo of a certificate.
    ///
    /// # Errors
    /// [`KeyError`] where it is not RSA.
    pub fn from_der(der: &[u8]) -> Result<PublicKey, KeyError> {
        let key = RsaPublicKey::from_public_key_der(der).map_err(|e| unread(&e))?;
        check_size(key.n().bits())?;
        Ok(PublicKey { key })
    }

    /// The key as RSA XML.
    pub fn to_xml(&self) -> String {
        self.xml_beginning() + "</RSAKeyValue>"
    }

    fn xml_beginning(&self) -> String {
        format!(
            "<RSAKeyValue><Modulus>{}</Modulus><Exponent>{}</Exponent>",
            STANDARD.encode(self.key.n().to_bytes_be()),
            STANDARD.encode(self.key.e().to_bytes_be())
        )
    }

    /// The key as PEM (`PUBLIC KEY`).
    ///
    /// # Errors
    /// [`KeyError::Pem`] where the key cannot be encoded.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| KeyError::Pem(error.to_string()))
    }

    /// Whether `signature` is this key's RSA PKCS#1 v1.5 SHA-256 signature of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = pkcs1v15::Signature::try_from(signature) else {
            return false;
        };
        pkcs1v15::VerifyingKey::<Sha256>::new(self.key.clone())
            .verify(message, &signature)
            .is_ok()
    }

    /// The key's size in bits.
    pub fn bits(&self) -> usize {
        self.key.n().bits()
    }
}

fn check_size(bits: usize) -> Result<(), KeyError> {
    if (BITS_MIN..=BITS_MAX).contains(&bits) {
        Ok(())
    } else {
        Err(KeyError::Size(bits))
    }
}

/// The first PEM block of a text and its kind. What stands around it does not count: openssl writes a key's attributes
/// before it.
/// Why the RSA library does not read a key. Of a key of another kind it names an OID, and not even that one.
fn unread(error: &dyn std::fmt::Display) -> KeyError {
    let why = error.to_string();
    KeyError::Pem(match why.contains("algorithm OID") {
        true => "it holds a key of another kind, such as an elliptic curve's".into(),
        false => why,
    })
}

fn pem_block(text: &str) -> Result<(&str, &str), KeyError> {
    let block = &text[text.find("-----BEGIN ").ok_or(KeyError::Unknown)?..];
    let kind = block["-----BEGIN ".len()..]
        .split_once("-----")
        .ok_or(KeyError::Unknown)?
        .0;
    let end = format!("-----END {kind}-----");
    let length = block
        .find(&end)
        .ok_or_else(|| KeyError::Pem("it has no end".into()))?;
    Ok((kind, &block[..length + end.len()]))
}

/// What is wrong with the XML, without a word of what stands in it.
impl From<XmlError> for KeyError {
    fn from(error: XmlError) -> KeyError {
        KeyError::Xml(match error {
            XmlError::Syntax { at, .. } => format!("not well-formed at byte {at}"),
            XmlError::UnknownEntity(_) | XmlError::BadReference(_) => "a reference stands in it".into(),
            XmlError::UndeclaredPrefix(_) => "a prefix is not declared".into(),
            other => other.to_string(),
        })
    }
}

/// The numbers of an `RSAKeyValue`.
struct XmlParts {
    modulus: BigUint,
    exponent: BigUint,
    p: Option<BigUint>,
    q: Option<BigUint>,
    d: Option<BigUint>,
}

impl XmlParts {
    fn read(text: &str) -> Result<XmlParts, KeyError> {
        let mut reader = Reader::new(text);
        if reader.root()?.local() != "RSAKeyValue" {
            return Err(KeyError::Unknown);
        }
        let (mut modulus, mut exponent, mut p, mut q, mut d) = (None, None, None, None, None);
        while let Some(part) = reader.child()? {
            let (slot, name) = match part.local() {
                "Modulus" => (&mut modulus, "Modulus"),
                "Exponent" => (&mut exponent, "Exponent"),
                "P" => (&mut p, "P"),
                "Q" => (&mut q, "Q"),
                "D" => (&mut d, "D"),
                _ => {
                    reader.skip()?;
                    continue;
                }
            };
            let base64: String = reader.text()?.split_whitespace().collect();
            let bytes = STANDARD.decode(base64).map_err(|_| KeyError::Part(name))?;
            *slot = Some(BigUint::from_bytes_be(&bytes));
        }
        Ok(XmlParts {
            modulus: modulus.ok_or(KeyError::Part("Modulus"))?,
            exponent: exponent.ok_or(KeyError::Part("Exponent"))?,
            p,
            q,
            d,
        })
    }
}
