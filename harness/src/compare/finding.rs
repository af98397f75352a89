//! Differences, and the report of them.

use std::collections::BTreeMap;
use std::fmt;

use mirrorlab_protocol::names::same_name;
use serde::Serialize;

/// What is different. Each kind's id never changes: other programs may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A table is in left and not in right.
    TableMissing,
    /// A table is in right and not in left.
    TableExtra,
    /// A table is on both sides, and one side's columns are not ones that SQL Server could have.
    TableUnreadable,
    /// A column is in left and not in right.
    ColumnMissing,
    /// A column is in right and not in left.
    ColumnExtra,
    /// A column's types differ.
    ColumnType,
    /// A column may be NULL on one side only.
    ColumnNull,
    /// A column's defaults give different values.
    ColumnDefault,
    /// The primary keys differ.
    Key,
    /// A row is in left and not in right.
    RowMissing,
    /// A row is in right and not in left.
    RowExtra,
    /// A cell of a row that is on both sides differs.
    Cell,
    /// What stands in a cell is no value of its column's type.
    CellUnreadable,
    /// What stands in a key is no value of its column's type. The row is not compared.
    KeyUnreadable,
    /// One side has a key more than once. The second row is not compared.
    KeyDuplicate,
    /// One side's rows do not come in key order. The table's further rows are not compared.
    KeyOrder,
}

impl Kind {
    /// The stable id: `row-missing`.
    pub fn id(self) -> &'static str {
        match self {
            Kind::TableMissing => "table-missing",
            Kind::TableExtra => "table-extra",
            Kind::TableUnreadable => "table-unreadable",
            Kind::ColumnMissing => "column-missing",
            Kind::ColumnExtra => "column-extra",
            Kind::ColumnType => "column-type",
            Kind::ColumnNull => "column-null",
            Kind::ColumnDefault => "column-default",
            Kind::Key => "key",
            Kind::RowMissing => "row-missing",
            Kind::RowExtra => "row-extra",
            Kind::Cell => "cell",
            Kind::CellUnreadable => "cell-unreadable",
            Kind::KeyUnreadable => "key-unreadable",
            Kind::KeyDuplicate => "key-duplicate",
            Kind::KeyOrder => "key-order",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// One difference. The texts are for people, and unambiguous: see [`super::show`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is different.
    pub kind: Kind,
    /// In which table.
    pub table: String,
    /// In which row: `contact_id=17`.
    pub key: Option<String>,
    /// In which column.
    pub column: Option<String>,
    /// What left has there. `None` where the question does not arise.
    pub left: Option<String>,
    /// What right has there.
    pub right: Option<String>,
    /// What helps to see the difference: where two long texts part, a float's bits.
    pub note: Option<String>,
}

impl Finding {
    /// A finding about a table as a whole. Which table is filled in where it is recorded.
    pub(super) fn of_table(kind: Kind) -> Finding {
        Finding {
            kind,
            table: String::new(),
            key: None,
            column: None,
            left: None,
            right: None,
            note: None,
        }
    }

    /// A finding about a column.
    pub(super) fn of_column(kind: Kind, column: &str) -> Finding {
        Finding {
            column: Some(column.to_owned()),
            ..Finding::of_table(kind)
        }
    }

    /// A finding about a row.
    pub(super) fn of_row(kind: Kind, key: String) -> Finding {
        Finding {
            key: Some(key),
            ..Finding::of_table(kind)
        }
    }

    /// With what each side has.
    pub(super) fn with(self, left: impl Into<String>, right: impl Into<String>) -> Finding {
        Finding {
            left: Some(left.into()),
            right: Some(right.into()),
            ..self
        }
    }
}

/// Something that was not compared, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCompared {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// By what means a table's rows were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// Both sides' rows were read and merged here.
    #[default]
    Streamed,
    /// The server that both databases are on told which rows differ.
    InServer,
}

/// What was seen of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TableReport {
    /// Its name, as left writes it.
    pub name: String,
    /// Rows read on the left.
    pub rows_left: u64,
    /// Rows read on the right.
    pub rows_right: u64,
    /// Rows that are on both sides and were compared cell by cell.
    pub rows_compared: u64,
    /// By what means.
    pub compared: Compared,
    /// All findings, those that were not kept too, by kind.
    pub findings: BTreeMap<Kind, u64>,
}

