//! Which tables are wiped and sent whole, and which send their changes: a pure function of versions.

use std::fmt;

use super::Repopulate;

/// What is known of a table before it is decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// The table.
    pub name: String,
    /// Whether its changes were tracked before this cycle.
    pub was_tracked: bool,
    /// `CHANGE_TRACKING_MIN_VALID_VERSION`.
    pub min_valid_version: i64,
    /// What the mirror answered; `None` where it did not name the table.
    pub mirror_lsn: Option<i64>,
}

/// What is to be sent of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Wipe, then every row as I.
    Everything(WipeReason),
    /// The net changes after that version.
    Changes {
        /// The mirror's LSN.
        since: i64,
    },
}

/// Why a table is wiped and sent whole. Displayed, it stands in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WipeReason {
    /// The mirror answered a negative LSN: "send me everything".
    Asked,
    /// The mirror's answer did not name the table.
    NotAnswered,
    /// Changes were not tracked; they are from now on.
    NotTracked,
    /// The mirror is older than the changes that are kept.
    TooOld {
        /// The mirror's LSN.
        lsn: i64,
        /// The lowest from which changes are whole.
        min_valid: i64,
    },
    /// The mirror is ahead of the source: the source was restored.
    Ahead {
        /// The mirror's LSN.
        lsn: i64,
        /// The source's version.
        version: i64,
    },
    /// Another table of the tenant is ahead.
    AnotherAhead,
}

impl fmt::Display for WipeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WipeReason::Asked => f.write_str("the mirror asked for everything"),
            WipeReason::NotAnswered => f.write_str("the mirror answered no LSN for it"),
            WipeReason::NotTracked => f.write_str("its changes were not tracked"),
            WipeReason::TooOld { lsn, min_valid } => {
                write!(
                    f,
                    "the mirror's LSN {lsn} is below {min_valid}, from where changes are kept"
                )
            }
            WipeReason::Ahead { lsn, version } => {
                write!(
                    f,
                    "the mirror's LSN {lsn} is ahead of the source's {version}: the source was restored"
                )
            }
            WipeReason::AnotherAhead => f.write_str("another table shows that the source was restored"),
        }
    }
}

/// Decides for every table, in the order given. `version` is the source's, of the moment that is sent.
pub fn decide(tables: &[TableState], version: i64, repopulate: Repopulate) -> Vec<Decision> {
    let ahead = |table: &TableState| table.mirror_lsn.is_some_and(|lsn| lsn > version);
    let all = repopulate == Repopulate::AllTables && tables.iter().any(ahead);
    tables
        .iter()
        .map(|table| {
            let reason = match table.mirror_lsn {
                None => Some(WipeReason::NotAnswered),
                Some(lsn) if lsn < 0 => Some(WipeReason::Asked),
                Some(lsn) if lsn > version => Some(WipeReason::Ahead { lsn, version }),
                Some(_) if !table.was_tracked => Some(WipeReason::NotTracked),
                Some(lsn) if lsn < table.min_valid_version => Some(WipeReason::TooOld {
                    lsn,
                    min_valid: table.min_valid_version,
                }),
                Some(_) if all => Some(WipeReason::AnotherAhead),
                Some(_) => None,
            };
            match (reason, table.mirror_lsn) {
                (None, Some(since)) => Decision::Changes { since },
                (reason, _) => Decision::Everything(reason.unwrap_or(WipeReason::NotAnswered)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(mirror_lsn: impl Into<Option<i64>>, min_valid_version: i64, was_tracked: bool) -> TableState {
        TableState {
            name: "t".into(),
            was_tracked,
            min_valid_version,
            mirror_lsn: mirror_lsn.into(),
        }
    }

    #[test]
    fn a_table_by_itself() {
        use WipeReason as W;
        let version = 100;
        let cases: [(TableState, Option<WipeReason>); 12] = [
            (state(-1, 50, true), Some(W::Asked)),
            (state(-7, 50, true), Some(W::Asked)),
            (state(None, 50, true), Some(W::NotAnswered)),
            (
                state(0, 50, true),
                Some(W::TooOld {
                    lsn: 0,
                    min_valid: 50,
                }),
            ),
            (
                state(49, 50, true),
                Some(W::TooOld {
                    lsn: 49,
                    min_valid: 50,
                }),
            ),
            (state(50, 50, true), None),
            (state(99, 50, true), None),
            (state(100, 50, true), None),
            (state(101, 50, true), Some(W::Ahead { lsn: 101, version })),
            (state(99, 50, false), Some(W::NotTracked)),
            (state(-1, 50, false), Some(W::Asked)),
            (
                state(100, i64::MAX, true),
                Some(W::TooOld {
                    lsn: 100,
                    min_valid: i64::MAX,
                }),
            ),
        ];
        for (state, expected) in cases {
            for repopulate in [Repopulate::AllTables, Repopulate::OnlyTablesAhead] {
                let got = decide(std::slice::from_ref(&state), version, repopulate);
                let expected = match expected {
                    Some(reason) => Decision::Everything(reason),
                    None => Decision::Changes {
                        since: state.mirror_lsn.unwrap(),
                    },
                };
                assert_eq!(got, [expected], "{state:?}");
            }
        }
    }

    #[test]
    fn one_table_ahead_takes_all_with_it_or_none() {
        let tables = [
            state(101, 1, true),
            state(90, 1, true),
            state(-1, 1, true),
            state(100, 1, true),
        ];
        let ahead = Decision::Everything(WipeReason::Ahead {
            lsn: 101,
            version: 100,
        });
        let asked = Decision::Everything(WipeReason::Asked);
        let another = || Decision::Everything(WipeReason::AnotherAhead);
        assert_eq!(
            decide(&tables, 100, Repopulate::AllTables),
            [ahead.clone(), another(), asked.clone(), another()]
        );
        assert_eq!(
            decide(&tables, 100, Repopulate::OnlyTablesAhead),
            [
                ahead,
                Decision::Changes { since: 90 },
                asked,
                Decision::Changes { since: 100 }
            ]
        );
    }

    proptest! {
        /// Changes are only ever sent from a version that the source can still answer for.
        #[test]
        fn changes_are_sent_from_valid_versions_alone(
            tables in prop::collection::vec((prop::option::of(-2_i64..12), 0_i64..12, any::<bool>()), 0..6),
            version in 1_i64..10,
            all in any::<bool>(),
        ) {
            let states: Vec<_> = tables.into_iter().map(|(lsn, min, on)| state(lsn, min, on)).collect();
            let repopulate = if all { Repopulate::AllTables } else { Repopulate::OnlyTablesAhead };
            for (state, decision) in states.iter().zip(decide(&states, version, repopulate)) {
                if let Decision::Changes { since } = decision {
                    prop_assert_eq!(Some(since), state.mirror_lsn);
                    prop_assert!(state.was_tracked && since >= 0);
                    prop_assert!((state.min_valid_version..=version).contains(&since));
                }
            }
        }
    }
}
