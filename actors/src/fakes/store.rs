//! A store in memory, in the caller's thread: for tests in virtual time, with faults on demand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::ports::{Change, ChatState, OutRow, OutState, Pending, Store, StoreError};
use crate::types::{ChatId, Incoming, Outgoing, Profile, Turn};

/// Keeps what [`Store`] promises, but only as long as it lives: share it in an `Arc` and it survives a "restart".
#[derive(Debug, Default)]
pub struct FakeStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    updates: HashSet<(i64, i64)>,
    chats: HashMap<(i64, ChatId), Chat>,
    inbox: BTreeMap<i64, (i64, Incoming)>,
    outbox: BTreeMap<i64, (i64, OutRow)>,
    sent: Vec<(ChatId, Outgoing)>,
    last_id: i64,
    delay: Duration,
    delays: HashMap<&'static str, Duration>,
    faults: Vec<Fault>,
    calls: HashMap<&'static str, usize>,
    fenced: usize,
    /// Turns with these words make the caller panic, this often.
    poison: HashMap<String, u32>,
}

#[derive(Debug, Default)]
struct Chat {
    epoch: i64,
    generation: i64,
    profile: Option<Profile>,
    turns: Vec<(i64, Turn)>,
}

#[derive(Debug)]
struct Fault {
    /// A method's name; none means any.
    method: Option<&'static str>,
    times: usize,
    error: StoreError,
    /// The change is made all the same: only the answer gets lost.
    applied: bool,
}

impl FakeStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next `times` calls of any method fail and change nothing.
    pub fn fail_next(&self, times: usize, error: StoreError) {
        self.state().faults.push(Fault { method: None, times, error, applied: false });
    }

    /// The next `times` calls of one method (its name in [`Store`]) fail and change nothing.
    pub fn fail_next_of(&self, method: &'static str, times: usize, error: StoreError) {
        self.state().faults.push(Fault { method: Some(method), times, error, applied: false });
    }

    /// The next `times` calls of one method do their work, but the caller hears [`StoreError::Stopped`].
    pub fn lose_answers_of(&self, method: &'static str, times: usize) {
        self.state().faults.push(Fault { method: Some(method), times, error: StoreError::Stopped, applied: true });
    }

    /// Remembering a turn that contains these words panics in the caller, this often.
    pub fn panic_at_turns_with(&self, words: &str, times: u32) {
        self.state().poison.insert(words.to_owned(), times);
    }

    /// Every call from now on takes this long, on tokio's clock. What it does happens in the middle.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// As [`FakeStore::delay`], for one method.
    pub fn delay_of(&self, method: &'static str, delay: Duration) {
        self.state().delays.insert(method, delay);
    }

    /// Calls of one method so far, failed ones included.
    pub fn calls(&self, method: &'static str) -> usize {
        self.state().calls.get(method).copied().unwrap_or(0)
    }

    /// All turns of a chat, those before a reset included, oldest first.
    pub fn turns(&self, bot: i64, chat: ChatId) -> Vec<Turn> {
        let state = self.state();
        state.chats.get(&(bot, chat)).map_or_else(Vec::new, |c| c.turns.iter().map(|(_, turn)| turn.clone()).collect())
    }

    /// What was marked as sent, in that order.
    pub fn sent(&self) -> Vec<(ChatId, Outgoing)> {
        self.state().sent.clone()
    }

    /// Outbox rows that are not sent, given up ones included, oldest first.
    pub fn outbox(&self) -> Vec<OutRow> {
        self.state().outbox.values().map(|(_, row)| row.clone()).collect()
    }

    /// Changes that were refused because another owner had the chat.
    pub fn fenced(&self) -> usize {
        self.state().fenced
    }

    /// Inbox rows without an answer, of all chats.
    pub fn unanswered(&self) -> usize {
        self.state().inbox.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked holding the lock has failed anyway; others may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(
        &self,
        method: &'static str,
        work: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let delay = {
            let mut state = self.state();
            *state.calls.entry(method).or_default() += 1;
            state.delays.get(method).copied().unwrap_or(state.delay)
        };
        let half = || async {
            if !delay.is_zero() {
                tokio::time::sleep(delay / 2).await;
            }
        };
        half().await;
        let outcome = {
            let mut state = self.state();
            match state.take_fault(method) {
                Some(fault) if fault.applied => work(&mut state).and(Err(fault.error)),
                Some(fault) => Err(fault.error),
                None => work(&mut state),
            }
        };
        half().await;
        outcome
    }
}

impl State {
    fn is_poisoned(&mut self, change: &Change) -> bool {
        let said = |words: &str| change.turns.iter().any(|turn| turn.text.contains(words));
        let Some((_, left)) = self.poison.iter_mut().find(|(words, left)| **left > 0 && said(words)) else {
            return false;
        };
        *left -= 1;
        true
    }

