//! Whatever happens on the wire, and however much is logged: no line holds the token or a word of anybody.
//!
//! A test binary of its own, since the log is the process's.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ai_friend::adapters::telegram::{Telegram, TelegramConfig};
use ai_friend::config::Secret;
use friend_actors::ports::Messenger;
use friend_actors::types::{Button, ChatId, Outgoing};
use friend_sim::bot_api::{BotApi, Config, DEFAULT_TOKEN, Fault, FaultRule, Limits};

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_level_of_the_log_shows_the_token_or_a_text() {
    let log = Log::default();
    let writer = log.clone();
    // Also takes what libraries write through the `log` crate.
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).init();

    let server = BotApi::start(Config { limits: Limits::off(), ..Config::default() }).await.unwrap();
    let control = server.control();
    let ann = control.user(1001, "Ann");
    ann.say("my heartbroken words");
    let config = TelegramConfig {
        base_url: server.url(),
        token: Secret::new(DEFAULT_TOKEN),
        poll_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(10),
    };
    let telegram = Telegram::new(&config).unwrap();
    tracing::info!(?config, ?telegram, "made");
    let button = Button { label: "heartbroken label".to_owned(), data: "heartbroken data".to_owned() };
    let (text, buttons) = ("my heartbroken answer".to_owned(), vec![vec![button]]);
    let outgoing = Outgoing::Text { text, buttons, topic: None };
    let faults = [
        Fault::internal(),
        Fault::Html { status: 502 },
        Fault::Garbage,
        Fault::Cut,
        Fault::CutBody,
        Fault::Error { code: 400, description: "Bad Request: wrong \"heartbroken\" text".to_owned(), parameters: None },
    ];
    for fault in faults {
        control.inject(FaultRule::any(fault).times(2));
        for _ in 0..3 {
            let sent = telegram.send(ChatId(ann.id()), &outgoing).await;
            tracing::info!(?sent, ?outgoing, "sent");
        }
        control.clear_faults();
    }
    let updates = telegram.updates(None, Duration::ZERO).await;
    tracing::info!(?updates, "received");
    telegram.draft(ChatId(ann.id()), Some(7), 3, "my heartbroken draft").await.unwrap();
    server.shutdown().await;
    let error = telegram.typing(ChatId(ann.id()), None).await.unwrap_err();
    tracing::error!(%error, ?error, "gone");

    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("gone") && lines.contains("reqwest"), "the log itself works, libraries included: {lines}");
    let token = DEFAULT_TOKEN.split_once(':').unwrap().1;
    for line in lines.lines() {
        assert!(!line.contains(token) && !line.contains("heartbroken"), "{line}");
    }
}
