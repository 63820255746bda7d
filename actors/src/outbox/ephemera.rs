//! What may be lost: typing and previews. Nothing here is retried.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::messages::Preview;
use crate::ports::ApiError;
use crate::split::{MOST_UNITS, clip};
use crate::types::ChatId;

/// A chat's previews.
pub(super) struct Slot {
    /// What to show next.
    next: Option<Preview>,
    /// Cancelled when the call that shows one has ended.
    shown: Option<CancellationToken>,
}

/// The most that a message waits for a preview's call to end, so that the two do not appear in the wrong order: a late
/// preview would stand under the answer for half a minute.
const PREVIEW_GRACE: Duration = Duration::from_millis(300);

/// Shows "typing…" again and again until it is turned off, the chat refuses it, or it has lasted too long.
pub(super) async fn typing(shared: Rc<Shared>, chat: ChatId, topic: Option<i64>, turn: u64) {
    let settings = shared.parts.settings;
    while shared.is_typing(chat, turn) {
        let mut pause = settings.typing_every;
        if let Some(blocked) = shared.blocked(chat) {
            pause = blocked;
        } else if let Ok(_permit) = shared.ephemera.try_acquire() {
            match shared.parts.messenger.typing(chat, topic).await {
                Err(ApiError::RetryAfter(wait)) => pause = pause.max(wait),
                Err(ApiError::Forbidden | ApiError::Rejected(_)) => break,
                _ => {}
            }
        }
        tokio::time::sleep(pause.min(settings.typing_most)).await;
    }
    shared.end_typing(chat, turn);
}

/// Shows a chat's latest preview, again when there is a later one, never faster than the settings say.
pub(super) async fn previews(shared: Rc<Shared>, chat: ChatId) {
    let settings = shared.parts.settings;
    while let Some(Preview { topic, draft_id, text, .. }) = shared.take_preview(chat) {
        let mut pause = settings.preview_every;
        if let Some(blocked) = shared.blocked(chat) {
            // Nothing is shown meanwhile; what grows is shown when it may be.
            pause = blocked;
        } else if let Ok(_permit) = shared.ephemera.try_acquire() {
            let shown = shared.showing(chat).drop_guard();
            let outcome = shared.parts.messenger.draft(chat, topic, draft_id, clip(&text, MOST_UNITS)).await;
            drop(shown);
            match outcome {
                Ok(()) => {
                    shared.parts.counters.previews.fetch_add(1, Relaxed);
                }
                Err(ApiError::RetryAfter(wait)) => pause = pause.max(wait),
                Err(_) => {}
            }
        }
        tokio::time::sleep(pause.min(settings.typing_most)).await;
    }
}

impl Shared {
    /// Turns typing on or off; where it is on already, it lasts longer. Some: the caller must run the loop of this turn.
    pub(super) fn set_typing(&self, chat: ChatId, on: bool) -> Option<u64> {
        let state = &mut *self.state.borrow_mut();
        if !on {
            state.typing.remove(&chat);
            return None;
        }
        let room = state.typing.len() < self.parts.settings.lanes && !self.parts.stop.is_cancelled();
        let end = Instant::now() + self.parts.settings.typing_most;
        if let Some((_, until)) = state.typing.get_mut(&chat) {
            *until = end;
            return None;
        }
        if !room {
            return None;
        }
        state.typing_turns += 1;
        state.typing.insert(chat, (state.typing_turns, end));
        Some(state.typing_turns)
    }

    fn is_typing(&self, chat: ChatId, turn: u64) -> bool {
        let state = self.state.borrow();
        let is_on = |&(now, until): &(u64, Instant)| now == turn && Instant::now() < until;
        !self.parts.stop.is_cancelled() && state.typing.get(&chat).is_some_and(is_on)
    }

    /// How long the server lets this chat wait, if it does: what may be lost does not add to what it counts.
    fn blocked(&self, chat: ChatId) -> Option<Duration> {
        let blocked = self.pace(chat, |pace, now| pace.blocked(now));
        (!blocked.is_zero()).then_some(blocked)
    }

    fn end_typing(&self, chat: ChatId, turn: u64) {
        let typing = &mut self.state.borrow_mut().typing;
        if typing.get(&chat).is_some_and(|(now, _)| *now == turn) {
            typing.remove(&chat);
        }
    }

    /// Replaces what is shown next. True: the caller must run the chat's loop.
    pub(super) fn offer_preview(&self, preview: Preview) -> bool {
        let (state, chat) = (&mut *self.state.borrow_mut(), preview.chat);
        let possible = chat.0 > 0 && preview.draft_id != 0 && !preview.text.trim().is_empty();
        if !possible || self.parts.stop.is_cancelled() {
            return false;
        }
        if let Some(slot) = state.previews.get_mut(&chat) {
            slot.next = Some(preview);
            return false;
        }
        let room = state.previews.len() < self.parts.settings.lanes;
        if room {
            state.previews.insert(chat, Slot { next: Some(preview), shown: None });
        }
        room
    }

    /// What to show now. None ends the chat's loop.
    fn take_preview(&self, chat: ChatId) -> Option<Preview> {
        let state = &mut *self.state.borrow_mut();
        let next = state.previews.get_mut(&chat).and_then(|slot| slot.next.take());
        if next.is_none() {
            state.previews.remove(&chat);
        }
        next
    }

    /// A preview is on its way until the token is cancelled.
    fn showing(&self, chat: ChatId) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(slot) = self.state.borrow_mut().previews.get_mut(&chat) {
            slot.shown = Some(token.clone());
        }
        token
    }

    /// A message is about to leave: a preview that still waits would only appear after it, and so could one that is on
    /// its way over another connection. That one is waited for, briefly.
    pub(super) async fn end_preview(&self, chat: ChatId) {
        let on_its_way = self.state.borrow_mut().previews.get_mut(&chat).and_then(|slot| {
            slot.next = None;
            slot.shown.take()
        });
        if let Some(shown) = on_its_way {
            let _ = tokio::time::timeout(PREVIEW_GRACE, shown.cancelled()).await;
        }
    }
}
