//! The straight line of a turn: score → choose mode → build prompt → generate → remember → deliver.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::{Recipient, WeakRecipient};
use friend_gguf::request::OwnerId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::generation::{Generated, Generation};
use crate::llm::{ForgetOwner, Generate};
use crate::messages::{Felt, OutboxWake, Preview, ScoreText, Typing, Wake};
use crate::mode::Choice;
use crate::persona::Persona;
use crate::ports::{Change, ChatState, Pending, Store, StoreError};
use crate::prompt::Template;
use crate::reception::{Deed, Step, Words, next_step, step_with, withdraws, written};
use crate::report::{Observer, TurnReport};
use crate::safety::{BotQuestion, Safety, bot_question};
use crate::session::Bell;
use crate::split::split;
use crate::supervisor::Supervision;
use crate::types::{ChatId, Event, Grounds, Outgoing, Role, Scores, Turn};
use crate::typing::TypingNow;

/// Times and bounds of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationConfig {
    /// A burst of messages is over after this much quiet.
    pub burst_quiet: Duration,
    /// And at the latest after this.
    pub burst_max: Duration,
    /// How often new words may cancel the answer to the ones before; then it is finished first.
    pub max_cancels: u32,
    /// Turns of history that a prompt may hold; when there are more, the oldest two fifths leave at once. The engine drops
    /// more if they do not fit.
    pub history_turns: usize,
    /// An answer that takes longer is given up and tried once more.
    pub reply_deadline: Duration,
    /// Who has had nothing to read of his answer for so long is told that it takes a while.
    pub tell_wait_after: Duration,
    /// A session without work is let go after this.
    pub idle_evict: Duration,
    /// Of longer (merged) messages the end counts.
    pub max_message_chars: usize,
    /// Inbox rows looked at together.
    pub inbox_rows: usize,
    /// Whether answers are shown as they grow, in private chats.
    pub streaming: bool,
}

impl Default for ConversationConfig {
    fn default() -> Self {
        Self {
            burst_quiet: Duration::from_millis(500),
            burst_max: Duration::from_secs(5),
            max_cancels: 3,
            history_turns: 60,
            reply_deadline: Duration::from_secs(120),
            tell_wait_after: Duration::from_secs(20),
            idle_evict: Duration::from_secs(600),
            max_message_chars: 4096,
            inbox_rows: 64,
            streaming: true,
        }
    }
}

/// The way to the outbox.
#[derive(Clone)]
pub struct OutboxLinks {
    /// Something durable was added.
    pub wake: Recipient<OutboxWake>,
    /// Typing on and off.
    pub typing: Recipient<Typing>,
    /// The answer so far.
    pub preview: Recipient<Preview>,
}

/// All that sessions share.
pub struct Desk {
    /// The bot's id: part of every store key.
    pub bot: i64,
    /// The friend.
    pub persona: Arc<Persona>,
    /// What to say to people who may harm themselves.
    pub safety: Safety,
    /// How prompts are written.
    pub template: Template,
    /// Times and bounds.
    pub config: ConversationConfig,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Feels.
    pub emotion: Recipient<ScoreText>,
    /// Generates.
    pub llm: Recipient<Generate>,
    /// Forgets.
    pub forget: Recipient<ForgetOwner>,
    /// Delivers.
    pub outbox: OutboxLinks,
    /// Wakes other chats (a group under its new id). Set by the router itself; weak, as the router holds this desk and
    /// ends only when nobody can write to it any more.
    pub router: OnceLock<WeakRecipient<Wake>>,
    /// Counts restarts, and panics on purpose in tests.
    pub supervision: Supervision,
    /// Cancelled first at shutdown: no new turns.
    pub stop: CancellationToken,
    /// Cancelled last: answers in flight are left for the next start.
    pub cut: CancellationToken,
    /// Holds a token for each session at work.
    pub turns: TaskTracker,
    /// Hears of every turn: metrics, and the demo's dim line.
    pub observer: Observer,
}

/// How a session's work ended.
#[derive(Debug)]
pub enum Outcome {
    /// The inbox is empty.
    Settled(ChatState),
    /// The chat lives on under another id.
    Moved,
    /// The process is shutting down; what is left stays in the inbox.
    Closing,
}

/// A chat as a turn sees it.
pub(crate) struct Chat<'a> {
    pub id: ChatId,
    pub private: bool,
    /// The topic of a forum where what is said goes.
    pub topic: Option<i64>,
    pub state: &'a ChatState,
    pub bell: &'a Bell,
    /// Inbox rows being settled.
    pub rows: &'a [i64],
    /// Whether new words may still cancel this answer.
    pub may_cancel: bool,
    /// Whether the person knows that the answer takes a while.
    pub told: &'a Cell<bool>,
}

