//! The control interface: plays users, injects faults, reads and waits for the ledger.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::faults::{Fault, FaultRule};
use super::ledger::{Entry, Event};
use super::params::Upload;
use super::reply::ApiError;
use super::updates::BatchFault;
use super::{Shared, play};

mod group;
pub mod http;
mod user;

pub use group::Group;
pub use user::User;

/// A handle on a running emulator; cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

/// What was waited for did not come.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("nothing of the kind came within {waited:?}; {looked_at} other lines of the ledger did, the last one {last}")]
pub struct WaitError {
    /// How long was waited.
    pub waited: Duration,
    /// Lines looked at meanwhile.
    pub looked_at: u64,
    /// The last of them.
    pub last: String,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The person with this id, made on first sight. The private chat has the same id.
    pub fn user(&self, id: i64, first_name: &str) -> User {
        self.shared.lock().person(id, first_name);
        User::new(self.clone(), id)
    }

    /// A new group with the bot in it; `creator` is its first member. The bot is told by `my_chat_member`.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn group(&self, title: &str, creator: &User) -> Result<Group, play::PlayError> {
        Group::create(self.clone(), title, creator.id())
    }

    /// Lets calls go wrong.
    pub fn inject(&self, rule: FaultRule) {
        self.shared.lock().faults.add(rule);
    }

    /// Shorthand: the next `times` calls of `method` fail before their effect.
    pub fn fail(&self, method: &str, fault: Fault, times: u32) {
        self.inject(FaultRule::new(method, fault).times(times));
    }

    /// Drops all fault rules.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Rules that have not struck all their calls yet.
    pub fn pending_faults(&self) -> Vec<FaultRule> {
        self.shared.lock().faults.rules().to_vec()
    }

    /// Spoils the next batch of updates that is not empty.
    pub fn spoil_batch(&self, fault: BatchFault) {
        self.shared.lock().updates.inject(fault);
    }

    /// Lets update ids go on from a random place, as after an idle week: at once, or when no update waits.
    pub fn restart_update_ids(&self) -> i64 {
        let mut state = self.shared.lock();
        let id = i64::try_from(state.random_id() % 2_000_000_000).unwrap_or(0) + 1;
        state.updates.restart_ids(id);
        id
    }

    /// Lets update ids go on from `id`.
    pub fn restart_update_ids_at(&self, id: i64) {
        self.shared.lock().updates.restart_ids(id);
    }

    /// Sends the bot an update of any kind, known or not, subscribed to or not.
    pub fn raw_update(&self, kind: &str, payload: Value) -> i64 {
        let mut state = self.shared.lock();
        let id = state.updates.push_always(kind, payload, Instant::now());
        state.wake_poll();
        id
    }

    /// Sets a webhook, which ends polls with 409 until `deleteWebhook`.
    pub fn set_webhook(&self, url: &str) {
        let mut state = self.shared.lock();
        state.webhook = Some(url.to_owned());
        if let Some(poll) = state.waiting_poll.take() {
            // It may be gone already.
            let _ = poll.send(ApiError::new(409, "Conflict: terminated by setWebhook request"));
        }
    }

    /// While true, every call of the bot ends with its connection closed, those under way too: the API is out of
    /// reach. `/control` stays within reach.
    pub fn set_offline(&self, offline: bool) {
        self.shared.offline.send_replace(offline);
    }

    /// Replaces the flood limits.
    pub fn set_limits(&self, limits: super::Limits) {
        self.shared.lock().config.limits = limits;
    }

    /// Updates that wait for the bot.
    pub fn pending_updates(&self) -> usize {
        self.shared.lock().updates.len()
    }

    /// Commands that the bot has set, by `scope:chat:user:language`.
    pub fn commands(&self) -> std::collections::BTreeMap<String, Value> {
        self.shared.lock().commands.clone()
    }

    /// A file that the bot has sent.
    pub fn file(&self, file_id: &str) -> Option<Upload> {
        self.shared.lock().file(file_id).cloned()
    }

    /// All lines of the ledger after `seq` (0: from the first that is kept).
    pub fn ledger(&self, seq: u64) -> Vec<Arc<Entry>> {
        self.shared.lock().ledger.since(seq).cloned().collect()
    }

    /// The newest line's number: a mark to read or wait from.
    pub fn mark(&self) -> u64 {
        self.shared.lock().ledger.last_seq()
    }

    /// Time since the emulator's start: the ledger's clock.
    pub fn now(&self) -> Duration {
        self.shared.lock().elapsed()
    }

    /// Lines as they come. Who lags more than 4096 behind loses the oldest (`RecvError::Lagged`).
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.shared.lock().ledger.subscribe()
    }

    /// How often the bot has called `method` since `seq`, whatever came of it.
    pub fn calls(&self, method: &str, since: u64) -> usize {
        let is_call = |entry: &&Arc<Entry>| matches!(&entry.event, Event::Call { method: name, .. } if name.eq_ignore_ascii_case(method));
        self.shared.lock().ledger.since(since).filter(is_call).count()
    }

    /// The first line after `since` that `wanted` accepts, waiting for it up to `timeout`.
    ///
    /// # Errors
    /// [`WaitError`] when none came.
    pub async fn wait_for(
        &self,
        since: u64,
        timeout: Duration,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Result<Arc<Entry>, WaitError> {
        let mut newest = self.shared.lock().ledger.watch();
        let (mut seen, until) = (since, Instant::now() + timeout);
        let (mut looked_at, mut last) = (0, "none".to_owned());
        loop {
            newest.mark_unchanged();
            let fresh = self.ledger(seen);
            if let Some(found) = fresh.iter().find(|entry| wanted(entry)) {
                return Ok(Arc::clone(found));
            }
            if let Some(entry) = fresh.last() {
                looked_at += fresh.len() as u64;
                seen = entry.seq;
                last = format!("{:?}", entry.event);
            }
            if tokio::time::timeout_at(until, newest.changed()).await.is_err() {
                return Err(WaitError { waited: timeout, looked_at, last });
            }
        }
    }
}
