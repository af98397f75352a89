//! The five operations on a tenant's mirror: each call is one transaction, kept whole or not at all.

use std::sync::Arc;

use mirrorlab_protocol::message::{Request, Response};

use crate::admin::MirrorAdmin;
use crate::store::MirrorStore;

/// What a partner may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Refuse a TableSchema call that would drop more than half of ten or more tables, instead of only warning.
    pub drop_guard: bool,
}

/// The mirroring service behind its door: who calls is known by now, what they ask is done here.
pub struct Mirroring {
    /// Where mirrors live.
    pub store: Arc<dyn MirrorStore>,
    /// The partner's side.
    pub admin: Arc<dyn MirrorAdmin>,
    /// What the partner chose.
    pub options: Options,
}

impl Mirroring {
    /// Does what `request` asks for tenant `context`. A refusal is a response too, and an Error event. Authenticate's
    /// `signed_application_token` is left `None`: who holds the key fills it in.
    pub fn run(&self, context: &str, request: &Request<'_>) -> Response {
        let _ = context;
        Response::refusal(request.operation(), "not built yet")
    }
}
