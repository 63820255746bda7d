//! The outbox: sends each chat's rows in their order, many chats at once, and shows what is ephemeral beside them.
//!
//! A row goes pending → sending (committed) → sent. So a row found in `sending` was perhaps sent, and
//! [`AmbiguousSend`] decides. One lane (a future) works on a chat as long as it has rows; typing and previews go
//! through the same actor, so that all that is known of a chat's pace lies in one place.

mod ephemera;
mod lane;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Recipient, Supervised};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::messages::{ChatGone, Fatal, OutboxWake, Preview, Typing};
use crate::pace::{Backoff, ChatPace};
use crate::ports::{Messenger, Store};
use crate::supervisor::{Guarded, Lifeline, Supervision, guarded, spawn_guarded};
use crate::types::ChatId;

/// The actor. Its lanes die with it and are built anew from the store when it starts again.
pub struct Outbox {
    shared: Rc<Shared>,
    /// Before the first look: not zero after a panic, so that a panic at every start cannot spin: actix starts anew
    /// without yielding.
    pause: Duration,
    _lifeline: Lifeline,
}

/// What the outbox works with.
pub struct OutboxParts {
    /// What sends.
    pub messenger: Arc<dyn Messenger>,
    /// Where the rows are.
    pub store: Arc<dyn Store>,
    /// [`crate::ports::Me::id`].
    pub bot: i64,
    /// Told of chats that answered 403.
    pub gone: Recipient<ChatGone>,
    /// Told when no retry can help.
    pub fatal: Recipient<Fatal>,
    /// Begins no further send. Those in flight end by themselves: wait for them with `in_flight`.
    pub stop: CancellationToken,
    /// Holds a token for each send from before its commit until its outcome is written: cancel `stop`, then `close()`
    /// and `wait()`.
    pub in_flight: TaskTracker,
    /// Limits and times.
    pub settings: OutboxSettings,
    /// For metrics.
    pub counters: Arc<OutboxCounters>,
    /// Told of restarts.
    pub supervision: Supervision,
}

/// What to do with a send that was perhaps done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmbiguousSend {
    /// Send once more: at worst the person reads it twice.
    #[default]
    Resend,
    /// Leave it and say so in the row: at worst the person never reads it.
    Mark,
}

/// The outbox's limits and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Policy for sends without a clear answer.
    pub ambiguous: AmbiguousSend,
    /// Most sends at the same time.
    pub concurrent: usize,
    /// Most chats worked on at the same time; further ones wait for the next sweep.
    pub lanes: usize,
    /// Network errors and 5xx, for each chat on its own.
    pub backoff: Backoff,
    /// How often lost wake-ups are looked for.
    pub sweep_every: Duration,
    /// Telegram shows "typing…" for 5 s, so a bit less.
    pub typing_every: Duration,
    /// Typing ends by itself this long after it was last turned on.
    pub typing_most: Duration,
    /// Least time between two previews in one chat.
    pub preview_every: Duration,
    /// Whether a chat's messages keep to Telegram's rates. Where nothing limits them (a load test on the emulator), waiting would be
    /// measured instead of the bot.
    pub paced: bool,
    /// Seeds the jitter.
    pub seed: u64,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            ambiguous: AmbiguousSend::Resend,
            concurrent: 64,
            lanes: 10_000,
            backoff: Backoff { first: Duration::from_millis(500), most: Duration::from_secs(60) },
            sweep_every: Duration::from_secs(15),
            typing_every: Duration::from_secs(4),
            typing_most: Duration::from_secs(180),
            preview_every: Duration::from_secs(1),
            paced: true,
            seed: 0,
        }
    }
}

/// Counted since the start of the process.
#[derive(Debug, Default)]
pub struct OutboxCounters {
    /// Rows sent.
    pub sent: AtomicU64,
    /// Rows given up: refused, or the chat is gone.
    pub failed: AtomicU64,
    /// Sends without a clear answer.
    pub ambiguous: AtomicU64,
    /// Waits that the server asked for.
    pub limited: AtomicU64,
    /// Sends that certainly failed and were tried again.
    pub retried: AtomicU64,
    /// Previews shown.
    pub previews: AtomicU64,
}

/// What the actor's futures share; all of them run in the actor's thread.
struct Shared {
    parts: OutboxParts,
    /// Permits for sends.
    permits: Semaphore,
    /// Permits for previews and typing, so that these never delay a send.
    ephemera: Semaphore,
    state: RefCell<State>,
}

