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
        let in_text = |text: &mut String| *text = with_names(text, &names);
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
                StepKind::Send(sent) => {
                    if let Some(refused) = &mut sent.expect.refused {
                        let mut text = refused.value.to_string();
                        in_text(&mut text);
                        refused.value = TextPattern::new(&text);
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

/// A text with other names in it, each old one by its new one. No new name is taken for an old one, and of two old names that
/// begin alike the longer one is meant.
pub fn with_names(text: &str, names: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let fits = names
            .iter()
            .filter(|(old, _)| !old.is_empty() && rest.starts_with(old.as_str()));
        match fits.max_by_key(|(old, _)| old.len()) {
            Some((old, new)) => {
                out.push_str(new);
                rest = &rest[old.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn each<T>(expect: &mut PerTenant<T>, whole: &dyn Fn(&mut Spanned<String>), change: &dyn Fn(&mut T)) {
    expect.all.iter_mut().for_each(change);
    for (context, expect) in &mut expect.tenants {
        whole(context);
        change(expect);
    }
}

#[cfg(test)]
mod tests {
    use super::with_names;

    #[test]
    fn names_that_begin_alike_or_change_places_are_told_apart() {
        let names = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = |(old, new): &(&str, &str)| ((*old).to_owned(), (*new).to_owned());
            pairs.iter().map(owned).collect()
        };
        let text = "Cust1, Cust10: «Cust1»";
        assert_eq!(
            with_names(text, &names(&[("Cust1", "A"), ("Cust10", "B")])),
            "A, B: «A»"
        );
        assert_eq!(
            with_names(text, &names(&[("Cust1", "Cust10"), ("Cust10", "Cust1")])),
            "Cust10, Cust1: «Cust10»"
        );
        assert_eq!(with_names(text, &[]), text);
    }
}
