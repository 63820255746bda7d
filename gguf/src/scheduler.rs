//! Who computes how much in the next step: pure decisions over counts and measured times.
//!
//! Decoding sequences go first, one token each. Prefill then gets what the inter-token target leaves: a long history
//! is spread over many steps, and nobody else's answer stalls. By turns the oldest prompt gets it, or those that are short
//! for their age, so that neither a long prompt holds up short ones nor the reverse.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::request::OwnerId;

/// The order in which waiting requests get a slot: least first.
///
/// Earliest deadline first; among equals the owner who was served fewest tokens; then order of arrival.
pub type Rank = (Instant, u64, u64);

/// A prompt passes an older one only if it is shorter by more than this for each place between them.
const AGE_TOKENS: usize = 16;

/// A step's prompts may be so large a part of their budget larger, where one is whole then.
const OVERRUN: usize = 4;

/// Spreads about `budget` tokens over prompts that still need `remaining` tokens each, oldest first, at most `room` in all.
/// Returns tokens for each.
///
/// Each prompt in a step costs extra, and a prompt's rest costs a step more. So prompts are taken whole, the short ones
/// first, and one that would leave little behind is taken whole too. With `oldest_first` the first
/// begins: where one step of a few does so, no long prompt waits for ever, nor do short ones wait for it.
pub fn chunks(remaining: &[usize], budget: usize, room: usize, oldest_first: bool) -> Vec<usize> {
    let mut given = vec![0; remaining.len()];
    let Some(oldest) = remaining.iter().position(|tokens| *tokens > 0) else { return given };
    let mut order: Vec<usize> = (oldest..remaining.len()).collect();
    order.sort_by_key(|index| (!(oldest_first && *index == oldest), remaining[*index] + index * AGE_TOKENS));
    let (mut left, mut room) = (budget.min(room), room);
    for index in order {
        let rest = remaining[index].saturating_sub(left);
        let whole = left > 0 && rest <= budget / OVERRUN;
        given[index] = remaining[index].min(if whole { room } else { left });
        room -= given[index];
        left = left.saturating_sub(given[index]);
    }
    given
}

/// How long steps take, learnt while they are made, and the prefill that the inter-token target allows.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    target: f64,
    most: usize,
    /// Steps that only decode, over their rows.
    decoding: Line,
    /// What prompts add to a step that decodes, over their tokens.
    prompts: Line,
    /// All steps, over all their tokens: what is known before the others are.
    steps: Line,
    /// Most prompt tokens that a step which decodes has had within the target.
    tried: usize,
}

/// Fewest prefill tokens of a step that has any to do: progress is certain, however slow the machine.
const LEAST_PREFILL: usize = 8;
/// And of one that is gentle to those who decode: at the end of a long prompt each token attends to all before it.
const LEAST_GENTLE: usize = 4;
/// A long prompt may take this many times what decoding takes, where few wait and many decode.
const BESIDE_DECODING: f64 = 1.2;
/// A prompt is long if it would take more than so many steps.
const FEW_STEPS: usize = 4;
/// Short prompts may always take this many times what decoding takes, however near to the target decoding alone is. With less
/// they come in faster than they are computed, and the queue grows until few enough decode: in the benchmark's trace, 32 tokens
/// answer 50 on average, which take about as long.
const FOR_PROMPTS: f64 = 2.0;
/// And this share of the target is always there for any.
const LEAST_OF_TARGET: f64 = 0.15;
/// A prompt's token costs at least this share of any token.
const CHEAPEST: f64 = 0.4;
/// A step's prompts grow at most by this factor over what was seen to fit, from so many tokens on: whatever the lines
/// promise, nobody waits seconds for their mistake.
const GROWTH: usize = 2;
const FIRST_PROMPTS: usize = 64;
/// So many who decode count as much as one who waits for his first token.
const PATIENCE: f64 = 8.0;

impl Pace {
    /// Nothing learnt yet. `target` is the gap between two tokens of one answer to aim at, `most` a batch's tokens.
    pub fn new(target: Duration, most: usize) -> Self {
        let nothing = Line::default();
        Self { target: target.as_secs_f64(), most, decoding: nothing, prompts: nothing, steps: nothing, tried: 0 }
    }