struct State {
    /// Chats with a lane; true: a wake-up came since the lane last looked.
    lanes: HashMap<ChatId, bool>,
    paces: HashMap<ChatId, ChatPace>,
    /// Chats with a preview loop.
    previews: HashMap<ChatId, ephemera::Slot>,
    /// Chats where typing is on; which of their loops is the present one, and when it ends by itself.
    typing: HashMap<ChatId, (u64, Instant)>,
    typing_turns: u64,
    jitter: ChaCha8Rng,
}

impl Outbox {
    /// An outbox that begins when the actor is started: first with the rows that the last life left.
    pub fn new(parts: OutboxParts) -> Self {
        let permits = || Semaphore::new(parts.settings.concurrent.max(1));
        let (permits, ephemera) = (permits(), permits());
        let state = RefCell::new(State::new(parts.settings.seed));
        let lifeline = parts.supervision.lifeline(Self::NAME);
        Self { shared: Rc::new(Shared { parts, permits, ephemera, state }), pause: Duration::ZERO, _lifeline: lifeline }
    }

    /// Gives a chat a lane, or tells its lane to look again.
    fn work_on(&mut self, chat: ChatId, ctx: &mut Context<Self>) {
        if self.shared.open_lane(chat) {
            let outbox = ctx.address().recipient();
            spawn_guarded(ctx, lane::run(Rc::clone(&self.shared), chat, outbox), |_, (), _| {});
        }
    }
}

impl State {
    fn new(seed: u64) -> Self {
        Self {
            lanes: HashMap::new(),
            paces: HashMap::new(),
            previews: HashMap::new(),
            typing: HashMap::new(),
            typing_turns: 0,
            jitter: ChaCha8Rng::seed_from_u64(seed),
        }
    }
}

impl Shared {
    /// True: the caller must run a lane for this chat.
    fn open_lane(&self, chat: ChatId) -> bool {
        let lanes = &mut self.state.borrow_mut().lanes;
        if let Some(again) = lanes.get_mut(&chat) {
            *again = true;
            return false;
        }
        let room = lanes.len() < self.parts.settings.lanes && !self.parts.stop.is_cancelled();
        if room {
            lanes.insert(chat, false);
        }
        room
    }

    /// Reads or changes what is known of a chat's pace.
    fn pace<T>(&self, chat: ChatId, with: impl FnOnce(&mut ChatPace, Instant) -> T) -> T {
        with(self.state.borrow_mut().paces.entry(chat).or_default(), Instant::now())
    }

    /// Forgets the pace of quiet chats, so that the table stays as small as the present traffic.
    fn forget_idle(&self) {
        let (now, backoff) = (Instant::now(), self.parts.settings.backoff);
        self.state.borrow_mut().paces.retain(|_, pace| !pace.is_idle(backoff, now));
    }
}

impl Actor for Outbox {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // After a restart the former lanes are gone, their permits returned.
        *self.shared.state.borrow_mut() = State::new(self.shared.parts.settings.seed);
        let outbox = ctx.address().recipient();
        spawn_guarded(ctx, lane::sweep(Rc::clone(&self.shared), outbox, self.pause), |_, (), _| {});
    }
}

impl Supervised for Outbox {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.shared.parts.supervision.restarted(Self::NAME);
        self.pause = self.shared.parts.settings.backoff.first;
    }
}

impl Guarded for Outbox {
    const NAME: &'static str = "outbox";
}

impl Handler<OutboxWake> for Outbox {
    type Result = ();

    fn handle(&mut self, OutboxWake { chat }: OutboxWake, ctx: &mut Self::Context) {
        guarded(self, ctx, |outbox, ctx| outbox.work_on(chat, ctx));
    }
}

impl Handler<Typing> for Outbox {
    type Result = ();

    fn handle(&mut self, Typing { chat, topic, on }: Typing, ctx: &mut Self::Context) {
        guarded(self, ctx, |outbox, ctx| {
            if let Some(turn) = outbox.shared.set_typing(chat, on) {
                spawn_guarded(ctx, ephemera::typing(Rc::clone(&outbox.shared), chat, topic, turn), |_, (), _| {});
            }
        });
    }
}

impl Handler<Preview> for Outbox {
    type Result = ();

    fn handle(&mut self, preview: Preview, ctx: &mut Self::Context) {
        guarded(self, ctx, |outbox, ctx| {
            let chat = preview.chat;
            if outbox.shared.offer_preview(preview) {
                spawn_guarded(ctx, ephemera::previews(Rc::clone(&outbox.shared), chat), |_, (), _| {});
            }
        });
    }
}

#[cfg(test)]
mod tests;
