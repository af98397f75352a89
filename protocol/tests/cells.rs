//! Cells: every value of every column type survives the way over the wire, every accepted form is read, and what a
//! type cannot hold is refused with a text that says what was expected.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use std::borrow::Cow;

use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_DAY};
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::message::{
    ColumnInfo, Request, RowDataBatch, RowDataBody, RowOperation, Rows, TableSchemaInfo, read_request,
    write_request,
};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;
use mirrorlab_protocol::xml::Reader;
use proptest::prelude::*;

fn ty(text: &str) -> ColumnType {
    ColumnType::parse(text).unwrap()
}

/// Every type of the list, with the shapes at its edges.
fn types() -> impl Strategy<Value = ColumnType> {
    prop_oneof![
        Just(ColumnType::Int),
        Just(ColumnType::SmallInt),
        Just(ColumnType::TinyInt),
        Just(ColumnType::BigInt),
        Just(ColumnType::Bit),
        Just(ColumnType::Float),
        Just(ColumnType::Real),
        (1..=38u8)
            .prop_flat_map(|p| (Just(p), 0..=p))
            .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale }),
        Just(ColumnType::Money),
        Just(ColumnType::SmallMoney),
        Just(ColumnType::DateTime),
        Just(ColumnType::SmallDateTime),
        (0..=7u8).prop_map(ColumnType::DateTime2),
        (0..=7u8).prop_map(ColumnType::DateTimeOffset),
        Just(ColumnType::Date),
        (0..=7u8).prop_map(ColumnType::Time),
        prop_oneof![(1..=4000u16).prop_map(Length::Limit), Just(Length::Max)].prop_map(ColumnType::NVarChar),
        prop_oneof![(1..=8000u16).prop_map(Length::Limit), Just(Length::Max)].prop_map(ColumnType::VarChar),
        (1..=4000u16).prop_map(ColumnType::NChar),
        (1..=8000u16).prop_map(ColumnType::Char),
        Just(ColumnType::NText),
        Just(ColumnType::Text),
        prop_oneof![(1..=8000u16).prop_map(Length::Limit), Just(Length::Max)].prop_map(ColumnType::VarBinary),
        (1..=8000u16).prop_map(ColumnType::Binary),
        Just(ColumnType::Image),
        Just(ColumnType::UniqueIdentifier),
        Just(ColumnType::RowVersion),
    ]
}

/// Text made of what breaks wires: controls, line ends, the ends of the planes, markup, markers, blanks at the ends.
fn nasty_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => any::<char>().prop_map(String::from),
        3 => (0..0x20u32).prop_map(|c| char::from_u32(c).unwrap().to_string()),
        2 => prop::sample::select(vec![
            "\r\n", "\r", "\n", "\t", " ", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}", "\u{d7ff}", "\u{e000}",
            "\u{fdd0}", "\u{feff}", "\u{fffd}", "\u{fffe}", "\u{ffff}", "😀", "\u{10ffff}", "]]>", "<![CDATA[",
            "<!--", "-->", "&amp;", "&#xD;", "&", "<", ">", "\"", "'", "[I:5]", "[", "]", "<?", "%", "\\",
        ]).prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn cut_to(ty: ColumnType, text: String) -> String {
    let utf16 = matches!(ty, ColumnType::NVarChar(_) | ColumnType::NChar(_));
    let mut left = ty.length_max().unwrap_or(usize::MAX);
    text.chars()
        .take_while(|c| {
            let units = if utf16 { c.len_utf16() } else { 1 };
            let fits = left >= units;
            left = left.saturating_sub(units);
            fits
        })
        .collect()
}

/// Any value that a column of the type can hold, NULL too.
fn value_of(ty: ColumnType) -> BoxedStrategy<Value<'static>> {
    let not_null = not_null(ty);
    prop_oneof![1 => Just(Value::Null), 9 => not_null].boxed()
}

