//! The simulated SuperOffice: its tenants, each with its own source, and the mirroring task run for those that approved
//! the application.
//!
//! A tenant's cycle is linear. Tenants run side by side, or one after the other where a run has to repeat exactly. A
//! cycle holds its tenant for itself, so there are never two at once for one tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mirrorlab_protocol::clock::{Clock, ManualClock};
use mirrorlab_protocol::keys::PublicKey;
use mirrorlab_protocol::message::{Request, ResponseDetail};

use crate::approvals::Approvals;
use crate::authority::{Authority, TokenDefect, Tokens};
use crate::endpoint::Endpoint;
use crate::event_log::{Entry, EventLog};
use crate::schedule::Schedule;
use crate::source::Source;
use crate::task::report::CycleReport;
use crate::task::send::CycleError;
use crate::task::{self, Cycle, Settings, TableFilter};

/// How many tenants' cycles run at once, where they run side by side.
pub const TENANTS_AT_ONCE_DEFAULT: usize = 8;

/// What an office pushes, and where to.
#[derive(Clone)]
pub struct Application {
    /// The application's id: `aud` is `spn:` and it.
    pub id: String,
    /// Its public key, which has to have signed Authenticate's answer.
    pub key: PublicKey,
    /// Its endpoint.
    pub endpoint: Arc<dyn Endpoint>,
}

/// How the cycles of several tenants go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// In the order of their names, in the caller's thread.
    OneByOne,
    /// In threads, at most so many at once.
    SideBySide(usize),
}

/// A request that the office cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfficeError {
    /// No such tenant.
    #[error("there is no tenant `{given}`; there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        given: String,
        /// The tenants.
        known: Vec<String>,
    },
    /// A tenant of that name is there.
    #[error("there is a tenant `{0}` already")]
    Twice(String),
    /// A name that is no context id.
    #[error("`{0}` is no tenant's name: 1 to 64 letters, digits, `-` or `_`, such as Cust10001")]
    Name(String),
}

/// A customer of SuperOffice.
pub struct Tenant {
    context: String,
    source: Box<dyn Source>,
    tokens: Tokens,
    last_began: Option<i64>,
}

impl Tenant {
    /// Its name: `Cust10001`.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Its database.
    pub fn source(&mut self) -> &mut dyn Source {
        self.source.as_mut()
    }

    /// Its tokens, to be spoiled and mended.
    pub fn tokens(&mut self) -> &mut Tokens {
        &mut self.tokens
    }

    /// When its last cycle began, on the source's clock.
    pub fn last_began(&self) -> Option<i64> {
        self.last_began
    }
}

/// SuperOffice, with one application to push to.
pub struct Office {
    application: Application,
    authority: Arc<Authority>,
    seed: u64,
    settings: Settings,
    filter: Arc<dyn TableFilter>,
    wire_clock: Arc<dyn Clock>,
    source_clock: Arc<dyn Clock>,
    schedule: Schedule,
    approvals: Approvals,
    log: Arc<EventLog>,
    together: Together,
    tenants: BTreeMap<String, Tenant>,
}

/// What an [`Office`] is made of.
pub struct OfficeParts {
    /// What is pushed to.
    pub application: Application,
    /// Who signs.
    pub authority: Arc<Authority>,
    /// From which nonces are drawn.
    pub seed: u64,
    /// The task's preferences.
    pub settings: Settings,
    /// Which tables are left out.
    pub filter: Arc<dyn TableFilter>,
    /// Dates tokens.
    pub wire_clock: Arc<dyn Clock>,
    /// Drives schedule, retention and event log.
    pub source_clock: Arc<dyn Clock>,
    /// When cycles come.
    pub schedule: Schedule,
    /// Where cycles are noted.
    pub log: Arc<EventLog>,
    /// How tenants go together.
    pub together: Together,
}

impl Office {
    /// An office without tenants.
    pub fn new(parts: OfficeParts) -> Office {
        Office {
            application: parts.application,
            authority: parts.authority,
            seed: parts.seed,
            settings: parts.settings,
            filter: parts.filter,
            wire_clock: parts.wire_clock,
            source_clock: parts.source_clock,
            schedule: parts.schedule,
            approvals: Approvals::default(),
            log: parts.log,
            together: parts.together,
            tenants: BTreeMap::new(),
        }
    }

    /// Adds a tenant with its database. It has approved nothing yet.
    ///
    /// # Errors
    /// [`OfficeError::Twice`], [`OfficeError::Name`].
    pub fn add_tenant(&mut self, context: &str, source: Box<dyn Source>) -> Result<(), OfficeError> {
        mirrorlab_protocol::token::check_context(context)
            .map_err(|_| OfficeError::Name(mirrorlab_protocol::excerpt(context)))?;
        if self.tenants.contains_key(context) {
            return Err(OfficeError::Twice(context.to_owned()));
        }
        let tokens = Tokens::new(self.authority.clone(), &self.application.id, context, self.seed);
        let tenant = Tenant {
            context: context.to_owned(),
            source,
            tokens,
            last_began: None,
        };
        self.tenants.insert(context.to_owned(), tenant);
        Ok(())
    }

