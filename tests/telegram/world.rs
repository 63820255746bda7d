//! An emulator and an adapter that talks to it.

use std::sync::Arc;
use std::time::Duration;

use ai_friend::adapters::telegram::{Telegram, TelegramConfig};
use ai_friend::config::Secret;
use friend_actors::ports::{ApiError, Messenger, Sent};
use friend_actors::types::{ChatId, Event, Incoming, Outgoing};
use friend_sim::bot_api::{BotApi, Config, Control, DEFAULT_TOKEN, Event as Seen, Limits, Server, User};
use serde_json::Value;

/// Long enough for a loaded machine; nothing waits this long unless it fails.
pub const SOON: Duration = Duration::from_secs(20);

pub const ANN: ChatId = ChatId(1001);

pub struct World {
    pub server: Server,
    pub control: Control,
    pub telegram: Arc<Telegram>,
}

impl World {
    pub async fn new() -> Self {
        let server = BotApi::start(Config { limits: Limits::off(), ..Config::default() }).await.unwrap();
        let telegram = Arc::new(Telegram::new(&config(&server.url())).unwrap());
        Self { control: server.control(), server, telegram }
    }

    /// Ann, who has written to the bot before.
    pub fn ann(&self) -> User {
        let ann = self.control.user(ANN.0, "Ann");
        ann.say("hello");
        ann
    }

    /// What waits for the bot, confirmed by the next call.
    pub async fn incoming(&self) -> Vec<Incoming> {
        let updates = self.telegram.updates(None, Duration::ZERO).await.unwrap();
        if let Some(last) = updates.iter().map(|update| update.id).max() {
            self.telegram.updates(Some(last + 1), Duration::ZERO).await.unwrap();
        }
        updates.into_iter().filter_map(|update| update.incoming).collect()
    }

    /// The events among them.
    pub async fn events(&self) -> Vec<Event> {
        self.incoming().await.into_iter().map(|incoming| incoming.event).collect()
    }

    /// Which methods the bot has called since then, each with the topic it named.
    pub fn threads(&self, mark: u64) -> Vec<(String, Value)> {
        let thread = |event: &Seen| match event {
            Seen::Call { method, params, .. } => Some((method.clone(), params["message_thread_id"].clone())),
            _ => None,
        };
        self.control.ledger(mark).iter().filter_map(|entry| thread(&entry.event)).collect()
    }

    pub async fn send(&self, chat: ChatId, text: &str) -> Result<Sent, ApiError> {
        self.telegram.send(chat, &self::text(text)).await
    }
}

pub fn text(text: &str) -> Outgoing {
    Outgoing::Text { text: text.to_owned(), buttons: Vec::new(), topic: None }
}

pub fn config(url: &str) -> TelegramConfig {
    TelegramConfig {
        base_url: url.to_owned(),
        token: Secret::new(DEFAULT_TOKEN),
        poll_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(10),
    }
}

/// The part of the token that nobody may print.
pub fn secret() -> &'static str {
    DEFAULT_TOKEN.split_once(':').unwrap().1
}

/// Waits until something holds. The clock is real here, and so are the sockets.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waited).await.is_ok(), "not within {SOON:?}: {what}");
}
