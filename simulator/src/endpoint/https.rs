//! An endpoint over HTTPS, or over plain HTTP where its URL says so.
//!
//! Calls look like the real client's: quoted `SOAPAction`, `Request-Id` and `Traceparent`, gzip accepted. No redirect is
//! followed and no proxy is used: what answers is what the URL names, and a redirect is an HTTP status like any other.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mirrorlab_protocol::names::CONTENT_TYPE;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use reqwest::Url;
use reqwest::header::{CONNECTION, CONTENT_TYPE as CONTENT_TYPE_NAME, HOST};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::runtime::Handle;

use super::{Endpoint, OutgoingCall, Reply, TransportError};

/// How long a connection may take.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// How long a call may take in all. A receiver writes a megabyte of rows in it.
pub const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);
/// The longest answer that is taken, in bytes after decompression. TableSchema's for 413 tables has about 50,000.
pub const REPLY_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// Whose certificates an endpoint may have.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Those that the operating system trusts.
    #[default]
    System,
    /// Those of the authorities in this PEM file, and no others. A self-signed certificate is its own authority.
    File(PathBuf),
    /// Any at all: the connection is encrypted, to nobody knows whom. For tests alone.
    Anyone,
}

/// How an endpoint is called.
#[derive(Debug, Clone)]
pub struct HttpsOptions {
    /// `https://host/path/MirroringClientService.svc`, or `http://…`.
    pub url: String,
    /// See [`Trust`].
    pub trust: Trust,
    /// See [`CONNECT_TIMEOUT_DEFAULT`].
    pub connect_timeout: Duration,
    /// See [`CALL_TIMEOUT_DEFAULT`].
    pub call_timeout: Duration,
    /// See [`REPLY_BYTES_MAX_DEFAULT`].
    pub reply_bytes_max: usize,
    /// From which request ids are drawn.
    pub seed: u64,
    /// Whether the endpoint is asked to close the connection after each answer.
    pub close: bool,
    /// Where to connect, whatever the URL's host stands for: something that passes bytes on to it. What is sent, and whose
    /// certificate is expected, stays as the URL says.
    pub connect_to: Option<SocketAddr>,
}

impl HttpsOptions {
    /// A URL, and the defaults.
    pub fn new(url: &str) -> HttpsOptions {
        HttpsOptions {
            url: url.to_owned(),
            trust: Trust::default(),
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            call_timeout: CALL_TIMEOUT_DEFAULT,
            reply_bytes_max: REPLY_BYTES_MAX_DEFAULT,
            seed: 0,
            close: false,
            connect_to: None,
        }
    }
}

/// Why an endpoint cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Not a URL that can be called.
    #[error("`{url}` is not an endpoint's URL: {why}; expected https://host/path/MirroringClientService.svc")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of authorities that is none.
    #[error("cannot take trusted authorities from {file}: {why}", file = .file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library or the HTTP client.
    #[error("cannot set up HTTPS: {0}")]
    Setup(String),
}

/// An endpoint over the network. Its calls block, and must not come from a thread of the runtime it is given.
pub struct HttpsEndpoint {
    client: reqwest::Client,
    /// As it was given.
    url: Url,
    /// As it is connected to: the same, unless [`HttpsOptions::connect_to`] says otherwise.
    dialled: Url,
    runtime: Handle,
    options: HttpsOptions,
    ids: Mutex<ChaCha8Rng>,
}

