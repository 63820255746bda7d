//! How many prompt tokens a step may have, learnt from what steps take.
//!
//! Between two steps that decode, prompts get what the inter-token target leaves: a long history is spread over many steps,
//! and nobody else's answer stalls. A prompt is a step of its own, so whoever has just written need not wait for the others'
//! next tokens, nor for the prompts behind his own.

use std::time::Duration;

use crate::line::Line;

/// How long steps take, learnt while they are made, and the prompts that the inter-token target allows.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    target: f64,
    most: usize,
    /// Steps that decode, over their rows.
    decoding: Line,
    /// Steps that compute prompts, over their tokens.
    prompts: Line,
    /// All steps, over their tokens: what is known of more rows than anybody has seen.
    steps: Line,
    /// Most rows that a step has decoded.
    widest: usize,
    /// Most prompt tokens that a step has had within the target while others decoded.
    tried: usize,
    /// Whether prompts have been computed while others waited for their next tokens, and the seconds that they took.
    begun: bool,
    spent: f64,
}

/// A prompt of which a piece may be computed next.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Tokens that it had when it came.
    pub whole: usize,
    /// And those that are left.
    pub rest: usize,
    /// Seconds that each token of its last piece took, if there was one: towards the end of a long prompt each attends to all
    /// before it, and takes several times what the average does.
    pub each: Option<f64>,
}

/// Fewest tokens of a step with prompts: progress is certain, however slow the machine.
const LEAST_PREFILL: usize = 8;
/// And of one that is gentle to those who decode.
const LEAST_GENTLE: usize = 4;
/// A long prompt may take this many times what decoding takes, where few wait and many decode.
const BESIDE_DECODING: f64 = 1.2;
/// And this share of the target is always there for it, up to so many times what decoding takes.
const LEAST_GENTLY: f64 = 0.08;
const MOST_GENTLY: f64 = 1.5;
/// A prompt is long if it would take more than so many steps.
const FEW_STEPS: usize = 4;
/// Or if it has more tokens than anybody writes at once: a fast machine may compute those within the target, and yet the others
/// would miss dozens of tokens.
const LONG_TOKENS: usize = 512;
/// Short prompts may always take this many times what decoding takes, however near to the target decoding alone is. With less
/// they come in faster than they are computed, and the queue grows until few enough decode: in the benchmark's trace, 32 tokens
/// answer 50 on average, which take about as long.
const FOR_PROMPTS: f64 = 2.0;
/// And this share of the target is always there for any.
const LEAST_OF_TARGET: f64 = 0.15;
/// What prompts took too long is taken off the next time's, of which at least the other half is left.
const MOST_OWED: f64 = 0.5;
/// A prompt's token costs at least this share of any token.
const CHEAPEST: f64 = 0.4;
/// A step's prompts grow at most by this factor over what was seen to fit, from so many tokens on: whatever the lines
/// promise, nobody waits seconds for their mistake. Rows are believed in up to as many times what was seen.
const GROWTH: usize = 2;
const FIRST_PROMPTS: usize = 64;
/// So many who decode count as much as one who waits for his first token.
const PATIENCE: f64 = 8.0;

impl Pace {
    /// Nothing learnt yet. `target` is the gap between two tokens of one answer to aim at, `most` a batch's tokens.
    pub fn new(target: Duration, most: usize) -> Self {
        let nothing = Line::default();
        Self {
            target: target.as_secs_f64(),
            most,
            decoding: nothing,
            prompts: nothing,
            steps: nothing,
            widest: 0,
            tried: 0,
            begun: false,
            spent: 0.0,
        }
    }

    /// A step decoded `rows` tokens.
    pub fn decoded(&mut self, rows: usize, elapsed: Duration) {
        let allowed = self.allowed(self.decode_time(rows));
        (self.begun, self.spent) = (false, (self.spent - allowed).clamp(0.0, allowed * MOST_OWED));
        self.widest = self.widest.max(rows);
        self.decoding.add(rows as f64, elapsed.as_secs_f64());
        self.steps.add(rows as f64, elapsed.as_secs_f64());
    }

    /// A step computed so many prompt tokens, while `rows` waited for their next.
    pub fn prefilled(&mut self, rows: usize, tokens: usize, elapsed: Duration) {
        let elapsed = elapsed.as_secs_f64();
        self.prompts.add(tokens as f64, elapsed);
        self.steps.add(tokens as f64, elapsed);
        if rows == 0 {
            // It was nobody's time.
            return;
        }
        self.begun = true;
        self.spent += elapsed;
        if elapsed <= self.target {
            self.tried = self.tried.max(tokens);
        }
    }

