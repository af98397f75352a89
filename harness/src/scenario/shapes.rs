//! Which columns a table has at each step: what the values of its rows mean hangs on that.

use std::collections::BTreeMap;

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Table;

use super::model::{Scenario, Step, StepKind};

/// Every tenant's tables, as they are before a step.
#[derive(Debug, Clone)]
pub struct Shapes {
    tenants: BTreeMap<String, BTreeMap<String, Table>>,
    backups: BTreeMap<(String, String), BTreeMap<String, Table>>,
}

impl Shapes {
    /// As they are before the first step.
    pub fn new(scenario: &Scenario) -> Shapes {
        let tables = |t: &super::model::Tenant| {
            let by_name = |s: &super::model::TableSpec| (fold(&s.table.name), s.table.clone());
            t.tables.iter().map(by_name).collect()
        };
        Shapes {
            tenants: scenario
                .tenants
                .iter()
                .map(|t| (t.context.value.clone(), tables(t)))
                .collect(),
            backups: BTreeMap::new(),
        }
    }

    /// The table of the step's tenant, or of the first one that has it.
    pub fn table(&self, tenant: Option<&String>, name: &str) -> Option<&Table> {
        self.tenants
            .iter()
            .filter(|(context, _)| tenant.is_none_or(|t| t == *context))
            .find_map(|(_, tables)| tables.get(&fold(name)))
    }

    /// What a step makes of them.
    pub fn after(&mut self, step: &Step) {
        let about = |context: &String| step.tenant.as_ref().is_none_or(|t| t.value == *context);
        for (context, tables) in self.tenants.iter_mut().filter(|(context, _)| about(context)) {
            match &step.kind {
                StepKind::Table(specs) => {
                    for spec in specs {
                        tables.insert(fold(&spec.table.name), spec.table.clone());
                    }
                }
                StepKind::Alter(alters) => {
                    for alter in alters {
                        tables.insert(fold(&alter.table), alter.after.clone());
                    }
                }
                StepKind::Drop(names) => {
                    for name in names {
                        tables.remove(&fold(name));
                    }
                }
                StepKind::Backup(name) => {
                    self.backups
                        .insert((context.clone(), name.value.clone()), tables.clone());
                }
                StepKind::Restore(name) => {
                    if let Some(kept) = self.backups.get(&(context.clone(), name.value.clone())) {
                        tables.clone_from(kept);
                    }
                }
                _ => {}
            }
        }
    }
}
