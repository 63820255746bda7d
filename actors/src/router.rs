//! The router: one session a chat, started when needed, let go when idle, never more than a bound at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Supervised, Supervisor};
use dashmap::DashMap;
use tokio::time::Instant;

use crate::conversation::Desk;
use crate::messages::Wake;
use crate::session::{Resting, Session};
use crate::supervisor::{Guarded, Lifeline, guarded, spawn_guarded};
use crate::types::ChatId;

/// Which chats have a session. Metrics read it too.
pub type Sessions = Arc<DashMap<ChatId, Seat>>;

/// A chat's session, as its router sees it.
#[derive(Debug)]
pub struct Seat {
    session: Addr<Session>,
    /// Wake-ups that reached its mailbox.
    told: u64,
    /// Since when it has had nothing to do.
    resting: Option<Instant>,
}

/// See the module's text.
pub struct Router {
    sessions: Sessions,
    /// Sessions without work, longest first: the first to go.
    resting: BTreeSet<(Instant, ChatId)>,
    most: usize,
    /// The last chat found no seat. Said once.
    crowded: bool,
    desk: Arc<Desk>,
    _lifeline: Lifeline,
}

impl Router {
    /// A router of at most `most` sessions; further chats wait in the inbox until one has nothing to do.
    pub fn new(sessions: Sessions, most: usize, desk: Arc<Desk>) -> Self {
        let lifeline = desk.supervision.lifeline(Self::NAME);
        Self { sessions, resting: BTreeSet::new(), most, crowded: false, desk, _lifeline: lifeline }
    }

    fn wake(&mut self, wake: Wake, ctx: &mut Context<Self>) {
        // The seats are the next life's by now: a session of this one would sit there and answer nobody.
        if self.desk.stop.is_cancelled() {
            return;
        }
        let chat = wake.chat;
        // A session whose death its supervisor did not notice leaves a dead address behind.
        let alive = self.sessions.get(&chat).is_some_and(|seat| seat.session.connected());
        if !alive && !self.seat(chat, ctx) {
            return;
        }
        if let Some(mut seat) = self.sessions.get_mut(&chat) {
            if let Some(since) = seat.resting.take() {
                self.resting.remove(&(since, chat));
            }
            // Full: the session has wake-ups enough, and each makes it read the whole inbox.
            if seat.session.try_send(wake).is_ok() {
                seat.told += 1;
            }
        }
    }

    /// Starts a chat's session; false if there is no room.
    fn seat(&mut self, chat: ChatId, ctx: &mut Context<Self>) -> bool {
        self.sessions.remove(&chat);
        let room = self.sessions.len() < self.most || self.let_go_first();
        if !room && !self.crowded {
            tracing::warn!(most = self.most, "all sessions are at work: further chats wait in the inbox");
        }
        self.crowded = !room;
        if room {
            let (desk, router) = (self.desk.clone(), ctx.address().recipient());
            let session = Supervisor::start(move |_| Session::new(chat, desk, router));
            self.sessions.insert(chat, Seat { session, told: 0, resting: None });
        }
        room
    }

    /// Lets go of the session that has rested longest; false if all are at work.
    fn let_go_first(&mut self) -> bool {
        while let Some((since, chat)) = self.resting.pop_first() {
            if self.let_go(chat, since) {
                return true;
            }
        }
        false
    }

    /// Lets go of all that have rested long enough.
    fn let_go_idle(&mut self) {
        let now = Instant::now();
        let idle = self.desk.config.idle_evict;
        while let Some(&(since, chat)) = self.resting.first().filter(|(since, _)| now.duration_since(*since) >= idle) {
            self.resting.pop_first();
            self.let_go(chat, since);
        }
    }

    /// Without an address a session ends; words that come now make a new one.
    fn let_go(&self, chat: ChatId, since: Instant) -> bool {
        self.sessions.remove_if(&chat, |_, seat| seat.resting == Some(since)).is_some()
    }

    fn rests(&mut self, Resting { chat, session, heard }: &Resting) {
        let Some(mut seat) = self.sessions.get_mut(chat) else { return };
        if seat.session != *session || seat.told != *heard {
            return;
        }
        let now = Instant::now();
        if let Some(before) = seat.resting.replace(now) {
            self.resting.remove(&(before, *chat));
        }
        self.resting.insert((now, *chat));
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let _ = self.desk.router.set(ctx.address().downgrade().recipient());
        let every = (self.desk.config.idle_evict / 8).max(Duration::from_millis(100));
        let tidying = ctx.run_interval(every, |router, ctx| guarded(router, ctx, |router, _| router.let_go_idle()));
        // An actor with an interval never ends.
        let stopped = self.desk.stop.clone().cancelled_owned();
        spawn_guarded(ctx, stopped, move |_, (), ctx| {
            ctx.cancel_future(tidying);
        });
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

impl Handler<Resting> for Router {
    type Result = ();

    fn handle(&mut self, resting: Resting, ctx: &mut Context<Self>) {
        guarded(self, ctx, |router, _| router.rests(&resting));
    }
}
