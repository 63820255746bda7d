//! The sign that an answer is on its way, which ends with the work on it.

use actix::Recipient;

use crate::messages::Typing;
use crate::types::ChatId;

/// "typing…" for as long as it lives.
pub(crate) struct TypingNow<'a> {
    typing: &'a Recipient<Typing>,
    chat: ChatId,
    /// In which topic of a forum.
    pub(crate) topic: Option<i64>,
}

impl<'a> TypingNow<'a> {
    pub(crate) fn start(typing: &'a Recipient<Typing>, chat: ChatId, topic: Option<i64>) -> Self {
        let _ = typing.try_send(Typing { chat, topic, on: true });
        Self { typing, chat, topic }
    }
}

impl Drop for TypingNow<'_> {
    fn drop(&mut self) {
        let _ = self.typing.try_send(Typing { chat: self.chat, topic: self.topic, on: false });
    }
}
