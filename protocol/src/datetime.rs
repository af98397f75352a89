//! Dates and times as .NET counts them and as the wire writes them.
//!
//! All of SQL Server's date types share one count: ticks of 100 ns since 0001-01-01 00:00, no zone. Which of those ticks
//! a column can hold, and how it rounds the others, is in [`DateTime::round_to_datetime`] and its neighbours.

use std::fmt;

/// Ticks of 100 ns in a second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
/// Ticks of 100 ns in a day.
pub const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
const TICKS_PER_MS: i64 = 10_000;
const TICKS_PER_MINUTE: i64 = 60 * TICKS_PER_SECOND;
/// Days from 0001-01-01 to 1970-01-01.
const UNIX_EPOCH_DAYS: i64 = 719_162;

/// A point of the calendar between 0001-01-01 and 9999-12-31, in ticks of 100 ns since its start. It has no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(i64);

impl DateTime {
    /// 0001-01-01 00:00:00.
    pub const MIN: DateTime = DateTime(0);
    /// 9999-12-31 23:59:59.9999999.
    pub const MAX: DateTime = DateTime(3_652_059 * TICKS_PER_DAY - 1);

    /// The point `ticks` after 0001-01-01; `None` outside [`DateTime::MIN`] to [`DateTime::MAX`].
    pub fn from_ticks(ticks: i64) -> Option<DateTime> {
        (DateTime::MIN.0..=DateTime::MAX.0)
            .contains(&ticks)
            .then_some(DateTime(ticks))
    }

    /// Ticks of 100 ns since 0001-01-01 00:00.
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// The calendar day `year`-`month`-`day` plus `ticks` of that day; `None` for a day that does not exist.
    pub fn from_parts(year: i64, month: i64, day: i64, ticks: i64) -> Option<DateTime> {
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) {
            return None;
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=last).contains(&day) || !(0..TICKS_PER_DAY).contains(&ticks) {
            return None;
        }
        DateTime::from_ticks(days_from_civil(year, month, day) * TICKS_PER_DAY + ticks)
    }

    /// The point `seconds` after 1970-01-01 00:00 UTC, read as UTC.
    pub fn from_unix_seconds(seconds: i64) -> Option<DateTime> {
        let ticks = seconds.checked_mul(TICKS_PER_SECOND)?;
        DateTime::from_ticks(ticks.checked_add(UNIX_EPOCH_DAYS * TICKS_PER_DAY)?)
    }

    /// Whole seconds since 1970-01-01 00:00, read as UTC; negative before it.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND) - UNIX_EPOCH_DAYS * 86_400
    }

    /// Year, month, day.
    pub fn date(self) -> (i64, i64, i64) {
        civil_from_days(self.0 / TICKS_PER_DAY)
    }

    /// Ticks since this day's midnight, 0 to [`TICKS_PER_DAY`] - 1.
    pub fn ticks_of_day(self) -> i64 {
        self.0 % TICKS_PER_DAY
    }

    /// This day's midnight.
    pub fn midnight(self) -> DateTime {
        DateTime(self.0 - self.ticks_of_day())
    }

    /// Reads `05/18/2020 10:40:43.0000000`, the wire's form; the time and its parts from the end may be missing. ISO's
    /// `2020-05-18[T ]10:40:43.123` and SQL's `20200518 10:40:43`, which defaults use, are read too.
    pub fn parse(text: &str) -> Option<DateTime> {
        let (date, time) = match text.find([' ', 'T']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let bytes = date.as_bytes();
        let (year, month, day) = match bytes {
            [_, _, b'/', _, _, b'/', _, _, _, _] => (&date[6..], date.get(0..2)?, date.get(3..5)?),
            [_, _, _, _, b'-', _, _, b'-', _, _] => (date.get(0..4)?, date.get(5..7)?, date.get(8..10)?),
            [_, _, _, _, _, _, _, _] => (date.get(0..4)?, date.get(4..6)?, date.get(6..8)?),
            _ => return None,
        };
        let ticks = match time {
            Some(time) => parse_time(time)?,
            None => 0,
        };
        DateTime::from_parts(number(year)?, number(month)?, number(day)?, ticks)
    }

    /// The nearest of the 1/300 s that `datetime` holds, written in whole milliseconds (…0, …3, …7) as .NET reads
    /// them back; `None` before 1753, where `datetime` begins, and where rounding leaves the year 9999.
    pub fn round_to_datetime(self) -> Option<DateTime> {
        // Half of 1/300 s, in the unit of ticks × 3, makes the division round half up.
        let three_hundredths = (self.ticks_of_day() * 3 + 50_000) / 100_000;
        let ms = (three_hundredths * 10 + 1) / 3;
        let rounded = DateTime::from_ticks(self.midnight().0 + ms * TICKS_PER_MS)?;
        (rounded.date().0 >= 1753).then_some(rounded)
    }

    /// The nearest minute, as `smalldatetime` keeps; `None` outside 1900-01-01 to 2079-06-06.
    pub fn round_to_smalldatetime(self) -> Option<DateTime> {
        let rounded = self.round_to(TICKS_PER_MINUTE)?;
        let first = DateTime::from_parts(1900, 1, 1, 0)?;
        let last = DateTime::from_parts(2079, 6, 6, TICKS_PER_DAY - TICKS_PER_MINUTE)?;
        (first..=last).contains(&rounded).then_some(rounded)
    }

    /// The nearest point with `digits` (0 to 7) behind the second's point, as `datetime2(n)` keeps.
    pub fn round_to_digits(self, digits: u8) -> Option<DateTime> {
        self.round_to(10i64.pow(7 - u32::from(digits.min(7))))
    }

    fn round_to(self, unit: i64) -> Option<DateTime> {
        DateTime::from_ticks((self.0 + unit / 2) / unit * unit)
    }

    /// `MM/dd/yyyy HH:mm:ss.fffffff`, the wire's form (seen).
    pub fn write_wire(self, out: &mut Vec<u8>) {
        self.write_wire_date(out);
        out.push(b' ');
        write_time(out, self.ticks_of_day(), 7);
    }

    /// `MM/dd/yyyy`, the wire's form of a `date` (doc).
    pub fn write_wire_date(self, out: &mut Vec<u8>) {
        let (year, month, day) = self.date();
        push_digits(out, month, 2);
        out.push(b'/');
        push_digits(out, day, 2);
        out.push(b'/');
        push_digits(out, year, 4);
    }

    /// `yyyy-MM-dd`.
    pub fn write_iso_date(self, out: &mut Vec<u8>) {
        let (year, month, day) = self.date();
        push_digits(out, year, 4);
        out.push(b'-');
        push_digits(out, month, 2);
        out.push(b'-');
        push_digits(out, day, 2);
    }

    /// `yyyy-MM-dd HH:mm:ss` and `digits` (0 to 7) of the second's fraction.
    pub fn write_iso(self, out: &mut Vec<u8>, digits: u8) {
        self.write_iso_date(out);
        out.push(b' ');
        write_time(out, self.ticks_of_day(), digits);
    }
}

