//! The seams: what the actors need from the world outside, as traits. The binary's adapters implement them with the
//! real thing; [`crate::fakes`] implements them in the same thread for tests in virtual time.

use std::time::Duration;

use async_trait::async_trait;
pub use friend_gguf::request::Engine;
use serde::{Deserialize, Serialize};

use crate::types::{Button, ChatId, Incoming, Outgoing, Profile, Reading, Turn};

/// The messenger: Telegram's Bot API, as far as a friend needs it.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// Who this bot is. The first call of every start; fails on a wrong token.
    async fn me(&self) -> Result<Me, ApiError>;

    /// Waits up to `wait` for updates from `offset` on (none: whatever the server still holds).
    ///
    /// Updates that cannot be decoded, or that are none of a friend's business, come back with `incoming: None`, so
    /// that the caller still confirms them.
    async fn updates(&self, offset: Option<i64>, wait: Duration) -> Result<Vec<Update>, ApiError>;

    /// Sends one outbox row.
    async fn send(&self, chat: ChatId, outgoing: &Outgoing) -> Result<Sent, ApiError>;

    /// Shows "typing…" for five seconds, in a topic of a forum if one is named.
    async fn typing(&self, chat: ChatId, topic: Option<i64>) -> Result<(), ApiError>;

    /// Shows the answer as it grows (private chats, where they have topics in one of these; lives 30 seconds, replaced by the
    /// same `draft_id`, never 0).
    async fn draft(&self, chat: ChatId, topic: Option<i64>, draft_id: i64, text: &str) -> Result<(), ApiError>;

    /// Replaces the text and buttons of an earlier message of ours.
    async fn edit(&self, chat: ChatId, message_id: i64, text: &str, buttons: &[Vec<Button>]) -> Result<(), ApiError>;

    /// Registers the commands that the app's menu shows: name and description.
    async fn set_commands(&self, commands: &[(&str, &str)]) -> Result<(), ApiError>;
}

/// The bot's own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// The bot's user id: part of every inbox key.
    pub id: i64,
    /// Without the @.
    pub username: String,
}

/// One update as the poller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Telegram's id: confirmed by asking from `id + 1` on.
    pub id: i64,
    /// What it means to us, if anything.
    pub incoming: Option<Incoming>,
}

/// What a successful send gave. Absent where the call makes no message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The new message's id.
    pub message_id: Option<i64>,
}

/// How a call to the messenger failed, in the terms that decide what to do next. Never holds the token or a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 401 or 404 on the token: nothing will work until a person changes it.
    #[error("the token was refused (HTTP {0}): check TG_BOT_TOKEN with @BotFather{hint}", hint = address_hint(*.0))]
    Unauthorized(u16),
    /// 403: the person blocked the bot, or a group removed it.
    #[error("this chat does not want messages from the bot")]
    Forbidden,
    /// 409: another poller, or a webhook.
    #[error("another process polls with this token, or a webhook is set")]
    Conflict,
    /// 429: nothing before this time has passed.
    #[error("too many requests: wait {0:?}")]
    RetryAfter(Duration),
    /// The group has a new id.
    #[error("the group moved to another id")]
    Migrated(ChatId),
    /// 400 "message is not modified": what we wanted is already so.
    #[error("not modified")]
    NotModified,
    /// Any other 4xx: this call will never work.
    #[error("the call was refused: {0}")]
    Rejected(String),
    /// Certainly not done: no connection was made, or the server said so in the API's JSON. Try again later.
    #[error("the messenger is out of reach: {0}")]
    Unreachable(String),
    /// Perhaps done: the connection broke after writing, timed out, or a 5xx came without the API's JSON.
    #[error("no clear answer came: {0}")]
    Ambiguous(String),
}

/// A wrong address may answer 404 to all it is asked, as Telegram does to a wrong token.
fn address_hint(code: u16) -> &'static str {
    if code == 404 { ", and TG_API_URL, if you set it: there may be no Bot API at that address" } else { "" }
}

/// The emotion classifier. Runs on its own thread; slow or broken means neutral.
#[async_trait]
pub trait Scorer: Send + Sync {
    /// Scores a micro-batch: as many results as texts, in their order.
    async fn score(&self, texts: Vec<String>) -> Result<Vec<Reading>, ScoreError>;
}

/// Why nothing was scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// The scorer's thread has ended.
    #[error("the emotion scorer has stopped")]
    Stopped,
    /// Its queue is full.
    #[error("the emotion scorer is overloaded")]
    Overloaded,
    /// The model gave no sensible numbers.
    #[error("the emotion model failed: {0}")]
    Model(String),
}

