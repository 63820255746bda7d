//! What each request of the store does, in SQL. Each runs inside the writer's transaction.

use std::collections::HashSet;

use friend_actors::ports::{Change, ChatState, OutRow, OutState, Pending, StoreError};
use friend_actors::types::{ChatId, Incoming, Profile, Role, Turn};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Options, store_error};

const DAY_MS: i64 = 86_400_000;
/// Days that messages which were given up are kept.
const KEEP_GIVEN_UP_DAYS: u32 = 7;

/// Who wants to change a chat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) bot: i64,
    pub(super) chat: ChatId,
    pub(super) epoch: i64,
}

pub(super) fn ingest(db: &Connection, bot: i64, batch: &[Incoming], now: i64) -> Result<Vec<ChatId>, StoreError> {
    let mut key = prepare(db, "INSERT OR IGNORE INTO updates (bot, id, at_ms) VALUES (?, ?, ?)")?;
    let mut row = prepare(db, "INSERT INTO inbox (bot, chat, incoming, at_ms) VALUES (?, ?, ?, ?)")?;
    let (mut chats, mut seen) = (Vec::new(), HashSet::new());
    for incoming in batch {
        if key.execute(params![bot, incoming.update_id, now]).map_err(sql)? == 0 {
            continue;
        }
        row.execute(params![bot, incoming.chat.0, json(incoming)?, now]).map_err(sql)?;
        if seen.insert(incoming.chat) {
            chats.push(incoming.chat);
        }
    }
    Ok(chats)
}

pub(super) fn waiting(db: &Connection, bot: i64) -> Result<Vec<ChatId>, StoreError> {
    chats(db, "SELECT chat FROM inbox WHERE bot = ? GROUP BY chat ORDER BY min(seq)", bot)
}

pub(super) fn unsent(db: &Connection, bot: i64) -> Result<Vec<ChatId>, StoreError> {
    let unsent =
        "SELECT chat FROM outbox WHERE bot = ? AND state IN ('pending', 'sending') GROUP BY chat ORDER BY min(id)";
    chats(db, unsent, bot)
}

fn chats(db: &Connection, query: &str, bot: i64) -> Result<Vec<ChatId>, StoreError> {
    let mut query = prepare(db, query)?;
    let rows = query.query_map([bot], |row| row.get(0).map(ChatId)).map_err(sql)?;
    rows.collect::<Result<_, _>>().map_err(sql)
}

pub(super) fn claim(db: &Connection, bot: i64, chat: ChatId, turns: usize) -> Result<ChatState, StoreError> {
    let take = "INSERT INTO chats (bot, chat, epoch) VALUES (?, ?, 1)
        ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch, generation, profile";
    let columns = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let taken = prepare(db, take)?.query_row(params![bot, chat.0], columns);
    let (epoch, generation, profile): (i64, i64, Option<String>) = taken.map_err(sql)?;
    let profile = profile.map_or_else(|| Ok(Profile::default()), |text| value(&text))?;

    let newest = "SELECT role, text, mode, scores, at_ms FROM turns
        WHERE bot = ? AND chat = ? AND generation = ? ORDER BY id DESC LIMIT ?";
    let mut query = prepare(db, newest)?;
    let limit = i64::try_from(turns).unwrap_or(i64::MAX);
    let mut rows = query.query(params![bot, chat.0, generation, limit]).map_err(sql)?;
    let mut turns = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        turns.push(turn(row)?);
    }
    turns.reverse();
    Ok(ChatState { epoch, turns, profile })
}

/// A turn from the columns role, text, mode, scores, at_ms.
pub(super) fn turn(row: &Row<'_>) -> Result<Turn, StoreError> {
    let role: String = row.get(0).map_err(sql)?;
    let scores: Option<String> = row.get(3).map_err(sql)?;
    Ok(Turn {
        role: value(&format!("\"{role}\""))?,
        text: row.get(1).map_err(sql)?,
        mode: row.get(2).map_err(sql)?,
        scores: scores.map(|text| value(&text)).transpose()?,
        at_ms: row.get(4).map_err(sql)?,
    })
}

