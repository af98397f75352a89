//! A fresh token for every call, right or, where a scenario asks for it, wrong in one way.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mirrorlab_protocol::token::{self, AUDIENCE_PREFIX, CONTEXT_CLAIM, Claims, LIFETIME_SECONDS};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::Authority;
use crate::draw::seeded;

/// The tenant that [`TokenDefect::ForeignTenant`] names where nothing else is said.
pub const FOREIGN_TENANT: &str = "Cust99999";
/// How far out of its time a defective token is, in seconds: more than any sound leeway.
const OUT_OF_TIME_SECONDS: i64 = 3600;

/// One way in which a token is wrong, or looks so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenDefect {
    /// Signed by a key that is not the certificate's.
    WrongKey,
    /// Names a certificate that nobody has, and is signed by its key.
    UnknownKid,
    /// Names no certificate at all.
    NoKid,
    /// Expired an hour ago.
    Expired,
    /// Begins in an hour.
    NotYetValid,
    /// Names another tenant; right in all else. A receiver has to believe it: the tenant is what the token says.
    ForeignTenant(String),
    /// Names one tenant as `sub` and another as the context.
    TwoTenants,
    /// The tenant's name climbs out of a directory.
    PathTenant,
    /// For another application.
    OtherAudience,
    /// From another issuer.
    OtherIssuer,
    /// No nonce to be signed.
    NoNonce,
    /// `alg` is `none`, and there is no signature.
    AlgNone,
    /// `alg` is `HS256`, keyed with the public certificate: the classic confusion of algorithms.
    Hs256,
    /// The claims were changed after signing.
    Tampered,
    /// The envelope has no `SignedToken`.
    MissingHeader,
    /// The `SignedToken` is empty.
    Empty,
    /// The `SignedToken` is no JWT.
    Garbage,
    /// The last call's token comes again. Harmless, unless the receiver chose to refuse known nonces.
    Repeated,
    /// Two line breaks and blanks around it (seen). Harmless.
    LineBreaks,
    /// `x5t` alone names the certificate. Harmless.
    OnlyX5t,
}

/// Not the name of a defect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a token defect; expected one of {}", TokenDefect::names().join(", "))]
pub struct UnknownDefect {
    /// What was given.
    pub given: String,
}

impl TokenDefect {
    /// All of them, the foreign tenant as [`FOREIGN_TENANT`].
    pub fn all() -> Vec<TokenDefect> {
        use TokenDefect as D;
        vec![
            D::WrongKey,
            D::UnknownKid,
            D::NoKid,
            D::Expired,
            D::NotYetValid,
            D::ForeignTenant(FOREIGN_TENANT.to_owned()),
            D::TwoTenants,
            D::PathTenant,
            D::OtherAudience,
            D::OtherIssuer,
            D::NoNonce,
            D::AlgNone,
            D::Hs256,
            D::Tampered,
            D::MissingHeader,
            D::Empty,
            D::Garbage,
            D::Repeated,
            D::LineBreaks,
            D::OnlyX5t,
        ]
    }

    /// The name that a scenario file writes: `wrong-key`.
    pub fn name(&self) -> &'static str {
        match self {
            TokenDefect::WrongKey => "wrong-key",
            TokenDefect::UnknownKid => "unknown-kid",
            TokenDefect::NoKid => "no-kid",
            TokenDefect::Expired => "expired",
            TokenDefect::NotYetValid => "not-yet-valid",
            TokenDefect::ForeignTenant(_) => "foreign-tenant",
            TokenDefect::TwoTenants => "two-tenants",
            TokenDefect::PathTenant => "path-tenant",
            TokenDefect::OtherAudience => "other-audience",
            TokenDefect::OtherIssuer => "other-issuer",
            TokenDefect::NoNonce => "no-nonce",
            TokenDefect::AlgNone => "alg-none",
            TokenDefect::Hs256 => "hs256",
            TokenDefect::Tampered => "tampered",
            TokenDefect::MissingHeader => "missing-header",
            TokenDefect::Empty => "empty",
            TokenDefect::Garbage => "garbage",
            TokenDefect::Repeated => "repeated",
            TokenDefect::LineBreaks => "line-breaks",
            TokenDefect::OnlyX5t => "only-x5t",
        }
    }

    /// Every name, for messages and completion.
    pub fn names() -> Vec<&'static str> {
        TokenDefect::all().iter().map(TokenDefect::name).collect()
    }

    /// Whether a receiver is to accept the token all the same.
    pub fn is_harmless(&self) -> bool {
        matches!(
            self,
            TokenDefect::ForeignTenant(_)
                | TokenDefect::Repeated
                | TokenDefect::LineBreaks
                | TokenDefect::OnlyX5t
        )
    }
}

