//! HTTP in front of the service: TLS or plain, HTTP/1.0 and 1.1, limits in time and size, a shutdown that lets running
//! calls finish.
//!
//! A handshake never holds up the next connection. Of a caller who is not trusted only the SOAP header is taken in
//! (`call`); what was still on its way is then read and thrown away for a moment ([`LINGER`]), since a connection closed
//! over unread bytes takes the answer with it.
//!
//! - [`accept`]: connections are taken
//! - `call`: one request, its body taken in step by step
//! - [`tls`]: certificate and key

pub mod accept;
mod call;
pub mod tls;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use self::accept::Accepting;
use crate::service::Service;

/// How long, and how many bytes of, a refused body is read and thrown away.
pub const LINGER: (Duration, usize) = (Duration::from_secs(2), 4 * 1024 * 1024);
/// The most bytes of a request's line and headers.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// Transport and limits.
#[derive(Clone)]
pub struct HttpSettings {
    /// Certificate and key; `None` is plain HTTP, for behind a proxy.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The largest body of a call, in bytes, unpacked.
    pub body_bytes_max: usize,
    /// How many bytes of trusted calls are held at a time, all together, unpacked; at least `body_bytes_max`. A call that
    /// does not fit waits for its turn.
    pub bytes_in_flight_max: usize,
    /// How many trusted calls are taken in and worked on at a time. Others wait.
    pub calls_max: usize,
    /// How long a trusted call waits for its turn, or for room.
    pub turn_timeout: Duration,
    /// How many connections are open at a time. Others wait in the system's queue.
    pub connections_max: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a request's headers may take, and how long a connection may be idle between calls.
    pub header_timeout: Duration,
    /// How long the next part of a body may take.
    pub body_idle_timeout: Duration,
    /// How long a whole body may take.
    pub body_timeout: Duration,
    /// How long running calls may take after the shutdown signal.
    pub shutdown_grace: Duration,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            tls: None,
            // The sender's batches have about 1 MB, but a single row is never split (seen, assumed).
            body_bytes_max: 256 * 1024 * 1024,
            // Two of the largest, or five hundred usual ones. Working on them takes about as much again.
            bytes_in_flight_max: 512 * 1024 * 1024,
            calls_max: 64,
            turn_timeout: Duration::from_secs(60),
            connections_max: 1024,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// What a connection is told and asked.
#[derive(Clone)]
struct Connection {
    peer: SocketAddr,
    secure: bool,
    /// Set where an answer left a part of the request unread.
    unread: Arc<AtomicBool>,
}

/// Serves calls until `shutdown` is done, and then lets running ones finish, for [`HttpSettings::shutdown_grace`] at most.
///
/// # Errors
/// Nothing that a caller does ends the server; an error is the listener's own.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    http: HttpSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    let http = Arc::new(http);
    let turns = Arc::new(Semaphore::new(http.calls_max));
    let app = call::router(service, Arc::clone(&http), Arc::clone(&turns), local);
    let accepting = Accepting {
        tls: http.tls.clone(),
        connections_max: http.connections_max,
        handshake_timeout: http.handshake_timeout,
    };
    let of_connection = Arc::clone(&http);
    let drive = move |stream, peer, stopped| {
        let (app, http) = (app.clone(), Arc::clone(&of_connection));
        let connection = Connection {
            peer,
            secure: http.tls.is_some(),
            unread: Arc::default(),
        };
        async move { drive(stream, connection, app, &http, stopped).await }
    };
    let mut connections = accept::connections(listener, accepting, shutdown, drive).await;
    let calls_max = u32::try_from(http.calls_max).unwrap_or(u32::MAX);
    let finished = timeout(http.shutdown_grace, async {
        while connections.join_next().await.is_some() {}
        // A call whose caller has gone is still being worked on.
        let _ = turns.acquire_many(calls_max).await;
    });
    if finished.await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "calls did not finish in time; their connections are cut"
        );
        connections.shutdown().await;
    }
    Ok(())
}

/// Serves one connection's calls, one after the other.
async fn drive(
    stream: Box<dyn accept::Stream>,
    connection: Connection,
    app: Router,
    http: &HttpSettings,
    mut stopped: watch::Receiver<()>,
) {
    let (peer, unread) = (connection.peer, Arc::clone(&connection.unread));
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(connection.clone());
        Box::pin(app.clone().oneshot(request.map(Body::new)))
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(http.header_timeout)
        .max_buf_size(HEADERS_BYTES_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let done = loop {
        tokio::select! {
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                Pin::new(&mut serving).graceful_shutdown();
            }
            done = poll_fn(|cx| serving.poll_without_shutdown(cx)) => break done,
        }
    };
    if let Err(error) = done {
        tracing::debug!(%peer, %error, "connection ended");
        return;
    }
    let mut stream = serving.into_parts().io.into_inner();
    let _ = timeout(LINGER.0, stream.shutdown()).await;
    if unread.load(Ordering::Relaxed) {
        let _ = timeout(LINGER.0, async {
            let mut left = LINGER.1;
            let mut waste = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = stream.read(&mut waste).await {
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
