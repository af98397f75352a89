//! A recording proxy: it stands between SuperOffice and an endpoint, passes every byte on, and writes down each call with
//! its answer.
//!
//! Bodies are streamed both ways as they come and not touched: neither unpacked nor decoded nor re-ordered. What belongs to
//! a connection and not to a message (`Connection`, `Transfer-Encoding`, `Expect` …) is each side's own. The upstream is
//! called over a connection of its own for every call, so that a connection that it has just closed costs no call.
//!
//! - [`files`]: where calls are written down
//! - `exchange`: one request, its answer, and what is kept of both

mod exchange;
pub mod files;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mirrorlab_server::http::accept::{self, Accepting};
use mirrorlab_simulator::endpoint::https::{HttpsError, HttpsOptions, client};
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use files::Files;

/// How many connections are open at a time. Others wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's headers may take, and how long a connection may be idle between calls.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a request's line and headers.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// How long the next part of a request's body may take.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long calls under way may take after the shutdown signal.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// The most bytes of a body that are kept. A longer one is passed on whole, and recorded as cut.
pub const BODY_BYTES_KEPT_MAX: usize = 256 * 1024 * 1024;

/// Passes calls on to one endpoint.
pub struct Proxy {
    client: reqwest::Client,
    url: Url,
    upstream: HttpsOptions,
    files: Arc<Files>,
    /// Certificate and key of the proxy itself; `None` is plain HTTP.
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Proxy {
    /// A proxy before `upstream`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub fn new(
        upstream: HttpsOptions,
        tls: Option<Arc<rustls::ServerConfig>>,
        files: Arc<Files>,
    ) -> Result<Proxy, HttpsError> {
        let (url, builder) = client(&upstream)?;
        let client = builder
            .no_gzip()
            .pool_max_idle_per_host(0)
            .http1_title_case_headers()
            .build()
            .map_err(|error| HttpsError::Setup(error.to_string()))?;
        Ok(Proxy {
            client,
            url,
            upstream,
            files,
            tls,
        })
    }

    /// Serves until `shutdown` is done, then lets calls under way finish, for [`SHUTDOWN_GRACE`] at most. Nothing that a
    /// caller does ends it.
    pub async fn serve(self: Arc<Proxy>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let accepting = Accepting {
            tls: self.tls.clone(),
            connections_max: CONNECTIONS_MAX,
            handshake_timeout: HANDSHAKE_TIMEOUT,
        };
        let drive = move |stream, peer, stopped| Arc::clone(&self).drive(stream, peer, stopped);
        let mut connections = accept::connections(listener, accepting, shutdown, drive).await;
        let finished = timeout(SHUTDOWN_GRACE, async {
            while connections.join_next().await.is_some() {}
        });
        if finished.await.is_err() {
            // What is dropped writes down what it has.
            connections.shutdown().await;
        }
    }

    /// Serves one connection's calls, one after the other.
    async fn drive(
        self: Arc<Proxy>,
        stream: Box<dyn accept::Stream>,
        peer: SocketAddr,
        mut stopped: watch::Receiver<()>,
    ) {
        let service = service_fn(move |request| {
            let proxy = Arc::clone(&self);
            async move { Ok::<_, Infallible>(proxy.exchange(peer, request).await) }
        });
        let mut serving = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(HEADERS_BYTES_MAX)
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service)
        );
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = stopped.changed(), if !stopping => {
                    stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                done = &mut serving => {
                    if let Err(error) = done {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    return;
                }
            }
        }
    }
}
