//! Mistakes at the command line, and what the program says to them: one message, with the place and what was expected.

mod support;
#[path = "support/trial.rs"]
mod trial;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use support::{mirrorlab, run};
use trial::Trial;

/// What each command line was answered, as one text; ports and times are replaced.
struct Told<'t> {
    trial: &'t Trial,
    text: String,
    replaced: Vec<(String, &'static str)>,
}

impl<'t> Told<'t> {
    fn new(trial: &'t Trial) -> Told<'t> {
        Told {
            trial,
            text: String::new(),
            replaced: Vec::new(),
        }
    }

    /// Runs a command line; of it only `shown` is shown.
    fn tell(&mut self, shown: &str, args: &[&str]) {
        let ended = run(self.trial.dir(), args);
        let code = ended.code.expect("the program ends by itself");
        let mut text = format!("{shown}\n{}{}exit {code}\n\n", ended.out, ended.err);
        for (from, to) in &self.replaced {
            text = text.replace(from, to);
        }
        for line in text.split_inclusive('\n') {
            // An entry of the event log begins with its time.
            let is_entry = line.starts_with("20") && line.get(19..21) == Some("Z ");
            self.text.push_str(if is_entry { &line[21..] } else { line });
        }
    }
}

/// A command line with other values behind some flags; no value takes the flag away.
fn with<'a>(args: &[&'a str], changes: &[(&'a str, Option<&'a str>)]) -> (String, Vec<&'a str>) {
    let mut args = args.to_vec();
    let mut shown = String::from("$ mirrorlab …");
    for (flag, value) in changes {
        if let Some(at) = args.iter().position(|arg| arg == flag) {
            args.drain(at..at + 2);
        }
        match value {
            Some("") => args.push(flag),
            Some(value) => args.extend([*flag, *value]),
            None => {}
        }
        let _ = match value {
            Some(value) => write!(shown, " {flag} {value}"),
            None => write!(shown, " (no {flag})"),
        };
    }
    (shown.trim_end().to_owned(), args)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a temporary directory");
}

/// Beside the keys: others of the same kind, and things that are no keys.
fn trial() -> Trial {
    let trial = Trial::new();
    run(trial.dir(), &["keys", "new", "other"]).expect(0);
    fs::create_dir(trial.path("empty")).expect("a temporary directory");
    write(&trial.path("file"), "hello\n");
    trial
}

#[test]
fn of_a_server() {
    let trial = trial();
    let mut told = Told::new(&trial);
    told.tell("$ mirrorlab serve", &["serve"]);
    let right = trial.serve_args(&[]);
    for changes in [
        &[("--application-key", Some("keys/application-public-key.xml"))][..],
        &[("--application-key", Some("keys/application-public-key.pem"))],
        &[("--application-key", Some("keys/tls-private-key.pem"))],
        &[("--application-key", Some("keys/tls-certificate.pem"))],
        &[("--application-key", Some("file"))],
        &[("--application-key", Some("none"))],
        &[("--application-key", Some("empty"))],
        &[("--application-id", Some("spn:my-app"))],
        &[("--trust", Some("none"))],
        &[("--trust", Some("empty"))],
        &[("--trust", Some("keys/trust/superoffice.pem"))],
        &[("--trust", None)],
        &[("--mirrors", Some("file"))],
        &[("--mirrors", None), ("--application-id", None)],
        &[("--tls-cert", Some("keys/tls-private-key.pem"))],
        &[("--tls-cert", Some("none"))],
        &[("--tls-cert", Some("file"))],
        &[("--tls-key", Some("keys/tls-certificate.pem"))],
        &[("--tls-key", Some("other/tls-private-key.pem"))],
        &[("--tls-key", Some("keys/application-private-key.xml"))],
        &[("--tls-key", None), ("--tls-cert", None)],
        &[("--tls-key", None)],
        &[("--listen", Some("localhost:8443"))],
        &[("--listen", Some("192.0.2.1:8443"))],
        &[("--name-template", Some("Mirror"))],
        &[("--log", Some("inof"))],
        &[("--resolver", Some("http://login.example"))],
        &[("--config", Some("none.toml"))],
        &[("--config", Some("empty"))],
        &[("--config", Some("keys/tls-ca.pem"))],
    ] {
        let (shown, args) = with(&right, changes);
        told.tell(&shown, &args);
    }
    // The port is taken.
    let (server, url) = trial.serve(&[]);
    let address = url
        .trim_start_matches("https://")
        .split('/')
        .next()
        .expect("it is a URL");
    let port = address.rsplit(':').next().expect("it has a port").to_owned();
    told.replaced.push((port, "PORT"));
    let (shown, args) = with(
        &right,
        &[("--listen", Some(address)), ("--mirrors", Some("never"))],
    );
    told.tell(&shown, &args);
    server.kill();
    insta::assert_snapshot!("server", told.text);
    assert_eq!(
        trial.listing("."),
        ["empty", "file", "keys", "mirrors", "other"],
        "nothing else is left"
    );
    assert!(trial.listing("mirrors").is_empty());
}