    /// A step computed `rows` decoded tokens and `prefill` prompt tokens.
    pub fn observe(&mut self, rows: usize, prefill: usize, elapsed: Duration) {
        let elapsed = elapsed.as_secs_f64();
        if rows > 0 && prefill > self.tried && elapsed <= self.target {
            self.tried = prefill;
        }
        self.steps.add((rows + prefill) as f64, elapsed);
        let decode = self.decode_time(rows);
        if prefill == 0 {
            self.decoding.add(rows as f64, elapsed);
        } else if !self.decoding.knows() {
            // What the prompts' share is cannot be told yet.
        } else if elapsed < decode {
            // Decoding alone took less, then: where all steps without prompts had few rows, many are believed too dear. How much
            // less, the line over all steps says.
            self.decoding.add(rows as f64, elapsed.min(self.steps.seconds(rows as f64)));
        } else {
            self.prompts.add(prefill as f64, elapsed - decode);
        }
    }

    /// Prompt tokens to compute in a step that decodes `rows` tokens, while `waiting` sequences have none yet; `longest` is
    /// the longest of their prompts, as it was when it came.
    ///
    /// They take what the target leaves beside decoding, and at least twice what decoding takes: in small pieces a prompt costs
    /// half again as much (llama.cpp attends in tiles from 64 tokens on), and whoever waits has nothing to read at all. Only a
    /// prompt that would take more than a few such steps gets less while few wait, little more than decoding takes, so that the
    /// gaps of those who decode stay alike.
    pub fn prefill(&self, rows: usize, waiting: usize, longest: usize) -> usize {
        let room = self.most.saturating_sub(rows);
        let decode = if rows == 0 { 0.0 } else { self.decode_time(rows) };
        let crowd = waiting as f64 / rows.max(1) as f64;
        let whole = (self.target - decode).max(decode * FOR_PROMPTS).max(self.target * LEAST_OF_TARGET);
        let gentle = (decode * BESIDE_DECODING * f64::max(crowd * PATIENCE, 1.0)).max(self.target * LEAST_OF_TARGET);
        let careful = if rows > 0 { GROWTH * self.tried.max(FIRST_PROMPTS / GROWTH) } else { self.most };
        let tokens = |seconds: f64| self.tokens(seconds, rows).min(careful);
        let (tokens, least) = if rows > 0 && longest > tokens(whole).saturating_mul(FEW_STEPS) {
            (tokens(whole.min(gentle)), LEAST_GENTLE)
        } else {
            (tokens(whole), LEAST_PREFILL)
        };
        tokens.clamp(least, self.most.max(least)).min(room)
    }

    /// Prompt tokens that add so many seconds to a step.
    fn tokens(&self, seconds: f64, rows: usize) -> usize {
        let tokens = if self.prompts.knows() {
            // However cheap they seem, what a token costs in all steps bounds it.
            let most = self.steps.slope().map_or(f64::INFINITY, |token| seconds / (token * CHEAPEST).max(1e-9));
            self.prompts.tokens(seconds).min(most)
        } else if let Some(token) = self.steps.slope() {
            seconds / token.max(1e-9)
        } else {
            (if rows == 0 { self.most } else { self.most / 8 }) as f64
        };
        tokens as usize
    }

    /// Without rows it is what a step costs anyway. One step that only decoded says more than all steps with prompts.
    fn decode_time(&self, rows: usize) -> f64 {
        let line = if self.decoding.weight > 0.0 { &self.decoding } else { &self.steps };
        line.seconds(rows as f64)
    }
}

/// Seconds of a step as a straight line over its tokens: least squares with older steps counting less, drawn towards
/// proportion where all steps have been of one size.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    weight: f64,
    tokens: f64,
    seconds: f64,
    squares: f64,
    products: f64,
}

impl Line {
    /// What an older step counts after each new one.
    const FADING: f64 = 0.97;
    /// How strongly it is drawn to proportion, against a variance of the squared mean.
    const PROPORTION: f64 = 0.02;
    /// Steps that it must have seen.
    const ENOUGH: f64 = 2.0;
    /// The slope is at least this share of proportion: no odd measurement makes tokens free.
    const LEAST: f64 = 0.1;

    fn add(&mut self, tokens: f64, seconds: f64) {
        for (sum, new) in [
            (&mut self.weight, 1.0),
            (&mut self.tokens, tokens),
            (&mut self.seconds, seconds),
            (&mut self.squares, tokens * tokens),
            (&mut self.products, tokens * seconds),
        ] {
            *sum = *sum * Self::FADING + new;
        }
    }

