//! The ledger: what each user did and saw, and every call of the bot, in order and with times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{broadcast, watch};

/// Entries that a slow subscriber may lag behind before it loses the oldest.
const SUBSCRIBER_LAG: usize = 4096;

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Counts from 1 without gaps.
    pub seq: u64,
    /// Time since the emulator's start; serialised as seconds.
    #[serde(rename = "at_s", serialize_with = "as_seconds")]
    pub at: Duration,
    /// The chat it happened in; for a private chat the user's id.
    pub chat: Option<i64>,
    /// The user who did it, if a user did.
    pub user: Option<i64>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened. `User…` is what people did, `Saw…` what they saw, the rest is the wire.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are the Bot API's own words")]
pub enum Event {
    /// A user wrote a text.
    UserWrote { message_id: i64, text: String },
    /// A user sent something that is not text: `photo`, `voice`, `sticker`, …
    UserSent { message_id: i64, media: String, caption: Option<String> },
    /// A user changed an earlier message.
    UserEdited { message_id: i64, text: String },
    /// A user pressed a button.
    UserPressed { message_id: i64, data: String, callback_id: String },
    /// A user pressed Stop under a draft.
    UserStopped { draft_id: i64 },
    /// A user blocked the bot, or a group removed it.
    UserBlocked,
    /// A user unblocked the bot, or a group added it.
    UserUnblocked,
    /// A group became a supergroup.
    Migrated { to: i64 },
    /// A message of the bot appeared.
    SawMessage {
        message_id: i64,
        text: String,
        entities: Value,
        markup: Option<Value>,
        reply_to: Option<i64>,
        message_thread_id: Option<i64>,
    },
    /// A file of the bot appeared.
    SawDocument {
        message_id: i64,
        file_id: String,
        file_name: String,
        size: u64,
        caption: String,
        message_thread_id: Option<i64>,
    },
    /// A message of the bot changed.
    SawEdit { message_id: i64, text: String, markup: Option<Value> },
    /// A message vanished.
    SawDelete { message_id: i64 },
    /// A draft appeared or grew. Empty text is shown as "Thinking…".
    SawDraft { draft_id: i64, text: String, can_stop: bool, message_thread_id: Option<i64> },
    /// A draft vanished: `sent` (a message came), `replaced`, `stopped` or `expired`.
    DraftGone { draft_id: i64, why: &'static str },
    /// "typing…" or another action appeared, or was refreshed.
    SawAction { action: String, message_thread_id: Option<i64> },
    /// The action vanished: by its age, or because a message came.
    ActionGone,
    /// The bot's reactions to a message changed.
    SawReaction { message_id: i64, reactions: Vec<String> },
    /// The answer to a pressed button: a notice at the top of the chat, or an alert.
    SawNotice { callback_id: String, text: String, alert: bool },
    /// The bot called a method, and this is how it ended. A call that was cut has status 0.
    Call { method: String, params: Value, status: u16, description: Option<String>, took_ms: u64 },
    /// An injected fault struck a call.
    Fault { method: String, fault: String },
}

fn as_seconds<S: serde::Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_secs_f64())
}

/// Keeps the newest entries, tells subscribers, and wakes those who wait.
#[derive(Debug)]
pub struct Ledger {
    entries: VecDeque<Arc<Entry>>,
    capacity: usize,
    next: u64,
    live: broadcast::Sender<Arc<Entry>>,
    newest: watch::Sender<u64>,
}

impl Ledger {
    /// An empty ledger of `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity: capacity.max(1),
            next: 1,
            live: broadcast::Sender::new(SUBSCRIBER_LAG),
            newest: watch::Sender::new(0),
        }
    }

    /// Adds an entry and returns its number.
    pub fn add(&mut self, at: Duration, chat: Option<i64>, user: Option<i64>, event: Event) -> u64 {
        let entry = Arc::new(Entry { seq: self.next, at, chat, user, event });
        self.next += 1;
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(Arc::clone(&entry));
        let seq = entry.seq;
        // Nobody listening is no error.
        let _ = self.live.send(entry);
        self.newest.send_replace(seq);
        seq
    }

    /// Entries after `seq`, oldest first.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let first = self.next - self.entries.len() as u64;
        let skip = usize::try_from((seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.range(skip.min(self.entries.len())..)
    }

    /// The newest entry's number, 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.next - 1
    }

    /// Entries as they come; who lags more than 4096 behind loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.live.subscribe()
    }

    /// Changes whenever an entry is added.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ledger_keeps_its_newest_entries_and_its_numbers() {
        let mut ledger = Ledger::new(3);
        for _ in 0..5 {
            ledger.add(Duration::ZERO, None, None, Event::UserBlocked);
        }
        let seqs = |seq| ledger.since(seq).map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(seqs(0), [3, 4, 5]);
        assert_eq!(seqs(4), [5]);
        assert_eq!(seqs(5), [0; 0]);
        assert_eq!(seqs(99), [0; 0]);
        assert_eq!(ledger.last_seq(), 5);
    }
}
