//! What is shown for a while: `sendMessageDraft` and `sendChatAction`.

use serde_json::json;
use tokio::time::Instant;

use super::super::chat::{ChatKind, Draft};
use super::super::ledger::Event;
use super::super::params::Params;
use super::super::reply::{ApiError, MethodResult};
use super::super::state::State;
use super::super::text::{self, MAX_TEXT, utf16_len};
use super::{chat_id, send};

/// Actions that `sendChatAction` knows.
const ACTIONS: [&str; 11] = [
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];

/// `sendMessageDraft` (Bot API 9.3, `can_stop` and `keep_on_stop` since 10.3): private chats only, an id other than
/// zero, up to 4096 units, empty text allowed ("Thinking…"). The errors' words are ours: Telegram does not
/// document them.
pub fn send(state: &mut State, params: &Params) -> MethodResult {
    let formatted = text::read(params, "text", "entities")?;
    let id = chat_id(params)?;
    let draft_id = params.int("draft_id").filter(|id| *id != 0);
    let draft_id = draft_id.ok_or_else(|| ApiError::bad_request("draft_id must be a non-zero integer"))?;
    let (now, limits, ttl) = (Instant::now(), state.config.limits, state.config.draft_ttl);
    if state.writable(id)?.kind != ChatKind::Private {
        return Err(ApiError::bad_request("TEXTDRAFT_PEER_INVALID"));
    }
    if utf16_len(&formatted.text) > MAX_TEXT {
        return Err(ApiError::bad_request("message is too long"));
    }
    state.limiter.draft(&limits, id, now).map_err(ApiError::too_many_requests)?;
    let chat = state.writable(id)?;
    if chat.stopped_draft == Some(draft_id) {
        return Ok(json!(true));
    }
    let (can_stop, topic) = (params.flag("can_stop"), send::topic(params));
    let draft = Draft {
        id: draft_id,
        text: formatted.text.clone(),
        can_stop,
        keep_on_stop: params.flag("keep_on_stop"),
        topic,
        expires: now + ttl,
    };
    let before = chat.draft.replace(draft).filter(|before| before.id != draft_id);
    state.set_end(now + ttl, id);
    if let Some(before) = before {
        state.note(Some(id), None, Event::DraftGone { draft_id: before.id, why: "replaced" });
    }
    state.note(Some(id), None, Event::SawDraft { draft_id, text: formatted.text, can_stop, message_thread_id: topic });
    Ok(json!(true))
}

/// `sendChatAction`.
pub fn action(state: &mut State, params: &Params) -> MethodResult {
    let id = chat_id(params)?;
    let action = params.text("action").unwrap_or_default();
    if !ACTIONS.contains(&action.as_str()) {
        return Err(ApiError::bad_request("wrong parameter action in request"));
    }
    let until = Instant::now() + state.config.action_ttl;
    state.writable(id)?.action_until = Some(until);
    state.set_end(until, id);
    state.note(Some(id), None, Event::SawAction { action, message_thread_id: send::topic(params) });
    Ok(json!(true))
}
