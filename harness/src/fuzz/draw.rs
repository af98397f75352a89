//! Histories, drawn: a state machine over the scenario's steps, with weights.
//!
//! What is drawn next hangs on what the history has come to, so that most steps make sense; rows, keys and values are
//! drawn here and written into the steps, so that a step means the same when others are taken away.
//!
//! - `calls`: calls written out
//! - `shape`: tables and columns
//! - `steps`: the steps

mod calls;
mod shape;
mod steps;

use mirrorlab_simulator::draw::{pick, seeded};
use rand_chacha::ChaCha8Rng;

use self::shape::Flavour;
use super::foresee::{Foreseen, View, bare};
use crate::run::needs;
use crate::run::world::WorldSettings;
use crate::scenario::model::{
    CertificateStrategy, ONLY_TENANT, QuietTables, Repopulate, Scenario, ServerSettings, Settings, Step,
    StepKind, Tenant,
};
use crate::scenario::place::At;

/// A drawn history: a scenario, and what each of its steps must come to.
#[derive(Debug, Clone)]
pub struct History {
    /// With its expectations.
    pub scenario: Scenario,
    /// One for each step.
    pub foreseen: Vec<Foreseen>,
}

impl History {
    /// How many cycles it runs, if it runs to its end.
    pub fn cycles(&self) -> u64 {
        self.foreseen.iter().map(|f| f.cycles).sum()
    }
}

/// The number of a case's own seed.
pub fn case_seed(seed: u64, case: u64) -> u64 {
    use rand::Rng as _;
    seeded(seed, &["fuzz", &case.to_string()]).next_u64()
}

/// Draws the history of a case.
pub fn history(seed: u64, case: u64) -> History {
    drawn(seed, case, None)
}

/// Draws the history of a case out of what worlds with these settings make possible.
pub fn history_possible(seed: u64, case: u64, world: &WorldSettings) -> History {
    drawn(seed, case, Some(world.clone()))
}

fn drawn(seed: u64, case: u64, world: Option<WorldSettings>) -> History {
    let rng = ChaCha8RngOf(case_seed(seed, case)).into_rng();
    let mut drawer = Drawer::new(rng, seed, case, world);
    drawer.run();
    drawer.finish()
}

struct ChaCha8RngOf(u64);

impl ChaCha8RngOf {
    fn into_rng(self) -> ChaCha8Rng {
        seeded(self.0, &["history"])
    }
}

struct Drawer {
    rng: ChaCha8Rng,
    flavour: Flavour,
    scenario: Scenario,
    view: View,
    foreseen: Vec<Foreseen>,
    /// Where not all is possible, what limits it.
    world: Option<WorldSettings>,
    /// Columns and backups so far: their names are drawn once.
    names: u32,
}

impl Drawer {
    fn new(mut rng: ChaCha8Rng, seed: u64, case: u64, world: Option<WorldSettings>) -> Drawer {
        let flavour = Flavour::draw(&mut rng);
        let tenants = tenants(&mut rng, flavour);
        let mut scenario = Scenario {
            file: "".into(),
            text: "".into(),
            id: bare(format!("fuzz-{seed}-{case}")),
            title: bare("A drawn history".into()),
            cites: bare("every property of `mirrorlab fuzz`".into()),
            settings: settings(&mut rng, flavour),
            seed: None,
            tenants,
            steps: Vec::new(),
        };
        if !is_possible(&scenario, world.as_ref()) {
            scenario.settings.server = ServerSettings::default();
        }
        let view = View::new(&scenario).expect("drawn tables have written rows with a whole number as key");
        Drawer {
            rng,
            flavour,
            scenario,
            view,
            foreseen: Vec::new(),
            world,
            names: 0,
        }
    }

    /// Adds a step, if it makes sense where it stands.
    fn push(&mut self, tenant: Option<&str>, kind: StepKind) -> bool {
        let several = self.view.tenants.len() > 1;
        let step = Step {
            at: At::default(),
            tenant: tenant.filter(|_| several).map(|t| bare(t.to_owned())),
            kind,
        };
        if !self.is_possible(&step) {
            return false;
        }
        match self.view.step(&step) {
            Some(foreseen) => {
                self.foreseen.push(foreseen);
                true
            }
            None => false,
        }
    }

    /// Whether the world has what a step needs.
    fn is_possible(&self, step: &Step) -> bool {
        let Some(world) = &self.world else {
            return true;
        };
        // What nobody can look at proves nothing.
        if world.mirrors.is_none() && matches!(step.kind, StepKind::MirrorSql { .. }) {
            return false;
        }
        let before = self.foreseen.iter().map(|f| f.step.clone());
        let scenario = Scenario {
            steps: before.chain([step.clone()]).collect(),
            ..self.scenario.clone()
        };
        is_possible(&scenario, Some(world))
    }

    fn finish(self) -> History {
        // A trouble that never struck proves nothing, and the runner says so.
        let view = self.view;
        let used = |f: &Foreseen| f.trouble.is_none_or(|t| !view.is_unused(t));
        let mut scenario = self.scenario;
        scenario.steps = self
            .foreseen
            .iter()
            .filter(|f| used(f))
            .map(|f| f.step.clone())
            .collect();
        super::foresee_all(&scenario).expect("what was foreseen once is foreseen again")
    }
}

fn is_possible(scenario: &Scenario, world: Option<&WorldSettings>) -> bool {
    world.is_none_or(|world| needs::why_not(scenario, world).is_empty())
}

fn tenants(rng: &mut ChaCha8Rng, flavour: Flavour) -> Vec<Tenant> {
    let count = match pick::below(rng, 20) {
        0..=14 => 1,
        15..=18 => 2,
        _ => 3,
    };
    let count = if flavour == Flavour::ManyTables { 1 } else { count };
    let mut tables = shape::first_tables(rng, flavour);
    let mut tenants = Vec::new();
    for at in 0..count {
        // Tenants that look alike and are not the same are those that are mixed up.
        if at > 0 {
            if pick::chance(rng, 300) {
                tables = shape::first_tables(rng, flavour);
            } else {
                shape::redraw_rows(rng, &mut tables, flavour);
            }
        }
        let context = match count {
            1 => ONLY_TENANT.to_owned(),
            _ => format!("Cust1000{}", at + 1),
        };
        tenants.push(Tenant {
            context: bare(context),
            approved: count == 1 || pick::chance(rng, 900),
            tables: tables.clone(),
        });
    }
    tenants
}

fn settings(rng: &mut ChaCha8Rng, flavour: Flavour) -> Settings {
    let mut settings = Settings::default();
    if pick::chance(rng, 150) {
        settings.batch_size = Some(*pick::one(rng, &[1000, 1500, 3000]));
    }
    if pick::chance(rng, 120) {
        settings.share_calls = Some(true);
    }
    if pick::chance(rng, 250) {
        settings.repopulate = Some(Repopulate::OnlyAhead);
    }
    if pick::chance(rng, 250) {
        settings.quiet_tables = Some(QuietTables::Refresh);
    }
    settings.server = ServerSettings {
        drop_guard: (flavour == Flavour::ManyTables && pick::chance(rng, 750)).then_some(true),
        refuse_replays: pick::chance(rng, 120).then_some(true),
        do_not_replicate: None,
        certificates: pick::chance(rng, 80).then_some(CertificateStrategy::Resolver),
        clock_skew: None,
    };
    settings
}
