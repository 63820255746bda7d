//! A messenger in memory, in the caller's thread: for tests in virtual time, with faults on demand.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ports::{ApiError, Me, Messenger, Sent, Update};
use crate::types::{Button, ChatId, Incoming, Outgoing};

/// Holds updates as the server does, until they are confirmed, and remembers every call.
#[derive(Debug, Default)]
pub struct FakeMessenger {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    updates: Vec<Update>,
    polls: VecDeque<ApiError>,
    sends: VecDeque<(Option<ChatId>, ApiError)>,
    drafts: VecDeque<ApiError>,
    typings: VecDeque<ApiError>,
    send_time: Duration,
    draft_time: Duration,
    calls: Vec<(Instant, Call)>,
}

/// One call that was made.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// A poll from this offset.
    Updates(Option<i64>),
    /// A send, successful or not.
    Send(ChatId, Outgoing),
    /// "typing…", and in which topic.
    Typing(ChatId, Option<i64>),
    /// A preview: its topic, draft id and text.
    Draft(ChatId, Option<i64>, i64, String),
    /// An edit: message id and text.
    Edit(ChatId, i64, String),
    /// The commands' names.
    SetCommands(Vec<String>),
}

impl FakeMessenger {
    /// The bot's own id.
    pub const BOT: i64 = 7;

    /// A messenger where nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// A person did something; polls give it until it is confirmed.
    pub fn receive(&self, incoming: Incoming) {
        self.receive_update(Update { id: incoming.update_id, incoming: Some(incoming) });
    }

    /// An update arrives, which may mean nothing.
    pub fn receive_update(&self, update: Update) {
        self.state().updates.push(update);
        self.arrived.notify_waiters();
    }

    /// The next polls fail like this, one after the other.
    pub fn fail_polls(&self, errors: impl IntoIterator<Item = ApiError>) {
        self.state().polls.extend(errors);
    }

    /// The next sends to a chat (none: to any) fail like this, one after the other.
    pub fn fail_sends(&self, chat: Option<ChatId>, errors: impl IntoIterator<Item = ApiError>) {
        self.state().sends.extend(errors.into_iter().map(|error| (chat, error)));
    }

    /// The next previews fail like this, one after the other.
    pub fn fail_drafts(&self, errors: impl IntoIterator<Item = ApiError>) {
        self.state().drafts.extend(errors);
    }

    /// The next "typing…" fail like this, one after the other.
    pub fn fail_typing(&self, errors: impl IntoIterator<Item = ApiError>) {
        self.state().typings.extend(errors);
    }

    /// Every send from now on takes this long, on tokio's clock.
    pub fn send_time(&self, time: Duration) {
        self.state().send_time = time;
    }

    /// Every preview from now on takes this long, on tokio's clock.
    pub fn draft_time(&self, time: Duration) {
        self.state().draft_time = time;
    }

    /// Updates that nobody confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.state().updates.len()
    }

    /// Every call so far and when it began, in order.
    pub fn calls(&self) -> Vec<(Instant, Call)> {
        self.state().calls.clone()
    }

    /// The texts sent to a chat so far, failed sends included.
    pub fn texts(&self, chat: ChatId) -> Vec<String> {
        let text = |(_, call)| match call {
            Call::Send(to, Outgoing::Text { text, .. }) if to == chat => Some(text),
            _ => None,
        };
        self.calls().into_iter().filter_map(text).collect()
    }

    fn record(&self, call: Call) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.calls.push((Instant::now(), call));
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked holding the lock has failed anyway; others may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Messenger for FakeMessenger {
    async fn me(&self) -> Result<Me, ApiError> {
        Ok(Me { id: Self::BOT, username: "friend_bot".to_owned() })
    }

    async fn updates(&self, offset: Option<i64>, wait: Duration) -> Result<Vec<Update>, ApiError> {
        // Whatever lies below the offset counts as confirmed, also when it comes later.
        let asked_for = |update: &Update| offset.is_none_or(|offset| update.id >= offset);
        {
            let mut state = self.record(Call::Updates(offset));
            if let Some(error) = state.polls.pop_front() {
                return Err(error);
            }
            state.updates.retain(|update| asked_for(update));
        }
        let arrived = async {
            loop {
                let arrival = self.arrived.notified();
                let held: Vec<_> = self.state().updates.iter().filter(|update| asked_for(update)).cloned().collect();
                if !held.is_empty() {
                    return held;
                }
                arrival.await;
            }
        };
        Ok(tokio::time::timeout(wait, arrived).await.unwrap_or_default())
    }

    async fn send(&self, chat: ChatId, outgoing: &Outgoing) -> Result<Sent, ApiError> {
        let time = self.record(Call::Send(chat, outgoing.clone())).send_time;
        tokio::time::sleep(time).await;
        let mut state = self.state();
        let due = state.sends.iter().position(|(only, _)| only.is_none_or(|only| only == chat));
        match due.and_then(|at| state.sends.remove(at)) {
            Some((_, error)) => Err(error),
            None => Ok(Sent { message_id: i64::try_from(state.calls.len()).ok() }),
        }
    }

    async fn typing(&self, chat: ChatId, topic: Option<i64>) -> Result<(), ApiError> {
        self.record(Call::Typing(chat, topic)).typings.pop_front().map_or(Ok(()), Err)
    }

    async fn draft(&self, chat: ChatId, topic: Option<i64>, draft_id: i64, text: &str) -> Result<(), ApiError> {
        let time = self.record(Call::Draft(chat, topic, draft_id, text.to_owned())).draft_time;
        tokio::time::sleep(time).await;
        self.state().drafts.pop_front().map_or(Ok(()), Err)
    }

    async fn edit(&self, chat: ChatId, message_id: i64, text: &str, _: &[Vec<Button>]) -> Result<(), ApiError> {
        drop(self.record(Call::Edit(chat, message_id, text.to_owned())));
        Ok(())
    }

    async fn set_commands(&self, commands: &[(&str, &str)]) -> Result<(), ApiError> {
        drop(self.record(Call::SetCommands(commands.iter().map(|(name, _)| (*name).to_owned()).collect())));
        Ok(())
    }
}
