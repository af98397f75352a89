//! Calls that are written out, and what they leave in the mirror.

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::{Foreseen, SKEW_MAX, TenantView, View, bare};
use crate::fuzz::property::Property;
use crate::fuzz::rules::calls::Answer;
use crate::fuzz::rules::{Row, Source};
use crate::scenario::expect::TextPattern;
use crate::scenario::model::StepKind;
use crate::scenario::place::At;
use crate::scenario::sent::{MirrorRows, Sent, SentCall, SentColumn, SentExpect};

impl View {
    /// A call, and what it is answered. Where a cycle's calls still have something before them, it would be met by it.
    pub(super) fn send(&mut self, contexts: &[String], sent: &Sent, foreseen: &mut Foreseen) -> Option<()> {
        let [context] = contexts else { return None };
        let rules = self.rules();
        let skewed = self
            .settings
            .server
            .clock_skew
            .is_some_and(|s| s.abs() > SKEW_MAX);
        if self.is_waiting(context) || skewed || rules.declines {
            return None;
        }
        let view = self.tenants.get_mut(context)?;
        let is_schema = matches!(sent.call, SentCall::Schema(_));
        if !view.approved || !view.rows_known || !view.lsns_known || view.has_late() {
            return None;
        }
        if view.dropped_by_hand && !is_schema {
            return None;
        }
        can_be_sent(&sent.call, &view.source).then_some(())?;
        let answer = view.mirror.call(&sent.call, &view.source, rules.guarded)?;
        let mut expect = SentExpect::default();
        match answer {
            Answer::Done(lsns) => {
                foreseen.about = Property::Call;
                if is_schema {
                    let lsns = lsns.into_iter().map(|(table, lsn)| (bare(table), lsn)).collect();
                    expect.lsns = Some(bare(lsns));
                    view.dropped_by_hand = false;
                }
                if !matches!(sent.call, SentCall::Completed) {
                    view.restored = true;
                    view.called = true;
                }
            }
            Answer::Refused(refused) => {
                foreseen.about = Property::Refused;
                foreseen.refused = Some(refused.why);
                let text = match refused.names.is_empty() {
                    true => "*".to_owned(),
                    false => refused.names.join("*"),
                };
                expect.refused = Some(bare(TextPattern::new(&text)));
            }
        }
        // Whoever is asked for tables makes the mirror, whatever comes of it. An empty list asks for none.
        view.mirror_made |= matches!(&sent.call, SentCall::Schema(names) if !names.is_empty());
        foreseen.step.kind = StepKind::Send(Sent {
            call: sent.call.clone(),
            expect,
        });
        Some(())
    }

    /// What the mirror's tables hold. Those of which a file could not say it are left out.
    pub(super) fn mirror_rows(
        &self,
        contexts: &[String],
        tables: &[MirrorRows],
        foreseen: &mut Foreseen,
    ) -> Option<()> {
        let [context] = contexts else { return None };
        let view = self.tenants.get(context)?;
        if !view.mirror_made || !view.rows_known || view.dropped_by_hand {
            return None;
        }
        let looked: Vec<MirrorRows> = tables
            .iter()
            .filter_map(|looked| rows_of(view, &looked.table.name))
            .collect();
        (!looked.is_empty()).then_some(())?;
        foreseen.about = Property::Call;
        foreseen.step.kind = StepKind::MirrorRows(looked);
        Some(())
    }
}

/// Whether the source knows every column that is only named.
fn can_be_sent(call: &SentCall, source: &Source) -> bool {
    let SentCall::Rows(batches) = call else {
        return true;
    };
    batches.iter().all(|batch| {
        let known = batch
            .table
            .as_ref()
            .and_then(|name| source.tables.get(&fold(name)));
        let is_known = |column: &SentColumn| match column {
            SentColumn::Written(_) => true,
            SentColumn::Named(name) => known.is_some_and(|t| t.shape.position(name).is_some()),
        };
        batch.columns.iter().flatten().all(is_known)
    })
}

/// All rows of a mirrored table, in the source's columns; `None` where the mirror has other columns.
fn rows_of(view: &TenantView, name: &str) -> Option<MirrorRows> {
    let source = &view.source.tables.get(&fold(name))?.shape;
    let mirrored = view.mirror.tables.get(&fold(name))?;
    let sorted = |table: &Table| {
        let mut columns = table.columns.clone();
        columns.iter_mut().for_each(|c| c.name = fold(&c.name));
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        columns
    };
    if sorted(source) != sorted(&mirrored.shape) {
        return None;
    }
    let row = |(key, row): (&i64, &Row)| {
        let others = source.columns.iter().skip(1);
        let others = others.map(|c| row.get(&fold(&c.name)).cloned().unwrap_or(Value::Null));
        std::iter::once(Value::Int(*key)).chain(others).collect()
    };
    Some(MirrorRows {
        at: At::default(),
        table: source.clone(),
        rows: mirrored.rows.iter().map(row).collect(),
    })
}