/// `yyyy-MM-dd HH:mm:ss.fffffff`.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(27);
        self.write_iso(&mut out, 7);
        f.write_str(std::str::from_utf8(&out).expect("only ASCII digits and marks were written"))
    }
}

/// Reads `HH:mm`, `HH:mm:ss` or `HH:mm:ss.f` with one to seven digits into ticks of the day.
pub fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(c, f)| (c, Some(f)));
    let mut parts = clock.split(':');
    let hour = two_digits(parts.next()?)?;
    let minute = two_digits(parts.next()?)?;
    let second = match parts.next() {
        Some(second) => two_digits(second)?,
        None if fraction.is_none() => 0,
        None => return None,
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut ticks = ((hour * 60 + minute) * 60 + second) * TICKS_PER_SECOND;
    if let Some(fraction) = fraction {
        if fraction.is_empty() || fraction.len() > 7 {
            return None;
        }
        ticks += number(fraction)? * 10i64.pow(7 - fraction.len() as u32);
    }
    Some(ticks)
}

/// Writes ticks of a day as `HH:mm`; what is left of the minute is not written.
pub fn write_minute_of_day(out: &mut Vec<u8>, ticks: i64) {
    let minutes = ticks / TICKS_PER_MINUTE;
    push_digits(out, minutes / 60, 2);
    out.push(b':');
    push_digits(out, minutes % 60, 2);
}

/// Writes ticks of a day as `HH:mm:ss` with `digits` (0 to 7) of the fraction.
pub fn write_time(out: &mut Vec<u8>, ticks: i64, digits: u8) {
    write_minute_of_day(out, ticks);
    out.push(b':');
    push_digits(out, ticks / TICKS_PER_SECOND % 60, 2);
    if digits > 0 {
        out.push(b'.');
        let digits = digits.min(7);
        let fraction = ticks % TICKS_PER_SECOND / 10i64.pow(7 - u32::from(digits));
        push_digits(out, fraction, usize::from(digits));
    }
}

