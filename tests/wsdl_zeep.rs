//! An independent eye: a client that zeep, a SOAP stack which is not ours, builds from the served contract calls all five
//! operations over HTTP.
//!
//! The test makes its own Python environment in a temporary directory. Where Python or the package is not to be had, the
//! run shows the test as ignored and prints the reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use mirrorlab_protocol::answer;
use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::{Clock, SystemClock};
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::token::{self, Claims};
use mirrorlab_server::hooks::{HookAdmin, Hooks, NameTemplate};
use mirrorlab_server::http::{self, HttpSettings};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::service::Service;
use mirrorlab_server::store::sqlite::SqliteStore;
use mirrorlab_server::trust::Trust;
use mirrorlab_server::trust::directory::CertificateDirectory;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const NAME: &str = "zeep_calls_every_operation";
/// The package and the version this test was written with.
const PACKAGE: &str = "zeep>=4.2,<5";
const APPLICATION: &str = "0123456789abcdef0123456789abcdef";
const CONTEXT: &str = "Cust10001";

fn main() {
    let arguments = Arguments::from_args();
    let wanted = !arguments.list && arguments.filter.as_deref().is_none_or(|f| NAME.contains(f));
    let environment = wanted.then(Python::prepare);
    let trial = match environment {
        Some(Err(reason)) => {
            eprintln!("{NAME} is ignored: {reason}");
            let why = reason.clone();
            Trial::test(NAME, move || Err(why.into()))
                .with_kind(reason)
                .with_ignored_flag(true)
        }
        Some(Ok(python)) => Trial::test(NAME, move || run(&python)),
        None => Trial::test(NAME, || Err("not prepared: it was not asked for".into())),
    };
    libtest_mimic::run(&arguments, vec![trial]).exit();
}

/// A Python environment that has zeep.
struct Python {
    program: PathBuf,
    folder: TempDir,
}

impl Python {
    /// Makes the environment; the error is the reason why it cannot be had.
    fn prepare() -> Result<Python, String> {
        let folder = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
        let home = folder.path().join("venv");
        let mut venv = Command::new("python3");
        done("python3 -m venv", venv.args(["-m", "venv"]).arg(&home))?;
        let program = ["bin/python3", "Scripts/python.exe"]
            .map(|path| home.join(path))
            .into_iter()
            .find(|path| path.exists())
            .ok_or("python3 -m venv made no python")?;
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--retries", "1", "--timeout", "20", PACKAGE]);
        done("pip install zeep", &mut pip)?;
        Ok(Python { program, folder })
    }
}

fn done(what: &str, command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|e| format!("{what}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!("{what}: {}", last.unwrap_or("it failed without a word")))
}

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/keys")
        .join(file)
}

fn key(file: &str) -> Result<PrivateKey, Failed> {
    Ok(PrivateKey::from_text(&std::fs::read_to_string(fixture(file))?)?)
}

/// Fresh tokens, as SuperOffice would send them with each call; each one's nonce is its number.
fn tokens(count: usize, now: i64) -> Result<Vec<String>, Failed> {
    let signer = key("superoffice.key.pem")?;
    let certificate = Certificate::from_bytes(&std::fs::read(fixture("superoffice.crt.pem"))?)?;
    let header = token::header_json(&certificate.thumbprint_hex(), &certificate.thumbprint_base64url());
    Ok((0..count)
        .map(|n| {
            let claims = Claims::fresh(CONTEXT, APPLICATION, format!("{n:032X}"), now);
            token::sign(&header, &claims.to_json(), &signer)
        })
        .collect())
}

