//! The queue of updates that wait for the bot: pure, with time passed in.
//!
//! Follows the Bot API's getUpdates: a positive offset forgets everything before it, a negative one keeps that many
//! from the end, one more than ten beyond the next id is ignored (as the public server does), and updates die after
//! 24 hours. `allowed_updates` is remembered and acts when an update is made, not when it is fetched.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// Kinds that are off until asked for by name.
const OFF_BY_DEFAULT: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];

/// Kinds of update that Bot API 10.3 knows.
pub const KINDS: [&str; 27] = [
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "guest_message",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "managed_bot",
    "subscription",
    "stopped_message_generation",
];

/// What is done to the next batch that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchFault {
    /// Every update comes twice in a row.
    Duplicated,
    /// The batch comes in reverse order.
    Reversed,
    /// The batch before comes again in front, although it was confirmed.
    Redelivered,
}

/// Updates that wait, in order of arrival.
#[derive(Debug)]
pub struct UpdateQueue {
    items: VecDeque<Pending>,
    next_id: i64,
    allowed: Option<HashSet<String>>,
    ttl: Duration,
    capacity: usize,
    restart_at: Option<i64>,
    faults: VecDeque<BatchFault>,
    last_batch: Vec<Value>,
}

#[derive(Debug)]
struct Pending {
    id: i64,
    expires: Instant,
    update: Value,
}

impl UpdateQueue {
    /// An empty queue whose first update will have `first_id`.
    pub fn new(first_id: i64, ttl: Duration, capacity: usize) -> Self {
        Self {
            items: VecDeque::new(),
            next_id: first_id,
            allowed: None,
            ttl,
            capacity: capacity.max(1),
            restart_at: None,
            faults: VecDeque::new(),
            last_batch: Vec::new(),
        }
    }

    /// Adds an update; `None` when the bot did not subscribe to its kind.
    pub fn push(&mut self, kind: &str, payload: Value, now: Instant) -> Option<i64> {
        if !self.wants(kind) {
            return None;
        }
        Some(self.push_always(kind, payload, now))
    }

    /// Adds an update of any kind, subscribed to or not: for kinds nobody has heard of.
    pub fn push_always(&mut self, kind: &str, payload: Value, now: Instant) -> i64 {
        self.forget_expired(now);
        if let (true, Some(id)) = (self.items.is_empty(), self.restart_at) {
            self.next_id = id;
            self.restart_at = None;
        }
        if self.items.len() == self.capacity {
            self.items.pop_front();
        }
        let id = self.next_id;
        self.next_id += 1;
        let update = json!({ "update_id": id, kind: payload });
        self.items.push_back(Pending { id, expires: now + self.ttl, update });
        id
    }

