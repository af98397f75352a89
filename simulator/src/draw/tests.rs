use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::ColumnType;
use rand::SeedableRng;
use sha2::{Digest, Sha256};

use super::*;
use crate::schema_file::{self, superoffice_table};
use crate::source::Flow;
use crate::source::sqlite::{SqliteSource, check};

fn source() -> (tempfile::TempDir, SqliteSource) {
    let dir = tempfile::tempdir().unwrap();
    let source = SqliteSource::open(&dir.path().join("Cust10001.db"), Durability::Fast).unwrap();
    (dir, source)
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A table with a column of every type, its key of the type given.
fn every_type(key: &str) -> Table {
    let types = [
        key,
        "smallint",
        "tinyint",
        "bigint",
        "bit",
        "float",
        "real",
        "decimal(38,10)",
        "decimal(3,3)",
        "money",
        "smallmoney",
        "datetime",
        "smalldatetime",
        "datetime2(0)",
        "datetime2(7)",
        "datetimeoffset(3)",
        "date",
        "time(0)",
        "time(7)",
        "nvarchar(1)",
        "nvarchar(4000)",
        "nvarchar(max)",
        "varchar(20)",
        "varchar(max)",
        "nchar(5)",
        "char(5)",
        "ntext",
        "text",
        "varbinary(10)",
        "varbinary(max)",
        "binary(4)",
        "image",
        "uniqueidentifier",
        "rowversion",
        "int",
    ];
    let columns = types.iter().enumerate().map(|(at, ty)| Column {
        name: format!("c{at}"),
        ty: ColumnType::parse(ty).unwrap(),
        nullable: at > 0 && at % 2 == 0,
        default: None,
    });
    Table {
        name: "every".into(),
        columns: columns.collect(),
    }
}

fn rows(source: &mut SqliteSource, table: &Table) -> Vec<Vec<Value<'static>>> {
    let mut all = Vec::new();
    source
        .snapshot()
        .unwrap()
        .rows(table, &mut |values| {
            all.push(values.iter().map(|v| v.clone().into_owned()).collect());
            Ok(Flow::Continue)
        })
        .unwrap();
    all
}

