//! Several tenants, their approvals, their times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::endpoint::{OutgoingCall, Reply, TransportError};
use crate::event_log::Level;
use crate::task::EveryTable;
use crate::testing::{APPLICATION, FakeEndpoint, FakeSource, NOW, answer, application_key, authority};
use mirrorlab_protocol::message::Response;
use mirrorlab_protocol::names::Operation;

struct World {
    office: Office,
    endpoint: Arc<FakeEndpoint>,
    clock: Arc<ManualClock>,
}

fn world(together: Together, tenants: &[&str]) -> World {
    let endpoint = Arc::new(FakeEndpoint::default());
    let clock = Arc::new(ManualClock::new(NOW));
    let mut office = Office::new(OfficeParts {
        application: Application {
            id: APPLICATION.into(),
            key: application_key().public(),
            endpoint: endpoint.clone(),
        },
        authority: authority(),
        seed: 5,
        settings: Settings::default(),
        filter: Arc::new(EveryTable),
        wire_clock: Arc::new(ManualClock::new(NOW)),
        source_clock: clock.clone(),
        schedule: Schedule::default(),
        log: Arc::new(EventLog::default()),
        together,
    });
    for (at, context) in tenants.iter().enumerate() {
        let source = FakeSource::new(&[("contact", 3 + at as i64), ("person", 2)]);
        office.add_tenant(context, Box::new(source)).unwrap();
    }
    World {
        office,
        endpoint,
        clock,
    }
}

fn names(reports: &[CycleReport]) -> Vec<&str> {
    reports.iter().map(|report| report.context.as_str()).collect()
}

#[test]
fn the_first_cycle_follows_the_approval_and_none_the_withdrawal() {
    let mut world = world(Together::OneByOne, &["Cust10001", "Cust10002"]);
    assert!(world.office.run_due().is_empty());
    assert_eq!(world.office.next(), None);
    assert_eq!(world.office.approve("Cust10002"), Ok(true));
    assert_eq!(world.office.approve("Cust10002"), Ok(false));
    assert_eq!(world.office.next(), Some(NOW));
    assert_eq!(names(&world.office.run_due()), ["Cust10002"]);
    assert!(world.office.run_due().is_empty(), "the next is due in 20 minutes");
    assert_eq!(world.office.next(), Some(NOW + 1200));
    let reports = world.office.advance(&world.clock, NOW + 3600);
    assert_eq!(
        reports.iter().map(|r| r.started - NOW).collect::<Vec<_>>(),
        [1200, 2400, 3600]
    );
    assert_eq!(world.office.withdraw("Cust10002"), Ok(true));
    assert!(world.office.advance(&world.clock, NOW + 7200).is_empty());
    assert_eq!(world.clock.now(), NOW + 7200);
    assert!(world.office.run_now(&["Cust10002"]).unwrap().is_empty());
    // Approved anew, it comes at once.
    world.office.approve("Cust10002").unwrap();
    assert_eq!(names(&world.office.run_due()), ["Cust10002"]);
    assert!(world.endpoint.tables("Cust10001").is_empty());
}

#[test]
fn a_night_on_the_clock() {
    let mut world = world(Together::OneByOne, &["Cust10001"]);
    world.office.approve("Cust10001").unwrap();
    // From 09:00 in Oslo, for a day: 72 times 20 minutes and the one at the start, less what the pause took.
    let reports = world.office.advance(&world.clock, NOW + 86_400);
    assert_eq!(reports.len(), 73 - 4);
    assert!(reports.iter().all(CycleReport::is_success));
    let entries = world.office.log().entries();
    assert_eq!(entries.len(), reports.len());
    assert!(entries.iter().all(|entry| entry.level == Level::Information));
    let longest = reports
        .windows(2)
        .map(|pair| pair[1].started - pair[0].started)
        .max();
    assert_eq!(longest, Some(90 * 60 + 600), "01:20 to 03:00");
}

#[test]
fn one_of_three_fails_and_the_others_do_not_mind() {
    for together in [
        Together::OneByOne,
        Together::SideBySide(3),
        Together::SideBySide(2),
    ] {
        let contexts = ["Cust10001", "Cust10002", "Cust10003"];
        let mut world = world(together, &contexts);
        for context in contexts {
            world.office.approve(context).unwrap();
        }
        world.endpoint.script(|call: &OutgoingCall, _| {
            (call.context == "Cust10002" && call.operation == Operation::RowData)
                .then(|| Ok(answer(&Response::refusal(Operation::RowData, "no room"))))
        });
        let reports = world.office.run_due();
        assert_eq!(names(&reports), contexts);
        assert_eq!(
            reports.iter().map(CycleReport::is_success).collect::<Vec<_>>(),
            [true, false, true]
        );
        let entry = world.office.log().last_of("Cust10002").unwrap();
        assert_eq!((entry.level, entry.time), (Level::Error, NOW));
        assert_eq!(
            entry.text,
            "Mirroring failed: RowData of contact was refused: no room"
        );
        assert_eq!(world.endpoint.tables("Cust10003")["contact"].rows.len(), 5);
    }
}

