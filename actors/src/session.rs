//! One session a chat: takes the chat's unanswered rows from the inbox and settles them, one step after another.
//!
//! The steps themselves are one future over owned data ([`Desk::settle_inbox`]); the actor only starts it, tells it of
//! news, and decides what follows when it ends: rest, try again from the store, or leave the chat to its new owner.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, Recipient, SpawnHandle, Supervised};
use tokio::sync::Notify;

use crate::conversation::{Desk, Outcome};
use crate::messages::Wake;
use crate::ports::{ChatState, StoreError};
use crate::supervisor::{Guarded, backoff, guarded, spawn_guarded};
use crate::types::ChatId;

/// A session has nothing to do: its router may let it go, at once or later.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Resting {
    /// Whose session.
    pub chat: ChatId,
    /// Which one: a chat may have got another since.
    pub session: Addr<Session>,
    /// Wake-ups heard so far. If more were sent, one is still on its way, and the session must stay.
    pub heard: u64,
}

/// What a session and its step at work tell each other.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// The inbox has news.
    pub news: Notify,
    /// The first inbox row of the step at work.
    pub settling: Cell<Option<i64>>,
    /// A row that made the session panic again and again: it is to be skipped.
    pub poison: Cell<Option<i64>>,
}

/// See the module's text.
pub struct Session {
    chat: ChatId,
    desk: Arc<Desk>,
    router: Recipient<Resting>,
    /// Taken by the step at work; rebuilt from the store when lost.
    state: Option<ChatState>,
    bell: Rc<Bell>,
    working: bool,
    /// A wake-up came while at work.
    again: bool,
    heard: u64,
    /// Steps in a row that the store failed.
    failures: u32,
    /// The next try after a failure or a panic. Until then wake-ups change nothing: it reads all of the inbox.
    retry: Option<SpawnHandle>,
    panics: Panics,
}

/// Panics in a row with the same inbox row at work (none: between the rows).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Panics {
    row: Option<i64>,
    times: u32,
}

/// Panics on one and the same inbox row before it is given up with an apology.
const POISONED_AFTER: u32 = 3;

impl Session {
    /// A session that loads its state from the store at its first step.
    pub fn new(chat: ChatId, desk: Arc<Desk>, router: Recipient<Resting>) -> Self {
        Self {
            chat,
            desk,
            router,
            state: None,
            bell: Rc::default(),
            working: false,
            again: false,
            heard: 0,
            failures: 0,
            retry: None,
            panics: Panics::default(),
        }
    }

    /// Starts to work unless at work already; then the work is told instead.
    fn work(&mut self, ctx: &mut Context<Self>) {
        if self.working {
            self.again = true;
            self.bell.news.notify_one();
            return;
        }
        if self.retry.is_some() {
            return;
        }
        (self.working, self.again) = (true, false);
        let (desk, chat, state, bell) = (self.desk.clone(), self.chat, self.state.take(), self.bell.clone());
        let work = async move { desk.settle_inbox(chat, state, &bell).await };
        spawn_guarded(ctx, work, Self::worked);
    }

    fn worked(&mut self, outcome: Result<Outcome, StoreError>, ctx: &mut Context<Self>) {
        self.working = false;
        self.bell.settling.set(None);
        match outcome {
            Ok(Outcome::Settled(state)) => {
                (self.state, self.failures, self.panics) = (Some(state), 0, Panics::default());
                if self.again {
                    self.work(ctx);
                } else {
                    self.rest(ctx);
                }
            }
            Ok(Outcome::Moved) => self.rest(ctx),
            Ok(Outcome::Closing) => {}
            Err(StoreError::Fenced) => {
                // Taking it back at once would only fence the other owner in turn. If rows stay unanswered, the
                // poller's sweep wakes whoever sits in this chat's seat then.
                tracing::warn!(chat = self.chat.0, "another owner has this chat now: it is left to it");
                self.rest(ctx);
            }
            Err(error) => {
                let wait = backoff(Duration::from_millis(250), Duration::from_secs(30), self.failures);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(chat = self.chat.0, %error, ?wait, "a step failed; it is tried again from the store");
                self.try_again(wait, ctx);
            }
        }
    }

    fn try_again(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        self.retry = Some(ctx.run_later(wait, |session, ctx| {
            guarded(session, ctx, |session, ctx| {
                session.retry = None;
                session.work(ctx);
            });
        }));
    }

    fn rest(&mut self, ctx: &mut Context<Self>) {
        if self.working {
            return;
        }
        let resting = Resting { chat: self.chat, session: ctx.address(), heard: self.heard };
        if self.router.try_send(resting).is_err() {
            // The router is busy: without this it would never let the session go.
            ctx.run_later(Duration::from_secs(1), |session, ctx| guarded(session, ctx, Self::rest));
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;
}

impl Supervised for Session {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.desk.supervision.restarted_alone(Self::NAME);
        let row = self.bell.settling.take();
        let times = if row == self.panics.row { self.panics.times.saturating_add(1) } else { 1 };
        self.panics = Panics { row, times };
        if times >= POISONED_AFTER {
            self.bell.poison.set(row);
        }
        (self.state, self.working) = (None, false);
        self.try_again(backoff(Duration::from_millis(50), Duration::from_secs(10), times), ctx);
    }
}

impl Guarded for Session {
    const NAME: &'static str = "session";
}

impl Handler<Wake> for Session {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.heard += 1;
        guarded(self, ctx, |session, ctx| {
            session.desk.supervision.trip(Self::NAME);
            session.work(ctx);
        });
    }
}
