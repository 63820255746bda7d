//! Everything that one emulator knows, behind one lock: chats, updates, ledger, faults, limits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::chat::{Access, Chat, ChatKind, Message, Person};
use super::config::Config;
use super::faults::Faults;
use super::ledger::{Event, Ledger};
use super::limits::Limiter;
use super::params::Upload;
use super::reply::ApiError;
use super::updates::UpdateQueue;

/// Files kept at most; the oldest leave first.
const MAX_FILES: usize = 256;

/// The emulator's whole state.
#[derive(Debug)]
pub struct State {
    /// As given at the start.
    pub config: Config,
    /// People by user id.
    pub people: HashMap<i64, Person>,
    /// Chats by chat id.
    pub chats: HashMap<i64, Chat>,
    /// What waits for the bot.
    pub updates: UpdateQueue,
    /// What happened.
    pub ledger: Ledger,
    /// What shall go wrong.
    pub faults: Faults,
    /// Flood limits.
    pub limiter: Limiter,
    /// Pressed buttons that can still be answered: their chat and their end.
    pub callbacks: HashMap<String, (i64, Instant)>,
    /// Commands by scope and language.
    pub commands: BTreeMap<String, Value>,
    /// The webhook's address, when one is set.
    pub webhook: Option<String>,
    /// Ends the poll that waits now.
    pub waiting_poll: Option<oneshot::Sender<ApiError>>,
    /// Changes whenever an update is added.
    pub news: watch::Sender<u64>,
    /// Woken when something gets a new end.
    pub alarm: Arc<Notify>,
    files: BTreeMap<u64, (String, Upload)>,
    ends: BTreeSet<(Instant, i64)>,
    rng: ChaCha8Rng,
    started: Instant,
    started_unix: Duration,
    next_message: i64,
    next_file: u64,
}

