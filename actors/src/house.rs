//! The house: starts all actors, hears what breaks, starts them anew or gives up, and closes in the right order.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Recipient, Supervised, Supervisor};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conversation::{ConversationConfig, Desk, OutboxLinks, owner};
use crate::emotion::{Emotion, EmotionParts, EmotionSettings};
use crate::llm::Llm;
use crate::messages::{ChatGone, Fatal};
use crate::outbox::{Outbox, OutboxCounters, OutboxParts, OutboxSettings};
use crate::persona::Persona;
use crate::poller::{Poller, PollerCounters, PollerParts, PollerSettings};
use crate::ports::{Engine, Messenger, Scorer, Store};
use crate::prompt::Template;
use crate::report::Observer;
use crate::router::{Router, Sessions};
use crate::safety::Safety;
use crate::supervisor::{Event, Intensity, Supervision, backoff};

/// What the house is built of: the real things, or fakes of them.
#[derive(Clone)]
pub struct Parts {
    /// [`crate::ports::Me::id`].
    pub bot: i64,
    /// The messenger.
    pub messenger: Arc<dyn Messenger>,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The emotion classifier.
    pub scorer: Arc<dyn Scorer>,
    /// The batching engine.
    pub engine: Arc<dyn Engine>,
    /// How prompts are written for the engine's model.
    pub template: Template,
    /// The friend.
    pub persona: Arc<Persona>,
    /// What to say to people who may harm themselves.
    pub safety: Safety,
}

/// Limits and times of all actors.
#[derive(Clone, Debug)]
pub struct HouseConfig {
    /// Of sessions.
    pub conversation: ConversationConfig,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Of the emotion actor.
    pub emotion: EmotionSettings,
    /// Of the poller.
    pub poller: PollerSettings,
    /// Of the outbox.
    pub outbox: OutboxSettings,
    /// How many restarts are borne.
    pub intensity: Intensity,
    /// Pause before all actors are started anew: first and longest.
    pub restart_pause: (Duration, Duration),
    /// How long answers in flight may take at shutdown.
    pub grace: Duration,
}

impl Default for HouseConfig {
    fn default() -> Self {
        Self {
            conversation: ConversationConfig::default(),
            max_sessions: 20_000,
            emotion: EmotionSettings::default(),
            poller: PollerSettings::default(),
            outbox: OutboxSettings::default(),
            intensity: Intensity::default(),
            restart_pause: (Duration::from_millis(50), Duration::from_secs(10)),
            grace: Duration::from_secs(20),
        }
    }
}

/// What watches the house from outside: counters and reports, alive over restarts.
#[derive(Clone, Default)]
pub struct Windows {
    /// Turns as they happen, and their counters.
    pub observer: Observer,
    /// Live sessions.
    pub sessions: Sessions,
    /// The poller's counters.
    pub poller: Arc<PollerCounters>,
    /// The outbox's counters.
    pub outbox: Arc<OutboxCounters>,
    /// The emotion actor's counters.
    pub emotion: Arc<crate::emotion::EmotionCounters>,
    supervision: Arc<OnceLock<Supervision>>,
}

impl Windows {
    /// Restarts so far, by actor. None before the house is run.
    pub fn restarts(&self) -> BTreeMap<&'static str, u64> {
        self.supervision.get().map(Supervision::restarts).unwrap_or_default()
    }
}

/// Runs the house until `stop` is cancelled (then answers in flight are finished within the grace), or until it
/// gives up. Must run inside an actix system.
///
/// # Errors
/// What a person has to act on: a refused token, an actor that panics again and again.
pub async fn run(parts: Parts, config: HouseConfig, windows: Windows, stop: CancellationToken) -> Result<(), Fatal> {
    let (supervision, events) = Supervision::new(config.intensity);
    House { parts, config, windows, supervision }.serve(events, stop).await
}

/// A house with a handle on its supervision, for fault tests.
pub struct House {
    /// See [`Parts`].
    pub parts: Parts,
    /// See [`HouseConfig`].
    pub config: HouseConfig,
    /// See [`Windows`].
    pub windows: Windows,
    /// Made by [`Supervision::new`].
    pub supervision: Supervision,
}

