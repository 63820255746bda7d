//! What people do: the effects on the emulator's state, and the updates that the bot gets from them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::chat::{Access, Chat, ChatKind, Message};
use super::ledger::Event;
use super::markup;
use super::state::State;
use super::text::find_entities;

/// Characters of a message that a person's app sends at most; a longer text is sent in pieces.
const APP_MAX: usize = 4096;

/// What came of something that a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The message it is about.
    pub message_id: i64,
    /// The update the bot gets; `None` when it did not subscribe to the kind, or may not see it.
    pub update_id: Option<i64>,
    /// The ledger's line: everything that follows has a higher number.
    pub seq: u64,
}

/// Why a person could not do it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlayError {
    /// No such user yet.
    #[error("there is no user {0}; make one with `user(id, name)` first")]
    NoUser(i64),
    /// No such chat.
    #[error("there is no chat {0}")]
    NoChat(i64),
    /// Not in the group.
    #[error("user {user} is not in chat {chat}; add them first")]
    NotMember {
        /// Who.
        user: i64,
        /// Where.
        chat: i64,
    },
    /// No such message.
    #[error("there is no message {message} in chat {chat}")]
    NoMessage {
        /// Which.
        message: i64,
        /// Where.
        chat: i64,
    },
    /// No message shows such a button.
    #[error("no message in chat {chat} has a button {wanted:?}")]
    NoButton {
        /// Where.
        chat: i64,
        /// Its text or data.
        wanted: String,
    },
    /// Nothing to stop.
    #[error("chat {0} shows no draft with a Stop button")]
    NoDraft(i64),
}

/// Things that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the Bot API's own words")]
pub enum Media {
    Photo,
    Voice,
    Sticker,
    Video,
    VideoNote,
    Audio,
    Animation,
    Document,
    Location,
    Contact,
    Dice,
}

impl Media {
    fn name(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Voice => "voice",
            Self::Sticker => "sticker",
            Self::Video => "video",
            Self::VideoNote => "video_note",
            Self::Audio => "audio",
            Self::Animation => "animation",
            Self::Document => "document",
            Self::Location => "location",
            Self::Contact => "contact",
            Self::Dice => "dice",
        }
    }

    fn json(self, id: u64) -> Value {
        let mut file =
            json!({ "file_id": format!("AgADBAx{id:x}"), "file_unique_id": format!("Ag{id:x}"), "file_size": 4321 });
        let more = match self {
            Self::Photo => {
                file["width"] = json!(320);
                file["height"] = json!(240);
                return json!([file]);
            }
            Self::Location => return json!({ "latitude": 37.77, "longitude": -122.42 }),
            Self::Contact => return json!({ "phone_number": "+15550100", "first_name": "Sam" }),
            Self::Dice => return json!({ "emoji": "🎲", "value": 4 }),
            Self::Voice | Self::Audio => json!({ "duration": 3, "mime_type": "audio/ogg" }),
            Self::Sticker => json!({
                "type": "regular", "width": 512, "height": 512, "is_animated": false, "is_video": false, "emoji": "🙂"
            }),
            Self::VideoNote => json!({ "length": 240, "duration": 3 }),
            Self::Video | Self::Animation => json!({ "width": 320, "height": 240, "duration": 3 }),
            Self::Document => json!({ "file_name": "notes.txt", "mime_type": "text/plain" }),
        };
        if let (Some(file), Value::Object(more)) = (file.as_object_mut(), more) {
            file.extend(more);
        }
        file
    }
}

/// Something that is not text, as a person sends it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// What it is.
    pub media: Media,
    /// The words under it.
    pub caption: Option<&'a str>,
    /// `media_group_id`: the album that it is part of.
    pub album: Option<&'a str>,
}

/// A person writes. A text longer than an app sends goes in pieces; what comes back is the last.
pub fn say(state: &mut State, user: i64, chat: i64, text: &str, reply_to: Option<i64>) -> Result<Sent, PlayError> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = chars.chunks(APP_MAX).map(String::from_iter);
    let mut sent = say_piece(state, user, chat, &pieces.next().unwrap_or_default(), reply_to)?;
    for piece in pieces {
        sent = say_piece(state, user, chat, &piece, None)?;
    }
    Ok(sent)
}

fn say_piece(state: &mut State, user: i64, chat: i64, text: &str, reply_to: Option<i64>) -> Result<Sent, PlayError> {
    let mut content = json!({ "text": text });
    let entities = find_entities(text);
    if !entities.is_empty() {
        content["entities"] = json!(entities);
    }
    let (message_id, update_id) = post(state, (user, chat), text, content, reply_to)?;
    let seq = state.note(Some(chat), Some(user), Event::UserWrote { message_id, text: text.to_owned() });
    Ok(Sent { message_id, update_id, seq })
}

