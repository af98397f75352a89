//! Which broken server each check fails on, and which checks find each broken server: docs/conformance-matrix.md says
//! so, and is held to it.
//!
//! The servers are the catalogue of defects, then those that answer wrongly on purpose. The page names one server for a
//! check and at most [`FINDERS_MAX`] checks for a server; a test runs just these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;

use mirrorlab::conformance::report::Standing;
use mirrorlab::conformance::{MirrorAt, Options, Report, RunError, catalogue, run};
use mirrorlab::defects::{self, Defect, Layer};
use mirrorlab_simulator::endpoint::https::Trust;

use super::broken::{self, WrongServer};
use super::servers::{self, APPLICATION, DEFECTIVE_APPLICATION, Home};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance-matrix.md");
/// How many checks are named for a server.
const FINDERS_MAX: usize = 3;

/// Checks that take long, and look at a call's size or at time: a defect of rows or of trust does not matter to them.
const SLOW: [&str; 7] = [
    "transport.huge-row",
    "transport.large-call",
    "transport.large-schema",
    "transport.slow",
    "values.megabyte-blob",
    "rows.five-thousand",
    "concurrency.tenants",
];

/// Defects that no partner's endpoint shows to a caller, or that a run does not ask for.
const UNSEEN: &[(&str, &str)] = &[
    (
        "default-changes-ignored",
        "a default shows in the mirror's own schema alone: every row that is sent names every column",
    ),
    ("defaults-not-made", "as above"),
    (
        "everything-nullable",
        "it shows in the mirror's own schema alone: a NULL is refused before it comes there",
    ),
    (
        "changes-make-anew",
        "it is slow, and sound: the table asks for its rows",
    ),
    (
        "drop-guard-ignored",
        "a setting of the built-in server, which a run does not ask for",
    ),
    ("replays-accepted", "a setting, which a run does not ask for"),
    ("never-declines", "whether to decline is the partner's own choice"),
    ("declines-in-other-words", "as above"),
    ("errors-not-logged", "the partner's own log"),
    ("warnings-not-logged", "the partner's own log"),
    (
        FOUND_AT_ONCE,
        "the first call, a right one, is refused already, and the run ends with that",
    ),
];

/// The defect at which no check begins.
const FOUND_AT_ONCE: &str = "token-in-local-time";