impl State {
    /// An empty world.
    pub fn new(config: Config) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let first_update = rng.random_range(100_000_000..900_000_000);
        Self {
            people: HashMap::new(),
            chats: HashMap::new(),
            updates: UpdateQueue::new(first_update, config.update_ttl, config.max_pending_updates),
            ledger: Ledger::new(config.ledger_capacity),
            faults: Faults::default(),
            limiter: Limiter::default(),
            callbacks: HashMap::new(),
            commands: BTreeMap::new(),
            webhook: None,
            waiting_poll: None,
            news: watch::Sender::new(0),
            alarm: Arc::new(Notify::new()),
            files: BTreeMap::new(),
            ends: BTreeSet::new(),
            rng,
            started: Instant::now(),
            started_unix: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            next_message: 1,
            next_file: 1,
            config,
        }
    }

    /// Adds a line to the ledger.
    pub fn note(&mut self, chat: Option<i64>, user: Option<i64>, event: Event) -> u64 {
        let at = self.started.elapsed();
        self.ledger.add(at, chat, user, event)
    }

    /// Adds an update for the bot, if it subscribed to its kind, and wakes its poll.
    pub fn push_update(&mut self, kind: &str, payload: Value) -> Option<i64> {
        let id = self.updates.push(kind, payload, Instant::now());
        if id.is_some() {
            self.wake_poll();
        }
        id
    }

    /// Wakes the poll that waits.
    pub fn wake_poll(&self) {
        self.news.send_modify(|n| *n += 1);
    }

    /// Time since the start: the ledger's clock.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Unix time in seconds, by tokio's clock.
    pub fn unix_now(&self) -> u64 {
        (self.started_unix + self.started.elapsed()).as_secs()
    }

    /// The bot as the Bot API's `User`.
    pub fn bot_json(&self) -> Value {
        json!({
            "id": self.config.bot_id(),
            "is_bot": true,
            "first_name": self.config.bot_name,
            "username": self.config.bot_username,
        })
    }

    /// The person, made on first sight.
    pub fn person(&mut self, id: i64, first_name: &str) -> Person {
        let person = self.people.entry(id).or_insert_with(|| Person {
            id,
            first_name: first_name.to_owned(),
            username: Some(format!("user{id}")),
            language: Some("en".to_owned()),
        });
        let (name, username) = (person.first_name.clone(), person.username.clone());
        self.chats.entry(id).or_insert_with(|| {
            let mut chat = Chat::new(id, ChatKind::Private, &name);
            chat.username = username;
            chat
        });
        self.people[&id].clone()
    }

    /// The chat the bot wants to write to.
    ///
    /// # Errors
    /// As Telegram: not found, migrated, blocked, removed, deactivated.
    pub fn writable(&mut self, id: i64) -> Result<&mut Chat, ApiError> {
        let chat = self.chats.get_mut(&id).ok_or_else(ApiError::chat_not_found)?;
        if let Some(to) = chat.migrated_to {
            return Err(ApiError::migrated(to));
        }
        match (chat.access, chat.kind) {
            (Access::Open, _) => Ok(chat),
            (Access::NotStarted, _) => Err(ApiError::chat_not_found()),
            (Access::Deactivated, _) => Err(ApiError::forbidden("user is deactivated")),
            (Access::Shut, ChatKind::Private) => Err(ApiError::forbidden("bot was blocked by the user")),
            (Access::Shut, ChatKind::Group) => Err(ApiError::forbidden("bot was kicked from the group chat")),
            (Access::Shut, ChatKind::Supergroup) => Err(ApiError::forbidden("bot was kicked from the supergroup chat")),
        }
    }

    /// Takes the next message id.
    pub fn new_message_id(&mut self) -> i64 {
        self.next_message += 1;
        self.next_message - 1
    }

    /// Keeps a message and forgets the chat's oldest beyond the limit.
    pub fn keep_message(&mut self, chat: i64, id: i64, message: Message) {
        let limit = self.config.max_messages_a_chat;
        if let Some(chat) = self.chats.get_mut(&chat) {
            chat.messages.insert(id, message);
            while chat.messages.len() > limit {
                chat.messages.pop_first();
            }
        }
    }

    /// Keeps a file and returns its id.
    pub fn keep_file(&mut self, upload: Upload) -> String {
        let id = format!("BQACAgIAAx{:08X}{:08x}", self.next_file, self.rng.random::<u32>());
        self.files.insert(self.next_file, (id.clone(), upload));
        self.next_file += 1;
        while self.files.len() > MAX_FILES {
            self.files.pop_first();
        }
        id
    }

    /// A kept file.
    pub fn file(&self, id: &str) -> Option<&Upload> {
        self.files.values().find(|(known, _)| known == id).map(|(_, upload)| upload)
    }

    /// Digits for ids that mean nothing.
    pub fn random_id(&mut self) -> u64 {
        self.rng.random::<u64>() >> 1
    }

    /// Remembers that something in `chat` ends then.
    pub fn set_end(&mut self, at: Instant, chat: i64) {
        if self.ends.first().is_none_or(|(first, _)| at < *first) {
            self.alarm.notify_one();
        }
        self.ends.insert((at, chat));
    }

    /// Ends what is over, and says when the next thing ends.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.callbacks.retain(|_, (_, end)| *end > now);
        while let Some((at, id)) = self.ends.first().copied() {
            if at > now {
                return Some(at);
            }
            self.ends.pop_first();
            let Some(chat) = self.chats.get_mut(&id) else { continue };
            let draft = chat.draft.take_if(|draft| draft.expires <= now);
            let action = chat.action_until.take_if(|until| *until <= now);
            if let Some(draft) = draft {
                self.note(Some(id), None, Event::DraftGone { draft_id: draft.id, why: "expired" });
            }
            if action.is_some() {
                self.note(Some(id), None, Event::ActionGone);
            }
        }
        None
    }

    /// Removes draft and action, as a new message of the bot does.
    pub fn clear_previews(&mut self, id: i64) {
        let Some(chat) = self.chats.get_mut(&id) else { return };
        let (draft, action) = (chat.draft.take(), chat.action_until.take());
        if let Some(draft) = draft {
            self.note(Some(id), None, Event::DraftGone { draft_id: draft.id, why: "sent" });
        }
        if action.is_some() {
            self.note(Some(id), None, Event::ActionGone);
        }
    }
}
