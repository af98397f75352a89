//! What a scenario needs of its world beyond calls and answers, and why a world cannot give it.
//!
//! Decided before anything is run, from the file and the run's settings alone: a scenario that needs what there is not is
//! skipped, with every reason, and counts for nothing.

use super::host::Transport;
use super::world::WorldSettings;
use crate::report::{NotChecked, NotCheckedKind};
use std::time::Duration;

use mirrorlab_protocol::types::ColumnType;
use mirrorlab_simulator::task::RETENTION_SECONDS_DEFAULT;

use crate::scenario::expect::{LogSide, MirrorExpect, PerTenant};
use crate::scenario::model::{FaultKind, KillAt, Scenario, ServerSettings, StepKind};

/// How long change tracking keeps what it knows.
const RETENTION: Duration = Duration::from_secs(RETENTION_SECONDS_DEFAULT.unsigned_abs());

/// One thing that a scenario needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The server is set otherwise than it starts by itself: the setting's name.
    Setting(&'static str),
    /// The server ends without warning, and is started anew.
    Crash,
    /// The server dies when its database's own log has come to so many bytes.
    MirrorLog,
    /// Something is wrong with the server's store, for a call.
    StoreFault(&'static str),
    /// An answer signed by the application in the endpoint's place.
    AnswerKey,
    /// A person's SQL on the mirror.
    MirrorSql {
        /// Whether it only looks at what is there: where nobody can look, the rest of the scenario is still possible.
        looks: bool,
    },
    /// Backups of the mirror.
    MirrorBackup,
    /// LSNs are set to -1 by hand.
    Invalidate,
    /// Backups of the source.
    SourceBackup,
    /// Columns that keep seven digits of a second, in source and mirror.
    Ticks,
    /// Change tracking forgets what is older than the clock's last seven days.
    Retention,
}

/// Why a scenario cannot be run so; empty where it can. Each reason once, with the first place that needs it.
pub fn why_not(scenario: &Scenario, settings: &WorldSettings) -> Vec<String> {
    let mut reasons: Vec<(String, String)> = Vec::new();
    for (line, what, need) in of(scenario) {
        let Some(why) = cannot(settings, &need) else {
            continue;
        };
        if !reasons.iter().any(|(_, known)| *known == why) {
            reasons.push((format!("line {line}, {what}"), why));
        }
    }
    reasons
        .into_iter()
        .map(|(place, why)| format!("{place}: {why}"))
        .collect()
}

/// What of a scenario's expectations no run with these settings can look at; it is told beside the verdict.
pub fn not_checked(scenario: &Scenario, settings: &WorldSettings) -> Vec<NotChecked> {
    let mut unseen = Vec::new();
    if settings.mirrors.is_none() {
        unseen.push(NotChecked {
            kind: NotCheckedKind::Rows,
            why: "no --mirror was given".into(),
        });
    }
    if !settings.transport.has_our_log() && expects_server_log(scenario) {
        unseen.push(NotChecked {
            kind: NotCheckedKind::ServerLog,
            why: "the server is not in this process".into(),
        });
    }
    unseen
}

/// Why the world cannot give something.
fn cannot(settings: &WorldSettings, need: &Need) -> Option<String> {
    let of_mirrors = || match &settings.mirrors {
        Some(mirrors) => mirrors.cannot(need),
        None => Some("the mirror cannot be reached: no --mirror was given".into()),
    };
    match need {
        Need::AnswerKey => settings.keys.signer.is_none().then(|| {
            "the application's private key is not in --keys, so no answer can be signed in its place".into()
        }),
        Need::MirrorSql { looks: true } if settings.mirrors.is_none() => None,
        Need::MirrorSql { .. } | Need::MirrorBackup | Need::Invalidate => of_mirrors(),
        Need::StoreFault(_) => settings.transport.cannot(need).or_else(of_mirrors),
        Need::MirrorLog => settings.transport.cannot(&Need::Crash).or_else(of_mirrors),
        Need::Setting(_) | Need::Crash => settings.transport.cannot(need),
        Need::SourceBackup | Need::Retention => None,
        Need::Ticks => settings.mirrors.as_ref().and_then(|mirrors| mirrors.cannot(need)),
    }
    .or_else(|| settings.sources.cannot(need))
}

/// All that a scenario needs, with the line and what is written there.
fn of(scenario: &Scenario) -> Vec<(usize, String, Need)> {
    let mut needs = Vec::new();
    let mut server = |line: usize, settings: &ServerSettings| {
        for name in settings.unusual() {
            needs.push((line, format!("setting `{name}`"), Need::Setting(name)));
        }
    };
    let is_settings = |line: &str| line.starts_with("settings:");
    let first = scenario.text.lines().position(is_settings);
    server(first.map_or(1, |at| at + 1), &scenario.settings.server);
    for step in &scenario.steps {
        if let StepKind::Set(settings) = &step.kind {
            server(step.at.line, &settings.server);
        }
    }
    for table in scenario.tenants.iter().flat_map(|t| &t.tables) {
        if table.table.columns.iter().any(|c| has_ticks(c.ty)) {
            let line = scenario.text.lines().position(|l| l.contains(&table.table.name));
            let what = format!("table `{}`", table.table.name);
            needs.push((line.map_or(1, |at| at + 1), what, Need::Ticks));
        }
    }
    let mut passed = Duration::ZERO;
    for step in &scenario.steps {
        let word = format!("step `{}`", step.kind.word());
        let need = match &step.kind {
            StepKind::Crash => (word, Need::Crash),
            kind @ StepKind::MirrorSql { .. } => (
                word,
                Need::MirrorSql {
                    looks: kind.only_looks(),
                },
            ),
            StepKind::MirrorRows(_) => (word, Need::MirrorSql { looks: true }),
            StepKind::MirrorBackup(_) | StepKind::MirrorRestore(_) => (word, Need::MirrorBackup),
            StepKind::Invalidate(_) => (word, Need::Invalidate),
            StepKind::Backup(_) | StepKind::Restore(_) => (word, Need::SourceBackup),
            StepKind::Advance(length) | StepKind::RunDue { length, .. } => {
                let before = passed;
                passed = passed.saturating_add(*length);
                // Said where the clock gets there.
                if before >= RETENTION || passed < RETENTION {
                    continue;
                }
                (word, Need::Retention)
            }
            StepKind::Fault(fault) => {
                let what = format!("fault `{}`", fault.kind);
                match fault.kind {
                    FaultKind::StopServer => (what, Need::Crash),
                    FaultKind::KilledAt(KillAt::Log(_)) => (what, Need::MirrorLog),
                    ref kind if kind.kills() => (what, Need::Crash),
                    FaultKind::DiskFull => (what, Need::StoreFault("its disk cannot be filled")),
                    FaultKind::Locked => (
                        what,
                        Need::StoreFault("its mirror cannot be locked while it works"),
                    ),
                    FaultKind::AnswerSignature | FaultKind::AnswerNonce | FaultKind::AnswerTime => {
                        (what, Need::AnswerKey)
                    }
                    _ => continue,
                }
            }
            _ => continue,
        };
        needs.push((step.at.line, need.0, need.1));
    }
    needs.sort_by_key(|(line, ..)| *line);
    needs
}

fn has_ticks(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::DateTime2(7) | ColumnType::Time(7) | ColumnType::DateTimeOffset(7)
    )
}

