//! LSNs that are kept wrong.

use mirrorlab_protocol::names::Operation;
use mirrorlab_server::store::{StoreError, StoredTable};

use super::{BrokenTransaction, StoreMistake};
use crate::defects::memory::key;

impl BrokenTransaction<'_> {
    pub(super) fn set_lsn_wrong(&mut self, table: &str, lsn: i64) -> Result<(), StoreError> {
        let at = key(&self.context, table);
        let stored = match self.mistake {
            StoreMistake::LsnAtCycleEnd => {
                self.memory.known().lsns.insert(at, lsn);
                return Ok(());
            }
            StoreMistake::EmptyBatchIgnored if self.empty_batch.as_deref() == Some(table) => return Ok(()),
            StoreMistake::LsnOnlyGrows => {
                let mut known = self.memory.known();
                let highest = known.lsns.entry(at).or_insert(lsn);
                *highest = lsn.max(*highest);
                *highest
            }
            StoreMistake::LsnCached => {
                self.memory.known().lsns.insert(at, lsn);
                lsn
            }
            StoreMistake::LsnOneTooHigh => lsn + 1,
            _ => lsn,
        };
        self.inner()?.set_lsn(table, stored)
    }

    /// What TableSchema answers for tables that it leaves as they are.
    pub(super) fn answered_lsns(&mut self, tables: &mut [StoredTable]) {
        match self.mistake {
            StoreMistake::LsnCached => {
                let known = self.memory.known();
                for table in tables {
                    if let Some(lsn) = known.lsns.get(&key(&self.context, &table.table.name)) {
                        table.lsn = *lsn;
                    }
                }
            }
            StoreMistake::LsnPerTenant => {
                let highest = tables.iter().map(|t| t.lsn).max().unwrap_or_default();
                for table in tables {
                    table.lsn = highest;
                }
            }
            _ => {}
        }
    }

    /// Whoever keeps LSNs until the cycle ends writes them in its last call.
    pub(super) fn store_late_lsns(&mut self) -> Result<(), StoreError> {
        let late = {
            let mut known = self.memory.known();
            let ends = known.operation == Some(Operation::ReplicationCompleted);
            if !matches!(self.mistake, StoreMistake::LsnAtCycleEnd) || !ends {
                return Ok(());
            }
            let (own, others) = std::mem::take(&mut known.lsns)
                .into_iter()
                .partition(|((context, _), _)| *context == self.context);
            known.lsns = others;
            let own: std::collections::HashMap<_, _> = own;
            own
        };
        for ((_, table), lsn) in late {
            self.inner()?.set_lsn(&table, lsn)?;
        }
        Ok(())
    }
}
