//! Certificates asked for on demand: the trait, and what stands around every resolver so that neither a caller nor a
//! failing resolver can do harm.
//!
//! Anybody can send a token with an invented key id. So answers are kept, misses too, questions are counted, one is asked
//! at a time, and only a few callers wait for it. A key that is known is never looked up again before it is old, and stays
//! in use where its refresh fails.
//!
//! A flood of invented ids takes every question there is. Where one question brings all keys
//! ([`CertificateResolver::resolve_all`]), that does a new key no harm: whoever asks, it comes along, within the few seconds
//! until the next question. A resolver that is asked key by key cannot be protected so: a new key may have to wait for
//! the flood's end, or be put into the directory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::excerpt;

/// The longest key id that is looked up, in bytes. A thumbprint has 40.
const KEY_ID_BYTES_MAX: usize = 128;

/// How a token names its certificate; at least one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// The SHA-1 thumbprint in hex (seen in upper case).
    pub kid: Option<String>,
    /// The SHA-1 thumbprint in base64url.
    pub x5t: Option<String>,
}

impl KeyId {
    /// The id for a person to read.
    pub fn name(&self) -> &str {
        self.kid.as_deref().or(self.x5t.as_deref()).unwrap_or_default()
    }

    /// Whether this id is `certificate`'s thumbprint.
    pub fn names(&self, certificate: &Certificate) -> bool {
        let print = certificate.thumbprint_hex();
        self.thumbprints().any(|wanted| wanted == print)
    }

    /// The certificate in a map by thumbprint in upper hex.
    pub(super) fn in_thumbprints(&self, map: &HashMap<String, Arc<Certificate>>) -> Option<Arc<Certificate>> {
        self.thumbprints().find_map(|print| map.get(&print).cloned())
    }

    /// The thumbprints that the id may mean, in upper hex.
    fn thumbprints(&self) -> impl Iterator<Item = String> {
        let kid = self.kid.as_deref().map(str::to_ascii_uppercase);
        let x5t = self
            .x5t
            .as_deref()
            .and_then(|x5t| URL_SAFE_NO_PAD.decode(x5t.trim_end_matches('=')).ok())
            .map(|bytes| bytes.iter().map(|b| format!("{b:02X}")).collect());
        kid.into_iter().chain(x5t)
    }

    /// Whether the two have one of their names in common.
    fn shares_a_name(&self, other: &KeyId) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.kid, &other.kid) || same(&self.x5t, &other.x5t)
    }

    fn is_short(&self) -> bool {
        let short = |id: &Option<String>| id.as_ref().is_none_or(|id| id.len() <= KEY_ID_BYTES_MAX);
        short(&self.kid) && short(&self.x5t)
    }
}

/// Why a resolver has no answer. For the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(pub String);

/// Finds a certificate that is not in the directory. It is trusted: whatever certificate it names for a key id signs tokens.
pub trait CertificateResolver: Send + Sync {
    /// The certificate of that id, `None` where there is none. It may block, for a bounded time.
    ///
    /// # Errors
    /// [`ResolveError`] where that cannot be said now.
    fn resolve(&self, key: &KeyId) -> Result<Option<Certificate>, ResolveError>;

    /// Every certificate there is, where one question brings them all; `None` where each has to be asked for. Then
    /// [`CertificateResolver::resolve`] is not asked.
    fn resolve_all(&self) -> Option<Result<Vec<Named>, ResolveError>> {
        None
    }
}

/// A certificate, and what its resolver calls it. It is found by its thumbprint as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The names, where it has any.
    pub key: KeyId,
    /// The certificate.
    pub certificate: Certificate,
}

impl Named {
    /// Whether `key` means this one.
    pub fn is(&self, key: &KeyId) -> bool {
        self.key.shares_a_name(key) || key.names(&self.certificate)
    }
}

/// What stands around a resolver. Times are in seconds of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolverLimits {
    /// How long an answer is used before it is asked for again.
    pub hit_seconds: i64,
    /// How long an id that the resolver does not know is not asked for again.
    pub miss_seconds: i64,
    /// How long an id is not asked for again after the resolver failed.
    pub failure_seconds: i64,
    /// How many questions are asked at once, and a minute, whatever their ids: the next ones are spread over the minute.
    pub questions_per_minute_max: usize,
    /// How many callers wait for a question under way; more are refused at once.
    pub waiting_max: usize,
    /// How many answers are kept.
    pub hits_max: usize,
}

