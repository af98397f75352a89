//! The signals that end a program which otherwise goes on: SIGTERM, and SIGINT, which is Ctrl-C.

use std::io;

use tokio::sync::oneshot;

/// The first signal asks for an end, the second one for an end at once.
pub(super) struct Signals {
    first: oneshot::Receiver<&'static str>,
    second: oneshot::Receiver<&'static str>,
}

impl Signals {
    /// Takes signals from here on. Called on a runtime.
    pub(super) fn new() -> io::Result<Signals> {
        let mut source = Source::new()?;
        let (tell_first, first) = oneshot::channel();
        let (tell_second, second) = oneshot::channel();
        tokio::spawn(async move {
            for tell in [tell_first, tell_second] {
                let name = source.next().await;
                // Nobody waits for it where the program ends by itself.
                let _ = tell.send(name);
            }
        });
        Ok(Signals { first, second })
    }

    /// The names of the first and of the second signal, when they come.
    pub(super) fn halves(
        self,
    ) -> (
        impl Future<Output = &'static str> + Send + 'static,
        impl Future<Output = &'static str> + Send + 'static,
    ) {
        (named(self.first), named(self.second))
    }
}

async fn named(signal: oneshot::Receiver<&'static str>) -> &'static str {
    match signal.await {
        Ok(name) => name,
        // The task that tells goes only with the runtime.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(unix)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> io::Result<Source> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Source {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> io::Result<Source> {
        Ok(Source)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}
