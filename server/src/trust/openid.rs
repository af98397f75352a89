//! The built-in resolver: OpenID discovery, whose key set carries each key's certificate in `x5c`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirrorlab_protocol::certificate::Certificate;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::resolver::{CertificateResolver, KeyId, Named, ResolveError};
use crate::web::{self, Web};

/// What a discovery URL ends in.
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// How long one question takes at most, both documents together.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest document that is read, in bytes, unpacked.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// How many redirects are followed for each document.
pub const REDIRECTS_MAX: usize = 3;

/// Asks an OpenID provider for its keys.
pub struct OpenIdResolver {
    web: Web,
    discovery: Url,
    loopback_http: bool,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: Option<String>,
    x5t: Option<String>,
    #[serde(default)]
    x5c: Vec<String>,
}

impl OpenIdResolver {
    /// A resolver for an issuer's URL, or the whole URL of its discovery document. Only https is taken.
    ///
    /// # Errors
    /// [`ResolveError`] where it is no such URL.
    pub fn new(url: &str) -> Result<OpenIdResolver, ResolveError> {
        OpenIdResolver::build(url, false)
    }

    /// The same, but http is taken too where the host is this machine.
    ///
    /// # Errors
    /// [`ResolveError`] where it is no such URL.
    pub fn with_loopback_http(url: &str) -> Result<OpenIdResolver, ResolveError> {
        OpenIdResolver::build(url, true)
    }

    /// How long one question takes at most; [`TIMEOUT`] unless said.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> OpenIdResolver {
        self.timeout = timeout;
        self
    }

    fn build(url: &str, loopback_http: bool) -> Result<OpenIdResolver, ResolveError> {
        let whole = if url.ends_with(DISCOVERY_PATH) {
            url.to_owned()
        } else {
            format!("{}{DISCOVERY_PATH}", url.trim_end_matches('/'))
        };
        let discovery = web::check_url(&whole, loopback_http).map_err(ResolveError)?;
        let policy = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("too many redirects")
            } else if web::check_scheme(attempt.url(), loopback_http) {
                attempt.follow()
            } else {
                attempt.error("a redirect away from https")
            }
        });
        Ok(OpenIdResolver {
            web: Web::new(policy).map_err(|error| ResolveError(error.to_string()))?,
            discovery,
            loopback_http,
            timeout: TIMEOUT,
        })
    }

    /// The provider's whole key set.
    fn all(&self) -> Result<Vec<Named>, ResolveError> {
        let question = ask(self.web.client(), self.discovery.clone(), self.loopback_http);
        self.web
            .block_on(self.timeout, question)
            .map_err(|error| ResolveError(error.to_string()))?
    }
}

async fn ask(client: Client, discovery: Url, loopback_http: bool) -> Result<Vec<Named>, ResolveError> {
    let discovery: Discovery = document(&client, discovery).await?;
    let keys = web::check_url(&discovery.jwks_uri, loopback_http)
        .map_err(|why| ResolveError(format!("the discovery's jwks_uri is wrong: {why}")))?;
    let set: KeySet = document(&client, keys).await?;
    let mut all = Vec::new();
    for entry in set.keys {
        let Some(first) = entry.x5c.first() else { continue };
        let read = STANDARD
            .decode(first)
            .ok()
            .and_then(|der| Certificate::from_der(der).ok());
        let Some(certificate) = read else {
            tracing::warn!(kid = ?entry.kid, "a key of the OpenID provider has a certificate that cannot be read");
            continue;
        };
        all.push(Named {
            key: KeyId {
                kid: entry.kid,
                x5t: entry.x5t,
            },
            certificate,
        });
    }
    Ok(all)
}

async fn document<T: DeserializeOwned>(client: &Client, url: Url) -> Result<T, ResolveError> {
    let name = url.to_string();
    let failed = |why: String| ResolveError(format!("{name}: {why}"));
    let mut response: Response = client
        .get(url)
        .send()
        .await
        .and_then(Response::error_for_status)
        .map_err(|error| failed(web::describe(&error)))?;
    let mut body = Vec::new();
    while let Some(part) = response
        .chunk()
        .await
        .map_err(|error| failed(web::describe(&error)))?
    {
        if body.len() + part.len() > DOCUMENT_BYTES_MAX {
            return Err(failed(format!("longer than {DOCUMENT_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&part);
    }
    serde_json::from_slice(&body).map_err(|error| failed(format!("not the JSON that was expected: {error}")))
}

impl CertificateResolver for OpenIdResolver {
    fn resolve(&self, key: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        let found = self.all()?.into_iter().find(|named| named.is(key));
        Ok(found.map(|named| named.certificate))
    }

    fn resolve_all(&self) -> Option<Result<Vec<Named>, ResolveError>> {
        Some(self.all())
    }
}