    /// Seconds that one token more adds; none before the first step.
    fn slope(&self) -> Option<f64> {
        if self.weight <= 0.0 || self.tokens <= 0.0 {
            return None;
        }
        let (tokens, seconds) = (self.tokens / self.weight, self.seconds / self.weight);
        let proportion = seconds / tokens;
        let pull = Self::PROPORTION * tokens * tokens;
        let variance = (self.squares / self.weight - tokens * tokens).max(0.0);
        let covariance = self.products / self.weight - tokens * seconds;
        Some(((covariance + pull * proportion) / (variance + pull)).clamp(proportion * Self::LEAST, proportion))
    }

    /// Whether it goes through more than a step or two.
    fn knows(&self) -> bool {
        self.weight >= Self::ENOUGH && self.tokens > 0.0
    }

    /// Seconds of a step of so many tokens.
    fn seconds(&self, tokens: f64) -> f64 {
        let Some(slope) = self.slope() else { return 0.0 };
        (self.seconds / self.weight + slope * (tokens - self.tokens / self.weight)).max(0.0)
    }

    /// Tokens of a step of so many seconds.
    fn tokens(&self, seconds: f64) -> f64 {
        let Some(slope) = self.slope() else { return 0.0 };
        self.tokens / self.weight + (seconds - self.seconds / self.weight) / slope.max(1e-9)
    }
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
    fn short_prompts_pass_a_long_one_unless_it_is_its_turn() {
        assert_eq!(chunks(&[1500, 20, 30], 100, 512, false), [50, 20, 30]);
        assert_eq!(chunks(&[1500, 20, 30], 100, 512, true), [100, 0, 0]);
        assert_eq!(chunks(&[1500, 200, 30], 100, 512, false), [0, 70, 30], "what is short for its age");
        assert_eq!(chunks(&[0, 10, 500], 40, 512, false), [0, 10, 30]);
        assert_eq!(chunks(&[5, 0], 40, 512, true), [5, 0]);
        assert!(chunks(&[], 9, 512, true).is_empty());
    }

    #[test]
    fn no_small_rest_is_left_for_another_step() {
        assert_eq!(chunks(&[30, 32], 50, 512, true), [30, 32]);
        assert_eq!(chunks(&[30, 60], 50, 512, true), [30, 20]);
        assert_eq!(chunks(&[30, 32], 50, 60, true), [30, 30], "the batch has no room for more");
        assert_eq!(chunks(&[50, 10], 50, 512, true), [50, 0]);
    }

    /// A machine whose steps take 24 ms and 0.75 ms a token.
    fn learnt(target_ms: u64) -> Pace {
        let mut pace = Pace::new(Duration::from_millis(target_ms), 512);
        for _ in 0..50 {
            for (rows, prefill) in [(8, 0), (0, 100), (32, 0), (8, 150)] {
                pace.observe(rows, prefill, Duration::from_micros(24_000 + 750 * (rows + prefill) as u64));
            }
        }
        pace
    }

    #[test]
    fn a_short_prompt_is_computed_within_the_target_and_a_long_one_hardly_slows_down_the_others() {
        assert_eq!(Pace::new(Duration::from_millis(100), 512).prefill(0, 1, 1500), 512);
        let pace = learnt(250);
        // 220 ms beside the 30 of decoding.
        assert!((270..310).contains(&pace.prefill(8, 1, 400)), "{}", pace.prefill(8, 1, 400));
        // Decoding 8 takes 30 ms; a fifth more is 36 ms, 15 % of the target 37 ms.
        assert!((42..56).contains(&pace.prefill(8, 1, 1500)), "{}", pace.prefill(8, 1, 1500));
        assert!((310..340).contains(&pace.prefill(0, 1, 1500)), "{}", pace.prefill(0, 1, 1500));
    }

    #[test]
    fn the_more_wait_the_more_of_the_target_is_theirs() {
        let pace = learnt(250);
        let given: Vec<usize> = [1, 4, 24].map(|waiting| pace.prefill(8, waiting, 1500)).to_vec();
        assert!(given.is_sorted_by(|one, next| one < next), "{given:?}");
        // 220 ms beside the 30 of decoding.
        assert!((270..310).contains(&given[2]), "{given:?}");
    }

