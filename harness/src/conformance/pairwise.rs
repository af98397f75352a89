//! Values combined pairwise: every two values of two different factors meet in at least one case.

use mirrorlab_simulator::draw::pick::index;
use mirrorlab_simulator::draw::seeded;

/// The seed that cases are drawn from: the same cases in every run.
const SEED: u64 = 2026;
/// How many cases are drawn for each that is taken.
const DRAWS: usize = 30;

/// Cases over factors with so many values each; a case has a value's index for each factor. Greedy: each case taken
/// is, of several drawn, one that has most pairs not met yet.
pub fn pairwise(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut rng = seeded(SEED, &["pairwise"]);
    let mut open = std::collections::BTreeSet::new();
    for a in 0..sizes.len() {
        for b in a + 1..sizes.len() {
            for x in 0..sizes[a] {
                for y in 0..sizes[b] {
                    open.insert((a, x, b, y));
                }
            }
        }
    }
    let mut cases = Vec::new();
    while let Some(&(a, x, b, y)) = open.first() {
        let mut best: (usize, Vec<usize>) = (0, Vec::new());
        for _ in 0..DRAWS {
            let mut case: Vec<usize> = sizes.iter().map(|size| index(&mut rng, *size)).collect();
            // So that every case meets at least this pair.
            case[a] = x;
            case[b] = y;
            let met = pairs(&case).filter(|pair| open.contains(pair)).count();
            if met > best.0 {
                best = (met, case);
            }
        }
        for pair in pairs(&best.1) {
            open.remove(&pair);
        }
        cases.push(best.1);
    }
    cases
}

fn pairs(case: &[usize]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..case.len()).flat_map(move |a| (a + 1..case.len()).map(move |b| (a, case[a], b, case[b])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_meets_and_cases_are_few() {
        let sizes = [7, 2, 3, 3, 3];
        let cases = pairwise(&sizes);
        for a in 0..sizes.len() {
            for b in a + 1..sizes.len() {
                for x in 0..sizes[a] {
                    for y in 0..sizes[b] {
                        assert!(cases.iter().any(|c| c[a] == x && c[b] == y), "{a}={x} {b}={y}");
                    }
                }
            }
        }
        // All combinations are 378; the two largest factors alone ask for 21.
        assert!(cases.len() <= 32, "{}", cases.len());
        assert_eq!(cases, pairwise(&sizes), "the same in every run");
    }
}
