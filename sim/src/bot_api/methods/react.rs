//! Reactions and answers to pressed buttons.

use serde_json::{Value, json};

use super::super::ledger::Event;
use super::super::params::Params;
use super::super::reply::{ApiError, MethodResult};
use super::super::state::State;
use super::super::text::utf16_len;
use super::{chat_id, edit};

/// Emoji that a bot may react with, as `ReactionTypeEmoji` documents them.
const EMOJI: &str = "❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 \
     🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡";

/// `setMessageReaction`: a bot may set one reaction a message; an empty list takes it away.
pub fn set(state: &mut State, params: &Params) -> MethodResult {
    let chat = chat_id(params)?;
    let id = edit::message_id(params)?;
    let reactions = params.json("reaction", "reaction types")?.unwrap_or_else(|| json!([]));
    let reactions =
        reactions.as_array().ok_or_else(|| ApiError::bad_request("can't parse reaction types: expected an Array"))?;
    if !state.writable(chat)?.messages.contains_key(&id) {
        return Err(ApiError::bad_request("message to react not found"));
    }
    if reactions.len() > 1 {
        return Err(ApiError::bad_request("REACTIONS_TOO_MANY"));
    }
    let emoji: Vec<String> = reactions.iter().map(emoji).collect::<Result<_, _>>()?;
    state.note(Some(chat), None, Event::SawReaction { message_id: id, reactions: emoji });
    Ok(json!(true))
}

/// `answerCallbackQuery`.
pub fn answer_callback(state: &mut State, params: &Params) -> MethodResult {
    let id = params.text("callback_query_id").unwrap_or_default();
    let text = params.text("text").unwrap_or_default();
    if utf16_len(&text) > 200 {
        return Err(ApiError::bad_request("MESSAGE_TOO_LONG"));
    }
    state.expire(tokio::time::Instant::now());
    let Some((chat, _)) = state.callbacks.remove(&id) else {
        return Err(ApiError::bad_request("query is too old and response timeout expired or query ID is invalid"));
    };
    state.note(Some(chat), None, Event::SawNotice { callback_id: id, text, alert: params.flag("show_alert") });
    Ok(json!(true))
}

fn emoji(reaction: &Value) -> Result<String, ApiError> {
    let invalid = || ApiError::bad_request("REACTION_INVALID");
    if reaction["type"] != "emoji" {
        return Err(invalid());
    }
    let emoji = reaction["emoji"].as_str().ok_or_else(invalid)?;
    // Apps send some of them with a variation selector.
    let plain = emoji.trim_end_matches('\u{fe0f}');
    EMOJI.split_whitespace().find(|known| *known == plain).map(str::to_owned).ok_or_else(invalid)
}