    #[test]
    fn a_mistaken_estimate_costs_at_most_one_step_twice_as_large_as_known() {
        // Short prompts seemed to be free beside decoding; then a long one comes.
        let mut pace = Pace::new(Duration::from_millis(400), 512);
        for _ in 0..30 {
            pace.observe(8, 0, Duration::from_millis(40));
            pace.observe(8, 30, Duration::from_millis(41));
        }
        assert!(pace.prefill(8, 9, 1500) <= 64, "{}", pace.prefill(8, 9, 1500));
        pace.observe(8, 64, Duration::from_millis(300));
        assert!(pace.prefill(8, 9, 1500) <= 128);
    }

    #[test]
    fn prefill_goes_on_where_decoding_alone_fills_the_target() {
        // Decoding 32 takes 48 ms; twice that would be 128 tokens, but so many have not been seen to fit yet.
        let pace = learnt(20);
        assert_eq!(pace.prefill(32, 1, 99), FIRST_PROMPTS);
    }

    #[test]
    fn small_mixed_steps_do_not_make_each_other_smaller() {
        // Nobody has decoded alone yet: the step's own share must not be taken for the prompt's.
        let mut pace = Pace::new(Duration::from_millis(250), 512);
        let mut prefill = 8;
        for _ in 0..20 {
            pace.observe(7, prefill, Duration::from_micros(10_000 + 4_000 * (7 + prefill) as u64));
            prefill = pace.prefill(7, 24, 99);
        }
        assert!(prefill > 40, "{prefill}");
    }

    #[test]
    fn a_crowd_after_one_user_does_not_make_prompts_look_free() {
        // Steps take 13 ms and 3.9 ms a row or prompt token; for a while one user decodes, then every step has prompts.
        let took = |rows: usize, prefill: usize| Duration::from_micros(13_000 + 3_900 * (rows + prefill) as u64);
        let mut pace = Pace::new(Duration::from_millis(400), 512);
        for _ in 0..100 {
            pace.observe(1, 0, took(1, 0));
        }
        let mut prefill = 60;
        for _ in 0..8 {
            pace.observe(30, prefill, took(30, prefill));
            prefill = pace.prefill(30, 4, 60);
        }
        let step = took(30, prefill);
        assert!(step < Duration::from_millis(500), "{prefill} tokens beside 30 rows: {step:?}");
        assert!(prefill >= 25, "{prefill}: and those who wait are not starved either");
    }

    #[test]
    fn a_slow_machine_still_makes_progress() {
        let mut pace = Pace::new(Duration::from_millis(10), 64);
        pace.observe(4, 0, Duration::from_secs(2));
        pace.observe(4, 10, Duration::from_secs(900));
        assert_eq!(pace.prefill(4, 1, 99), LEAST_GENTLE);
        assert_eq!(pace.prefill(0, 1, 0), LEAST_PREFILL);
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
        fn the_budget_is_used_up_and_hardly_overrun(remaining in prop::collection::vec(0_usize..400, 0..40), budget in 0_usize..600, more in 0_usize..100, oldest_first: bool) {
            let room = budget + more;
            let given = chunks(&remaining, budget, room, oldest_first);
            prop_assert!(given.iter().zip(&remaining).all(|(given, remaining)| given <= remaining));
            let sum = given.iter().sum::<usize>();
            prop_assert!(sum >= budget.min(remaining.iter().sum()) && sum <= room.min(budget + budget / OVERRUN));
            if let Some(oldest) = remaining.iter().position(|tokens| *tokens > 0) && oldest_first {
                prop_assert!(given[oldest] >= remaining[oldest].min(budget));
            }
        }

        #[test]
        fn prefill_never_overruns_the_batch(steps in prop::collection::vec((0_usize..70, 0_usize..70, 0_u64..1_000_000), 0..60), rows in 0_usize..64, waiting in 0_usize..300, longest in 0_usize..3000) {
            let mut pace = Pace::new(Duration::from_millis(50), 64);
            for (rows, prefill, micros) in steps {
                if rows + prefill > 0 {
                    pace.observe(rows, prefill, Duration::from_micros(micros));
                }
            }
            let prefill = pace.prefill(rows, waiting, longest);
            prop_assert!(prefill + rows <= 64 && prefill >= LEAST_GENTLE.min(64 - rows));
        }
    }
}
