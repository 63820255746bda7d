//! Who goes first and who gets how much: pure decisions over counts.
//!
//! A step either decodes, one token for each sequence, or computes prompts, apart from what comes along for nothing; how much of
//! them is the [pace](crate::pace)'s affair. By turns the oldest prompt goes first, or those that are short for their age, so that neither a long prompt holds
//! up short ones nor the reverse.

use std::collections::HashMap;
use std::time::Duration;

use crate::request::OwnerId;

/// The order in which waiting requests get a slot: least first.
///
/// Earliest deadline first; among equals the owner who was served fewest tokens; then order of arrival.
pub type Rank = (u128, u64, u64);

/// Deadlines in the same stretch of this length are equal: to the nanosecond no two ever are.
const EQUAL: Duration = Duration::from_secs(1);

/// The rank of a request whose deadline comes `until` after the engine's first step.
pub fn rank(until: Duration, served: u64, arrival: u64) -> Rank {
    (until.as_nanos() / EQUAL.as_nanos(), served, arrival)
}

/// A prompt passes an older one only if it is shorter by more than this for each place between them.
const AGE_TOKENS: usize = 16;

/// A step's prompts may be so large a part of their budget larger, where one is whole then; or by so many tokens, where they
/// are not doubled. What they take too long is taken off the next time.
const OVERRUN: usize = 4;
/// So many tokens, but none of a prompt that is computed in pieces already: behind a long history each of them is dear.
pub const SMALL_REST: usize = 24;

/// A piece that leaves a rest behind is worth a step from so many tokens on, where the time is only what others left: a step
/// more is a pass over the weights, which takes as long as about eight.
pub const WORTH_A_STEP: usize = 32;

/// The order in which prompts that still need `remaining` tokens each, oldest first, are computed: those that are short for
/// their age, but with `oldest_first` the oldest before all others. Those that need nothing are left out.
pub fn order(remaining: &[usize], oldest_first: bool) -> Vec<usize> {
    let Some(oldest) = remaining.iter().position(|tokens| *tokens > 0) else { return Vec::new() };
    let mut order: Vec<usize> = (oldest..remaining.len()).filter(|index| remaining[*index] > 0).collect();
    order.sort_by_key(|index| (!(oldest_first && *index == oldest), remaining[*index] + index * AGE_TOKENS));
    order
}

/// Spreads about `budget` tokens over prompts that still need `remaining` tokens each, in this order, at most `room` in all.
/// Returns tokens for each.
///
/// A prompt's rest costs a step more. So one that would leave little behind is taken whole.
pub fn chunks(remaining: &[usize], order: &[usize], budget: usize, room: usize, small_rest: usize) -> Vec<usize> {
    let mut given = vec![0; remaining.len()];
    let (mut left, mut room) = (budget.min(room), room);
    for &index in order {
        let rest = remaining[index].saturating_sub(left);
        let whole = left > 0 && rest <= (budget / OVERRUN).max(left.min(small_rest));
        given[index] = remaining[index].min(if whole { room } else { left });
        room -= given[index];
        left = left.saturating_sub(given[index]);
    }
    given
}

/// Tokens served to each owner lately, for fairness among equal deadlines.
#[derive(Clone, Debug, Default)]
pub struct Served {
    tokens: HashMap<OwnerId, u64>,
    /// Since all were halved.
    since: u64,
}

/// Owners remembered at most.
const MOST_OWNERS: usize = 4096;
/// After so many tokens all that was served before counts half.
const HALF_LIFE: u64 = 100_000;

impl Served {
    /// An owner got so many tokens.
    pub fn add(&mut self, owner: OwnerId, tokens: usize) {
        *self.tokens.entry(owner).or_default() += tokens as u64;
        self.since += tokens as u64;
        if self.since >= HALF_LIFE {
            self.since = 0;
            self.halve(0);
        }
        if self.tokens.len() > MOST_OWNERS {
            self.halve(self.tokens.values().sum::<u64>() / self.tokens.len() as u64 / 2);
        }
    }

