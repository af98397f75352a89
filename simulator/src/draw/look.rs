//! What a column's name promises: SuperOffice's names are known, others are guessed by their words.

use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_DAY, TICKS_PER_SECOND};
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::ColumnType;
use rand_chacha::ChaCha8Rng;

use super::edges::endless;
use super::pick;

/// What kind of value a column holds, beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Company,
    FirstName,
    LastName,
    FullName,
    Greeting,
    Title,
    Department,
    Email,
    Phone,
    Url,
    Street,
    Zip,
    City,
    State,
    Number,
    Code,
    Heading,
    Paragraphs,
    Reference,
    Index,
    Flag,
    Small,
    Year,
    Month,
    Day,
    Country,
    Latitude,
    Longitude,
    Percent,
    Amount,
    Midnight,
    Moment,
    Any,
}

impl Look {
    pub fn of(table: &str, column: &Column) -> Look {
        let name = fold(&column.name);
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        let ends = |parts: &[&str]| parts.iter().any(|part| name.ends_with(part));
        match column.ty {
            ty if ty.is_text() => text_look(&fold(table), &name, ty),
            ColumnType::Float | ColumnType::Real => match () {
                () if has(&["latitude"]) => Look::Latitude,
                () if has(&["longitude"]) => Look::Longitude,
                () if has(&["percent"]) => Look::Percent,
                () => Look::Amount,
            },
            ty if ty.integer_range().is_some() => match () {
                () if name == "country_id" => Look::Country,
                () if ends(&["_idx", "rank", "type", "status", "_level"]) => Look::Index,
                () if has(&["year_of"]) => Look::Year,
                () if has(&["month_of"]) => Look::Month,
                () if has(&["day_of"]) => Look::Day,
                () if ends(&["_id"]) => Look::Reference,
                () if matches!(ty, ColumnType::SmallInt | ColumnType::TinyInt | ColumnType::Bit) => {
                    if ends(&["count", "seqno"]) {
                        Look::Small
                    } else {
                        Look::Flag
                    }
                }
                () => Look::Small,
            },
            _ if has(&["registered", "updated", "created", "_at", "last"]) => Look::Moment,
            _ if ends(&["date", "validfrom", "validto"]) => Look::Midnight,
            _ => Look::Any,
        }
    }
}

fn text_look(table: &str, name: &str, ty: ColumnType) -> Look {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let ends = |parts: &[&str]| parts.iter().any(|part| name.ends_with(part));
    match () {
        () if has(&["firstname", "middlename"]) => Look::FirstName,
        () if has(&["lastname"]) => Look::LastName,
        () if has(&["fullname", "author"]) => Look::FullName,
        () if has(&["email"]) => Look::Email,
        () if has(&["phone"]) => Look::Phone,
        () if has(&["url"]) => Look::Url,
        () if has(&["address"]) => Look::Street,
        () if has(&["zip"]) => Look::Zip,
        () if ends(&["city", "county"]) => Look::City,
        () if name == "state" => Look::State,
        () if has(&["mrmrs", "salutation"]) => Look::Greeting,
        () if name == "title" && table == "person" => Look::Title,
        () if has(&["department"]) => Look::Department,
        () if has(&["number", "orgnr", "_key", "isocode", "vat"]) => Look::Number,
        () if has(&["soundex", "lcid", "code", "language", "initials", "protocol"]) => Look::Code,
        () if name == "name" && table == "contact" => Look::Company,
        () if name == "suppliername" || name == "supplier" => Look::Company,
        () if endless(ty) || ty.length_max().unwrap_or(0) >= 1000 => Look::Paragraphs,
        () => Look::Heading,
    }
}

