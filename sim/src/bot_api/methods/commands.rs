//! The bot's list of commands, by scope and language.

use serde_json::{Value, json};

use super::super::params::Params;
use super::super::reply::{ApiError, MethodResult};
use super::super::state::State;

/// Scopes of commands.
const SCOPES: [&str; 7] = [
    "default",
    "all_private_chats",
    "all_group_chats",
    "all_chat_administrators",
    "chat",
    "chat_administrators",
    "chat_member",
];

/// `setMyCommands`: up to 100, names of 1 to 32 of `a-z0-9_`, descriptions of 1 to 256 characters.
pub fn set(state: &mut State, params: &Params) -> MethodResult {
    let commands = params.json("commands", "commands")?.unwrap_or_else(|| json!([]));
    let list = commands.as_array().ok_or_else(|| ApiError::bad_request("can't parse commands: expected an Array"))?;
    if list.len() > 100 {
        return Err(ApiError::bad_request("BOT_COMMANDS_TOO_MUCH"));
    }
    for command in list {
        let name = command["command"].as_str().unwrap_or_default();
        let name = name.strip_prefix('/').unwrap_or(name);
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !plain || !(1..=32).contains(&name.len()) {
            return Err(ApiError::bad_request("BOT_COMMAND_INVALID"));
        }
        let description = command["description"].as_str().unwrap_or_default().trim();
        if !(1..=256).contains(&description.chars().count()) {
            return Err(ApiError::bad_request("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    let key = key(params)?;
    state.commands.insert(key, commands);
    Ok(json!(true))
}

/// `getMyCommands`.
pub fn get(state: &State, params: &Params) -> MethodResult {
    Ok(state.commands.get(&key(params)?).cloned().unwrap_or_else(|| json!([])))
}

/// `deleteMyCommands`.
pub fn delete(state: &mut State, params: &Params) -> MethodResult {
    state.commands.remove(&key(params)?);
    Ok(json!(true))
}

fn key(params: &Params) -> Result<String, ApiError> {
    let scope = params.json("scope", "BotCommandScope")?.unwrap_or_else(|| json!({ "type": "default" }));
    let name = scope["type"].as_str().unwrap_or_default();
    if !SCOPES.contains(&name) {
        return Err(ApiError::bad_request("can't parse BotCommandScope: unsupported type specified"));
    }
    let language = params.text("language_code").unwrap_or_default();
    if !(language.is_empty() || (language.len() == 2 && language.chars().all(|c| c.is_ascii_lowercase()))) {
        return Err(ApiError::bad_request("invalid language code specified"));
    }
    let id = |field: &str| match &scope[field] {
        Value::Null => String::new(),
        value => value.to_string(),
    };
    Ok(format!("{name}:{}:{}:{language}", id("chat_id"), id("user_id")))
}
