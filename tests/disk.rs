//! What the program does where a disk is full, or a directory may not be written.
//!
//! Neither can be made on every system. Where one cannot, the run shows its test as ignored and prints the reason.

mod support;
#[path = "support/trial.rs"]
mod trial;

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial as Test};
use rusqlite::{Connection, OpenFlags};
use support::{Started, mirrorlab_behind};
use trial::{Trial, listening};

type Probe = fn() -> Result<(), String>;
type Body = fn();

fn main() {
    let arguments = Arguments::from_args();
    let tests: [(&str, Probe, Body); 3] = [
        (
            "a_directory_that_may_not_be_written",
            can_lose_rights,
            a_directory_that_may_not_be_written,
        ),
        (
            "a_mirror_that_may_not_grow",
            can_limit_files,
            a_mirror_that_may_not_grow,
        ),
        ("a_full_disk", can_mount, a_full_disk),
    ];
    let tests = tests.into_iter().map(|(name, probe, body)| {
        let runs = move || {
            body();
            Ok::<(), Failed>(())
        };
        match probe() {
            Ok(()) => Test::test(name, runs),
            Err(reason) => {
                eprintln!("{name} is ignored: {reason}");
                Test::test(name, runs).with_kind(reason).with_ignored_flag(true)
            }
        }
    });
    libtest_mimic::run(&arguments, tests.collect()).exit();
}

