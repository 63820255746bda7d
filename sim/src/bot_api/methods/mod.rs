//! The methods: which there are, and the plain ones among them.

use serde_json::{Value, json};

use super::params::Params;
use super::reply::{ApiError, MethodResult};
use super::state::State;

mod commands;
mod document;
mod draft;
mod edit;
mod react;
mod send;

/// Runs `method`, any case, but not `getUpdates`, which may wait.
///
/// # Errors
/// As the Bot API; 404 for a method that the emulator does not have.
pub fn call(state: &mut State, method: &str, params: &Params) -> MethodResult {
    match method.to_ascii_lowercase().as_str() {
        "getme" => Ok(get_me(state)),
        "sendmessage" => send::message(state, params),
        "senddocument" => document::send(state, params),
        "sendmessagedraft" => draft::send(state, params),
        "sendchataction" => draft::action(state, params),
        "editmessagetext" => edit::text(state, params),
        "editmessagereplymarkup" => edit::markup(state, params),
        "deletemessage" => edit::delete(state, params),
        "setmessagereaction" => react::set(state, params),
        "answercallbackquery" => react::answer_callback(state, params),
        "setmycommands" => commands::set(state, params),
        "getmycommands" => commands::get(state, params),
        "deletemycommands" => commands::delete(state, params),
        "getwebhookinfo" => Ok(webhook_info(state)),
        "deletewebhook" => Ok(delete_webhook(state, params)),
        _ => Err(ApiError::method_not_found()),
    }
}

/// `chat_id` as a number.
///
/// # Errors
/// 400 when it is missing; names of channels are chats that the emulator does not have.
pub fn chat_id(params: &Params) -> Result<i64, ApiError> {
    match params.text("chat_id") {
        None => Err(ApiError::bad_request("chat_id is empty")),
        Some(text) if text.is_empty() => Err(ApiError::bad_request("chat_id is empty")),
        Some(text) => text.trim().parse().map_err(|_| ApiError::chat_not_found()),
    }
}

fn get_me(state: &State) -> Value {
    let mut me = state.bot_json();
    let more = json!({
        "can_join_groups": true,
        "can_read_all_group_messages": state.config.reads_all_group_messages,
        "supports_inline_queries": false,
        "can_connect_to_business": false,
        "has_main_web_app": false,
    });
    if let (Some(me), Value::Object(more)) = (me.as_object_mut(), more) {
        me.extend(more);
    }
    me
}

fn webhook_info(state: &State) -> Value {
    let mut info = json!({
        "url": state.webhook.clone().unwrap_or_default(),
        "has_custom_certificate": false,
        "pending_update_count": state.updates.len(),
    });
    if let Some(allowed) = state.updates.allowed() {
        info["allowed_updates"] = json!(allowed);
    }
    info
}

fn delete_webhook(state: &mut State, params: &Params) -> Value {
    state.webhook = None;
    if params.flag("drop_pending_updates") {
        state.updates.clear();
    }
    json!(true)
}
