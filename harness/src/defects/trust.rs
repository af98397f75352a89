//! Who is let in by mistake. A token is looked at here once more, and what the mistake does not look at is forgiven.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::soap::Head;
use mirrorlab_protocol::token::{AUDIENCE_PREFIX, CONTEXT_CLAIM, ISSUER, check_context};
use mirrorlab_server::service::{Answer, Service};
use mirrorlab_server::trust::{LEEWAY_SECONDS, Tenant};
use serde_json::{Map, Value as Json};

use super::memory::Memory;
use crate::run::keys::{APPLICATION_ID, RunKeys};

/// What of a token is not looked at, or looked at in the wrong way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustMistake {
    /// The token is decoded, not verified.
    SignatureUnchecked,
    /// The token's own word for its algorithm is believed, `none` too.
    AlgorithmFromToken,
    /// Whatever the token names, the one certificate at hand is tried.
    CertificateUnnamed,
    /// `exp` is not looked at.
    ExpiryUnchecked,
    /// `nbf` is not looked at.
    BeginUnchecked,
    /// `aud` is not looked at.
    AudienceUnchecked,
    /// `iss` is not looked at.
    IssuerUnchecked,
    /// The tenant is `sub`, whatever the context claim says.
    TenantIsSubject,
    /// The tenant becomes a part of a path as it is.
    TenantUnchecked,
    /// Only Authenticate is checked.
    OnlyAuthenticate,
    /// The tenant of Authenticate is believed to be the tenant of every call that follows.
    TenantRemembered,
    /// White space around the token makes it none.
    NotTrimmed,
    /// Only `kid` is read.
    OnlyKid,
    /// `exp` is compared with local time, an hour ahead of UTC.
    LocalTime,
}

/// What may be wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Algorithm,
    Certificate,
    Signature,
    Issuer,
    Audience,
    NotYet,
    Expired,
    TwoTenants,
    Tenant,
    Nonce,
}

struct Looked {
    wrong: Vec<Wrong>,
    algorithm: String,
    has_kid: bool,
    tenant: Tenant,
}

/// Lets a call in, or not.
///
/// # Errors
/// The refusal.
pub fn admit(
    mistake: TrustMistake,
    service: &Service,
    (operation, head): (Operation, &Head),
    (keys, clock, memory): (&RunKeys, &Arc<dyn Clock>, &Memory),
) -> Result<Tenant, Answer> {
    // The words of a polite refusal.
    let refuse = || {
        let nonsense = Head {
            token: Some("x".into()),
        };
        service.admit(operation, &nonsense)
    };
    let looked = head
        .token
        .as_deref()
        .and_then(|token| look(token, keys, clock.now()));
    match (mistake, &looked) {
        (TrustMistake::OnlyKid, Some(looked)) if !looked.has_kid => return refuse(),
        (TrustMistake::LocalTime, Some(_)) => {
            let later = look(
                head.token.as_deref().unwrap_or_default(),
                keys,
                clock.now() + 3600,
            );
            if later.is_some_and(|looked| !looked.wrong.is_empty()) {
                return refuse();
            }
        }
        (TrustMistake::TenantRemembered, _) => {
            let tenant = service.admit(operation, head)?;
            let mut known = memory.known();
            if operation == Operation::Authenticate {
                known.tenant = Some(tenant.context.clone());
            }
            let context = known.tenant.clone().unwrap_or_else(|| tenant.context.clone());
            return Ok(Tenant { context, ..tenant });
        }
        _ => {}
    }
    let Some(looked) = looked else {
        return service.admit(operation, head);
    };
    let forgiven: &[Wrong] = match mistake {
        TrustMistake::SignatureUnchecked => &[Wrong::Signature],
        TrustMistake::AlgorithmFromToken if looked.algorithm == "none" => {
            &[Wrong::Algorithm, Wrong::Signature]
        }
        TrustMistake::CertificateUnnamed => &[Wrong::Certificate],
        TrustMistake::ExpiryUnchecked => &[Wrong::Expired],
        TrustMistake::BeginUnchecked => &[Wrong::NotYet],
        TrustMistake::AudienceUnchecked => &[Wrong::Audience],
        TrustMistake::IssuerUnchecked => &[Wrong::Issuer],
        TrustMistake::TenantIsSubject => &[Wrong::TwoTenants],
        TrustMistake::TenantUnchecked => &[Wrong::Tenant],
        TrustMistake::OnlyAuthenticate if operation != Operation::Authenticate => {
            return Ok(looked.tenant);
        }
        _ => &[],
    };
    if !looked.wrong.is_empty() && looked.wrong.iter().all(|wrong| forgiven.contains(wrong)) {
        return Ok(looked.tenant);
    }
    service.admit(operation, head)
}

/// Takes a token apart; `None` for one that is no JWT.
fn look(token: &str, keys: &RunKeys, now: i64) -> Option<Looked> {
    let (signed, signature) = token.trim().rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let (header, claims) = (part(header)?, part(claims)?);
    let text = |map: &Map<String, Json>, name: &str| map.get(name).and_then(Json::as_str).map(str::to_owned);
    let time = |name: &str| claims.get(name).and_then(Json::as_i64);
    let certificate: &Certificate = keys.authority.certificate();
    let (kid, x5t) = (text(&header, "kid"), text(&header, "x5t"));
    let algorithm = text(&header, "alg").unwrap_or_default();
    let subject = text(&claims, "sub").unwrap_or_default();
    let context = text(&claims, CONTEXT_CLAIM).unwrap_or_else(|| subject.clone());
    let nonce = text(&claims, "nonce").unwrap_or_default();
    let named = kid.as_deref() == Some(&certificate.thumbprint_hex())
        || x5t.as_deref() == Some(&certificate.thumbprint_base64url());
    let verifies = URL_SAFE_NO_PAD
        .decode(signature)
        .is_ok_and(|signature| certificate.key().verifies(signed.as_bytes(), &signature));
    let audience = format!("{AUDIENCE_PREFIX}{APPLICATION_ID}");
    let wrong = [
        (Wrong::Algorithm, algorithm != "RS256"),
        (Wrong::Certificate, !named),
        (Wrong::Signature, !verifies),
        (Wrong::Issuer, text(&claims, "iss").as_deref() != Some(ISSUER)),
        (Wrong::Audience, text(&claims, "aud") != Some(audience)),
        (
            Wrong::NotYet,
            time("nbf").is_none_or(|t| t - LEEWAY_SECONDS > now),
        ),
        (
            Wrong::Expired,
            time("exp").is_none_or(|t| t + LEEWAY_SECONDS <= now),
        ),
        (Wrong::TwoTenants, subject != context),
        (Wrong::Tenant, check_context(&context).is_err()),
        (Wrong::Nonce, nonce.is_empty()),
    ];
    Some(Looked {
        wrong: wrong
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(wrong, _)| wrong)
            .collect(),
        algorithm,
        has_kid: kid.is_some(),
        tenant: Tenant {
            context: subject,
            nonce,
        },
    })
}

fn part(part: &str) -> Option<Map<String, Json>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(map)) => Some(map),
        _ => None,
    }
}

/// Whether the token as it stands in the body has white space around it, which [`TrustMistake::NotTrimmed`] minds.
pub fn has_blanks(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    text.split_once("SignedToken")
        .and_then(|(_, rest)| rest.split_once('>'))
        .and_then(|(_, rest)| rest.split_once('<'))
        .is_some_and(|(token, _)| token != token.trim() || token.contains("&#x"))
}