fn not_null(ty: ColumnType) -> BoxedStrategy<Value<'static>> {
    if let Some((min, max)) = ty.integer_range() {
        return prop_oneof![4 => min..=max, 1 => Just(min), 1 => Just(max)]
            .prop_map(Value::Int)
            .boxed();
    }
    if let Some((precision, scale)) = ty.decimal_shape() {
        let limit = match ty {
            ColumnType::Money => i128::from(i64::MAX),
            ColumnType::SmallMoney => i128::from(i32::MAX),
            _ => 10i128.pow(u32::from(precision)) - 1,
        };
        return prop_oneof![4 => -limit..=limit, 1 => Just(limit), 1 => Just(-limit), 1 => Just(0)]
            .prop_map(move |unscaled| Value::Decimal(Decimal { unscaled, scale }))
            .boxed();
    }
    if ty.is_text() {
        return nasty_text()
            .prop_map(move |text| Value::Text(cut_to(ty, text).into()))
            .boxed();
    }
    if ty.is_binary() {
        let max = ty.length_max().unwrap_or(100).min(100);
        return prop::collection::vec(any::<u8>(), 0..=max)
            .prop_map(|bytes| Value::Binary(bytes.into()))
            .boxed();
    }
    let ticks = 0..=DateTime::MAX.ticks();
    let at = |ticks| DateTime::from_ticks(ticks).expect("drawn inside the calendar");
    match ty {
        ColumnType::Float => {
            let bits = prop_oneof![
                8 => any::<u64>().prop_map(f64::from_bits),
                2 => (0..0x000f_ffff_ffff_ffffu64).prop_map(f64::from_bits),
                1 => prop::sample::select(vec![
                    0.0, -0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 5e-324, -5e-324, 0.1 + 0.2, 1e15, 1e-5,
                ]),
            ];
            bits.prop_filter("finite", |x| x.is_finite())
                .prop_map(Value::Float)
                .boxed()
        }
        ColumnType::Real => any::<u32>()
            .prop_map(f32::from_bits)
            .prop_filter("finite", |x| x.is_finite())
            .prop_map(|x| Value::Float(f64::from(x)))
            .boxed(),
        ColumnType::DateTime => ticks
            .prop_filter_map("from 1753 on", move |t| at(t).round_to_datetime())
            .prop_map(Value::DateTime)
            .boxed(),
        ColumnType::SmallDateTime => {
            let first = DateTime::from_parts(1900, 1, 1, 0).unwrap().ticks();
            let last = DateTime::from_parts(2079, 6, 6, 0).unwrap().ticks();
            (first..=last)
                .prop_filter_map("in its range", move |t| at(t).round_to_smalldatetime())
                .prop_map(Value::DateTime)
                .boxed()
        }
        ColumnType::DateTime2(digits) => ticks
            .prop_filter_map("in the calendar", move |t| at(t).round_to_digits(digits))
            .prop_map(Value::DateTime)
            .boxed(),
        ColumnType::Date => ticks.prop_map(move |t| Value::DateTime(at(t).midnight())).boxed(),
        ColumnType::DateTimeOffset(digits) => (
            TICKS_PER_DAY..=DateTime::MAX.ticks() - TICKS_PER_DAY,
            -840..=840i16,
        )
            .prop_filter_map("in the calendar", move |(t, minutes)| {
                let local = at(t).round_to_digits(digits)?;
                Some(Value::Offset { local, minutes })
            })
            .boxed(),
        ColumnType::Time(digits) => {
            let unit = 10i64.pow(7 - u32::from(digits));
            prop_oneof![
                0..TICKS_PER_DAY / unit,
                (0..1440i64).prop_map(move |m| m * 600_000_000 / unit)
            ]
            .prop_map(move |n| Value::Time(n * unit))
            .boxed()
        }
        ColumnType::UniqueIdentifier => any::<u128>().prop_map(Value::Guid).boxed(),
        other => unreachable!("{other} is a number, text or bytes"),
    }
}

/// A table of up to eight columns behind its key, and up to four rows of values.
fn table_with_rows() -> impl Strategy<Value = (Table, Vec<Vec<Value<'static>>>)> {
    prop::collection::vec(types(), 1..8).prop_flat_map(|types| {
        let table = Table {
            name: "t".into(),
            columns: types
                .iter()
                .enumerate()
                .map(|(at, ty)| Column {
                    name: format!("c{at}"),
                    ty: *ty,
                    nullable: true,
                    default: None,
                })
                .collect(),
        };
        let row: Vec<_> = types.iter().map(|ty| value_of(*ty)).collect();
        (Just(table), prop::collection::vec(row, 0..4))
    })
}

