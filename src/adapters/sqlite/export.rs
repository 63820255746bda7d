//! Everything kept of a chat, as JSON that the person it belongs to can read.

use friend_actors::ports::StoreError;
use friend_actors::types::{ChatId, Label, Scores};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::queries::{prepare, sql, turn, value};

/// The newest turns that an export holds; older ones are counted.
const MAX_TURNS: i64 = 20_000;
/// Messages on their way that an export holds.
const MAX_ROWS: i64 = 1000;

pub(super) fn export(db: &Connection, bot: i64, chat: ChatId) -> Result<Value, StoreError> {
    let known = prepare(db, "SELECT generation, profile FROM chats WHERE bot = ? AND chat = ?")?
        .query_row(params![bot, chat.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?)))
        .optional()
        .map_err(sql)?;
    let (generation, profile) = known.unwrap_or_default();
    let turns = turns(db, bot, chat, generation)?;
    let count: i64 = prepare(db, "SELECT count(*) FROM turns WHERE bot = ? AND chat = ?")?
        .query_row(params![bot, chat.0], |row| row.get(0))
        .map_err(sql)?;
    let waiting = "SELECT incoming, strftime('%FT%TZ', at_ms / 1000, 'unixepoch') FROM inbox
        WHERE bot = ? AND chat = ? ORDER BY seq LIMIT ?";
    // A file on its way is an export of its own: with its content each would hold all before it, and a few be more than the
    // memory.
    let leaving = "SELECT json_remove(outgoing, '$.content'), strftime('%FT%TZ', at_ms / 1000, 'unixepoch') FROM outbox
        WHERE bot = ? AND chat = ? ORDER BY id LIMIT ?";
    Ok(json!({
        "chat": chat.0,
        "profile": profile.map(|text| value::<Value>(&text)).transpose()?.map(named_scores),
        "turns": turns,
        "older_turns_left_out": (count - MAX_TURNS).max(0),
        "waiting_for_an_answer": rows(db, waiting, bot, chat)?,
        "not_sent": rows(db, leaving, bot, chat)?,
    }))
}

fn turns(db: &Connection, bot: i64, chat: ChatId, generation: i64) -> Result<Vec<Value>, StoreError> {
    let newest = "SELECT role, text, mode, scores, at_ms, strftime('%FT%TZ', at_ms / 1000, 'unixepoch'), generation
        FROM turns WHERE bot = ? AND chat = ? ORDER BY id DESC LIMIT ?";
    let mut query = prepare(db, newest)?;
    let mut found = query.query(params![bot, chat.0, MAX_TURNS]).map_err(sql)?;
    let mut turns = Vec::new();
    while let Some(row) = found.next().map_err(sql)? {
        let turn = turn(row)?;
        let (at, its): (Option<String>, i64) = (row.get(5).map_err(sql)?, row.get(6).map_err(sql)?);
        turns.push(json!({
            "at": at,
            "who": turn.role,
            "text": turn.text,
            "mode": turn.mode,
            "felt": turn.scores.map(by_name),
            "before_reset": its != generation,
        }));
    }
    turns.reverse();
    Ok(turns)
}

fn rows(db: &Connection, query: &str, bot: i64, chat: ChatId) -> Result<Vec<Value>, StoreError> {
    let mut query = prepare(db, query)?;
    let mut found = query.query(params![bot, chat.0, MAX_ROWS]).map_err(sql)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(sql)? {
        let (text, at): (String, Option<String>) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
        rows.push(json!({ "at": at, "message": value::<Value>(&text)? }));
    }
    Ok(rows)
}

fn by_name(scores: Scores) -> Value {
    let rounded = |label| json!((f64::from(scores.get(label)) * 1000.0).round() / 1000.0);
    Value::Object(Label::ALL.into_iter().map(|label| (label.name().to_owned(), rounded(label))).collect::<Map<_, _>>())
}

/// A profile keeps scores as seven bare numbers: people are given their names.
fn named_scores(mut profile: Value) -> Value {
    for key in ["mood", "last_scores"] {
        let scores = profile.get(key).and_then(|scores| serde_json::from_value::<Scores>(scores.clone()).ok());
        if let (Some(scores), Some(profile)) = (scores, profile.as_object_mut()) {
            profile.insert(key.to_owned(), by_name(scores));
        }
    }
    profile
}
