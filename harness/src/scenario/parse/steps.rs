//! Steps: a word, or a word with what it needs.

mod calls;
mod data;
mod trouble;

use super::expects::Expects;
use super::ledger::{Known, Ledger};
use super::reader::{Fields, Reader};
use super::settings;
use crate::scenario::Catalogue;
use crate::scenario::expect::PerTenant;
use crate::scenario::grammar::{self, Shape};
use crate::scenario::mistake::{Mistake, closest, one_of};
use crate::scenario::model::{Step, StepKind};
use crate::scenario::place::Spanned;
use crate::scenario::yaml::{Data, Key, Node};

/// The tenant that a step names, and what it does.
type Read = (Option<Spanned<String>>, StepKind);

/// What is said where not exactly one of several keys is there.
struct OnlyOne {
    /// Where there is none: the mistake, and its label.
    none: [&'static str; 2],
    /// Where there are several.
    several: &'static str,
    /// The word of the step that each of several needs for itself.
    step: &'static str,
}

impl OnlyOne {
    /// The only one of these keys that is there.
    fn of<'n>(
        &self,
        reader: &mut Reader,
        fields: &Fields<'n>,
        keys: &[&'static str],
    ) -> Option<(&'static str, &'n Node)> {
        let mut named = keys.iter().filter_map(|key| Some((*key, fields.get(key)?)));
        let Some(first) = named.next() else {
            let [text, label] = self.none;
            let mistake = Mistake::new(fields.at, text, label);
            reader.note(mistake.help(format!("say one of {}", one_of(keys))));
            return None;
        };
        let Some(second) = named.next() else {
            return Some(first);
        };
        let (first, second) = (fields.key_at(first.0)?, fields.key_at(second.0)?);
        let mistake = Mistake::new(second, self.several, "the second").and(first, "the first");
        reader.note(mistake.help(format!("write a `{}` step for each", self.step)));
        None
    }
}

/// Steps that may stand without anything behind them.
pub(super) const BARE: [&str; 6] = ["approve", "withdraw", "mirror", "crash", "invalidate", "compare"];

/// Reads one step after the other, and keeps the ledger.
pub(super) struct Steps<'a> {
    pub reader: &'a mut Reader,
    pub ledger: &'a mut Ledger,
    pub catalogue: &'a Catalogue,
}

