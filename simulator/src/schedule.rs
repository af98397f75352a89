//! When a tenant's next cycle is due: every 20 minutes, not in the nightly pause, not during maintenance (doc).
//!
//! The pause is what a clock on the wall there says, so that it moves with summer time. A cycle that would be due in a
//! pause or a maintenance window comes at its end, the first one after an approval too (assumed).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// How often a tenant's cycle comes, in seconds: 20 minutes (doc; 10 in older texts).
pub const EVERY_SECONDS_DEFAULT: i64 = 20 * 60;
/// The zone of the pause's times (assumed).
pub const ZONE_DEFAULT: &str = "Europe/Oslo";
/// How many windows in a row are waited for, before it is plain that no time is left between them.
const WINDOWS_MAX: usize = 4000;

/// A pause that comes every night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    from: Time,
    to: Time,
}

/// Why a schedule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not a pause.
    #[error("`{0}` is not a nightly pause; expected two different times of day like 01:30-03:00")]
    Pause(String),
    /// Not a time zone.
    #[error("`{0}` is not a time zone; expected a name like Europe/Oslo")]
    Zone(String),
    /// Not an interval.
    #[error("cycles every {0} s are not possible; expected 1 s or more")]
    Every(i64),
    /// A window that ends before it begins.
    #[error("the maintenance window ends {0} s before it begins")]
    Backwards(i64),
}

impl Pause {
    /// The newer text's pause: 01:30 to 03:00 (doc).
    pub fn newer() -> Pause {
        Pause {
            from: Time::constant(1, 30, 0, 0),
            to: Time::constant(3, 0, 0, 0),
        }
    }

    /// The older text's pause: 23:00 to 06:00 (doc).
    pub fn older() -> Pause {
        Pause {
            from: Time::constant(23, 0, 0, 0),
            to: Time::constant(6, 0, 0, 0),
        }
    }

    /// The pause that begins on this date; `None` where summer time leaves nothing of it.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<Window> {
        let last = if self.to > self.from {
            date
        } else {
            date.tomorrow().ok()?
        };
        // A time that comes twice: the pause lasts from the first to the second.
        let from = zone
            .to_ambiguous_timestamp(date.to_datetime(self.from))
            .compatible()
            .ok()?;
        let to = zone
            .to_ambiguous_timestamp(last.to_datetime(self.to))
            .later()
            .ok()?;
        (from < to).then(|| Window {
            from: from.as_second(),
            to: to.as_second(),
        })
    }
}

/// Reads `01:30-03:00`; where the second time is not later, it is the next day's.
impl FromStr for Pause {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Pause, ScheduleError> {
        let wrong = || ScheduleError::Pause(mirrorlab_protocol::excerpt(text));
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| time_of_day(text.trim()).ok_or_else(wrong);
        let (from, to) = (time(from)?, time(to)?);
        if from == to {
            Err(wrong())
        } else {
            Ok(Pause { from, to })
        }
    }
}

/// `01:30`, and nothing more.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from.hour(),
            from.minute(),
            to.hour(),
            to.minute()
        )
    }
}

/// From a second, up to but not with another; both since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    from: i64,
    to: i64,
}

impl Window {
    fn contains(&self, time: i64) -> bool {
        (self.from..self.to).contains(&time)
    }
}

/// When cycles come.
#[derive(Debug, Clone)]
pub struct Schedule {
    every_seconds: i64,
    zone: TimeZone,
    pauses: Vec<Pause>,
    maintenance: Vec<Window>,
}

impl Default for Schedule {
    /// Every 20 minutes, paused from 01:30 to 03:00 in Oslo.
    fn default() -> Schedule {
        Schedule {
            every_seconds: EVERY_SECONDS_DEFAULT,
            zone: TimeZone::get(ZONE_DEFAULT).unwrap_or(TimeZone::UTC),
            pauses: vec![Pause::newer()],
            maintenance: Vec::new(),
        }
    }
}

impl Schedule {
    /// Cycles every so many seconds.
    ///
    /// # Errors
    /// [`ScheduleError::Every`] below 1.
    pub fn every(mut self, seconds: i64) -> Result<Schedule, ScheduleError> {
        if seconds < 1 {
            return Err(ScheduleError::Every(seconds));
        }
        self.every_seconds = seconds;
        Ok(self)
    }

    /// The pauses' time zone, by its IANA name.
    ///
    /// # Errors
    /// [`ScheduleError::Zone`].
    pub fn in_zone(mut self, name: &str) -> Result<Schedule, ScheduleError> {
        self.zone =
            TimeZone::get(name).map_err(|_| ScheduleError::Zone(mirrorlab_protocol::excerpt(name)))?;
        Ok(self)
    }

    /// These pauses and no others; none at all is possible.
    pub fn with_pauses(mut self, pauses: Vec<Pause>) -> Schedule {
        self.pauses = pauses;
        self
    }

