//! `sendMessage`, and what every sent message has in common.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::chat::Message;
use super::super::ledger::Event;
use super::super::markup;
use super::super::params::Params;
use super::super::reply::{ApiError, MethodResult};
use super::super::state::State;
use super::super::text::{self, Formatted, MAX_TEXT, utf16_len};
use super::chat_id;

/// `sendMessage`.
pub fn message(state: &mut State, params: &Params) -> MethodResult {
    let formatted = read_text(params)?;
    let markup = markup::read(params, false)?;
    let target = target(state, params)?;
    if utf16_len(&formatted.text) > MAX_TEXT {
        return Err(ApiError::bad_request("message is too long"));
    }
    pass_limits(state, target.chat)?;
    let content = json!({ "text": formatted.text });
    let sent = keep(state, &target, content, &formatted, markup.clone());
    let event = Event::SawMessage {
        message_id: sent.id,
        text: formatted.text,
        entities: json!(formatted.entities),
        markup,
        reply_to: target.reply_to,
        message_thread_id: target.topic,
    };
    state.note(Some(target.chat), None, event);
    Ok(sent.json)
}

/// Where a message goes.
pub struct Target {
    /// The chat, which can be written to.
    pub chat: i64,
    /// The message it answers.
    pub reply_to: Option<i64>,
    /// `message_thread_id`: the topic of a forum. Any is taken as one that exists.
    pub topic: Option<i64>,
}

/// A message as it was kept.
pub struct Sent {
    /// Its id.
    pub id: i64,
    /// As the Bot API's `Message`.
    pub json: Value,
}

/// The text of a message. None at all is refused, and in other words one of which nothing can be seen.
pub fn read_text(params: &Params) -> Result<Formatted, ApiError> {
    if params.text("text").is_none_or(|text| text.is_empty()) {
        return Err(ApiError::bad_request("message text is empty"));
    }
    let formatted = text::read(params, "text", "entities")?;
    if text::is_invisible(&formatted.text) {
        return Err(ApiError::bad_request("text must be non-empty"));
    }
    Ok(formatted)
}

/// Checks chat and reply.
pub fn target(state: &mut State, params: &Params) -> Result<Target, ApiError> {
    let chat = chat_id(params)?;
    let known = state.writable(chat)?;
    let reply = params.json("reply_parameters", "reply parameters")?;
    let wanted = match &reply {
        Some(reply) => reply["message_id"].as_i64(),
        None => params.int("reply_to_message_id"),
    };
    let lenient = reply.as_ref().is_some_and(|reply| reply["allow_sending_without_reply"].as_bool() == Some(true))
        || params.flag("allow_sending_without_reply");
    let topic = topic(params);
    match wanted {
        Some(id) if known.messages.contains_key(&id) => Ok(Target { chat, reply_to: Some(id), topic }),
        Some(_) if !lenient => Err(ApiError::bad_request("message to be replied not found")),
        _ => Ok(Target { chat, reply_to: None, topic }),
    }
}

/// The topic that a call is for.
pub fn topic(params: &Params) -> Option<i64> {
    params.int("message_thread_id")
}

/// Counts the send, or answers 429.
pub fn pass_limits(state: &mut State, chat: i64) -> Result<(), ApiError> {
    let is_group = state.chats.get(&chat).is_some_and(super::super::chat::Chat::is_group);
    let limits = state.config.limits;
    state.limiter.send(&limits, chat, is_group, Instant::now()).map_err(ApiError::too_many_requests)
}

/// Keeps a new message of the bot, which ends draft and action.
pub fn keep(state: &mut State, target: &Target, content: Value, formatted: &Formatted, markup: Option<Value>) -> Sent {
    let id = state.new_message_id();
    let mut message = json!({ "message_id": id, "from": state.bot_json(), "date": state.unix_now() });
    if let Some(chat) = state.chats.get(&target.chat) {
        message["chat"] = chat.json();
        if let Some(answered) = target.reply_to.and_then(|id| chat.messages.get(&id)) {
            let mut answered = answered.json.clone();
            if let Some(fields) = answered.as_object_mut() {
                fields.remove("reply_to_message");
            }
            message["reply_to_message"] = answered;
        }
    }
    if let Some(topic) = target.topic {
        message["message_thread_id"] = json!(topic);
        message["is_topic_message"] = json!(true);
    }
    if let (Some(fields), Value::Object(content)) = (message.as_object_mut(), content) {
        fields.extend(content);
    }
    if !formatted.entities.is_empty() {
        let field = if message.get("text").is_some() { "entities" } else { "caption_entities" };
        message[field] = json!(formatted.entities);
    }
    // Only inline keyboards belong to a message; the other kinds belong to the chat.
    let inline = markup.filter(|markup| markup.get("inline_keyboard").is_some());
    if let Some(inline) = &inline {
        message["reply_markup"] = inline.clone();
    }
    state.clear_previews(target.chat);
    let kept = Message {
        from_bot: true,
        text: formatted.text.clone(),
        markup: inline,
        at: Instant::now(),
        json: message.clone(),
    };
    state.keep_message(target.chat, id, kept);
    Sent { id, json: message }
}
