//! The application's answer to a token: `nonce.yyyyMMddHHmm.signature`, by which SuperOffice knows the endpoint (seen).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::datetime::{DateTime, TICKS_PER_SECOND};
use crate::keys::{PrivateKey, PublicKey};

/// How far the answer's time may be from the sender's, in seconds: under 15 minutes (doc).
pub const DRIFT_SECONDS: i64 = 15 * 60;

/// Why an answer was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No answer at all.
    #[error("the answer has no SignedApplicationToken")]
    Missing,
    /// Not of the form.
    #[error("the SignedApplicationToken is not nonce.yyyyMMddHHmm.signature: `{0}`")]
    Malformed(String),
    /// Another nonce than was sent.
    #[error("the SignedApplicationToken signs the nonce `{signed}`, but `{sent}` was sent")]
    Nonce {
        /// The answer's.
        signed: String,
        /// The token's.
        sent: String,
    },
    /// Too old or too new.
    #[error("the SignedApplicationToken's time is {seconds} s from now; under {DRIFT_SECONDS} s is allowed")]
    Drift {
        /// Seconds between the answer's minute and now; negative in the past.
        seconds: i64,
    },
    /// Not signed by the application's key.
    #[error("the SignedApplicationToken's signature is not the application key's")]
    Signature,
}

/// Signs a nonce at `now`, in seconds since 1970 UTC.
pub fn sign(nonce: &str, now: i64, key: &PrivateKey) -> String {
    let signed = format!("{nonce}.{}", minute(now));
    let signature = STANDARD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Checks an answer as SuperOffice does.
///
/// # Errors
/// [`AnswerError`].
pub fn check(answer: Option<&str>, nonce: &str, now: i64, key: &PublicKey) -> Result<(), AnswerError> {
    let answer = answer.filter(|a| !a.is_empty()).ok_or(AnswerError::Missing)?;
    let malformed = || AnswerError::Malformed(crate::excerpt(answer));
    let (signed, signature) = answer.rsplit_once('.').ok_or_else(malformed)?;
    let (answered_nonce, time) = signed.rsplit_once('.').ok_or_else(malformed)?;
    let signature = STANDARD.decode(signature).map_err(|_| malformed())?;
    let time = read_minute(time).ok_or_else(malformed)?;
    if answered_nonce != nonce {
        return Err(AnswerError::Nonce {
            signed: crate::excerpt(answered_nonce),
            sent: nonce.to_owned(),
        });
    }
    let seconds = time - now;
    if seconds.abs() >= DRIFT_SECONDS {
        return Err(AnswerError::Drift { seconds });
    }
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(AnswerError::Signature);
    }
    Ok(())
}

/// `yyyyMMddHHmm` in UTC.
fn minute(now: i64) -> String {
    let now = DateTime::from_unix_seconds(now).unwrap_or(DateTime::MIN);
    let (year, month, day) = now.date();
    let minutes = now.ticks_of_day() / (60 * TICKS_PER_SECOND);
    format!(
        "{year:04}{month:02}{day:02}{:02}{:02}",
        minutes / 60,
        minutes % 60
    )
}

fn read_minute(text: &str) -> Option<i64> {
    if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    let (hour, minute) = (part(8, 10)?, part(10, 12)?);
    // A 24th hour is refused with the day's ticks, a 60th minute would be the next hour's first.
    if minute > 59 {
        return None;
    }
    let ticks = (hour * 60 + minute) * 60 * TICKS_PER_SECOND;
    DateTime::from_parts(part(0, 4)?, part(4, 6)?, part(6, 8)?, ticks).map(DateTime::unix_seconds)
}
