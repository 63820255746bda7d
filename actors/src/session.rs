//! One session a chat: takes the chat's unanswered rows from the inbox and settles them, one step after another.
//!
//! [`answer`] is the heart of the program: score, choose a mode, build the prompt, generate, remember, deliver.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler, Message, Recipient, Supervised};
use tokio::sync::Notify;

use crate::conversation::{Desk, Outcome};
use crate::messages::Wake;
use crate::ports::{ChatState, StoreError};
use crate::supervisor::{Guarded, backoff, guarded, spawn_guarded};
use crate::types::ChatId;

/// A session has had nothing to do for a while: its router may let it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Idle {
    /// Whose session.
    pub chat: ChatId,
}

/// See the module's text.
pub struct Session {
    chat: ChatId,
    desk: Arc<Desk>,
    router: Recipient<Idle>,
    /// Taken by the step at work; rebuilt from the store when lost.
    state: Option<ChatState>,
    /// Tells the step at work that the inbox has news.
    news: Arc<Notify>,
    working: bool,
    again: bool,
    failures: u32,
    panics: u32,
    idle: Option<actix::SpawnHandle>,
}

impl Session {
    /// A session that loads its state from the store at its first step.
    pub fn new(chat: ChatId, desk: Arc<Desk>, router: Recipient<Idle>) -> Self {
        Self {
            chat,
            desk,
            router,
            state: None,
            news: Arc::new(Notify::new()),
            working: false,
            again: false,
            failures: 0,
            panics: 0,
            idle: None,
        }
    }

    /// Starts to work unless at work already; then the work is told instead.
    fn work(&mut self, ctx: &mut Context<Self>) {
        if self.working {
            self.again = true;
            self.news.notify_one();
            return;
        }
        if let Some(idle) = self.idle.take() {
            ctx.cancel_future(idle);
        }
        (self.working, self.again) = (true, false);
        let (desk, chat, state) = (self.desk.clone(), self.chat, self.state.take());
        let (news, panics) = (self.news.clone(), self.panics);
        let work = async move { desk.settle_inbox(chat, state, &news, panics).await };
        spawn_guarded(ctx, work, Self::worked);
    }

    fn worked(&mut self, outcome: Result<Outcome, StoreError>, ctx: &mut Context<Self>) {
        self.working = false;
        match outcome {
            Ok(Outcome::Settled(state)) => {
                (self.state, self.failures, self.panics) = (Some(state), 0, 0);
                if self.again {
                    self.work(ctx);
                } else {
                    self.rest(ctx);
                }
            }
            Ok(Outcome::Closing) => {}
            Err(error) => {
                let wait = backoff(Duration::from_millis(250), Duration::from_secs(30), self.failures);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(chat = self.chat.0, %error, ?wait, "a step failed; it is tried again from the store");
                ctx.run_later(wait, |session, ctx| guarded(session, ctx, Self::work));
            }
        }
    }

    fn rest(&mut self, ctx: &mut Context<Self>) {
        let idle = ctx.run_later(self.desk.config.idle_evict, |session, ctx| {
            guarded(session, ctx, |session, _| {
                session.idle = None;
                let _ = session.router.try_send(Idle { chat: session.chat });
            });
        });
        self.idle = Some(idle);
    }
}

impl Actor for Session {
    type Context = Context<Self>;
}

impl Supervised for Session {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.desk.supervision.restarted(Self::NAME);
        self.panics = self.panics.saturating_add(1);
        (self.state, self.working, self.idle) = (None, false, None);
        let wait = backoff(Duration::from_millis(50), Duration::from_secs(10), self.panics);
        ctx.run_later(wait, |session, ctx| guarded(session, ctx, Self::work));
    }
}

impl Guarded for Session {
    const NAME: &'static str = "session";
}

impl Handler<Wake> for Session {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        guarded(self, ctx, |session, ctx| {
            session.desk.supervision.trip(Self::NAME);
            session.work(ctx);
        });
    }
}
