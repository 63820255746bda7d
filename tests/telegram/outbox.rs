//! The outbox over the wire: what a person sees, whatever happens to the calls.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::{Addr, Supervisor, System};
use friend_actors::fakes::probe::{Probe, Seen};
use friend_actors::fakes::store::FakeStore;
use friend_actors::messages::{ChatGone, OutboxWake, Preview, Typing};
use friend_actors::outbox::{AmbiguousSend, Outbox, OutboxCounters, OutboxParts, OutboxSettings};
use friend_actors::pace::Backoff;
use friend_actors::ports::{Change, OutState, Store};
use friend_actors::supervisor::{Event as HouseEvent, Intensity, Supervision};
use friend_actors::types::{ChatId, Outgoing};
use friend_sim::bot_api::{Event, Fault, FaultRule, Limits, Rate};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::{ANN, SOON, World, text, until};

const BOT: i64 = 110_201_543;

struct Running {
    world: World,
    store: Arc<FakeStore>,
    gone: Seen<ChatGone>,
    counters: Arc<OutboxCounters>,
    outbox: Addr<Outbox>,
    _house: tokio::sync::mpsc::Receiver<HouseEvent>,
}

impl Running {
    fn start(world: World, ambiguous: AmbiguousSend) -> Self {
        let ((gone, seen), (fatal, _)) = (Probe::begin(), Probe::begin());
        let (supervision, house) = Supervision::new(Intensity::default());
        let (store, counters) = (Arc::new(FakeStore::new()), Arc::<OutboxCounters>::default());
        let settings = OutboxSettings {
            ambiguous,
            backoff: Backoff { first: Duration::from_millis(5), most: Duration::from_millis(50) },
            preview_every: Duration::from_millis(20),
            ..OutboxSettings::default()
        };
        let parts = OutboxParts {
            messenger: Arc::clone(&world.telegram) as _,
            store: Arc::clone(&store) as _,
            bot: BOT,
            gone: gone.recipient(),
            fatal: fatal.recipient(),
            stop: CancellationToken::new(),
            in_flight: TaskTracker::new(),
            settings,
            counters: Arc::clone(&counters),
            supervision,
        };
        let outbox = Supervisor::start(|_| Outbox::new(parts));
        Self { world, store, gone: seen, counters, outbox, _house: house }
    }

    async fn new() -> Self {
        Self::start(World::new().await, AmbiguousSend::Resend)
    }

    /// What a session does with an answer.
    async fn answer(&self, chat: ChatId, out: Vec<Outgoing>) {
        let epoch = self.store.claim(BOT, chat, 0).await.unwrap().epoch;
        self.store.finish(BOT, chat, epoch, Change { out, ..Change::default() }).await.unwrap();
        self.outbox.send(OutboxWake { chat }).await.unwrap();
    }

    /// Waits until every row is sent or given up; returns the states of those given up.
    async fn is_done(&self) -> Vec<OutState> {
        let open = |state: &OutState| matches!(state, OutState::Pending | OutState::Sending);
        let states = || self.store.outbox().iter().map(|row| row.state).collect::<Vec<_>>();
        until("every row is done", || !states().iter().any(open)).await;
        states()
    }

    /// What Ann has after "one" and "two" were sent while a fault struck.
    async fn ann_sees(&self, rule: FaultRule) -> (Vec<String>, Vec<OutState>) {
        let ann = self.world.ann();
        self.world.control.inject(rule);
        self.answer(ANN, vec![text("one"), text("two")]).await;
        let given_up = self.is_done().await;
        (ann.received(), given_up)
    }
}

fn in_system<F: Future>(test: F) -> F::Output {
    System::new().block_on(test)
}

fn at_send(fault: Fault) -> FaultRule {
    FaultRule::new("sendMessage", fault)
}

#[test]
fn certain_failures_give_each_message_once_and_in_order() {
    for fault in [Fault::internal(), Fault::too_many_requests(1)] {
        in_system(async {
            let (seen, given_up) = Running::new().await.ann_sees(at_send(fault).times(2)).await;
            assert_eq!((seen, given_up), (vec!["one".to_owned(), "two".to_owned()], Vec::new()));
        });
    }
}

#[test]
fn an_unclear_failure_gives_at_most_one_copy_more() {
    for fault in [Fault::Cut, Fault::Html { status: 502 }, Fault::Html { status: 504 }] {
        in_system(async {
            let (seen, given_up) = Running::new().await.ann_sees(at_send(fault.clone())).await;
            assert_eq!((seen, given_up), (vec!["one".to_owned(), "two".to_owned()], Vec::new()), "not done: {fault:?}");
        });
        in_system(async {
            let (seen, given_up) = Running::new().await.ann_sees(at_send(fault.clone()).times(5).after_effect()).await;
            let twice = ["one", "one", "two", "two"].map(str::to_owned).to_vec();
            assert_eq!((seen, given_up), (twice, vec![OutState::Ambiguous; 2]), "done each time: {fault:?}");
        });
    }
}

#[test]
fn policy_mark_gives_no_copy() {
    in_system(async {
        let running = Running::start(World::new().await, AmbiguousSend::Mark);
        let (seen, given_up) = running.ann_sees(at_send(Fault::Cut).after_effect()).await;
        assert_eq!((seen, given_up), (vec!["one".to_owned(), "two".to_owned()], vec![OutState::Ambiguous]));
    });
}