    /// Whether prompts have been computed while others waited for their next tokens.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Tokens of `piece` to compute before the `rows` that wait decode again, while `waiting` sequences have no token yet; none
    /// where prompts have had their time.
    ///
    /// They get what the target leaves beside decoding, and at least twice what decoding takes: in small pieces a prompt costs
    /// half again as much, and whoever waits has nothing to read at all. Only a long prompt gets less while few wait, little
    /// more than decoding takes, so that the gaps of those who decode stay alike.
    pub fn prefill(&self, rows: usize, waiting: usize, piece: Piece) -> usize {
        if rows == 0 {
            return self.tokens(self.target, piece, self.most).max(LEAST_PREFILL).min(self.most);
        }
        let decode = self.decode_time(rows);
        let crowd = waiting as f64 / rows as f64;
        let whole = self.allowed(decode);
        let gentle = (decode * BESIDE_DECODING * f64::max(crowd * PATIENCE, 1.0))
            .max((self.target * LEAST_GENTLY).min(decode * MOST_GENTLY));
        let careful = (GROWTH * self.tried).max(FIRST_PROMPTS).min(self.most);
        let average = Piece { each: None, ..piece };
        let few = self.tokens(whole, average, careful).saturating_mul(FEW_STEPS).min(LONG_TOKENS);
        let is_long = piece.whole > few;
        let (seconds, least) = if is_long { (whole.min(gentle), LEAST_GENTLE) } else { (whole, LEAST_PREFILL) };
        let tokens = self.tokens((seconds - self.spent).max(0.0), piece, careful);
        let tokens = if is_long { gentle_end(tokens, piece.rest) } else { tokens };
        // The first piece is made however long it takes; one more only within the time that is left.
        if self.has_begun() { tokens } else { tokens.max(least).min(self.most) }
    }

    /// Seconds of prompts beside decoding that takes so many.
    fn allowed(&self, decode: f64) -> f64 {
        (self.target - decode).max(decode * FOR_PROMPTS).max(self.target * LEAST_OF_TARGET)
    }

    /// Prompt tokens that take so many seconds, at most `most`.
    fn tokens(&self, seconds: f64, piece: Piece, most: usize) -> usize {
        let tokens = if let Some(each) = piece.each {
            // Rounded, or where a pass takes nearly all of the time a piece of a few tokens would never grow.
            (seconds / each.max(1e-9)).round()
        } else if self.prompts.knows() {
            // However cheap they seem, what a token costs in all steps bounds it.
            let most = self.steps.slope().map_or(f64::INFINITY, |token| seconds / (token * CHEAPEST).max(1e-9));
            self.prompts.tokens(seconds).min(most)
        } else if let Some(token) = self.steps.slope() {
            seconds / token.max(1e-9)
        } else {
            most as f64
        };
        (tokens.max(0.0) as usize).min(most)
    }

    /// What decoding so many rows takes. The line is drawn towards proportion, so that far beyond what was seen it makes rows
    /// too dear; there all steps are asked too.
    fn decode_time(&self, rows: usize) -> f64 {
        let (known, all) = (self.decoding.seconds(rows as f64), self.steps.seconds(rows as f64));
        if self.widest == 0 {
            all
        } else if rows > GROWTH * self.widest {
            known.min(all)
        } else {
            known
        }
    }
}