/// The rows of a message's only batch, each cell read as its column's type.
fn read_back(message: &[u8], table: &Table) -> Vec<Vec<Value<'static>>> {
    let envelope = soap::envelope(Some("x"), message);
    let text = std::str::from_utf8(&envelope).unwrap();
    let mut reader = Reader::new(text);
    soap::open(&mut reader).unwrap();
    let Request::RowData { batches, .. } = read_request(&mut reader).unwrap() else {
        panic!("not a RowData request");
    };
    batches[0]
        .rows
        .iter()
        .map(|row| {
            let cells = row.cells.iter().zip(&table.columns);
            cells
                .map(|(cell, column)| Value::read_ref(cell, column.ty).unwrap().into_owned())
                .collect()
        })
        .collect()
}

fn streamed(table: &Table, rows: &[Vec<Value<'static>>]) -> Vec<u8> {
    let mut body = RowDataBody::new(None);
    for row in rows {
        let values = row.iter().cloned().zip(table.columns.iter().map(|c| c.ty));
        body.row(&RowOperation::Insert, values);
    }
    body.end_batch(1, table);
    body.finish()
}

fn plain(table: &Table, values: &[Vec<Value<'static>>]) -> Vec<u8> {
    let mut rows = Rows::default();
    for row in values {
        for (value, column) in row.iter().zip(&table.columns) {
            let mut out = Vec::new();
            value.write_cell(column.ty, &mut out);
            let cell = String::from_utf8(out).unwrap();
            rows.push_cell((!value.is_null()).then_some(Cow::Owned(cell)));
        }
        rows.end_row(RowOperation::Insert);
    }
    write_request(&Request::RowData {
        client_state: None,
        batches: vec![RowDataBatch {
            rows,
            lsn: Some(1),
            table: Some(table.to_wire()),
        }],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    #[test]
    fn every_value_survives_the_wire((table, rows) in table_with_rows()) {
        let message = streamed(&table, &rows);
        prop_assert_eq!(&read_back(&message, &table), &rows);
        prop_assert_eq!(message, plain(&table, &rows), "both writers write the same bytes");
    }

    #[test]
    fn every_value_of_every_type_survives((ty, value) in types().prop_flat_map(|t| (Just(t), not_null(t)))) {
        let mut cell = Vec::new();
        value.write_cell(ty, &mut cell);
        let cell = String::from_utf8(cell).unwrap();
        prop_assert_eq!(&Value::read(Some(cell.as_str().into()), ty), &Ok(value.clone()));
        if !ty.is_text() {
            // The bare form, without the marker, means the same.
            let bare = cell.split_once(':').filter(|_| cell.starts_with('[')).map_or(cell.as_str(), |(_, rest)| &rest[..rest.len() - 1]);
            if !bare.is_empty() {
                prop_assert_eq!(&Value::read(Some(bare.into()), ty), &Ok(value.clone()));
            }
        }
    }

    #[test]
    fn no_cell_makes_a_type_panic(ty in types(), cell in "\\PC{0,40}|\\[[A-Z]{1,2}:[-+0-9.eE:/ TZ]{0,40}\\]|[-+0-9.eE:/ TZ]{0,40}") {
        let _ = Value::read(Some(cell.as_str().into()), ty);
        let _ = Value::from_bare(&cell, ty);
    }

    /// Whatever is read is in the type's own form: written and read again it stays.
    #[test]
    fn what_was_read_once_stays(ty in types(), cell in "[-+]?[0-9]{1,12}(\\.[0-9]{1,9})?(E[-+]?[0-9]{1,2})?|[0-9]{2}/[0-9]{2}/[12][0-9]{3}( [0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,7})?)?)?") {
        if let Ok(value) = Value::read(Some(cell.as_str().into()), ty) {
            let mut again = Vec::new();
            value.write_cell(ty, &mut again);
            let again = String::from_utf8(again).unwrap();
            prop_assert_eq!(&Value::read(Some(again.as_str().into()), ty), &Ok(value.clone()), "{}", again);
        }
    }
}

#[test]
fn every_character_survives() {
    let table = Table {
        name: "t".into(),
        columns: vec![Column {
            name: "c".into(),
            ty: ColumnType::NText,
            nullable: true,
            default: None,
        }],
    };
    let all: String = ('\0'..=char::MAX).collect();
    let rows = vec![
        vec![Value::Text(all.into())],
        vec![Value::Text("".into())],
        vec![Value::Text(" \u{3000}\t".into())],
        vec![Value::Null],
    ];
    assert_eq!(read_back(&streamed(&table, &rows), &table), rows);
}

#[test]
fn a_megabyte_of_bytes_survives() {
    let table = Table {
        name: "t".into(),
        columns: vec![Column {
            name: "c".into(),
            ty: ty("varbinary(max)"),
            nullable: true,
            default: None,
        }],
    };
    let blob: Vec<u8> = (0..1_048_577u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let rows = vec![
        vec![Value::Binary(blob.into())],
        vec![Value::Binary(Cow::Borrowed(&[]))],
        vec![Value::Null],
    ];
    assert_eq!(read_back(&streamed(&table, &rows), &table), rows);
}

#[test]
fn cells_look_as_superoffice_writes_them() {
    let written: Vec<String> = [
        ("int", "-2147483648"),
        ("smallint", "0"),
        ("tinyint", "255"),
        ("bigint", "-9223372036854775808"),
        ("bit", "True"),
        ("float", "123.4"),
        ("float", "-0"),
        ("float", "1e21"),
        ("real", "0.1"),
        ("decimal(10,3)", "-1.5"),
        ("money", "123.45"),
        ("datetime", "2020-05-18 10:40:43"),
        ("datetime", "1760-01-01"),
        ("smalldatetime", "2020-05-18 10:40"),
        ("datetime2(7)", "0001-01-01 00:00:00.0000001"),
        ("datetimeoffset(7)", "2020-05-18 10:40:43 -09:30"),
        ("datetimeoffset(0)", "2020-05-18 10:40:43 -00:00"),
        ("date", "2020-05-18"),
        ("time(7)", "14:52"),
        ("time(7)", "14:52:00.0000001"),
        ("nvarchar(20)", " [I:5] "),
        ("varbinary(5)", "AAEC"),
        ("uniqueidentifier", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    ]
    .into_iter()
    .map(|(name, bare)| {
        let mut out = Vec::new();
        Value::from_bare(bare, ty(name))
            .unwrap()
            .write_cell(ty(name), &mut out);
        format!("{name}: {}", String::from_utf8(out).unwrap())
    })
    .collect();
    insta::assert_snapshot!(written.join("\n"));
}

#[test]
fn every_marker_and_bare_form_that_a_type_can_hold() {
    let int = |x| Value::Int(x);
    let at = |text: &str| Value::DateTime(DateTime::parse(text).unwrap());
    let moment = at("2020-05-18 10:40:43.123");
    let cases: &[(&str, &[&str], Value<'_>)] = &[
        (
            "int",
            &["[I:135]", "[S:135]", "[L:135]", "135", "+135", "0135"],
            int(135),
        ),
        ("smallint", &["[S:-5]", "[I:-5]", "[L:-5]", "-5"], int(-5)),
        ("tinyint", &["[I:255]", "[S:255]", "[L:255]", "255"], int(255)),
        (
            "bigint",
            &[
                "[L:9223372036854775807]",
                "[I:9223372036854775807]",
                "9223372036854775807",
            ],
            int(i64::MAX),
        ),
        (
            "bit",
            &["[I:1]", "[S:1]", "[L:1]", "1", "True", "true", "TRUE"],
            int(1),
        ),
        ("bit", &["[I:0]", "0", "False", "false"], int(0)),
        (
            "float",
            &["[F:12.5]", "[M:12.5]", "12.5", "1.25E+1", "1.25e1", "+12.5"],
            Value::Float(12.5),
        ),
        (
            "float",
            &["[I:12]", "[S:12]", "[L:12]", "[F:12]", "12", "12."],
            Value::Float(12.0),
        ),
        (
            "real",
            &["[F:0.1]", "[F:0.10000000149011612]", "0.1"],
            Value::Float(f64::from(0.1f32)),
        ),
        (
            "decimal(10,2)",
            &["[F:123.45]", "[M:123.45]", "123.45", "[F:1.2345E+2]", "123.450"],
            Value::Decimal(Decimal {
                unscaled: 12345,
                scale: 2,
            }),
        ),
        (
            "money",
            &["[F:5]", "[M:5]", "[I:5]", "[S:5]", "[L:5]", "5", "5.0000"],
            Value::Decimal(Decimal {
                unscaled: 50000,
                scale: 4,
            }),
        ),
        (
            "datetime",
            &[
                "[DT:05/18/2020 10:40:43.1230000]",
                "05/18/2020 10:40:43.123",
                "2020-05-18T10:40:43.123",
                "[DT:20200518 10:40:43.123]",
            ],
            moment.clone(),
        ),
        (
            "datetime",
            &[
                "[D:05/18/2020]",
                "[DT:05/18/2020]",
                "05/18/2020",
                "[DT:05/18/2020 00:00]",
            ],
            at("2020-05-18"),
        ),
        (
            "datetime2(3)",
            &["[DT:05/18/2020 10:40:43.1230000]", "05/18/2020 10:40:43.123"],
            moment,
        ),
        (
            "smalldatetime",
            &["[DT:05/18/2020 10:40:29.9]", "05/18/2020 10:40"],
            at("2020-05-18 10:40"),
        ),
        (
            "date",
            &[
                "[D:05/18/2020]",
                "[DT:05/18/2020 00:00:00.0000000]",
                "05/18/2020",
                "2020-05-18",
            ],
            at("2020-05-18"),
        ),
        (
            "time(7)",
            &[
                "[T:14:52]",
                "[T:14:52:00]",
                "[DT:01/01/1900 14:52:00.0000000]",
                "[DT:05/18/2020 14:52:00]",
                "14:52",
                "14:52:00.0000000",
            ],
            Value::Time((14 * 60 + 52) * 600_000_000),
        ),
        (
            "datetimeoffset(7)",
            &[
                "[DT:05/18/2020 10:40:00.0000000 +02:00]",
                "05/18/2020 10:40:00 +02:00",
                "2020-05-18T10:40:00+02:00",
                "05/18/2020 10:40 +02:00",
            ],
            Value::Offset {
                local: DateTime::parse("2020-05-18 10:40").unwrap(),
                minutes: 120,
            },
        ),
        (
            "datetimeoffset(7)",
            &[
                "[DT:05/18/2020 10:40:00]",
                "2020-05-18T10:40:00Z",
                "05/18/2020 10:40:00 -00:00",
            ],
            Value::Offset {
                local: DateTime::parse("2020-05-18 10:40").unwrap(),
                minutes: 0,
            },
        ),
        (
            "datetimeoffset(0)",
            &["01/01/0001 14:00:00 +14:00", "[DT:01/01/0001 13:59:59.5 +14:00]"],
            Value::Offset {
                local: DateTime::parse("0001-01-01 14:00").unwrap(),
                minutes: 840,
            },
        ),
        (
            "datetimeoffset(0)",
            &["12/31/9999 09:59:59 -14:00"],
            Value::Offset {
                local: DateTime::parse("9999-12-31 09:59:59").unwrap(),
                minutes: -840,
            },
        ),
        (
            "time(0)",
            &["[DT:01/01/1900 14:51:59.5]", "14:52:00.4999999"],
            Value::Time((14 * 60 + 52) * 600_000_000),
        ),
        ("time(3)", &["[DT:01/01/1900 23:59:59.9995]"], Value::Time(0)),
        (
            "uniqueidentifier",
            &[
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
                "6f9619ff-8b86-d011-b42d-00c04fc964ff",
                "{6F9619FF-8B86-D011-B42D-00C04FC964FF}",
                "6F9619FF8B86D011B42D00C04FC964FF",
            ],
            Value::Guid(0x6F96_19FF_8B86_D011_B42D_00C0_4FC9_64FF),
        ),
        (
            "varbinary(max)",
            &["[B:AAH/]", "[B:AA\nH/\r\n]", "AAH/"],
            Value::Binary(Cow::Borrowed(&[0, 1, 255])),
        ),
        ("image", &["[B:]"], Value::Binary(Cow::Borrowed(&[]))),
        (
            "varbinary(3)",
            &["[B:AAH/]"],
            Value::Binary(Cow::Borrowed(&[0, 1, 255])),
        ),
        ("nvarchar(4)", &["😀😀"], Value::Text("😀😀".into())),
        ("char(2)", &["øå"], Value::Text("øå".into())),
        (
            "rowversion",
            &["[B:AAAAAAAAB9E=]"],
            Value::Binary(Cow::Borrowed(&[0, 0, 0, 0, 0, 0, 7, 0xd1])),
        ),
        ("nvarchar(9)", &["[I:5]"], Value::Text("[I:5]".into())),
        ("ntext", &[" [DT:x] "], Value::Text(" [DT:x] ".into())),
    ];
    for (name, cells, expected) in cases {
        for cell in *cells {
            let value = Value::read(Some((*cell).into()), ty(name));
            assert_eq!(value.as_ref(), Ok(expected), "{name} {cell}");
        }
    }
    for name in [
        "int",
        "bit",
        "float",
        "decimal(5,2)",
        "datetime",
        "date",
        "time(0)",
        "datetimeoffset(0)",
        "uniqueidentifier",
        "varbinary(5)",
    ] {
        assert_eq!(
            Value::read(Some("".into()), ty(name)),
            Ok(Value::Null),
            "{name}: empty text is NULL"
        );
        assert_eq!(Value::read(None, ty(name)), Ok(Value::Null));
    }
    assert_eq!(
        Value::read(Some("".into()), ty("char(3)")),
        Ok(Value::Text("".into()))
    );
    assert_eq!(Value::read(None, ty("char(3)")), Ok(Value::Null));
}

#[test]
fn cells_that_a_type_cannot_hold() {
    let long = "x".repeat(200);
    let cases = [
        ("int", "[I:2147483648]"),
        ("int", "[F:5]"),
        ("int", "[I:]"),
        ("int", "[I: 5]"),
        ("int", "[I:5"),
        ("int", "5.0"),
        ("int", "99999999999999999999"),
        ("int", "[DT:05/18/2020 10:40:43.0000000]"),
        ("int", "hello"),
        ("int", "[X:5]"),
        ("int", " 5"),
        ("smallint", "[S:32768]"),
        ("smallint", "[D:5]"),
        ("bigint", "[L:x]"),
        ("tinyint", "[I:-1]"),
        ("tinyint", "256"),
        ("bigint", "[L:9223372036854775808]"),
        ("bit", "2"),
        ("bit", "yes"),
        ("bit", "[F:1]"),
        ("float", "[F:NaN]"),
        ("float", "[F:Infinity]"),
        ("float", "[F:1E+309]"),
        ("float", "1,5"),
        ("float", "[DT:1]"),
        ("float", "0x10"),
        ("real", "[F:1E+39]"),
        ("real", "nan"),
        ("real", "inf"),
        ("decimal(5,2)", "[F:1000]"),
        ("decimal(5,2)", "999.995"),
        ("decimal(5,2)", "1.2.3"),
        ("decimal(38,0)", "1E+40"),
        ("decimal(5,2)", "[D:1]"),
        ("money", "922337203685477.5808"),
        ("smallmoney", "214748.3648"),
        ("datetime", "[DT:01/01/1752 00:00:00.0000000]"),
        ("datetime", "[DT:13/01/2020 00:00:00.0000000]"),
        ("datetime", "[DT:02/29/2021]"),
        ("datetime", "[DT:05/18/2020 24:00:00]"),
        ("datetime", "[DT:05/18/2020 10:40:43.00000000]"),
        ("datetime", "[T:14:52]"),
        ("datetime", "[I:5]"),
        ("datetime", "yesterday"),
        ("datetime", "12/31/9999 23:59:59.999"),
        ("smalldatetime", "[DT:06/07/2079 00:00:00]"),
        ("date", "[D:00/00/0000]"),
        ("date", "[T:14:52]"),
        ("time(7)", "[D:05/18/2020x]"),
        ("time(7)", "[T:24:00]"),
        ("time(7)", "[T:14:60]"),
        ("time(7)", "14"),
        ("datetimeoffset(7)", "05/18/2020 10:40:43 +14:01"),
        ("datetimeoffset(7)", "05/18/2020 10:40:43 +02:00:30"),
        ("datetimeoffset(7)", "05/18/2020 10:40:43 +2"),
        ("datetimeoffset(7)", "01/01/0001 00:00:00 +01:00"),
        ("datetimeoffset(7)", "12/31/9999 23:59:59 -01:00"),
        ("datetimeoffset(7)", "01/01/0001 00:59:59 +01:00"),
        ("datetimeoffset(7)", "12/31/9999 23:00:00 -01:00"),
        ("datetimeoffset(7)", "05/18/2020 10:40:43 -14:01"),
        ("datetimeoffset(7)", "2020-05-18-02:00"),
        ("datetimeoffset(7)", "05/18/2020+02:00"),
        ("datetimeoffset(7)", "05/18/2020 10:40:43 "),
        ("uniqueidentifier", "6F9619FF-8B86-D011-B42D-00C04FC964F"),
        ("uniqueidentifier", "6F9619FF8-B86-D011-B42D-00C04FC964FF"),
        ("uniqueidentifier", "6F9619FF-8B86D011B42D00C04FC964F"),
        ("uniqueidentifier", "+F9619FF-8B86-D011-B42D-00C04FC964FF"),
        ("uniqueidentifier", "{6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        ("uniqueidentifier", "[I:5]"),
        ("uniqueidentifier", "[B:6F9619FF-8B86-D011-B42D-00C04FC964FF]"),
        ("uniqueidentifier", "[B:]"),
        ("varbinary(2)", "[B:AAEC]"),
        ("varbinary(2)", "[B:AAE]"),
        ("varbinary(2)", "[B:%%%%]"),
        ("varbinary(2)", "[I:5]"),
        ("image", "not base64!"),
        ("nvarchar(2)", "abc"),
        ("nvarchar(3)", "😀😀"),
        ("char(2)", "abc"),
        ("int", long.as_str()),
        ("int", "a\r\n\u{1}b"),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(name, cell)| match Value::read(Some((*cell).into()), ty(name)) {
            Err(error) => format!("{name} | {} | {error}", mirrorlab_protocol::excerpt(cell)),
            Ok(value) => panic!("{name} took {cell} as {value}"),
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn bytes_are_of_binary_types_alone() {
    for name in ["int", "nvarchar(9)", "text", "uniqueidentifier"] {
        let error = Value::from_bytes(Cow::Borrowed(&[1]), ty(name)).unwrap_err();
        assert!(
            error.to_string().starts_with("`0x…` is not a value of type"),
            "{error}"
        );
    }
    let error = Value::from_bytes(Cow::Borrowed(&[1]), ColumnType::Text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`0x…` is not a value of type text; expected text"
    );
    let bytes = Cow::Borrowed(&[1u8, 2][..]);
    assert_eq!(
        Value::from_bytes(bytes.clone(), ty("binary(2)")),
        Ok(Value::Binary(bytes.clone()))
    );
    assert!(Value::from_bytes(bytes, ty("binary(1)")).is_err());
}

/// Two values are one only where every bit is: a comparer that took more for equal would find nothing.
#[test]
fn no_two_of_these_values_are_equal() {
    let at = |text: &str| DateTime::parse(text).unwrap();
    let offset = |text: &str, minutes| Value::Offset {
        local: at(text),
        minutes,
    };
    let decimal = |unscaled, scale| Value::Decimal(Decimal { unscaled, scale });
    let values = [
        Value::Null,
        Value::Int(0),
        Value::Int(1),
        Value::Float(0.0),
        Value::Float(-0.0),
        decimal(0, 0),
        decimal(10, 1),
        decimal(1, 0),
        Value::DateTime(at("2020-05-18")),
        Value::DateTime(at("2020-05-19")),
        offset("2020-05-18", 0),
        offset("2020-05-18", 60),
        offset("2020-05-19", 60),
        Value::Time(0),
        Value::Time(1),
        Value::Text("".into()),
        Value::Text("a".into()),
        Value::Text("A".into()),
        Value::Text("a ".into()),
        Value::Binary(Cow::Borrowed(&[])),
        Value::Binary(Cow::Borrowed(&[0])),
        Value::Guid(0),
        Value::Guid(1),
    ];
    for (n, a) in values.iter().enumerate() {
        for (m, b) in values.iter().enumerate() {
            assert_eq!(a == b, n == m, "{a:?} {b:?}");
        }
        assert_eq!(a.is_null(), n == 0);
    }
}

#[test]
fn values_as_messages_show_them() {
    let shown: Vec<String> = [
        ("int", "-5"),
        ("float", "1E+21"),
        ("money", "5"),
        ("datetime", "2020-05-18 10:40:43.123"),
        ("datetimeoffset(0)", "2020-05-18 10:40:43 -09:30"),
        ("time(7)", "14:52:00.0000001"),
        ("ntext", "a\r\nb"),
        ("image", "AAECAwQFBgcICQoLDA0ODw=="),
        ("image", "AAECAwQFBgcICQoLDA0ODxA="),
        ("uniqueidentifier", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    ]
    .into_iter()
    .map(|(name, bare)| format!("{name}: {}", Value::from_bare(bare, ty(name)).unwrap()))
    .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    int: -5
    float: 1E+21
    money: 5.0000
    datetime: 2020-05-18 10:40:43.1230000
    datetimeoffset(0): 2020-05-18 10:40:43.0000000 -09:30
    time(7): 14:52:00.0000001
    ntext: 'a\r\nb'
    image: 0x000102030405060708090A0B0C0D0E0F
    image: 0x000102030405060708090A0B0C0D0E0F… (17 bytes)
    uniqueidentifier: 6F9619FF-8B86-D011-B42D-00C04FC964FF
    ");
    assert_eq!(Value::Null.to_string(), "NULL");
    assert_eq!(
        Value::Text("x".repeat(61).into()).to_string(),
        format!("'{}…'", "x".repeat(60))
    );
}

#[test]
fn a_damaged_source_cannot_stop_the_writer() {
    for (x, text) in [
        (f64::NAN, "[F:NaN]"),
        (f64::INFINITY, "[F:Infinity]"),
        (f64::NEG_INFINITY, "[F:-Infinity]"),
    ] {
        for ty in [ColumnType::Float, ColumnType::Real] {
            let mut out = Vec::new();
            Value::Float(x).write_cell(ty, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert!(Value::read(Some(text.into()), ty).is_err(), "no column holds it");
        }
    }
}

#[test]
fn a_table_info_reads_as_the_table_it_was_written_from() {
    let table = Table::from_wire(&TableSchemaInfo {
        columns: vec![
            ColumnInfo {
                default: None,
                nullable: None,
                name: Some("Key".into()),
                ty: Some("INT".into()),
            },
            ColumnInfo {
                default: Some("default ((-1))".into()),
                nullable: Some(true),
                name: Some("ø ]]> \"'".into()),
                ty: Some("decimal(18, 2)".into()),
            },
        ],
        name: Some("y_Extra".into()),
    })
    .unwrap();
    assert!(
        !table.columns[0].nullable,
        "a missing IsNullable is .NET's default, false"
    );
    let mut body = RowDataBody::new(None);
    body.end_batch(1, &table);
    let envelope = String::from_utf8(soap::envelope(None, &body.finish())).unwrap();
    let mut reader = Reader::new(&envelope);
    soap::open(&mut reader).unwrap();
    let Request::RowData { batches, .. } = read_request(&mut reader).unwrap() else {
        panic!("not a RowData request");
    };
    assert_eq!(Table::from_wire(batches[0].table.as_ref().unwrap()), Ok(table));
}
