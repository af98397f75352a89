//! Schemas of any size, drawn from a seed, with the mixture of types of a real tenant.

use std::collections::BTreeSet;

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::{COLUMNS_MAX, Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::blocked;
use crate::draw::pick;

/// Tables of a real tenant (seen).
pub const REAL_TABLES: usize = 413;
/// Their columns (seen).
pub const REAL_COLUMNS: usize = 5270;

/// How many columns of each kind they have (seen); `nvarchar` with a length stands as `nvarchar(1)` here.
const REAL_TYPES: [(ColumnType, usize); 8] = [
    (ColumnType::Int, 2420),
    (ColumnType::NVarChar(Length::Limit(1)), 1069),
    (ColumnType::SmallInt, 866),
    (ColumnType::DateTime, 707),
    (ColumnType::Float, 109),
    (ColumnType::NVarChar(Length::Max), 96),
    (ColumnType::VarBinary(Length::Max), 2),
    (ColumnType::NText, 1),
];

/// Lengths of SuperOffice's texts, the frequent ones several times.
const LENGTHS: [u16; 24] = [
    1, 5, 9, 10, 11, 29, 39, 49, 49, 79, 79, 99, 99, 219, 239, 254, 254, 254, 255, 255, 511, 1023, 2047, 4000,
];

const WORDS: [&str; 28] = [
    "sale", "project", "ticket", "product", "quote", "consent", "form", "chat", "status", "category",
    "group", "type", "link", "rule", "value", "list", "field", "item", "user", "role", "task", "visit",
    "stage", "reason", "source", "price", "target", "campaign",
];

/// A schema of `tables` tables with `columns` columns in all, the same for the same seed. 413 and 5,270 give a real
/// tenant's counts of every type exactly; other sizes keep its proportions. Each table has at least its key, an `int`, and
/// at most 1,024 columns: `columns` is moved to fit where it must. No name is on the blocked list.
pub fn drawn(tables: usize, columns: usize, seed: u64) -> Vec<Table> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let columns = columns.clamp(tables, tables.saturating_mul(COLUMNS_MAX));
    let mut types = mixture(columns);
    // The keys take their share of the ints.
    let mut keys = tables;
    types.retain(|ty| {
        let taken = keys > 0 && *ty == ColumnType::Int;
        keys -= usize::from(taken);
        !taken
    });
    pick::shuffle(rng, &mut types);
    types.truncate(columns - tables);
    let names = table_names(rng, tables);
    let sizes = sizes(rng, tables, types.len());
    let mut types = types.into_iter();
    names
        .into_iter()
        .zip(sizes)
        .map(|(name, size)| table(rng, name, types.by_ref().take(size).collect()))
        .collect()
}

/// `total` types in the real proportions: whole parts first, what is left by the largest remainders.
fn mixture(total: usize) -> Vec<ColumnType> {
    let mut shares: Vec<(ColumnType, usize, usize)> = REAL_TYPES
        .iter()
        .map(|(ty, count)| (*ty, count * total / REAL_COLUMNS, count * total % REAL_COLUMNS))
        .collect();
    let mut left = total - shares.iter().map(|share| share.1).sum::<usize>();
    shares.sort_by_key(|share| std::cmp::Reverse(share.2));
    for share in &mut shares {
        let more = usize::from(left > 0);
        share.1 += more;
        left -= more;
    }
    shares
        .into_iter()
        .flat_map(|(ty, count, _)| std::iter::repeat_n(ty, count))
        .collect()
}

/// How many columns each table has beside its key: few have many, as in life.
fn sizes(rng: &mut ChaCha8Rng, tables: usize, columns: usize) -> Vec<usize> {
    let mut sizes = vec![0; tables];
    let weights: Vec<u64> = (0..tables)
        .map(|_| {
            let x = 3 + pick::below(rng, 10);
            x * x
        })
        .collect();
    let total: u64 = weights.iter().sum();
    for _ in 0..columns {
        let mut drawn = pick::below(rng, total);
        let mut at = 0;
        while drawn >= weights[at] {
            drawn -= weights[at];
            at += 1;
        }
        while sizes[at] + 1 >= COLUMNS_MAX {
            at = (at + 1) % tables;
        }
        sizes[at] += 1;
    }
    sizes
}

