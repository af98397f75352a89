//! SuperOffice's signed token: a JWT, RS256, with the tenant in it, fresh for every call (seen).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json, json};

use crate::keys::{PrivateKey, PublicKey};

/// Who signs: the `iss` claim (seen).
pub const ISSUER: &str = "SuperOffice AS";
/// What stands before the application id in `aud` (seen).
pub const AUDIENCE_PREFIX: &str = "spn:";
/// The claim that names the tenant, beside `sub` (seen).
pub const CONTEXT_CLAIM: &str = "http://schemes.superoffice.net/identity/ctx";
/// How long a token is valid, in seconds (seen).
pub const LIFETIME_SECONDS: i64 = 360;
/// The longest token that is looked at, in bytes.
pub const LENGTH_MAX: usize = 16 * 1024;

/// Why a token was not accepted. The text is for the caller: it repeats nothing that the caller did not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT.
    #[error("the signed token is not a JWT: {0}")]
    Malformed(&'static str),
    /// Another algorithm than RS256.
    #[error("the signed token's algorithm is `{0}`; only RS256 is accepted")]
    Algorithm(String),
    /// Nothing names the certificate.
    #[error("the signed token names no certificate: neither kid nor x5t")]
    NoKeyId,
    /// The signature is wrong.
    #[error("the signed token's signature is wrong")]
    Signature,
    /// A claim that must be there.
    #[error("the signed token has no `{0}` claim")]
    Missing(&'static str),
    /// Not SuperOffice.
    #[error("the signed token was issued by `{0}`, not by `{ISSUER}`")]
    Issuer(String),
    /// For another application.
    #[error("the signed token is for `{0}`, not for this application")]
    Audience(String),
    /// Valid only later.
    #[error("the signed token is not valid yet: it begins {0} s from now")]
    NotYet(i64),
    /// Valid no more.
    #[error("the signed token expired {0} s ago")]
    Expired(i64),
    /// `sub` and the context claim differ.
    #[error("the signed token names two tenants, `{0}` and `{1}`")]
    TwoContexts(String, String),
    /// A tenant's name that could be no database name.
    #[error("the signed token's tenant `{0}` is not a context id: 1 to 64 letters, digits, `-` or `_`")]
    Context(String),
}

/// What a token says, once its signature was found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The tenant: `Cust24709`.
    pub context: String,
    /// 32 upper-case hex digits, to be signed in the answer.
    pub nonce: String,
    /// Valid from, in seconds since 1970 UTC.
    pub not_before: i64,
    /// Valid until, in seconds since 1970 UTC.
    pub expires: i64,
    /// `SuperOffice AS`.
    pub issuer: String,
    /// `spn:` and the application id.
    pub audience: String,
}

impl Claims {
    /// The claims of a fresh token, as SuperOffice makes them.
    pub fn fresh(context: &str, application: &str, nonce: String, now: i64) -> Claims {
        Claims {
            context: context.to_owned(),
            nonce,
            not_before: now,
            expires: now + LIFETIME_SECONDS,
            issuer: ISSUER.to_owned(),
            audience: format!("{AUDIENCE_PREFIX}{application}"),
        }
    }

    /// The claims as the token's JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "sub": self.context,
            CONTEXT_CLAIM: self.context,
            "nonce": self.nonce,
            "nbf": self.not_before,
            "exp": self.expires,
            "iss": self.issuer,
            "aud": self.audience,
        })
    }
}

/// The header of a token signed by the certificate with these thumbprints.
pub fn header_json(kid: &str, x5t: &str) -> Json {
    json!({ "alg": "RS256", "kid": kid, "typ": "JWT", "x5t": x5t })
}

/// The part of a token that is signed.
pub fn signing_input(header: &Json, claims: &Json) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Signs header and claims, right or wrong.
pub fn sign(header: &Json, claims: &Json, key: &PrivateKey) -> String {
    let input = signing_input(header, claims);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// What a receiver expects of a token.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The application's id; `aud` is `spn:` and it.
    pub application: &'a str,
    /// Now, in seconds since 1970 UTC.
    pub now: i64,
    /// How far clocks may be apart, in seconds.
    pub leeway: i64,
}

/// A token taken apart, of which nothing is believed yet but which certificate to try.
#[derive(Debug, Clone)]
pub struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Json>,
    /// The certificate's thumbprint in hex, where the header has it.
    pub kid: Option<String>,
    /// The certificate's thumbprint in base64url, where the header has it.
    pub x5t: Option<String>,
}

