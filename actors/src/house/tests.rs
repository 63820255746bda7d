//! The whole house in virtual time, over fakes of everything outside: what persons do goes in, what they read comes out.

mod aftercare;
mod care;
mod deeds;
mod faults;
mod lives;
mod news;
mod remembering;
mod schedules;
mod tact;
mod topics;
mod turns;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use friend_gguf::request::ModelInfo;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{House, HouseConfig, Parts, Windows};
use crate::fakes::engine::FakeEngine;
use crate::fakes::messenger::{Call, FakeMessenger};
use crate::fakes::scorer::FakeScorer;
use crate::fakes::store::FakeStore;
use crate::fakes::time::{in_virtual_time, pass, pass_s};
use crate::messages::Fatal;
use crate::persona::{Persona, TemplateKind};
use crate::prompt::Template;
use crate::safety::{Next, Safety};
use crate::supervisor::{Intensity, Supervision};
use crate::texts::Texts;
use crate::types::{ChatId, Event, Incoming, Outgoing, Role, Turn, UserId};

const BOT: i64 = FakeMessenger::BOT;
const ANN: ChatId = ChatId(1);
const BEN: ChatId = ChatId(2);

/// A house on fakes. Its store, messenger and engine outlive a restart.
struct World {
    store: Arc<FakeStore>,
    messenger: Arc<FakeMessenger>,
    engine: Arc<FakeEngine>,
    scorer: Arc<FakeScorer>,
    windows: Windows,
    safety: Safety,
    supervision: Supervision,
    stop: CancellationToken,
    house: Option<JoinHandle<Result<(), Fatal>>>,
    updates: Cell<i64>,
}

impl World {
    /// The house with its default limits.
    fn open() -> Self {
        Self::with(|_| {})
    }

    /// The house with other limits.
    fn with(change: impl FnOnce(&mut HouseConfig)) -> Self {
        Self::with_safety(Safety::default(), change)
    }

    /// A house in which the model speaks right after the written answer to words of danger.
    fn trusting(change: impl FnOnce(&mut HouseConfig)) -> Self {
        Self::with_safety(Safety { next: Next::left_to_the_model(), ..Safety::default() }, change)
    }

    fn with_safety(safety: Safety, change: impl FnOnce(&mut HouseConfig)) -> Self {
        let mut world = Self {
            safety,
            store: Arc::default(),
            messenger: Arc::default(),
            engine: Arc::default(),
            scorer: Arc::default(),
            windows: Windows::default(),
            supervision: Supervision::new(Intensity::default()).0,
            stop: CancellationToken::new(),
            house: None,
            updates: Cell::new(100),
        };
        world.start(change);
        world
    }

    fn start(&mut self, change: impl FnOnce(&mut HouseConfig)) {
        let mut config = HouseConfig::default();
        change(&mut config);
        let (supervision, events) = Supervision::new(config.intensity);
        let parts = Parts {
            bot: BOT,
            messenger: self.messenger.clone(),
            store: self.store.clone(),
            scorer: self.scorer.clone(),
            engine: self.engine.clone(),
            template: Template::for_model(TemplateKind::Dolly, &ModelInfo::default()).unwrap(),
            persona: Arc::new(Persona::arthur()),
            safety: self.safety.clone(),
        };
        (self.supervision, self.stop) = (supervision.clone(), CancellationToken::new());
        self.windows.sessions = Arc::default();
        let house = House { parts, config, windows: self.windows.clone(), supervision };
        let stop = self.stop.clone();
        self.house = Some(actix::spawn(async move { house.serve(events, stop).await }));
    }

    /// Shuts down in order.
    async fn close(&mut self) -> Result<(), Fatal> {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits until the house ends by itself.
    async fn ended(&mut self) -> Result<(), Fatal> {
        self.house.take().expect("the house is open").await.expect("the house never panics")
    }

    fn does(&self, chat: ChatId, event: Event) {
        self.does_in(None, chat, event);
    }

    /// The same in a topic of a forum.
    fn does_in(&self, topic: Option<i64>, chat: ChatId, event: Event) {
        let update_id = self.updates.replace(self.updates.get() + 1);
        self.messenger.receive(Incoming {
            update_id,
            chat,
            private: chat.0 > 0,
            user: UserId(chat.0.abs()),
            name: Some("Ann".to_owned()),
            message_id: Some(update_id),
            topic,
            event,
        });
    }

    fn says(&self, chat: ChatId, text: &str) {
        self.does(chat, Event::Text { text: text.to_owned() });
    }

    fn commands(&self, chat: ChatId, name: &str) {
        self.asks(chat, name, "");
    }

    fn asks(&self, chat: ChatId, name: &str, args: &str) {
        self.does(chat, Event::Command { name: name.to_owned(), args: args.to_owned() });
    }

    fn presses(&self, chat: ChatId, data: &str) {
        self.does(chat, Event::Button { callback_id: "pressed".to_owned(), data: data.to_owned() });
    }

    /// Says something and waits until nothing more happens.
    async fn talk(&self, chat: ChatId, text: &str) {
        self.says(chat, text);
        pass_s(10).await;
    }

    /// What a chat has read so far.
    fn read(&self, chat: ChatId) -> Vec<String> {
        self.messenger.texts(chat)
    }

    /// The modes of the friend's turns.
    fn modes(&self, chat: ChatId) -> Vec<String> {
        self.store.turns(BOT, chat).into_iter().filter_map(|turn| turn.mode).collect()
    }

    fn turns(&self, chat: ChatId) -> Vec<(Role, String)> {
        self.store.turns(BOT, chat).into_iter().map(|Turn { role, text, .. }| (role, text)).collect()
    }
}

impl FakeStore {
    /// What is remembered of a chat.
    async fn profile(&self, chat: ChatId) -> crate::types::Profile {
        let export = crate::ports::Store::export(self, BOT, chat).await.unwrap();
        serde_json::from_value::<Option<_>>(export["profile"].clone()).unwrap().unwrap_or_default()
    }
}

fn person(text: &str) -> (Role, String) {
    (Role::Person, text.to_owned())
}

fn friend(text: &str) -> (Role, String) {
    (Role::Friend, text.to_owned())
}

fn texts() -> Texts {
    Persona::arthur().texts
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
