//! The terminal as a messenger: one chat with one person, for `ai-friend chat`.

use std::collections::HashMap;
use std::sync::Mutex as StdMutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use friend_actors::ports::{ApiError, Me, Messenger, Sent, Update};
use friend_actors::types::{Button, ChatId, Event, Incoming, Outgoing, UserId};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use crate::terminal::Seen;

/// The one who sits here.
const PERSON: i64 = 1;

/// The bot's side.
pub struct Terminal {
    said: Mutex<mpsc::Receiver<Update>>,
    seen: mpsc::Sender<Seen>,
    /// Data of the buttons on the screen, by label.
    buttons: std::sync::Arc<StdMutex<HashMap<String, String>>>,
}

/// The person's side.
pub struct Desk {
    say: mpsc::Sender<Update>,
    seen: mpsc::Receiver<Seen>,
    buttons: std::sync::Arc<StdMutex<HashMap<String, String>>>,
    next_update: AtomicI64,
}

impl Terminal {
    /// Both sides.
    pub fn new() -> (Self, Desk) {
        let (say, said) = mpsc::channel(16);
        let (show, seen) = mpsc::channel(256);
        let buttons = std::sync::Arc::<StdMutex<HashMap<String, String>>>::default();
        // The store knows former conversations' updates by id: ids that grow with time are never among them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_millis() as i64);
        let desk = Desk { say, seen, buttons: buttons.clone(), next_update: AtomicI64::new(now) };
        (Self { said: Mutex::new(said), seen: show, buttons }, desk)
    }

    async fn show(&self, seen: Seen) -> Result<(), ApiError> {
        self.seen.send(seen).await.map_err(|_| ApiError::Unreachable("the terminal is closed".to_owned()))
    }
}

impl Desk {
    /// Writes a line, or presses a button by its label. False when the bot has ended.
    pub async fn say(&self, line: &str, pressed: Option<&str>) -> bool {
        let data =
            pressed.and_then(|label| self.buttons.lock().unwrap_or_else(PoisonError::into_inner).get(label).cloned());
        let id = self.next_update.fetch_add(1, Relaxed);
        let event = match (data, line.strip_prefix('/')) {
            (Some(data), _) => Event::Button { callback_id: id.to_string(), data },
            (None, Some(command)) => {
                let (name, args) = command.split_once(' ').unwrap_or((command, ""));
                Event::Command { name: name.to_lowercase(), args: args.to_owned() }
            }
            (None, None) => Event::Text { text: line.to_owned() },
        };
        let (chat, user) = (ChatId(PERSON), UserId(PERSON));
        let (name, message_id, topic) = (None, Some(id), None);
        let incoming = Incoming { update_id: id, chat, private: true, user, name, message_id, topic, event };
        self.say.send(Update { id, incoming: Some(incoming) }).await.is_ok()
    }

    /// The next thing that the friend shows.
    pub async fn see(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }

    /// What was shown already and nobody has looked at.
    pub fn seen_already(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}

#[async_trait]
impl Messenger for Terminal {
    async fn me(&self) -> Result<Me, ApiError> {
        Ok(Me { id: 0, username: "terminal".to_owned() })
    }

    async fn updates(&self, _: Option<i64>, wait: Duration) -> Result<Vec<Update>, ApiError> {
        let mut said = self.said.lock().await;
        match timeout(wait, said.recv()).await {
            Ok(Some(update)) => Ok(vec![update]),
            Ok(None) => {
                // The person has gone: nothing more will come, and asking at once again would spin.
                tokio::time::sleep(wait).await;
                Ok(Vec::new())
            }
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn send(&self, _: ChatId, outgoing: &Outgoing) -> Result<Sent, ApiError> {
        match outgoing {
            Outgoing::Text { text, buttons, .. } => {
                let all = buttons.iter().flatten();
                let known = all.clone().map(|button| (button.label.clone(), button.data.clone())).collect();
                *self.buttons.lock().unwrap_or_else(PoisonError::into_inner) = known;
                self.show(Seen::Message(text.clone(), all.map(|button| button.label.clone()).collect())).await?;
            }
            Outgoing::Document { file_name, content, .. } => {
                self.show(Seen::Document(file_name.clone(), content.clone())).await?;
            }
            Outgoing::ButtonAnswer { .. } => {}
        }
        Ok(Sent::default())
    }

    async fn typing(&self, _: ChatId, _: Option<i64>) -> Result<(), ApiError> {
        self.show(Seen::Typing(true)).await
    }

    async fn draft(&self, _: ChatId, _: Option<i64>, _: i64, text: &str) -> Result<(), ApiError> {
        self.show(Seen::Draft(text.to_owned())).await
    }

    async fn edit(&self, _: ChatId, _: i64, text: &str, _: &[Vec<Button>]) -> Result<(), ApiError> {
        self.show(Seen::Message(text.to_owned(), Vec::new())).await
    }

    async fn set_commands(&self, _: &[(&str, &str)]) -> Result<(), ApiError> {
        Ok(())
    }
}
