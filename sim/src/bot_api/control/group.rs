//! A group with the bot in it.

use super::super::chat::{Access, Chat, ChatKind};
use super::super::play::{self, Item, Media, PlayError, Sent};
use super::{Control, User};

/// A group; cheap to clone. After [`Group::migrate`], go on with the group it returns.
#[derive(Clone, Debug)]
pub struct Group {
    control: Control,
    id: i64,
    creator: i64,
}

impl Group {
    pub(super) fn create(control: Control, title: &str, creator: i64) -> Result<Self, PlayError> {
        let mut state = control.shared.lock();
        let id = (1..).map(|n| -4_000_000 - n).find(|id| !state.chats.contains_key(id)).unwrap_or(-1);
        let mut chat = Chat::new(id, ChatKind::Group, title);
        chat.members.insert(creator);
        state.chats.insert(id, chat);
        play::set_access(&mut state, creator, id, Access::Open)?;
        drop(state);
        Ok(Self { control, id, creator })
    }

    /// The chat id, negative.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Takes a person in.
    pub fn add(&self, user: &User) {
        if let Some(chat) = self.control.shared.lock().chats.get_mut(&self.id) {
            chat.members.insert(user.id());
        }
    }

    /// A member writes.
    ///
    /// # Errors
    /// When they are no member.
    pub fn say(&self, user: &User, text: &str) -> Result<Sent, PlayError> {
        play::say(&mut self.control.shared.lock(), user.id(), self.id, text, None)
    }

    /// A member writes with the bot's user name in front.
    ///
    /// # Errors
    /// When they are no member.
    pub fn mention(&self, user: &User, text: &str) -> Result<Sent, PlayError> {
        let name = self.control.shared.lock().config.bot_username.clone();
        self.say(user, &format!("@{name} {text}"))
    }

    /// A member answers a message.
    ///
    /// # Errors
    /// When they are no member, or there is no such message.
    pub fn reply(&self, user: &User, to: i64, text: &str) -> Result<Sent, PlayError> {
        play::say(&mut self.control.shared.lock(), user.id(), self.id, text, Some(to))
    }

    /// A member sends something that is not text.
    ///
    /// # Errors
    /// When they are no member.
    pub fn send(&self, user: &User, media: Media, caption: Option<&str>) -> Result<Sent, PlayError> {
        play::send(&mut self.control.shared.lock(), user.id(), self.id, Item { media, caption, album: None })
    }

    /// A member presses the newest button with this data or text.
    ///
    /// # Errors
    /// When they are no member, or no message shows one.
    pub fn press(&self, user: &User, wanted: &str) -> Result<Sent, PlayError> {
        play::press(&mut self.control.shared.lock(), user.id(), self.id, None, wanted).map(|(sent, _)| sent)
    }

    /// Removes the bot.
    ///
    /// # Errors
    /// Never for a group made by [`Control::group`].
    pub fn remove_bot(&self) -> Result<Sent, PlayError> {
        play::set_access(&mut self.control.shared.lock(), self.creator, self.id, Access::Shut)
    }

    /// Becomes a supergroup; the bot is told, and sends to the old id answer 400 with the new one.
    ///
    /// # Errors
    /// When it is one already.
    pub fn migrate(&self) -> Result<Self, PlayError> {
        let id = play::migrate(&mut self.control.shared.lock(), self.id, false)?;
        Ok(Self { id, ..self.clone() })
    }

    /// Becomes a supergroup, and the bot learns it only from the error of its next send.
    ///
    /// # Errors
    /// When it is one already.
    pub fn migrate_silently(&self) -> Result<Self, PlayError> {
        let id = play::migrate(&mut self.control.shared.lock(), self.id, true)?;
        Ok(Self { id, ..self.clone() })
    }
}
