//! The words that actors share: who, what happened, what was felt, what goes out.

use serde::{Deserialize, Serialize};

use crate::known::Fact;

/// A Telegram chat. Private chats have the user's own id; groups are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChatId(pub i64);

/// A Telegram user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

/// One thing that a person did, decoded from one update.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Telegram's update id: the key of deduplication, not an order.
    pub update_id: i64,
    /// Where it happened.
    pub chat: ChatId,
    /// Private chats may be streamed to by drafts, groups may not.
    pub private: bool,
    /// Who did it.
    pub user: UserId,
    /// The person's first name, if Telegram gave one.
    pub name: Option<String>,
    /// The message it happened in.
    pub message_id: Option<i64>,
    /// The topic of a forum, or of a private chat with topics, that it happened in; none in the general one, and where there
    /// are no topics.
    #[serde(default)]
    pub topic: Option<i64>,
    /// What happened.
    pub event: Event,
}

/// What a person did. Text is theirs: it never reaches a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A message to the friend.
    Text {
        /// As written.
        text: String,
    },
    /// `/name args`, addressed to this bot.
    Command {
        /// Without slash and bot name, lower case.
        name: String,
        /// The rest of the line.
        args: String,
    },
    /// A button under one of our messages.
    Button {
        /// To answer, or Telegram shows a spinner.
        callback_id: String,
        /// What we put into the button.
        data: String,
    },
    /// An earlier message was changed.
    Edited {
        /// The new text.
        text: String,
    },
    /// Something that is not text.
    Media {
        /// What it is.
        media: Media,
        /// The words under it, if any.
        caption: Option<String>,
        /// Names the album that it was sent in: each of its pictures comes alone, and at most one has words.
        #[serde(default)]
        album: Option<String>,
    },
    /// The person pressed Stop under a draft.
    StopGeneration,
    /// The person blocked the bot, or a group removed it.
    Left,
    /// The person unblocked the bot, or a group added it.
    Joined,
    /// The group became a supergroup with another id.
    Migrated {
        /// The new id.
        to: ChatId,
    },
}

impl Event {
    /// The event's name, for logs and metrics: never its content.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Command { .. } => "command",
            Self::Button { .. } => "button",
            Self::Edited { .. } => "edited",
            Self::Media { .. } => "media",
            Self::StopGeneration => "stop_generation",
            Self::Left => "left",
            Self::Joined => "joined",
            Self::Migrated { .. } => "migrated",
        }
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incoming({} {:?} in {})", self.update_id, self.event, self.chat.0)
    }
}

/// Kinds of message the friend cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// A picture.
    Photo,
    /// A voice message, a video note or music.
    Voice,
    /// A sticker.
    Sticker,
    /// A film or an animation.
    Video,
    /// A file.
    Document,
    /// Anything else: a place, a contact, a poll, a game.
    Other,
}

/// The seven emotions of the classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Anger.
    Anger,
    /// Disgust.
    Disgust,
    /// Fear.
    Fear,
    /// Joy.
    Joy,
    /// None of the others.
    Neutral,
    /// Sadness.
    Sadness,
    /// Surprise.
    Surprise,
}

impl Label {
    /// All labels, in the order of [`Scores`].
    pub const ALL: [Self; 7] =
        [Self::Anger, Self::Disgust, Self::Fear, Self::Joy, Self::Neutral, Self::Sadness, Self::Surprise];

    /// The label's name as models and configs write it.
    pub fn name(self) -> &'static str {
        ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"][self as usize]
    }
}

/// Seven probabilities that sum to 1, in the order of [`Label::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores(pub [f32; 7]);

impl Scores {
    /// Nothing felt: what a session goes on with when the scorer is late or broken.
    pub const NEUTRAL: Self = Self([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    /// The probability of one label, 0 to 1.
    pub fn get(&self, label: Label) -> f32 {
        self.0[label as usize]
    }

    /// The sum over some labels, 0 to 1.
    pub fn sum(&self, labels: &[Label]) -> f32 {
        labels.iter().map(|&label| self.get(label)).sum()
    }
}

/// What the classifier makes of one message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// How it was meant.
    pub scores: Scores,
    /// Whether it speaks of danger; none from a classifier that was not taught to hear that.
    pub danger: Option<Danger>,
}

/// How likely a message speaks of somebody who may come to harm by their own hand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Danger {
    /// That it is who writes, 0 to 1.
    pub themselves: f32,
    /// That it is someone whom they write about, 0 to 1; the two sum to 1 at most.
    pub someone_else: f32,
}

impl Danger {
    /// That it is anybody, 0 to 1.
    pub fn total(self) -> f32 {
        // Rounded, the two may add up to a little more.
        (self.themselves + self.someone_else).min(1.0)
    }
}