impl HttpsEndpoint {
    /// Makes a client. Nothing is connected yet.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub fn new(options: HttpsOptions, runtime: Handle) -> Result<HttpsEndpoint, HttpsError> {
        let (url, dialled, builder) = builder(&options)?;
        let client = builder
            .build()
            .map_err(|error| HttpsError::Setup(deepest(&error)))?;
        let ids = Mutex::new(crate::draw::seeded(options.seed, &["request id"]));
        Ok(HttpsEndpoint {
            client,
            url,
            dialled,
            runtime,
            options,
            ids,
        })
    }

    /// The URL that is called.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The URL's host and port, as one connects to them.
    pub fn host_and_port(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.url.host_str().unwrap_or_default())
    }

    /// `Request-Id` and `Traceparent`, as .NET's diagnostics write them (seen).
    fn request_ids(&self) -> (String, String) {
        let mut bytes = [0_u8; 24];
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (trace, span) = hex.split_at(32);
        (
            format!("|{trace}.{}.", &span[..8]),
            format!("00-{trace}-{span}-00"),
        )
    }

    /// As a call, by a sender whose patience ends when `patience` does, whatever the clock says.
    ///
    /// # Errors
    /// As a call; [`TransportError::TimedOut`] where `patience` ended first.
    pub fn call_until(
        &self,
        call: &OutgoingCall,
        patience: impl Future<Output = ()>,
    ) -> Result<Reply, TransportError> {
        self.runtime.block_on(async {
            tokio::select! {
                answered = self.exchange(call) => answered,
                () = patience => Err(TransportError::TimedOut {
                    endpoint: self.endpoint(),
                    limit: self.options.call_timeout,
                }),
            }
        })
    }

    async fn exchange(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let (request_id, trace_parent) = self.request_ids();
        let mut request = self.client.post(self.dialled.clone());
        if self.dialled != self.url {
            let host = self.url.host_str().unwrap_or_default();
            let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
            request = request.header(HOST, format!("{host}{port}"));
        }
        if self.options.close {
            request = request.header(CONNECTION, "close");
        }
        let sent = request
            .header(CONTENT_TYPE_NAME, CONTENT_TYPE)
            .header("SOAPAction", format!("\"{}\"", call.operation.action()))
            .header("Request-Id", request_id)
            .header("Traceparent", trace_parent)
            .body(call.body.clone())
            .send()
            .await;
        let mut response = sent.map_err(|error| self.explain(&error))?;
        let content_type = response
            .headers()
            .get(CONTENT_TYPE_NAME)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default();
        let mut reply = Reply {
            status: response.status().as_u16(),
            content_type,
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| self.explain(&error))? {
            if reply.body.len() + chunk.len() > self.options.reply_bytes_max {
                return Err(TransportError::Broken {
                    endpoint: self.endpoint(),
                    why: format!("the answer is longer than {} bytes", self.options.reply_bytes_max),
                });
            }
            reply.body.extend_from_slice(&chunk);
        }
        Ok(reply)
    }

    fn endpoint(&self) -> String {
        shown(self.url()).to_owned()
    }

    fn explain(&self, error: &reqwest::Error) -> TransportError {
        explain(error, &self.url, &self.options)
    }
}

impl Endpoint for HttpsEndpoint {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        self.runtime.block_on(self.exchange(call))
    }
}

/// How an HTTP client for such an endpoint is made, and the URL that it calls.
///
/// # Errors
/// [`HttpsError`].
pub fn client(options: &HttpsOptions) -> Result<(Url, reqwest::ClientBuilder), HttpsError> {
    let (_, dialled, builder) = builder(options)?;
    Ok((dialled, builder))
}

/// The URL as it was given and as it is connected to, and how a client for it is made.
fn builder(options: &HttpsOptions) -> Result<(Url, Url, reqwest::ClientBuilder), HttpsError> {
    let url = check_url(&options.url)?;
    let mut builder = reqwest::Client::builder();
    let mut dialled = url.clone();
    let mut expected = None;
    if let Some(address) = options.connect_to {
        let wrong = |()| HttpsError::Setup(format!("{url} cannot be connected to at {address}"));
        dialled.set_port(Some(address.port())).map_err(wrong)?;
        match url.domain() {
            Some(domain) => builder = builder.resolve(domain, address),
            None => {
                dialled.set_ip_host(address.ip()).map_err(wrong)?;
                expected = server_name(&url);
            }
        }
    }
    let builder = builder
        .tls_backend_preconfigured(tls_config(&options.trust, &url, expected)?)
        .connect_timeout(options.connect_timeout)
        .timeout(options.call_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only();
    Ok((url, dialled, builder))
}

/// A URL as messages name it: without its query, which may be a key (`?code=…`).
pub fn shown(url: &str) -> &str {
    url.trim().split(['?', '#']).next().unwrap_or_default()
}

/// What a person can do something about, out of a chain of errors.
pub fn explain(error: &reqwest::Error, url: &Url, options: &HttpsOptions) -> TransportError {
    let endpoint = shown(url.as_str()).to_owned();
    let connect = |why: String| TransportError::Connect {
        endpoint: endpoint.clone(),
        why,
    };
    if error.is_connect() && error.is_timeout() {
        return connect(format!(
            "no answer within {} s",
            options.connect_timeout.as_secs()
        ));
    }
    if error.is_timeout() {
        return TransportError::TimedOut {
            endpoint,
            limit: options.call_timeout,
        };
    }
    let causes = chain(error);
    if let Some(tls) = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())
    {
        return connect(explain_tls(tls));
    }
    // The innermost: an outer one may say no more than "other".
    let kind = causes
        .iter()
        .rev()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    if error.is_connect() {
        let host = url.host_str().unwrap_or_default();
        return connect(match kind {
            _ if error.is_dns() => format!("the host name {host} is not known"),
            Some(ErrorKind::ConnectionRefused) => "connection refused; nothing listens there".to_owned(),
            Some(kind) if is_closed(kind) => "the connection was closed before TLS was set up".to_owned(),
            _ => deepest(error),
        });
    }
    let why = match kind {
        Some(kind) if is_closed(kind) => CLOSED.to_owned(),
        _ => match deepest(error) {
            // What the HTTP client says of a connection that ended in good order, but too early.
            why if why.starts_with("connection closed before") || why.starts_with("end of file before") => {
                CLOSED.to_owned()
            }
            // What the HTTP parser says of anything that is not HTTP.
            why if why.starts_with("invalid HTTP") && url.scheme() == "http" => {
                format!("what answers does not speak HTTP ({why}); is it https:// there?")
            }
            why => why,
        },
    };
    TransportError::Broken { endpoint, why }
}

