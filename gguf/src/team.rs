//! All threads or one: which is faster now, learnt from the steps themselves.
//!
//! Threads that compute one step together meet hundreds of times in it. Alone on their cores they wait for each other by
//! spinning, which is fast (2 threads: 237 tokens/s for 8 users, against 109 when they sleep at each meeting and 128 with
//! one thread). But with a busy neighbour the one that lost its core is waited for at every meeting, and two threads were
//! seen to fall to 10 tokens/s where one kept 109. So a step is tried the other way now and then, and what is faster stays.

use std::time::Duration;

/// Steps in a row, alike in size, that say what the present way takes.
const KNOWN: usize = 3;
/// Steps of a trial.
const TRIAL: usize = 2;
/// How much faster the other way must be to be taken.
const CLEARLY: f64 = 1.1;
/// A trial ends at once when its first step is slower than this.
const HOPELESS: f64 = 1.5;
/// A step that took this many times as long as those before it means that something has changed.
const SUDDEN: f64 = 3.0;
/// The same for steps with prompts, whose tokens cost more the longer the conversation is.
const SUDDEN_PROMPTS: f64 = 5.0;
/// Tokens of a prompt that take as long as a pass over the weights, which each such step is.
const PASS: usize = 8;
/// Steps before the first trial and after a change.
const SOON: u32 = 16;
/// Steps between trials: as many as make their cost two percent, within these bounds.
const SPACING: std::ops::RangeInclusive<f64> = 64.0..=1024.0;
const COST: f64 = 0.02;
/// So many steps a trial waits, after one that was lost, while steps with prompts come between: those who decode have a long
/// gap then as it is.
const PATIENCE: u32 = 512;

/// Decides before each step, and learns from it.
#[derive(Clone, Debug)]
pub struct Team {
    whole: bool,
    size: u32,
    /// Seconds a token of the last steps of this size, the present way.
    recent: Vec<f64>,
    /// The same of the trial that is on.
    trial: Option<Vec<f64>>,
    until_trial: u32,
    /// Steps that a trial which is due may wait for a time without prompts.
    patience: u32,
    /// Whether the last step had prompts.
    after_prompts: bool,
    /// Fewest seconds a token of steps with prompts, the pass counted as some more.
    prompts: Option<f64>,
    /// Steps with prompts in a row that took much longer.
    slow: usize,
}

impl Default for Team {
    fn default() -> Self {
        Self {
            whole: true,
            size: 0,
            recent: Vec::new(),
            trial: None,
            until_trial: SOON / 4,
            patience: 0,
            after_prompts: false,
            prompts: None,
            slow: 0,
        }
    }
}

impl Team {
    /// Whether all threads should compute the coming step of so many tokens; else one does. With `prompts` among them nothing
    /// is tried: such a step is long already, and everybody waits for it.
    pub fn whole(&mut self, tokens: usize, prompts: bool) -> bool {
        if prompts {
            return self.whole;
        }
        let size = size(tokens);
        if size != self.size {
            self.size = size;
            self.recent.clear();
            self.trial = None;
        }
        if self.trial.is_none() && self.until_trial == 0 && self.recent.len() == KNOWN {
            if self.after_prompts && self.patience > 0 {
                self.patience -= 1;
            } else {
                self.trial = Some(Vec::new());
            }
        }
        self.whole != self.trial.is_some()
    }

    /// The step that was asked about took so long.
    pub fn observe(&mut self, tokens: usize, prompts: bool, elapsed: Duration) {
        self.after_prompts = prompts;
        if prompts {
            return self.observe_prompts(elapsed.as_secs_f64() / (tokens + PASS) as f64);
        }
        let each = elapsed.as_secs_f64() / tokens.max(1) as f64;
        self.until_trial = self.until_trial.saturating_sub(1);
        let Some(trial) = &mut self.trial else {
            if self.recent.len() == KNOWN {
                if each > shortest(&self.recent) * SUDDEN {
                    (self.until_trial, self.patience) = (0, 0);
                }
                self.recent.remove(0);
            }
            self.recent.push(each);
            return;
        };
        trial.push(each);
        let mut known = self.recent.clone();
        known.sort_by(f64::total_cmp);
        let present = known[known.len() / 2];
        if trial.len() < TRIAL && each < present * HOPELESS {
            return;
        }
        let loss = trial.iter().map(|each| each / present - 1.0).sum::<f64>();
        if shortest(trial) * CLEARLY < present {
            self.whole = !self.whole;
            self.recent.clear();
            (self.until_trial, self.patience) = (SOON, 0);
        } else {
            self.until_trial = (loss / COST).clamp(*SPACING.start(), *SPACING.end()) as u32;
            self.patience = PATIENCE;
        }
        self.trial = None;
    }
}

impl Team {
    /// Steps with prompts are of many sizes, and cost about the same a token. Where some in a row suddenly cost several
    /// times as much, a thread is being waited for: one goes on alone, until steps without prompts show what is faster.
    fn observe_prompts(&mut self, each: f64) {
        let usual = self.prompts.unwrap_or(each);
        self.prompts = Some(usual.min(each));
        self.slow = if self.whole && each > usual * SUDDEN_PROMPTS { self.slow + 1 } else { 0 };
        if self.slow >= KNOWN {
            self.whole = false;
            self.slow = 0;
            self.recent.clear();
            self.trial = None;
            (self.until_trial, self.patience) = (SOON, 0);
        }
    }
}

