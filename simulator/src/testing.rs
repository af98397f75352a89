//! What this crate's own tests share: a source in memory, and a mirror that answers as one should unless told otherwise.

mod mirror;
mod source;

use std::sync::{Arc, OnceLock};

use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::message::{Request, read_request};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::xml::Reader;

pub use self::mirror::{FakeEndpoint, answer, is, reply};
pub use self::source::FakeSource;
use crate::authority::{Authority, Tokens};
use crate::source::Source;
use crate::task::{self, Cycle, EveryTable, Settings, TableFilter, report::CycleReport};

/// 2027-01-15 08:00 UTC.
pub const NOW: i64 = 1_800_000_000;
pub const APPLICATION: &str = "app-1";

/// One authority for all tests: keys are slow to make.
pub fn authority() -> Arc<Authority> {
    static ONE: OnceLock<Arc<Authority>> = OnceLock::new();
    ONE.get_or_init(|| Arc::new(Authority::generate(NOW).unwrap()))
        .clone()
}

/// The application's key: as small as the one seen.
pub fn application_key() -> &'static PrivateKey {
    static ONE: OnceLock<PrivateKey> = OnceLock::new();
    ONE.get_or_init(|| PrivateKey::generate(1024).unwrap())
}

/// `int not null`, `nvarchar(max)`.
pub fn table(name: &str) -> Table {
    let column = |name: &str, ty, nullable| Column {
        name: name.into(),
        ty,
        nullable,
        default: None,
    };
    Table {
        name: name.into(),
        columns: vec![
            column("id", ColumnType::Int, false),
            column("text", ColumnType::NVarChar(Length::Max), true),
        ],
    }
}

/// A message in an envelope without token.
pub fn envelope_request(message: &[u8]) -> String {
    String::from_utf8(soap::envelope(None, message)).unwrap()
}

/// Reads an envelope.
pub fn read(text: &str) -> Request<'_> {
    let mut reader = Reader::new(text);
    soap::open(&mut reader).unwrap();
    read_request(&mut reader).unwrap()
}

/// One tenant with its source and its mirror.
pub struct Bench {
    pub source: FakeSource,
    pub endpoint: FakeEndpoint,
    pub settings: Settings,
    pub tokens: Tokens,
    pub filter: Box<dyn TableFilter>,
    pub wire_clock: ManualClock,
    pub source_clock: ManualClock,
}

impl Bench {
    pub fn new(tables: &[(&str, i64)]) -> Bench {
        Bench {
            source: FakeSource::new(tables),
            endpoint: FakeEndpoint::default(),
            settings: Settings {
                pipeline: task::Pipeline::Inline,
                ..Settings::default()
            },
            tokens: Tokens::new(authority(), APPLICATION, "Cust10001", 1),
            filter: Box::new(EveryTable),
            wire_clock: ManualClock::new(NOW),
            source_clock: ManualClock::new(NOW),
        }
    }

    pub fn run(&mut self) -> CycleReport {
        let mut source = std::mem::take(&mut self.source);
        let report = self.run_with(&mut source);
        self.source = source;
        report
    }

    /// A cycle of another source.
    pub fn run_with(&mut self, source: &mut dyn Source) -> CycleReport {
        let cycle = Cycle {
            context: "Cust10001",
            settings: &self.settings,
            application_key: &application_key().public(),
            endpoint: &self.endpoint,
            filter: self.filter.as_ref(),
            wire_clock: &self.wire_clock,
            source_clock: &self.source_clock,
        };
        task::run(&cycle, source, &mut self.tokens)
    }

    /// Runs a cycle that has to succeed, after which mirror and source are equal.
    pub fn run_well(&mut self) -> CycleReport {
        let report = self.run();
        assert!(report.is_success(), "{:?}", report.error());
        assert_eq!(self.endpoint.rows("Cust10001"), self.source.rows());
        report
    }
}
