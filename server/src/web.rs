//! Requests that the server itself makes, to an OpenID provider and to webhooks: blocking, bounded in time.

use std::io;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url};

/// A client's beginnings. The TLS side is rustls with ring; which authorities are trusted is the system's matter.
pub(crate) fn client() -> ClientBuilder {
    // Whoever embeds the server may have installed another provider: that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(concat!("mirrorlab/", env!("CARGO_PKG_VERSION")))
}

/// Runs a future to its end on a thread of its own, so that it does not matter where the caller runs, for at most `limit`.
///
/// # Errors
/// Time-outs, and threads that cannot be made.
pub(crate) fn block_on<T: Send>(limit: Duration, future: impl Future<Output = T> + Send) -> io::Result<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let done = runtime.block_on(async { tokio::time::timeout(limit, future).await });
        // A name that is still being looked up is not waited for.
        runtime.shutdown_background();
        done.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", limit.as_secs_f64()),
            )
        })
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("mirrorlab-web".into())
            .spawn_scoped(scope, run)?
            .join()
            .map_err(|_| io::Error::other("the request's thread panicked"))?
    })
}

/// Reads a URL that may be called: https, or http to this machine where that is allowed.
///
/// # Errors
/// A text that says what was expected.
pub(crate) fn check_url(text: &str, loopback_http: bool) -> Result<Url, String> {
    let shown = mirrorlab_protocol::excerpt(text);
    let url = Url::parse(text).map_err(|error| format!("`{shown}` is not a URL: {error}"))?;
    if check_scheme(&url, loopback_http) {
        Ok(url)
    } else {
        Err(format!("`{shown}` is not an https URL"))
    }
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

/// An error with its causes: reqwest's own text often hides what is wrong.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
