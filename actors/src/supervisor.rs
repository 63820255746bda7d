//! Restarting what broke, within measure: the house's answer to panics.
//!
//! actix's own `Supervisor` keeps an actor's address and queue over a clean `ctx.stop()`, but does nothing after a panic
//! (measured on 0.13.5). So every handler runs inside [`guarded`]: a panic in its synchronous part, or in any poll of
//! its future, becomes a `ctx.stop()`, and the supervisor restarts the actor from the store. What slips through drops
//! the actor and with it its [`Lifeline`], which the house hears. Restarts have an intensity as in Erlang/OTP: more than
//! so many within a period, and the house gives up with an exit code, for whoever supervises the process.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, Supervised};
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::messages::Fatal;

/// How many restarts within which time are borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts borne, all actors together.
    pub restarts: usize,
    /// Within this time.
    pub period: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { restarts: 10, period: Duration::from_secs(60) }
    }
}

/// What the house hears of its actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An actor cannot go on and no restart helps.
    Fatal(Fatal),
    /// An actor died without its supervisor noticing: all must be started anew.
    Down {
        /// Which.
        actor: &'static str,
        /// Of which life of the house.
        generation: u64,
    },
}

/// Shared by all actors of a house: counts restarts, passes on what cannot be mended inside.
#[derive(Clone, Debug)]
pub struct Supervision {
    events: mpsc::Sender<Event>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    generation: u64,
    armed: BTreeMap<&'static str, u32>,
    budget: RestartBudget,
    restarts: BTreeMap<&'static str, u64>,
}

impl Supervision {
    /// Returns the handle for actors and the house's end.
    pub fn new(intensity: Intensity) -> (Self, mpsc::Receiver<Event>) {
        let (events, heard) = mpsc::channel(16);
        let shared = Shared {
            generation: 0,
            armed: BTreeMap::new(),
            budget: RestartBudget::new(intensity),
            restarts: BTreeMap::new(),
        };
        (Self { events, shared: Arc::new(Mutex::new(shared)) }, heard)
    }

    /// Counts a restart. Beyond the intensity it becomes fatal.
    pub fn restarted(&self, actor: &'static str) {
        let borne = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            *shared.restarts.entry(actor).or_default() += 1;
            shared.budget.restart(Instant::now())
        };
        tracing::error!(actor, "an actor panicked and was restarted from the store");
        if !borne {
            let reason = "it panicked too often; the process ends so that it can be started afresh".to_owned();
            self.fatal(Fatal { actor, reason });
        }
    }

    /// Counts a restart that can only hurt one chat: sessions see to it themselves that nothing makes them panic for
    /// ever, so one person's message never ends the house.
    pub fn restarted_alone(&self, actor: &'static str) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner).restarts.entry(actor).or_default() += 1;
        tracing::error!(actor, "an actor panicked and was restarted from the store");
    }

    /// Tells the house that a person has to act. The first one counts; a full channel already holds one.
    pub fn fatal(&self, fatal: Fatal) {
        let _ = self.events.try_send(Event::Fatal(fatal));
    }

    /// Restarts so far, by actor.
    pub fn restarts(&self) -> BTreeMap<&'static str, u64> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).restarts.clone()
    }

    /// Makes an actor panic at its next messages, this often. For fault tests.
    pub fn arm(&self, actor: &'static str, times: u32) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).armed.insert(actor, times);
    }

    /// Panics if a test armed this actor.
    pub(crate) fn trip(&self, actor: &'static str) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = shared.armed.get_mut(actor).filter(|left| **left > 0) {
            *left -= 1;
            drop(shared);
            panic!("on purpose: a test armed {actor}");
        }
    }

    /// To be held by an actor for as long as it lives.
    pub fn lifeline(&self, actor: &'static str) -> Lifeline {
        let generation = self.shared.lock().unwrap_or_else(PoisonError::into_inner).generation;
        Lifeline { actor, generation, events: Some(self.events.clone()) }
    }

    /// Begins another life of the house: what is heard of former ones no longer counts.
    pub fn next_generation(&self) -> u64 {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.generation += 1;
        shared.generation
    }
}

/// Reports `Down` when dropped, unless cut first by an orderly end.
#[derive(Debug)]
pub struct Lifeline {
    actor: &'static str,
    generation: u64,
    events: Option<mpsc::Sender<Event>>,
}

impl Lifeline {
    /// The actor ends as it should.
    pub fn cut(&mut self) {
        self.events = None;
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if let Some(events) = self.events.take() {
            let _ = events.try_send(Event::Down { actor: self.actor, generation: self.generation });
        }
    }
}

/// An actor that may be stopped by a panic and started again.
pub trait Guarded: Actor<Context = Context<Self>> + Supervised {
    /// Its name in logs and metrics.
    const NAME: &'static str;
}

