//! How a call reaches the partner: over HTTPS, or straight into a service in the same process, with the same bytes.
//!
//! - [`https`]: over the network
//! - [`record`]: keeps every request and answer in files

pub mod https;
pub mod record;

use std::time::Duration;

use mirrorlab_protocol::names::Operation;

/// One HTTP request of the mirroring task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingCall {
    /// Which operation's `SOAPAction` it carries.
    pub operation: Operation,
    /// The tenant, for logs and faults; it is not sent but inside the token.
    pub context: String,
    /// The whole envelope.
    pub body: Vec<u8>,
}

/// What came back, whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty where there was none.
    pub content_type: String,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

/// Why nothing came back. Displayed, it is what the event log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error("cannot connect to {endpoint}: {why}")]
    Connect {
        /// The URL.
        endpoint: String,
        /// Refused, unknown host, untrusted certificate …
        why: String,
    },
    /// The connection broke on the way.
    #[error("the connection to {endpoint} broke: {why}")]
    Broken {
        /// The URL.
        endpoint: String,
        /// What was seen.
        why: String,
    },
    /// No answer in time.
    #[error("{endpoint} did not answer within {} s", .limit.as_secs_f64())]
    TimedOut {
        /// The URL.
        endpoint: String,
        /// How long was waited.
        limit: Duration,
    },
}

/// A partner's endpoint.
pub trait Endpoint: Send + Sync {
    /// Sends a call and waits for the answer. It may be called from several threads at once, and blocks.
    ///
    /// # Errors
    /// [`TransportError`] where no HTTP answer came. A bad status is a [`Reply`].
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError>;
}

impl<E: Endpoint + ?Sized> Endpoint for std::sync::Arc<E> {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        (**self).call(call)
    }
}
