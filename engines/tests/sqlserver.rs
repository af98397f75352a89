use mirrorlab_engines::mssql::*;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use std::time::Duration;
fn main() {
    let address = Address::read(&std::env::var("MIRRORLAB_TEST_MSSQL").unwrap()).unwrap();
    let server = Server::new(address, ServerOptions::default());
    println!("{:?}", server.capabilities());
    println!("{:?}", server.create_database("c1try"));
    let mut c = server.open("c1try").unwrap();
    for (ty, bares) in [
        ("int", &["-5", "2147483647"][..]),
        ("smallint", &["-32768"]),
        ("tinyint", &["255"]),
        ("bigint", &["-9223372036854775808", "9223372036854775807"]),
        ("bit", &["1", "0"]),
        (
            "float",
            &[
                "0.1",
                "-0",
                "1.7976931348623157E+308",
                "2.2250738585072014E-308",
                "5E-324",
                "123456789.12345678",
            ],
        ),
        ("real", &["0.1", "3.4028235E+38"]),
        (
            "decimal(38,2)",
            &["123456789012345678901234567890123456.78", "-0.01"],
        ),
        ("decimal(10,4)", &["0", "-12.5"]),
        ("money", &["922337203685477.5807", "-922337203685477.5808"]),
        ("smallmoney", &["214748.3647"]),
        (
            "datetime",
            &[
                "1753-01-01",
                "2020-12-31 23:59:59.997",
                "2020-05-18 10:40:43.003",
                "9999-12-31 23:59:59.997",
                "1760-01-01",
            ],
        ),
        ("smalldatetime", &["2079-06-06 23:59:00"]),
        (
            "datetime2(7)",
            &[
                "0001-01-01 00:00:00.0000001",
                "9999-12-31 23:59:59.9999999",
                "2020-01-01 01:02:03.123456",
            ],
        ),
        ("datetime2(3)", &["2020-05-18 10:40:43.123"]),
        (
            "datetimeoffset(7)",
            &["05/18/2020 10:40:43.1234567 -09:30", "05/18/2020 10:40:43 +14:00"],
        ),
        ("date", &["0001-01-01", "9999-12-31"]),
        ("time(7)", &["23:59:59.9999999"]),
        ("time(0)", &["14:52"]),
        ("nvarchar(50)", &["", "  x  ", "å😀\r\n\t\u{1}\u{fffe}"]),
        ("nvarchar(4000)", &["", "é"]),
        ("nvarchar(max)", &["", "x"]),
        ("varchar(10)", &["æøå €"]),
        ("char(5)", &["ab"]),
        ("nchar(5)", &["ab"]),
        ("ntext", &["", "å😀"]),
        ("text", &["æ"]),
        ("varbinary(10)", &["", "AAH/"]),
        ("varbinary(max)", &["AAH/"]),
        ("binary(4)", &["AAH/"]),
        ("image", &["AAH/"]),
        ("uniqueidentifier", &["6F9619FF-8B86-D011-B42D-00C04FC964FF"]),
        ("rowversion", &["AAAAAAAAB9E="]),
    ] {
        let ty = ColumnType::parse(ty).unwrap();
        let mut values: Vec<Value> = bares
            .iter()
            .map(|b| {
                if b.is_empty() && ty.is_binary() {
                    Value::Binary(vec![].into())
                } else {
                    Value::from_bare(b, ty).unwrap()
                }
            })
            .collect();
        values.push(Value::Null);
        if ty.to_string().ends_with("(max)") && ty.is_text() {
            values.push(Value::Text("åx😀".repeat(300_000).into()));
        }
        if ty.to_string().ends_with("(4000)") {
            values.push(Value::Text("å".repeat(4000).into()));
            values.push(Value::Text("å".repeat(2500).into()));
        }
        if ty.to_string().ends_with("varbinary(max)") {
            values.push(Value::Binary(vec![7u8; 3_000_000].into()));
        }
        for road in ["param", "bulk"] {
            let r = c.batch(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (k int NOT NULL, v {} NULL); CREATE TABLE #s (k int NULL, v {} NULL)", ddl::declared(ty), value::carrier(ty)));
            if let Err(e) = r {
                println!("{ty} {road} {e}");
                c = server.open("c1try").unwrap();
                continue;
            }
            let k: Vec<Value> = (0..values.len() as i64).map(Value::Int).collect();
            let put = if road == "param" {
                k.iter().zip(&values).try_for_each(|(k, v)| {
                    c.execute(
                        "INSERT INTO #s (k, v) VALUES (@P1, @P2)",
                        &[Param::value(k, ColumnType::Int), Param::value(v, ty)],
                    )
                    .map(drop)
                })
            } else {
                c.bulk(
                    "#s",
                    &["[k]", "[v]"],
                    &mut k
                        .iter()
                        .zip(&values)
                        .map(|(k, v)| vec![Param::value(k, ColumnType::Int), Param::value(v, ty)]),
                )
                .map(drop)
            };
            let put = put.and_then(|_| {
                c.batch(&format!(
                    "INSERT INTO t SELECT k, {} FROM #s; DROP TABLE #s",
                    value::carried("v", ty)
                ))
            });
            if let Err(e) = put {
                println!(
                    "{ty} {road} PUT {}",
                    e.to_string().chars().take(300).collect::<String>()
                );
                c = server.open("c1try").unwrap();
                continue;
            }
            match c.rows(
                &format!("SELECT {} FROM t ORDER BY k", value::select("v", ty)),
                &[],
            ) {
                Err(e) => {
                    println!("{ty} {road} READ {e}");
                    c = server.open("c1try").unwrap();
                }
                Ok(rows) => {
                    let mut ok = true;
                    for (row, v) in rows.iter().zip(&values) {
                        match row.value(0, ty) {
                            Ok(x) if x == *v => {}
                            x => {
                                ok = false;
                                println!(
                                    "{ty} {road}: {v} came back as {}",
                                    match x {
                                        Ok(x) => x.to_string(),
                                        Err(e) => e.to_string(),
                                    }
                                )
                            }
                        }
                    }
                    if ok {
                        println!("{ty} {road} ok")
                    }
                }
            }
        }
    }
    let _ = Duration::ZERO;
    println!(
        "{:?}",
        server
            .open("nosuch")
            .map(|_| ())
            .map_err(|e| (e.kind, e.to_string()))
    );
    println!(
        "{:?}",
        c.batch("SELECT * FROM nowhere")
            .map_err(|e| (e.kind, e.to_string()))
    );
    println!("{:?}", c.batch("MERGE x").map_err(|e| (e.kind, e.to_string())));
    let a =
        Address::read("mssql://mirror:badbad@127.0.0.1:14330/master?trust-server-certificate=true").unwrap();
    println!(
        "{:?}",
        Connection::open(&a, Duration::from_secs(5)).map_err(|e| (e.kind, e.to_string()))
    );
    let a = Address::read("mssql://mirror:badbad@127.0.0.1:1/master?trust-server-certificate=true").unwrap();
    println!(
        "{:?}",
        Connection::open(&a, Duration::from_secs(5)).map_err(|e| (e.kind, e.to_string()))
    );
    let a = Address::read("mssql://mirror:Mirror!lab1@127.0.0.1:14330/master").unwrap();
    println!(
        "{:?}",
        Connection::open(&a, Duration::from_secs(5)).map_err(|e| (e.kind, e.to_string()))
    );
    let a = Address::read("mssql://mirror:Mirror!lab1@127.0.0.1:14330/master?encrypt=false").unwrap();
    println!(
        "{:?}",
        Connection::open(&a, Duration::from_secs(5)).map_err(|e| (e.kind, e.to_string()))
    );
    println!("{:?}", server.open("master").unwrap().rows("SELECT CAST(encrypt_option AS nvarchar(10)) FROM sys.dm_exec_connections WHERE session_id=@@SPID", &[]));
    println!("{:?}", describe::describe_all(&mut c));
}