    /// The tenants' names.
    pub fn contexts(&self) -> Vec<String> {
        self.tenants.keys().cloned().collect()
    }

    /// A tenant.
    ///
    /// # Errors
    /// [`OfficeError::Unknown`].
    pub fn tenant(&mut self, context: &str) -> Result<&mut Tenant, OfficeError> {
        self.check(context)?;
        Ok(self.tenants.get_mut(context).expect("it was just found"))
    }

    /// The preferences, to be changed between cycles.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Which tables are left out, from now on.
    pub fn set_filter(&mut self, filter: Arc<dyn TableFilter>) {
        self.filter = filter;
    }

    /// The application, to be pointed elsewhere between cycles.
    pub fn application(&mut self) -> &mut Application {
        &mut self.application
    }

    /// The schedule, to be changed between cycles.
    pub fn schedule(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// Where cycles are noted.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// The tenant approves the application: its first cycle is due at once. `false` where it had approved it.
    ///
    /// # Errors
    /// [`OfficeError::Unknown`].
    pub fn approve(&mut self, context: &str) -> Result<bool, OfficeError> {
        self.check(context)?;
        Ok(self
            .approvals
            .approve(&self.application.id, context, self.source_clock.now()))
    }

    /// The tenant takes its approval back: no cycle is due any more. `false` where there was none.
    ///
    /// # Errors
    /// [`OfficeError::Unknown`].
    pub fn withdraw(&mut self, context: &str) -> Result<bool, OfficeError> {
        self.check(context)?;
        Ok(self.approvals.withdraw(&self.application.id, context))
    }

    /// Whether the tenant approves the application.
    pub fn is_approved(&self, context: &str) -> bool {
        self.approvals.since(&self.application.id, context).is_some()
    }

    /// Makes a tenant's next `count` tokens wrong, or all from now on.
    ///
    /// # Errors
    /// [`OfficeError::Unknown`].
    pub fn spoil_tokens(
        &mut self,
        context: &str,
        defect: TokenDefect,
        count: Option<u32>,
    ) -> Result<(), OfficeError> {
        self.tenant(context)?.tokens.spoil(defect, count);
        Ok(())
    }

    /// When a tenant's next cycle is due; `None` for one that did not approve, or that is never let.
    pub fn next_of(&self, context: &str) -> Option<i64> {
        let approved = self.approvals.since(&self.application.id, context)?;
        self.schedule
            .next(approved, self.tenants.get(context)?.last_began)
    }

    /// When the next cycle of any tenant is due.
    pub fn next(&self) -> Option<i64> {
        self.tenants
            .keys()
            .filter_map(|context| self.next_of(context))
            .min()
    }

    /// Runs every cycle that is due now, each tenant's at most once. Reports stand in the order of the tenants' names.
    pub fn run_due(&mut self) -> Vec<CycleReport> {
        let now = self.source_clock.now();
        let due: Vec<String> = self
            .tenants
            .keys()
            .filter(|context| self.next_of(context).is_some_and(|next| next <= now))
            .cloned()
            .collect();
        self.run(&due)
    }

    /// Moves the source's clock on to `until`, and runs every cycle that comes due on the way, at its time. The clock
    /// has to be the one that the office was made with.
    pub fn advance(&mut self, clock: &ManualClock, until: i64) -> Vec<CycleReport> {
        let mut reports = Vec::new();
        while let Some(next) = self.next().filter(|next| *next <= until) {
            clock.advance((next - clock.now()).max(0));
            let ran = self.run_due();
            if ran.is_empty() {
                // Another clock than the office's: nothing would ever come due.
                break;
            }
            reports.extend(ran);
        }
        clock.advance((until - clock.now()).max(0));
        reports
    }

    /// Runs a cycle now for each of these tenants that approved the application, whatever the schedule says. Reports
    /// stand in the order of the tenants' names.
    ///
    /// # Errors
    /// [`OfficeError::Unknown`].
    pub fn run_now(&mut self, contexts: &[&str]) -> Result<Vec<CycleReport>, OfficeError> {
        for context in contexts {
            self.check(context)?;
        }
        let approved: Vec<String> = self
            .tenants
            .keys()
            .filter(|context| contexts.contains(&context.as_str()) && self.is_approved(context))
            .cloned()
            .collect();
        Ok(self.run(&approved))
    }

    /// One call by itself in a tenant's name, as no cycle makes it: after an Authenticate, whose ClientState it hands back.
    /// It is in no log, and whether the tenant approved the application is not asked.
    ///
    /// # Errors
    /// [`OfficeError::Unknown`].
    pub fn call<'r>(
        &mut self,
        context: &str,
        request: &dyn Fn(Option<String>) -> Request<'r>,
    ) -> Result<Result<ResponseDetail, CycleError>, OfficeError> {
        self.check(context)?;
        let (desk, tenants) = self.desk();
        let tenant = tenants.get_mut(context).expect("it was just found");
        let cycle = desk.frame(&tenant.context);
        Ok(task::call(&cycle, &mut tenant.tokens, request))
    }

