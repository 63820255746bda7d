//! Telegram's Bot API as the friend's [`Messenger`]: frankenstein's types for what is asked, raw JSON for what is answered.
//!
//! frankenstein's own client is not used, for three measured reasons: it drops the HTTP status of an answer that is not
//! the API's JSON (so a 2xx with a broken body could not be told from a 502 page, and a message would be sent twice),
//! it puts whole bodies into errors, and one update of an unknown kind fails a whole batch.

mod answer;
mod decode;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use frankenstein::methods::{
    AnswerCallbackQueryParams, EditMessageTextParams, GetUpdatesParams, SendChatActionParams, SendMessageDraftParams,
    SendMessageParams, SetMyCommandsParams,
};
use frankenstein::types::{
    AllowedUpdate, BotCommand, ChatAction, InlineKeyboardButton, InlineKeyboardMarkup, ReplyMarkup,
};
use friend_actors::ports::{ApiError, Me, Messenger, Sent, Update};
use friend_actors::types::{Button, ChatId, Outgoing};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

pub use self::wire::ConfigError;
use self::wire::Wire;
use crate::config::Secret;

/// Where Telegram is, and how long it may take.
#[derive(Clone, Debug)]
pub struct TelegramConfig {
    /// The Bot API's base, `https://api.telegram.org` or a server of one's own. `/bot<token>/<method>` is appended.
    pub base_url: String,
    /// The bot's token.
    pub token: Secret,
    /// The longest that the server may hold a poll open: 0 to 50 s.
    pub poll_timeout: Duration,
    /// The longest that any other call may take. A poll may take this much longer than it is held open.
    pub request_timeout: Duration,
}

/// The Bot API over HTTP. Its `Debug` shows no token.
#[derive(Debug)]
pub struct Telegram {
    wire: Wire,
    poll_timeout: Duration,
    request_timeout: Duration,
    me: OnceCell<Me>,
    /// Held by the poll: two of them in one process would only fight each other.
    polling: Mutex<()>,
}

/// Telegram accepts more, but some proxies in between close a connection that is silent for a minute.
const LONGEST_POLL: Duration = Duration::from_secs(50);

/// Every kind that [`decode`] understands. Always said explicitly: the server remembers the last list given.
const ALLOWED: [AllowedUpdate; 5] = [
    AllowedUpdate::Message,
    AllowedUpdate::EditedMessage,
    AllowedUpdate::CallbackQuery,
    AllowedUpdate::MyChatMember,
    AllowedUpdate::StoppedMessageGeneration,
];

/// The longest notice on a pressed button, in characters.
const LONGEST_NOTICE: usize = 200;

impl Telegram {
    /// Checks the address and the token's form. Connects to nothing.
    ///
    /// # Errors
    /// [`ConfigError`] when the address is no http(s) URL or the token cannot be one.
    pub fn new(config: &TelegramConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            wire: Wire::new(&config.base_url, &config.token)?,
            poll_timeout: config.poll_timeout.min(LONGEST_POLL),
            request_timeout: config.request_timeout,
            me: OnceCell::new(),
            polling: Mutex::new(()),
        })
    }

    async fn call(&self, method: &str, params: &impl serde::Serialize) -> Result<Value, ApiError> {
        self.wire.call(method, params, self.request_timeout).await
    }

    async fn send_text(
        &self,
        (chat, topic): (ChatId, Option<i64>),
        text: &str,
        buttons: &[Vec<Button>],
    ) -> Result<Value, ApiError> {
        let mut params = SendMessageParams::builder().chat_id(chat.0).text(text).build();
        params.message_thread_id = thread(topic);
        params.reply_markup = keyboard(buttons).map(ReplyMarkup::InlineKeyboardMarkup);
        // Each refusal takes away what was refused, so that there are three calls at most.
        loop {
            match self.call("sendMessage", &params).await {
                // The text is the model's, and plain. Whatever was read into it: say that it holds no entities at all.
                Err(ApiError::Rejected(reason))
                    if params.entities.is_none() && answer::is_about_formatting(&reason) =>
                {
                    params.entities = Some(Vec::new());
                }
                Err(ApiError::Rejected(reason))
                    if params.message_thread_id.is_some() && answer::is_about_topic(&reason) =>
                {
                    params.message_thread_id = None;
                }
                outcome => return outcome,
            }
        }
    }

    async fn send_file(
        &self,
        (chat, topic): (ChatId, Option<i64>),
        file: &wire::File,
        caption: &str,
    ) -> Result<Value, ApiError> {
        let upload = |thread: Option<i32>| {
            let mut fields = vec![("chat_id", chat.0.to_string()), ("caption", caption.to_owned())];
            fields.extend(thread.map(|thread| ("message_thread_id", thread.to_string())));
            self.wire.upload("sendDocument", fields, file.clone(), self.request_timeout)
        };
        match upload(thread(topic)).await {
            Err(ApiError::Rejected(reason)) if thread(topic).is_some() && answer::is_about_topic(&reason) => {
                upload(None).await
            }
            outcome => outcome,
        }
    }
}