    /// No cycle begins from `from` up to `to`, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// [`ScheduleError::Backwards`].
    pub fn add_maintenance(&mut self, from: i64, to: i64) -> Result<(), ScheduleError> {
        if to < from {
            return Err(ScheduleError::Backwards(from - to));
        }
        self.maintenance.push(Window { from, to });
        Ok(())
    }

    /// How often cycles come, in seconds.
    pub fn every_seconds(&self) -> i64 {
        self.every_seconds
    }

    /// When a tenant's next cycle is due, in seconds since 1970 UTC: at once after its approval, then so many seconds
    /// after the last one began. `None` where pauses and maintenance leave no time.
    pub fn next(&self, approved: i64, last_began: Option<i64>) -> Option<i64> {
        self.earliest(match last_began {
            Some(began) if began >= approved => began.saturating_add(self.every_seconds),
            _ => approved,
        })
    }

    /// The time of day in the pauses' zone, in minutes since midnight.
    pub fn local_minute(&self, time: i64) -> u16 {
        let local = Timestamp::from_second(time)
            .unwrap_or_default()
            .to_zoned(self.zone.clone());
        let minutes = i32::from(local.hour()) * 60 + i32::from(local.minute());
        u16::try_from(minutes).expect("a day has 1440 minutes")
    }

    /// Whether no cycle may begin at `time`.
    pub fn is_closed(&self, time: i64) -> bool {
        self.window_at(time).is_some()
    }

    /// The first time from `time` on at which a cycle may begin; `None` where there is none.
    pub fn earliest(&self, time: i64) -> Option<i64> {
        let mut time = time;
        for _ in 0..WINDOWS_MAX {
            match self.window_at(time) {
                None => return Some(time),
                Some(window) => time = window.to,
            }
        }
        None
    }

