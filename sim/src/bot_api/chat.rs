//! People, chats and messages as the emulator keeps them, and their JSON as the Bot API shows them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::Instant;

/// A person.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user id, which is also the id of the private chat.
    pub id: i64,
    /// Shown to the bot.
    pub first_name: String,
    /// Without `@`.
    pub username: Option<String>,
    /// IETF tag of the app's language.
    pub language: Option<String>,
}

impl Person {
    /// As the Bot API's `User`.
    pub fn json(&self) -> Value {
        let mut user = json!({ "id": self.id, "is_bot": false, "first_name": self.first_name });
        if let Some(username) = &self.username {
            user["username"] = json!(username);
        }
        if let Some(language) = &self.language {
            user["language_code"] = json!(language);
        }
        user
    }
}

/// What kind of chat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatKind {
    /// With one person.
    Private,
    /// A small group, which may become a supergroup.
    Group,
    /// A group with message ids of its own.
    Supergroup,
}

impl ChatKind {
    /// The Bot API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Group => "group",
            Self::Supergroup => "supergroup",
        }
    }
}

/// Whether the bot can write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody has written to the bot yet: it may not begin.
    NotStarted,
    /// It can.
    Open,
    /// The person blocked the bot, or the group removed it.
    Shut,
    /// The person's account is gone.
    Deactivated,
}

/// A chat.
#[derive(Debug)]
pub struct Chat {
    /// Positive for private chats, negative for groups, below -10^12 for supergroups.
    pub id: i64,
    /// What it is.
    pub kind: ChatKind,
    /// A group's title, or the person's first name.
    pub title: String,
    /// The person's user name.
    pub username: Option<String>,
    /// Whether the bot can write there.
    pub access: Access,
    /// Where it went.
    pub migrated_to: Option<i64>,
    /// People in a group.
    pub members: BTreeSet<i64>,
    /// By message id.
    pub messages: BTreeMap<i64, Message>,
    /// The draft shown.
    pub draft: Option<Draft>,
    /// Draft whose generation the person stopped: nothing more of it is shown.
    pub stopped_draft: Option<i64>,
    /// Until when "typing…" is shown.
    pub action_until: Option<Instant>,
}

impl Chat {
    /// A chat without messages.
    pub fn new(id: i64, kind: ChatKind, title: &str) -> Self {
        Self {
            id,
            kind,
            title: title.to_owned(),
            username: None,
            access: if kind == ChatKind::Private { Access::NotStarted } else { Access::Open },
            migrated_to: None,
            members: BTreeSet::new(),
            messages: BTreeMap::new(),
            draft: None,
            stopped_draft: None,
            action_until: None,
        }
    }

    /// Whether several people are in it.
    pub fn is_group(&self) -> bool {
        self.kind != ChatKind::Private
    }

    /// As the Bot API's `Chat`.
    pub fn json(&self) -> Value {
        let mut chat = json!({ "id": self.id, "type": self.kind.name() });
        chat[if self.is_group() { "title" } else { "first_name" }] = json!(self.title);
        if let Some(username) = &self.username {
            chat["username"] = json!(username);
        }
        chat
    }
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Whether the bot wrote it.
    pub from_bot: bool,
    /// Its text or caption.
    pub text: String,
    /// The buttons under it.
    pub markup: Option<Value>,
    /// When it was written.
    pub at: Instant,
    /// As the Bot API's `Message`.
    pub json: Value,
}

/// A draft that is shown.
#[derive(Clone, Debug)]
pub struct Draft {
    /// As the bot called it.
    pub id: i64,
    /// Shown so far.
    pub text: String,
    /// Whether a Stop button is shown.
    pub can_stop: bool,
    /// Whether it stays for a while after Stop.
    pub keep_on_stop: bool,
    /// The topic of the private chat that it is shown in.
    pub topic: Option<i64>,
    /// When it vanishes.
    pub expires: Instant,
}
