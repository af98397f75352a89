//! Tables that are made, changed, emptied and dropped wrong.

use mirrorlab_engines::sqlite::{create_table, quote};
use mirrorlab_protocol::default::Default as ColumnDefault;
use mirrorlab_protocol::message::LSN_INVALID;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_server::store::StoreError;

use super::{BrokenTransaction, StoreMistake};
use crate::defects::memory::key;

impl BrokenTransaction<'_> {
    pub(super) fn create_wrong(&mut self, table: &Table) -> Result<(), StoreError> {
        if let Some(at) = self.dropping.iter().position(|name| same_name(name, &table.name)) {
            let name = self.dropping.remove(at);
            self.inner()?.drop_table(&name)?;
        }
        let made = self.inner()?.create(table);
        match (self.mistake, made) {
            (StoreMistake::ForeignTableReplaced, Err(StoreError::ForeignTable { table: taken, .. })) => {
                self.sql(&format!("DROP TABLE {}", quote(&taken)))?;
                self.inner()?.create(table)?;
            }
            (_, made) => made?,
        }
        if let Some(other) = self.made_otherwise(table) {
            // The metadata knows the right schema; the table itself is another.
            self.sql(&format!(
                "DROP TABLE {}; {}",
                quote(&table.name),
                create_table(&other)
            ))?;
        }
        if let Some((name, lsn)) = self.recreated.take()
            && same_name(&name, &table.name)
        {
            self.inner()?.set_lsn(&table.name, lsn)?;
            self.memory
                .known()
                .answers
                .insert(key(&self.context, &table.name), lsn);
        }
        Ok(())
    }

    fn made_otherwise(&self, table: &Table) -> Option<Table> {
        let mut other = table.clone();
        for column in other.columns.iter_mut().skip(1) {
            match self.mistake {
                StoreMistake::MaxBecomes4000 => {
                    if column.ty == ColumnType::NVarChar(Length::Max) {
                        column.ty = ColumnType::NVarChar(Length::Limit(4000));
                    }
                }
                StoreMistake::EverythingNullable => column.nullable = true,
                StoreMistake::DefaultsNotMade => column.default = None,
                _ => return None,
            }
        }
        (other != *table).then_some(other)
    }

    pub(super) fn alter_wrong(&mut self, old: &Table, new: &Table) -> Result<(), StoreError> {
        let pairs: Vec<(&Column, &Column)> = new
            .columns
            .iter()
            .filter_map(|column| Some((&old.columns[old.position(&column.name)?], column)))
            .collect();
        let same_columns = pairs.len() == new.columns.len() && pairs.len() == old.columns.len();
        let only =
            |differs: fn(&Column, &Column) -> bool| same_columns && pairs.iter().any(|(a, b)| differs(a, b));
        match self.mistake {
            StoreMistake::TypeChangesIgnored if only(|a, b| a.ty != b.ty) => Ok(()),
            StoreMistake::NullabilityChangesIgnored if only(|a, b| a.nullable != b.nullable) => Ok(()),
            StoreMistake::DefaultChangesIgnored if only(|a, b| a.default != b.default) => Ok(()),
            StoreMistake::OrderFromDatabase if same_columns && !only(is_other) => Ok(()),
            StoreMistake::ChangesMakeAnew => {
                let inner = self.inner()?;
                inner.drop_table(&old.name)?;
                inner.create(new)?;
                let at = key(&self.context, &new.name);
                self.memory.known().answers.insert(at, LSN_INVALID);
                Ok(())
            }
            StoreMistake::NullableDefaultFilled => {
                // By way of a column that is NOT NULL, which every engine fills.
                let filling = with_new(old, new, |column| {
                    column.nullable &= column.default.is_none();
                });
                let inner = self.inner()?;
                inner.alter(old, &filling)?;
                inner.alter(&filling, new)
            }
            StoreMistake::NotNullFilledWithZero => {
                let filling = with_new(old, new, |column| {
                    if column.nullable {
                    } else if column.ty.is_text() {
                        column.default = Some(ColumnDefault::Text(String::new()));
                    } else if column.ty.integer_range().is_some() {
                        column.default = ColumnDefault::parse("default ((0))").ok().flatten();
                    }
                });
                let inner = self.inner()?;
                inner.alter(old, &filling)?;
                inner.alter(&filling, new)
            }
            StoreMistake::DroppedColumnsKept => {
                let mut kept = new.clone();
                for column in &old.columns {
                    if new.position(&column.name).is_none() {
                        kept.columns.push(column.clone());
                    }
                }
                self.inner()?.alter(old, &kept)
            }
            _ => self.inner()?.alter(old, new),
        }
    }

    pub(super) fn drop_wrong(&mut self, name: &str) -> Result<(), StoreError> {
        match self.mistake {
            StoreMistake::AbsentTablesKept => {
                self.dropping.push(name.to_owned());
                Ok(())
            }
            StoreMistake::LsnKeptThroughRecreation => {
                let inner = self.inner()?;
                let stored = inner.table(name)?;
                inner.drop_table(name)?;
                self.recreated = stored.map(|stored| (name.to_owned(), stored.lsn));
                Ok(())
            }
            _ => self.inner()?.drop_table(name),
        }
    }

    pub(super) fn wipe_wrong(&mut self, table: &Table) -> Result<(), StoreError> {
        let inner = self.inner.as_deref_mut();
        let Some(inner) = inner else {
            return self.refused("wipe", "the transaction is over");
        };
        match self.mistake {
            StoreMistake::WipeKeepsRows => inner.set_lsn(&table.name, LSN_INVALID),
            StoreMistake::WipeKeepsLsn => {
                let lsn = inner.table(&table.name)?.map_or(LSN_INVALID, |stored| stored.lsn);
                inner.wipe(table)?;
                inner.set_lsn(&table.name, lsn)
            }
            StoreMistake::WipeEmptiesAll => inner
                .tables()?
                .iter()
                .filter(|stored| stored.present)
                .try_for_each(|stored| inner.wipe(&stored.table)),
            _ => inner.wipe(table),
        }
    }
}

fn is_other(a: &Column, b: &Column) -> bool {
    (a.ty, a.nullable, &a.default) != (b.ty, b.nullable, &b.default)
}

/// `new`, with its new columns changed.
fn with_new(old: &Table, new: &Table, change: impl Fn(&mut Column)) -> Table {
    let mut changed = new.clone();
    for column in &mut changed.columns {
        if old.position(&column.name).is_none() {
            change(column);
        }
    }
    changed
}