    fn take_fault(&mut self, method: &'static str) -> Option<Fault> {
        let due = self.faults.iter_mut().find(|fault| fault.times > 0 && fault.method.is_none_or(|m| m == method))?;
        due.times -= 1;
        Some(Fault { method: due.method, times: 1, error: due.error.clone(), applied: due.applied })
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn finish(&mut self, bot: i64, chat: ChatId, epoch: i64, change: Change) -> Result<(), StoreError> {
        let Some(known) = self.chats.get_mut(&(bot, chat)).filter(|known| known.epoch == epoch) else {
            self.fenced += 1;
            return Err(StoreError::Fenced);
        };
        known.generation += i64::from(change.reset);
        let generation = known.generation;
        known.turns.extend(change.turns.into_iter().map(|turn| (generation, turn)));
        known.profile = change.profile.or(known.profile.take());
        for seq in change.done {
            if self.inbox.get(&seq).is_some_and(|(its, incoming)| *its == bot && incoming.chat == chat) {
                self.inbox.remove(&seq);
            }
        }
        for outgoing in change.out {
            let id = self.next_id();
            let row = OutRow { id, chat, outgoing, state: OutState::Pending, attempts: 0 };
            self.outbox.insert(id, (bot, row));
        }
        Ok(())
    }

    fn mark(&mut self, row: i64, to: OutState) -> bool {
        let Some((_, found)) = self.outbox.get_mut(&row) else { return false };
        found.state = to;
        match to {
            OutState::Sending => found.attempts += 1,
            OutState::Pending => found.attempts = found.attempts.saturating_sub(1),
            OutState::Sent => {
                if let Some((_, row)) = self.outbox.remove(&row) {
                    self.sent.push((row.chat, row.outgoing));
                }
            }
            OutState::Failed | OutState::Ambiguous => {}
        }
        true
    }

    fn migrate(&mut self, bot: i64, from: ChatId, to: ChatId) {
        if from == to {
            return;
        }
        for (_, incoming) in self.inbox.values_mut().filter(|(its, incoming)| *its == bot && incoming.chat == from) {
            incoming.chat = to;
        }
        for (_, row) in self.outbox.values_mut().filter(|(its, row)| *its == bot && row.chat == from) {
            row.chat = to;
        }
        let Some(old) = self.chats.remove(&(bot, from)) else { return };
        let new = self.chats.entry((bot, to)).or_default();
        let visible = new.generation;
        let moved = old.turns.into_iter().map(|(its, turn)| (if its == old.generation { visible } else { -1 }, turn));
        new.turns.extend(moved);
        new.turns.sort_by_key(|(_, turn)| turn.at_ms);
        new.epoch = new.epoch.max(old.epoch + 1) + 1;
        new.profile = new.profile.take().or(old.profile);
    }
}

/// Chats of some rows, oldest row first, each once.
fn distinct(chats: impl Iterator<Item = ChatId>) -> Vec<ChatId> {
    let mut seen = HashSet::new();
    chats.filter(|&chat| seen.insert(chat)).collect()
}

fn is_unsent(row: &OutRow) -> bool {
    matches!(row.state, OutState::Pending | OutState::Sending)
}

#[async_trait]
impl Store for FakeStore {
    async fn ingest(&self, bot: i64, batch: Vec<Incoming>) -> Result<Vec<ChatId>, StoreError> {
        self.call("ingest", |state| {
            let mut chats = Vec::new();
            for incoming in batch {
                if state.updates.insert((bot, incoming.update_id)) {
                    chats.push(incoming.chat);
                    let seq = state.next_id();
                    state.inbox.insert(seq, (bot, incoming));
                }
            }
            Ok(distinct(chats.into_iter()))
        })
        .await
    }

    async fn waiting(&self, bot: i64) -> Result<Vec<ChatId>, StoreError> {
        let of_bot = |state: &mut State| {
            distinct(state.inbox.values().filter(|(its, _)| *its == bot).map(|(_, incoming)| incoming.chat))
        };
        self.call("waiting", |state| Ok(of_bot(state))).await
    }

    async fn claim(&self, bot: i64, chat: ChatId, turns: usize) -> Result<ChatState, StoreError> {
        self.call("claim", |state| {
            let known = state.chats.entry((bot, chat)).or_default();
            known.epoch += 1;
            let visible = known.turns.iter().filter(|(its, _)| *its == known.generation).map(|(_, turn)| turn.clone());
            let mut visible: Vec<Turn> = visible.collect();
            visible.drain(..visible.len().saturating_sub(turns));
            Ok(ChatState { epoch: known.epoch, turns: visible, profile: known.profile.clone().unwrap_or_default() })
        })
        .await
    }

