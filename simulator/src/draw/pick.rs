//! The draws everything is made of.
//!
//! They are written out here and not taken from `rand`'s distributions, whose draws may change from one release to the
//! next: a seed is promised to give the same data for ever.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A number from 0 to `n` - 1; 0 where `n` is 0.
pub fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let wide = u128::from(rng.next_u64()) * u128::from(n);
    u64::try_from(wide >> 64).expect("the product of two 64-bit numbers has 64 bits above the lower 64")
}

/// A position in something of `len` elements.
pub fn index(rng: &mut ChaCha8Rng, len: usize) -> usize {
    usize::try_from(below(rng, len as u64)).expect("it is below a usize")
}

/// A number from `low` to `high`, both possible.
pub fn between(rng: &mut ChaCha8Rng, low: i64, high: i64) -> i64 {
    let span = high.wrapping_sub(low).cast_unsigned();
    let offset = if span == u64::MAX {
        rng.next_u64()
    } else {
        below(rng, span + 1)
    };
    low.wrapping_add(offset.cast_signed())
}

/// Whether something with `per_mille` chances in a thousand happens.
pub fn chance(rng: &mut ChaCha8Rng, per_mille: u32) -> bool {
    below(rng, 1000) < u64::from(per_mille)
}

/// One of the elements, of which there must be one.
pub fn one<'t, T>(rng: &mut ChaCha8Rng, from: &'t [T]) -> &'t T {
    &from[index(rng, from.len())]
}

/// Puts the elements in any order.
pub fn shuffle<T>(rng: &mut ChaCha8Rng, elements: &mut [T]) {
    for last in (1..elements.len()).rev() {
        elements.swap(last, index(rng, last + 1));
    }
}

/// `count` different numbers below `n`, in rising order; all of them where `n` is smaller.
pub fn distinct(rng: &mut ChaCha8Rng, n: u64, count: u64) -> Vec<u64> {
    let count = count.min(n);
    // Robert Floyd's sample: one draw for each, whatever `n` is.
    let mut chosen = std::collections::BTreeSet::new();
    for top in n - count..n {
        let drawn = below(rng, top + 1);
        if !chosen.insert(drawn) {
            chosen.insert(top);
        }
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn draws_stay_in_their_bounds_and_reach_them() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let seen: std::collections::BTreeSet<i64> = (0..1000).map(|_| between(rng, -2, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        assert_eq!(below(rng, 0), 0);
        let halves: Vec<bool> = (0..64).map(|_| between(rng, i64::MIN, i64::MAX) < 0).collect();
        assert!(halves.contains(&true) && halves.contains(&false));
        assert!((0..100).all(|_| !chance(rng, 0)));
        assert!((0..100).all(|_| chance(rng, 1000)));
    }

    #[test]
    fn distinct_numbers_are_distinct() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        for (n, count) in [(0, 0), (0, 5), (1, 1), (10, 10), (10, 3), (1_000_000, 50)] {
            let drawn = distinct(rng, n, count);
            assert_eq!(drawn.len() as u64, count.min(n));
            assert!(drawn.is_sorted_by(|a, b| a < b));
            assert!(drawn.iter().all(|x| *x < n));
        }
    }

    #[test]
    fn a_seed_is_a_promise() {
        let rng = &mut ChaCha8Rng::seed_from_u64(42);
        let drawn: Vec<u64> = (0..5).map(|_| below(rng, 1000)).collect();
        assert_eq!(drawn, [681, 950, 427, 627, 288]);
    }
}