/// A person sends something that is not text.
pub fn send(state: &mut State, user: i64, chat: i64, item: Item<'_>) -> Result<Sent, PlayError> {
    let Item { media, caption, album } = item;
    let id = state.random_id();
    let mut content = json!({ media.name(): media.json(id) });
    if media == Media::Animation {
        // As the Bot API documents: an animation is a document as well.
        content["document"] = Media::Document.json(id);
    }
    if let Some(caption) = caption {
        content["caption"] = json!(caption);
    }
    if let Some(album) = album {
        content["media_group_id"] = json!(album);
    }
    let (message_id, update_id) = post(state, (user, chat), caption.unwrap_or_default(), content, None)?;
    let event = Event::UserSent { message_id, media: media.name().to_owned(), caption: caption.map(str::to_owned) };
    let seq = state.note(Some(chat), Some(user), event);
    Ok(Sent { message_id, update_id, seq })
}

/// A person changes what they wrote.
pub fn edit(state: &mut State, user: i64, chat: i64, message_id: i64, text: &str) -> Result<Sent, PlayError> {
    let now = state.unix_now();
    let known = chat_of(state, user, chat)?;
    let message = known.messages.get_mut(&message_id).filter(|message| message.json["from"]["id"] == user);
    let message = message.ok_or(PlayError::NoMessage { message: message_id, chat })?;
    text.clone_into(&mut message.text);
    message.json["text"] = json!(text);
    message.json["entities"] = json!(find_entities(text));
    message.json["edit_date"] = json!(now);
    let json = message.json.clone();
    let update_id = state.push_update("edited_message", json);
    let seq = state.note(Some(chat), Some(user), Event::UserEdited { message_id, text: text.to_owned() });
    Ok(Sent { message_id, update_id, seq })
}

/// A person presses the button with this data or text: under `message`, or under the newest message that has it.
pub fn press(
    state: &mut State,
    user: i64,
    chat: i64,
    message: Option<i64>,
    wanted: &str,
) -> Result<(Sent, String), PlayError> {
    let known = chat_of(state, user, chat)?;
    let found = known.messages.iter().rev().filter(|(id, _)| message.is_none_or(|wanted| wanted == **id)).find_map(
        |(id, message)| {
            let data = markup::find_button(message.markup.as_ref()?, wanted)?;
            Some((*id, data, message.json.clone()))
        },
    );
    let no_button = || PlayError::NoButton { chat, wanted: wanted.to_owned() };
    let (message_id, data, json) = found.ok_or_else(no_button)?;
    let callback_id = state.random_id().to_string();
    state.callbacks.insert(callback_id.clone(), (chat, Instant::now() + state.config.callback_ttl));
    let from = state.people.get(&user).ok_or(PlayError::NoUser(user))?.json();
    let payload = json!({
        "id": callback_id, "from": from, "message": json, "chat_instance": format!("{}", chat ^ 0x5eed), "data": data,
    });
    let update_id = state.push_update("callback_query", payload);
    let event = Event::UserPressed { message_id, data, callback_id: callback_id.clone() };
    let seq = state.note(Some(chat), Some(user), event);
    Ok((Sent { message_id, update_id, seq }, callback_id))
}

/// A person presses Stop under the draft: it vanishes (unless `keep_on_stop`), and the bot is told.
pub fn stop_draft(state: &mut State, user: i64) -> Result<Sent, PlayError> {
    let chat = chat_of(state, user, user)?;
    let draft = chat.draft.clone().filter(|draft| draft.can_stop).ok_or(PlayError::NoDraft(user))?;
    chat.stopped_draft = Some(draft.id);
    if !draft.keep_on_stop {
        chat.draft = None;
    }
    let mut payload = json!({ "chat": chat.json(), "draft_id": draft.id });
    if let Some(topic) = draft.topic {
        payload["message_thread_id"] = json!(topic);
    }
    let update_id = state.push_update("stopped_message_generation", payload);
    let seq = state.note(Some(user), Some(user), Event::UserStopped { draft_id: draft.id });
    if !draft.keep_on_stop {
        state.note(Some(user), None, Event::DraftGone { draft_id: draft.id, why: "stopped" });
    }
    Ok(Sent { message_id: 0, update_id, seq })
}