fn service(folder: &Path) -> Result<Service, Failed> {
    let trusted = folder.join("trust");
    std::fs::create_dir(&trusted)?;
    std::fs::copy(fixture("superoffice.crt.pem"), trusted.join("superoffice.pem"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let trust =
        Trust::new(APPLICATION, Arc::clone(&clock)).with_directory(CertificateDirectory::open(&trusted)?);
    let mirroring = Mirroring {
        store: Arc::new(SqliteStore::default()),
        admin: Arc::new(HookAdmin::new(folder, NameTemplate::default(), Hooks::default())),
        options: Options::default(),
    };
    Ok(Service::new(trust, mirroring, key("application.key.xml")?, clock))
}

fn run(python: &Python) -> Result<(), Failed> {
    let folder = python.folder.path();
    let now = SystemClock.now();
    let token_file = folder.join("tokens");
    std::fs::write(&token_file, tokens(12, now)?.join("\n"))?;
    let service = Arc::new(service(folder)?);
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = format!("http://{}/MirroringClientService.svc", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = runtime.spawn(http::serve(
        listener,
        service,
        HttpSettings::default(),
        async move {
            let _ = stopped.await;
        },
    ));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/wsdl_zeep.py");
    let mut client = Command::new(&python.program);
    let output = client.arg(script).arg(&address).arg(&token_file).output()?;
    drop(stop);
    runtime.block_on(server)??;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let got: Json = serde_json::from_slice(&output.stdout)?;
    judge(&got, now)?;
    judge_mirror(&folder.join(format!("Mirror_{CONTEXT}.db")))
}

fn expect(what: &str, got: &Json, wanted: &Json) -> Result<(), Failed> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted}, got {got}").into())
}

fn judge(got: &Json, now: i64) -> Result<(), Failed> {
    let all = json!([
        "Authenticate",
        "ReplicationCompleted",
        "RowData",
        "TableSchema",
        "Wipe"
    ]);
    expect("the operations of ?wsdl", &got["operations"][0], &all)?;
    expect("the operations of ?singleWsdl", &got["operations"][1], &all)?;
    let fine = json!({"IsSuccessful": true, "ErrorMessage": null});
    for step in ["wipe", "rows", "completed", "completed_quiet"] {
        expect(step, &got[step], &fine)?;
    }
    for (step, part) in [
        ("nonsense", "not a JWT"),
        ("bad_cell", "`[I:x]` is not a value of type int"),
        ("wipe_unknown", "`y_other`"),
    ] {
        expect(step, &got[step]["IsSuccessful"], &json!(false))?;
        let text = got[step]["ErrorMessage"].as_str().unwrap_or_default();
        if !text.contains(part) {
            return Err(format!("{step}: expected {part} in {text:?}").into());
        }
    }
    let authenticate = &got["authenticate"];
    expect("IsSuccessful", &authenticate["IsSuccessful"], &json!(true))?;
    expect(
        "SupportedInterfaces",
        &authenticate["SupportedInterfaces"],
        &json!("1"),
    )?;
    let signed = authenticate["SignedApplicationToken"].as_str();
    // The first token was for Authenticate.
    let public = key("application.key.xml")?.public();
    answer::check(signed, &format!("{:032X}", 0), now, &public)?;
    let lsn = |lsn: i64| json!({"TableLSN": [{"LSN": lsn, "TableName": "y_thing"}]});
    expect("the LSN of a new table", &got["schema"]["MirrorLSN"], &lsn(-1))?;
    // 43 came with the refused call.
    expect(
        "the LSN after the rows",
        &got["schema_again"]["MirrorLSN"],
        &lsn(42),
    )
}

/// What stands in the mirror, by SQL of our own.
fn judge_mirror(file: &Path) -> Result<(), Failed> {
    let connection = rusqlite::Connection::open(file)?;
    let mut statement = connection.prepare("SELECT id, name, price, deleted FROM y_thing ORDER BY id")?;
    let rows = statement
        .query_map([], |row| {
            Ok(json!([
                row.get::<_, i64>(0)?,
                row.get::<_, Option<String>>(1)?,
                row.get::<_, Option<String>>(2)?,
                row.get::<_, Option<i64>>(3)?,
            ]))
        })?
        .collect::<Result<Vec<Json>, _>>()?;
    let wanted = json!([
        [1, " <å&]]> 😀\r\n\t\"x\" ", "12.50", 0],
        [2, "", null, null],
        [3, "seven", "7.00", 1],
    ]);
    expect("the mirror's rows", &json!(rows), &wanted)
}
