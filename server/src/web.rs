//! Requests that the server itself makes, to an OpenID provider and to webhooks: blocking, bounded in time.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::runtime::Runtime;

/// Makes requests on a thread of its own, so that it does not matter where the caller runs.
pub(crate) struct Web {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
}

impl Web {
    /// A client that follows redirects as `policy` says. The TLS side is rustls with ring; which authorities are trusted is
    /// the system's matter.
    ///
    /// # Errors
    /// Threads that cannot be made, authorities that cannot be read.
    pub(crate) fn new(policy: Policy) -> io::Result<Web> {
        // Whoever embeds the server may have installed another provider: that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mirrorlab-web")
            .enable_all()
            .build()?;
        let client = Client::builder()
            .user_agent(concat!("mirrorlab/", env!("CARGO_PKG_VERSION")))
            .redirect(policy)
            .build()
            .map_err(|error| io::Error::other(describe(&error)))?;
        Ok(Web {
            runtime: Some(runtime),
            client,
        })
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits for `future`, for at most `limit`; then it is dropped.
    ///
    /// # Errors
    /// The time-out.
    pub(crate) fn block_on<T: Send + 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(io::Error::other("the server is being stopped"));
        };
        let (send, receive) = mpsc::sync_channel(1);
        let task = runtime.spawn(async move {
            let _ = send.send(future.await);
        });
        receive.recv_timeout(limit).map_err(|error| {
            task.abort();
            match error {
                RecvTimeoutError::Timeout => io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {} s", limit.as_secs_f64()),
                ),
                RecvTimeoutError::Disconnected => io::Error::other("the request's task panicked"),
            }
        })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // Waiting is not allowed where the last owner is an async task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Reads a URL that may be called: https, or http to this machine where that is allowed.
///
/// # Errors
/// A text that says what was expected.
pub(crate) fn check_url(text: &str, loopback_http: bool) -> Result<Url, String> {
    let shown = mirrorlab_protocol::excerpt(text);
    let url = Url::parse(text).map_err(|error| format!("`{shown}` is not a URL: {error}"))?;
    if check_scheme(&url, loopback_http) {
        return Ok(url);
    }
    let but = if loopback_http {
        " (http is only taken to this machine itself)"
    } else {
        ""
    };
    Err(format!("`{shown}` is not an https URL{but}"))
}

/// Whether a URL may be called.
pub(crate) fn check_scheme(url: &Url, loopback_http: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => loopback_http && is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// An error with its causes, but without its URL, which may hold a secret: reqwest's own text hides what is wrong.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        let part = match inner.downcast_ref::<reqwest::Error>() {
            Some(error) => without_url(error),
            None => inner.to_string(),
        };
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = inner.source();
    }
    text
}

fn without_url(error: &reqwest::Error) -> String {
    let text = error.to_string();
    match error.url() {
        Some(url) => text.replace(&format!(" for url ({url})"), ""),
        None => text,
    }
}