impl Steps<'_> {
    /// One item of `steps`.
    pub fn step(&mut self, node: &Node) -> Option<Step> {
        let nothing = Node {
            at: node.at,
            data: Data::Null,
        };
        let (word, body) = match &node.data {
            Data::Scalar { text, .. } => (
                Key {
                    text: text.clone(),
                    at: node.at,
                },
                &nothing,
            ),
            Data::Map(entries) => match entries.as_slice() {
                [] => return self.no_step(node),
                [(word, body)] => (word.clone(), body),
                [(word, body), (second, _), ..] => {
                    if !grammar::STEP.keys.contains(&word.text.as_str()) {
                        return self.unknown_word(word);
                    }
                    let mistake = Mistake::new(
                        second.at,
                        "a step is one word",
                        format!("`{}` is beside it", second.text),
                    )
                    .and(word.at, "this is the step");
                    self.reader
                        .note(match grammar::STEP.keys.contains(&second.text.as_str()) {
                            true => mistake.help(format!("begin a step of its own: `- {}`", second.text)),
                            false if matches!(body.data, Data::Null) => mistake.help(format!(
                                "what belongs to `{}` is indented more than it",
                                word.text
                            )),
                            false => mistake.help(format!("put it inside `{}: {{…}}`", word.text)),
                        });
                    return None;
                }
            },
            _ => return self.no_step(node),
        };
        if !grammar::STEP.keys.contains(&word.text.as_str()) {
            return self.unknown_word(&word);
        }
        if matches!(body.data, Data::Null) && !BARE.contains(&word.text.as_str()) {
            let (what, example) = needs(&word.text);
            let mistake = Mistake::new(
                word.at,
                format!("`{}` needs {what}", word.text),
                "nothing stands behind it",
            );
            self.reader
                .note(mistake.help(format!("for example `- {}: {example}`", word.text)));
            return None;
        }
        let (tenant, kind) = self.kind(&word, body)?;
        Some(Step {
            at: word.at,
            tenant,
            kind,
        })
    }

    fn no_step(&mut self, node: &Node) -> Option<Step> {
        self.reader.wrong(
            node,
            "a step: a word like `mirror`, or a word with what it needs, like `backup: monday`",
        );
        None
    }

    fn unknown_word(&mut self, word: &Key) -> Option<Step> {
        let label = match closest(&word.text, grammar::STEP.keys.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "unknown step".to_owned(),
        };
        self.reader.note(
            Mistake::new(word.at, format!("there is no step `{}`", word.text), label)
                .help(format!("the steps are {}", one_of(grammar::STEP.keys))),
        );
        None
    }

    fn kind(&mut self, word: &Key, body: &Node) -> Option<Read> {
        match word.text.as_str() {
            "approve" => Some((self.about_tenant(body)?, StepKind::Approve)),
            "withdraw" => Some((self.about_tenant(body)?, StepKind::Withdraw)),
            "crash" => {
                if !matches!(body.data, Data::Null) {
                    self.reader.note(Mistake::new(
                        body.at,
                        "`crash` takes nothing",
                        "the server dies, that is all",
                    ));
                }
                Some((None, StepKind::Crash))
            }
            "mirror" => {
                let (tenant, expect) = self.expecting(body, &grammar::MIRROR, |e, node| e.mirror(node))?;
                Some((tenant, StepKind::Mirror(expect)))
            }
            "compare" => {
                let (tenant, expect) = self.expecting(body, &grammar::COMPARE, |e, node| e.compare(node))?;
                Some((tenant, StepKind::Compare(expect)))
            }
            "run_due" => self.run_due(body),
            "change" => self.change(body),
            "rows" => self.rows(body),
            "sql" => self.sql(body),
            "mirror_sql" => self.mirror_sql(body),
            "send" => self.send(body),
            "mirror_rows" => self.mirror_rows(body),
            "table" => self.table(body),
            "alter" => self.alter(body),
            "drop" | "truncate" | "invalidate" => self.named_tables(word, body),
            "tracking" => self.tracking(body),
            "backup" | "restore" | "mirror_backup" | "mirror_restore" => self.backup(word, body),
            "advance" => {
                let length = self.reader.duration(body, "how far the clock moves")?;
                Some((None, StepKind::Advance(length)))
            }
            "maintenance" => self.maintenance(body),
            "token" => self.token(body),
            "fault" => self.fault(body),
            "set" => {
                let fields = self.reader.fields(body, &grammar::SET)?;
                let tenant = self.tenant(&fields)?;
                Some((tenant, StepKind::Set(settings::settings(self.reader, &fields))))
            }
            other => unreachable!("`{other}` is in the grammar and has no reader"),
        }
    }

    /// The tables that a step names as keys, as they are by now, each with what stands under it. `nothing` is said where none
    /// is named.
    fn tables_named<'n>(
        &mut self,
        tenant: Option<&Spanned<String>>,
        fields: &Fields<'n>,
        body: &Node,
        nothing: &str,
    ) -> Vec<(Spanned<String>, Known, &'n Node)> {
        if fields.others.is_empty() {
            self.reader
                .note(Mistake::new(body.at, nothing, "no table is named"));
        }
        let mut named = Vec::new();
        for (key, node) in &fields.others {
            let name = Spanned::new(key.text.clone(), key.at);
            if let Some(known) = self.ledger.need_table(self.reader, tenant, &name) {
                named.push((name, known, *node));
            }
        }
        named
    }

    /// `Some(None)` where none is named; `None` where a wrong one is.
    fn tenant(&mut self, fields: &Fields<'_>) -> Option<Option<Spanned<String>>> {
        let Some(node) = fields.get("tenant") else {
            return Some(None);
        };
        let named = self.reader.text(node, "a tenant")?;
        self.ledger
            .check_tenant(self.reader, &named)
            .then_some(Some(named))
    }

    fn about_tenant(&mut self, body: &Node) -> Option<Option<Spanned<String>>> {
        match &body.data {
            Data::Null => Some(None),
            Data::Scalar { text, .. } => {
                let named = Spanned::new(text.clone(), body.at);
                self.ledger
                    .check_tenant(self.reader, &named)
                    .then_some(Some(named))
            }
            _ => {
                let fields = self.reader.fields(body, &grammar::ABOUT_TENANT)?;
                self.tenant(&fields)
            }
        }
    }

    fn expecting<T>(
        &mut self,
        body: &Node,
        shape: &'static Shape,
        read: fn(&mut Expects<'_>, &Node) -> PerTenant<T>,
    ) -> Option<(Option<Spanned<String>>, PerTenant<T>)> {
        if matches!(body.data, Data::Null) {
            return Some((None, PerTenant::default()));
        }
        let fields = self.reader.fields(body, shape)?;
        let tenant = self.tenant(&fields)?;
        let expect = self.expect(&fields, tenant.as_ref(), read);
        Some((tenant, expect))
    }

    fn expect<T>(
        &mut self,
        fields: &Fields<'_>,
        tenant: Option<&Spanned<String>>,
        read: fn(&mut Expects<'_>, &Node) -> PerTenant<T>,
    ) -> PerTenant<T> {
        match fields.get("expect") {
            Some(node) => {
                let mut expects = Expects {
                    reader: &mut *self.reader,
                    ledger: &mut *self.ledger,
                    tenant,
                };
                read(&mut expects, node)
            }
            None => PerTenant::default(),
        }
    }

    fn run_due(&mut self, body: &Node) -> Option<Read> {
        const WHAT: &str = "how far the clock moves";
        if let Data::Scalar { .. } = body.data {
            let length = self.reader.duration(body, WHAT)?;
            return Some((
                None,
                StepKind::RunDue {
                    length,
                    expect: PerTenant::default(),
                },
            ));
        }
        let fields = self.reader.fields(body, &grammar::RUN_DUE)?;
        let tenant = self.tenant(&fields)?;
        let expect = self.expect(&fields, tenant.as_ref(), |e, node| e.run_due(node));
        let length = fields
            .need(self.reader, "for")
            .and_then(|n| self.reader.duration(n, WHAT))?;
        Some((tenant, StepKind::RunDue { length, expect }))
    }

    fn backup(&mut self, word: &Key, body: &Node) -> Option<Read> {
        let (tenant, node) = match &body.data {
            Data::Map(_) => {
                let fields = self.reader.fields(body, &grammar::BACKUP)?;
                (self.tenant(&fields)?, fields.need(self.reader, "name")?)
            }
            _ => (None, body),
        };
        let name = self.reader.text(node, "the backup's name")?;
        let about = tenant.as_ref();
        let kind = match word.text.as_str() {
            "backup" => {
                self.ledger.backup(about, &name);
                StepKind::Backup(name)
            }
            "restore" => {
                self.ledger.restore(self.reader, about, &name);
                StepKind::Restore(name)
            }
            "mirror_backup" => {
                self.ledger.mirror_backup(about, &name);
                StepKind::MirrorBackup(name)
            }
            _ => {
                self.ledger.mirror_restore(self.reader, about, &name);
                StepKind::MirrorRestore(name)
            }
        };
        Some((tenant, kind))
    }
}

/// What a step needs, and an example of it.
fn needs(word: &str) -> (&'static str, &'static str) {
    match word {
        "change" => ("tables and what happens to their rows", "{contact: {update: 20}}"),
        "rows" => ("tables and their rows", "{contact: {delete: [1]}}"),
        "sql" => ("a SQL statement", "delete from contact where contact_id = 1"),
        "mirror_sql" => ("a SQL statement", "drop table contact"),
        "send" => ("a call", "{Wipe: contact}"),
        "mirror_rows" => ("tables and their rows", "{contact: []}"),
        "table" => ("tables", "{person: 20}"),
        "alter" => (
            "tables and what happens to their columns",
            "{contact: {add: {x_score: int null}}}",
        ),
        "drop" | "truncate" => ("a table", "contact"),
        "tracking" => ("tables", "{contact: off}"),
        "advance" | "run_due" => ("a duration", "8d"),
        "maintenance" => ("a duration", "2h"),
        "token" => ("what is wrong with it", "expired"),
        "fault" => ("what the calls meet", "{http: 503}"),
        "set" => ("settings", "{repopulate: only_ahead}"),
        _ => ("a name", "monday"),
    }
}