fn shortest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Steps whose tokens differ by less than an eighth are alike.
fn size(tokens: usize) -> u32 {
    let tokens = u32::try_from(tokens.max(1)).unwrap_or(u32::MAX);
    let octave = tokens.ilog2();
    octave * 8 + if octave >= 3 { (tokens >> (octave - 3)) & 7 } else { (tokens << (3 - octave)) & 7 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes steps of `tokens` on a machine that takes `whole` or `one` milliseconds for each; says what they took in all.
    fn run(team: &mut Team, steps: usize, tokens: usize, whole: u64, one: u64) -> Duration {
        let step = |team: &mut Team| {
            let took = Duration::from_millis(if team.whole(tokens, false) { whole } else { one });
            team.observe(tokens, false, took);
            took
        };
        (0..steps).map(|_| step(team)).sum()
    }

    #[test]
    fn alone_on_the_machine_all_threads_compute_and_trials_cost_little() {
        let mut team = Team::default();
        let took = run(&mut team, 5000, 8, 10, 19);
        assert!(team.whole(8, false));
        assert!(took < Duration::from_millis(5000 * 10 * 103 / 100), "{took:?}");
    }

    #[test]
    fn a_busy_neighbour_is_noticed_within_a_few_steps_and_his_leaving_too() {
        let mut team = Team::default();
        run(&mut team, 200, 8, 10, 19);
        // Whole steps now take thirty times as long: few of them are suffered.
        let took = run(&mut team, 1000, 8, 300, 22);
        assert!(!team.whole(8, false));
        assert!(took < Duration::from_millis(1000 * 22 * 110 / 100), "{took:?}");
        run(&mut team, 1100, 8, 10, 19);
        assert!(team.whole(8, false));
    }

    #[test]
    fn a_machine_that_is_busy_from_the_start_is_noticed_at_once() {
        let mut team = Team::default();
        let took = run(&mut team, 50, 1, 300, 16);
        assert!(took < Duration::from_millis(50 * 16 + 6 * 300), "{took:?}");
    }

    #[test]
    fn one_slow_step_changes_nothing() {
        let mut team = Team::default();
        run(&mut team, 100, 32, 100, 190);
        run(&mut team, 1, 32, 900, 190);
        run(&mut team, 20, 32, 100, 190);
        assert!(team.whole(32, false));
    }

    #[test]
    fn steps_of_changing_size_are_never_compared() {
        let mut team = Team::default();
        for step in 0..1000 {
            let tokens = if step % 2 == 0 { 8 } else { 200 };
            assert!(team.whole(tokens, false));
            team.observe(tokens, false, Duration::from_millis(10));
        }
    }

    #[test]
    fn nothing_is_tried_while_somebody_waits_for_a_first_word() {
        let mut team = Team::default();
        for step in 0..500 {
            let tokens = 40 + step % 50;
            assert!(team.whole(tokens, true));
            team.observe(tokens, true, Duration::from_millis(3 * tokens as u64));
        }
    }

    #[test]
    fn a_trial_goes_on_after_a_step_with_prompts() {
        let mut team = Team::default();
        // Alternating; one thread is the faster one.
        for _ in 0..40 {
            let whole = team.whole(8, false);
            team.observe(8, false, Duration::from_millis(if whole { 20 } else { 10 }));
            team.whole(8, true);
            team.observe(8, true, Duration::from_millis(25));
        }
        assert!(!team.whole(8, true));
    }

    #[test]
    fn a_lost_trial_is_not_made_again_between_the_pieces_of_a_long_prompt() {
        let mut team = Team::default();
        run(&mut team, 40, 8, 10, 19);
        let mut trials = 0;
        for _ in 0..400 {
            let whole = team.whole(8, false);
            trials += usize::from(!whole);
            team.observe(8, false, Duration::from_millis(if whole { 10 } else { 19 }));
            team.whole(20, true);
            team.observe(20, true, Duration::from_millis(25));
        }
        assert_eq!(trials, 0);
        // But neither do the pieces of many hide a neighbour.
        for _ in 0..20 {
            let whole = team.whole(8, false);
            team.observe(8, false, Duration::from_millis(if whole { 300 } else { 19 }));
            team.whole(20, true);
            team.observe(20, true, Duration::from_millis(60));
        }
        assert!(!team.whole(8, true));
    }

    #[test]
    fn a_neighbour_is_noticed_even_where_every_step_has_prompts() {
        let mut team = Team::default();
        for busy in [false, true] {
            for step in 0..50 {
                let tokens = 40 + step % 50;
                let whole = team.whole(tokens, true);
                let each = if whole && busy {
                    30
                } else if whole {
                    3
                } else {
                    6
                };
                team.observe(tokens, true, Duration::from_millis(each * tokens as u64));
            }
            assert_eq!(team.whole(40, true), !busy);
        }
    }

    #[test]
    fn small_pieces_at_the_end_of_a_long_prompt_are_no_busy_neighbour() {
        // 6 ms a step and 1 ms a token; after 1,500 tokens of conversation each attends to so many that it takes 4.
        let mut team = Team::default();
        team.observe(64, true, Duration::from_millis(6 + 64));
        for _ in 0..20 {
            team.observe(9, true, Duration::from_millis(6 + 9 * 4));
        }
        assert!(team.whole(9, true));
    }

    #[test]
    fn sizes_are_alike_within_an_eighth() {
        assert_eq!(size(64), size(71));
        assert_ne!(size(64), size(72));
        assert!((1..=16).map(size).is_sorted_by(|one, next| one < next), "small steps are told apart");
    }
}