fn check_url(text: &str) -> Result<Url, HttpsError> {
    let wrong = |why: &str| HttpsError::Url {
        url: mirrorlab_protocol::excerpt(text),
        why: why.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("it is neither https nor http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: it would stand in every event.
        return Err(HttpsError::Url {
            url: "…@…".into(),
            why: "it holds a user name or a password, which the real client never sends".into(),
        });
    }
    Ok(url)
}

/// How a TLS client trusts whom `trust` names, for one who speaks HTTP by its own hands.
///
/// # Errors
/// [`HttpsError`].
pub fn client_config(trust: &Trust) -> Result<ClientConfig, HttpsError> {
    verified(trust, false, None)
}

/// `expected` is whose certificate it has to be, where that is not who is connected to.
fn tls_config(
    trust: &Trust,
    url: &Url,
    expected: Option<ServerName<'static>>,
) -> Result<ClientConfig, HttpsError> {
    verified(trust, url.scheme() == "http", expected)
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned()).ok()
}

fn verified(
    trust: &Trust,
    plain: bool,
    expected: Option<ServerName<'static>>,
) -> Result<ClientConfig, HttpsError> {
    let setup = |error: rustls::Error| HttpsError::Setup(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        // Not asked for a plain URL: a system may have no authorities at all.
        Trust::System if plain => {
            return Ok(builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth());
        }
        Trust::File(file) => {
            let roots = Arc::new(read_authorities(file)?);
            WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| HttpsError::Setup(error.to_string()))?
        }
        Trust::System => Arc::new(rustls_platform_verifier::Verifier::new(provider).map_err(setup)?),
        Trust::Anyone => Arc::new(AcceptAnyone(provider)),
    };
    let verifier = match expected {
        Some(name) => Arc::new(Expects { name, verifier }),
        None => verifier,
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn read_authorities(file: &Path) -> Result<RootCertStore, HttpsError> {
    let wrong = |why: String| HttpsError::Authorities {
        file: file.to_owned(),
        why,
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong(
            "it has no certificate; expected PEM with -----BEGIN CERTIFICATE-----".into(),
        ));
    }
    Ok(store)
}

/// Expects the certificate of somebody else than who is connected to.
#[derive(Debug)]
struct Expects {
    name: ServerName<'static>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for Expects {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Takes any certificate; that its key signed the handshake is still checked.
#[derive(Debug)]
struct AcceptAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS error in words that a person can do something about.
pub fn explain_tls(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => {
                "its certificate is not trusted: it comes from none of the trusted authorities".to_owned()
            }
            CertificateError::BadSignature => {
                "its certificate is not trusted: the trusted authority of that name did not sign it"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another host name: {why}")
            }
            other => format!("its certificate is not accepted: {other}"),
        },
        Tls::InvalidMessage(_) => "what answers does not speak TLS; is it http:// there?".to_owned(),
        Tls::AlertReceived(alert) => format!("it refused the TLS connection ({alert:?})"),
        other => format!("TLS failed: {other}"),
    }
}

/// An answer that stopped on the way.
const CLOSED: &str = "it was closed before the answer was whole";

/// Whether the other side closed the connection: which of these is seen hangs on the moment.
fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

/// An error and what caused it, outermost first; I/O errors hide what they wrap.
fn chain<'e>(error: &'e (dyn std::error::Error + 'static)) -> Vec<&'e (dyn std::error::Error + 'static)> {
    let mut all = vec![error];
    let mut last = error;
    loop {
        let wrapped = last
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        last = match (wrapped, last.source()) {
            (Some(wrapped), _) => wrapped,
            (None, Some(source)) => source,
            (None, None) => return all,
        };
        all.push(last);
    }
}

/// The innermost error's text: the outer ones only say that something failed. The HTTP client's own ends with the URL, query
/// and all, which the message names already.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let text = chain(error).last().map_or_else(String::new, ToString::to_string);
    match text.split_once(" for url (") {
        Some((why, _)) => why.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