impl Default for ResolverLimits {
    fn default() -> ResolverLimits {
        ResolverLimits {
            hit_seconds: 24 * 60 * 60,
            miss_seconds: 60,
            failure_seconds: 10,
            questions_per_minute_max: 10,
            waiting_max: 16,
            hits_max: 64,
        }
    }
}

/// Why there is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The resolver does not know it.
    Unknown,
    /// The resolver failed, or was asked too much.
    NotNow,
}

struct State {
    hits: HashMap<KeyId, Hit>,
    /// Until when not to ask, and what to say.
    misses: HashMap<KeyId, (i64, Unresolved)>,
    /// How many questions may be asked now.
    questions: usize,
    /// When the last one of them was added.
    added_at: i64,
}

impl State {
    /// Whether a question may be asked; it is counted then.
    fn take_question(&mut self, now: i64, per_minute_max: usize) -> bool {
        // A clock that was set back must not stop the questions.
        self.added_at = self.added_at.min(now);
        let step = 60 / i64::try_from(per_minute_max).unwrap_or(60).clamp(1, 60);
        let added = now.saturating_sub(self.added_at) / step;
        self.added_at = self.added_at.saturating_add(added.saturating_mul(step));
        self.questions = self
            .questions
            .saturating_add(usize::try_from(added).unwrap_or(usize::MAX))
            .min(per_minute_max);
        match self.questions.checked_sub(1) {
            Some(left) => {
                self.questions = left;
                true
            }
            None => false,
        }
    }

    /// Keeps an answer. The oldest one makes room for it.
    fn keep(&mut self, key: KeyId, hit: Hit, hits_max: usize) {
        if self.hits.len() >= hits_max
            && !self.hits.contains_key(&key)
            && let Some(oldest) = self
                .hits
                .iter()
                .min_by_key(|(_, hit)| hit.ask_again_at)
                .map(|(key, _)| key.clone())
        {
            self.hits.remove(&oldest);
        }
        self.hits.insert(key, hit);
    }
}

struct Hit {
    certificate: Arc<Certificate>,
    /// In upper hex.
    thumbprint: String,
    ask_again_at: i64,
}

impl Hit {
    fn new(certificate: Certificate, ask_again_at: i64) -> Hit {
        Hit {
            thumbprint: certificate.thumbprint_hex(),
            certificate: Arc::new(certificate),
            ask_again_at,
        }
    }
}

/// A resolver with its cache and limits.
pub(super) struct ResolverCache {
    resolver: Box<dyn CertificateResolver>,
    limits: ResolverLimits,
    clock: Arc<dyn Clock>,
    /// Never held while the resolver is asked: known keys pass meanwhile.
    state: Mutex<State>,
    /// Held while the resolver is asked.
    asking: Mutex<()>,
    waiting: AtomicUsize,
}

/// Where a look into the cache leaves a caller.
enum Look {
    Done(Result<Arc<Certificate>, Unresolved>),
    /// To be asked; what to use where that fails.
    Ask(Option<Arc<Certificate>>),
}

impl ResolverCache {
    pub(super) fn new(
        resolver: Box<dyn CertificateResolver>,
        limits: ResolverLimits,
        clock: Arc<dyn Clock>,
    ) -> ResolverCache {
        ResolverCache {
            resolver,
            limits,
            state: Mutex::new(State {
                hits: HashMap::new(),
                misses: HashMap::new(),
                questions: limits.questions_per_minute_max,
                added_at: clock.now(),
            }),
            clock,
            asking: Mutex::new(()),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) fn find(&self, key: &KeyId) -> Result<Arc<Certificate>, Unresolved> {
        if !key.is_short() {
            return Err(Unresolved::Unknown);
        }
        let old = match self.look(key) {
            Look::Done(done) => return done,
            Look::Ask(old) => old,
        };
        let _turn = match (self.asking.try_lock(), old) {
            (Ok(turn), _) => turn,
            (Err(TryLockError::Poisoned(turn)), _) => turn.into_inner(),
            // An old answer is better than waiting for a new one.
            (Err(TryLockError::WouldBlock), Some(old)) => return Ok(old),
            (Err(TryLockError::WouldBlock), None) => self.wait()?,
        };
        // Who had the turn before may have asked for the same.
        match self.look(key) {
            Look::Done(done) => done,
            Look::Ask(old) => self.ask(key, old),
        }
    }

    fn wait(&self) -> Result<MutexGuard<'_, ()>, Unresolved> {
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let turn = (before < self.limits.waiting_max)
            .then(|| self.asking.lock().unwrap_or_else(PoisonError::into_inner));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        turn.ok_or(Unresolved::NotNow)
    }