fn hash(rows: &[Vec<Value<'static>>]) -> String {
    let digest = Sha256::digest(format!("{rows:?}").as_bytes());
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_seed_gives_the_same_rows_for_ever() {
    let contact = superoffice_table("contact").unwrap();
    let drawn = |seed: u64| {
        let (_dir, mut source) = source();
        source.create_table(contact).unwrap();
        let rng = &mut rng(seed);
        fill(&mut source, contact, 300, &Style::default(), rng).unwrap();
        source.set_tracking("contact", true).unwrap();
        let counts = Counts {
            insert: 5,
            update: 20,
            delete: 5,
            change_key: 2,
            transactions: 4,
            ..Counts::default()
        };
        draw_changes(&mut source, contact, &counts, &Style::default(), rng).unwrap();
        business_changes(
            &mut source,
            std::slice::from_ref(contact),
            10,
            &Style::default(),
            rng,
        )
        .unwrap();
        rows(&mut source, contact)
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    // A change of this text changes what every seed written down anywhere stands for.
    insta::assert_snapshot!(hash(&drawn(1)), @"355cb6ce1901f983");
}

#[test]
fn a_few_rows_to_look_at() {
    let mut text = String::new();
    for name in ["contact", "person", "address", "email", "sale", "appointment"] {
        let table = superoffice_table(name).unwrap();
        let style = Style {
            edges_per_mille: 0,
            ..Style::default()
        };
        let draw = RowDraw::new(table, &style);
        let row = draw.row(&mut rng(11), Value::Int(1));
        text.push_str(&format!("{name}\n"));
        for (value, column) in row.iter().zip(&table.columns) {
            let shown = mirrorlab_protocol::excerpt(&value.to_string());
            text.push_str(&format!("    {} = {shown}\n", column.name));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn whatever_is_drawn_fits_and_comes_back_as_it_was() {
    for key in [
        "int",
        "bigint",
        "nvarchar(8)",
        "char(9)",
        "uniqueidentifier",
        "datetime",
        "decimal(12,2)",
        "float",
        "binary(6)",
        "date",
        "datetimeoffset(7)",
        "varbinary(8)",
    ] {
        let (_dir, mut source) = source();
        let table = every_type(key);
        source.create_table(&table).unwrap();
        let style = Style {
            edges_per_mille: 300,
            text_length_max: 300,
            blob_bytes_max: 600,
            ..Style::default()
        };
        let rng = &mut rng(5);
        fill(&mut source, &table, 100, &style, rng).unwrap();
        let edges = fill_edges(&mut source, &table, &style, rng).unwrap();
        assert!(edges > 60);
        let all = rows(&mut source, &table);
        assert_eq!(all.len() as u64, 100 + edges, "{key}");
        for row in &all {
            for (value, column) in row.iter().zip(&table.columns) {
                check::fits(value, column).unwrap();
                if let Value::Float(x) = value {
                    assert!(x.to_bits() != (-0.0f64).to_bits());
                }
            }
        }
        // Every edge of every column is there, bit for bit.
        for (at, column) in table.columns.iter().enumerate().skip(1) {
            for edge in edges::edges(column, &style) {
                assert!(all.iter().any(|row| row[at] == edge), "{}: {edge}", column.ty);
            }
        }
    }
}

#[test]
fn the_edges_hold_what_breaks_mirrors() {
    let column = |ty: &str| Column {
        name: "c".into(),
        ty: ColumnType::parse(ty).unwrap(),
        nullable: true,
        default: None,
    };
    let style = Style {
        blob_bytes_max: 1 << 20,
        ..Style::default()
    };
    let texts = edges::edges(&column("nvarchar(4000)"), &style);
    let has = |test: &dyn Fn(&str) -> bool| texts.iter().any(|v| matches!(v, Value::Text(t) if test(t)));
    assert!(has(&|t| t.is_empty()) && texts.contains(&Value::Null));
    assert!(has(&|t| t.len() == 4000) && has(&|t| t.encode_utf16().count() == 4000 && t.contains('😀')));
    for c in (0..32u8)
        .map(char::from)
        .chain(['\u{7f}', '\u{85}', '\u{fffe}', '\u{10ffff}'])
    {
        assert!(has(&|t| t.contains(c)), "{c:?}");
    }
    for text in ["]]>", "[I:5]", " ", "a\rb\nc\r\nd\te"] {
        assert!(texts.contains(&Value::Text(text.into())), "{text:?}");
    }
    let float = edges::edges(&column("float"), &style);
    for x in [5e-324, 0.1 + 0.2, -1.0 / 3.0, f64::MAX, 0.0] {
        assert!(float.contains(&Value::Float(x)), "{x}");
    }
    let datetime = edges::edges(&column("datetime"), &style);
    for text in [
        "1753-01-01",
        "1760-01-01",
        "9999-12-31 23:59:59.997",
        "2000-02-29 00:00:00.003",
    ] {
        assert!(
            datetime.contains(&Value::from_bare(text, ColumnType::DateTime).unwrap()),
            "{text}"
        );
    }
    let blobs = edges::edges(&column("image"), &style);
    assert!(
        blobs
            .iter()
            .any(|v| matches!(v, Value::Binary(b) if b.len() == 1 << 20))
    );
    assert_eq!(edges::edges(&column("bit"), &style).len(), 3);
    let codes = edges::edges(&column("varchar(20)"), &style);
    assert!(codes.len() > 30 && !codes.contains(&Value::Text("😀".into())));
}

#[test]
fn net_changes_are_as_many_as_asked() {
    for (key, transactions) in [("int", 1), ("int", 7), ("nvarchar(12)", 1000)] {
        let (_dir, mut source) = source();
        let mut table = every_type(key);
        table.columns.truncate(6);
        source.create_table(&table).unwrap();
        let rng = &mut rng(9);
        fill(&mut source, &table, 120, &Style::default(), rng).unwrap();
        source.set_tracking("every", true).unwrap();
        let before = source.current_version().unwrap();
        let counts = Counts {
            insert: 10,
            update: 20,
            delete: 5,
            change_key: 3,
            insert_update: 4,
            insert_delete: 2,
            delete_insert: 6,
            transactions,
        };
        draw_changes(&mut source, &table, &counts, &Style::default(), rng).unwrap();
        let made = source.current_version().unwrap() - before;
        assert_eq!(
            made as u64,
            transactions.min(62),
            "one version for each transaction"
        );
        let (mut i, mut u, mut d) = (0, 0, 0);
        source
            .snapshot()
            .unwrap()
            .changes(&table, before, &mut |operation, _| {
                match operation {
                    RowOperation::Insert => i += 1,
                    RowOperation::Update => u += 1,
                    _ => d += 1,
                }
                Ok(Flow::Continue)
            })
            .unwrap();
        assert_eq!((i, u, d), (10 + 3 + 4, 20 + 6, 5 + 3 + 2));
        assert_eq!(source.count("every").unwrap(), 120 + 10 + 4 - 5);
        let counts = Counts {
            delete: 130,
            ..Counts::default()
        };
        let error = draw_changes(&mut source, &table, &counts, &Style::default(), rng).unwrap_err();
        assert_eq!(
            error.to_string(),
            "table `every`: 130 of its rows are to be changed, but it has 129"
        );
    }
}

#[test]
fn small_keys_run_out_and_gaps_are_used() {
    let (_dir, mut source) = source();
    let mut table = every_type("tinyint");
    table.columns.truncate(2);
    source.create_table(&table).unwrap();
    let rng = &mut rng(3);
    fill(&mut source, &table, 255, &Style::default(), rng).unwrap();
    source.execute("DELETE FROM every WHERE c0 = 77").unwrap();
    fill(&mut source, &table, 2, &Style::default(), rng).unwrap();
    assert_eq!(source.count("every").unwrap(), 256);
    let error = fill(&mut source, &table, 1, &Style::default(), rng).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table `every`: no free key of type tinyint was found"
    );
}

#[test]
fn a_table_of_keys_alone_can_be_updated() {
    let (_dir, mut source) = source();
    let mut table = every_type("int");
    table.columns.truncate(1);
    source.create_table(&table).unwrap();
    source.set_tracking("every", true).unwrap();
    let rng = &mut rng(3);
    fill(&mut source, &table, 3, &Style::default(), rng).unwrap();
    let before = source.current_version().unwrap();
    let counts = Counts {
        update: 3,
        ..Counts::default()
    };
    draw_changes(&mut source, &table, &counts, &Style::default(), rng).unwrap();
    assert_eq!(source.current_version().unwrap(), before + 1);
}

#[test]
fn business_goes_on_over_all_tables() {
    let (_dir, mut source) = source();
    let tables = schema_file::drawn::drawn(6, 40, 1);
    let rng = &mut rng(4);
    for table in &tables {
        source.create_table(table).unwrap();
        source.set_tracking(&table.name, true).unwrap();
    }
    let before = source.current_version().unwrap();
    let drawn = business_changes(&mut source, &tables, 200, &Style::default(), rng).unwrap();
    assert_eq!(source.current_version().unwrap(), before + 200);
    assert!(drawn.inserts > 50 && drawn.updates > 50 && drawn.deletes > 10 && drawn.key_changes > 0);
    let count: u64 = tables.iter().map(|t| source.count(&t.name).unwrap()).sum();
    assert_eq!(count, drawn.inserts - drawn.deletes);
}
