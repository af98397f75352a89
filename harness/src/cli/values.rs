//! Reading what stands behind a flag.

use std::time::Duration;

/// Reads a time span as people write it: `30s`, `20min`, `2h`, `500ms`. At least one millisecond.
///
/// # Errors
/// A text for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time span; expected a number with ms, s, min or h: 30s, 20min");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit.trim() {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    }
    .and_then(|unit: u64| number.checked_mul(unit))
    .filter(|ms| *ms > 0)
    .ok_or_else(wrong)?;
    Ok(Duration::from_millis(milliseconds))
}

/// Reads how often something comes: a [`duration`] of whole seconds, or `0s`.
///
/// # Errors
/// A text for people.
pub fn interval(text: &str) -> Result<Duration, String> {
    if text == "0s" {
        return Ok(Duration::ZERO);
    }
    let every = duration(text)?;
    match every.subsec_nanos() {
        0 => Ok(every),
        _ => Err(format!(
            "`{text}` is no number of whole seconds; expected 1s or more, or 0s"
        )),
    }
}

/// Reads an application's id as SuperOffice gave it; tokens put `spn:` before it.
///
/// # Errors
/// A text for people.
pub fn application_id(text: &str) -> Result<String, String> {
    let id = text.trim();
    let plain = !id.is_empty() && id.len() <= 128 && id.chars().all(|c| c.is_ascii_graphic());
    if plain && !id.starts_with("spn:") {
        Ok(id.to_owned())
    } else {
        Err("this is no application id; expected it as SuperOffice gave it, without `spn:`".into())
    }
}

/// Reads a table or column to leave out: `contact`, `contact.updated`, `*.updated`.
///
/// # Errors
/// A text for people.
pub fn ignore(text: &str) -> Result<crate::compare::Ignore, String> {
    crate::compare::Ignore::parse(text, "left out by --ignore").ok_or_else(|| {
        format!("`{text}` names neither table nor column; expected contact, contact.updated or *.updated")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans() {
        for (text, ms) in [
            ("30s", 30_000),
            ("20min", 1_200_000),
            ("2 h", 7_200_000),
            ("5m", 300_000),
            ("1ms", 1),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "0s",
            "1.5s",
            "30 seconds",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(interval("0s"), Ok(Duration::ZERO));
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        for text in ["0", "0min", "500ms", "1500ms"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn application_ids() {
        assert_eq!(application_id(" my-app "), Ok("my-app".into()));
        for text in ["", "  ", "spn:x", "a b", "blå"] {
            assert!(application_id(text).is_err(), "{text}");
        }
    }
}