/// Runs a handler's synchronous part; a panic stops the actor, and its supervisor restarts it.
pub fn guarded<A: Guarded>(actor: &mut A, ctx: &mut Context<A>, work: impl FnOnce(&mut A, &mut Context<A>)) {
    use actix::ActorContext as _;
    if std::panic::catch_unwind(AssertUnwindSafe(|| work(actor, ctx))).is_err() {
        ctx.stop();
    }
}

/// Runs a handler's future, then `then` on the actor; a panic in either stops the actor, and its supervisor restarts it.
pub fn spawn_guarded<A: Guarded, T: 'static>(
    ctx: &mut Context<A>,
    work: impl Future<Output = T> + 'static,
    then: impl FnOnce(&mut A, T, &mut Context<A>) + 'static,
) {
    use actix::ActorContext as _;
    let caught = AssertUnwindSafe(work).catch_unwind();
    ctx.spawn(wrap_future::<_, A>(caught).map(move |outcome, actor, ctx| match outcome {
        Ok(value) => guarded(actor, ctx, move |actor, ctx| then(actor, value, ctx)),
        Err(_) => ctx.stop(),
    }));
}

/// Counts restarts in a sliding window (Erlang/OTP's restart intensity). Pure: time is given.
#[derive(Debug)]
pub struct RestartBudget {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl RestartBudget {
    /// An unused budget.
    pub fn new(intensity: Intensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    /// Takes one restart out of the budget; false when it is spent.
    pub fn restart(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|&then| now.duration_since(then) > self.intensity.period) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.recent.len() <= self.intensity.restarts
    }
}

/// Doubles from `first` to `longest`: how long to wait before attempt number `attempt` (0 is the first retry).
pub fn backoff(first: Duration, longest: Duration, attempt: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempt.min(30))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{Handler, Message, Supervisor};

    struct Fragile {
        supervision: Supervision,
        handled: u32,
    }

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    impl Supervised for Fragile {
        fn restarting(&mut self, _: &mut Context<Self>) {
            self.supervision.restarted(Self::NAME);
        }
    }

    impl Guarded for Fragile {
        const NAME: &'static str = "fragile";
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    enum Ask {
        PanicNow,
        PanicLater,
        Count(mpsc::Sender<u32>),
    }

    impl Handler<Ask> for Fragile {
        type Result = ();

        fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) {
            guarded(self, ctx, |actor, ctx| match ask {
                Ask::PanicNow => panic!("on purpose"),
                Ask::PanicLater => spawn_guarded(
                    ctx,
                    async {
                        tokio::task::yield_now().await;
                        panic!("on purpose, later")
                    },
                    |_, (), _| {},
                ),
                Ask::Count(reply) => {
                    actor.handled += 1;
                    let _ = reply.try_send(actor.handled);
                }
            });
        }
    }

    #[actix::test]
    async fn address_and_queue_survive_panics_in_handler_and_future() {
        let (supervision, _heard) = Supervision::new(Intensity::default());
        let own = supervision.clone();
        let fragile = Supervisor::start(move |_| Fragile { supervision: own, handled: 0 });
        let (reply, mut counted) = mpsc::channel(4);
        fragile.try_send(Ask::PanicNow).unwrap();
        fragile.try_send(Ask::Count(reply.clone())).unwrap();
        assert_eq!(counted.recv().await, Some(1));
        fragile.send(Ask::PanicLater).await.unwrap();
        while supervision.restarts().get("fragile") != Some(&2) {
            tokio::task::yield_now().await;
        }
        fragile.try_send(Ask::Count(reply)).unwrap();
        assert_eq!(counted.recv().await, Some(2));
    }

    #[actix::test]
    async fn too_many_restarts_are_fatal() {
        let (supervision, mut heard) = Supervision::new(Intensity { restarts: 2, period: Duration::from_secs(60) });
        supervision.restarted("a");
        supervision.restarted("b");
        assert!(heard.try_recv().is_err());
        supervision.restarted("a");
        assert!(matches!(heard.try_recv(), Ok(Event::Fatal(fatal)) if fatal.actor == "a"));
    }

    #[actix::test]
    async fn a_dropped_lifeline_is_heard_and_a_cut_one_is_not() {
        let (supervision, mut heard) = Supervision::new(Intensity::default());
        let mut orderly = supervision.lifeline("orderly");
        orderly.cut();
        drop(orderly);
        drop(supervision.lifeline("lost"));
        assert_eq!(heard.try_recv(), Ok(Event::Down { actor: "lost", generation: 0 }));
    }

    #[test]
    fn the_budget_is_a_sliding_window() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let mut budget = RestartBudget::new(Intensity { restarts: 2, period: Duration::from_secs(10) });
            let at = |seconds| start + Duration::from_secs(seconds);
            assert!(budget.restart(at(0)) && budget.restart(at(5)));
            assert!(!budget.restart(at(9)));
            assert!(budget.restart(at(25)));
        });
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let waits: Vec<_> = [0, 1, 2, 30, u32::MAX].map(|attempt| backoff(first, longest, attempt).as_millis()).into();
        assert_eq!(waits, [100, 200, 400, 5000, 5000]);
    }
}