/// The truth. Every method is durable when it returns.
///
/// `bot` is [`Me::id`]: one database may serve several bots. All methods of one chat are called from one owner, which
/// holds the chat's `epoch`: a writer with an old epoch is refused ([`StoreError::Fenced`]), so two processes can never
/// answer one chat.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds updates that are not there yet (key: bot and update id; membership, never a high-water mark).
    /// Returns the chats that have something new.
    async fn ingest(&self, bot: i64, batch: Vec<Incoming>) -> Result<Vec<ChatId>, StoreError>;

    /// Chats with unanswered inbox rows, oldest first: what a restart wakes.
    async fn waiting(&self, bot: i64) -> Result<Vec<ChatId>, StoreError>;

    /// Takes a chat: raises its epoch and returns all that is known of it.
    /// `turns` bounds the history returned (newest).
    async fn claim(&self, bot: i64, chat: ChatId, turns: usize) -> Result<ChatState, StoreError>;

    /// Unanswered inbox rows of a chat, in order of arrival, at most `limit`.
    async fn pending(&self, bot: i64, chat: ChatId, limit: usize) -> Result<Vec<Pending>, StoreError>;

    /// Answers: in one transaction marks inbox rows done, appends turns, replaces the profile, adds outbox rows.
    async fn finish(&self, bot: i64, chat: ChatId, epoch: i64, change: Change) -> Result<(), StoreError>;

    /// Chats with outbox rows to send.
    async fn unsent(&self, bot: i64) -> Result<Vec<ChatId>, StoreError>;

    /// The chat's oldest outbox row that is not sent.
    async fn next_out(&self, bot: i64, chat: ChatId) -> Result<Option<OutRow>, StoreError>;

    /// Moves an outbox row to another state, and counts its [`OutRow::attempts`]. False where there is no such row any more:
    /// it was erased, and must not be sent.
    async fn mark(&self, row: i64, state: OutState) -> Result<bool, StoreError>;

    /// Moves a chat's rows to its new id, after a group became a supergroup.
    async fn migrate(&self, bot: i64, from: ChatId, to: ChatId) -> Result<(), StoreError>;

    /// Erases all turns, profile, outbox rows, and the inbox rows with a [`Pending::seq`] below `before` of a chat: what
    /// the person wrote after asking for it stays. Update ids stay (as keys only), so that nothing erased can be
    /// ingested again.
    async fn erase(&self, bot: i64, chat: ChatId, before: i64) -> Result<(), StoreError>;

    /// Everything kept of a chat, as one JSON value that a person can read.
    async fn export(&self, bot: i64, chat: ChatId) -> Result<serde_json::Value, StoreError>;
}

/// What is known of a chat when a session takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatState {
    /// To be given with every change.
    pub epoch: i64,
    /// The newest turns since the last reset, oldest first.
    pub turns: Vec<Turn>,
    /// What is remembered beside them.
    pub profile: Profile,
}

/// An inbox row that has no answer yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Order of arrival.
    pub seq: i64,
    /// What happened.
    pub incoming: Incoming,
}

/// One answer, or one decision that needs none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Inbox rows ([`Pending::seq`]) that this answers.
    pub done: Vec<i64>,
    /// Hides all earlier turns from the friend first (/start and /reset).
    pub reset: bool,
    /// Appended in this order.
    pub turns: Vec<Turn>,
    /// The new profile, if it changed.
    pub profile: Option<Profile>,
    /// Sent in this order.
    pub out: Vec<Outgoing>,
}

impl Change {
    /// The same, with all that is sent going into a topic of a forum.
    #[must_use]
    pub fn in_topic(self, topic: Option<i64>) -> Self {
        let out = self.out.into_iter().map(|outgoing| outgoing.in_topic(topic)).collect();
        Self { out, ..self }
    }
}

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct OutRow {
    /// Its key.
    pub id: i64,
    /// Where to.
    pub chat: ChatId,
    /// What.
    pub outgoing: Outgoing,
    /// How far it came.
    pub state: OutState,
    /// Sends begun whose outcome is not known to be "not done": [`OutState::Sending`] adds one, and going back to
    /// [`OutState::Pending`] takes it off again. So a row found in `Sending` with 1 was perhaps sent once.
    pub attempts: u32,
}

/// How far a send came. `Sending` is committed before the call: found at boot, it means "perhaps sent".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutState {
    /// Not begun, or certainly not done.
    Pending,
    /// Begun.
    Sending,
    /// A 2xx came.
    Sent,
    /// Given up: refused, or the chat is gone.
    Failed,
    /// No clear answer came, and policy says not to send again.
    Ambiguous,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another owner took the chat.
    #[error("another process owns this chat now")]
    Fenced,
    /// The disk is full or read-only; nothing was changed.
    #[error("the data folder cannot be written: {0}")]
    Unwritable(String),
    /// The writer's queue is full.
    #[error("the store is overloaded")]
    Overloaded,
    /// The writer's thread has ended.
    #[error("the store has stopped")]
    Stopped,
    /// Anything else SQLite says.
    #[error("the store failed: {0}")]
    Other(String),
}