#[derive(Clone, Copy)]
enum Server {
    Defect(&'static Defect),
    Wrong(&'static WrongServer),
}

impl Server {
    fn all() -> Vec<Server> {
        let defects = defects::catalogue::ALL.iter().map(Server::Defect);
        defects.chain(broken::WRONG.iter().map(Server::Wrong)).collect()
    }

    fn id(self) -> &'static str {
        match self {
            Server::Defect(defect) => defect.id,
            Server::Wrong(server) => server.id,
        }
    }

    fn what(self) -> String {
        match self {
            Server::Defect(defect) => defect.title.to_owned(),
            Server::Wrong(server) => {
                let mut what = server.what.to_owned();
                what[..1].make_ascii_uppercase();
                what
            }
        }
    }

    /// Whoever is wrong in many ways comes last.
    fn rank(self) -> usize {
        match self {
            Server::Defect(defect) if matches!(defect.layer, Layer::Messages(_)) => 1,
            Server::Defect(_) => 0,
            Server::Wrong(_) => 2,
        }
    }

    /// What it is asked: the sections where its mistake is likely to show, then the others one by one.
    fn questions(self) -> Vec<BTreeSet<String>> {
        let likely: &[&str] = match self {
            Server::Defect(defect) => match defect.layer {
                Layer::Cells(_) => &["values"],
                Layer::Store(_) => &["schema", "rows", "lsn", "wipe", "cycle", "repeated", "isolation"],
                Layer::Trust(_) => &["trust", "isolation"],
                Layer::Admin(_) | Layer::Options(_) => &["trust", "isolation", "concurrency", "wipe"],
                Layer::Messages(_) => &[
                    "transport",
                    "envelope",
                    "faults",
                    "answers",
                    "trust",
                    "schema",
                    "values",
                    "rows",
                    "lsn",
                    "wipe",
                ],
            },
            Server::Wrong(_) => &[
                "transport",
                "envelope",
                "faults",
                "answers",
                "trust",
                "schema",
                "values",
                "rows",
                "lsn",
                "wipe",
                "cycle",
                "repeated",
                "isolation",
                "concurrency",
            ],
        };
        let knows_size = self.rank() > 0;
        let mut parts = vec![BTreeSet::new(); 2];
        let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for check in catalogue() {
            let section = check.section().to_owned();
            if !knows_size && SLOW.contains(&check.id.as_str()) {
                continue;
            }
            if likely.contains(&section.as_str()) {
                parts[0].insert(check.id.clone());
                parts[1].insert(check.id);
            } else {
                others.entry(section).or_default().insert(check.id);
            }
        }
        parts.extend(others.into_values());
        parts
    }

    /// Every check of the sections where its mistake is likely to show.
    fn likely(self) -> BTreeSet<String> {
        self.questions().swap_remove(1)
    }

    /// Asks it some checks, one after the other: what one leaves behind is the same in every run.
    fn run(self, checks: &BTreeSet<String>) -> Result<Report, RunError> {
        let home = Home::new();
        let (port, path, application) = match self {
            Server::Defect(defect) => (home.defective(defect), broken::SERVICE, DEFECTIVE_APPLICATION),
            Server::Wrong(server) => {
                let service = home.service();
                let apply = server.apply;
                (
                    servers::speak(move |request| apply(&service, request)),
                    server.path,
                    APPLICATION,
                )
            }
        };
        let url = format!("http://127.0.0.1:{port}/{path}");
        let mut options = Options::new(&url, application, &home.keys()).unwrap();
        options.mirror = Some(MirrorAt::parse(&format!("sqlite:{}", home.mirrors().display())).unwrap());
        options.trust = Trust::System;
        options.only = checks.iter().cloned().collect();
        options.jobs = 1;
        options.tag = Some(1);
        run(&options)
    }

    /// Those of the checks that fail on it.
    fn fails(self, checks: &BTreeSet<String>) -> BTreeSet<String> {
        match self.run(checks) {
            Ok(report) => report.of(Standing::Failed).map(|r| r.id.clone()).collect(),
            Err(RunError::NoEndpoint(_)) if self.id() == FOUND_AT_ONCE => BTreeSet::new(),
            Err(error) => panic!("{}: {error}", self.id()),
        }
    }
}

/// Asks each server its checks, several servers at a time.
fn ask(questions: Vec<(Server, BTreeSet<String>)>) -> BTreeMap<&'static str, BTreeSet<String>> {
    let waiting = Mutex::new(questions.into_iter());
    let answers = Mutex::new(BTreeMap::new());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some((server, checks)) = next else { break };
                    let fails = server.fails(&checks);
                    answers.lock().unwrap().insert(server.id(), fails);
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

/// What the page says: the server of each check, and the checks of each server.
#[derive(Debug, Default, PartialEq, Eq)]
struct Matrix {
    server_of: BTreeMap<String, String>,
    finders_of: BTreeMap<String, Vec<String>>,
}

impl Matrix {
    fn read(page: &str) -> Matrix {
        let mut matrix = Matrix::default();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let ids = |cell: &str| -> Vec<String> {
                let parts = cell.split('`').enumerate();
                let odd = parts.filter(|(at, _)| at % 2 == 1);
                odd.map(|(_, id)| id.to_owned()).collect()
            };
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let own = ids(cells[0]).remove(0);
            match cells.as_slice() {
                [_, server] => {
                    matrix
                        .server_of
                        .insert(own, ids(server).pop().unwrap_or_default());
                }
                [_, _, finders] => {
                    matrix.finders_of.insert(own, ids(finders));
                }
                _ => panic!("no row of this page: {line}"),
            }
        }
        matrix
    }

    fn write(&self) -> String {
        let mut out = String::from(
            "# Which broken server each check fails on\n\n\
             A check that cannot fail is worth nothing. Each check of [conformance](conformance.md) fails on at least one server\n\
             that is broken on purpose: on one of the [defects](defects.md), which are mirroring servers with one mistake each, or,\n\
             where the mistake is a matter of HTTP, of XML or of an answer's form, on one that answers wrongly in one way.\n\n\
             A test runs what this page says and holds it to it: a check without a server is a failure, and so is a server that\n\
             no check finds, unless the reason stands here. `UPDATE_DOCS=1 cargo test --test conformance matrix` keeps\n\
             what is so and looks for what the page lacks, which takes a minute for a new check or server. Without the page it looks\n\
             for all, which takes many.\n\n\
             ## Checks\n\n| check | fails on |\n|---|---|\n",
        );
        for check in catalogue() {
            let server = self.server_of.get(&check.id).map_or("", String::as_str);
            let _ = writeln!(out, "| `{}` | `{server}` |", check.id);
        }
        out.push_str(
            "\n## Servers\n\nAt most three of the checks that find it; there may be more.\n\n\
             | server | what is wrong | found by |\n|---|---|---|\n",
        );
        for server in Server::all() {
            let finders = self.finders_of.get(server.id()).cloned().unwrap_or_default();
            let cell = match UNSEEN.iter().find(|(id, _)| *id == server.id()) {
                Some((_, why)) => format!("*none: {why}*"),
                None => {
                    let finders: Vec<String> = finders.iter().map(|id| format!("`{id}`")).collect();
                    finders.join(", ")
                }
            };
            let _ = writeln!(
                out,
                "| `{}` | {} | {cell} |",
                server.id(),
                server.what().replace('|', "/")
            );
        }
        out
    }