impl Chat<'_> {
    /// Consent counts where it is one person's: in a group, whoever pressed the button spoke for all.
    pub fn may_flirt(&self) -> bool {
        self.private && self.state.profile.flirt
    }
}

/// How an answer ended.
enum Answered {
    Change(Box<Change>),
    Outdated,
    /// Out of date by what may not wait: it must be seen at the next look.
    Pressed,
    Moved,
    Closing,
}

/// Telegram's bound on a message, in UTF-16 units.
const MESSAGE_UNITS: usize = 4096;

impl Desk {
    /// Settles all unanswered rows of a chat, in order of arrival.
    ///
    /// # Errors
    /// When the store fails: nothing is lost, and the caller tries again from the store.
    pub(crate) async fn settle_inbox(
        &self,
        id: ChatId,
        state: Option<ChatState>,
        bell: &Bell,
    ) -> Result<Outcome, StoreError> {
        let _at_work = self.turns.token();
        let mut state = match state {
            Some(state) => state,
            // To claim would take the chat from whoever answers it in the next life of the house.
            None if self.stop.is_cancelled() => return Ok(Outcome::Closing),
            None => self.store.claim(self.bot, id, self.config.history_turns).await?,
        };
        let (mut quiet, mut cancels, told) = (false, 0, Cell::new(false));
        let mut view = self.config.inbox_rows;
        let mut typing: Option<TypingNow<'_>> = None;
        while !self.stop.is_cancelled() {
            let inbox = self.store.pending(self.bot, id, view).await?;
            let Some(step) = self.next(&inbox) else {
                return Ok(Outcome::Settled(state));
            };
            let topic = step.topic(&inbox);
            let is_shown = quiet && typing.as_ref().is_some_and(|now| now.topic == topic);
            if matches!(step.deed, Deed::Answer(_)) && !is_shown {
                drop(typing.take()); // First: the end of the old would be the end of the new.
                typing = Some(TypingNow::start(&self.outbox.typing, id, topic));
            }
            if step.deed.may_grow() && !quiet {
                self.wait_for_quiet(bell).await;
                quiet = true;
                continue;
            }
            bell.settling.set(step.rows.first().copied());
            let private = inbox.first().is_some_and(|row| row.incoming.private);
            let may_cancel = cancels < self.config.max_cancels;
            let chat = Chat { id, private, topic, state: &state, bell, rows: &step.rows, may_cancel, told: &told };
            // What stands behind something that is replied to at once has been waited for with it.
            let waited = quiet && matches!(step.deed, Deed::Reply(_)) && inbox.len() > step.rows.len();
            let change = match self.settle(&chat, &step, &inbox).await? {
                Answered::Change(change) => change.in_topic(topic),
                Answered::Outdated => {
                    // Who adds one message may add another: each answer begun too early is wasted.
                    (quiet, cancels) = (false, cancels + 1);
                    continue;
                }
                Answered::Pressed => {
                    (quiet, view) = (false, inbox.len() + self.config.inbox_rows);
                    continue;
                }
                Answered::Moved => return Ok(Outcome::Moved),
                Answered::Closing => return Ok(Outcome::Closing),
            };
            // Before the message: a later "typing…" would stand under it.
            drop(typing.take());
            self.commit(id, &mut state, change).await?;
            bell.settling.set(None);
            (quiet, cancels, view) = (waited, 0, self.config.inbox_rows);
            // Who was told of a wait and overtaken by danger still waits.
            let first = inbox.first().map(|row| row.seq);
            told.set(told.get() && first.is_some_and(|first| !step.rows.contains(&first)));
        }
        Ok(Outcome::Closing)
    }

    /// The next step. Danger waits for no answer to what came before it: its own needs no model.
    fn next(&self, inbox: &[Pending]) -> Option<Step> {
        let longest = self.config.max_message_chars;
        let step = next_step(inbox, longest)?;
        if !matches!(step.deed, Deed::Answer(_)) {
            return Some(step);
        }
        let concerns = |row: &Pending| written(&row.incoming.event).is_some_and(|text| self.safety.concerns(text));
        let danger = inbox.iter().position(|row| !step.rows.contains(&row.seq) && concerns(row));
        danger.map_or(Some(step), |at| step_with(inbox, at, longest))
    }