impl<'a> Unverified<'a> {
    /// Takes a compact JWT apart. White space around it does not count (seen).
    ///
    /// # Errors
    /// [`TokenError`] where it is none, is not RS256, or names no certificate.
    pub fn parse(compact: &'a str) -> Result<Unverified<'a>, TokenError> {
        let compact = compact.trim();
        if compact.len() > LENGTH_MAX {
            return Err(TokenError::Malformed("it is too long"));
        }
        let (signed, signature) = compact
            .rsplit_once('.')
            .ok_or(TokenError::Malformed("it has no dots"))?;
        let (header, claims) = signed
            .split_once('.')
            .filter(|(_, claims)| !claims.contains('.'))
            .ok_or(TokenError::Malformed("it has not three parts"))?;
        let header = read_part(header, "its header is not JSON in base64url")?;
        let claims = read_part(claims, "its claims are not JSON in base64url")?;
        match header.get("alg").and_then(Json::as_str) {
            Some("RS256") => {}
            other => return Err(TokenError::Algorithm(crate::excerpt(other.unwrap_or("")))),
        }
        // RFC 7515: who does not know what is critical must refuse.
        if header.contains_key("crit") {
            return Err(TokenError::Malformed(
                "its header has a critical part that is not known",
            ));
        }
        let text = |name: &str| {
            header
                .get(name)
                .and_then(Json::as_str)
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
        };
        let (kid, x5t) = (text("kid"), text("x5t"));
        if kid.is_none() && x5t.is_none() {
            return Err(TokenError::NoKeyId);
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| TokenError::Malformed("its signature is not base64url"))?;
        Ok(Unverified {
            signed,
            signature,
            claims,
            kid,
            x5t,
        })
    }

    /// Checks the signature under `key`, and then every claim.
    ///
    /// # Errors
    /// [`TokenError`], the signature's first.
    pub fn verify(&self, key: &PublicKey, expected: &Expected<'_>) -> Result<Claims, TokenError> {
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(TokenError::Signature);
        }
        self.check_claims(expected)
    }

    fn check_claims(&self, expected: &Expected<'_>) -> Result<Claims, TokenError> {
        let text = |name: &'static str| {
            self.claims
                .get(name)
                .and_then(Json::as_str)
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
                .ok_or(TokenError::Missing(name))
        };
        let time = |name: &'static str| {
            self.claims
                .get(name)
                .and_then(|v| v.as_i64().or_else(|| v.as_f64().map(|f| f as i64)))
                .ok_or(TokenError::Missing(name))
        };
        let issuer = text("iss")?;
        if issuer != ISSUER {
            return Err(TokenError::Issuer(crate::excerpt(&issuer)));
        }
        let audience = text("aud")?;
        let wanted = audience.strip_prefix(AUDIENCE_PREFIX);
        if wanted.is_none_or(|id| !id.eq_ignore_ascii_case(expected.application)) {
            return Err(TokenError::Audience(crate::excerpt(&audience)));
        }
        let not_before = time("nbf")?;
        let expires = time("exp")?;
        let (now, leeway) = (expected.now, expected.leeway);
        if not_before.saturating_sub(leeway) > now {
            return Err(TokenError::NotYet(not_before.saturating_sub(now)));
        }
        if expires.saturating_add(leeway) <= now {
            return Err(TokenError::Expired(now.saturating_sub(expires)));
        }
        let context = text(CONTEXT_CLAIM).or_else(|missing| text("sub").map_err(|_| missing))?;
        let subject = text("sub").unwrap_or_else(|_| context.clone());
        if !subject.eq_ignore_ascii_case(&context) {
            return Err(TokenError::TwoContexts(
                crate::excerpt(&subject),
                crate::excerpt(&context),
            ));
        }
        check_context(&context)?;
        Ok(Claims {
            context,
            nonce: text("nonce")?,
            not_before,
            expires,
            issuer,
            audience,
        })
    }
}

/// A context id becomes a part of database, file and table names: nothing but letters, digits, `-` and `_` passes.
///
/// # Errors
/// [`TokenError::Context`].
pub fn check_context(context: &str) -> Result<(), TokenError> {
    let plain = (1..=64).contains(&context.len())
        && context
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain {
        Ok(())
    } else {
        Err(TokenError::Context(crate::excerpt(context)))
    }
}

fn read_part(part: &str, wrong: &'static str) -> Result<Map<String, Json>, TokenError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed(wrong))?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(map)) => Ok(map),
        _ => Err(TokenError::Malformed(wrong)),
    }
}
