//! Changing and deleting messages.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::chat::ChatKind;
use super::super::ledger::Event;
use super::super::markup;
use super::super::params::Params;
use super::super::reply::{ApiError, MethodResult};
use super::super::state::State;
use super::super::text::{Formatted, MAX_TEXT, utf16_len};
use super::{chat_id, send};

/// How long a message can be deleted.
const DELETABLE: Duration = Duration::from_secs(48 * 3600);

/// `editMessageText`.
pub fn text(state: &mut State, params: &Params) -> MethodResult {
    let formatted = send::read_text(params)?;
    let markup = markup::read(params, true)?;
    let (chat, id) = editable(state, params)?;
    if utf16_len(&formatted.text) > MAX_TEXT {
        return Err(ApiError::bad_request("MESSAGE_TOO_LONG"));
    }
    apply(state, (chat, id), Some(&formatted), markup)
}

/// `editMessageReplyMarkup`.
pub fn markup(state: &mut State, params: &Params) -> MethodResult {
    let markup = markup::read(params, true)?;
    let target = editable(state, params)?;
    apply(state, target, None, markup)
}

/// `deleteMessage`: up to 48 hours after it was sent; in a group only the bot's own.
pub fn delete(state: &mut State, params: &Params) -> MethodResult {
    let chat = chat_id(params)?;
    let id = message_id(params)?;
    let known = state.writable(chat)?;
    let message = known.messages.get(&id).ok_or_else(|| ApiError::bad_request("message to delete not found"))?;
    if message.at.elapsed() > DELETABLE || (!message.from_bot && known.kind != ChatKind::Private) {
        return Err(ApiError::bad_request("message can't be deleted"));
    }
    known.messages.remove(&id);
    state.note(Some(chat), None, Event::SawDelete { message_id: id });
    Ok(json!(true))
}

/// `message_id`.
pub fn message_id(params: &Params) -> Result<i64, ApiError> {
    params
        .int("message_id")
        .filter(|id| *id > 0)
        .ok_or_else(|| ApiError::bad_request("message identifier is not specified"))
}

fn editable(state: &mut State, params: &Params) -> Result<(i64, i64), ApiError> {
    let chat = chat_id(params)?;
    let id = message_id(params)?;
    let message = state.writable(chat)?.messages.get(&id);
    let message = message.ok_or_else(|| ApiError::bad_request("message to edit not found"))?;
    if message.from_bot { Ok((chat, id)) } else { Err(ApiError::bad_request("message can't be edited")) }
}

fn apply(
    state: &mut State,
    (chat, id): (i64, i64),
    formatted: Option<&Formatted>,
    markup: Option<Value>,
) -> MethodResult {
    let now = state.unix_now();
    let not_found = || ApiError::bad_request("message to edit not found");
    let message = state.writable(chat)?.messages.get(&id).ok_or_else(not_found)?;
    let same_text = formatted.is_none_or(|formatted| {
        formatted.text == message.text
            && message
                .json
                .get("entities")
                .map_or(formatted.entities.is_empty(), |old| *old == json!(formatted.entities))
    });
    if same_text && markup == message.markup {
        return Err(ApiError::bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same as a current \
             content and reply markup of the message",
        ));
    }
    if formatted.is_some() && message.json.get("text").is_none() {
        return Err(ApiError::bad_request("there is no text in the message to edit"));
    }
    send::pass_limits(state, chat)?;
    let message = state.writable(chat)?.messages.get_mut(&id).ok_or_else(not_found)?;
    if let Some(formatted) = formatted {
        message.text.clone_from(&formatted.text);
        message.json["text"] = json!(formatted.text);
        set_or_remove(
            &mut message.json,
            "entities",
            (!formatted.entities.is_empty()).then(|| json!(formatted.entities)),
        );
    }
    message.json["edit_date"] = json!(now);
    set_or_remove(&mut message.json, "reply_markup", markup.clone());
    message.markup.clone_from(&markup);
    let (text, json) = (message.text.clone(), message.json.clone());
    state.note(Some(chat), None, Event::SawEdit { message_id: id, text, markup });
    Ok(json)
}

fn set_or_remove(message: &mut Value, field: &str, value: Option<Value>) {
    match (value, message.as_object_mut()) {
        (Some(value), _) => message[field] = value,
        (None, Some(fields)) => drop(fields.remove(field)),
        (None, None) => {}
    }
}