pub(super) fn pending(db: &Connection, bot: i64, chat: ChatId, limit: usize) -> Result<Vec<Pending>, StoreError> {
    let mut query = prepare(db, "SELECT seq, incoming FROM inbox WHERE bot = ? AND chat = ? ORDER BY seq LIMIT ?")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = query.query(params![bot, chat.0, limit]).map_err(sql)?;
    let mut pending = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let text: String = row.get(1).map_err(sql)?;
        // The row's chat counts: the group may have moved to a new id since.
        let incoming = Incoming { chat, ..value(&text)? };
        pending.push(Pending { seq: row.get(0).map_err(sql)?, incoming });
    }
    Ok(pending)
}

pub(super) fn finish(db: &Connection, owner: Owner, change: &Change, now: i64) -> Result<(), StoreError> {
    let Owner { bot, chat, epoch } = owner;
    let current = prepare(db, "SELECT epoch, generation FROM chats WHERE bot = ? AND chat = ?")?
        .query_row(params![bot, chat.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()
        .map_err(sql)?;
    let Some((_, mut generation)) = current.filter(|(current, _)| *current == epoch) else {
        return Err(StoreError::Fenced);
    };
    for seq in &change.done {
        run(db, "DELETE FROM inbox WHERE seq = ? AND bot = ? AND chat = ?", params![seq, bot, chat.0])?;
    }
    if change.reset {
        generation += 1;
        run(db, "UPDATE chats SET generation = ? WHERE bot = ? AND chat = ?", params![generation, bot, chat.0])?;
    }
    for turn in &change.turns {
        let role = match turn.role {
            Role::Person => "person",
            Role::Friend => "friend",
        };
        let scores = turn.scores.as_ref().map(json).transpose()?;
        let insert = "INSERT INTO turns (bot, chat, generation, role, text, mode, scores, at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        run(db, insert, params![bot, chat.0, generation, role, turn.text, turn.mode, scores, turn.at_ms])?;
    }
    if let Some(profile) = &change.profile {
        let update = "UPDATE chats SET profile = ? WHERE bot = ? AND chat = ?";
        run(db, update, params![json(profile)?, bot, chat.0])?;
    }
    for outgoing in &change.out {
        let insert = "INSERT INTO outbox (bot, chat, outgoing, state, at_ms) VALUES (?, ?, ?, 'pending', ?)";
        run(db, insert, params![bot, chat.0, json(outgoing)?, now])?;
    }
    Ok(())
}

pub(super) fn next_out(db: &Connection, bot: i64, chat: ChatId) -> Result<Option<OutRow>, StoreError> {
    let oldest = "SELECT id, outgoing, state, attempts FROM outbox
        WHERE bot = ? AND chat = ? AND state IN ('pending', 'sending') ORDER BY id LIMIT 1";
    let mut query = prepare(db, oldest)?;
    let mut rows = query.query(params![bot, chat.0]).map_err(sql)?;
    let Some(row) = rows.next().map_err(sql)? else { return Ok(None) };
    let (outgoing, state): (String, String) = (row.get(1).map_err(sql)?, row.get(2).map_err(sql)?);
    Ok(Some(OutRow {
        id: row.get(0).map_err(sql)?,
        chat,
        outgoing: value(&outgoing)?,
        state: value(&format!("\"{state}\""))?,
        attempts: row.get(3).map_err(sql)?,
    }))
}

/// Whether the row is still there: it may have been erased meanwhile.
pub(super) fn mark(db: &Connection, row: i64, state: OutState) -> Result<bool, StoreError> {
    let query = match state {
        OutState::Sent => "DELETE FROM outbox WHERE id = ?",
        OutState::Sending => "UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ?",
        OutState::Pending => "UPDATE outbox SET state = 'pending', attempts = max(attempts - 1, 0) WHERE id = ?",
        OutState::Failed => "UPDATE outbox SET state = 'failed' WHERE id = ?",
        OutState::Ambiguous => "UPDATE outbox SET state = 'ambiguous' WHERE id = ?",
    };
    prepare(db, query)?.execute([row]).map(|rows| rows > 0).map_err(sql)
}

/// Where both ids are known, the conversations become one: the new id's profile wins, if it has one. Both old owners
/// are fenced out.
pub(super) fn migrate(db: &Connection, bot: i64, from: ChatId, to: ChatId) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    let both = params![bot, from.0, to.0];
    run(db, "UPDATE inbox SET chat = ?3 WHERE bot = ?1 AND chat = ?2", both)?;
    run(db, "UPDATE outbox SET chat = ?3 WHERE bot = ?1 AND chat = ?2", both)?;
    let merge = "INSERT INTO chats (bot, chat, epoch, generation, profile)
        SELECT bot, ?3, epoch + 1, generation, profile FROM chats WHERE bot = ?1 AND chat = ?2
        ON CONFLICT DO UPDATE SET epoch = max(epoch, excluded.epoch) + 1, profile = coalesce(profile, excluded.profile)";
    run(db, merge, both)?;
    // Turns that were visible stay so under the new id's generation; hidden ones stay hidden.
    let turns = "UPDATE turns SET chat = ?3, generation = iif(
            generation = (SELECT generation FROM chats WHERE bot = ?1 AND chat = ?2),
            (SELECT generation FROM chats WHERE bot = ?1 AND chat = ?3), -1)
        WHERE bot = ?1 AND chat = ?2";
    run(db, turns, both)?;
    run(db, "DELETE FROM chats WHERE bot = ?1 AND chat = ?2", params![bot, from.0])
}