    async fn pending(&self, bot: i64, chat: ChatId, limit: usize) -> Result<Vec<Pending>, StoreError> {
        self.call("pending", |state| {
            let its = state.inbox.iter().filter(|(_, (its, incoming))| *its == bot && incoming.chat == chat);
            Ok(its.take(limit).map(|(&seq, (_, incoming))| Pending { seq, incoming: incoming.clone() }).collect())
        })
        .await
    }

    async fn finish(&self, bot: i64, chat: ChatId, epoch: i64, change: Change) -> Result<(), StoreError> {
        let poisoned = self.state().is_poisoned(&change);
        assert!(!poisoned, "on purpose: a test poisoned these words");
        self.call("finish", |state| state.finish(bot, chat, epoch, change)).await
    }

    async fn unsent(&self, bot: i64) -> Result<Vec<ChatId>, StoreError> {
        let of_bot = |state: &mut State| {
            let rows = state.outbox.values().filter(|(its, row)| *its == bot && is_unsent(row));
            distinct(rows.map(|(_, row)| row.chat))
        };
        self.call("unsent", |state| Ok(of_bot(state))).await
    }

    async fn next_out(&self, bot: i64, chat: ChatId) -> Result<Option<OutRow>, StoreError> {
        self.call("next_out", |state| {
            let mut rows = state.outbox.values();
            let next = rows.find(|(its, row)| *its == bot && row.chat == chat && is_unsent(row));
            Ok(next.map(|(_, row)| row.clone()))
        })
        .await
    }

    async fn mark(&self, row: i64, state: OutState) -> Result<bool, StoreError> {
        self.call("mark", |all| Ok(all.mark(row, state))).await
    }

    async fn migrate(&self, bot: i64, from: ChatId, to: ChatId) -> Result<(), StoreError> {
        self.call("migrate", |state| {
            state.migrate(bot, from, to);
            Ok(())
        })
        .await
    }

    async fn erase(&self, bot: i64, chat: ChatId, before: i64) -> Result<(), StoreError> {
        self.call("erase", |state| {
            state.inbox.retain(|&seq, (its, incoming)| *its != bot || incoming.chat != chat || seq >= before);
            state.outbox.retain(|_, (its, row)| *its != bot || row.chat != chat);
            if let Some(known) = state.chats.get_mut(&(bot, chat)) {
                known.turns.clear();
                known.profile = None;
            }
            Ok(())
        })
        .await
    }

    async fn export(&self, bot: i64, chat: ChatId) -> Result<Value, StoreError> {
        self.call("export", |state| {
            let known = state.chats.get(&(bot, chat));
            let turns = known.into_iter().flat_map(|known| {
                known.turns.iter().map(|(its, turn)| {
                    json!({ "who": turn.role, "text": turn.text, "mode": turn.mode, "before_reset": *its != known.generation })
                })
            });
            let turns: Vec<Value> = turns.collect();
            let waiting = state.inbox.values().filter(|(its, incoming)| *its == bot && incoming.chat == chat);
            let waiting: Vec<Value> = waiting.map(|(_, incoming)| json!({ "message": incoming })).collect();
            let not_sent = state.outbox.values().filter(|(its, row)| *its == bot && row.chat == chat);
            let not_sent = not_sent.map(|(_, row)| {
                let mut message = json!(row.outgoing);
                // A file on its way is an export of its own.
                message.as_object_mut().and_then(|message| message.remove("content"));
                json!({ "message": message })
            });
            let not_sent: Vec<Value> = not_sent.collect();
            Ok(json!({
                "chat": chat.0,
                "profile": known.and_then(|known| known.profile.clone()),
                "turns": turns,
                "waiting_for_an_answer": waiting,
                "not_sent": not_sent,
            }))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::contract;

    #[tokio::test]
    async fn the_fake_keeps_the_promises_of_a_store() {
        contract::check_store(&FakeStore::new()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn faults_come_when_asked_for_and_pass() {
        let store = FakeStore::new();
        let batch = vec![contract::message(1, ChatId(1), "hi")];
        store.fail_next(1, StoreError::Overloaded);
        assert_eq!(store.waiting(1).await, Err(StoreError::Overloaded));
        store.fail_next_of("ingest", 2, StoreError::Stopped);
        assert_eq!(store.waiting(1).await, Ok(vec![]));
        for _ in 0..2 {
            assert_eq!(store.ingest(1, batch.clone()).await, Err(StoreError::Stopped));
        }
        assert_eq!(store.unanswered(), 0);

        store.lose_answers_of("ingest", 1);
        store.delay(Duration::from_secs(60));
        let before = tokio::time::Instant::now();
        assert_eq!(store.ingest(1, batch.clone()).await, Err(StoreError::Stopped));
        assert_eq!(before.elapsed(), Duration::from_secs(60));
        assert_eq!((store.unanswered(), store.calls("ingest")), (1, 3));
        assert_eq!(store.ingest(1, batch).await, Ok(vec![]));
    }
}