#[test]
fn a_garbled_2xx_gives_no_copy() {
    for fault in [Fault::Garbage, Fault::WrongShape, Fault::CutBody] {
        in_system(async {
            let (seen, given_up) = Running::new().await.ann_sees(at_send(fault).after_effect()).await;
            assert_eq!((seen, given_up), (vec!["one".to_owned(), "two".to_owned()], Vec::new()));
        });
    }
}

#[test]
fn an_api_out_of_reach_is_waited_for() {
    in_system(async {
        let running = Running::new().await;
        let ann = running.world.ann();
        running.world.control.set_offline(true);
        running.answer(ANN, vec![text("one")]).await;
        let tries = || running.counters.retried.load(Relaxed) + running.counters.ambiguous.load(Relaxed);
        until("it has tried", || tries() > 0).await;
        running.world.control.set_offline(false);
        running.is_done().await;
        assert!(ann.received().len() <= 1);
    });
}

#[test]
fn the_messengers_own_limit_delays_and_loses_nothing() {
    in_system(async {
        let running = Running::new().await;
        let ann = running.world.ann();
        let rate = Rate { count: 1, per: Duration::from_secs(2), burst: 1 };
        running.world.control.set_limits(Limits { per_chat: Some(rate), ..Limits::off() });
        running.answer(ANN, vec![text("one"), text("two")]).await;
        running.is_done().await;
        assert_eq!(ann.received(), ["one", "two"]);
        assert!(running.counters.limited.load(Relaxed) > 0);
    });
}

#[test]
fn a_blocker_is_reported_and_others_get_theirs() {
    in_system(async {
        let running = Running::new().await;
        running.world.ann().block_silently();
        let bob = running.world.control.user(2002, "Bob");
        bob.say("hi");
        running.answer(ANN, vec![text("hello?")]).await;
        running.answer(ChatId(bob.id()), vec![text("hello Bob")]).await;
        assert_eq!(running.is_done().await, [OutState::Failed]);
        assert_eq!(bob.received(), ["hello Bob"]);
        assert_eq!(running.gone.take(), [ChatGone { chat: ANN }]);
    });
}

#[test]
fn a_group_that_moved_still_gets_its_answer() {
    in_system(async {
        let running = Running::new().await;
        let ann = running.world.control.user(ANN.0, "Ann");
        let group = running.world.control.group("Friends", &ann).unwrap();
        let moved = group.migrate_silently().unwrap();
        running.answer(ChatId(group.id()), vec![text("hello all")]).await;
        let arrived = |entry: &friend_sim::bot_api::Entry| {
            entry.chat == Some(moved.id())
                && matches!(&entry.event, Event::SawMessage { text, .. } if text == "hello all")
        };
        running.world.control.wait_for(0, SOON, arrived).await.unwrap();
        assert!(running.is_done().await.is_empty());
    });
}

#[test]
fn a_refused_row_is_given_up_and_the_next_goes_out() {
    in_system(async {
        let running = Running::new().await;
        let ann = running.world.ann();
        running.answer(ANN, vec![text(&"x".repeat(5_000)), text("short")]).await;
        assert_eq!(running.is_done().await, [OutState::Failed]);
        assert_eq!(ann.received(), ["short"]);
    });
}

#[test]
fn a_growing_answer_is_shown_and_the_message_takes_its_place() {
    in_system(async {
        let running = Running::new().await;
        let ann = running.world.ann();
        running.outbox.send(Typing { chat: ANN, topic: None, on: true }).await.unwrap();
        ann.wait_for(0, SOON, |event| matches!(event, Event::SawAction { .. })).await.unwrap();
        for text in ["I", "I see", "I see you"] {
            running.outbox.send(Preview { chat: ANN, topic: None, draft_id: 77, text: text.to_owned() }).await.unwrap();
        }
        let whole =
            |event: &Event| matches!(event, Event::SawDraft { text, can_stop: true, .. } if text == "I see you");
        ann.wait_for(0, SOON, whole).await.unwrap();
        running.outbox.send(Typing { chat: ANN, topic: None, on: false }).await.unwrap();
        running.answer(ANN, vec![text("I see you.")]).await;
        running.is_done().await;
        assert_eq!((ann.received(), ann.draft()), (vec!["I see you.".to_owned()], None));
    });
}

#[test]
fn many_chats_are_served_at_once() {
    in_system(async {
        let running = Running::new().await;
        let everyone: Vec<_> = (1..=100).map(|n| running.world.control.user(3_000 + n, "Somebody")).collect();
        running.world.control.inject(FaultRule::new("sendMessage", Fault::Delay { ms: 200 }).times(100));
        let begun = tokio::time::Instant::now();
        for user in &everyone {
            user.say("hi");
            running.answer(ChatId(user.id()), vec![text("hello")]).await;
        }
        running.is_done().await;
        assert!(everyone.iter().all(|user| user.received() == ["hello"]));
        assert!(begun.elapsed() < Duration::from_secs(15), "one after the other would take 20 s");
    });
}
