//! A report for people (text), for programs (JSON lines), for spreadsheets (CSV).

use std::io::{self, Write};

use serde::Serialize;

use super::finding::{Finding, Kind, Report};

/// In which form a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: `finding`, `table`, `not-compared`, `remark`, and `summary` last.
    JsonLines,
    /// The findings, with a header line (RFC 4180).
    Csv,
}

impl Report {
    /// Writes the report.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, form: Form, out: &mut dyn Write) -> io::Result<()> {
        match form {
            Form::Text => self.write_text(out),
            Form::JsonLines => self.write_json_lines(out),
            Form::Csv => self.write_csv(out),
        }
    }

    /// The report for people, as [`Report::write`] writes it.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.write_text(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("a report is written in UTF-8")
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for table in self.tables.iter().filter(|t| t.findings_count() > 0) {
            let total = table.findings_count();
            write!(out, "{}: {}", table.name, counted(total, "finding"))?;
            if table.rows_left + table.rows_right > 0 {
                let rows = counted(table.rows_left, "row");
                write!(
                    out,
                    "; {rows} in {}, {} in {}",
                    self.left, table.rows_right, self.right
                )?;
            }
            writeln!(out)?;
            let kept = self.findings.iter().filter(|f| f.table == table.name);
            let mut shown = 0;
            for finding in kept {
                writeln!(out, "  {}", self.finding_text(finding))?;
                shown += 1;
            }
            if shown < total {
                let kinds: Vec<String> = table
                    .findings
                    .iter()
                    .map(|(kind, count)| format!("{count} {kind}"))
                    .collect();
                writeln!(out, "  … {} more; in all: {}", total - shown, kinds.join(", "))?;
            }
        }
        writeln!(out, "not compared:")?;
        for entry in &self.not_compared {
            writeln!(out, "  {}: {}", entry.what, entry.why)?;
        }
        if !self.remarks.is_empty() {
            writeln!(out, "how:")?;
        }
        for remark in &self.remarks {
            writeln!(out, "  {remark}")?;
        }
        let verdict = match self.findings_count() {
            0 => format!("{} equals {}", self.right, self.left),
            n => format!(
                "{} differs from {}: {}",
                self.right,
                self.left,
                counted(n, "finding")
            ),
        };
        writeln!(
            out,
            "{verdict} ({}, {} compared)",
            counted(self.tables.len() as u64, "table"),
            counted(self.rows_compared(), "row")
        )
    }

    /// A finding in one line: `row-missing  contact_id=17: in source, not in mirror`.
    pub fn finding_text(&self, finding: &Finding) -> String {
        let place = match (&finding.key, &finding.column) {
            (Some(key), Some(column)) => format!(" {key} {column}:"),
            (Some(one), None) | (None, Some(one)) => format!(" {one}:"),
            (None, None) => String::new(),
        };
        let said = match finding.kind {
            Kind::TableMissing | Kind::ColumnMissing | Kind::RowMissing => {
                Some(format!("in {}, not in {}", self.left, self.right))
            }
            Kind::TableExtra | Kind::ColumnExtra | Kind::RowExtra => {
                Some(format!("in {}, not in {}", self.right, self.left))
            }
            _ => match (&finding.left, &finding.right) {
                (Some(left), Some(right)) => Some(format!("{} {left}, {} {right}", self.left, self.right)),
                _ => None,
            },
        };
        let parts: Vec<String> = said.into_iter().chain(finding.note.clone()).collect();
        format!("{:<16}{place} {}", finding.kind, parts.join("; "))
    }

    fn write_json_lines(&self, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        #[serde(tag = "record", rename_all = "kebab-case")]
        enum Line<'r> {
            Finding(&'r Finding),
            Table(&'r super::TableReport),
            NotCompared(&'r super::NotCompared),
            Remark {
                text: &'r str,
            },
            Summary {
                left: &'r str,
                right: &'r str,
                equal: bool,
                tables: usize,
                rows_compared: u64,
                findings: u64,
            },
        }
        let mut line = |line: Line<'_>| -> io::Result<()> {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")
        };
        self.findings.iter().try_for_each(|f| line(Line::Finding(f)))?;
        self.tables.iter().try_for_each(|t| line(Line::Table(t)))?;
        self.not_compared
            .iter()
            .try_for_each(|n| line(Line::NotCompared(n)))?;
        self.remarks
            .iter()
            .try_for_each(|text| line(Line::Remark { text }))?;
        line(Line::Summary {
            left: &self.left,
            right: &self.right,
            equal: self.is_equal(),
            tables: self.tables.len(),
            rows_compared: self.rows_compared(),
            findings: self.findings_count(),
        })
    }

    fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"kind,table,key,column,left,right,note\r\n")?;
        for f in &self.findings {
            let part = |text: &Option<String>| field(text.as_deref().unwrap_or_default());
            let fields = [
                f.kind.id().to_owned(),
                field(&f.table),
                part(&f.key),
                part(&f.column),
                part(&f.left),
                part(&f.right),
                part(&f.note),
            ];
            write!(out, "{}\r\n", fields.join(","))?;
        }
        Ok(())
    }
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