    /// What has to be asked to know whether this is true.
    fn questions(&self) -> Vec<(Server, BTreeSet<String>)> {
        let mut of: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (check, server) in &self.server_of {
            of.entry(server).or_default().insert(check.clone());
        }
        for (server, finders) in &self.finders_of {
            of.entry(server).or_default().extend(finders.iter().cloned());
        }
        let servers = Server::all().into_iter();
        servers
            .filter_map(|server| {
                Some((
                    server,
                    of.remove(server.id()).filter(|checks| !checks.is_empty())?,
                ))
            })
            .collect()
    }

    /// Leaves out checks and servers that are no more.
    fn forget_strangers(&mut self) {
        let checks: BTreeSet<String> = catalogue().into_iter().map(|check| check.id).collect();
        let servers: BTreeSet<&str> = Server::all().into_iter().map(Server::id).collect();
        self.server_of
            .retain(|check, server| checks.contains(check) && servers.contains(server.as_str()));
        self.finders_of.retain(|server, finders| {
            finders.retain(|check| checks.contains(check));
            servers.contains(server.as_str())
        });
    }

    fn forget(&mut self, server: &str, check: &str) {
        if self.server_of.get(check).is_some_and(|of| of == server) {
            self.server_of.remove(check);
        }
        if let Some(finders) = self.finders_of.get_mut(server) {
            finders.retain(|finder| finder != check);
        }
    }

    /// Notes that a check fails on a server, where the page lacks that; whether it did. A check's server is one that few
    /// checks find.
    fn take(&mut self, server: &str, check: &str) -> bool {
        let breadth = |of: &str| {
            let own = self.server_of.values().filter(|server| *server == of).count();
            own + self.finders_of.get(of).map_or(0, Vec::len)
        };
        let is_better = match self.server_of.get(check) {
            None => true,
            Some(now) => breadth(server) < breadth(now),
        };
        let finders = self.finders_of.entry(server.to_owned()).or_default();
        let is_finder = finders.is_empty() || (is_better && finders.len() < FINDERS_MAX);
        if is_finder {
            finders.push(check.to_owned());
        }
        if is_better {
            self.server_of.insert(check.to_owned(), server.to_owned());
        }
        is_better || is_finder
    }

    /// Checks without a server.
    fn blind(&self) -> BTreeSet<String> {
        let checks = catalogue().into_iter().map(|check| check.id);
        checks
            .filter(|id| self.server_of.get(id).is_none_or(String::is_empty))
            .collect()
    }

    /// Servers without a check, and without a reason for it.
    fn unfound(&self) -> BTreeSet<&'static str> {
        let servers = Server::all().into_iter().map(Server::id);
        let is_unseen = |id: &str| UNSEEN.iter().any(|(unseen, _)| *unseen == id);
        servers
            .filter(|id| self.finders_of.get(*id).is_none_or(Vec::is_empty) && !is_unseen(id))
            .collect()
    }

    /// Asks all, and keeps what distinguishes best. `full` says which checks fail on each server.
    fn best(full: &BTreeMap<&'static str, BTreeSet<String>>) -> Matrix {
        let servers = Server::all();
        let breadth = |id: &str| full[id].len();
        let mut matrix = Matrix::default();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for check in full.values().flatten() {
            *counts.entry(check).or_default() += 1;
        }
        for check in catalogue() {
            let on = servers
                .iter()
                .filter(|server| full[server.id()].contains(&check.id));
            if let Some(server) = on.min_by_key(|server| breadth(server.id())) {
                matrix.server_of.insert(check.id, server.id().to_owned());
            }
        }
        for server in &servers {
            let mut finders: Vec<&String> = full[server.id()].iter().collect();
            finders.sort_by_key(|check| counts[check.as_str()]);
            finders.truncate(FINDERS_MAX);
            let finders = finders.into_iter().cloned().collect();
            matrix.finders_of.insert(server.id().to_owned(), finders);
        }
        matrix
    }
}