#[test]
fn side_by_side_each_tenant_sends_what_it_sends_alone() {
    let sent = |together| {
        let contexts = ["Cust10001", "Cust10002", "Cust10003", "Cust10004"];
        let mut world = world(together, &contexts);
        contexts
            .iter()
            .for_each(|context| drop(world.office.approve(context)));
        assert!(world.office.run_due().iter().all(CycleReport::is_success));
        let mut by_tenant: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for call in world.endpoint.take_calls() {
            by_tenant.entry(call.context).or_default().push(call.body);
        }
        by_tenant
    };
    assert_eq!(sent(Together::OneByOne), sent(Together::SideBySide(8)));
}

/// Counts the calls of each tenant that are under way at once.
struct Crowd {
    inner: Arc<FakeEndpoint>,
    under_way: Mutex<BTreeMap<String, usize>>,
    most: AtomicUsize,
}

impl Endpoint for Crowd {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let enter = |by: isize| {
            let mut under_way = self.under_way.lock().unwrap();
            let count = under_way.entry(call.context.clone()).or_default();
            *count = count.checked_add_signed(by).unwrap();
            self.most.fetch_max(*count, Ordering::SeqCst);
        };
        enter(1);
        std::thread::yield_now();
        let reply = self.inner.call(call);
        enter(-1);
        reply
    }
}

/// Three cycles for each tenant, without waiting.
struct ThreeTimes(Mutex<BTreeMap<String, u32>>);

impl Pace for ThreeTimes {
    fn wait(&self, context: &str, _next: i64) -> bool {
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(context.to_owned()).or_default();
        *count += 1;
        *count <= 3
    }

    fn before(&self, _context: &str, source: &mut dyn Source) -> bool {
        source.set_tracking("contact", false).is_ok()
    }
}

#[test]
fn each_by_itself_and_never_two_calls_at_once_for_one_tenant() {
    let contexts = ["Cust10001", "Cust10002", "Cust10003"];
    let mut world = world(Together::SideBySide(3), &contexts);
    let crowd = Arc::new(Crowd {
        inner: world.endpoint.clone(),
        under_way: Mutex::default(),
        most: AtomicUsize::new(0),
    });
    world.office.application().endpoint = crowd.clone();
    world.office.approve("Cust10001").unwrap();
    world.office.approve("Cust10003").unwrap();
    world.office.run_each(&ThreeTimes(Mutex::default()));
    let entries = world.office.log().entries();
    assert_eq!(entries.len(), 6);
    assert!(
        entries.iter().all(
            |e| e.level == Level::Information && e.text.contains("1 wiped") != e.text.contains("2 wiped")
        )
    );
    assert_eq!(crowd.most.load(Ordering::SeqCst), 1);
    assert!(world.endpoint.tables("Cust10002").is_empty());
}

#[test]
fn tenants_are_known_by_name() {
    let mut world = world(Together::OneByOne, &["Cust10001"]);
    let source = || Box::new(FakeSource::new(&[]));
    let texts = [
        world.office.approve("Cust1").unwrap_err().to_string(),
        world.office.run_now(&["Cust10001", "x"]).unwrap_err().to_string(),
        world
            .office
            .add_tenant("Cust10001", source())
            .unwrap_err()
            .to_string(),
        world.office.add_tenant("../x", source()).unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
there is no tenant `Cust1`; there are Cust10001
there is no tenant `x`; there are Cust10001
there is a tenant `Cust10001` already
`../x` is no tenant's name: 1 to 64 letters, digits, `-` or `_`, such as Cust10001
"#);
}

#[test]
fn a_spoiled_token_is_one_tenant_s() {
    let mut world = world(Together::OneByOne, &["Cust10001", "Cust10002"]);
    for context in ["Cust10001", "Cust10002"] {
        world.office.approve(context).unwrap();
    }
    world
        .office
        .spoil_tokens("Cust10002", TokenDefect::WrongKey, Some(1))
        .unwrap();
    let reports = world.office.run_due();
    assert_eq!(
        reports.iter().map(CycleReport::is_success).collect::<Vec<_>>(),
        [true, false]
    );
    let again = world.office.run_now(&["Cust10002"]).unwrap();
    assert!(again[0].is_success());
}
