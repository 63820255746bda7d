//! What a scenario measured: answers a second, time to the first sign of text, time to the full answer.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

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
    /// Until the first text of the answer was seen, in a draft or a message.
    pub first_text: Option<Duration>,
    /// Whether the bot said first that the answer would take a while.
    pub put_off: bool,
    /// What came of it.
    pub ending: Ending,
    /// How long an answer would have been waited for.
    pub patience: Duration,
    /// Words of the answer.
    pub words: usize,
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The whole answer was there after this time.
    Answered(Duration),
    /// The bot apologised instead.
    Failed,
    /// The user gave up on it, or had given up on one before and did not write it.
    Unanswered,
}

impl Turn {
    /// A message that was not written, because the user had given up on one before.
    pub fn unwritten(mood: Mood, patience: Duration) -> Self {
        Self {
            mood,
            late: Duration::ZERO,
            first_action: None,
            first_text: None,
            put_off: false,
            ending: Ending::Unanswered,
            patience,
            words: 0,
        }
    }

    fn answer(&self) -> Option<Duration> {
        match self.ending {
            Ending::Answered(after) => Some(after),
            Ending::Failed | Ending::Unanswered => None,
        }
    }

    /// A time of this turn; where there is none it would have been longer than the patience, or for ever.
    fn time(&self, measured: Option<Duration>) -> Figure {
        measured.map_or(Figure::AtLeast(self.patience.as_secs_f64()), |time| Figure::Measured(time.as_secs_f64()))
    }
}

/// The figures of one run. Times are in seconds.
///
/// `replies`, `failed` and `unanswered` make up `messages`. A message without an answer counts in the times with at least
/// the users' patience: left out, a bot that answers every second message would look as fast as one that answers all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Users at once.
    pub users: usize,
    /// Messages of all users' plans.
    pub messages: usize,
    /// Answers that came.
    pub replies: usize,
    /// Messages that were given up on, and those behind them, which are then not written.
    pub unanswered: usize,
    /// Messages that the bot apologised for instead of answering.
    pub failed: usize,
    /// Messages of which the bot said first that the answer would take a while, whatever came then.
    pub put_off: usize,
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

/// How a time spreads, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub p50: Figure,
    /// 95 of 100 were faster.
    pub p95: Figure,
    /// The slowest.
    pub max: Figure,
}

/// A time in seconds. In JSON a number is always one that was measured, and anything else is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Figure {
    /// It was this long.
    Measured(f64),
    /// It fell on a message without an answer: this long at least. Shown as `>3.00`.
    AtLeast(f64),
    /// There was nothing to measure. Shown as `–`.
    #[default]
    Unknown,
}

impl Figure {
    /// The seconds, if they were measured.
    pub fn measured(self) -> Option<f64> {
        match self {
            Self::Measured(seconds) => Some(seconds),
            Self::AtLeast(_) | Self::Unknown => None,
        }
    }

    fn later(self, by: Duration) -> Self {
        match self {
            Self::Measured(seconds) => Self::Measured(seconds + by.as_secs_f64()),
            Self::AtLeast(seconds) => Self::AtLeast(seconds + by.as_secs_f64()),
            Self::Unknown => Self::Unknown,
        }
    }

    /// Sorts what is not known to have ended behind all that has: how long it is nobody knows.
    fn order(&self, other: &Self) -> Ordering {
        let key = |figure: &Self| match *figure {
            Self::Measured(seconds) => (0, seconds),
            Self::AtLeast(seconds) => (1, seconds),
            Self::Unknown => (2, 0.0),
        };
        let ((kind, seconds), (other_kind, other_seconds)) = (key(self), key(other));
        kind.cmp(&other_kind).then(seconds.total_cmp(&other_seconds))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(seconds) => write!(f, "{seconds:.2}"),
            Self::AtLeast(seconds) => write!(f, ">{seconds:.2}"),
            Self::Unknown => f.write_str("–"),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.measured().serialize(serializer)
    }
}

impl Report {
    /// The figures of `turns`, which took `elapsed` altogether.
    pub fn new(users: usize, elapsed: Duration, turns: &[Turn]) -> Self {
        let count = |wanted: fn(&Turn) -> bool| turns.iter().filter(|turn| wanted(turn)).count();
        let replies = count(|turn| turn.answer().is_some());
        let words: usize = turns.iter().filter(|turn| turn.answer().is_some()).map(|turn| turn.words).sum();
        let a_second = |n: usize| if elapsed.is_zero() { 0.0 } else { n as f64 / elapsed.as_secs_f64() };
        let answers = turns.iter().map(|turn| turn.time(turn.answer()));
        Self {
            users,
            messages: turns.len(),
            replies,
            unanswered: count(|turn| turn.ending == Ending::Unanswered),
            failed: count(|turn| turn.ending == Ending::Failed),
            put_off: count(|turn| turn.put_off),
            elapsed: elapsed.as_secs_f64(),
            replies_per_second: a_second(replies),
            words_per_second: a_second(words),
            first_text: Spread::of(turns.iter().map(|turn| turn.time(turn.first_text))),
            answer: Spread::of(answers.clone()),
            answer_from_due: Spread::of(answers.zip(turns).map(|(answer, turn)| answer.later(turn.late))),
        }
    }

    /// Whether every message got its answer.
    pub fn is_complete(&self) -> bool {
        self.unanswered == 0 && self.failed == 0
    }

    /// The heading of a table whose rows are reports.
    pub fn heading() -> String {
        format!(
            "{:>6} {:>8} {:>10} {:>6} {:>7} {:>10} {:>9} {:>17} {:>17} {:>17}",
            "users",
            "replies",
            "unanswered",
            "failed",
            "put off",
            "replies/s",
            "words/s",
            "first text s",
            "answer s",
            "from due s"
        )
    }
}