const FIRST: [&str; 24] = [
    "Anne", "Bjørn", "Chloé", "Dag", "Eva", "Frode", "Grete", "Håkon", "Inger", "Jørgen", "Kari", "Lars",
    "Maja", "Nils", "Ole", "Petra", "Ragnhild", "Siân", "Tuva", "Ulf", "Vigdis", "Wim", "Zoë", "Åse",
];
const LAST: [&str; 24] = [
    "Andersen",
    "Berg",
    "Christensen",
    "Dahl",
    "Eriksson",
    "Fjeld",
    "Grønn",
    "Hansen",
    "Iversen",
    "Jansen",
    "Kowalczyk",
    "Lund",
    "Müller",
    "Nygård",
    "O'Hara",
    "Pedersen",
    "Quist",
    "Ruud",
    "Strøm",
    "Thorvaldsen",
    "Ulriksen",
    "van der Berg",
    "Wang",
    "Øye",
];
const TRADES: [&str; 16] = [
    "Shipping",
    "Energy",
    "Foods",
    "Consult",
    "Bygg",
    "Data",
    "Marine",
    "Papir",
    "Transport",
    "Media",
    "Elektro",
    "Design",
    "Seafood",
    "Mekanikk",
    "Trading",
    "Invest",
];
const FORMS: [&str; 7] = ["AS", "ASA", "AB", "A/S", "GmbH & Co. KG", "Ltd.", "B.V."];
const CITIES: [&str; 14] = [
    "Oslo",
    "Bergen",
    "Trondheim",
    "Tromsø",
    "København",
    "Århus",
    "Göteborg",
    "Malmö",
    "Eindhoven",
    "Köln",
    "Zürich",
    "London",
    "Reykjavík",
    "Łódź",
];
const STREETS: [&str; 10] = [
    "Storgata",
    "Kirkeveien",
    "Wergelandsveien",
    "Østre gate",
    "Hauptstraße",
    "Kungsgatan",
    "High Street",
    "Nørregade",
    "Prinsengracht",
    "Verkstedveien",
];
const WORDS: [&str; 32] = [
    "quarterly",
    "review",
    "contract",
    "renewal",
    "offer",
    "meeting",
    "with",
    "customer",
    "about",
    "delivery",
    "price",
    "for",
    "spring",
    "campaign",
    "follow",
    "up",
    "call",
    "back",
    "tomorrow",
    "invoice",
    "support",
    "request",
    "møte",
    "om",
    "avtale",
    "tilbud",
    "på",
    "nye",
    "lisenser",
    "für",
    "Übergabe",
    "€",
];
const TITLES: [&str; 8] = [
    "CEO",
    "Salgssjef",
    "Head of IT",
    "Buyer",
    "Project manager",
    "Økonomidirektør",
    "Consultant",
    "Assistant",
];
const DEPARTMENTS: [&str; 7] = [
    "Sales",
    "Salg",
    "IT",
    "Support",
    "HR & admin",
    "Marketing",
    "Drift",
];

/// A text of that kind, not yet cut to its column.
pub(super) fn text(rng: &mut ChaCha8Rng, look: Look) -> String {
    let first = *pick::one(rng, &FIRST);
    let last = *pick::one(rng, &LAST);
    let n = |rng: &mut ChaCha8Rng, low, high| pick::between(rng, low, high);
    match look {
        Look::FirstName => first.into(),
        Look::LastName => last.into(),
        Look::FullName => format!("{first} {last}"),
        Look::Company => company(rng, last),
        Look::Greeting => (*pick::one(rng, &["", "Mr", "Mrs", "Ms", "Dr."])).into(),
        Look::Title => (*pick::one(rng, &TITLES)).into(),
        Look::Department => (*pick::one(rng, &DEPARTMENTS)).into(),
        Look::Email => format!("{}.{}@{}.example", ascii(first), ascii(last), domain(rng)),
        Look::Phone => match n(rng, 0, 2) {
            0 => format!(
                "+47 {} {:02} {:03}",
                n(rng, 200, 999),
                n(rng, 0, 99),
                n(rng, 0, 999)
            ),
            1 => format!("+49 (0){} {}", n(rng, 30, 999), n(rng, 100_000, 9_999_999)),
            _ => format!("{}", n(rng, 20_000_000, 99_999_999)),
        },
        Look::Url => format!(
            "https://www.{}.example/?ref={}&lang=no",
            domain(rng),
            n(rng, 1, 99)
        ),
        Look::Street => format!("{} {}", pick::one(rng, &STREETS), n(rng, 1, 199)),
        Look::Zip => format!("{:04}", n(rng, 1, 9999)),
        Look::City => (*pick::one(rng, &CITIES)).into(),
        Look::State => (*pick::one(rng, &["", "CA", "NY", "TX"])).into(),
        Look::Number => format!("{:09}", n(rng, 0, 999_999_999)),
        Look::Code => format!(
            "{}{:03}",
            char::from(b'A' + pick::index(rng, 26) as u8),
            n(rng, 0, 999)
        ),
        Look::Paragraphs => {
            let lines = 1 + pick::index(rng, 6);
            let lines: Vec<String> = (0..lines).map(|_| words(rng, 4, 20) + ".").collect();
            // SuperOffice's own editors write CR LF; what was imported has LF alone.
            lines.join(if pick::chance(rng, 800) { "\r\n" } else { "\n" })
        }
        _ => words(rng, 1, 5),
    }
}

