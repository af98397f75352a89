//! The memory of tokens that were used, for servers that refuse a second use.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::TrustError;

/// How many tokens are remembered. Each call of the mirroring task has its own, and each is forgotten once it has
/// expired: this many are some three hundred calls a second.
pub const NONCES_MAX: usize = 131_072;

#[derive(Default)]
struct State {
    /// Context and nonce, with the time from which the token is expired and need not be remembered.
    seen: HashMap<String, i64>,
    swept_at: i64,
}

/// Nonces of valid tokens that were seen. Only tokens found right come here, so no stranger can fill it.
pub struct Nonces {
    state: Mutex<State>,
    max: usize,
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces::with_room(NONCES_MAX)
    }
}

impl Nonces {
    /// A memory of `max` tokens.
    pub fn with_room(max: usize) -> Nonces {
        Nonces {
            state: Mutex::default(),
            max,
        }
    }

    /// Takes a nonce for the first time; it is remembered until `forgotten_at`, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// [`TrustError::Replayed`] the second time; [`TrustError::TooManyNonces`] where there is no room, since a token
    /// that cannot be remembered could be used again.
    pub fn take(&self, context: &str, nonce: &str, now: i64, forgotten_at: i64) -> Result<(), TrustError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // No context id holds a blank.
        let key = format!("{} {nonce}", context.to_ascii_lowercase());
        if state.seen.get(&key).is_some_and(|until| *until > now) {
            return Err(TrustError::Replayed);
        }
        if state.seen.len() >= self.max || now.abs_diff(state.swept_at) >= 60 {
            state.seen.retain(|_, until| *until > now);
            state.swept_at = now;
        }
        if state.seen.len() >= self.max {
            return Err(TrustError::TooManyNonces);
        }
        state.seen.insert(key, forgotten_at);
        Ok(())
    }

    /// How many are remembered now.
    pub fn len(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