impl fmt::Display for Report {
    /// One row under [`Report::heading`]; the times as `p50 / p95`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |spread: &Spread| format!("{} / {}", spread.p50, spread.p95);
        write!(
            f,
            "{:>6} {:>8} {:>10} {:>6} {:>7} {:>10.2} {:>9.1} {:>17} {:>17} {:>17}",
            self.users,
            self.replies,
            self.unanswered,
            self.failed,
            self.put_off,
            self.replies_per_second,
            self.words_per_second,
            pair(&self.first_text),
            pair(&self.answer),
            pair(&self.answer_from_due),
        )
    }
}

impl Spread {
    /// By nearest rank: a percentile is one of the values, and never one in between.
    pub fn of(times: impl Iterator<Item = Figure>) -> Self {
        let mut times: Vec<Figure> = times.collect();
        times.sort_unstable_by(Figure::order);
        let rank = |percent: usize| {
            let at = (times.len() * percent).div_ceil(100).max(1) - 1;
            times.get(at).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p95: rank(95), max: rank(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::Figure::{AtLeast, Measured, Unknown};
    use super::*;
    use serde_json::json;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn turn(answer_ms: Option<u64>, late_ms: u64) -> Turn {
        Turn {
            late: Duration::from_millis(late_ms),
            first_text: answer_ms.map(|ms| Duration::from_millis(ms / 2)),
            ending: answer_ms.map_or(Ending::Unanswered, |ms| Ending::Answered(Duration::from_millis(ms))),
            words: 10,
            ..Turn::unwritten(Mood::Neutral, PATIENCE)
        }
    }

    #[test]
    fn percentiles_are_values_by_nearest_rank() {
        let spread = Spread::of((1..=100).rev().map(|n| Measured(f64::from(n))));
        assert_eq!(spread, Spread { p50: Measured(50.0), p95: Measured(95.0), max: Measured(100.0) });
        let one = Spread::of([Measured(3.0)].into_iter());
        assert_eq!(one, Spread { p50: Measured(3.0), p95: Measured(3.0), max: Measured(3.0) });
    }

    #[test]
    fn unanswered_messages_count_but_say_no_words() {
        let turns = [turn(Some(1000), 0), turn(None, 0), turn(Some(3000), 0)];
        let report = Report::new(2, Duration::from_secs(4), &turns);
        assert_eq!((report.messages, report.replies, report.unanswered), (3, 2, 1));
        assert_eq!((report.replies_per_second, report.words_per_second), (0.5, 5.0));
        assert!(!report.is_complete());
    }

    #[test]
    fn unanswered_messages_are_slower_than_all_answers_in_every_time() {
        let mut turns = vec![turn(Some(1000), 0); 94];
        turns.extend([turn(None, 2000); 6]);
        let report = Report::new(1, Duration::from_secs(1), &turns);
        assert_eq!(report.answer, Spread { p50: Measured(1.0), p95: AtLeast(30.0), max: AtLeast(30.0) });
        assert_eq!(report.first_text, Spread { p50: Measured(0.5), ..report.answer });
        assert_eq!(report.answer_from_due.p95, AtLeast(32.0));
        let few = Report::new(1, Duration::from_secs(1), &turns[..turns.len() - 2]);
        assert_eq!(few.answer.p95, Measured(1.0), "4 of 98 are less than 5 of 100");
    }

    #[test]
    fn an_answer_that_came_late_still_ranks_before_one_that_never_came() {
        let spread = Spread::of([AtLeast(5.0), Measured(9.0)].into_iter());
        assert_eq!((spread.p50, spread.max), (Measured(9.0), AtLeast(5.0)));
    }

    #[test]
    fn an_apology_is_no_answer_and_being_put_off_is_no_harm() {
        let failed = Turn { ending: Ending::Failed, ..turn(None, 0) };
        let late = Turn { put_off: true, ..turn(Some(2000), 0) };
        let report = Report::new(1, Duration::from_secs(1), &[failed, late]);
        assert_eq!((report.replies, report.unanswered, report.failed, report.put_off), (1, 0, 1, 1));
        assert_eq!((report.answer.p50, report.answer.max), (Measured(2.0), AtLeast(30.0)));
        assert!(!report.is_complete());
        assert!(Report::new(1, Duration::from_secs(1), &[late]).is_complete());
    }

    #[test]
    fn lateness_against_the_plan_shows_in_the_times_from_due() {
        let report = Report::new(1, Duration::from_secs(10), &[turn(Some(1000), 0), turn(Some(1000), 4000)]);
        assert_eq!((report.answer.max, report.answer_from_due.max), (Measured(1.0), Measured(5.0)));
    }

    #[test]
    fn a_row_stands_under_its_heading_and_says_what_was_not_measured() {
        for (turns, words) in [
            (vec![turn(Some(1000), 0)], "1.00 / 1.00"),
            (vec![turn(None, 0)], ">30.00 / >30.00"),
            (Vec::new(), "– / –"),
        ] {
            let report = Report::new(1, Duration::from_secs(1), &turns);
            assert_eq!(report.to_string().chars().count(), Report::heading().chars().count());
            assert!(report.to_string().ends_with(words), "{report}");
        }
    }

    #[test]
    fn a_number_in_json_is_always_one_that_was_measured() {
        let report = Report::new(1, Duration::from_secs(1), &[turn(Some(1000), 0), turn(None, 0)]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["answer"], json!({ "p50": 1.0, "p95": null, "max": null }));
        assert_eq!(Spread::of(std::iter::empty()), Spread { p50: Unknown, p95: Unknown, max: Unknown });
        assert_eq!(serde_json::to_value(Unknown).unwrap(), json!(null));
    }
}