fn company(rng: &mut ChaCha8Rng, last: &str) -> String {
    let trade = pick::one(rng, &TRADES);
    let form = pick::one(rng, &FORMS);
    match pick::index(rng, 3) {
        0 => format!("{last} {trade} {form}"),
        1 => format!("{} {trade} {form}", pick::one(rng, &CITIES)),
        _ => format!("{last} & {}", pick::one(rng, &LAST)),
    }
}

fn domain(rng: &mut ChaCha8Rng) -> String {
    let (last, trade) = (*pick::one(rng, &LAST), *pick::one(rng, &TRADES));
    format!("{}-{}", ascii(last), ascii(trade))
}

fn ascii(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c.to_lowercase().next() {
            Some('ø' | 'ö') => Some('o'),
            Some('å' | 'ä' | 'â') => Some('a'),
            Some('é' | 'ë') => Some('e'),
            Some('ü') => Some('u'),
            Some(c) if c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

fn words(rng: &mut ChaCha8Rng, low: i64, high: i64) -> String {
    let count = pick::between(rng, low, high);
    let words: Vec<&str> = (0..count).map(|_| *pick::one(rng, &WORDS)).collect();
    words.join(" ")
}

/// An integer of that kind.
pub(super) fn integer(rng: &mut ChaCha8Rng, look: Look, ty: ColumnType) -> i64 {
    match look {
        Look::Country => *pick::one(rng, &[578, 752, 208, 276, 528, 826]),
        Look::Index => pick::between(rng, 1, 12),
        Look::Year => pick::between(rng, 1940, 2007),
        Look::Month => pick::between(rng, 1, 12),
        Look::Day => pick::between(rng, 1, 28),
        Look::Reference if pick::chance(rng, 200) => 0,
        Look::Reference => pick::between(rng, 1, 5000),
        Look::Flag => i64::from(pick::chance(rng, 150)),
        Look::Small => pick::between(rng, 0, 99),
        _ if ty == ColumnType::Bit => pick::between(rng, 0, 1),
        _ => pick::between(rng, 0, 9999),
    }
}

/// A number of that kind, never `-0`.
pub(super) fn float(rng: &mut ChaCha8Rng, look: Look) -> f64 {
    match look {
        Look::Latitude => pick::between(rng, 3_600_000, 7_100_000) as f64 / 100_000.0,
        Look::Longitude => pick::between(rng, 0, 3_100_000) as f64 / 100_000.0,
        Look::Percent => pick::between(rng, 0, 1000) as f64 / 10.0,
        _ if pick::chance(rng, 300) => 0.0,
        _ => pick::between(rng, -9_999, 9_999_999) as f64 / 100.0,
    }
}

/// A point of time of that kind, between 2010 and 2026, or SuperOffice's "no date".
pub(super) fn moment(rng: &mut ChaCha8Rng, look: Look) -> DateTime {
    let no_date = match look {
        Look::Midnight => 250,
        Look::Moment => 20,
        // The date types that begin in 1900 are drawn this way too.
        _ => 0,
    };
    if pick::chance(rng, no_date) {
        return DateTime::from_parts(1760, 1, 1, 0).expect("1760-01-01 is a day");
    }
    let day = DateTime::from_parts(2010, 1, 1, 0).expect("2010-01-01 is a day");
    let days = pick::between(rng, 0, 16 * 365);
    let seconds = match look {
        Look::Midnight => 0,
        _ => pick::between(rng, 6 * 3600, 20 * 3600),
    };
    // Most of what SuperOffice writes has whole seconds; 1/300 s come from SQL Server's own clock.
    let fraction = match look {
        Look::Moment if pick::chance(rng, 300) => pick::between(rng, 0, 299) * TICKS_PER_SECOND / 300,
        _ => 0,
    };
    DateTime::from_ticks(day.ticks() + days * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + fraction)
        .expect("it is before 2027")
}
