//! The router: one session a chat, started when needed, let go when idle, never more than a bound at once.

use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Supervised, Supervisor};
use dashmap::DashMap;

use crate::conversation::Desk;
use crate::messages::Wake;
use crate::session::{Idle, Session};
use crate::supervisor::{Guarded, Lifeline, guarded};
use crate::types::ChatId;

/// Which chats have a session. Metrics read it too.
pub type Sessions = Arc<DashMap<ChatId, Addr<Session>>>;

/// See the module's text.
pub struct Router {
    sessions: Sessions,
    most: usize,
    desk: Arc<Desk>,
    _lifeline: Lifeline,
}

impl Router {
    /// A router of at most `most` sessions; further chats wait in the inbox until one is free.
    pub fn new(sessions: Sessions, most: usize, desk: Arc<Desk>) -> Self {
        let lifeline = desk.supervision.lifeline(Self::NAME);
        Self { sessions, most, desk, _lifeline: lifeline }
    }

    fn wake(&mut self, wake: Wake, ctx: &mut Context<Self>) {
        if !self.sessions.contains_key(&wake.chat) {
            if self.sessions.len() >= self.most {
                tracing::warn!(most = self.most, "all sessions are taken: a chat waits in the inbox");
                return;
            }
            let (chat, desk, router) = (wake.chat, self.desk.clone(), ctx.address().recipient());
            let session = Supervisor::start(move |_| Session::new(chat, desk, router));
            self.sessions.insert(chat, session);
        }
        if let Some(session) = self.sessions.get(&wake.chat) {
            // Full: the session has wake-ups enough, and each makes it read the whole inbox.
            let _ = session.try_send(wake);
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let _ = self.desk.router.set(ctx.address().downgrade().recipient());
    }
}

impl Supervised for Router {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.desk.supervision.restarted(Self::NAME);
    }
}

impl Guarded for Router {
    const NAME: &'static str = "router";
}

impl Handler<Wake> for Router {
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Context<Self>) {
        guarded(self, ctx, |router, ctx| {
            router.desk.supervision.trip(Self::NAME);
            router.wake(wake, ctx);
        });
    }
}

impl Handler<Idle> for Router {
    type Result = ();

    fn handle(&mut self, Idle { chat }: Idle, ctx: &mut Context<Self>) {
        guarded(self, ctx, |router, _| {
            // Without an address a session ends; words that come now make a new one.
            router.sessions.remove(&chat);
        });
    }
}