impl House {
    /// As [`run`], with the other end of [`Supervision::new`].
    ///
    /// # Errors
    /// As [`run`].
    pub async fn serve(
        self,
        mut events: tokio::sync::mpsc::Receiver<Event>,
        stop: CancellationToken,
    ) -> Result<(), Fatal> {
        // Only the first house is watched, as there is only one.
        let _ = self.windows.supervision.set(self.supervision.clone());
        let mut restarts = 0;
        loop {
            let generation = self.supervision.next_generation();
            let actors = self.start();
            let ended = loop {
                tokio::select! {
                    () = stop.cancelled() => break None,
                    event = events.recv() => match event {
                        Some(Event::Down { generation: past, .. }) if past != generation => {}
                        event => break event,
                    },
                }
            };
            match ended {
                None => {
                    actors.close(&self.parts, self.config.grace).await;
                    return Ok(());
                }
                Some(Event::Fatal(fatal)) => {
                    actors.close(&self.parts, Duration::ZERO).await;
                    return Err(fatal);
                }
                Some(Event::Down { actor, .. }) => {
                    actors.close(&self.parts, Duration::ZERO).await;
                    self.supervision.restarted(actor);
                    let (first, longest) = self.config.restart_pause;
                    tracing::error!(actor, "an actor was lost: all actors are started anew from the store");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(backoff(first, longest, restarts)) => restarts += 1,
                    }
                }
            }
        }
    }

    /// Starts every actor, each under a supervisor of its own.
    fn start(&self) -> Actors {
        let Self { parts, config, windows, supervision } = self;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let (turns, sends) = (TaskTracker::new(), TaskTracker::new());
        let overseer = Overseer {
            supervision: supervision.clone(),
            sessions: windows.sessions.clone(),
            engine: parts.engine.clone(),
        }
        .start();
        let fatal: Recipient<Fatal> = overseer.clone().recipient();
        let supervision = supervision.clone();

        let emotion_parts = EmotionParts {
            scorer: parts.scorer.clone(),
            settings: config.emotion,
            counters: windows.emotion.clone(),
            supervision: supervision.clone(),
        };
        let emotion = Supervisor::start(move |ctx| Emotion::new(roomy(ctx, emotion_parts)));
        let (engine, own) = (parts.engine.clone(), supervision.clone());
        let llm = Supervisor::start(move |ctx| Llm::new(roomy(ctx, engine), own));

        let outbox_parts = OutboxParts {
            messenger: parts.messenger.clone(),
            store: parts.store.clone(),
            bot: parts.bot,
            gone: overseer.clone().recipient(),
            fatal: fatal.clone(),
            stop: cut.clone(),
            in_flight: sends.clone(),
            settings: config.outbox,
            counters: windows.outbox.clone(),
            supervision: supervision.clone(),
        };
        let outbox = Supervisor::start(move |ctx| Outbox::new(roomy(ctx, outbox_parts)));

        let desk = Desk {
            bot: parts.bot,
            persona: parts.persona.clone(),
            safety: parts.safety.clone(),
            template: parts.template.clone(),
            config: config.conversation,
            store: parts.store.clone(),
            emotion: emotion.recipient(),
            llm: llm.clone().recipient(),
            forget: llm.recipient(),
            outbox: OutboxLinks {
                wake: outbox.clone().recipient(),
                typing: outbox.clone().recipient(),
                preview: outbox.recipient(),
            },
            supervision: supervision.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
            turns: turns.clone(),
            observer: windows.observer.clone(),
            router: OnceLock::new(),
        };
        let (sessions, most) = (windows.sessions.clone(), config.max_sessions);
        let router = Supervisor::start(move |ctx| Router::new(roomy(ctx, sessions), most, Arc::new(desk)));

        let poller_parts = PollerParts {
            messenger: parts.messenger.clone(),
            store: parts.store.clone(),
            bot: parts.bot,
            router: router.clone().recipient(),
            fatal,
            stop: stop.clone(),
            settings: config.poller,
            counters: windows.poller.clone(),
            supervision,
        };
        let poller = Supervisor::start(move |_| Poller::new(poller_parts));
        Actors { stop, cut, turns, sends, sessions: windows.sessions.clone(), _keep: (router, poller, overseer) }
    }
}

/// Wake-ups of this many chats may reach an actor at once. actix's own bound is 16: the seventeenth person who writes in
/// the same moment would wait for the next sweep.
const MAILBOX: usize = 16_384;

/// Gives an actor its mailbox before anybody can write to it.
fn roomy<A: Actor<Context = Context<A>>, T>(ctx: &mut Context<A>, parts: T) -> T {
    ctx.set_mailbox_capacity(MAILBOX);
    parts
}

/// All actors of one life of the house.
struct Actors {
    /// No new polls and turns.
    stop: CancellationToken,
    /// No more waiting for turns in flight; no new sends.
    cut: CancellationToken,
    turns: TaskTracker,
    sends: TaskTracker,
    sessions: Sessions,
    _keep: (Addr<Router>, Addr<Poller>, Addr<Overseer>),
}

impl Actors {
    /// Closes in order: no new messages, answers in flight, their delivery, sends in flight. What the grace cuts off
    /// is in the store and goes on at the next start.
    async fn close(self, parts: &Parts, grace: Duration) {
        self.stop.cancel();
        self.turns.close();
        let orderly = async {
            self.turns.wait().await;
            while parts.store.unsent(parts.bot).await.is_ok_and(|chats| !chats.is_empty()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(grace, orderly).await.is_err() && !grace.is_zero() {
            tracing::warn!(?grace, "some answers were not finished in time; they go on at the next start");
        }
        self.cut.cancel();
        self.sends.close();
        let _ = timeout(Duration::from_secs(5), self.sends.wait()).await;
        self.sessions.clear();
    }
}

/// Hands actors' last words to the house, and lets go of chats that want nothing more.
struct Overseer {
    supervision: Supervision,
    sessions: Sessions,
    engine: Arc<dyn Engine>,
}

impl Actor for Overseer {
    type Context = Context<Self>;
}

impl Supervised for Overseer {}

impl Handler<Fatal> for Overseer {
    type Result = ();

    fn handle(&mut self, fatal: Fatal, _: &mut Context<Self>) {
        self.supervision.fatal(fatal);
    }
}

impl Handler<ChatGone> for Overseer {
    type Result = ();

    fn handle(&mut self, ChatGone { chat }: ChatGone, _: &mut Context<Self>) {
        self.sessions.remove(&chat);
        self.engine.forget(owner(chat));
    }
}

#[cfg(test)]
mod tests;
