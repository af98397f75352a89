//! Reads single nodes into values, and notes a mistake where one is not what it must be.

use std::time::Duration;

use mirrorlab_protocol::datetime::{DateTime, parse_time};

use crate::scenario::expect::Count;
use crate::scenario::grammar::Shape;
use crate::scenario::mistake::{Mistake, closest, one_of};
use crate::scenario::model::QuietHours;
use crate::scenario::place::{At, Spanned};
use crate::scenario::yaml::{Data, Key, Node};

/// The longest time that a step may take: ten years.
const DURATION_MAX_SECONDS: u64 = 3653 * 86_400;

/// Collects mistakes while a file is read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub mistakes: Vec<Mistake>,
}

/// A mapping's entries, its own keys apart from the others.
pub(super) struct Fields<'n> {
    pub at: At,
    shape: &'static Shape,
    own: Vec<(&'n Key, &'n Node)>,
    /// Keys that unknown ones were taken for: they are not missing as well.
    meant: Vec<&'static str>,
    /// Tables, tenants or columns: whatever [`Shape::others`] says.
    pub others: Vec<(&'n Key, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The value under a key of the shape.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        debug_assert!(
            self.shape.keys.contains(&key),
            "{key} is no key of {}",
            self.shape.name
        );
        self.own
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(_, node)| *node)
    }

    /// The shape's own keys.
    pub fn shape_keys(&self) -> impl Iterator<Item = &'static str> {
        self.shape.keys.iter().copied()
    }

    /// Where a key stands.
    pub fn key_at(&self, key: &str) -> Option<At> {
        self.own.iter().find(|(k, _)| k.text == key).map(|(k, _)| k.at)
    }

    /// The value under a key that must be there.
    pub fn need(&self, reader: &mut Reader, key: &str) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() && !self.meant.contains(&key) {
            reader.note(Mistake::new(
                self.at,
                format!("`{key}` is missing"),
                format!("this has no `{key}`"),
            ));
        }
        found
    }
}

impl Reader {
    pub fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Notes that a node is of the wrong kind.
    pub fn wrong(&mut self, node: &Node, expected: &str) {
        self.note(Mistake::new(
            node.at,
            format!("expected {expected}"),
            format!("this is {}", node.kind()),
        ));
    }

    /// A mapping of a shape. Unknown keys are noted, and left out.
    pub fn fields<'n>(&mut self, node: &'n Node, shape: &'static Shape) -> Option<Fields<'n>> {
        let Data::Map(entries) = &node.data else {
            let keys = match (shape.keys, shape.others) {
                ([], Some(other)) => format!("a mapping with {other} a line"),
                (keys, Some(other)) => format!("a mapping with {other} a line, or with {}", one_of(keys)),
                (keys, None) => format!("a mapping with {}", one_of(keys)),
            };
            self.wrong(node, &keys);
            return None;
        };
        let (mut own, mut others, mut meant) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in entries {
            if shape.keys.contains(&key.text.as_str()) {
                own.push((key, value));
            } else if shape.others.is_some() {
                others.push((key, value));
            } else {
                meant.extend(self.unknown_key(key, shape));
            }
        }
        Some(Fields {
            at: node.at,
            shape,
            own,
            others,
            meant,
        })
    }

    /// Notes a key that is not of the shape, and gives the one that was meant.
    fn unknown_key(&mut self, key: &Key, shape: &'static Shape) -> Option<&'static str> {
        let meant = closest(&key.text, shape.keys.iter().copied());
        let label = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "not known here".to_owned(),
        };
        let help = format!("here may stand {}", one_of(shape.keys));
        self.note(Mistake::new(key.at, format!("unknown key `{}`", key.text), label).help(help));
        meant
    }

