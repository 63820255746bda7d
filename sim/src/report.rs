//! What a scenario measured: answers a second, time to the first sign of text, time to the full answer.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::script::Mood;

/// One message and its answer. Times count from the moment the message was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How the message was meant.
    pub mood: Mood,
    /// How much later than planned the message was written, because the answer before it was late.
    pub late: Duration,
    /// Until "typing…" was seen.
    pub first_action: Option<Duration>,
    /// Until the first text was seen, in a draft or a message.
    pub first_text: Option<Duration>,
    /// Until the whole answer was there; `None` when the user gave up.
    pub answer: Option<Duration>,
    /// Words of the answer.
    pub words: usize,
}

/// The figures of one run. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Users at once.
    pub users: usize,
    /// Messages written.
    pub messages: usize,
    /// Answers that came.
    pub replies: usize,
    /// Messages that were given up on.
    pub unanswered: usize,
    /// How long it all took.
    pub elapsed: f64,
    /// Answers a second.
    pub replies_per_second: f64,
    /// Words of answers a second.
    pub words_per_second: f64,
    /// Until the first text, from the moment of writing.
    pub first_text: Spread,
    /// Until the whole answer, from the moment of writing.
    pub answer: Spread,
    /// Until the whole answer, from the moment the message was due: what waits for others' slowness included.
    pub answer_from_due: Spread,
}

/// How a time spreads, in seconds; zeros when there was nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub p50: f64,
    /// 95 of 100 were faster.
    pub p95: f64,
    /// The slowest.
    pub max: f64,
}

impl Report {
    /// The figures of `turns`, which took `elapsed` altogether.
    pub fn new(users: usize, elapsed: Duration, turns: &[Turn]) -> Self {
        let answers: Vec<(Duration, Duration)> =
            turns.iter().filter_map(|turn| Some((turn.answer?, turn.late))).collect();
        let words: usize = turns.iter().filter(|turn| turn.answer.is_some()).map(|turn| turn.words).sum();
        let a_second = |n: usize| if elapsed.is_zero() { 0.0 } else { n as f64 / elapsed.as_secs_f64() };
        Self {
            users,
            messages: turns.len(),
            replies: answers.len(),
            unanswered: turns.len() - answers.len(),
            elapsed: elapsed.as_secs_f64(),
            replies_per_second: a_second(answers.len()),
            words_per_second: a_second(words),
            first_text: Spread::of(turns.iter().filter_map(|turn| turn.first_text)),
            answer: Spread::of(answers.iter().map(|(answer, _)| *answer)),
            answer_from_due: Spread::of(answers.iter().map(|(answer, late)| *answer + *late)),
        }
    }

    /// The heading of a table whose rows are reports.
    pub fn heading() -> String {
        format!(
            "{:>6} {:>8} {:>10} {:>10} {:>9} {:>16} {:>16} {:>16}",
            "users", "replies", "unanswered", "replies/s", "words/s", "first text s", "answer s", "from due s"
        )
    }
}

impl fmt::Display for Report {
    /// One row under [`Report::heading`]; the times as `p50 / p95`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |spread: &Spread| format!("{:.2} / {:.2}", spread.p50, spread.p95);
        write!(
            f,
            "{:>6} {:>8} {:>10} {:>10.2} {:>9.1} {:>16} {:>16} {:>16}",
            self.users,
            self.replies,
            self.unanswered,
            self.replies_per_second,
            self.words_per_second,
            pair(&self.first_text),
            pair(&self.answer),
            pair(&self.answer_from_due),
        )
    }
}

impl Spread {
    /// By nearest rank: a percentile is a value that was measured.
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let rank = |percent: usize| {
            let at = (times.len() * percent).div_ceil(100).max(1) - 1;
            times.get(at).map_or(0.0, Duration::as_secs_f64)
        };
        Self { p50: rank(50), p95: rank(95), max: rank(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(answer_ms: Option<u64>, late_ms: u64) -> Turn {
        Turn {
            mood: Mood::Neutral,
            late: Duration::from_millis(late_ms),
            first_action: None,
            first_text: answer_ms.map(|ms| Duration::from_millis(ms / 2)),
            answer: answer_ms.map(Duration::from_millis),
            words: 10,
        }
    }

    #[test]
    fn percentiles_are_measured_values_by_nearest_rank() {
        let spread = Spread::of((1..=100).rev().map(Duration::from_secs));
        assert_eq!(spread, Spread { p50: 50.0, p95: 95.0, max: 100.0 });
        assert_eq!(Spread::of([Duration::from_secs(3)].into_iter()), Spread { p50: 3.0, p95: 3.0, max: 3.0 });
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }

    #[test]
    fn unanswered_messages_count_but_have_no_time() {
        let turns = [turn(Some(1000), 0), turn(None, 0), turn(Some(3000), 0)];
        let report = Report::new(2, Duration::from_secs(4), &turns);
        assert_eq!((report.messages, report.replies, report.unanswered), (3, 2, 1));
        assert_eq!((report.replies_per_second, report.words_per_second), (0.5, 5.0));
        assert_eq!((report.answer.max, report.first_text.max), (3.0, 1.5));
    }

    #[test]
    fn lateness_against_the_plan_shows_in_the_times_from_due() {
        let report = Report::new(1, Duration::from_secs(10), &[turn(Some(1000), 0), turn(Some(1000), 4000)]);
        assert_eq!((report.answer.max, report.answer_from_due.max), (1.0, 5.0));
    }

    #[test]
    fn a_row_stands_under_its_heading() {
        let report = Report::new(1, Duration::from_secs(1), &[turn(Some(1000), 0)]);
        assert_eq!(report.to_string().chars().count(), Report::heading().chars().count());
    }
}
