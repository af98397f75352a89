//! A scenario with other tenants' names, wherever it speaks of them.

use super::expect::{CompareExpect, MirrorExpect, PerTenant, RunDueExpect, SqlExpect, TextPattern};
use super::model::{Scenario, StepKind, TokenDefect};
use super::place::Spanned;

/// Gives a tenant's name as it is to be, or `None` for a name that stays.
pub type NewName<'n> = &'n dyn Fn(&str) -> Option<String>;

impl Scenario {
    /// The same with other names of its tenants: in steps and expectations, in SQL, in what texts must hold.
    #[must_use]
    pub fn renamed(&self, name: NewName<'_>) -> Scenario {
        let mut scenario = self.clone();
        let names: Vec<(String, String)> = self
            .tenants
            .iter()
            .filter_map(|tenant| Some((tenant.context.value.clone(), name(&tenant.context)?)))
            .collect();
        let in_text = |text: &mut String| {
            for (old, new) in &names {
                *text = text.replace(old.as_str(), new);
            }
        };
        let whole = |context: &mut Spanned<String>| {
            if let Some(new) = name(&context.value) {
                context.value = new;
            }
        };
        for tenant in &mut scenario.tenants {
            whole(&mut tenant.context);
        }
        for step in &mut scenario.steps {
            if let Some(tenant) = &mut step.tenant {
                whole(tenant);
            }
            match &mut step.kind {
                StepKind::Mirror(expect) => each(expect, &whole, &|expect: &mut MirrorExpect| {
                    let events = expect.events.iter_mut().filter_map(|e| e.text.as_mut());
                    let error = expect.error.as_mut().map(|e| &mut e.value);
                    for pattern in events.chain(error) {
                        let mut text = pattern.to_string();
                        in_text(&mut text);
                        *pattern = TextPattern::new(&text);
                    }
                }),
                StepKind::Compare(expect) => each(expect, &whole, &|_: &mut CompareExpect| {}),
                StepKind::RunDue { expect, .. } => each(expect, &whole, &|_: &mut RunDueExpect| {}),
                StepKind::Sql(statements) => statements.iter_mut().for_each(|sql| in_text(&mut sql.value)),
                StepKind::MirrorSql { run, expect } => {
                    run.iter_mut().for_each(|sql| in_text(&mut sql.value));
                    if let Some(SqlExpect { rows, .. }) = expect {
                        rows.iter_mut().flatten().flatten().for_each(in_text);
                    }
                }
                StepKind::Token(fault) => {
                    if let TokenDefect::ForeignTenant(context) = &mut fault.defect
                        && let Some(new) = name(context)
                    {
                        *context = new;
                    }
                }
                _ => {}
            }
        }
        scenario
    }
}

fn each<T>(expect: &mut PerTenant<T>, whole: &dyn Fn(&mut Spanned<String>), change: &dyn Fn(&mut T)) {
    expect.all.iter_mut().for_each(change);
    for (context, expect) in &mut expect.tenants {
        whole(context);
        change(expect);
    }
}