#[async_trait]
impl Messenger for Telegram {
    async fn me(&self) -> Result<Me, ApiError> {
        let ask = || async {
            let me = self.call("getMe", &json!({})).await?;
            decode::me(&me).ok_or_else(|| ApiError::Unreachable("getMe's answer does not name a bot".to_owned()))
        };
        self.me.get_or_try_init(ask).await.cloned()
    }

    async fn updates(&self, offset: Option<i64>, wait: Duration) -> Result<Vec<Update>, ApiError> {
        let Ok(_only) = self.polling.try_lock() else { return Err(ApiError::Conflict) };
        let me = self.me().await?;
        let wait = wait.min(self.poll_timeout);
        let mut params = GetUpdatesParams::builder()
            .limit(100)
            .timeout(u32::try_from(wait.as_secs()).unwrap_or(0))
            .allowed_updates(ALLOWED.to_vec())
            .build();
        params.offset = offset;
        let answer = self.wire.call("getUpdates", &params, wait + self.request_timeout).await?;
        let Value::Array(updates) = answer else {
            return Err(ApiError::Unreachable("getUpdates' answer is not a list of updates".to_owned()));
        };
        Ok(updates.into_iter().filter_map(|update| decode::update(update, &me)).collect())
    }

    async fn send(&self, chat: ChatId, outgoing: &Outgoing) -> Result<Sent, ApiError> {
        let answer = match outgoing {
            Outgoing::Text { text, buttons, topic } => self.send_text((chat, *topic), text, buttons).await?,
            Outgoing::Document { file_name, content, caption, topic } => {
                let file = wire::File { field: "document", name: file_name.clone(), content: content.clone() };
                self.send_file((chat, *topic), &file, caption).await?
            }
            Outgoing::ButtonAnswer { callback_id, notice } => {
                let mut params = AnswerCallbackQueryParams::builder().callback_query_id(callback_id.as_str()).build();
                params.text =
                    Some(notice.chars().take(LONGEST_NOTICE).collect()).filter(|text: &String| !text.is_empty());
                self.call("answerCallbackQuery", &params).await?
            }
        };
        Ok(Sent { message_id: answer.get("message_id").and_then(Value::as_i64) })
    }

    async fn typing(&self, chat: ChatId, topic: Option<i64>) -> Result<(), ApiError> {
        let mut params = SendChatActionParams::builder().chat_id(chat.0).action(ChatAction::Typing).build();
        params.message_thread_id = thread(topic);
        self.call("sendChatAction", &params).await.map(|_| ())
    }

    async fn draft(&self, chat: ChatId, topic: Option<i64>, draft_id: i64, text: &str) -> Result<(), ApiError> {
        let draft_id = narrow(draft_id, "draft id")?;
        let mut params =
            SendMessageDraftParams::builder().chat_id(chat.0).draft_id(draft_id).text(text).can_stop(true).build();
        params.message_thread_id = thread(topic);
        self.call("sendMessageDraft", &params).await.map(|_| ())
    }

    async fn edit(&self, chat: ChatId, message_id: i64, text: &str, buttons: &[Vec<Button>]) -> Result<(), ApiError> {
        let message_id = narrow(message_id, "message id")?;
        let mut params = EditMessageTextParams::builder().chat_id(chat.0).message_id(message_id).text(text).build();
        params.reply_markup = keyboard(buttons);
        self.call("editMessageText", &params).await.map(|_| ())
    }

    async fn set_commands(&self, commands: &[(&str, &str)]) -> Result<(), ApiError> {
        let commands = commands
            .iter()
            .map(|&(command, description)| BotCommand::builder().command(command).description(description).build())
            .collect();
        let params = SetMyCommandsParams::builder().commands(commands).build();
        self.call("setMyCommands", &params).await.map(|_| ())
    }
}

/// The API's 32-bit ids.
fn narrow(id: i64, what: &str) -> Result<i32, ApiError> {
    i32::try_from(id)
        .ok()
        .filter(|&id| id != 0)
        .ok_or_else(|| ApiError::Rejected(format!("the {what} is out of range")))
}

/// A topic as the API takes it. One that cannot be is left out: in the general topic the message is still read.
fn thread(topic: Option<i64>) -> Option<i32> {
    topic.and_then(|topic| i32::try_from(topic).ok())
}

fn keyboard(buttons: &[Vec<Button>]) -> Option<InlineKeyboardMarkup> {
    let button = |button: &Button| {
        InlineKeyboardButton::builder().text(button.label.as_str()).callback_data(button.data.as_str()).build()
    };
    let rows: Vec<Vec<_>> = buttons.iter().map(|row| row.iter().map(button).collect()).collect();
    (!rows.is_empty()).then(|| InlineKeyboardMarkup::builder().inline_keyboard(rows).build())
}