impl fmt::Display for TokenDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenDefect::ForeignTenant(context) => write!(f, "{}:{context}", self.name()),
            other => f.write_str(other.name()),
        }
    }
}

/// Reads a name; `foreign-tenant:Cust10002` says which tenant.
impl FromStr for TokenDefect {
    type Err = UnknownDefect;

    fn from_str(text: &str) -> Result<TokenDefect, UnknownDefect> {
        if let Some(context) = text.strip_prefix("foreign-tenant:") {
            return Ok(TokenDefect::ForeignTenant(context.trim().to_owned()));
        }
        TokenDefect::all()
            .into_iter()
            .find(|defect| defect.name() == text)
            .ok_or_else(|| UnknownDefect {
                given: mirrorlab_protocol::excerpt(text),
            })
    }
}

/// A token that was made for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// What stands in `SignedToken`; `None` leaves the header out.
    pub text: Option<String>,
    /// The nonce that the answer has to sign.
    pub nonce: String,
}

/// Makes one tenant's tokens.
#[derive(Debug)]
pub struct Tokens {
    authority: Arc<Authority>,
    application: String,
    context: String,
    rng: ChaCha8Rng,
    /// What is wrong with the next ones, and with how many; `None` is all from now on.
    defect: Option<(TokenDefect, Option<u32>)>,
    last: Option<Minted>,
}

impl Tokens {
    /// Tokens for `context`'s calls to `application`. Nonces are drawn from `seed` and the context, so that tenants side
    /// by side draw the same ones whoever comes first.
    pub fn new(authority: Arc<Authority>, application: &str, context: &str, seed: u64) -> Tokens {
        Tokens {
            authority,
            application: application.to_owned(),
            context: context.to_owned(),
            rng: seeded(seed, &["nonce", context]),
            defect: None,
            last: None,
        }
    }

    /// Makes the next `count` tokens wrong, or all from now on.
    pub fn spoil(&mut self, defect: TokenDefect, count: Option<u32>) {
        self.defect = (count != Some(0)).then_some((defect, count));
    }

    /// Makes right tokens again.
    pub fn mend(&mut self) {
        self.defect = None;
    }

    /// What the next token will have wrong with it.
    pub fn defect(&self) -> Option<&TokenDefect> {
        self.defect.as_ref().map(|(defect, _)| defect)
    }

    /// A token for one call at `now` on the wire's clock, in seconds since 1970 UTC.
    pub fn mint(&mut self, now: i64) -> Minted {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let nonce: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
        let minted = match self.next_defect() {
            Some(TokenDefect::Repeated) if self.last.is_some() => self.last.clone().expect("just looked"),
            Some(TokenDefect::Repeated) | None => Minted {
                text: Some(self.sign(&nonce, now)),
                nonce,
            },
            Some(defect) => Minted {
                text: self.spoiled(&defect, &nonce, now),
                nonce,
            },
        };
        self.last = Some(minted.clone());
        minted
    }

    /// One token with this defect and this nonce, apart from the others; `None` leaves the header out. A
    /// [`TokenDefect::Repeated`] one is right in all.
    pub fn defective(&self, defect: &TokenDefect, nonce: &str, now: i64) -> Option<String> {
        self.spoiled(defect, nonce, now)
    }

    fn next_defect(&mut self) -> Option<TokenDefect> {
        let (defect, left) = self.defect.take()?;
        let after = left.map(|n| n - 1);
        if after != Some(0) {
            self.defect = Some((defect.clone(), after));
        }
        Some(defect)
    }

    fn claims(&self, nonce: &str, now: i64) -> Claims {
        Claims::fresh(&self.context, &self.application, nonce.to_owned(), now)
    }