/// The chat's row stays, empty: its epoch still fences old owners out.
pub(super) fn erase(db: &Connection, bot: i64, chat: ChatId, before: i64) -> Result<(), StoreError> {
    let whose = params![bot, chat.0];
    run(db, "DELETE FROM inbox WHERE bot = ? AND chat = ? AND seq < ?", params![bot, chat.0, before])?;
    run(db, "DELETE FROM turns WHERE bot = ? AND chat = ?", whose)?;
    run(db, "DELETE FROM outbox WHERE bot = ? AND chat = ?", whose)?;
    run(db, "UPDATE chats SET profile = NULL WHERE bot = ? AND chat = ?", whose)
}

/// Deletes rows that are older than the options keep them; returns the most rows that it found in one table.
pub(super) fn sweep(db: &Connection, options: &Options, now: i64, limit: u32) -> Result<usize, StoreError> {
    let before = |days: u32| now.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
    let delete = |query: &str, days: u32| prepare(db, query)?.execute(params![before(days), limit]).map_err(sql);
    let keys = "DELETE FROM updates WHERE (bot, id) IN (SELECT bot, id FROM updates WHERE at_ms < ? LIMIT ?)";
    let given_up = "DELETE FROM outbox WHERE id IN
        (SELECT id FROM outbox WHERE state IN ('failed', 'ambiguous') AND at_ms < ? LIMIT ?)";
    let turns = "DELETE FROM turns WHERE id IN (SELECT id FROM turns WHERE at_ms < ? LIMIT ?)";
    let mut most = delete(keys, options.keep_update_keys_days)?.max(delete(given_up, KEEP_GIVEN_UP_DAYS)?);
    if options.keep_turns_days > 0 {
        most = most.max(delete(turns, options.keep_turns_days)?);
    }
    Ok(most)
}

pub(super) fn prepare<'a>(db: &'a Connection, query: &str) -> Result<rusqlite::CachedStatement<'a>, StoreError> {
    db.prepare_cached(query).map_err(sql)
}

fn run(db: &Connection, query: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
    prepare(db, query)?.execute(values).map(|_| ()).map_err(sql)
}

pub(super) fn sql(error: rusqlite::Error) -> StoreError {
    store_error(&error)
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Other("a value cannot be written as JSON".to_owned()))
}

/// Reads a JSON column. The parser's own words may quote the row, so they are not passed on.
pub(super) fn value<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|_| StoreError::Other("a row of the database does not have the expected form".to_owned()))
}
