//! Exact decimal numbers: SQL Server's `decimal`, `numeric`, `money` and `smallmoney`.

use std::fmt;

/// The most digits a SQL Server decimal holds.
pub const PRECISION_MAX: u8 = 38;

/// A number of at most 38 digits, `unscaled` / 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits, with the sign.
    pub unscaled: i128,
    /// How many of them stand behind the point, 0 to 38.
    pub scale: u8,
}

impl Decimal {
    /// Reads `-12.50`, `+3`, `.5`, `1E+21`, `2.5e-3`. `None` for anything else or for more than 38 digits.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut unscaled: i128 = 0;
        for b in whole.bytes().chain(fraction.bytes()) {
            let digit = i128::from(b.checked_sub(b'0').filter(|d| *d < 10)?);
            unscaled = unscaled.checked_mul(10)?.checked_add(digit)?;
        }
        let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        while scale < 0 {
            if unscaled == 0 {
                scale = 0;
                break;
            }
            unscaled = unscaled.checked_mul(10)?;
            scale += 1;
        }
        while scale > i32::from(PRECISION_MAX) {
            if unscaled % 10 != 0 {
                return None;
            }
            unscaled /= 10;
            scale = if unscaled == 0 { 0 } else { scale - 1 };
        }
        if digits_of(unscaled) > PRECISION_MAX {
            return None;
        }
        Some(Decimal {
            unscaled: if negative { -unscaled } else { unscaled },
            scale: u8::try_from(scale).ok()?,
        })
    }

    /// The same number with `scale` digits behind the point, rounded half away from zero as SQL Server does; `None`
    /// where it then needs more than `precision` digits.
    pub fn fit(self, precision: u8, scale: u8) -> Option<Decimal> {
        let mut unscaled = self.unscaled;
        if self.scale <= scale {
            for _ in self.scale..scale {
                unscaled = unscaled.checked_mul(10)?;
            }
        } else {
            let divisor = 10i128.checked_pow(u32::from(self.scale - scale))?;
            let rest = unscaled % divisor;
            unscaled /= divisor;
            if rest.unsigned_abs() * 2 >= divisor.unsigned_abs() {
                unscaled += if self.unscaled < 0 { -1 } else { 1 };
            }
        }
        (digits_of(unscaled) <= precision).then_some(Decimal { unscaled, scale })
    }
}

fn digits_of(unscaled: i128) -> u8 {
    match unscaled.unsigned_abs().checked_ilog10() {
        None => 1,
        Some(log) => u8::try_from(log + 1).unwrap_or(u8::MAX),
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let digits = self.unscaled.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn forms_that_are_read() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.50", "-0.50"),
            (".5", "0.5"),
            ("+12.", "12"),
            ("1E+21", "1000000000000000000000"),
            ("2.5e-3", "0.0025"),
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999",
            ),
            ("0E+99", "0"),
            ("1E-38", "0.00000000000000000000000000000000000001"),
            ("100E-40", "0.00000000000000000000000000000000000001"),
            ("0E-99", "0"),
        ] {
            assert_eq!(d(text).to_string(), expected);
        }
        for bad in [
            "",
            "-",
            ".",
            "1,5",
            "1e",
            "0x1",
            "999999999999999999999999999999999999999",
            "1E+40",
            "1E-39",
            "1:",
            "1/",
            "--1",
            "1E2147483648",
        ] {
            assert_eq!(Decimal::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(d("2.345").fit(5, 2).unwrap().to_string(), "2.35");
        assert_eq!(d("-2.345").fit(5, 2).unwrap().to_string(), "-2.35");
        assert_eq!(d("2.344").fit(5, 2).unwrap().to_string(), "2.34");
        assert_eq!(d("999.995").fit(5, 2), None, "rounds up to six digits");
        assert_eq!(d("1.24999").fit(5, 1).unwrap().to_string(), "1.2");
        assert_eq!(d("-2.5").fit(5, 0).unwrap().to_string(), "-3");
        assert_eq!(d("-0.4").fit(5, 0).unwrap().to_string(), "0", "no sign on a zero");
        assert_eq!(d("7").fit(3, 2).unwrap().to_string(), "7.00");
        assert_eq!(d("10").fit(3, 2), None, "four digits");
    }

    proptest! {
        #[test]
        fn every_decimal_survives(unscaled in -(10i128.pow(37))..10i128.pow(37), scale in 0u8..=37) {
            let x = Decimal { unscaled, scale };
            prop_assert_eq!(Decimal::parse(&x.to_string()), Some(x));
        }
    }
}
