//! Whom a call comes from: the signed token that every call carries, checked under a certificate that is trusted.
//!
//! A token names its certificate by thumbprint. There are two places to find it (doc): a directory of public
//! certificates, looked at first, and a resolver that is asked on demand. What either says cannot harm the other's keys.
//! The tenant is what the token says and nothing else.
//!
//! - [`directory`]: `.cer`, `.crt`, `.pem` and `.der` files, read again when they change
//! - [`resolver`]: the trait, and the cache and limits around every resolver
//! - [`openid`]: the built-in resolver, OpenID discovery
//! - [`nonces`]: the option to refuse a token that was seen before

pub mod directory;
pub mod nonces;
pub mod openid;
pub mod resolver;

use std::sync::Arc;

use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::token::{Expected, TokenError, Unverified};

use directory::CertificateDirectory;
use nonces::Nonces;
use resolver::{CertificateResolver, KeyId, ResolverCache, ResolverLimits, Unresolved};

/// How far clocks may be apart where nothing else is said, in seconds.
pub const LEEWAY_SECONDS: i64 = 60;

/// Why a call is not trusted. Displayed, it is the polite text for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No token at all.
    #[error("the call has no SignedToken header")]
    NoToken,
    /// The token is wrong.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody knows the certificate that the token names.
    #[error("the signed token's certificate `{0}` is not trusted here")]
    UnknownCertificate(String),
    /// It may be known, but that cannot be found out now.
    #[error("the signed token's certificate `{0}` is not known here, and cannot be looked up at the moment")]
    NoLookup(String),
    /// The token was seen before, and that is not allowed here.
    #[error("the signed token was used before; each call needs a fresh one")]
    Replayed,
    /// Too many valid tokens are remembered.
    #[error("too many calls at a time: the memory of used tokens is full; try again in some minutes")]
    TooManyNonces,
}

/// Who calls, as a token that was found right says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The context id: `Cust24709`.
    pub context: String,
    /// What Authenticate's answer signs.
    pub nonce: String,
}

/// Checks the token of every call.
pub struct Trust {
    application: String,
    leeway: i64,
    clock: Arc<dyn Clock>,
    directory: Option<CertificateDirectory>,
    resolver: Option<ResolverCache>,
    nonces: Option<Nonces>,
}

impl Trust {
    /// Trusts nobody yet: tokens for `application` (the id alone, without `spn:`), dated by `clock`.
    pub fn new(application: &str, clock: Arc<dyn Clock>) -> Trust {
        Trust {
            application: application.to_owned(),
            leeway: LEEWAY_SECONDS,
            clock,
            directory: None,
            resolver: None,
            nonces: None,
        }
    }

    /// Trusts the certificates in a directory.
    #[must_use]
    pub fn with_directory(mut self, directory: CertificateDirectory) -> Trust {
        self.directory = Some(directory);
        self
    }

    /// Asks `resolver` for certificates that are not in the directory.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Box<dyn CertificateResolver>, limits: ResolverLimits) -> Trust {
        self.resolver = Some(ResolverCache::new(resolver, limits, Arc::clone(&self.clock)));
        self
    }

    /// How far clocks may be apart, in seconds; [`LEEWAY_SECONDS`] unless said.
    #[must_use]
    pub fn with_leeway(mut self, seconds: i64) -> Trust {
        self.leeway = seconds;
        self
    }

    /// Refuses a token whose nonce was seen before. Off unless asked for: a call may arrive twice where a proxy
    /// tries again.
    #[must_use]
    pub fn refusing_replays(mut self) -> Trust {
        self.nonces = Some(Nonces::default());
        self
    }

    /// Checks a call's token: its form, its certificate, its signature, its claims. It may block while a resolver is
    /// asked. With replays refused, each call must be checked once only.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn check(&self, token: Option<&str>) -> Result<Tenant, TrustError> {
        let token = token.filter(|t| !t.is_empty()).ok_or(TrustError::NoToken)?;
        let token = Unverified::parse(token)?;
        let certificate = self.certificate(&KeyId {
            kid: token.kid.clone(),
            x5t: token.x5t.clone(),
        })?;
        // A resolver may have taken its time: the clock is read after it.
        let now = self.clock.now();
        let expected = Expected {
            application: &self.application,
            now,
            leeway: self.leeway,
        };
        let claims = token.verify(certificate.key(), &expected)?;
        if let Some(nonces) = &self.nonces {
            let forgotten_at = claims.expires.saturating_add(self.leeway);
            nonces.take(&claims.context, &claims.nonce, now, forgotten_at)?;
        }
        Ok(Tenant {
            context: claims.context,
            nonce: claims.nonce,
        })
    }

    fn certificate(&self, key: &KeyId) -> Result<Arc<Certificate>, TrustError> {
        if let Some(found) = self
            .directory
            .as_ref()
            .and_then(|d| d.find(key, self.clock.now()))
        {
            return Ok(found);
        }
        let name = excerpt(key.name());
        match self.resolver.as_ref().map(|r| r.find(key)) {
            Some(Ok(found)) => Ok(found),
            Some(Err(Unresolved::NotNow)) => Err(TrustError::NoLookup(name)),
            Some(Err(Unresolved::Unknown)) | None => Err(TrustError::UnknownCertificate(name)),
        }
    }
}

#[cfg(test)]
mod tests;
