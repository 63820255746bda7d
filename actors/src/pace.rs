//! When the next call may be made: per-chat pacing, `retry_after` and exponential back-off, as pure functions of `now`.
//!
//! Telegram asks for about one message a second in a private chat and twenty a minute in a group
//! (<https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>). Nothing is throttled beforehand
//! across chats: who is told to wait, waits.

use std::time::Duration;

use tokio::time::Instant;

use crate::types::ChatId;

/// How fast messages may follow each other in one chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time that one message costs in the long run.
    pub every: Duration,
    /// Messages that may come at once after a quiet time. At least 1.
    pub burst: u32,
}

impl Rate {
    /// Private chats: one a second, three at once.
    pub const PRIVATE: Self = Self { every: Duration::from_secs(1), burst: 3 };
    /// Groups: never more than twenty in any minute (3 at once, then 17 more).
    pub const GROUP: Self = Self { every: Duration::from_millis(3_500), burst: 3 };

    /// The rate of a chat: groups have negative ids.
    pub fn of(chat: ChatId) -> Self {
        if chat.0 < 0 { Self::GROUP } else { Self::PRIVATE }
    }
}

/// What is remembered of one chat's sends. The bucket is a GCRA: one instant holds its whole state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChatPace {
    /// When the bucket will be full again.
    full_at: Option<Instant>,
    /// Nothing before this: `retry_after` or back-off.
    not_before: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

impl ChatPace {
    /// How long the next message has to wait. Zero: it may go now.
    pub fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let slack = rate.every * rate.burst.saturating_sub(1);
        let bucket = self.full_at.map_or(Duration::ZERO, |full| full.duration_since(now).saturating_sub(slack));
        bucket.max(self.blocked(now))
    }

    /// How long the chat is blocked by an answer of the server, its bucket aside.
    pub fn blocked(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.duration_since(now))
    }

    /// A message leaves now.
    pub fn sent(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full| full.max(now)) + rate.every);
    }

    /// The server answered: the messenger works.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    /// The server said how long to wait.
    pub fn retry_after(&mut self, wait: Duration, now: Instant) {
        self.not_before = Some(later(now, wait));
    }

    /// A call failed for a reason that may pass. `jitter` is in 0..1. Returns the wait.
    pub fn failed(&mut self, backoff: Backoff, jitter: f64, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff.delay(self.failures, jitter);
        self.not_before = Some(later(now, wait));
        wait
    }

    /// Whether the last call worked, as far as is known.
    pub fn is_well(&self) -> bool {
        self.failures == 0
    }

    /// Whether forgetting this chat changes nothing. A message that is given up leaves its failures to the next, which would
    /// otherwise meet the same outage as if nothing had been: they are kept as long as the longest back-off.
    pub fn is_idle(&self, backoff: Backoff, now: Instant) -> bool {
        let rest = if self.is_well() { Duration::ZERO } else { backoff.most };
        let past = |at: Option<Instant>, rest| at.is_none_or(|at| at <= now && now.duration_since(at) >= rest);
        past(self.full_at, Duration::ZERO) && past(self.not_before, rest)
    }
}

/// A server may say any number of seconds; beyond a day it is not believed (nor could every clock add it).
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

fn later(now: Instant, wait: Duration) -> Instant {
    now + wait.min(LONGEST_WAIT)
}

/// Exponential back-off with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never more than this.
    pub most: Duration,
}

impl Backoff {
    /// The wait after the nth failure in a row (from 1): doubles each time, then takes between half and all of it.
    /// `jitter` is in 0..1.
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << failures.saturating_sub(1).min(20));
        doubled.min(self.most).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends as early as allowed, `count` times; returns when each left, from the start.
    fn greedy(rate: Rate, count: usize) -> Vec<Duration> {
        let start = Instant::now();
        let (mut pace, mut now, mut left) = (ChatPace::default(), start, Vec::new());
        for _ in 0..count {
            now += pace.wait(rate, now);
            pace.sent(rate, now);
            left.push(now - start);
        }
        left
    }

    #[test]
    fn a_private_chat_gets_a_burst_and_then_one_a_second() {
        let left: Vec<u64> = greedy(Rate::PRIVATE, 6).iter().map(Duration::as_secs).collect();
        assert_eq!(left, [0, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn a_group_never_gets_more_than_twenty_in_any_minute() {
        let left = greedy(Rate::GROUP, 100);
        for (n, &first) in left.iter().enumerate() {
            let inside = left[n..].iter().take_while(|&&at| at < first + Duration::from_secs(60)).count();
            assert!(inside <= 20, "{inside} within a minute from message {n}");
        }
    }

    #[test]
    fn a_told_wait_is_obeyed_even_when_absurd_and_ends_with_success() {
        let now = Instant::now();
        let mut pace = ChatPace::default();
        pace.retry_after(Duration::from_secs(70_000), now);
        assert_eq!(pace.wait(Rate::PRIVATE, now), Duration::from_secs(70_000));
        assert!(!pace.is_idle(Backoff { first: Duration::ZERO, most: Duration::ZERO }, now));
        pace.retry_after(Duration::MAX, now);
        assert_eq!(pace.wait(Rate::PRIVATE, now), LONGEST_WAIT);
        pace.succeeded();
        assert_eq!(pace.wait(Rate::PRIVATE, now), Duration::ZERO);
    }

    #[test]
    fn failures_double_the_wait_up_to_a_limit() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
        let waits: Vec<u64> = (1..8).map(|n| backoff.delay(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.delay(u32::MAX, 1.0).as_secs(), 30);
    }

    #[test]
    fn a_success_forgets_the_failures_before_it() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
        let now = Instant::now();
        let mut pace = ChatPace::default();
        (0..4).for_each(|_| _ = pace.failed(backoff, 1.0, now));
        assert!(!pace.is_well() && !pace.is_idle(backoff, now + Duration::from_secs(37)));
        assert!(pace.is_idle(backoff, now + Duration::from_secs(38)), "eight to wait, and thirty of rest");
        pace.succeeded();
        assert!(pace.is_well() && pace.is_idle(backoff, now));
        assert_eq!(pace.failed(backoff, 1.0, now), backoff.first);
    }

    proptest! {
        #[test]
        fn jitter_keeps_between_half_and_all(failures in 1_u32..100, jitter in 0.0..1.0_f64) {
            let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
            let (wait, all) = (backoff.delay(failures, jitter), backoff.delay(failures, 1.0));
            prop_assert!(wait >= all / 2 && wait <= all);
        }
    }
}
