use super::*;

fn table(name: &str) -> Table {
    let column = |name: &str, ty: &str, nullable| Column {
        name: name.into(),
        ty: ColumnType::parse(ty).unwrap(),
        nullable,
        default: None,
    };
    Table {
        name: name.into(),
        columns: vec![column("id", "int", false), column("entry", "nvarchar(40)", true)],
    }
}

fn entry(text: &str) -> Row {
    Row::from([("entry".to_owned(), Value::Text(text.to_owned().into()))])
}

fn filled(names: &[&str], rows: i64) -> Source {
    let mut source = Source::new();
    for name in names {
        source.create(
            &table(name),
            (1..=rows).map(|key| (key, entry("as it was"))).collect(),
        );
    }
    source
}

fn update(source: &mut Source, name: &str, key: i64, text: &str) {
    assert!(source.transact(&[(name.into(), Change::Update(key, entry(text)))], 0));
}

fn clean(source: &mut Source, mirror: &mut Mirror) -> Cycle {
    cycle(source, mirror, Rules::default(), 0, &mut |_, _| Fate::SOUND)
}

fn different(source: &Source, mirror: &Mirror, name: &str) -> Vec<i64> {
    let all = differences(source, mirror).unwrap();
    all.into_iter()
        .find(|(n, _)| n == name)
        .map_or(Vec::new(), |(_, d)| d.different)
}

/// In sync at 100, the source at 120, restored to 70, on to 130: 100 is valid by number, and the client's changes of 71
/// to 100 are wrong.
#[test]
fn microsofts_example() {
    let mut source = filled(&["ledger", "noise"], 40);
    let mut mirror = Mirror::default();
    clean(&mut source, &mut mirror);
    let noise = |source: &mut Source, until: i64| {
        while source.version < until {
            update(source, "noise", 1, "moved on");
        }
    };
    noise(&mut source, 70);
    clean(&mut source, &mut mirror);
    let backup = source.clone();
    update(&mut source, "ledger", 1, "at 71");
    noise(&mut source, 100);
    clean(&mut source, &mut mirror);
    assert_eq!(mirror.tables["ledger"].lsn, 100);
    noise(&mut source, 120);
    source = backup;
    update(&mut source, "ledger", 3, "at 71, after the restore");
    noise(&mut source, 129);
    update(&mut source, "ledger", 4, "at 130");
    assert_eq!(source.version, 130);
    let done = clean(&mut source, &mut mirror);
    assert_eq!(
        (done.ending, done.wiped.len()),
        (Ending::Completed, 0),
        "nobody sees it"
    );
    assert_eq!(different(&source, &mirror, "ledger"), [1, 3]);
    // Nothing heals it by itself; invalidation does.
    clean(&mut source, &mut mirror);
    assert_eq!(different(&source, &mirror, "ledger"), [1, 3]);
    mirror.tables.values_mut().for_each(|t| t.lsn = -1);
    assert_eq!(clean(&mut source, &mut mirror).wiped, ["ledger", "noise"]);
    assert_eq!(differences(&source, &mirror), Some(vec![]));
}

#[test]
fn a_restore_is_seen_as_long_as_the_mirror_is_ahead_and_no_longer() {
    for changes in 0..6 {
        let mut source = filled(&["ledger"], 9);
        let mut mirror = Mirror::default();
        clean(&mut source, &mut mirror);
        let backup = source.clone();
        for key in 1..=3 {
            update(&mut source, "ledger", key, "from the lost week");
        }
        clean(&mut source, &mut mirror);
        source = backup;
        for key in 4..4 + changes {
            update(&mut source, "ledger", key, "after the restore");
        }
        let seen = !clean(&mut source, &mut mirror).wiped.is_empty();
        // Three versions were lost: with three new ones the counter has reached the mirror's again.
        assert_eq!(seen, changes < 3, "{changes} changes");
        let expected: Vec<i64> = match seen {
            true => vec![],
            // Those of the lost week, and what came after the restore up to the mirror's version.
            false => (1..=6).collect(),
        };
        assert_eq!(
            different(&source, &mirror, "ledger"),
            expected,
            "{changes} changes"
        );
    }
}