    /// Those who keep no more than this are forgotten.
    fn halve(&mut self, least: u64) {
        self.tokens.retain(|_, tokens| {
            *tokens /= 2;
            *tokens > least
        });
    }

    /// Tokens an owner got lately.
    pub fn of(&self, owner: OwnerId) -> u64 {
        self.tokens.get(&owner).copied().unwrap_or(0)
    }

    /// Forgets an owner.
    pub fn forget(&mut self, owner: OwnerId) {
        self.tokens.remove(&owner);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(remaining: &[usize], budget: usize, room: usize, oldest_first: bool) -> Vec<usize> {
        chunks(remaining, &order(remaining, oldest_first), budget, room, SMALL_REST)
    }

    #[test]
    fn short_prompts_pass_a_long_one_unless_it_is_its_turn() {
        assert_eq!(given(&[1500, 20, 30], 100, 512, false), [50, 20, 30]);
        assert_eq!(given(&[1500, 20, 30], 100, 512, true), [100, 0, 0]);
        assert_eq!(given(&[1500, 200, 30], 100, 512, false), [0, 70, 30], "what is short for its age");
        assert_eq!(given(&[0, 10, 500], 40, 512, false), [0, 10, 30]);
        assert_eq!(given(&[5, 0], 40, 512, true), [5, 0]);
        assert!(given(&[], 9, 512, true).is_empty());
        assert_eq!(order(&[0, 1500, 20, 0, 30], false), [2, 4, 1]);
        assert_eq!(order(&[0, 1500, 20, 0, 30], true), [1, 2, 4]);
    }

    #[test]
    fn no_small_rest_is_left_for_another_step() {
        assert_eq!(given(&[30, 32], 50, 512, true), [30, 32]);
        assert_eq!(given(&[30, 60], 50, 512, true), [30, 20]);
        assert_eq!(given(&[30, 32], 50, 60, true), [30, 30], "the batch has no room for more");
        assert_eq!(given(&[50, 10], 50, 512, true), [50, 0]);
    }

    #[test]
    fn served_tokens_are_remembered_for_a_bounded_number_of_owners() {
        let mut served = Served::default();
        for owner in 0..20_000 {
            served.add(OwnerId(owner), 10);
        }
        served.add(OwnerId(5), 70);
        assert!(served.tokens.len() <= MOST_OWNERS);
        assert!(served.of(OwnerId(5)) >= 35 && served.of(OwnerId(99_999)) == 0);
        served.forget(OwnerId(5));
        assert_eq!(served.of(OwnerId(5)), 0);
    }

    #[test]
    fn what_was_served_long_ago_counts_less() {
        let mut served = Served::default();
        served.add(OwnerId(1), 1000);
        served.add(OwnerId(2), HALF_LIFE as usize);
        assert_eq!(served.of(OwnerId(1)), 500);
    }

    #[test]
    fn within_a_second_who_was_served_less_goes_first() {
        let ms = Duration::from_millis;
        assert!(rank(ms(60_010), 500, 1) > rank(ms(60_900), 20, 2));
        assert!(rank(ms(60_010), 20, 1) < rank(ms(60_900), 20, 2), "then who came first");
        assert!(rank(ms(60_010), 500, 1) < rank(ms(61_900), 20, 2));
    }

    proptest! {
        #[test]
        fn the_budget_is_used_up_and_hardly_overrun(remaining in prop::collection::vec(0_usize..400, 0..40), budget in 0_usize..600, more in 0_usize..100, oldest_first: bool) {
            let room = budget + more;
            let given = given(&remaining, budget, room, oldest_first);
            prop_assert!(given.iter().zip(&remaining).all(|(given, remaining)| given <= remaining));
            let sum = given.iter().sum::<usize>();
            prop_assert!(sum >= budget.min(remaining.iter().sum()) && sum <= room.min(budget + (budget / OVERRUN).max(budget.min(SMALL_REST))));
            if let Some(oldest) = remaining.iter().position(|tokens| *tokens > 0) && oldest_first {
                prop_assert!(given[oldest] >= remaining[oldest].min(budget));
            }
        }
    }
}