    fn window_at(&self, time: i64) -> Option<Window> {
        if let Some(window) = self.maintenance.iter().find(|window| window.contains(time)) {
            return Some(*window);
        }
        let date = Timestamp::from_second(time)
            .ok()?
            .to_zoned(self.zone.clone())
            .date();
        let dates = [date.yesterday().ok(), Some(date)];
        self.pauses
            .iter()
            .flat_map(|pause| {
                dates
                    .iter()
                    .flatten()
                    .filter_map(|date| pause.on(*date, &self.zone))
            })
            .find(|window| window.contains(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn utc(seconds: i64) -> String {
        Timestamp::from_second(seconds).unwrap().to_string()
    }

    /// The times at which cycles begin from `from` to `to`.
    fn runs(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let (mut last, mut out) = (None, Vec::new());
        while let Some(next) = schedule.next(at(from), last).filter(|next| *next <= at(to)) {
            out.push(utc(next));
            last = Some(next);
        }
        out
    }

    #[test]
    fn a_night_in_winter() {
        // 01:30 to 03:00 in Oslo is 00:30 to 02:00 UTC.
        let runs = runs(
            &Schedule::default(),
            "2027-01-15T00:00:00Z",
            "2027-01-15T02:45:00Z",
        );
        let expected =
            ["00:00", "00:20", "02:00", "02:20", "02:40"].map(|time| format!("2027-01-15T{time}:00Z"));
        assert_eq!(runs, expected);
    }

    #[test]
    fn the_night_summer_time_begins_the_pause_is_half_an_hour() {
        // At 02:00 in Oslo, 01:00 UTC, it becomes 03:00.
        let schedule = Schedule::default();
        assert_eq!(
            utc(schedule.earliest(at("2027-03-28T00:30:00Z")).unwrap()),
            "2027-03-28T01:00:00Z"
        );
        assert!(!schedule.is_closed(at("2027-03-28T00:29:59Z")));
        assert!(schedule.is_closed(at("2027-03-28T00:59:59Z")));
        // The next night is a summer night: 23:30 to 01:00 UTC.
        assert_eq!(
            utc(schedule.earliest(at("2027-03-28T23:30:00Z")).unwrap()),
            "2027-03-29T01:00:00Z"
        );
    }

    #[test]
    fn the_night_summer_time_ends_the_pause_is_two_hours_and_a_half() {
        // At 03:00 in Oslo, 01:00 UTC, it becomes 02:00 again.
        let schedule = Schedule::default();
        assert!(!schedule.is_closed(at("2027-10-30T23:29:59Z")));
        assert_eq!(
            utc(schedule.earliest(at("2027-10-30T23:30:00Z")).unwrap()),
            "2027-10-31T02:00:00Z"
        );
        assert!(schedule.is_closed(at("2027-10-31T01:30:00Z")));
    }

    #[test]
    fn times_that_summer_time_doubles_or_leaves_out() {
        let pause = |text: &str| Schedule::default().with_pauses(vec![text.parse().unwrap()]);
        // 02:15 to 02:45 twice: from the first 02:15 to the second 02:45.
        let doubled = pause("02:15-02:45");
        assert_eq!(
            utc(doubled.earliest(at("2027-10-31T00:15:00Z")).unwrap()),
            "2027-10-31T01:45:00Z"
        );
        // 02:30 is not there: nothing is left of 02:30 to 03:00.
        let gone = pause("02:30-03:00");
        assert!((0..240).all(|minute| !gone.is_closed(at("2027-03-27T23:00:00Z") + minute * 60)));
    }

    #[test]
    fn the_older_pause_goes_over_midnight() {
        let schedule = Schedule::default().with_pauses(vec![Pause::older()]);
        assert_eq!(
            utc(schedule.earliest(at("2027-01-15T22:00:00Z")).unwrap()),
            "2027-01-16T05:00:00Z"
        );
        assert_eq!(
            utc(schedule.earliest(at("2027-01-16T04:59:59Z")).unwrap()),
            "2027-01-16T05:00:00Z"
        );
        assert!(!schedule.is_closed(at("2027-01-15T21:59:59Z")));
    }

    #[test]
    fn maintenance_and_the_pause_one_after_the_other() {
        let mut schedule = Schedule::default();
        schedule
            .add_maintenance(at("2027-01-15T01:50:00Z"), at("2027-01-15T04:10:00Z"))
            .unwrap();
        assert_eq!(
            utc(schedule.earliest(at("2027-01-15T00:30:00Z")).unwrap()),
            "2027-01-15T04:10:00Z"
        );
        assert_eq!(
            schedule.add_maintenance(10, 5).unwrap_err().to_string(),
            "the maintenance window ends 5 s before it begins"
        );
    }

    #[test]
    fn the_first_cycle_is_at_once_and_an_approval_anew_is_one_too() {
        let schedule = Schedule::default().with_pauses(Vec::new());
        assert_eq!(schedule.next(1000, None), Some(1000));
        assert_eq!(schedule.next(1000, Some(1000)), Some(2200));
        assert_eq!(schedule.next(5000, Some(1000)), Some(5000));
        assert_eq!(schedule.every(600).unwrap().next(1000, Some(1000)), Some(1600));
    }

    #[test]
    fn no_time_at_all_is_seen() {
        let pauses = ["00:00-12:00", "12:00-00:00"].map(|text| text.parse().unwrap());
        assert_eq!(Schedule::default().with_pauses(pauses.to_vec()).earliest(0), None);
    }

    #[test]
    fn what_is_no_schedule_is_said() {
        for text in [
            "",
            "01:30",
            "01:30-",
            "1-2",
            "25:00-03:00",
            "03:00-03:00",
            "01:30-03:00-04:00",
        ] {
            assert!(text.parse::<Pause>().is_err(), "{text}");
        }
        insta::assert_snapshot!("x".parse::<Pause>().unwrap_err(), @"`x` is not a nightly pause; expected two different times of day like 01:30-03:00");
        insta::assert_snapshot!(Schedule::default().in_zone("Oslo").unwrap_err(), @"`Oslo` is not a time zone; expected a name like Europe/Oslo");
        insta::assert_snapshot!(Schedule::default().every(0).unwrap_err(), @"cycles every 0 s are not possible; expected 1 s or more");
        assert_eq!("01:30-03:00".parse::<Pause>().unwrap().to_string(), "01:30-03:00");
        assert_eq!(Pause::older().to_string(), "23:00-06:00");
    }

    proptest! {
        /// Away from the two nights in which the clocks move, a time is closed when the clock on the wall says so; and
        /// what is found is open, the first such, and never before its time.
        #[test]
        fn the_first_open_time_is_found(
            time in 1_600_000_000_i64..2_000_000_000,
            from in 0_i8..24, to in 0_i8..24, minute in 0_i8..60,
            maintenance in prop::option::of((0_i64..20_000, 1_i64..20_000)),
        ) {
            prop_assume!(from != to);
            let pause: Pause = format!("{from:02}:{minute:02}-{to:02}:{minute:02}").parse().unwrap();
            let mut schedule = Schedule::default().with_pauses(vec![pause]);
            if let Some((after, length)) = maintenance {
                schedule.add_maintenance(time + after, time + after + length).unwrap();
            }
            let found = schedule.earliest(time).unwrap();
            prop_assert!(found >= time && !schedule.is_closed(found));
            let steps = (found - time) / 97;
            prop_assert!((0..steps).all(|n| schedule.is_closed(time + n * 97)));

            let zoned = Timestamp::from_second(time).unwrap().to_zoned(TimeZone::get(ZONE_DEFAULT).unwrap());
            let moves = [-1, 0, 1].iter().any(|days| {
                let day = zoned.date().checked_add(jiff::Span::new().days(*days)).unwrap();
                let hours = day.to_zoned(zoned.time_zone().clone()).unwrap();
                let next = day.tomorrow().unwrap().to_zoned(zoned.time_zone().clone()).unwrap();
                next.timestamp().as_second() - hours.timestamp().as_second() != 86_400
            });
            if !moves && maintenance.is_none() {
                let wall = zoned.time();
                let inside = if pause.from < pause.to {
                    wall >= pause.from && wall < pause.to
                } else {
                    wall >= pause.from || wall < pause.to
                };
                prop_assert_eq!(schedule.is_closed(time), inside);
            }
        }
    }
}