/// The last `width` (at most 8) decimal digits of a number that is not negative.
pub(crate) fn push_digits(out: &mut Vec<u8>, mut value: i64, width: usize) {
    let mut digits = [b'0'; 8];
    for slot in digits[..width].iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[..width]);
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2).then(|| number(text)).flatten()
}

fn number(text: &str) -> Option<i64> {
    // Rust's parser would take a sign, too.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Days from 0001-01-01 to a day of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 306
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 306;
    let era = z.div_euclid(146_097);
    let day_of_era = z - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(x: DateTime) -> String {
        let mut out = Vec::new();
        x.write_wire(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn at(text: &str) -> DateTime {
        DateTime::parse(text).unwrap()
    }

    #[test]
    fn the_ends_of_the_calendar() {
        assert_eq!(wire(DateTime::MIN), "01/01/0001 00:00:00.0000000");
        assert_eq!(wire(DateTime::MAX), "12/31/9999 23:59:59.9999999");
        assert_eq!(at("1970-01-01").unix_seconds(), 0);
        assert_eq!(DateTime::from_ticks(DateTime::MAX.ticks() + 1), None);
    }

    #[test]
    fn forms_that_are_read() {
        let expected = at("05/18/2020 10:40:43.0000000");
        for same in [
            "05/18/2020 10:40:43",
            "2020-05-18 10:40:43.000",
            "2020-05-18T10:40:43",
            "20200518 10:40:43",
        ] {
            assert_eq!(at(same), expected, "{same}");
        }
        assert_eq!(at("17600101 00:00:00"), at("1760-01-01"));
        for bad in [
            "",
            "18/05/2020",
            "02/30/2020",
            "2020-13-01",
            "05/18/2020 24:00",
            "05/18/2020 10",
            "05/18/2020 10:40.5",
            "05/18/2020 10:40:43.12345678",
            "0x/18/2020",
            "ä5/18/2020",
            "2020-05-18 10:40:4é",
            "05/+1/2020",
            "05/18/+202",
            "2020-05-18 +1:40",
            "2020-05-18 1:40",
            "2020-05-18 10:4",
            "2020-05-18 10:60",
            "2020-05-18 10:40:60",
            "2020-05-18 10:40:43:00",
            "2020-05-18 10:40:43.",
            "2020-05-18 10:40:43.+1",
            "2020-05-18 ",
        ] {
            assert_eq!(DateTime::parse(bad), None, "{bad:?}");
        }
    }

    /// The calendar as a wall calendar has it: day after day, month after month.
    #[test]
    fn every_day_follows_the_one_before() {
        let mut days = 0;
        for year in 1..=801i64 {
            let leap = if year % 100 == 0 {
                year % 400 == 0
            } else {
                year % 4 == 0
            };
            let lengths = [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    let at = DateTime::from_parts(year, month, day, 7).unwrap();
                    assert_eq!(at.ticks(), days * TICKS_PER_DAY + 7, "{year} {month} {day}");
                    assert_eq!(at.date(), (year, month, day));
                    days += 1;
                }
                for day in [0, length + 1] {
                    assert_eq!(
                        DateTime::from_parts(year, month, day, 0),
                        None,
                        "{year} {month} {day}"
                    );
                }
            }
        }
        for (year, month, day, ticks) in [
            (0, 1, 1, 0),
            (10_000, 1, 1, 0),
            (2020, 0, 1, 0),
            (2020, 13, 1, 0),
            (2020, 1, 1, -1),
            (2020, 1, 1, TICKS_PER_DAY),
        ] {
            assert_eq!(DateTime::from_parts(year, month, day, ticks), None);
        }
        assert_eq!(at("2000-02-29").date(), (2000, 2, 29));
        assert_eq!(at("2000-02-29 12:00").midnight(), at("02/29/2000"));
    }

    #[test]
    fn seconds_since_1970_go_both_ways() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00.0000000"),
            (1_589_798_443, "2020-05-18 10:40:43.0000000"),
            (-1, "1969-12-31 23:59:59.0000000"),
        ] {
            let read = DateTime::from_unix_seconds(seconds).unwrap();
            assert_eq!(read.to_string(), expected);
            assert_eq!(read.unix_seconds(), seconds);
        }
        assert_eq!(
            at("1969-12-31 23:59:59.9").unix_seconds(),
            -1,
            "whole seconds, downwards"
        );
        assert_eq!(DateTime::from_unix_seconds(i64::MAX), None);
        assert_eq!(DateTime::from_unix_seconds(i64::MAX / TICKS_PER_SECOND), None);
        assert_eq!(DateTime::from_unix_seconds(i64::MIN), None);
    }

    #[test]
    fn a_fraction_is_cut_to_its_digits() {
        let written = |digits| {
            let mut out = Vec::new();
            at("2020-05-18 10:40:43.1239999").write_iso(&mut out, digits);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(0), "2020-05-18 10:40:43");
        assert_eq!(written(3), "2020-05-18 10:40:43.123");
        assert_eq!(written(7), "2020-05-18 10:40:43.1239999");
        assert_eq!(written(200), written(7), "there are no more");
    }

    #[test]
    fn datetime2_rounds_half_up() {
        for (digits, given, kept) in [
            (0, "2020-01-01 00:00:00.5", "2020-01-01 00:00:01"),
            (0, "2020-01-01 00:00:00.4999999", "2020-01-01"),
            (3, "2020-12-31 23:59:59.9995", "2021-01-01"),
            (6, "2020-01-01 00:00:00.0000014", "2020-01-01 00:00:00.000001"),
            (7, "2020-01-01 00:00:00.0000001", "2020-01-01 00:00:00.0000001"),
        ] {
            assert_eq!(
                at(given).round_to_digits(digits),
                Some(at(kept)),
                "{digits} {given}"
            );
        }
        assert_eq!(DateTime::MAX.round_to_digits(6), None, "the year 10000");
    }

    #[test]
    fn datetime_rounds_to_three_hundredths_of_a_second() {
        for (given, kept) in [
            ("2020-01-01 00:00:00.001", "2020-01-01 00:00:00.0000000"),
            ("2020-01-01 00:00:00.002", "2020-01-01 00:00:00.0030000"),
            ("2020-01-01 00:00:00.004", "2020-01-01 00:00:00.0030000"),
            ("2020-01-01 00:00:00.005", "2020-01-01 00:00:00.0070000"),
            ("2020-01-01 00:00:00.008", "2020-01-01 00:00:00.0070000"),
            ("2020-01-01 00:00:00.009", "2020-01-01 00:00:00.0100000"),
            ("2020-12-31 23:59:59.999", "2021-01-01 00:00:00.0000000"),
            ("2020-12-31 23:59:59.998", "2020-12-31 23:59:59.9970000"),
        ] {
            assert_eq!(
                at(given).round_to_datetime().unwrap().to_string(),
                kept,
                "{given}"
            );
        }
        assert_eq!(at("1752-12-31 23:59:59").round_to_datetime(), None);
        assert_eq!(at("9999-12-31 23:59:59.999").round_to_datetime(), None);
        assert!(at("9999-12-31 23:59:59.997").round_to_datetime().is_some());
    }

    #[test]
    fn smalldatetime_has_its_own_range() {
        let kept = at("2020-01-01 10:00:30").round_to_smalldatetime().unwrap();
        assert_eq!(kept, at("2020-01-01 10:01:00"));
        assert_eq!(at("1899-12-31").round_to_smalldatetime(), None);
        assert_eq!(at("2079-06-07").round_to_smalldatetime(), None);
        // Its ends are of what is kept, not of what was given.
        for (given, kept) in [
            ("1899-12-31 23:59:30", Some(at("1900-01-01"))),
            ("1899-12-31 23:59:29.9999999", None),
            ("2079-06-06 23:59:29.9999999", Some(at("2079-06-06 23:59"))),
            ("2079-06-06 23:59:30", None),
        ] {
            assert_eq!(at(given).round_to_smalldatetime(), kept, "{given}");
        }
    }

    proptest! {
        #[test]
        fn every_tick_survives(ticks in 0..=DateTime::MAX.ticks()) {
            let x = DateTime::from_ticks(ticks).unwrap();
            prop_assert_eq!(DateTime::parse(&wire(x)), Some(x));
            prop_assert_eq!(DateTime::parse(&x.to_string()), Some(x));
        }

        #[test]
        fn rounding_twice_is_rounding_once(ticks in 0..=DateTime::MAX.ticks()) {
            let x = DateTime::from_ticks(ticks).unwrap();
            if let Some(once) = x.round_to_datetime() {
                prop_assert_eq!(once.round_to_datetime(), Some(once));
                prop_assert!((once.ticks() - ticks).abs() <= 20_000, "at most half of 1/300 s, and a rounded ms");
            }
        }
    }
}