/// Of so many tokens that a piece may have, what leaves the last piece of the prompt half as long: the gap in which it is computed
/// also has the first step in which everybody waits for what attends to all of the prompt.
fn gentle_end(tokens: usize, rest: usize) -> usize {
    let half = tokens.div_ceil(2);
    if rest <= half {
        rest
    } else if rest <= tokens {
        rest.div_ceil(2)
    } else {
        tokens.min(rest - half)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORT: Piece = Piece { whole: 99, rest: 99, each: None };
    const LONG: Piece = Piece { whole: 1500, rest: 1500, each: None };

    /// 24 ms and 0.75 ms a token.
    fn takes(tokens: usize) -> Duration {
        Duration::from_micros(24_000 + 750 * tokens as u64)
    }

    /// A machine that is known to take so long.
    fn learnt(target_ms: u64) -> Pace {
        let mut pace = Pace::new(Duration::from_millis(target_ms), 512);
        for _ in 0..50 {
            pace.prefilled(8, 200, takes(200));
            pace.decoded(32, takes(32));
            pace.prefilled(8, 20, takes(20));
            pace.decoded(8, takes(8));
        }
        // Nothing is owed.
        for _ in 0..4 {
            pace.decoded(8, takes(8));
        }
        pace
    }

    #[test]
    fn a_short_prompt_is_computed_within_the_target_and_a_long_one_hardly_slows_down_the_others() {
        assert_eq!(Pace::new(Duration::from_millis(100), 512).prefill(0, 1, LONG), 512);
        let pace = learnt(250);
        // 220 ms beside the 30 of decoding.
        let whole = pace.prefill(8, 1, Piece { whole: 400, rest: 400, each: None });
        assert!((250..270).contains(&whole), "{whole}");
        // Decoding 8 takes 30 ms; a fifth more is 36 ms.
        let gentle = pace.prefill(8, 1, LONG);
        assert!((14..20).contains(&gentle), "{gentle}");
        let alone = pace.prefill(0, 1, LONG);
        assert!((290..310).contains(&alone), "{alone}");
    }

    #[test]
    fn a_history_stalls_nobody_on_a_fast_machine_either() {
        // A GPU: 8 ms, and 0.03 ms a token. The history would take 52 ms, far below the target.
        let fast = |tokens: usize| Duration::from_micros(8_000 + 30 * tokens as u64);
        let mut pace = Pace::new(Duration::from_millis(300), 2048);
        for _ in 0..50 {
            pace.prefilled(8, 200, fast(200));
            pace.decoded(8, fast(8));
            pace.prefilled(8, 60, fast(60));
            pace.decoded(8, fast(8));
        }
        let given = pace.prefill(8, 1, LONG);
        assert!(given > 0 && fast(given) < 2 * fast(8), "{given}");
        assert_eq!(pace.prefill(8, 1, Piece { whole: 400, rest: 400, each: None }), 400);
    }

    #[test]
    fn prompts_share_the_time_between_two_tokens() {
        let mut pace = learnt(250);
        assert!(!pace.has_begun());
        pace.prefilled(8, 200, takes(200));
        // 220 ms less 174.
        let left = pace.prefill(8, 1, SHORT);
        assert!(pace.has_begun() && (20..35).contains(&left), "{left}");
        pace.prefilled(8, left, takes(left));
        assert_eq!(pace.prefill(8, 1, SHORT), 0, "now the others' tokens");
        pace.decoded(8, takes(8));
        assert!(pace.prefill(8, 1, SHORT) > 200);
    }

    #[test]
    fn prompts_that_nobody_waited_for_leave_the_others_their_time() {
        let mut pace = learnt(250);
        let usual = pace.prefill(1, 1, SHORT);
        pace.prefilled(0, 400, takes(400));
        assert!(!pace.has_begun());
        assert!(pace.prefill(1, 1, SHORT).abs_diff(usual) < 20);
    }

    #[test]
    fn what_prompts_took_too_long_is_taken_off_the_next_time() {
        let mut pace = learnt(250);
        let usual = pace.prefill(8, 1, SHORT);
        pace.prefilled(8, 300, takes(300));
        pace.decoded(8, takes(8));
        let next = pace.prefill(8, 1, SHORT);
        // 249 ms of 220: 29 ms are owed, 38 tokens.
        assert!((30..45).contains(&(usual - next)), "{usual} {next}");
        pace.decoded(8, takes(8));
        assert_eq!(pace.prefill(8, 1, SHORT), usual);
    }

    #[test]
    fn a_piece_at_the_end_of_a_long_prompt_is_sized_by_what_the_last_one_took() {
        let pace = learnt(250);
        let dear = pace.prefill(8, 1, Piece { each: Some(0.005), ..LONG });
        assert!((6..=7).contains(&dear), "{dear}: 36 ms, 5 for each");
        assert_eq!(pace.prefill(8, 1, Piece { each: Some(9.0), ..LONG }), LEAST_GENTLE);
        // 36 ms, of which a pass takes 29.5 and each token 0.1.
        let mut given = LEAST_GENTLE;
        for _ in 0..20 {
            given = pace.prefill(8, 1, Piece { each: Some(0.0295 / given as f64 + 0.0001), ..LONG });
        }
        assert!(given > 40, "{given}: it grows");
    }

    #[test]
    fn the_last_piece_of_a_long_prompt_is_half_as_long() {
        let pace = learnt(250);
        let piece = |rest| pace.prefill(8, 1, Piece { rest, each: Some(0.001), ..LONG });
        let usual = piece(1000);
        let mut rest = 10 * usual + 3;
        let mut pieces = Vec::new();
        while rest > 0 {
            pieces.push(piece(rest));
            rest -= pieces.last().unwrap();
        }
        assert!(usual > 30 && pieces.len() == 11, "{pieces:?}");
        assert!(pieces[..9].iter().all(|given| *given == usual) && pieces[10] <= usual.div_ceil(2), "{pieces:?}");
    }

    #[test]
    fn the_more_wait_the_more_of_the_target_is_theirs() {
        let pace = learnt(250);
        let given: Vec<usize> = [1, 4, 24].map(|waiting| pace.prefill(8, waiting, LONG)).to_vec();
        assert!(given.is_sorted_by(|one, next| one < next), "{given:?}");
        // 220 ms beside the 30 of decoding.
        assert!((250..270).contains(&given[2]), "{given:?}");
    }

    #[test]
    fn a_mistaken_estimate_costs_at_most_one_step_twice_as_large_as_known() {
        // Short prompts seemed to be free; then a long one comes.
        let mut pace = Pace::new(Duration::from_millis(400), 512);
        for _ in 0..30 {
            pace.prefilled(8, 30, Duration::from_millis(1));
            pace.decoded(8, Duration::from_millis(40));
        }
        let first = pace.prefill(8, 9, LONG);
        assert!(first <= 64, "{first}");
        pace.prefilled(8, 64, Duration::from_millis(300));
        pace.decoded(8, Duration::from_millis(40));
        assert!(pace.prefill(8, 9, LONG) <= 128);
    }

    #[test]
    fn prefill_goes_on_where_decoding_alone_fills_the_target() {
        // Decoding 32 takes 48 ms; twice that would be 96 tokens, but so many have not been seen to fit yet.
        assert_eq!(learnt(20).prefill(32, 1, SHORT), FIRST_PROMPTS);
    }

    #[test]
    fn the_first_estimates_do_not_make_each_other_smaller() {
        let took = |tokens: usize| Duration::from_micros(10_000 + 4_000 * tokens as u64);
        let mut pace = Pace::new(Duration::from_millis(250), 512);
        let mut prefill = 8;
        for _ in 0..20 {
            pace.prefilled(7, prefill, took(prefill));
            pace.decoded(7, took(7));
            prefill = pace.prefill(7, 24, SHORT);
        }
        assert!(prefill > 40, "{prefill}");
    }

    #[test]
    fn a_crowd_after_one_user_is_neither_starved_nor_let_loose() {
        // Steps take 13 ms and 3.9 ms a row or prompt token; for a while one user decodes, then thirty have begun at once.
        let took = |tokens: usize| Duration::from_micros(13_000 + 3_900 * tokens as u64);
        let mut pace = Pace::new(Duration::from_millis(400), 512);
        pace.prefilled(0, 60, took(60));
        for _ in 0..100 {
            pace.decoded(1, took(1));
        }
        for _ in 0..8 {
            let mut prompts = Duration::ZERO;
            loop {
                let tokens = pace.prefill(30, 4, Piece { whole: 60, rest: 60, each: None });
                if tokens == 0 {
                    break;
                }
                pace.prefilled(30, tokens, took(tokens));
                prompts += took(tokens);
            }
            assert!(prompts < Duration::from_millis(400), "{prompts:?} beside {:?}", took(30));
            assert!(prompts > Duration::from_millis(150), "{prompts:?} for those who wait");
            pace.decoded(30, took(30));
        }
    }

    #[test]
    fn a_slow_machine_still_makes_progress() {
        let mut pace = Pace::new(Duration::from_millis(10), 64);
        pace.prefilled(0, 10, Duration::from_secs(900));
        pace.decoded(4, Duration::from_secs(2));
        assert_eq!(pace.prefill(4, 1, SHORT), LEAST_GENTLE);
        pace.prefilled(4, 10, Duration::from_secs(900));
        assert_eq!(pace.prefill(4, 1, SHORT), 0);
        assert_eq!(pace.prefill(0, 1, SHORT), LEAST_PREFILL);
    }

    proptest! {
        #[test]
        fn prefill_never_overruns_the_batch(steps in prop::collection::vec((0_usize..70, 0_usize..70, 0_u64..1_000_000), 0..60), rows in 0_usize..64, waiting in 0_usize..300, whole in 0_usize..3000, each in prop::option::of(0.0..9.0)) {
            let mut pace = Pace::new(Duration::from_millis(50), 64);
            for (rows, tokens, micros) in steps {
                let elapsed = Duration::from_micros(micros);
                if tokens > 0 {
                    pace.prefilled(rows, tokens, elapsed);
                } else if rows > 0 {
                    pace.decoded(rows, elapsed);
                }
            }
            let given = pace.prefill(rows, waiting, Piece { whole, rest: whole, each });
            prop_assert!(given <= 64 && (pace.has_begun() || given >= LEAST_GENTLE));
        }
    }
}
