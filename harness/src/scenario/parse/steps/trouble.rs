//! Steps that let something go wrong.

use std::time::Duration;

use mirrorlab_protocol::names::Operation;

use super::super::reader::Fields;
use super::{OnlyOne, Read, Steps};
use crate::scenario::grammar;
use crate::scenario::mistake::Mistake;
use crate::scenario::model::{Fault, FaultKind, Hit, KillAt, StepKind, TokenDefect, TokenFault};
use crate::scenario::place::Spanned;
use crate::scenario::yaml::{Data, Node};

impl Steps<'_> {
    pub(super) fn maintenance(&mut self, body: &Node) -> Option<Read> {
        const WHAT: &str = "how long SuperOffice is closed";
        let mut after = Duration::ZERO;
        let length = match &body.data {
            Data::Scalar { .. } => self.reader.duration(body, WHAT)?,
            _ => {
                let fields = self.reader.fields(body, &grammar::MAINTENANCE)?;
                let begin = fields
                    .get("in")
                    .map(|n| self.reader.duration(n, "in how long it begins"));
                let length = fields
                    .need(self.reader, "for")
                    .and_then(|n| self.reader.duration(n, WHAT));
                after = begin.unwrap_or(Some(Duration::ZERO))?;
                length?
            }
        };
        Some((None, StepKind::Maintenance { after, length }))
    }

    /// Which calls are hit; one, unless the file says how many.
    fn hit(&mut self, tenant: Option<&Spanned<String>>, fields: &Fields<'_>) -> Hit {
        let operations = Operation::ALL.map(|o| (o.name(), o));
        let operation = fields
            .get("operation")
            .and_then(|n| self.reader.word(n, "an operation", &operations));
        let table = fields
            .get("table")
            .and_then(|n| self.reader.text(n, "a table's name"));
        if let Some(table) = &table {
            self.ledger.check_ever(self.reader, tenant, table);
            if let (
                Some(operation @ (Operation::Authenticate | Operation::ReplicationCompleted)),
                Some(node),
            ) = (operation, fields.get("table"))
            {
                self.reader.note(Mistake::new(
                    node.at,
                    format!("{operation} is not about a table"),
                    "so this hits nothing",
                ));
            }
        }
        let mut number = |key: &str, what: &str, min: u64| {
            let n = fields
                .get(key)
                .and_then(|n| self.reader.number(n, what, min, 1_000_000))?;
            u32::try_from(n).ok()
        };
        let after = number("after", "a number of calls that pass first", 0).unwrap_or(0);
        let all = fields
            .get("calls")
            .is_some_and(|n| matches!(&n.data, Data::Scalar { text, .. } if text == "all"));
        let calls = match all {
            true => None,
            false => Some(number("calls", "a number of calls that are hit, or `all`", 1).unwrap_or(1)),
        };
        Hit {
            operation,
            table,
            after,
            calls,
        }
    }

    pub(super) fn token(&mut self, body: &Node) -> Option<Read> {
        let defects: Vec<(&str, TokenDefect)> =
            TokenDefect::all().into_iter().map(|d| (d.name(), d)).collect();
        if let Data::Scalar { .. } = body.data {
            let defect = self
                .reader
                .word(body, "what can be wrong with a token", &defects)?;
            let hit = Hit {
                operation: None,
                table: None,
                after: 0,
                calls: Some(1),
            };
            return Some((None, StepKind::Token(TokenFault { defect, hit })));
        }
        let fields = self.reader.fields(body, &grammar::TOKEN)?;
        let tenant = self.tenant(&fields)?;
        let hit = self.hit(tenant.as_ref(), &fields);
        let node = fields.need(self.reader, "defect")?;
        let defect = self
            .reader
            .word(node, "what can be wrong with a token", &defects)?;
        Some((tenant, StepKind::Token(TokenFault { defect, hit })))
    }

    /// At which point of a call the server dies: one of two numbers.
    fn kill_at(&mut self, node: &Node) -> Option<KillAt> {
        let fields = self.reader.fields(node, &grammar::KILLED)?;
        match (fields.get("call"), fields.get("log")) {
            (Some(node), None) => {
                let what = "thousandths of the call's bytes, 0 to 1000";
                let part = self.reader.number(node, what, 0, 1000)?;
                Some(KillAt::Call(u16::try_from(part).ok()?))
            }
            (None, Some(node)) => {
                let what = "bytes of the database's log, at least 1";
                Some(KillAt::Log(self.reader.number(node, what, 1, 1_000_000_000)?))
            }
            (call, _) => {
                let label = match call {
                    Some(_) => "it dies once",
                    None => "when?",
                };
                self.reader.note(
                    Mistake::new(node.at, "this does not say at which point the server dies", label)
                        .help("`{call: 350}`, thousandths of the call, or `{log: 20000}`, bytes of the database's log"),
                );
                None
            }
        }
    }

    pub(super) fn fault(&mut self, body: &Node) -> Option<Read> {
        let fields = self.reader.fields(body, &grammar::FAULT)?;
        let tenant = self.tenant(&fields)?;
        let hit = self.hit(tenant.as_ref(), &fields);
        let only = OnlyOne {
            none: ["this does not say what the calls meet", "no kind of fault"],
            several: "a call can meet only one thing",
            step: "fault",
        };
        let (key, node) = only.of(self.reader, &fields, &grammar::FAULT_KINDS)?;
        let kind = match key {
            "refuse" => FaultKind::Refuse(self.reader.text(node, "the text of the refusal")?.value),
            "soap_fault" => FaultKind::SoapFault(self.reader.text(node, "the text of the fault")?.value),
            "http" => {
                let status = self
                    .reader
                    .number(node, "an HTTP status from 300 to 599", 300, 599)?;
                FaultKind::Http(u16::try_from(status).ok()?)
            }
            "killed" => FaultKind::KilledAt(self.kill_at(node)?),
            _ => {
                let words: Vec<_> = FaultKind::NAMED
                    .iter()
                    .enumerate()
                    .filter(|(_, (k, ..))| *k == key)
                    .map(|(at, (_, word, _))| (*word, at))
                    .collect();
                let at = self
                    .reader
                    .word(node, &format!("what can happen to `{key}`"), &words)?;
                FaultKind::NAMED[at].2.clone()
            }
        };
        Some((tenant, StepKind::Fault(Fault { kind, hit })))
    }
}