    fn look(&self, key: &KeyId) -> Look {
        let now = self.clock.now();
        let state = self.state();
        // One name that is known is enough. Anybody knows SuperOffice's key ids, and could pair them with invented ones to
        // ask again and again, until the invented pairs had pushed the real one out of the cache.
        let known = state.hits.get(key).or_else(|| {
            let mut hits = state.hits.iter();
            let is = |known: &KeyId, hit: &Hit| {
                known.shares_a_name(key) || key.thumbprints().any(|print| print == hit.thumbprint)
            };
            hits.find_map(|(known, hit)| is(known, hit).then_some(hit))
        });
        let old = match known {
            Some(hit) if hit.ask_again_at > now => return Look::Done(Ok(Arc::clone(&hit.certificate))),
            old => old.map(|hit| Arc::clone(&hit.certificate)),
        };
        match state.misses.get(key) {
            Some((until, why)) if *until > now => Look::Done(old.ok_or(*why)),
            _ => Look::Ask(old),
        }
    }

    fn ask(&self, key: &KeyId, old: Option<Arc<Certificate>>) -> Result<Arc<Certificate>, Unresolved> {
        let now = self.clock.now();
        {
            let mut state = self.state();
            if !state.take_question(now, self.limits.questions_per_minute_max) {
                tracing::warn!(key = %excerpt(key.name()), "too many unknown key ids: the certificate resolver is not asked now");
                return old.ok_or(Unresolved::NotNow);
            }
        }
        let all = self.resolver.resolve_all();
        let answer = match all {
            Some(all) => all.map(|all| self.learn(all, key)),
            None => self.resolver.resolve(key),
        };
        let now = self.clock.now();
        let mut state = self.state();
        state.misses.retain(|_, (until, _)| *until > now);
        match answer {
            Ok(Some(certificate)) => {
                tracing::info!(key = %excerpt(key.name()), thumbprint = %certificate.thumbprint_hex(), "certificate resolved");
                let hit = Hit::new(certificate, now.saturating_add(self.limits.hit_seconds));
                let certificate = Arc::clone(&hit.certificate);
                state.keep(key.clone(), hit, self.limits.hits_max);
                Ok(certificate)
            }
            Ok(None) => {
                tracing::info!(key = %excerpt(key.name()), "the certificate resolver does not know this key id");
                state.hits.remove(key);
                let until = now.saturating_add(self.limits.miss_seconds);
                state.misses.insert(key.clone(), (until, Unresolved::Unknown));
                Err(Unresolved::Unknown)
            }
            Err(error) => {
                tracing::warn!(key = %excerpt(key.name()), %error, "the certificate resolver failed");
                let until = now.saturating_add(self.limits.failure_seconds);
                state.misses.insert(key.clone(), (until, Unresolved::NotNow));
                old.ok_or(Unresolved::NotNow)
            }
        }
    }

    /// Keeps every key that came along with an answer, and gives the one that was asked for.
    fn learn(&self, all: Vec<Named>, wanted: &KeyId) -> Option<Certificate> {
        let now = self.clock.now();
        let ask_again_at = now.saturating_add(self.limits.hit_seconds);
        let mut found = None;
        let mut state = self.state();
        // What was due to be asked for and did not come is known no longer, whoever asked.
        state
            .hits
            .retain(|key, hit| hit.ask_again_at > now || all.iter().any(|named| named.is(key)));
        for named in all {
            if named.is(wanted) {
                found = found.or(Some(named.certificate));
                continue;
            }
            let mut key = named.key;
            if key.kid.is_none() && key.x5t.is_none() {
                key.kid = Some(named.certificate.thumbprint_hex());
            }
            state.keep(
                key,
                Hit::new(named.certificate, ask_again_at),
                self.limits.hits_max,
            );
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
