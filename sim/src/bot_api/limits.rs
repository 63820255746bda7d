//! Flood limits: pure decisions about whether a send may pass now, and if not, how long to wait.
//!
//! Each limit is a generic cell rate algorithm (ITU-T I.371): one instant a bucket, no counters.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::config::{Limits, Rate};

/// All buckets of one bot.
#[derive(Debug, Default)]
pub struct Limiter {
    overall: Bucket,
    chats: HashMap<i64, ChatBuckets>,
}

#[derive(Debug, Default)]
struct ChatBuckets {
    sends: Bucket,
    group: Bucket,
    drafts: Bucket,
}

/// The theoretical arrival time of the next event; absent before the first.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Option<Instant>);

impl Limiter {
    /// Counts a message or an edit to `chat`.
    ///
    /// # Errors
    /// The time to wait when any limit is reached; then nothing is counted.
    pub fn send(&mut self, limits: &Limits, chat: i64, is_group: bool, now: Instant) -> Result<(), Duration> {
        let buckets = self.chats.entry(chat).or_default();
        let per_group = if is_group { limits.per_group } else { None };
        let wait = buckets
            .sends
            .wait(limits.per_chat, now)
            .max(buckets.group.wait(per_group, now))
            .max(self.overall.wait(limits.overall, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.sends.take(limits.per_chat, now);
        buckets.group.take(per_group, now);
        self.overall.take(limits.overall, now);
        Ok(())
    }

    /// Counts a draft to `chat`.
    ///
    /// # Errors
    /// The time to wait when the limit is reached.
    pub fn draft(&mut self, limits: &Limits, chat: i64, now: Instant) -> Result<(), Duration> {
        let bucket = &mut self.chats.entry(chat).or_default().drafts;
        let wait = bucket.wait(limits.drafts, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        bucket.take(limits.drafts, now);
        Ok(())
    }
}

impl Bucket {
    fn wait(self, rate: Option<Rate>, now: Instant) -> Duration {
        let (Some(rate), Some(expected)) = (rate, self.0) else { return Duration::ZERO };
        let tolerance = interval(rate) * rate.burst.saturating_sub(1);
        expected.saturating_duration_since(now).saturating_sub(tolerance)
    }

    fn take(&mut self, rate: Option<Rate>, now: Instant) {
        if let Some(rate) = rate {
            self.0 = Some(self.0.map_or(now, |expected| expected.max(now)) + interval(rate));
        }
    }
}

fn interval(rate: Rate) -> Duration {
    rate.per / rate.count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(limits: &Limits, is_group: bool, seconds: u64, a_second: u64) -> u64 {
        let (start, mut limiter) = (Instant::now(), Limiter::default());
        let attempts = (0..seconds * a_second).map(|i| start + Duration::from_micros(i * 1_000_000 / a_second));
        attempts.filter(|now| limiter.send(limits, 1, is_group, *now).is_ok()).count() as u64
    }

    #[tokio::test]
    async fn a_chat_takes_a_short_burst_and_then_one_a_second() {
        assert_eq!(passed(&Limits::telegram(), false, 10, 100), 3 + 9);
    }

    #[tokio::test]
    async fn a_group_takes_twenty_and_then_one_every_three_seconds() {
        let limits = Limits { per_chat: None, ..Limits::telegram() };
        assert_eq!(passed(&limits, true, 60, 10), 20 + 19);
    }

    #[tokio::test]
    async fn the_bot_takes_thirty_a_second_over_all_chats() {
        let (now, mut limiter, limits) = (Instant::now(), Limiter::default(), Limits::telegram());
        let passed = (0..100).filter(|chat| limiter.send(&limits, *chat, false, now).is_ok()).count();
        assert_eq!(passed, 30);
        let wait = limiter.send(&limits, 1000, false, now).unwrap_err();
        assert!(limiter.send(&limits, 1000, false, now + wait).is_ok(), "waiting as told is enough");
    }

    #[tokio::test]
    async fn a_refused_send_costs_nothing() {
        let (now, mut limiter, limits) = (Instant::now(), Limiter::default(), Limits::telegram());
        (0..3).for_each(|_| limiter.send(&limits, 1, false, now).unwrap());
        let first = limiter.send(&limits, 1, false, now).unwrap_err();
        (0..50).for_each(|_| assert_eq!(limiter.send(&limits, 1, false, now), Err(first)));
    }

    #[tokio::test]
    async fn limits_that_are_off_let_everything_pass() {
        assert_eq!(passed(&Limits::off(), true, 1, 5000), 5000);
    }
}