    fn header(&self) -> Json {
        let certificate = self.authority.certificate();
        token::header_json(&certificate.thumbprint_hex(), &certificate.thumbprint_base64url())
    }

    fn sign(&self, nonce: &str, now: i64) -> String {
        token::sign(
            &self.header(),
            &self.claims(nonce, now).to_json(),
            self.authority.key(),
        )
    }

    fn spoiled(&self, defect: &TokenDefect, nonce: &str, now: i64) -> Option<String> {
        let key = self.authority.key();
        let header = self.header();
        let claims = self.claims(nonce, now);
        let mut json = claims.to_json();
        let with = |claims: Claims| token::sign(&header, &claims.to_json(), key);
        Some(match defect {
            TokenDefect::WrongKey => token::sign(&header, &json, self.authority.stranger()),
            TokenDefect::UnknownKid => {
                // Twenty bytes 0xAA: the thumbprint of no certificate.
                let header = token::header_json(&"A".repeat(40), &URL_SAFE_NO_PAD.encode([0xAA; 20]));
                token::sign(&header, &json, self.authority.stranger())
            }
            TokenDefect::NoKid => token::sign(&json!({ "alg": "RS256", "typ": "JWT" }), &json, key),
            TokenDefect::OnlyX5t => {
                let x5t = self.authority.certificate().thumbprint_base64url();
                token::sign(&json!({ "alg": "RS256", "typ": "JWT", "x5t": x5t }), &json, key)
            }
            TokenDefect::Expired => with(Claims {
                not_before: now - OUT_OF_TIME_SECONDS - LIFETIME_SECONDS,
                expires: now - OUT_OF_TIME_SECONDS,
                ..claims
            }),
            TokenDefect::NotYetValid => with(Claims {
                not_before: now + OUT_OF_TIME_SECONDS,
                expires: now + OUT_OF_TIME_SECONDS + LIFETIME_SECONDS,
                ..claims
            }),
            TokenDefect::ForeignTenant(context) => with(Claims {
                context: context.clone(),
                ..claims
            }),
            TokenDefect::TwoTenants => {
                json[CONTEXT_CLAIM] = FOREIGN_TENANT.into();
                token::sign(&header, &json, key)
            }
            TokenDefect::PathTenant => with(Claims {
                context: format!("../{}", self.context),
                ..claims
            }),
            TokenDefect::OtherAudience => with(Claims {
                audience: format!("{AUDIENCE_PREFIX}00000000000000000000000000000000"),
                ..claims
            }),
            TokenDefect::OtherIssuer => with(Claims {
                issuer: "Somebody Else AS".to_owned(),
                ..claims
            }),
            TokenDefect::NoNonce => {
                if let Json::Object(members) = &mut json {
                    members.remove("nonce");
                }
                token::sign(&header, &json, key)
            }
            TokenDefect::AlgNone => {
                let header =
                    json!({ "alg": "none", "typ": "JWT", "kid": header["kid"], "x5t": header["x5t"] });
                format!("{}.", token::signing_input(&header, &json))
            }
            TokenDefect::Hs256 => {
                let header =
                    json!({ "alg": "HS256", "typ": "JWT", "kid": header["kid"], "x5t": header["x5t"] });
                let input = token::signing_input(&header, &json);
                let mac = hmac_sha256(self.authority.certificate_pem().as_bytes(), input.as_bytes());
                format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac))
            }
            TokenDefect::Tampered => {
                let signed = token::sign(&header, &json, key);
                let signature = signed.rsplit('.').next().unwrap_or_default();
                json["sub"] = FOREIGN_TENANT.into();
                json[CONTEXT_CLAIM] = FOREIGN_TENANT.into();
                format!("{}.{signature}", token::signing_input(&header, &json))
            }
            TokenDefect::MissingHeader => return None,
            TokenDefect::Empty => String::new(),
            TokenDefect::Garbage => "this is no token".to_owned(),
            TokenDefect::LineBreaks => format!("\r\n   {}\r\n   ", self.sign(nonce, now)),
            TokenDefect::Repeated => self.sign(nonce, now),
        })
    }
}

/// RFC 2104 over SHA-256, for tokens whose algorithm is confused.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests;
