//! What an update means to the friend. Each is read on its own, and of each only what is needed: an update with parts
//! that nobody has heard of yet still gives its words, and one of an unknown kind still gives its id.
//!
//! frankenstein's types are not used for reading: they demand every field that the newest API names, and 32-bit ids.

use friend_actors::ports::{Me, Update};
use friend_actors::split::clip;
use friend_actors::types::{ChatId, Event, Incoming, Media, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::decode::address::Address;

mod address;

/// Reads one update. None: it has not even an id, so it can be neither kept nor confirmed.
pub(super) fn update(raw: Value, me: &Me) -> Option<Update> {
    let id = raw.get("update_id")?.as_i64()?;
    let incoming = RawUpdate::deserialize(raw).ok().and_then(|update| update.incoming(id, me));
    Some(Update { id, incoming })
}

/// Reads the answer of getMe.
pub(super) fn me(raw: &Value) -> Option<Me> {
    Some(Me { id: raw["id"].as_i64()?, username: raw["username"].as_str()?.to_owned() })
}

/// The most of any text that is kept, in UTF-16 units. Telegram's own limit; a server that sends more is not believed.
const LONGEST_TEXT: usize = 4096;

#[derive(Deserialize)]
struct RawUpdate {
    message: Option<Message>,
    edited_message: Option<Message>,
    callback_query: Option<CallbackQuery>,
    my_chat_member: Option<ChatMemberUpdated>,
    stopped_message_generation: Option<Stopped>,
}

#[derive(Deserialize)]
struct Message {
    message_id: i64,
    from: Option<User>,
    chat: Chat,
    text: Option<String>,
    caption: Option<String>,
    migrate_to_chat_id: Option<i64>,
    reply_to_message: Option<RepliedTo>,
    /// Everything else: which kinds of media there are, the entities, album and topic, and in whose name it was written.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct RepliedTo {
    from: Option<User>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    #[serde(default)]
    is_bot: bool,
    first_name: Option<String>,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct CallbackQuery {
    id: String,
    from: User,
    message: Option<Pressed>,
    data: Option<String>,
}

/// The message under which a button was pressed; an old one has only these fields.
#[derive(Deserialize)]
struct Pressed {
    message_id: i64,
    chat: Chat,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct ChatMemberUpdated {
    chat: Chat,
    from: User,
    old_chat_member: Member,
    new_chat_member: Member,
}

#[derive(Deserialize)]
struct Member {
    status: String,
    /// Of restricted members only.
    is_member: Option<bool>,
}

#[derive(Deserialize)]
struct Stopped {
    chat: Chat,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Where and by whom.
struct Scene<'a> {
    update_id: i64,
    chat: &'a Chat,
    user: &'a User,
    /// It is another bot's doing.
    by_bot: bool,
    message_id: Option<i64>,
    topic: Option<i64>,
}

impl RawUpdate {
    fn incoming(self, update_id: i64, me: &Me) -> Option<Incoming> {
        if let Some(message) = self.message {
            let event = message.event(me)?;
            // A group that moves says so itself, in nobody's name.
            let nobody = User { id: message.chat.id, is_bot: true, first_name: None };
            let user = message.from.as_ref().unwrap_or(&nobody);
            return message.scene(update_id, user).with(event);
        }
        if let Some(message) = self.edited_message {
            let event = Event::Edited { text: message.addressed_words(me)? };
            return message.scene(update_id, message.from.as_ref()?).with(event);
        }
        if let Some(CallbackQuery { id, from, message, data }) = self.callback_query {
            let Pressed { message_id, chat, rest } = message?;
            let event = Event::Button { callback_id: id, data: data? };
            let scene = Scene::new(update_id, &chat, &from);
            return Scene { message_id: Some(message_id), topic: topic(&rest), ..scene }.with(event);
        }
        if let Some(change) = self.my_chat_member {
            let event = change.event()?;
            return Scene::new(update_id, &change.chat, &change.from).with(event);
        }
        let Stopped { chat, rest } = self.stopped_message_generation?;
        // Drafts are shown in private chats only, whose id is the person's.
        let user = User { id: chat.id, is_bot: false, first_name: None };
        // No message comes along, which would say whether its thread is a topic; but private chats have no other threads.
        let topic = rest.get("message_thread_id").and_then(Value::as_i64);
        Scene { topic, ..Scene::new(update_id, &chat, &user) }.with(Event::StopGeneration)
    }
}

impl<'a> Scene<'a> {
    fn new(update_id: i64, chat: &'a Chat, user: &'a User) -> Self {
        Self { update_id, chat, user, by_bot: user.is_bot, message_id: None, topic: None }
    }

    fn with(self, event: Event) -> Option<Incoming> {
        // Bots do not get answers: two of them would never stop talking. But they may remove us or move the group.
        let of_the_chat = matches!(event, Event::Left | Event::Joined | Event::Migrated { .. });
        let heard = (of_the_chat || !self.by_bot) && self.chat.kind != "channel";
        heard.then(|| Incoming {
            update_id: self.update_id,
            chat: ChatId(self.chat.id),
            private: self.chat.is_private(),
            user: UserId(self.user.id),
            name: self.user.first_name.as_deref().map(|name| clip(name, 64).to_owned()),
            message_id: self.message_id,
            topic: self.topic,
            event,
        })
    }
}

/// The topic of a forum that a message lies in. In other groups replies are threads as well, and no topics.
fn topic(fields: &Map<String, Value>) -> Option<i64> {
    let in_topic = fields.get("is_topic_message").and_then(Value::as_bool) == Some(true);
    fields.get("message_thread_id").and_then(Value::as_i64).filter(|_| in_topic)
}

impl Chat {
    fn is_private(&self) -> bool {
        self.kind == "private"
    }
}

impl Member {
    fn is_in(&self) -> bool {
        match self.status.as_str() {
            "left" | "kicked" => false,
            "restricted" => self.is_member.unwrap_or(true),
            _ => true,
        }
    }
}

impl ChatMemberUpdated {
    /// The bot came or went; other changes of its rights mean nothing to it.
    fn event(&self) -> Option<Event> {
        match (self.old_chat_member.is_in(), self.new_chat_member.is_in()) {
            (true, false) => Some(Event::Left),
            (false, true) => Some(Event::Joined),
            _ => None,
        }
    }
}

impl Message {
    fn event(&self, me: &Me) -> Option<Event> {
        if let Some(to) = self.migrate_to_chat_id {
            return Some(Event::Migrated { to: ChatId(to) });
        }
        let address = self.address(me);
        if let Some(text) = &self.text {
            let text = clip(text, LONGEST_TEXT);
            return match address.command(text) {
                Some(command) => command.ours.then_some(Event::Command { name: command.name, args: command.args }),
                None if address.is_ours() => Some(Event::Text { text: address.without_call(text) }),
                None => None,
            };
        }
        let media = self.media()?;
        let album = self.rest.get("media_group_id").and_then(Value::as_str).map(|album| clip(album, 64).to_owned());
        address.is_ours().then(|| Event::Media { media, caption: self.words().map(str::to_owned), album })
    }

    fn scene<'a>(&'a self, update_id: i64, user: &'a User) -> Scene<'a> {
        let by_bot = user.is_bot && !self.is_in_the_name_of_a_chat();
        let scene = Scene::new(update_id, &self.chat, user);
        Scene { by_bot, message_id: Some(self.message_id), topic: topic(&self.rest), ..scene }
    }

    /// Anonymous admins write as their group, others as a channel of theirs. For them stands a bot of Telegram's own.
    fn is_in_the_name_of_a_chat(&self) -> bool {
        self.rest.get("sender_chat").is_some_and(|chat| chat["id"].is_i64())
    }

    /// Text or caption, if it is meant for the bot.
    fn addressed_words(&self, me: &Me) -> Option<String> {
        let (words, address) = (self.words()?, self.address(me));
        address.is_ours().then(|| address.without_call(words))
    }

    fn words(&self) -> Option<&str> {
        self.text.as_deref().or(self.caption.as_deref()).map(|words| clip(words, LONGEST_TEXT))
    }

    fn address<'a>(&'a self, me: &'a Me) -> Address<'a> {
        let replied_to = self.reply_to_message.as_ref().and_then(|message| message.from.as_ref());
        Address {
            me,
            private: self.chat.is_private(),
            reply_to_us: replied_to.is_some_and(|user| user.id == me.id),
            mentioned_by_link: ["entities", "caption_entities"].iter().any(|key| self.names_by_link(key, me)),
            words: self.words().unwrap_or_default(),
        }
    }

    /// A mention of somebody without a user name is a link to their id.
    fn names_by_link(&self, key: &str, me: &Me) -> bool {
        let entities = self.rest.get(key).and_then(Value::as_array);
        entities.is_some_and(|all| all.iter().any(|entity| entity["user"]["id"].as_i64() == Some(me.id)))
    }

    /// What kind of media this is. None: a service message.
    fn media(&self) -> Option<Media> {
        // An animation is also given as a document and a venue as a location, so the order counts.
        const KINDS: &[(Media, &[&str])] = &[
            (Media::Photo, &["photo", "live_photo"]),
            (Media::Voice, &["voice", "video_note", "audio"]),
            (Media::Sticker, &["sticker"]),
            (Media::Video, &["video", "animation"]),
            (Media::Document, &["document"]),
            (
                Media::Other,
                &[
                    "location",
                    "venue",
                    "contact",
                    "poll",
                    "dice",
                    "game",
                    "story",
                    "paid_media",
                    "checklist",
                    "rich_message",
                    "giveaway",
                    "gift",
                    "unique_gift",
                ],
            ),
        ];
        let has = |keys: &[&str]| keys.iter().any(|&key| self.rest.contains_key(key));
        let known = KINDS.iter().find(|(_, keys)| has(keys)).map(|&(media, _)| media);
        known.or_else(|| self.caption.is_some().then_some(Media::Other))
    }
}

#[cfg(test)]
mod tests;