    async fn settle(&self, chat: &Chat<'_>, step: &Step, inbox: &[Pending]) -> Result<Answered, StoreError> {
        let poisoned = chat.bell.poison.take();
        if poisoned.is_some() && poisoned == chat.rows.first().copied() {
            tracing::error!(chat = chat.id.0, "a message made the session panic again and again: it is skipped");
            self.observer.gave_up();
            let apology = self.say(&self.persona.texts.failed);
            return Ok(Answered::Change(Box::new(Change { done: chat.rows.to_vec(), ..apology })));
        }
        if let Some(care) = self.care(chat, step, inbox).await {
            return Ok(Answered::Change(Box::new(Change { done: chat.rows.to_vec(), ..care })));
        }
        let change = match &step.deed {
            Deed::Nothing => Change::default(),
            Deed::Reply(incoming) => match incoming.event {
                Event::Migrated { to } if to != chat.id => return self.migrate(chat.id, to).await,
                _ => self.reply_to_event(chat, incoming).await?,
            },
            Deed::Hush(words) => {
                let turns = said(words, turn(Role::Person, &words.newest));
                Change { turns, ..self.say(&self.persona.texts.stopped) }
            }
            Deed::Answer(words) => return self.answer(chat, words, inbox).await,
        };
        Ok(Answered::Change(Box::new(Change { done: chat.rows.to_vec(), ..change })))
    }

    /// A group has a new id: all of it moves there, this event too, and the session of the new id goes on.
    async fn migrate(&self, from: ChatId, to: ChatId) -> Result<Answered, StoreError> {
        self.store.migrate(self.bot, from, to).await?;
        let _ = self.forget.send(ForgetOwner(owner(from))).await;
        if let Some(router) = self.router.get().and_then(WeakRecipient::upgrade) {
            let _ = router.try_send(Wake { chat: to }); // Lost: the poller's sweep repeats it.
        }
        Ok(Answered::Moved)
    }

    /// One message, one straight line.
    async fn answer(&self, chat: &Chat<'_>, words: &Words, inbox: &[Pending]) -> Result<Answered, StoreError> {
        let begun = Instant::now();
        let done = chat.rows.to_vec();
        let mut profile = chat.state.profile.clone();
        let texts = &self.persona.texts;
        let asked = bot_question(&words.newest);
        if let Some(BotQuestion { beside: None }) = asked {
            let written = self.named(&texts.honest);
            let mut turns = said(words, turn(Role::Person, &words.newest));
            turns.push(turn(Role::Friend, &written));
            return Ok(Answered::Change(Box::new(Change { done, turns, ..self.say(&written) })));
        }
        if let Some(care) = self.care_for_thanks(chat, words) {
            return Ok(Answered::Change(Box::new(Change { done, ..care })));
        }
        // Beside more than the question the truth comes first, and the model answers the rest.
        let first = asked.as_ref().map_or_else(String::new, |_| self.named(&texts.honest_first) + " ");
        let heard = asked.and_then(|asked| asked.beside).unwrap_or_else(|| words.newest.clone());
        let felt = self.feel_soberly(&heard).await;
        let person = || said(words, turn(Role::Person, &words.newest));
        // What is told plainly right after the written answer has an answer of its own.
        let danger = felt.danger.filter(|_| !self.tells_how_it_is(chat, words, &heard));
        let hinted = self.care_for_hints(chat, danger, person);
        if let Some(care) = hinted.or_else(|| self.care_after(chat, words, &heard, &first)) {
            return Ok(Answered::Change(Box::new(Change { done, ..care })));
        }
        let rules = &self.persona.rules;
        let mut scores = Scores::NEUTRAL;
        if !felt.degraded {
            let mood = rules.smooth(profile.mood, felt.scores);
            scores = mood.scores;
            (profile.mood, profile.last_scores) = (Some(mood), Some(felt.scores));
        }
        // What takes the consent back may stand in the inbox still.
        let withdrawn = inbox.iter().any(|row| withdraws(&row.incoming.event));
        let may_flirt = chat.may_flirt() && !withdrawn && !self.has_cared(chat);
        let mut choice = rules.choose(scores, profile.mode.as_deref(), may_flirt);
        let (tender, held) = (self.is_tender(chat), rules.held(&choice));
        if tender {
            choice.mode.clone_from(&rules.negative_mode);
        }
        profile.mode = Some(choice.mode.clone());
        let Choice { negative, positive, .. } = choice;
        profile.grounds = Some(Grounds { negative, positive, felt: !felt.degraded, held, tender, plain: felt.plain });

        let person = Turn { scores: (!felt.degraded).then_some(felt.scores), ..turn(Role::Person, &words.newest) };
        let heard = Turn { text: heard, ..person.clone() };
        let sober = self.is_sober(&choice, &felt, tender || self.has_cared(chat));
        let generation =
            Generation { desk: self, chat, inbox, mode: &choice.mode, person: &heard, first: &first, sober };
        let (text, done, usage) = match generation.run().await? {
            Generated::Whole { text, usage } => (text, done, Some(usage)),
            Generated::Stopped { text, rows } => (text, [done, rows].concat(), None),
            Generated::GaveUp => {
                self.observer.gave_up();
                let change = Change {
                    done,
                    turns: said(words, person),
                    profile: Some(profile),
                    ..self.say(&format!("{first}{}", texts.failed))
                };
                return Ok(Answered::Change(Box::new(change)));
            }
            Generated::Outdated => return Ok(Answered::Outdated),
            Generated::Pressed => return Ok(Answered::Pressed),
            Generated::Overtaken => return Ok(Answered::Change(Box::new(Change { done, ..Change::default() }))),
            Generated::Closing => return Ok(Answered::Closing),
        };

        let mut turns = said(words, person);
        let told = format!("{first}{}", if text.is_empty() { &texts.stopped } else { &text });
        if !text.is_empty() {
            turns.push(Turn { mode: Some(choice.mode.clone()), ..turn(Role::Friend, &told) });
        }
        self.observer.turn(TurnReport { chat: chat.id, felt, choice, usage, took: begun.elapsed() });
        Ok(Answered::Change(Box::new(Change { done, turns, profile: Some(profile), ..self.say(&told) })))
    }