    /// Forgets what `offset` confirms and returns up to `limit` updates.
    pub fn fetch(&mut self, offset: Option<i64>, limit: usize, now: Instant) -> Vec<Value> {
        self.forget_expired(now);
        match offset {
            Some(n) if n < 0 => {
                let keep = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX).min(self.items.len());
                self.items.drain(..self.items.len() - keep);
            }
            Some(n) if n <= self.next_id + 10 => self.items.retain(|pending| pending.id >= n),
            _ => {}
        }
        let batch: Vec<Value> = self.items.iter().take(limit).map(|pending| pending.update.clone()).collect();
        if batch.is_empty() { batch } else { self.spoil(batch) }
    }

    /// Sets the subscription as `allowed_updates` says: names are matched without case, unknown ones ignored, and a
    /// list without any known name restores the default.
    pub fn allow(&mut self, names: &[String]) {
        let known: HashSet<String> =
            names.iter().map(|name| name.to_lowercase()).filter(|name| KINDS.contains(&name.as_str())).collect();
        self.allowed = if known.is_empty() { None } else { Some(known) };
    }

    /// The subscription, sorted; `None` means Telegram's default.
    pub fn allowed(&self) -> Option<Vec<String>> {
        self.allowed.as_ref().map(|names| {
            let mut names: Vec<String> = names.iter().cloned().collect();
            names.sort();
            names
        })
    }

    /// Lets the ids go on from `id`, as after a week without updates: at once, or when the queue is empty.
    pub fn restart_ids(&mut self, id: i64) {
        self.restart_at = Some(id);
    }

    /// Spoils the next batch that is not empty.
    pub fn inject(&mut self, fault: BatchFault) {
        self.faults.push_back(fault);
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Updates that wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    fn wants(&self, kind: &str) -> bool {
        match &self.allowed {
            Some(names) => names.contains(kind),
            None => !OFF_BY_DEFAULT.contains(&kind),
        }
    }

    fn forget_expired(&mut self, now: Instant) {
        while self.items.front().is_some_and(|pending| pending.expires <= now) {
            self.items.pop_front();
        }
    }

    fn spoil(&mut self, batch: Vec<Value>) -> Vec<Value> {
        let before = std::mem::replace(&mut self.last_batch, batch.clone());
        match self.faults.pop_front() {
            None => batch,
            Some(BatchFault::Duplicated) => batch.into_iter().flat_map(|update| [update.clone(), update]).collect(),
            Some(BatchFault::Reversed) => batch.into_iter().rev().collect(),
            Some(BatchFault::Redelivered) => before.into_iter().chain(batch).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn queue(n: i64, now: Instant) -> UpdateQueue {
        let mut queue = UpdateQueue::new(100, DAY, 1000);
        for n in 0..n {
            queue.push("message", json!({ "n": n }), now);
        }
        queue
    }

    fn ids(batch: &[Value]) -> Vec<i64> {
        batch.iter().map(|update| update["update_id"].as_i64().unwrap()).collect()
    }

    #[tokio::test]
    async fn updates_stay_until_a_later_offset_confirms_them() {
        let now = Instant::now();
        let mut queue = queue(3, now);
        assert_eq!(ids(&queue.fetch(None, 100, now)), [100, 101, 102]);
        assert_eq!(ids(&queue.fetch(Some(0), 100, now)), [100, 101, 102]);
        assert_eq!(ids(&queue.fetch(Some(101), 1, now)), [101]);
        assert_eq!(ids(&queue.fetch(Some(103), 100, now)), [0; 0]);
    }

    #[tokio::test]
    async fn a_negative_offset_keeps_only_the_end() {
        let now = Instant::now();
        let mut queue = queue(5, now);
        assert_eq!(ids(&queue.fetch(Some(-2), 100, now)), [103, 104]);
        assert_eq!(queue.len(), 2, "the earlier ones are forgotten");
    }

    #[tokio::test]
    async fn an_offset_far_in_the_future_is_ignored() {
        let now = Instant::now();
        let mut queue = queue(2, now);
        assert_eq!(ids(&queue.fetch(Some(9_000_000), 100, now)), [100, 101]);
    }

    #[tokio::test]
    async fn updates_die_after_their_time() {
        let now = Instant::now();
        let mut queue = queue(1, now);
        queue.push("message", json!({}), now + DAY / 2);
        assert_eq!(ids(&queue.fetch(None, 100, now + DAY)), [101]);
    }

    #[tokio::test]
    async fn the_subscription_acts_when_an_update_is_made() {
        let now = Instant::now();
        let mut queue = queue(1, now);
        assert_eq!(queue.push("message_reaction", json!({}), now), None, "off by default");
        queue.allow(&["Message_Reaction".to_owned(), "no_such_kind".to_owned()]);
        assert!(queue.push("message_reaction", json!({}), now).is_some());
        assert_eq!(queue.push("message", json!({}), now), None);
        assert_eq!(queue.fetch(None, 100, now).len(), 2, "what was queued before stays");
        queue.allow(&[]);
        assert!(queue.push("message", json!({}), now).is_some());
    }

    #[tokio::test]
    async fn ids_restart_only_when_nothing_waits() {
        let now = Instant::now();
        let mut queue = queue(1, now);
        queue.restart_ids(7);
        assert_eq!(queue.push("message", json!({}), now), Some(101));
        queue.fetch(Some(102), 100, now);
        assert_eq!(queue.push("message", json!({}), now), Some(7));
        assert_eq!(ids(&queue.fetch(Some(102), 100, now)), [7], "an offset of the old ids hides nothing");
    }

    #[tokio::test]
    async fn batches_can_come_doubled_reversed_or_again() {
        let now = Instant::now();
        let mut queue = queue(2, now);
        queue.inject(BatchFault::Duplicated);
        assert_eq!(ids(&queue.fetch(None, 100, now)), [100, 100, 101, 101]);
        queue.inject(BatchFault::Reversed);
        assert_eq!(ids(&queue.fetch(None, 100, now)), [101, 100]);
        queue.push("message", json!({}), now);
        queue.inject(BatchFault::Redelivered);
        assert_eq!(ids(&queue.fetch(Some(102), 100, now)), [100, 101, 102]);
    }

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest() {
        let now = Instant::now();
        let mut queue = UpdateQueue::new(1, DAY, 2);
        for _ in 0..3 {
            queue.push("message", json!({}), now);
        }
        assert_eq!(ids(&queue.fetch(None, 100, now)), [2, 3]);
    }
}
