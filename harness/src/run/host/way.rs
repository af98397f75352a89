//! The way to a server over the network, and what a call may meet on it.

use std::net::{Ipv4Addr, SocketAddr};

use mirrorlab_simulator::endpoint::https::{
    CALL_TIMEOUT_DEFAULT, HttpsEndpoint, HttpsError, HttpsOptions, shown,
};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use tokio::runtime::Handle;

use crate::run::wire::{Death, KillPoint, OneCall, WireFault};

const DIED: &str = "it was reset: the server has died";

/// A URL, and the runtime that calls it.
pub(super) struct Way {
    endpoint: HttpsEndpoint,
    options: HttpsOptions,
    runtime: Handle,
}

impl Way {
    /// Nothing is connected yet.
    pub(super) fn new(options: HttpsOptions, runtime: &Handle) -> Result<Way, HttpsError> {
        Ok(Way {
            endpoint: HttpsEndpoint::new(options.clone(), runtime.clone())?,
            options,
            runtime: runtime.clone(),
        })
    }

    /// A call that meets something on its way: a proxy for it alone stands before the server.
    pub(super) fn call_over(
        &self,
        call: &OutgoingCall,
        fault: WireFault,
        death: Death,
    ) -> Result<Reply, TransportError> {
        let broken = |why: String| TransportError::Broken {
            endpoint: shown(&self.options.url).to_owned(),
            why,
        };
        let target = self.endpoint.host_and_port();
        let mut proxy = OneCall::new(&self.runtime, &target, fault, call.body.len(), death)
            .map_err(|error| broken(format!("this run has no port for a proxy: {error}")))?;
        let options = HttpsOptions {
            connect_to: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port))),
            close: true,
            ..self.options.clone()
        };
        let client =
            HttpsEndpoint::new(options, self.runtime.clone()).map_err(|error| broken(error.to_string()))?;
        let patience = &mut proxy.patience;
        let answered = client.call_until(call, async {
            if patience.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        // The call's own connection goes with its client; only then is the proxy done.
        drop(client);
        if let Err(error) = proxy.finish(&self.runtime) {
            tracing::debug!(%error, ?fault, "a proxy's connection ended otherwise than meant");
        }
        answered
    }
}

impl Endpoint for Way {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        self.endpoint.call(call)
    }
}

/// What a call comes to where there is no wire.
pub(super) fn pretend(
    endpoint: &dyn Endpoint,
    call: &OutgoingCall,
    fault: WireFault,
) -> Result<Reply, TransportError> {
    let server = || "the server".to_owned();
    let broken = |why: &str| TransportError::Broken {
        endpoint: server(),
        why: why.to_owned(),
    };
    let late = TransportError::TimedOut {
        endpoint: server(),
        limit: CALL_TIMEOUT_DEFAULT,
    };
    match fault {
        WireFault::Refused => Err(TransportError::Connect {
            endpoint: server(),
            why: "connection refused; nothing listens there".into(),
        }),
        WireFault::ResetBefore | WireFault::ResetHalfway => {
            Err(broken("it was reset before the call had arrived"))
        }
        WireFault::Killed(
            KillPoint::Halfway | KillPoint::Working | KillPoint::Part(_) | KillPoint::Log(_),
        ) => Err(broken(DIED)),
        WireFault::Killed(KillPoint::Answering) => {
            endpoint.call(call)?;
            Err(broken(DIED))
        }
        WireFault::Stalled => Err(late),
        WireFault::AnswerLost => {
            endpoint.call(call)?;
            Err(broken("it was reset before the answer had arrived"))
        }
        WireFault::AnswerTruncated => {
            endpoint.call(call)?;
            Err(broken("it was closed before the answer was whole"))
        }
        WireFault::AnswerLate => {
            endpoint.call(call)?;
            Err(late)
        }
    }
}