    /// Remembers and delivers, in one transaction.
    pub(crate) async fn commit(&self, id: ChatId, state: &mut ChatState, change: Change) -> Result<(), StoreError> {
        self.store.finish(self.bot, id, state.epoch, change.clone()).await?;
        if change.reset {
            state.turns.clear();
            let _ = self.forget.send(ForgetOwner(owner(id))).await;
        }
        state.turns.extend(change.turns);
        let surplus = surplus(state.turns.len(), self.config.history_turns);
        state.turns.drain(..surplus);
        if let Some(profile) = change.profile {
            state.profile = profile;
        }
        if !change.out.is_empty() {
            let _ = self.outbox.wake.try_send(OutboxWake { chat: id });
        }
        Ok(())
    }

    /// How a text was meant; never an error: without a scorer it is neutral.
    pub(crate) async fn feel(&self, text: &str) -> Felt {
        let asked = self.emotion.send(ScoreText { text: text.to_owned() }).await;
        asked.unwrap_or(Felt::NOTHING)
    }

    /// Waits until nothing new has come for a while, or the process is to end.
    async fn wait_for_quiet(&self, bell: &Bell) {
        let quiet = async { while timeout(self.config.burst_quiet, bell.news.notified()).await.is_ok() {} };
        tokio::select! {
            () = self.stop.cancelled() => {}
            _ = timeout(self.config.burst_max, quiet) => {}
        }
    }

    /// A change that only says something, in as many messages as it needs.
    pub(crate) fn say(&self, text: &str) -> Change {
        let text = self.named(text);
        let out = split(&text, MESSAGE_UNITS)
            .into_iter()
            .map(|text| Outgoing::Text { text: text.to_owned(), buttons: Vec::new(), topic: None })
            .collect();
        Change { out, ..Change::default() }
    }

    /// Puts the friend's name into a written text.
    pub(crate) fn named(&self, text: &str) -> String {
        crate::texts::fill(text, "name", &self.persona.name)
    }
}

/// Of so many turns, the oldest that leave.
///
/// Many at once, and then none for long: if the oldest left with every new one, each prompt would begin elsewhere, and all that the
/// engine has computed of the conversation would be worth nothing.
fn surplus(turns: usize, most: usize) -> usize {
    let kept = if most < FEW_TURNS { most } else { most * 3 / 5 };
    if turns > most { turns - kept } else { 0 }
}

/// With fewer turns than this each counts, and is cheap to compute again.
const FEW_TURNS: usize = 10;

/// A turn of this moment.
pub(crate) fn turn(role: Role, text: &str) -> Turn {
    Turn { role, text: text.to_owned(), mode: None, scores: None, at_ms: now_ms() }
}

/// All that a person said, of which the newest turn is given: it may know how it was meant. None is younger than that one.
pub(crate) fn said(words: &Words, newest: Turn) -> Vec<Turn> {
    let earlier = words.earlier.iter().map(|text| Turn { at_ms: newest.at_ms, ..turn(Role::Person, text) });
    let mut turns: Vec<Turn> = earlier.collect();
    turns.push(newest);
    turns
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64)
}

/// The engine's name for a chat's lane.
pub(crate) fn owner(chat: ChatId) -> OwnerId {
    OwnerId(chat.0.cast_unsigned())
}