fn table_names(rng: &mut ChaCha8Rng, tables: usize) -> Vec<String> {
    let mut names: Vec<String> = WORDS
        .iter()
        .flat_map(|a| {
            WORDS
                .iter()
                .filter(move |b| a != *b)
                .map(move |b| format!("{a}_{b}"))
        })
        .filter(|name| blocked::why_not(name).is_none())
        .collect();
    pick::shuffle(rng, &mut names);
    let mut chosen: Vec<String> = (0..tables)
        .map(|at| {
            let name = &names[at % names.len()];
            match at / names.len() {
                0 => name.clone(),
                round => format!("{name}{}", round + 1),
            }
        })
        .collect();
    chosen.sort();
    chosen
}

fn table(rng: &mut ChaCha8Rng, name: String, types: Vec<ColumnType>) -> Table {
    let key = format!("{name}_id");
    let mut taken = BTreeSet::from([fold(&key)]);
    let mut columns = vec![Column {
        name: key,
        ty: ColumnType::Int,
        nullable: false,
        default: None,
    }];
    for drawn in types {
        let ty = match drawn {
            ColumnType::NVarChar(Length::Limit(_)) => {
                ColumnType::NVarChar(Length::Limit(*pick::one(rng, &LENGTHS)))
            }
            other => other,
        };
        let word = pick::one(rng, &WORDS);
        let ends: &[&str] = match ty {
            ColumnType::Int => &["_id", "_idx", "_count", "_associate_id"],
            ColumnType::SmallInt => &["_flag", "_rank", "_deleted", "_level"],
            ColumnType::DateTime => &["_date", "_registered", "_updated"],
            ColumnType::Float => &["_amount", "_rate", "_latitude"],
            ColumnType::VarBinary(_) => &["_data"],
            ColumnType::NVarChar(Length::Limit(_)) => &["_name", "_email", "_number", "_url", "_city"],
            _ => &["_text", "_description"],
        };
        let base = format!("{word}{}", pick::one(rng, ends));
        let name = (1..)
            .map(|n| {
                if n == 1 {
                    base.clone()
                } else {
                    format!("{base}{n}")
                }
            })
            .find(|name| taken.insert(fold(name)))
            .expect("the numbers do not end before the columns do");
        let nullable = pick::chance(rng, 600);
        let default = pick::chance(rng, 60).then(|| match ty {
            ColumnType::Int => Some(Default::Number("-1".into())),
            ColumnType::SmallInt | ColumnType::Float => Some(Default::Number("0".into())),
            ColumnType::DateTime => Some(Default::Text("1760-01-01 00:00:00".into())),
            ty if ty.is_text() => Some(Default::Text(String::new())),
            _ => None,
        });
        columns.push(Column {
            name,
            ty,
            nullable,
            default: default.flatten(),
        });
    }
    Table { name, columns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::schema::check_distinct;

    fn count(tables: &[Table], ty: impl Fn(ColumnType) -> bool) -> usize {
        tables
            .iter()
            .flat_map(|t| &t.columns)
            .filter(|c| ty(c.ty))
            .count()
    }

    #[test]
    fn the_real_size_has_the_real_mixture() {
        let tables = drawn(REAL_TABLES, REAL_COLUMNS, 7);
        assert_eq!(tables.len(), 413);
        for (ty, real) in REAL_TYPES {
            let found = match ty {
                ColumnType::NVarChar(Length::Limit(_)) => {
                    count(&tables, |t| matches!(t, ColumnType::NVarChar(Length::Limit(_))))
                }
                _ => count(&tables, |t| t == ty),
            };
            assert_eq!(found, real, "{ty}");
        }
        for table in &tables {
            table.check().unwrap();
            assert_eq!(blocked::why_not(&table.name), None);
        }
        check_distinct(&tables).unwrap();
        assert!(tables.is_sorted_by(|a, b| a.name < b.name));
        let widest = tables.iter().map(|t| t.columns.len()).max().unwrap();
        assert!((25..80).contains(&widest), "{widest}");
    }

    #[test]
    fn any_size_is_met_and_a_seed_gives_one_schema() {
        for (tables, columns, expected) in [
            (0, 5, 0),
            (1, 0, 1),
            (3, 3, 3),
            (2, 9999, 2048),
            (900, 2000, 2000),
        ] {
            let made = drawn(tables, columns, 1);
            assert_eq!(made.len(), tables);
            assert_eq!(made.iter().map(|t| t.columns.len()).sum::<usize>(), expected);
            made.iter().for_each(|t| t.check().unwrap());
            check_distinct(&made).unwrap();
        }
        assert_eq!(drawn(20, 100, 5), drawn(20, 100, 5));
        assert_ne!(drawn(20, 100, 5), drawn(20, 100, 6));
        insta::assert_snapshot!(crate::schema_file::write(&drawn(2, 14, 3)));
    }
}
