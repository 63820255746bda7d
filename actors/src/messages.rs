//! The messages that pass between actors. All are wake-ups or ephemeral: the truth is in the store, so any of them may
//! be lost without losing a word of anybody.

use actix::Message;

use crate::types::{ChatId, Danger, Scores};

/// The inbox holds something new for this chat. Sent to the router, which passes it on to the chat's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Wake {
    /// Whose inbox.
    pub chat: ChatId,
}

/// The outbox holds something new for this chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct OutboxWake {
    /// Whose outbox.
    pub chat: ChatId,
}

/// Shows or ends "typing…": the outbox repeats it every four seconds while it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Typing {
    /// Where.
    pub chat: ChatId,
    /// In which topic of a forum.
    pub topic: Option<i64>,
    /// Whether an answer is on its way.
    pub on: bool,
}

/// The answer so far. Only the latest counts.
#[derive(Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Preview {
    /// A private chat.
    pub chat: ChatId,
    /// In which topic of it: where the answer will be.
    pub topic: Option<i64>,
    /// Names the draft, never 0; an answer that is begun again goes on in the same.
    pub draft_id: i64,
    /// All of the text, not only what is new.
    pub text: String,
}

/// The chat wants nothing more from us: blocked, kicked, deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct ChatGone {
    /// Which.
    pub chat: ChatId,
}

/// An actor cannot go on, and restarting it will not help: a person has to act.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Fatal {
    /// Who says so.
    pub actor: &'static str,
    /// What happened, why, what to do. Shown to the operator.
    pub reason: String,
}

/// Asks the emotion actor how a text was meant.
#[derive(Clone, PartialEq, Eq, Message)]
#[rtype(result = "Felt")]
pub struct ScoreText {
    /// A person's words.
    pub text: String,
}

/// What was felt. Always an answer: late or broken scoring gives neutral and says so.
#[derive(Clone, Copy, Debug, PartialEq, actix::MessageResponse)]
pub struct Felt {
    /// Seven probabilities.
    pub scores: Scores,
    /// Whether danger is spoken of, where the classifier hears that.
    pub danger: Option<Danger>,
    /// True if the scorer did not answer and this is only [`Scores::NEUTRAL`].
    pub degraded: bool,
    /// Whether the words themselves are bad news, and made the scores what they are.
    pub plain: bool,
}

impl Felt {
    /// What is gone on with where nothing could be felt.
    pub const NOTHING: Self = Self { scores: Scores::NEUTRAL, danger: None, degraded: true, plain: false };
}
