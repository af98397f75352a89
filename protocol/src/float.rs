//! Floating point numbers as .NET's invariant culture writes them in its shortest round-trip form.

use std::fmt::LowerExp;
use std::io::Write as _;

/// Writes `x` as .NET does: `0.0001`, `1E-05`, `123.4`, `1E+15`, `5E-324`, `-0` (.NET). The infinities and NaN, which
/// no SQL Server column holds but a damaged source may, are `Infinity`, `-Infinity` and `NaN`, and read by nobody.
pub fn write_f64(out: &mut Vec<u8>, x: f64) {
    if x.is_finite() {
        write_shortest(out, x);
    } else {
        let text: &[u8] = match (x.is_nan(), x > 0.0) {
            (true, _) => b"NaN",
            (false, true) => b"Infinity",
            (false, false) => b"-Infinity",
        };
        out.extend_from_slice(text);
    }
}

/// Writes a `real`: the shortest form that gives the same 32-bit number back.
pub fn write_f32(out: &mut Vec<u8>, x: f32) {
    if x.is_finite() {
        write_shortest(out, x);
    } else {
        write_f64(out, f64::from(x));
    }
}

/// Rust's `{:e}` gives the shortest digits that read back as the same number; .NET arranges those digits otherwise.
fn write_shortest(out: &mut Vec<u8>, finite: impl LowerExp) {
    // `-1.7976931348623157e308` is as long as it gets.
    let mut buffer = [0; 32];
    let mut free = &mut buffer[..];
    write!(free, "{finite:e}").expect("no float's {:e} is longer than 24 bytes");
    let unused = free.len();
    let scientific =
        std::str::from_utf8(&buffer[..buffer.len() - unused]).expect("Rust writes floats in ASCII");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("Rust writes every finite float's {:e} with an 'e'");
    let exponent: i32 = exponent
        .parse()
        .expect("Rust writes a float's exponent as an integer");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let mut digits = [0; 32];
    let mut count = 0;
    for digit in mantissa.bytes().filter(|b| *b != b'.') {
        digits[count] = digit;
        count += 1;
    }
    let digits = &digits[..count];
    out.extend_from_slice(sign.as_bytes());
    if !(-5 < exponent && exponent < 15) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let mark = if exponent < 0 { b'-' } else { b'+' };
        out.extend_from_slice(&[b'E', mark]);
        crate::datetime::push_digits(
            out,
            i64::from(exponent.abs()),
            if exponent.abs() > 99 { 3 } else { 2 },
        );
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// Reads a number in invariant culture. `None` for anything else, NaN and the infinities included: SQL Server's
/// `float` holds finite numbers alone.
pub fn parse_f64(text: &str) -> Option<f64> {
    looks_numeric(text)
        .then(|| text.parse::<f64>().ok())
        .flatten()
        .filter(|x| x.is_finite())
}

/// [`parse_f64`] for a `real`. A number too large for 32 bits is refused, not made infinite.
pub fn parse_f32(text: &str) -> Option<f32> {
    looks_numeric(text)
        .then(|| text.parse::<f32>().ok())
        .flatten()
        .filter(|x| x.is_finite())
}

/// Whether this is a number at all, in the range of a type or not.
pub fn is_number(text: &str) -> bool {
    looks_numeric(text) && text.parse::<f64>().is_ok()
}

/// Rust also reads `inf`, `nan` and `infinity`, which no sender of numbers writes.
fn looks_numeric(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(x: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, x);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_look_as_dotnet_writes_them() {
        for (x, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (123.4, "123.4"),
            (0.0001, "0.0001"),
            (0.00001, "1E-05"),
            (1e14, "100000000000000"),
            (1e15, "1E+15"),
            (1.5e21, "1.5E+21"),
            (5e-324, "5E-324"),
            (f64::MAX, "1.7976931348623157E+308"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-12345678.875, "-12345678.875"),
            (f64::MIN, "-1.7976931348623157E+308"),
            (1e-100, "1E-100"),
            (1e99, "1E+99"),
            (1.5e-99, "1.5E-99"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(x), expected);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in ["", "nan", "inf", "-Infinity", "1,5", "1e999", " 1", "0x1"] {
            assert_eq!(parse_f64(bad), None, "{bad:?}");
        }
        assert_eq!(parse_f32("1E+39"), None);
    }

    proptest! {
        #[test]
        fn every_double_survives(bits: u64) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            prop_assert_eq!(parse_f64(&text(x)).map(f64::to_bits), Some(bits));
        }

        #[test]
        fn every_real_survives(bits: u32) {
            let x = f32::from_bits(bits);
            prop_assume!(x.is_finite());
            let mut out = Vec::new();
            write_f32(&mut out, x);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(parse_f32(&text).map(f32::to_bits), Some(bits));
        }
    }
}
