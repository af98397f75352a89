//! Taking connections: one loop for everything here that listens.
//!
//! So many at a time and no more, a TLS handshake beside the others and not for ever, and an end that is told to each.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How long a failing `accept` is left alone: it means that the machine is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How connections are taken.
pub struct Accepting {
    /// Certificate and key; `None` is plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How many connections are open at a time. Others wait in the system's queue.
    pub connections_max: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
}

/// Takes connections until `shutdown` is done, and drives each. What is given back are those that are still open; each
/// has been told to end: its receiver has changed, since its sender is gone.
pub async fn connections<D, F>(
    listener: TcpListener,
    accepting: Accepting,
    shutdown: impl Future<Output = ()>,
    drive: D,
) -> JoinSet<()>
where
    D: Fn(Box<dyn Stream>, SocketAddr, watch::Receiver<()>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = accepting.tls.map(TlsAcceptor::from);
    let room = Arc::new(Semaphore::new(accepting.connections_max));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let place = tokio::select! {
            biased;
            () = &mut shutdown => break,
            place = Arc::clone(&room).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (acceptor, drive, mut stopped) = (acceptor.clone(), drive.clone(), stopped.clone());
                connections.spawn(async move {
                    let _place = place;
                    let handshake = tokio::select! {
                        // Only dropping the sender changes it.
                        _ = stopped.changed(), if acceptor.is_some() => return,
                        done = timeout(accepting.handshake_timeout, opened(stream, acceptor.as_ref())) => done,
                    };
                    match handshake {
                        Ok(Ok(stream)) => drive(stream, peer, stopped).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                });
            }
            Err(error) if is_callers(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted for now");
                let _ = timeout(ACCEPT_PAUSE, &mut shutdown).await;
            }
        }
    }
    drop(listener);
    drop(stop);
    connections
}

async fn opened(stream: TcpStream, acceptor: Option<&TlsAcceptor>) -> io::Result<Box<dyn Stream>> {
    // Where it cannot be had, calls are slower and no less right.
    let _ = stream.set_nodelay(true);
    Ok(match acceptor {
        Some(acceptor) => Box::new(acceptor.accept(stream).await?),
        None => Box::new(stream),
    })
}

/// Whether a failed `accept` concerns nobody but that caller.
pub(super) fn is_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