    /// Text, or anything bare that can stand for itself.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        match &node.data {
            Data::Scalar { text, .. } if !text.trim().is_empty() => Some(Spanned::new(text.clone(), node.at)),
            Data::Scalar { .. } => {
                self.note(Mistake::new(node.at, format!("expected {what}"), "this is empty"));
                None
            }
            _ => {
                self.wrong(node, what);
                None
            }
        }
    }

    /// A whole number within limits.
    pub fn number(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        let Data::Scalar { text, plain: true } = &node.data else {
            self.wrong(node, what);
            return None;
        };
        match text.parse::<u64>() {
            Ok(n) if (min..=max).contains(&n) => Some(n),
            _ => {
                let label = match text.parse::<f64>() {
                    Ok(_) => format!("{text} is not a whole number from {min} to {max}"),
                    Err(_) => "this is text".to_owned(),
                };
                self.note(Mistake::new(node.at, format!("expected {what}"), label));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.data {
            Data::Scalar { text, plain: true } if text == "true" => Some(true),
            Data::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.wrong(node, &format!("true or false: {what}"));
                None
            }
        }
    }

    /// One word of a closed list.
    pub fn word<T: Clone>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let names = || words.iter().map(|(name, _)| *name);
        let Data::Scalar { text, .. } = &node.data else {
            self.wrong(node, &format!("{what}: {}", one_of(names())));
            return None;
        };
        let found = words
            .iter()
            .find(|(name, _)| name == text)
            .map(|(_, value)| value.clone());
        if found.is_none() {
            let label = match closest(text, names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "not one of them".to_owned(),
            };
            self.note(
                Mistake::new(node.at, format!("`{text}` is not {what}"), label)
                    .help(format!("{what} is {}", one_of(names()))),
            );
        }
        found
    }

    /// A list, or one that stands for a list of itself.
    pub fn one_or_list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.data {
            Data::List(list) if list.is_empty() => {
                self.note(Mistake::new(
                    node.at,
                    format!("expected {what}"),
                    "this list is empty",
                ));
                &[]
            }
            Data::List(list) => list,
            Data::Scalar { .. } => std::slice::from_ref(node),
            _ => {
                self.wrong(node, what);
                &[]
            }
        }
    }

    /// `8d`, `20m`, `2h30m`.
    pub fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what)?;
        match parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(why) => {
                let mistake = Mistake::new(node.at, format!("`{}` does not say {what}", text.value), why);
                self.note(mistake.help(
                    "a duration is a number with w, d, h, m or s behind it, as in `8d`, `20m` or `2h30m`",
                ));
                None
            }
        }
    }

    /// `10m` or `-10m`, in seconds.
    pub fn skew(&mut self, node: &Node, what: &str) -> Option<i64> {
        let text = self.text(node, what)?;
        let (sign, length) = match text.trim().strip_prefix('-') {
            Some(length) => (-1, length),
            None => (1, text.trim()),
        };
        match parse_duration(length) {
            Ok(length) => Some(sign * i64::try_from(length.as_secs()).expect("ten years are the most")),
            Err(why) => {
                let mistake = Mistake::new(node.at, format!("`{}` does not say {what}", text.value), why);
                self.note(mistake.help("a duration, as in `10m`, or `-10m` for a clock that is behind"));
                None
            }
        }
    }

    /// `01:30-03:00`.
    pub fn hours(&mut self, node: &Node) -> Option<QuietHours> {
        let text = self.text(node, "hours like `01:30-03:00`")?;
        let hours = text.split_once('-').and_then(|(from, to)| {
            Some(QuietHours {
                from: minute_of_day(from.trim())?,
                to: minute_of_day(to.trim())?,
            })
        });
        if hours.is_none_or(|h| h.from == h.to) {
            self.note(
                Mistake::new(
                    node.at,
                    format!("`{}` are not hours", text.value),
                    "from when to when?",
                )
                .help("two different times of day, as in `01:30-03:00` or `23:00-06:00`"),
            );
            return None;
        }
        hours
    }

    /// `03:00`.
    pub fn time_of_day(&mut self, node: &Node) -> Option<u16> {
        let text = self.text(node, "a time of day like `03:00`")?;
        let minute = minute_of_day(&text);
        if minute.is_none() {
            self.note(
                Mistake::new(
                    node.at,
                    format!("`{}` is not a time of day", text.value),
                    "not HH:MM",
                )
                .help("from `00:00` to `23:59`"),
            );
        }
        minute
    }

    /// `2026-03-02T22:00:00Z`, in seconds since 1970.
    pub fn moment(&mut self, node: &Node) -> Option<i64> {
        let text = self.text(node, "a moment like `2026-03-02T22:00:00Z`")?;
        let moment = text
            .strip_suffix('Z')
            .filter(|rest| rest.contains('T'))
            .and_then(DateTime::parse)
            .map(DateTime::unix_seconds)
            .filter(|seconds| *seconds >= 0);
        if moment.is_none() {
            self.note(
                Mistake::new(
                    node.at,
                    format!("`{}` is not a moment", text.value),
                    "not a moment since 1970, in UTC",
                )
                .help("write it as `2026-03-02T22:00:00Z`; the Z says that it is UTC"),
            );
        }
        moment
    }

    /// `5` or `at least 5`.
    pub fn count(&mut self, node: &Node, what: &str) -> Option<Count> {
        if let Data::Scalar { text, .. } = &node.data
            && let Some(number) = text.strip_prefix("at least ")
        {
            if let Ok(n) = number.trim().parse() {
                return Some(Count::AtLeast(n));
            }
            self.note(Mistake::new(
                node.at,
                format!("expected {what}"),
                "at least how many?",
            ));
            return None;
        }
        self.number(node, what, 0, u64::from(u32::MAX))
            .map(Count::Exactly)
    }
}

fn minute_of_day(text: &str) -> Option<u16> {
    if text.len() != 5 {
        return None;
    }
    u16::try_from(parse_time(text)? / mirrorlab_protocol::datetime::TICKS_PER_SECOND / 60).ok()
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = match &rest[..digits] {
            "" => return Err("a number must come first".to_owned()),
            number => number.parse().map_err(|_| "that is too long".to_owned())?,
        };
        let unit = match rest[digits..].chars().next() {
            Some('w') => 7 * 86_400,
            Some('d') => 86_400,
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            Some(_) => return Err("unknown unit".to_owned()),
            None => return Err(format!("{number} of what?")),
        };
        if unit >= last_unit {
            return Err("the larger unit comes first, each once".to_owned());
        }
        last_unit = unit;
        seconds = number
            .checked_mul(unit)
            .and_then(|part| seconds.checked_add(part))
            .filter(|sum| *sum <= DURATION_MAX_SECONDS)
            .ok_or("ten years are the most")?;
        rest = rest[digits + 1..].trim_start();
    }
    match seconds {
        0 => Err("no time at all".to_owned()),
        _ => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("8d", 691_200),
            ("20m", 1200),
            ("2h30m", 9000),
            ("1w 1s", 604_801),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0d",
            "8",
            "d",
            "-1d",
            "8x",
            "1m2h",
            "1d1d",
            "4000d",
            "99999999999999999999d",
            "é",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_day() {
        assert_eq!(minute_of_day("01:30"), Some(90));
        assert_eq!(minute_of_day("23:59"), Some(1439));
        for text in ["24:00", "1:30", "01:60", "01:30:00", "noon", "é:30"] {
            assert_eq!(minute_of_day(text), None, "{text}");
        }
    }
}
