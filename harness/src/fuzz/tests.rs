use super::case::{self, Ground, Ran};
use super::draw;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;

fn ground(dir: &std::path::Path) -> Ground {
    Ground {
        keys: RunKeys::fixed().unwrap(),
        transport: Transport::InProcess,
        dir: dir.to_owned(),
        keep: false,
    }
}

#[test]
fn drawn_histories_hold() {
    let cases: u64 = std::env::var("MIRRORLAB_FUZZ_CASES").map_or(60, |n| n.parse().unwrap());
    let from: u64 = std::env::var("MIRRORLAB_FUZZ_FROM").map_or(0, |n| n.parse().unwrap());
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let ground = ground(dir.path());
    let mut cycles = 0;
    for case in from..from + cases {
        let history = draw::history(1, case);
        cycles += history.cycles();
        match case::run(&history, &ground) {
            Ran::Held => {}
            Ran::Failed(broken) => {
                println!("{}", crate::scenario::emit::emit(&history.scenario));
                panic!("case {case}: {:?}\n{}", broken.property, broken.failure.text());
            }
            Ran::Stuck(why) => {
                println!("{}", crate::scenario::emit::emit(&history.scenario));
                panic!("case {case}: {why}")
            }
        }
    }
    println!("{cycles} cycles");
}