#[test]
fn of_a_settings_file() {
    let trial = trial();
    let mut told = Told::new(&trial);
    for (name, text, more) in [
        (
            "typo.toml",
            "listen = \"127.0.0.1:0\"\nmirors = \"mirrors\"\n",
            &[][..],
        ),
        ("type.toml", "# A port alone.\nlisten = 8443\n", &[]),
        ("syntax.toml", "listen = \"127.0.0.1:0\n", &[]),
        (
            "limit.toml",
            "[limits]\n\ncalls_max = 0\n[tls]\nkey = \"none.pem\"\n",
            &["--application-id", "my-app"],
        ),
        (
            "both.toml",
            "plain_http = true\nmirrors = \"file\"\nlog = \"xml\"\n[tls]\nkey = \"none.pem\"\n",
            &["--application-id", "my app"],
        ),
    ] {
        write(&trial.path(name), text);
        let args = [&["serve", "--config", name], more].concat();
        told.tell(&format!("$ mirrorlab {}", args.join(" ")), &args);
    }
    insta::assert_snapshot!("settings", told.text);
}

#[test]
fn of_a_simulator() {
    let trial = trial();
    // Halves that do not belong together.
    for (dir, other) in [
        ("mixed", "superoffice-private-key.pem"),
        ("strange", "application-public-key.xml"),
    ] {
        run(trial.dir(), &["keys", "new", dir]).expect(0);
        fs::copy(trial.path("other").join(other), trial.path(dir).join(other)).expect("it was made");
    }
    fs::copy(
        trial.path("keys/trust/superoffice.pem"),
        trial.path("strange/trust/superoffice.pem"),
    )
    .and_then(|_| {
        let key = "superoffice-private-key.pem";
        fs::copy(trial.path("keys").join(key), trial.path("strange").join(key))
    })
    .expect("they were made");
    let (server, url) = trial.serve(&[]);
    let (plain, plain_url) = {
        let mut args = with(
            &trial.serve_args(&[]),
            &[("--tls-cert", None), ("--tls-key", None)],
        )
        .1;
        args.push("--plain-http");
        trial::listening(support::Started::new(mirrorlab(trial.dir(), &args)))
    };
    let right = trial.simulate_args(&url, &["--cycles", "1", "--rows", "1"]);
    let mut told = Told::new(&trial);
    for (url, name) in [(&url, "PORT"), (&plain_url, "PLAIN")] {
        let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next());
        told.replaced.push((port.expect("it is a URL").to_owned(), name));
    }
    let other = fs::read(trial.path("other/trust/superoffice.pem")).expect("it was made");
    let other = mirrorlab_protocol::certificate::Certificate::from_bytes(&other).expect("a certificate");
    told.replaced.push((other.thumbprint_hex(), "THUMBPRINT"));

    let http = url.replace("https", "http");
    let https = plain_url.replace("http", "https");
    let elsewhere = url.replace("MirroringClientService", "Other");
    let nothing = "https://localhost:1/MirroringClientService.svc";
    let insecure = ("--insecure", Some(""));
    let no_ca = ("--ca", None);
    for changes in [
        &[("--ca", Some("other/tls-ca.pem"))][..],
        &[("--ca", Some("keys/tls-private-key.pem"))],
        &[("--ca", Some("none"))],
        &[("--ca", Some("empty"))],
        &[no_ca, insecure],
        &[insecure],
        &[("--endpoint", Some(elsewhere.as_str()))],
        &[("--endpoint", Some(nothing))],
        &[("--endpoint", Some("localhost:8443"))],
        &[("--endpoint", Some("https://me:secret@localhost/"))],
        &[("--endpoint", Some(http.as_str())), no_ca],
        &[("--endpoint", Some(http.as_str()))],
        &[("--endpoint", Some(https.as_str())), no_ca, insecure],
        &[("--endpoint", Some(plain_url.as_str())), no_ca],
        &[("--keys", Some("none"))],
        &[("--keys", Some("file"))],
        &[("--keys", Some("empty"))],
        &[("--keys", Some("other"))],
        &[("--keys", Some("mixed"))],
        &[("--keys", Some("strange"))],
        &[("--application-id", Some("other-app"))],
        &[("--application-id", Some("spn:my-app"))],
        &[("--data", Some("file"))],
        &[("--data", Some("mirrors"))],
        &[("--events", Some("empty"))],
        &[("--events", Some("none/events.jsonl"))],
        &[("--schema", Some("file"))],
        &[("--skip", Some("contracts"))],
        &[("--every", Some("0s")), ("--cycles", None)],
        &[("--every", Some("500ms"))],
        &[("--pause", Some("1-2"))],
        &[("--tenants", Some("0"))],
    ] {
        let (shown, args) = with(&right, changes);
        if changes.contains(&("--data", Some("mirrors"))) {
            // A mirror that is named as a source would be.
            let copied = fs::copy(
                trial.path("mirrors/Mirror_Cust10001.db"),
                trial.path("mirrors/Cust10001.db"),
            );
            copied.expect("a cycle has run before");
        }
        told.tell(&shown, &args);
    }
    if cfg!(target_os = "linux") {
        let ended = run(trial.dir(), &with(&right, &[("--events", Some("/dev/full"))]).1).expect(4);
        assert!(
            ended
                .err
                .starts_with("error: cannot write /dev/full: No space left on device"),
            "{}",
            ended.err
        );
    }
    server.kill();
    plain.kill();
    insta::assert_snapshot!("simulator", told.text);
    assert_eq!(trial.listing("data"), ["Cust10001.db"]);
}

#[test]
fn of_other_commands() {
    let trial = trial();
    let mut told = Told::new(&trial);
    write(
        &trial.path("right.yaml"),
        "id: right\ntitle: T\ncites: a test\nsource: {tables: {contact: 1}}\nsteps:\n  - mirror\n",
    );
    for line in [
        &["run", "none"][..],
        &["run", "empty"],
        &["run", "file"],
        &["run", "right.yaml", "--only", "wrong"],
        &["run", "right.yaml", "--keep", "file"],
        &["run", "right.yaml", "--keep", "keys"],
        &["run", "right.yaml", "--json", "empty"],
        &["invalidate", "file", "--tenant", "Cust10001"],
        &["invalidate", "empty", "--tenant", "Cust10001"],
        &["compare", "file", "file"],
        &["compare", "empty", "none"],
        &["tables", "--schema", "empty"],
        &["keys", "new", "file/keys"],
    ] {
        told.tell(&format!("$ mirrorlab {}", line.join(" ")), line);
    }
    insta::assert_snapshot!("others", told.text);
    assert_eq!(
        trial.listing("."),
        ["empty", "file", "keys", "other", "right.yaml"],
        "nothing else is left"
    );
}