    /// Runs every approved tenant by itself, each in its own thread, until `pace` ends it: so a tenant that takes long
    /// holds no other up.
    pub fn run_each(&mut self, pace: &dyn Pace) {
        let (desk, tenants) = self.desk();
        std::thread::scope(|scope| {
            for tenant in tenants.values_mut() {
                let Some(approved) = desk.approvals.since(&desk.application.id, &tenant.context) else {
                    continue;
                };
                scope.spawn(move || {
                    while let Some(next) = desk.schedule.next(approved, tenant.last_began) {
                        if !pace.wait(&tenant.context, next) {
                            break;
                        }
                        if !pace.before(&tenant.context, tenant.source.as_mut()) {
                            break;
                        }
                        let report = desk.cycle(tenant);
                        pace.after(&report);
                    }
                });
            }
        });
    }

    fn run(&mut self, contexts: &[String]) -> Vec<CycleReport> {
        let together = self.together;
        let (desk, tenants) = self.desk();
        let chosen = tenants
            .values_mut()
            .filter(|tenant| contexts.contains(&tenant.context));
        match together {
            Together::OneByOne => chosen.map(|tenant| desk.cycle(tenant)).collect(),
            Together::SideBySide(at_once) => {
                let waiting = Mutex::new(chosen);
                let done = Mutex::new(Vec::new());
                std::thread::scope(|scope| {
                    for _ in 0..at_once.clamp(1, contexts.len().max(1)) {
                        scope.spawn(|| {
                            loop {
                                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                                let Some(tenant) = next else { break };
                                let report = desk.cycle(tenant);
                                done.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                            }
                        });
                    }
                });
                let mut reports = done.into_inner().unwrap_or_else(PoisonError::into_inner);
                reports.sort_by(|a, b| a.context.cmp(&b.context));
                reports
            }
        }
    }

    /// What all cycles share, apart from the tenants.
    fn desk(&mut self) -> (Desk<'_>, &mut BTreeMap<String, Tenant>) {
        let desk = Desk {
            application: &self.application,
            settings: &self.settings,
            filter: self.filter.as_ref(),
            wire_clock: self.wire_clock.as_ref(),
            source_clock: self.source_clock.as_ref(),
            schedule: &self.schedule,
            approvals: &self.approvals,
            log: &self.log,
        };
        (desk, &mut self.tenants)
    }

    fn check(&self, context: &str) -> Result<(), OfficeError> {
        if self.tenants.contains_key(context) {
            return Ok(());
        }
        Err(OfficeError::Unknown {
            given: mirrorlab_protocol::excerpt(context),
            known: self.contexts(),
        })
    }
}

/// When a tenant that runs by itself goes on, and when it ends. Called from each tenant's own thread.
pub trait Pace: Sync {
    /// Waits until `next` on the source's clock, in seconds since 1970 UTC. `false` ends the tenant's cycles.
    fn wait(&self, context: &str, next: i64) -> bool;

    /// Before a cycle, with the tenant's database: business goes on. `false` ends the tenant's cycles.
    fn before(&self, context: &str, source: &mut dyn Source) -> bool {
        let _ = (context, source);
        true
    }

    /// After a cycle, which stands in the event log by now.
    fn after(&self, report: &CycleReport) {
        let _ = report;
    }
}

#[derive(Clone, Copy)]
struct Desk<'a> {
    application: &'a Application,
    settings: &'a Settings,
    filter: &'a dyn TableFilter,
    wire_clock: &'a dyn Clock,
    source_clock: &'a dyn Clock,
    schedule: &'a Schedule,
    approvals: &'a Approvals,
    log: &'a EventLog,
}

impl Desk<'_> {
    /// What a tenant's calls need.
    fn frame<'c>(&'c self, context: &'c str) -> Cycle<'c> {
        Cycle {
            context,
            settings: self.settings,
            application_key: &self.application.key,
            endpoint: self.application.endpoint.as_ref(),
            filter: self.filter,
            wire_clock: self.wire_clock,
            source_clock: self.source_clock,
        }
    }

    /// One tenant's cycle, and its entry in the event log.
    fn cycle(&self, tenant: &mut Tenant) -> CycleReport {
        tenant.last_began = Some(self.source_clock.now());
        let cycle = self.frame(&tenant.context);
        let report = task::run(&cycle, tenant.source.as_mut(), &mut tenant.tokens);
        self.log.add(Entry::of(&report, self.source_clock.now()));
        report
    }
}

#[cfg(test)]
mod tests;
