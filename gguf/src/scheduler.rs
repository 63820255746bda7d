//! Who computes how much in the next step: pure decisions over counts and measured times.
//!
//! Decoding sequences go first, one token each. Prefill then gets what the inter-token target leaves: a long history
//! is spread over many steps, and nobody else's answer stalls. Of that, the oldest prompt gets a quarter at least, and
//! the shortest ones the rest, so that neither a long prompt holds up short ones nor the reverse.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::request::OwnerId;

/// The order in which waiting requests get a slot: least first.
///
/// Earliest deadline first; among equals the owner who was served fewest tokens; then order of arrival.
pub type Rank = (Instant, u64, u64);

/// Spreads `budget` tokens over prompts that still need `remaining` tokens each, oldest first. Returns tokens for each.
pub fn chunks(remaining: &[usize], budget: usize) -> Vec<usize> {
    let mut given = vec![0; remaining.len()];
    let mut left = budget;
    let Some(oldest) = remaining.iter().position(|tokens| *tokens > 0) else { return given };
    let mut give = |index: usize, most: usize, left: &mut usize| {
        let tokens = (remaining[index] - given[index]).min(most).min(*left);
        given[index] += tokens;
        *left -= tokens;
    };
    give(oldest, budget.div_ceil(4), &mut left);
    let mut shortest: Vec<usize> = (0..remaining.len()).collect();
    shortest.sort_by_key(|index| remaining[*index]);
    for index in shortest {
        give(index, usize::MAX, &mut left);
    }
    given
}

/// How long steps take, learnt while they are made, and the prefill that the inter-token target allows.
#[derive(Clone, Debug)]
pub struct Pace {
    target: f64,
    most: usize,
    /// Seconds of a step that only decodes, by the number of rows' power of two.
    decode: [Option<f64>; 10],
    /// Seconds that one prefill token adds.
    token: Option<f64>,
}

/// Fewest prefill tokens of a step that has any to do: progress is certain, however slow the machine.
const LEAST_PREFILL: usize = 8;

impl Pace {
    /// Nothing learnt yet. `target` is the gap between two tokens of one answer to aim at, `most` a batch's tokens.
    pub fn new(target: Duration, most: usize) -> Self {
        Self { target: target.as_secs_f64(), most, decode: [None; 10], token: None }
    }

    /// A step computed `rows` decoded tokens and `prefill` prompt tokens.
    pub fn observe(&mut self, rows: usize, prefill: usize, elapsed: Duration) {
        let elapsed = elapsed.as_secs_f64();
        let known = self.decode_time(rows);
        if prefill == 0 {
            learn(&mut self.decode[bucket(rows)], elapsed);
        } else if let Some(decode) = known {
            // An odd measurement must neither make prefill free nor stop it.
            let token = (elapsed - decode).max(elapsed * 0.1) / prefill as f64;
            learn(&mut self.token, token);
        } else {
            learn(&mut self.token, elapsed / (rows + prefill) as f64);
        }
    }

    /// Prompt tokens to compute in a step that decodes `rows` tokens.
    ///
    /// They may take what the target leaves beside decoding, but never much longer than decoding itself: the gaps of
    /// those who decode stay alike. With nobody decoding a chunk may take four targets.
    pub fn prefill(&self, rows: usize) -> usize {
        let room = self.most.saturating_sub(rows);
        let Some(token) = self.token else { return room.min(if rows == 0 { self.most } else { self.most / 8 }) };
        let seconds = match (rows, self.decode_time(rows)) {
            (0, _) => self.target * 4.0,
            (_, None) => self.target / 2.0,
            (_, Some(decode)) => (self.target - decode).clamp(decode * 0.4, (decode * 1.5).max(self.target * 0.25)),
        };
        let tokens = (seconds / token.max(1e-9)) as usize;
        tokens.clamp(LEAST_PREFILL, self.most).min(room)
    }

    fn decode_time(&self, rows: usize) -> Option<f64> {
        if rows == 0 {
            return Some(0.0);
        }
        let bucket = bucket(rows);
        self.decode[bucket].or_else(|| (0..bucket).rev().find_map(|smaller| self.decode[smaller]))
    }
}

fn bucket(rows: usize) -> usize {
    (rows.max(1).ilog2() as usize).min(9)
}

fn learn(value: &mut Option<f64>, sample: f64) {
    let old = value.unwrap_or(sample);
    *value = Some(old + (sample - old) * 0.2);
}

