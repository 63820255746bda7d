//! One person, as a test plays them.

use std::sync::Arc;
use std::time::Duration;

use super::super::chat::Access;
use super::super::ledger::{Entry, Event};
use super::super::play::{self, Item, Media, PlayError, Sent};
use super::{Control, WaitError};

/// A person with a private chat to the bot; cheap to clone.
#[derive(Clone, Debug)]
pub struct User {
    control: Control,
    id: i64,
}

impl User {
    pub(super) fn new(control: Control, id: i64) -> Self {
        Self { control, id }
    }

    /// The user's id, which is the private chat's id too.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Writes to the bot. Texts beyond 4096 characters go in pieces; the last is returned.
    ///
    /// # Panics
    /// Never: the user and the private chat exist as long as this handle.
    pub fn say(&self, text: &str) -> Sent {
        self.must(play::say(&mut self.control.shared.lock(), self.id, self.id, text, None))
    }

    /// Writes in answer to a message.
    ///
    /// # Errors
    /// When there is no such message.
    pub fn reply(&self, to: i64, text: &str) -> Result<Sent, PlayError> {
        play::say(&mut self.control.shared.lock(), self.id, self.id, text, Some(to))
    }

    /// Sends a photo, a voice message, …
    pub fn send(&self, media: Media, caption: Option<&str>) -> Sent {
        let item = Item { media, caption, album: None };
        self.must(play::send(&mut self.control.shared.lock(), self.id, self.id, item))
    }

    /// Sends photos, videos, … as one album: a message each, that name it.
    pub fn send_album(&self, items: &[(Media, Option<&str>)]) -> Vec<Sent> {
        let mut state = self.control.shared.lock();
        let album = state.random_id().to_string();
        let item = |&(media, caption)| Item { media, caption, album: Some(&album) };
        items.iter().map(item).map(|item| self.must(play::send(&mut state, self.id, self.id, item))).collect()
    }

    /// Changes what they wrote.
    ///
    /// # Errors
    /// When there is no such message of theirs.
    pub fn edit(&self, message_id: i64, text: &str) -> Result<Sent, PlayError> {
        play::edit(&mut self.control.shared.lock(), self.id, self.id, message_id, text)
    }

    /// Presses the newest button with this data or text.
    ///
    /// # Errors
    /// When no message shows one.
    pub fn press(&self, wanted: &str) -> Result<Sent, PlayError> {
        play::press(&mut self.control.shared.lock(), self.id, self.id, None, wanted).map(|(sent, _)| sent)
    }

    /// Presses a button under one message.
    ///
    /// # Errors
    /// When that message shows none.
    pub fn press_on(&self, message_id: i64, wanted: &str) -> Result<Sent, PlayError> {
        play::press(&mut self.control.shared.lock(), self.id, self.id, Some(message_id), wanted).map(|(sent, _)| sent)
    }

    /// Presses Stop under the draft.
    ///
    /// # Errors
    /// When no draft with a Stop button is shown.
    pub fn stop_draft(&self) -> Result<Sent, PlayError> {
        play::stop_draft(&mut self.control.shared.lock(), self.id)
    }

    /// Blocks the bot: it is told by `my_chat_member`, and its sends answer 403.
    pub fn block(&self) -> Sent {
        self.set_access(Access::Shut)
    }

    /// Blocks the bot without the bot being told, as when the update was lost.
    pub fn block_silently(&self) {
        if let Some(chat) = self.control.shared.lock().chats.get_mut(&self.id) {
            chat.access = Access::Shut;
        }
    }

    /// Unblocks the bot.
    pub fn unblock(&self) -> Sent {
        self.set_access(Access::Open)
    }

    /// Deletes the account.
    pub fn deactivate(&self) {
        if let Some(chat) = self.control.shared.lock().chats.get_mut(&self.id) {
            chat.access = Access::Deactivated;
        }
    }

    /// The draft shown now.
    pub fn draft(&self) -> Option<String> {
        self.control.shared.lock().chats.get(&self.id)?.draft.as_ref().map(|draft| draft.text.clone())
    }

    /// Whether "typing…" (or another action) is shown now.
    pub fn sees_action(&self) -> bool {
        self.control.shared.lock().chats.get(&self.id).is_some_and(|chat| chat.action_until.is_some())
    }

    /// Everything in the private chat after `seq`.
    pub fn ledger(&self, seq: u64) -> Vec<Arc<Entry>> {
        self.control.ledger(seq).into_iter().filter(|entry| entry.chat == Some(self.id)).collect()
    }

    /// Texts of the bot's messages, in order, as they were sent.
    pub fn received(&self) -> Vec<String> {
        let text = |entry: &Arc<Entry>| match &entry.event {
            Event::SawMessage { text, .. } => Some(text.clone()),
            _ => None,
        };
        self.ledger(0).iter().filter_map(text).collect()
    }

    /// The first line of the private chat after `since` that `wanted` accepts.
    ///
    /// # Errors
    /// [`WaitError`] when none came in time.
    pub async fn wait_for(
        &self,
        since: u64,
        timeout: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Arc<Entry>, WaitError> {
        self.control.wait_for(since, timeout, |entry| entry.chat == Some(self.id) && wanted(&entry.event)).await
    }

    /// The text of the bot's next message after `since`, and its line's number.
    ///
    /// # Errors
    /// [`WaitError`] when none came in time.
    pub async fn next_message(&self, since: u64, timeout: Duration) -> Result<(String, u64), WaitError> {
        let entry = self.wait_for(since, timeout, |event| matches!(event, Event::SawMessage { .. })).await?;
        match &entry.event {
            Event::SawMessage { text, .. } => Ok((text.clone(), entry.seq)),
            _ => Ok((String::new(), entry.seq)),
        }
    }

    /// Writes and waits for the bot's next message.
    ///
    /// # Errors
    /// [`WaitError`] when none came in time.
    pub async fn ask(&self, text: &str, timeout: Duration) -> Result<String, WaitError> {
        let sent = self.say(text);
        self.next_message(sent.seq, timeout).await.map(|(text, _)| text)
    }

    fn set_access(&self, access: Access) -> Sent {
        self.must(play::set_access(&mut self.control.shared.lock(), self.id, self.id, access))
    }

    fn must(&self, result: Result<Sent, PlayError>) -> Sent {
        // People and private chats are never removed, so a handle's own user can always act in its own chat.
        result.unwrap_or_else(|error| unreachable!("user {}: {error}", self.id))
    }
}