impl TableReport {
    /// How many findings there are, those that were not kept too.
    pub fn findings_count(&self) -> u64 {
        self.findings.values().sum()
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What left is called.
    pub left: String,
    /// What right is called.
    pub right: String,
    /// Every table that was looked at, in name order.
    pub tables: Vec<TableReport>,
    /// The findings, in the tables' order, up to the limit for each table.
    pub findings: Vec<Finding>,
    /// What was not compared, and why.
    pub not_compared: Vec<NotCompared>,
    /// How it was compared, where that is not as usual.
    pub remarks: Vec<String>,
}

impl Report {
    /// Whether nothing is different.
    pub fn is_equal(&self) -> bool {
        self.findings_count() == 0
    }

    /// How many findings there are, those that were not kept too.
    pub fn findings_count(&self) -> u64 {
        self.tables.iter().map(TableReport::findings_count).sum()
    }

    /// One table, by a name whose letter case does not count.
    pub fn table(&self, name: &str) -> Option<&TableReport> {
        self.tables.iter().find(|t| same_name(&t.name, name))
    }

    /// The kept findings of one table, by a name whose letter case does not count.
    pub fn findings_of<'r>(&'r self, table: &'r str) -> impl Iterator<Item = &'r Finding> {
        self.findings.iter().filter(move |f| same_name(&f.table, table))
    }

    /// How many rows were compared cell by cell.
    pub fn rows_compared(&self) -> u64 {
        self.tables.iter().map(|t| t.rows_compared).sum()
    }
}

/// Gathers a report, table after table.
pub(super) struct Recorder {
    report: Report,
    kept_max: usize,
    kept: usize,
}

impl Recorder {
    pub(super) fn new(left: &str, right: &str, kept_max: usize) -> Recorder {
        Recorder {
            report: Report {
                left: left.to_owned(),
                right: right.to_owned(),
                tables: Vec::new(),
                findings: Vec::new(),
                not_compared: Vec::new(),
                remarks: Vec::new(),
            },
            kept_max,
            kept: 0,
        }
    }

    pub(super) fn begin(&mut self, table: &str) {
        self.kept = 0;
        self.report.tables.push(TableReport {
            name: table.to_owned(),
            ..TableReport::default()
        });
    }

    /// The table that was begun last.
    pub(super) fn table(&mut self) -> &mut TableReport {
        self.report.tables.last_mut().expect("a table is begun first")
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.add_with(finding.kind, |_| finding);
    }

    /// Counts a finding of `kind`, and has it made only where it is kept. `make` is given left's and right's names.
    pub(super) fn add_with(&mut self, kind: Kind, make: impl FnOnce((&str, &str)) -> Finding) {
        let table = self.report.tables.last_mut().expect("a table is begun first");
        let count = table.findings.entry(kind).or_default();
        *count += 1;
        if *count > 1 && self.kept >= self.kept_max {
            return;
        }
        self.kept += 1;
        let finding = Finding {
            table: table.name.clone(),
            ..make((&self.report.left, &self.report.right))
        };
        self.report.findings.push(finding);
    }

    pub(super) fn not_compared(&mut self, what: &str, why: &str) {
        let entry = NotCompared {
            what: what.to_owned(),
            why: why.to_owned(),
        };
        if !self.report.not_compared.contains(&entry) {
            self.report.not_compared.push(entry);
        }
    }

    pub(super) fn remark(&mut self, text: String) {
        if !self.report.remarks.contains(&text) {
            self.report.remarks.push(text);
        }
    }

    pub(super) fn finish(mut self) -> Report {
        let in_server = self
            .report
            .tables
            .iter()
            .filter(|t| t.compared == Compared::InServer);
        match in_server.count() {
            0 => {}
            1 => self.remark("the rows of 1 table were compared inside the server".into()),
            n => self.remark(format!("the rows of {n} tables were compared inside the server")),
        }
        self.report
    }
}