/// Tokens served to each owner lately, for fairness among equal deadlines.
#[derive(Clone, Debug, Default)]
pub struct Served(HashMap<OwnerId, u64>);

/// Owners remembered at most.
const MOST_OWNERS: usize = 4096;

impl Served {
    /// An owner got so many tokens.
    pub fn add(&mut self, owner: OwnerId, tokens: usize) {
        *self.0.entry(owner).or_default() += tokens as u64;
        if self.0.len() > MOST_OWNERS {
            let mean = self.0.values().sum::<u64>() / self.0.len() as u64;
            self.0.retain(|_, tokens| {
                *tokens /= 2;
                *tokens > mean / 2
            });
        }
    }

    /// Tokens an owner got lately.
    pub fn of(&self, owner: OwnerId) -> u64 {
        self.0.get(&owner).copied().unwrap_or(0)
    }

    /// Forgets an owner.
    pub fn forget(&mut self, owner: OwnerId) {
        self.0.remove(&owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_prompts_pass_a_long_one_that_keeps_a_quarter() {
        assert_eq!(chunks(&[1500, 20, 30], 100), [50, 20, 30]);
        assert_eq!(chunks(&[1500, 200, 30], 100), [25, 45, 30]);
        assert_eq!(chunks(&[0, 10, 500], 40), [0, 10, 30]);
        assert_eq!(chunks(&[5, 0], 40), [5, 0]);
        assert!(chunks(&[], 9).is_empty());
    }

    #[test]
    fn prefill_takes_what_the_target_leaves_once_the_costs_are_known() {
        let mut pace = Pace::new(Duration::from_millis(100), 512);
        assert_eq!(pace.prefill(0), 512);
        for _ in 0..50 {
            pace.observe(8, 0, Duration::from_millis(30));
            pace.observe(0, 100, Duration::from_millis(100));
        }
        assert_eq!(pace.prefill(0), 400);
        assert_eq!(pace.prefill(8), 45, "one and a half times decoding, not all of the 70 ms left");
        for _ in 0..50 {
            pace.observe(32, 0, Duration::from_millis(90));
        }
        assert_eq!(pace.prefill(32), 36, "prefill goes on where decoding alone fills the target");
    }

    #[test]
    fn a_slow_machine_still_makes_progress() {
        let mut pace = Pace::new(Duration::from_millis(10), 64);
        pace.observe(4, 0, Duration::from_secs(2));
        pace.observe(4, 10, Duration::from_secs(90));
        assert!(pace.prefill(4) >= LEAST_PREFILL);
    }

    #[test]
    fn served_tokens_are_remembered_for_a_bounded_number_of_owners() {
        let mut served = Served::default();
        for owner in 0..20_000 {
            served.add(OwnerId(owner), 10);
        }
        served.add(OwnerId(5), 70);
        assert!(served.0.len() <= MOST_OWNERS);
        assert!(served.of(OwnerId(5)) >= 70 && served.of(OwnerId(99_999)) == 0);
        served.forget(OwnerId(5));
        assert_eq!(served.of(OwnerId(5)), 0);
    }

    proptest! {
        #[test]
        fn the_budget_is_kept_and_used_up(remaining in prop::collection::vec(0_usize..400, 0..40), budget in 0_usize..600) {
            let given = chunks(&remaining, budget);
            prop_assert!(given.iter().zip(&remaining).all(|(given, remaining)| given <= remaining));
            prop_assert_eq!(given.iter().sum::<usize>(), budget.min(remaining.iter().sum()));
            if let Some(oldest) = remaining.iter().position(|tokens| *tokens > 0) {
                prop_assert!(given[oldest] >= remaining[oldest].min(budget.div_ceil(4)));
            }
        }

        #[test]
        fn prefill_never_overruns_the_batch(steps in prop::collection::vec((0_usize..70, 0_usize..70, 0_u64..1_000_000), 0..60), rows in 0_usize..64) {
            let mut pace = Pace::new(Duration::from_millis(50), 64);
            for (rows, prefill, micros) in steps {
                if rows + prefill > 0 {
                    pace.observe(rows, prefill, Duration::from_micros(micros));
                }
            }
            let prefill = pace.prefill(rows);
            prop_assert!(prefill + rows <= 64 && prefill >= LEAST_PREFILL.min(64 - rows));
        }
    }
}
