//! Floating point numbers as .NET's invariant culture writes them in its shortest round-trip form.

/// Writes `x` as .NET does: `0.0001`, `1E-05`, `123.4`, `1E+15`, `5E-324`, `-0` (.NET).
pub fn write_f64(out: &mut Vec<u8>, x: f64) {
    write_shortest(out, &format!("{x:e}"));
}

/// Writes a `real`: the shortest form that gives the same 32-bit number back.
pub fn write_f32(out: &mut Vec<u8>, x: f32) {
    write_shortest(out, &format!("{x:e}"));
}

/// Rust's `{:e}` gives the shortest digits that read back as the same number; .NET arranges those digits otherwise.
fn write_shortest(out: &mut Vec<u8>, scientific: &str) {
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
    let digits: Vec<u8> = mantissa.bytes().filter(|b| *b != b'.').collect();
    out.extend_from_slice(sign.as_bytes());
    if !(-5 < exponent && exponent < 15) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let mark = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("E{mark}{:02}", exponent.unsigned_abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(&digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(&digits);
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