/// Finds a server for each check and a check for each server: each server is asked what has no server yet, in those
/// sections where its mistake is likely to show, and then more, until something fails.
fn found() -> BTreeMap<&'static str, BTreeSet<String>> {
    let covered = Mutex::new(BTreeSet::<String>::new());
    let found = Mutex::new(BTreeMap::new());
    let mut servers = Server::all();
    servers.sort_by_key(|server| server.rank());
    let waiting = Mutex::new(servers.into_iter());
    let jobs = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(server) = next else { break };
                    let mut parts = server.questions();
                    let mut first = parts.remove(0);
                    first.retain(|check| !covered.lock().unwrap().contains(check));
                    let mut fails = BTreeSet::new();
                    for part in std::iter::once(first)
                        .chain(parts)
                        .filter(|part| !part.is_empty())
                    {
                        fails = server.fails(&part);
                        if !fails.is_empty() {
                            break;
                        }
                    }
                    // Shown where the test is run with --nocapture: writing the page takes its time.
                    eprintln!("{}: {fails:?}", server.id());
                    covered.lock().unwrap().extend(fails.iter().cloned());
                    found.lock().unwrap().insert(server.id(), fails);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// What the page says and is so stays; what it lacks is looked for. Without a page all is.
fn written_anew() -> Matrix {
    let mut matrix = Matrix::read(&std::fs::read_to_string(PAGE).unwrap_or_default());
    if matrix.server_of.is_empty() {
        matrix = Matrix::best(&found());
    }
    matrix.forget_strangers();
    let (mut is_so, mut is_not) = (BTreeSet::new(), BTreeSet::new());
    let mut looked_everywhere = false;
    loop {
        // Whether a check fails may hang on what the checks before it left behind. So what the page will say is asked by
        // itself, until all of it is so.
        let mut questions = matrix.questions();
        for (server, asked) in &mut questions {
            asked.retain(|check| !is_so.contains(&(server.id(), check.clone())));
        }
        questions.retain(|(_, asked)| !asked.is_empty());
        let answers = ask(questions.clone());
        for (server, asked) in questions {
            for check in asked {
                let fails = answers[server.id()].contains(&check);
                if !fails {
                    eprintln!("{check} does not fail on {}", server.id());
                    matrix.forget(server.id(), &check);
                }
                let of = if fails { &mut is_so } else { &mut is_not };
                of.insert((server.id(), check));
            }
        }
        let (blind, unfound) = (matrix.blind(), matrix.unfound());
        if blind.is_empty() && unfound.is_empty() {
            return matrix;
        }
        // A server that no new check finds is asked all that may find it.
        let wanted = match (blind.is_empty(), looked_everywhere) {
            (false, false) => Server::all()
                .into_iter()
                .map(|server| (server, blind.clone()))
                .collect(),
            _ => {
                let servers = Server::all()
                    .into_iter()
                    .filter(|server| unfound.contains(server.id()));
                servers.map(|server| (server, server.likely())).collect()
            }
        };
        eprintln!("looked for: a server for {blind:?}, a check for {unfound:?}");
        looked_everywhere = true;
        let mut fails: Vec<(&str, String)> = Vec::new();
        for (server, checks) in ask(wanted) {
            fails.extend(checks.into_iter().map(|check| (server, check)));
        }
        fails.retain(|pair| !is_not.contains(pair));
        // A server that was found by nothing is narrower than others.
        fails.sort_by_key(|(server, _)| !unfound.contains(server));
        let taken = fails
            .into_iter()
            .filter(|(server, check)| matrix.take(server, check))
            .count();
        if taken == 0 {
            // The test says what is missing.
            return matrix;
        }
    }
}

#[test]
fn the_matrix_of_broken_servers_is_true_and_whole() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, written_anew().write()).unwrap();
    }
    let page = std::fs::read_to_string(PAGE).unwrap();
    let matrix = Matrix::read(&page);
    assert_eq!(
        page,
        matrix.write(),
        "another text, an unknown check or an unknown server"
    );

    let blind = matrix.blind();
    assert!(
        blind.is_empty(),
        "these checks fail on no broken server: {blind:?}"
    );
    let is_unseen = |id: &str| UNSEEN.iter().any(|(unseen, _)| *unseen == id);
    let unfound: Vec<&str> = Server::all()
        .into_iter()
        .map(Server::id)
        .filter(|id| matrix.finders_of[*id].is_empty() != is_unseen(id))
        .collect();
    assert!(
        unfound.is_empty(),
        "either no check finds them, or one does: {unfound:?}"
    );

    let at_once = Server::all()
        .into_iter()
        .find(|server| server.id() == FOUND_AT_ONCE);
    let ended = at_once.unwrap().run(&BTreeSet::from(["trust".to_owned()]));
    assert!(matches!(ended, Err(RunError::NoEndpoint(_))), "{ended:?}");

    let questions = matrix.questions();
    let answers = ask(questions.clone());
    let mut untrue = Vec::new();
    for (server, asked) in questions {
        for check in asked.difference(&answers[server.id()]) {
            untrue.push(format!("{check} does not fail on {}", server.id()));
        }
    }
    assert!(untrue.is_empty(), "{}", untrue.join("\n"));
}