/// A person blocks or unblocks the bot, or a group removes or adds it.
pub fn set_access(state: &mut State, by: i64, chat: i64, access: Access) -> Result<Sent, PlayError> {
    let now = state.unix_now();
    let bot = state.bot_json();
    let from = state.people.get(&by).ok_or(PlayError::NoUser(by))?.json();
    let known = state.chats.get_mut(&chat).ok_or(PlayError::NoChat(chat))?;
    known.access = access;
    let member = json!({ "status": "member", "user": bot });
    let kicked = json!({ "status": "kicked", "user": bot, "until_date": 0 });
    let (old, new) = if access == Access::Open { (kicked, member) } else { (member, kicked) };
    let payload = json!({
        "chat": known.json(), "from": from, "date": now, "old_chat_member": old, "new_chat_member": new,
    });
    let update_id = state.push_update("my_chat_member", payload);
    let event = if access == Access::Open { Event::UserUnblocked } else { Event::UserBlocked };
    let seq = state.note(Some(chat), Some(by), event);
    Ok(Sent { message_id: 0, update_id, seq })
}

/// A group becomes a supergroup under the id returned. Unless `silent`, the bot is told by both service messages.
pub fn migrate(state: &mut State, chat: i64, silent: bool) -> Result<i64, PlayError> {
    let old = state.chats.get_mut(&chat).filter(|old| old.kind == ChatKind::Group).ok_or(PlayError::NoChat(chat))?;
    let to = -1_000_000_000_000 - chat.abs();
    old.migrated_to = Some(to);
    let (title, members, access, old_json) = (old.title.clone(), old.members.clone(), old.access, old.json());
    let mut new = Chat::new(to, ChatKind::Supergroup, &title);
    (new.members, new.access) = (members, access);
    let new_json = new.json();
    state.chats.insert(to, new);
    if !silent {
        for (chat, field, other) in [(old_json, "migrate_to_chat_id", to), (new_json, "migrate_from_chat_id", chat)] {
            let (id, date) = (state.new_message_id(), state.unix_now());
            state.push_update("message", json!({ "message_id": id, "chat": chat, "date": date, field: other }));
        }
    }
    state.note(Some(chat), None, Event::Migrated { to });
    Ok(to)
}

/// The chat, if the user can act in it.
fn chat_of(state: &mut State, user: i64, chat: i64) -> Result<&mut Chat, PlayError> {
    if !state.people.contains_key(&user) {
        return Err(PlayError::NoUser(user));
    }
    let known =
        state.chats.get_mut(&chat).filter(|known| known.migrated_to.is_none()).ok_or(PlayError::NoChat(chat))?;
    if known.is_group() && !known.members.contains(&user) {
        return Err(PlayError::NotMember { user, chat });
    }
    Ok(known)
}

/// Keeps a person's message and tells the bot; returns the message's and the update's id.
fn post(
    state: &mut State,
    (user, chat): (i64, i64),
    text: &str,
    content: Value,
    reply_to: Option<i64>,
) -> Result<(i64, Option<i64>), PlayError> {
    let (date, reads_all) = (state.unix_now(), state.config.reads_all_group_messages);
    let mention = format!("@{}", state.config.bot_username);
    let known = chat_of(state, user, chat)?;
    if known.access == Access::NotStarted || (known.kind == ChatKind::Private && known.access == Access::Shut) {
        // Writing to a bot opens the chat, and unblocks it.
        known.access = Access::Open;
    }
    let answered = match reply_to {
        Some(id) => Some(known.messages.get(&id).ok_or(PlayError::NoMessage { message: id, chat })?.clone()),
        None => None,
    };
    let to_bot = answered.as_ref().is_some_and(|answered| answered.from_bot);
    let visible = !known.is_group()
        || (known.access == Access::Open && (reads_all || to_bot || text.starts_with('/') || text.contains(&mention)));
    let chat_json = known.json();
    let message_id = state.new_message_id();
    let from = state.people.get(&user).ok_or(PlayError::NoUser(user))?.json();
    let mut message = json!({ "message_id": message_id, "from": from, "chat": chat_json, "date": date });
    if let (Some(fields), Value::Object(content)) = (message.as_object_mut(), content) {
        fields.extend(content);
    }
    if let Some(answered) = answered {
        let mut answered = answered.json;
        if let Some(fields) = answered.as_object_mut() {
            fields.remove("reply_to_message");
        }
        message["reply_to_message"] = answered;
    }
    let kept =
        Message { from_bot: false, text: text.to_owned(), markup: None, at: Instant::now(), json: message.clone() };
    state.keep_message(chat, message_id, kept);
    let update_id = if visible { state.push_update("message", message) } else { None };
    Ok((message_id, update_id))
}