/// Whether a `mirror` step expects an entry of the server's own log.
fn expects_server_log(scenario: &Scenario) -> bool {
    let of_server = |expect: &MirrorExpect| expect.events.iter().any(|e| e.log == LogSide::Server);
    let any = |expect: &PerTenant<MirrorExpect>| {
        expect.all.iter().any(of_server) || expect.tenants.iter().any(|(_, e)| of_server(e))
    };
    scenario
        .steps
        .iter()
        .any(|step| matches!(&step.kind, StepKind::Mirror(expect) if any(expect)))
}

impl Transport {
    /// Why a server reached so cannot be made to give something; `None` where it can.
    pub fn cannot(&self, need: &Need) -> Option<String> {
        match self {
            Transport::Tls(_) | Transport::InProcess | Transport::Defective(_) => None,
            Transport::Child(_) => match need {
                Need::Setting(name @ ("clock_skew" | "do_not_replicate" | "certificates")) => Some(format!(
                    "a server that is a process of its own has no such setting: `mirrorlab serve` knows no {name}"
                )),
                Need::StoreFault(what) => Some(format!(
                    "the server is a process of its own: {what} from outside it"
                )),
                _ => None,
            },
            Transport::Foreign(_) => match need {
                Need::Setting("clock_skew") => Some("the endpoint's clock is not ours".into()),
                Need::Setting(name) => Some(format!(
                    "the endpoint's settings are not ours: {name} cannot be set from here"
                )),
                Need::Crash => {
                    Some("the endpoint's process is not ours: it cannot be stopped and started anew".into())
                }
                Need::StoreFault(what) => Some(format!("the endpoint's store is not ours: {what}")),
                _ => None,
            },
        }
    }

    /// Whether the server's own log can be read.
    pub fn has_our_log(&self) -> bool {
        !matches!(self, Transport::Child(_) | Transport::Foreign(_))
    }

    /// Whether its errors are in our server's words; elsewhere a refusal is a refusal, whatever it says.
    pub fn has_our_words(&self) -> bool {
        !matches!(self, Transport::Foreign(_))
    }
}

#[cfg(test)]
mod tests;
