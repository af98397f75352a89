use std::fs;
use std::path::Path;

use super::*;
use crate::testing::{APPLICATION_KEY, SUPEROFFICE};

/// A directory with everything that a right configuration names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("app.xml", &APPLICATION_KEY.to_xml());
    write("app.pem", &APPLICATION_KEY.to_pem().unwrap());
    write("public.xml", &APPLICATION_KEY.public().to_xml());
    for name in ["tls", "other"] {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        write(&format!("{name}.pem"), &made.cert.pem());
        write(&format!("{name}-key.pem"), &made.signing_key.serialize_pem());
    }
    for name in ["so", "empty", "sql"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    write("so/superoffice.cer", &SUPEROFFICE.pem());
    write("index.sql", "create index x on contact (name);");
    folder
}

const RIGHT: &str = "\
listen = '[::1]:0'
application_id = 'abc'
application_key = 'app.xml'
trusted_certificates = 'so'
mirrors = 'mirrors'

[tls]
certificate = 'tls.pem'
key = 'tls-key.pem'
";

fn read(folder: &Path, text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, Some(&folder.join("mirrorlab.toml")), Overrides::default())
}

/// What is said of a text, with the folder's name taken out.
fn said(folder: &Path, text: &str) -> String {
    let error = read(folder, text).expect_err(text).to_string();
    error.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn a_right_file_is_read_with_paths_relative_to_it() {
    let folder = folder();
    let config = read(folder.path(), RIGHT).unwrap();
    assert_eq!(config.listen, "[::1]:0".parse().unwrap());
    assert_eq!(config.application_id, "abc");
    assert!(
        format!("{config:?}").starts_with("Config { listen: [::1]:0, application_id: \"abc\", mirrors: ")
    );
    assert!(config.http.tls.is_some());
    assert_eq!(config.trusted_certificates.unwrap().len(), 1);
    let mirrors = folder.path().join("mirrors");
    assert_eq!(config.mirrors, Mirrors::Directory(mirrors.clone()));
    assert_eq!(config.name.name("Cust1"), "Mirror_Cust1");
    assert_eq!(config.leeway_seconds, LEEWAY);
    assert!(!config.refuse_replayed_nonces && !config.options.drop_guard);
    assert_eq!(config.log, LogFormat::Text);
    assert!(!mirrors.exists(), "reading makes nothing");
    // Below a file nothing can be made.
    let below_a_file = said(folder.path(), &RIGHT.replace("'mirrors'", "'tls.pem/mirrors'"));
    assert!(
        below_a_file.contains("tls.pem/mirrors cannot be read"),
        "{below_a_file}"
    );
}

const LEEWAY: i64 = crate::trust::LEEWAY_SECONDS;

#[test]
fn every_setting_is_taken() {
    let folder = folder();
    let text = "\
listen = '0.0.0.0:443'
plain_http = true
application_id = 'abc'
application_key = 'app.pem'
resolver = 'https://login.example'
mirrors = '.'
name = '{context} (mirror)'
drop_guard = true
refuse_replayed_nonces = true
leeway_seconds = 0
log = 'json'
[limits]
body_bytes_max = 4294967296
depth_max = 16
calls_max = 1
connections_max = 2
turn_seconds = 3
handshake_seconds = 4
header_seconds = 5
body_idle_seconds = 6
body_seconds = 7
shutdown_seconds = 8
[hooks]
before_table = 'sql'
wipe = 'index.sql'
completed = 'https://hooks.example/secret'
webhook_seconds = 9
";
    let text = text.replace(" (mirror)", "-mirror");
    let config = read(folder.path(), &text).unwrap();
    assert!(config.http.tls.is_none() && config.resolver.is_some() && config.trusted_certificates.is_none());
    assert_eq!(config.name.name("Cust1"), "Cust1-mirror");
    assert!(config.refuse_replayed_nonces && config.options.drop_guard);
    assert_eq!((config.leeway_seconds, config.log), (0, LogFormat::Json));
    let http = &config.http;
    let times = [
        http.turn_timeout,
        http.handshake_timeout,
        http.header_timeout,
        http.body_idle_timeout,
        http.body_timeout,
        http.shutdown_grace,
    ];
    assert_eq!(times.map(|t| t.as_secs()), [3, 4, 5, 6, 7, 8]);
    assert_eq!(
        (http.body_bytes_max, http.calls_max, http.connections_max),
        (1 << 32, 1, 2)
    );
    assert_eq!(
        http.bytes_in_flight_max,
        1 << 32,
        "never less than the largest call"
    );
    assert_eq!(config.depth_max, 16);
    let hooks = format!("{:?}", config.hooks).replace(&folder.path().display().to_string(), "DIR");
    assert_eq!(
        hooks,
        "Hooks { before_table: Some(SqlDirectory(\"DIR/sql\")), wipe: Some(SqlFile(\"DIR/index.sql\")), \
         completed: Some(Webhook(Webhook(hooks.example))), webhooks_per_call: 30s }"
    );
}

#[test]
fn each_mistake_has_one_clear_message() {
    let folder = folder();
    let folder = folder.path();
    let changed = |from: &str, to: &str| said(folder, &RIGHT.replace(from, to));
    let added = |line: &str| said(folder, &format!("{line}\n{RIGHT}"));
    let section = |lines: &str| said(folder, &format!("{RIGHT}{lines}\n"));
    let without_mirrors = RIGHT.replace("mirrors = 'mirrors'\n", "");
    let sql_server = |lines: &str| said(folder, &format!("{without_mirrors}[sql_server]\n{lines}\n"));
    let all = [
        said(folder, "listen = "),
        said(folder, ""),
        added("lisen = 'x'"),
        section("[limit]"),
        changed("'[::1]:0'", "8443"),
        changed("'[::1]:0'", "127.0.0.1:8443"),
        changed("'app.xml'", "app.xml"),
        changed("'[::1]:0'", "'localhost'"),
        changed("'abc'", "'spn:abc'"),
        changed("'app.xml'", "'missing.xml'"),
        changed("'app.xml'", "'public.xml'"),
        changed("'app.xml'", "'index.sql'"),
        changed("'so'", "'empty'"),
        changed("'so'", "'nowhere'"),
        changed("'mirrors'\n", "'app.xml'\n"),
        changed("'tls.pem'", "'other.pem'"),
        changed("'tls.pem'", "'app.pem'"),
        changed("'tls-key.pem'", "'tls.pem'"),
        changed("certificate = 'tls.pem'\n", ""),
        changed("key = 'tls-key.pem'\n", ""),
        added("plain_http = true"),
        added("name = 'Mirror'"),
        added("name = '../{context}'"),
        added("name = '{context}{context}'"),
        added("name = 'a:{context}'"),
        added("resolver = 'http://login.example'"),
        added("leeway_seconds = 3600"),
        added("leeway_seconds = -1"),
        added("log = 'xml'"),
        section("[limits]\ncalls_max = 0"),
        section("[limits]\nbytes_in_flight_max = 100000"),
        section("[limits]\nbody_seconds = 1000000"),
        changed("mirrors = 'mirrors'\n", ""),
        section("[sql_server]\nconnection = 'env:MIRRORLAB_TEST_NOT_SET'"),
        sql_server(""),
        sql_server("create_databases = false"),
        sql_server("connection = 'env:MIRRORLAB_TEST_NOT_SET'"),
        sql_server("connection = '@nowhere'"),
        sql_server("connection = '@index.sql'"),
        sql_server("connection = 'mssql://sa:hush-hush@'"),
        sql_server("connection = 'mssql://sa:hush-hush@db'\nconnections_max = 0"),
        sql_server("connection = mssql://sa:hush-hush@db"),
        sql_server("connection = 'mssql://sa:hush-hush@db"),
        section("[hooks]\nwipe = 'missing.sql'"),
        section("[hooks]\nwipe = 'http://hooks.example/x'"),
    ];
    let all = all.join("\n--\n");
    assert!(!all.contains("hush"), "a password is never repeated");
    insta::assert_snapshot!(all);
}

#[test]
fn mirrors_on_a_sql_server() {
    let folder = folder();
    let connection = folder.path().join("connection");
    fs::write(&connection, "mssql://mirrors:hush-hush@db:14330\n").unwrap();
    let text = format!(
        "{}[sql_server]\nconnection = '@connection'\ncreate_databases = false\nconnections_max = 3\n\
         statement_seconds = 4\ncall_seconds = 5\nbusy_seconds = 6\n",
        RIGHT.replace("mirrors = 'mirrors'\n", "")
    );
    let config = read(folder.path(), &text).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    let Mirrors::SqlServer { address, options } = config.mirrors else {
        panic!("{:?}", config.mirrors);
    };
    assert_eq!(
        (address.server().as_str(), address.user.as_str()),
        ("db:14330", "mirrors")
    );
    assert!(address.encrypt && !address.trust_server_certificate && !options.create_databases);
    let times = [
        options.server.statement_limit,
        options.call_limit,
        options.busy_wait,
        options.server.wait_limit,
    ];
    assert_eq!(times.map(|t| t.as_secs()), [4, 5, 6, 6]);
    assert_eq!(options.server.connections_max, 3);
    // A flag for the one sets the file's other aside.
    let file = folder.path().join("mirrorlab.toml");
    let with = |text: &str, flags: Overrides| Config::from_text(text, Some(&file), flags).unwrap().mirrors;
    let flags = Overrides {
        mirrors: Some("m".into()),
        ..Overrides::default()
    };
    assert_eq!(with(&text, flags), Mirrors::Directory("m".into()));
    let flags = Overrides {
        sql_server: Some(format!("@{}", connection.display())),
        existing_databases: true,
        ..Overrides::default()
    };
    let Mirrors::SqlServer { options, .. } = with(RIGHT, flags) else {
        panic!("the flag counts");
    };
    assert_eq!(
        options,
        MssqlOptions {
            create_databases: false,
            ..MssqlOptions::default()
        }
    );
}

#[test]
fn numbers_and_names_are_taken_up_to_their_limits() {
    let folder = folder();
    let taken = |text: &str| read(folder.path(), text).is_ok();
    for (section, key, min, max) in [
        ("limits", "body_bytes_max", 65_536, 4_294_967_296),
        ("limits", "bytes_in_flight_max", 268_435_456, 1_099_511_627_776),
        ("limits", "calls_max", 1, 10_000u64),
        ("limits", "connections_max", 1, 100_000),
        ("limits", "turn_seconds", 1, 86_400),
        ("limits", "shutdown_seconds", 1, 86_400),
        ("hooks", "webhook_seconds", 1, 600),
    ] {
        for (number, right) in [(min - 1, false), (min, true), (max, true), (max + 1, false)] {
            let text = format!("{RIGHT}[{section}]\n{key} = {number}\n");
            assert_eq!(taken(&text), right, "{key} = {number}");
        }
    }
    // Less than one small call is refused for itself, and not for another setting's sake.
    let little = format!("{RIGHT}[limits]\nbytes_in_flight_max = 65535\n");
    assert!(said(folder.path(), &little).contains("1099511627776"), "{little}");
    for (leeway, right) in [(900, true), (901, false)] {
        assert_eq!(
            taken(&format!("leeway_seconds = {leeway}\n{RIGHT}")),
            right,
            "{leeway}"
        );
    }
    let id = |id: &str| taken(&RIGHT.replace("'abc'", &format!("'{id}'")));
    assert!(id(&"x".repeat(128)) && id(" abc ") && id("~!"));
    assert!(!id(&"x".repeat(129)) && !id(" ") && !id("a c") && !id("æ"));
}

#[test]
fn all_mistakes_are_found_at_once_in_the_order_of_the_file() {
    let folder = folder();
    let text = RIGHT
        .replace("'abc'", "''")
        .replace("'app.xml'", "'none'")
        .replace("'tls.pem'", "'none'")
        .replace("mirrors = 'mirrors'", "");
    insta::assert_snapshot!(said(folder.path(), &text));
}

#[test]
fn flags_stand_in_for_the_file() {
    let folder = folder();
    let path = |name: &str| Some(folder.path().join(name));
    let flags = Overrides {
        listen: Some("127.0.0.1:1".into()),
        plain_http: true,
        name: Some("M-{context}".into()),
        ..Overrides::default()
    };
    let file = folder.path().join("mirrorlab.toml");
    let config = Config::from_text(RIGHT, Some(&file), flags).unwrap();
    assert!(config.http.tls.is_none());
    assert_eq!(config.listen, "127.0.0.1:1".parse().unwrap());
    assert_eq!(config.name.name("x"), "M-x");
    // TLS from flags, over a file that speaks plain HTTP; half of it is no TLS.
    let (section, _) = RIGHT.split_once("[tls]").unwrap();
    let plain = format!("plain_http = true\n{section}");
    let tls = |certificate: Option<_>, key: Option<_>| {
        let flags = Overrides {
            tls_certificate: certificate,
            tls_key: key,
            ..Overrides::default()
        };
        Config::from_text(&plain, Some(&file), flags)
    };
    assert!(tls(None, None).unwrap().http.tls.is_none());
    assert!(
        tls(path("tls.pem"), path("tls-key.pem"))
            .unwrap()
            .http
            .tls
            .is_some()
    );
    let half = tls(path("tls.pem"), None).unwrap_err().to_string();
    assert!(half.contains("tls.key: is missing"), "{half}");
    let half = tls(None, path("tls-key.pem")).unwrap_err().to_string();
    assert!(half.contains("tls.certificate: is missing"), "{half}");
    // And all of it without a file.
    let flags = Overrides {
        tls_certificate: path("tls.pem"),
        tls_key: path("tls-key.pem"),
        application_id: Some("abc".into()),
        application_key: path("app.pem"),
        trusted_certificates: path("so"),
        mirrors: path("mirrors"),
        ..Overrides::default()
    };
    Config::load(None, flags.clone()).unwrap();
    let wrong = Overrides {
        listen: Some("here".into()),
        ..flags
    };
    assert_eq!(
        Config::load(None, wrong).unwrap_err().to_string(),
        "settings: listen: `here` is not an address; expected one with a port, as in `0.0.0.0:8443` or `[::]:8443`"
    );
    let missing = Config::load(Some(Path::new("/nowhere/x.toml")), Overrides::default()).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "/nowhere/x.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn no_message_holds_a_part_of_a_key() {
    let folder = folder();
    let broken = APPLICATION_KEY.to_xml().replace("<P>", "<P>!");
    fs::write(folder.path().join("app.xml"), &broken).unwrap();
    let said = said(folder.path(), RIGHT);
    assert_eq!(
        said,
        "mirrorlab.toml:3: application_key: app.xml: the RSA XML has no valid `P`"
    );
}