/// A shell's script that does something to the program before it begins; `"$@"` is the program.
fn works(what: &str, script: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let output = Command::new("sh")
        .args(["-c", script, "sh", "true"])
        .current_dir(&dir)
        .output()
        .map_err(|error| format!("{what}: there is no shell: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{what}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// Rights count for nobody's sake but root's: it runs in a user namespace, where it is nobody.
const WITHOUT_RIGHTS: &str = r#"if [ "$(id -u)" = 0 ]; then exec unshare -U "$@"; else exec "$@"; fi"#;
/// Files end at 800 blocks, of 512 or 1024 bytes as the shell likes; a longer write fails, and kills nobody.
const SMALL_FILES: &str = r#"trap "" XFSZ && ulimit -f 800 && exec "$@""#;
/// Mirrors are on a disk of their own with little room. It is gone with the program.
const SMALL_DISK: &str = r#"mkdir mirrors && exec unshare -rm sh -c 'mount -t tmpfs -o size=4m tmpfs mirrors && head -c 3000000 /dev/zero >mirrors/filler && exec "$@"' sh "$@""#;

fn can_lose_rights() -> Result<(), String> {
    works("a process without rights", WITHOUT_RIGHTS)
}

fn can_limit_files() -> Result<(), String> {
    works("a limit on files", SMALL_FILES)
}

fn can_mount() -> Result<(), String> {
    if !Path::new("/proc/self/root").exists() {
        return Err("a small disk: only Linux has namespaces".into());
    }
    works("a small disk", SMALL_DISK)
}

fn a_directory_that_may_not_be_written() {
    let trial = Trial::new();
    std::fs::create_dir_all(trial.path("closed/mirrors")).expect("a temporary directory");
    for closed in ["closed/mirrors", "closed"] {
        let mut rights = std::fs::metadata(trial.path(closed))
            .expect("it was made")
            .permissions();
        rights.set_readonly(true);
        std::fs::set_permissions(trial.path(closed), rights).expect("it is ours");
    }
    let ended = |args: &[&str]| {
        let ended = Started::new(mirrorlab_behind(WITHOUT_RIGHTS, trial.dir(), args)).end();
        (ended.code, ended.err)
    };
    let denied = "Permission denied (os error 13)\n";
    for (mirrors, text) in [
        (
            "closed/mirrors",
            "error: --mirrors: no file can be made in closed/mirrors: ",
        ),
        (
            "closed/new",
            "error: the directory of mirrors closed/new cannot be made: ",
        ),
    ] {
        // The last of two flags would be refused: the first one is replaced.
        let mut args = trial.serve_args(&[]);
        let at = args
            .iter()
            .position(|arg| *arg == "mirrors")
            .expect("it is among them");
        args[at] = mirrors;
        assert_eq!(ended(&args), (Some(2), format!("{text}{denied}")));
    }
    let mut args = trial.simulate_args("https://localhost:1/MirroringClientService.svc", &[]);
    let at = args
        .iter()
        .position(|arg| *arg == "data")
        .expect("it is among them");
    args[at] = "closed/data";
    assert_eq!(
        ended(&args),
        (
            Some(2),
            format!("error: --data closed/data: it cannot be made: {denied}")
        )
    );
    let (code, text) = ended(&["keys", "new", "closed/keys"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.starts_with("error: cannot write closed/keys: Permission denied"),
        "{text}"
    );
    assert_eq!(trial.listing("closed"), ["mirrors"]);
    assert!(trial.listing("closed/mirrors").is_empty());
}

/// Of each table there is everything, with its LSN, or nothing and no LSN. Gives how many there are of both.
fn whole_or_empty(source: &Path, mirror: &Path) -> (usize, usize) {
    let open =
        |path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("a database");
    let (mirror, source) = (open(mirror), open(source));
    let lsns: Vec<(String, i64)> = mirror
        .prepare("SELECT tablename, LSN FROM Cust10001_mirroring")
        .and_then(|mut read| {
            read.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .expect("the metadata table");
    let count = |connection: &Connection, table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM \"{table}\"");
        connection.query_row(&sql, [], |row| row.get(0)).expect("a table")
    };
    let (mut whole, mut empty) = (0, 0);
    for (table, lsn) in lsns {
        let rows = count(&mirror, &table);
        match lsn {
            -1 => {
                assert_eq!(rows, 0, "{table}");
                empty += 1;
            }
            _ => {
                assert_eq!(rows, count(&source, &table), "{table}");
                whole += 1;
            }
        }
    }
    (whole, empty)
}

const ONCE: [&str; 4] = ["--cycles", "1", "--rows", "100"];

fn a_mirror_that_may_not_grow() {
    let trial = Trial::new();
    let limited = mirrorlab_behind(SMALL_FILES, trial.dir(), &trial.serve_args(&[]));
    let (mut server, url) = listening(Started::new(limited));
    for _ in 0..2 {
        let ended = trial.simulate(&url, &ONCE).expect(1);
        assert!(
            ended.out.contains("nothing of this call is kept"),
            "{}",
            ended.out
        );
        server.wait_for("refused: ");
        let (whole, empty) = whole_or_empty(
            &trial.path("data/Cust10001.db"),
            &trial.path("mirrors/Mirror_Cust10001.db"),
        );
        assert!(whole > 0 && empty > 0, "{whole} {empty}");
        assert_eq!(trial.listing("mirrors"), ["Mirror_Cust10001.db"]);
    }
    server.kill();
    let (server, url) = trial.serve(&[]);
    trial.simulate(&url, &ONCE).expect(0);
    trial.compare("Cust10001").expect(0);
    server.kill();
}

fn a_full_disk() {
    let trial = Trial::new();
    let limited = mirrorlab_behind(SMALL_DISK, trial.dir(), &trial.serve_args(&[]));
    let (server, url) = listening(Started::new(limited));
    // The disk as the server sees it; nobody else does.
    let inside = trial.path("mirrors");
    let inside = inside
        .strip_prefix("/")
        .expect("temporary directories have whole paths");
    let mirrors = Path::new("/proc")
        .join(server.id().to_string())
        .join("root")
        .join(inside);
    // SQLite follows the link out of it again, so that a copy is looked at: of the file, and of the write-ahead log beside
    // it, which stays where the disk has no room for what it holds.
    let copied = || {
        for ending in ["", "-wal"] {
            let name = format!("Mirror_Cust10001.db{ending}");
            let copy = trial.path("mirrors").join(&name);
            match std::fs::copy(mirrors.join(&name), &copy) {
                Err(_) if ending == "-wal" => drop(std::fs::remove_file(copy)),
                copied => drop(copied.expect("the mirror is there")),
            }
        }
        trial.path("mirrors/Mirror_Cust10001.db")
    };

    for _ in 0..2 {
        let ended = trial.simulate(&url, &ONCE).expect(1);
        assert!(ended.out.contains("the disk is full"), "{}", ended.out);
        assert!(
            ended.out.contains("nothing of this call is kept"),
            "{}",
            ended.out
        );
        let (whole, empty) = whole_or_empty(&trial.path("data/Cust10001.db"), &copied());
        assert!(whole > 0 && empty > 0, "{whole} {empty}");
    }
    // Somebody makes room. The server goes on.
    std::fs::remove_file(mirrors.join("filler")).expect("it is there");
    trial.simulate(&url, &ONCE).expect(0);
    copied();
    trial.compare("Cust10001").expect(0);
    server.kill();
}