#[test]
fn one_table_ahead_brings_all_again_or_only_itself() {
    for only_ahead in [false, true] {
        let mut source = filled(&["a", "b"], 2);
        let mut mirror = Mirror::default();
        clean(&mut source, &mut mirror);
        let backup = source.clone();
        update(&mut source, "b", 1, "lost");
        clean(&mut source, &mut mirror);
        source = backup;
        let rules = Rules {
            only_ahead,
            ..Rules::default()
        };
        let done = cycle(&mut source, &mut mirror, rules, 0, &mut |_, _| Fate::SOUND);
        assert_eq!(done.wiped.len(), if only_ahead { 1 } else { 2 });
        assert_eq!(differences(&source, &mirror), Some(vec![]));
    }
}

#[test]
fn a_week_without_changes_brings_a_table_again_unless_its_lsn_is_kept_young() {
    let week = RETENTION_SECONDS + 1;
    for refresh in [false, true] {
        let mut source = filled(&["a", "b"], 2);
        let mut mirror = Mirror::default();
        let rules = Rules {
            refresh,
            ..Rules::default()
        };
        let mut at =
            |source: &mut Source, now| cycle(source, &mut mirror, rules, now, &mut |_, _| Fate::SOUND);
        at(&mut source, 0);
        assert!(source.transact(&[("b".into(), Change::Delete(1))], 1));
        at(&mut source, 1);
        // Everything is older than a week now, and only the quiet table's LSN is below what is kept.
        let done = at(&mut source, week + 1);
        assert_eq!(done.wiped, if refresh { vec![] } else { vec!["a".to_owned()] });
    }
}

#[test]
fn net_changes_are_those_of_microsofts_page() {
    let mut source = filled(&["a"], 3);
    let mut mirror = Mirror::default();
    clean(&mut source, &mut mirror);
    let changes = |list: Vec<Change>| list.into_iter().map(|c| ("a".to_owned(), c)).collect::<Vec<_>>();
    // Deleted and inserted again is U; inserted and deleted is D; a new key is D and I.
    assert!(source.transact(
        &changes(vec![Change::Delete(1), Change::Insert(1, entry("again"))]),
        0
    ));
    assert!(source.transact(&changes(vec![Change::Insert(9, entry("short"))]), 0));
    assert!(source.transact(&changes(vec![Change::Delete(9), Change::Key(2, 20)]), 0));
    let done = clean(&mut source, &mut mirror);
    assert_eq!(done.sent, [("a".to_owned(), [1, 1, 2])]);
    assert!(
        !source.transact(&changes(vec![Change::Insert(1, entry("twice"))]), 0),
        "a key stands once"
    );
}

#[test]
fn a_cycle_that_breaks_off_leaves_what_its_calls_did() {
    let mut source = filled(&["a", "b"], 2);
    let mut mirror = Mirror::default();
    let mut left = 4;
    let broken = cycle(&mut source, &mut mirror, Rules::default(), 0, &mut |call, _| {
        left -= 1;
        let done = left > 0 || matches!(call, Call::Rows(_));
        Fate {
            done,
            goes_on: left > 0,
        }
    });
    assert_eq!(broken.ending, Ending::Broken);
    assert_eq!(mirror.tables["a"].rows.len(), 2, "its answer was lost");
    assert_eq!(mirror.tables["b"].lsn, -1);
    assert_eq!(clean(&mut source, &mut mirror).wiped, ["b"]);
}

#[test]
fn tables_that_the_server_did_not_make_are_in_nobodys_way() {
    let mut source = filled(&["a"], 1);
    let mut mirror = Mirror::default();
    mirror.own.insert("a".into());
    assert_eq!(
        clean(&mut source, &mut mirror).ending,
        Ending::Refused(Refusal::NameTaken)
    );
    mirror.own = BTreeSet::from(["notes".to_owned()]);
    clean(&mut source, &mut mirror);
    let own = Difference {
        only_in_mirror: true,
        ..Difference::default()
    };
    assert_eq!(
        differences(&source, &mirror),
        Some(vec![("notes".to_owned(), own)])
    );
}