/// A turn of the conversation as the store keeps it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// The words.
    pub text: String,
    /// The mode the friend answered in (friend's turns only).
    pub mode: Option<String>,
    /// What was felt in the message (person's turns only), unsmoothed.
    pub scores: Option<Scores>,
    /// Unix time in milliseconds.
    pub at_ms: i64,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} turn of {} characters in {:?}", self.role, self.text.chars().count(), self.mode)
    }
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person.
    Person,
    /// The friend.
    Friend,
}

/// What is remembered of a chat beside its turns. Absent fields take their defaults, so old rows stay readable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// The smoothed scores after the last message.
    pub mood: Option<Mood>,
    /// The mode of the last answer.
    pub mode: Option<String>,
    /// Confirmed by a button: an adult who wants to be flirted with.
    pub flirt: bool,
    /// The last message's own scores, for /why.
    pub last_scores: Option<Scores>,
    /// What the last answer's mode stood on, for /why; none in rows written before it was kept.
    pub grounds: Option<Grounds>,
    /// What the person asked the friend to keep in mind, oldest first.
    pub facts: Vec<Fact>,
    /// When danger was last answered, in Unix milliseconds: turns are forgotten sooner than this may be.
    pub cared_at_ms: Option<i64>,
}

/// What the choice of a mode stood on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    /// The negative sum that was compared, 0 to 1.
    pub negative: f32,
    /// The positive sum that was compared, 0 to 1.
    pub positive: f32,
    /// Whether the message itself was felt; otherwise it was taken as neutral.
    pub felt: bool,
    /// Whether only the hysteresis kept the mode of the answer before.
    pub held: bool,
    /// Whether it was chosen for what was said before: words of danger were answered not long ago.
    #[serde(default)]
    pub tender: bool,
    /// Whether the words themselves are bad news, whatever was felt in them.
    #[serde(default)]
    pub plain: bool,
}

/// An exponential mean of a person's scores, with the weight it stands on (so that the first message counts whole).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mood {
    /// The mean.
    pub scores: Scores,
    /// The sum of the weights of all messages in it: 1 after the first, towards 1 / (1 - decay).
    pub weight: f32,
}

/// Something to send that must not be lost: an outbox row holds one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outgoing {
    /// A text message of 1 to 4096 UTF-16 units.
    Text {
        /// The words, plain.
        text: String,
        /// Rows of buttons under it.
        #[serde(default)]
        buttons: Vec<Vec<Button>>,
        /// As [`Incoming::topic`].
        #[serde(default)]
        topic: Option<i64>,
    },
    /// A file.
    Document {
        /// Its name.
        file_name: String,
        /// Its content.
        content: String,
        /// A line under it.
        caption: String,
        /// As [`Incoming::topic`].
        #[serde(default)]
        topic: Option<i64>,
    },
    /// Takes the spinner off a pressed button, with a short notice.
    ButtonAnswer {
        /// From [`Event::Button`].
        callback_id: String,
        /// At most 200 characters.
        notice: String,
    },
}

impl Outgoing {
    /// The same, into a topic of a forum.
    #[must_use]
    pub fn in_topic(mut self, to: Option<i64>) -> Self {
        match &mut self {
            Self::Text { topic, .. } | Self::Document { topic, .. } => *topic = to,
            Self::ButtonAnswer { .. } => {}
        }
        self
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "text",
            Self::Document { .. } => "document",
            Self::ButtonAnswer { .. } => "button_answer",
        })
    }
}

/// One button of an inline keyboard.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What the person reads.
    pub label: String,
    /// What comes back, at most 64 bytes.
    pub data: String,
}

impl std::fmt::Debug for Button {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "button of {} characters, {}", self.label.chars().count(), self.data)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_written_before_there_were_albums_and_topics_are_still_read() {
        let photo = json!({"kind": "media", "media": "photo", "caption": "my dog"});
        let old = json!({
            "update_id": 1, "chat": -5, "private": false, "user": 2, "name": null, "message_id": 3, "event": photo,
        });
        let incoming: Incoming = serde_json::from_value(old).unwrap();
        assert_eq!(incoming.topic, None);
        let caption = Some("my dog".to_owned());
        assert_eq!(incoming.event, Event::Media { media: Media::Photo, caption, album: None });

        let text: Outgoing = serde_json::from_value(json!({"kind": "text", "text": "hi"})).unwrap();
        assert_eq!(text, Outgoing::Text { text: "hi".to_owned(), buttons: Vec::new(), topic: None });
        let file = json!({"kind": "document", "file_name": "a.json", "content": "{}", "caption": "yours"});
        let file: Outgoing = serde_json::from_value(file).unwrap();
        assert!(matches!(file, Outgoing::Document { topic: None, .. }));
    }

    #[test]
    fn profiles_of_former_versions_are_still_read() {
        let old =
            json!({"mood": null, "mode": "FIX", "flirt": true, "last_scores": null, "facts": [], "inactive": true});
        let profile: Profile = serde_json::from_value(old).unwrap();
        assert_eq!(profile, Profile { mode: Some("FIX".to_owned()), flirt: true, ..Profile::default() });
    }
}
