//! The outbox in virtual time: what was sent, when, and what stands in the store.

use std::sync::atomic::Ordering::Relaxed;

use crate::fakes::contract;
use crate::fakes::messenger::{Call, FakeMessenger};
use crate::fakes::probe::{Probe, Seen};
use crate::fakes::store::FakeStore;
use crate::fakes::time::{in_virtual_time, pass, pass_s};
use crate::ports::{ApiError, Change, OutState, StoreError};
use crate::supervisor::{Event as HouseEvent, Intensity};
use crate::types::Outgoing;
use actix::{Addr, Supervisor};

use super::*;

mod ephemera;
mod erased;
mod unclear;

const BOT: i64 = FakeMessenger::BOT;
const ANN: ChatId = ChatId(1);
const BOB: ChatId = ChatId(2);
const GROUP: ChatId = ChatId(-5);

struct Bench {
    messenger: Arc<FakeMessenger>,
    store: Arc<FakeStore>,
    settings: OutboxSettings,
    stop: CancellationToken,
    in_flight: TaskTracker,
    counters: Arc<OutboxCounters>,
    supervision: Supervision,
    /// Keeps the house's end open.
    _house: tokio::sync::mpsc::Receiver<HouseEvent>,
}

/// A running outbox.
struct Running {
    outbox: Addr<Outbox>,
    gone: Seen<ChatGone>,
    fatal: Seen<Fatal>,
}

impl Bench {
    fn new() -> Self {
        let (supervision, house) = Supervision::new(Intensity::default());
        Self {
            messenger: Arc::new(FakeMessenger::new()),
            store: Arc::new(FakeStore::new()),
            settings: OutboxSettings::default(),
            stop: CancellationToken::new(),
            in_flight: TaskTracker::new(),
            counters: Arc::default(),
            supervision,
            _house: house,
        }
    }

    fn start(&self) -> Running {
        let ((gone, seen_gone), (fatal, seen_fatal)) = (Probe::begin(), Probe::begin());
        let parts = OutboxParts {
            messenger: Arc::clone(&self.messenger) as _,
            store: Arc::clone(&self.store) as _,
            bot: BOT,
            gone: gone.recipient(),
            fatal: fatal.recipient(),
            stop: self.stop.clone(),
            in_flight: self.in_flight.clone(),
            settings: self.settings,
            counters: Arc::clone(&self.counters),
            supervision: self.supervision.clone(),
        };
        Running { outbox: Supervisor::start(|_| Outbox::new(parts)), gone: seen_gone, fatal: seen_fatal }
    }

    /// Puts texts into the outbox, as a session's answer does.
    async fn answer(&self, chat: ChatId, texts: &[&str]) {
        let epoch = self.store.claim(BOT, chat, 0).await.unwrap().epoch;
        let out = texts.iter().map(|text| contract::outgoing(text)).collect();
        self.store.finish(BOT, chat, epoch, Change { out, ..Change::default() }).await.unwrap();
    }

    /// Seconds from the first call to each send into a chat.
    fn times(&self, chat: ChatId) -> Vec<f64> {
        let calls = self.messenger.calls();
        let sends = calls.iter().filter(|(_, call)| matches!(call, Call::Send(to, _) if *to == chat));
        sends.map(|(at, _)| (*at - calls[0].0).as_secs_f64()).collect()
    }

    /// States of the rows that are not sent.
    fn left(&self) -> Vec<OutState> {
        self.store.outbox().iter().map(|row| row.state).collect()
    }
}

impl Running {
    async fn wake(&self, chat: ChatId) {
        self.outbox.send(OutboxWake { chat }).await.unwrap();
    }
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("text {n}")).collect()
}

#[test]
fn a_chats_rows_go_out_in_order_and_at_its_pace() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        let wanted = texts(6);
        bench.answer(ANN, &wanted.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let running = bench.start();
        running.wake(ANN).await;
        pass_s(10).await;
        assert_eq!(bench.messenger.texts(ANN), wanted);
        assert_eq!(bench.times(ANN).iter().map(|at| at.round()).collect::<Vec<_>>(), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
        assert!(bench.left().is_empty());
        assert_eq!(bench.counters.sent.load(Relaxed), 6);
    });
}

#[test]
fn where_nothing_limits_a_chat_its_rows_do_not_wait() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.settings.paced = false;
        bench.answer(ANN, &texts(6).iter().map(String::as_str).collect::<Vec<_>>()).await;
        let _running = bench.start();
        pass(Duration::from_millis(100)).await;
        assert_eq!(bench.times(ANN).len(), 6);
    });
}

#[test]
fn the_answer_to_a_button_does_not_wait_for_the_chats_pace() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        let button = || Outgoing::ButtonAnswer { callback_id: "cb".to_owned(), notice: "Done.".to_owned() };
        let epoch = bench.store.claim(BOT, ANN, 0).await.unwrap().epoch;
        let out = (0..5).map(|_| button()).collect();
        bench.store.finish(BOT, ANN, epoch, Change { out, ..Change::default() }).await.unwrap();
        let _running = bench.start();
        pass(Duration::from_millis(100)).await;
        assert_eq!(bench.times(ANN).len(), 5);
    });
}

#[test]
fn a_slow_chat_does_not_delay_another() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["to ann"]).await;
        bench.answer(BOB, &["to bob"]).await;
        bench.messenger.fail_sends(Some(ANN), [ApiError::RetryAfter(Duration::from_secs(500))]);
        let running = bench.start();
        running.wake(ANN).await;
        running.wake(BOB).await;
        pass_s(5).await;
        assert_eq!((bench.times(ANN).len(), bench.times(BOB).len()), (1, 1));
        pass_s(600).await;
        assert!(bench.times(ANN)[1] >= 500.0);
        assert!(bench.left().is_empty());
    });
}

#[test]
fn rows_of_a_former_life_are_sent_without_a_wake_up() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["left over"]).await;
        let _running = bench.start();
        pass_s(1).await;
        assert_eq!(bench.messenger.texts(ANN), ["left over"]);
    });
}

#[test]
fn what_certainly_failed_is_tried_again_until_it_is_sent() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["one", "two"]).await;
        bench.messenger.fail_sends(None, (0..5).map(|_| ApiError::Unreachable("refused".to_owned())));
        let _running = bench.start();
        pass_s(120).await;
        assert_eq!(bench.messenger.texts(ANN), ["one", "one", "one", "one", "one", "one", "two"]);
        let times = bench.times(ANN);
        assert!(times[2] - times[1] > times[1] - times[0], "{times:?}");
        assert!(bench.left().is_empty());
    });
}

#[test]
fn a_row_found_half_sent_at_boot_is_ambiguous() {
    for (policy, sends) in [(AmbiguousSend::Resend, 1), (AmbiguousSend::Mark, 0)] {
        in_virtual_time(|| async {
            let mut bench = Bench::new();
            bench.settings.ambiguous = policy;
            bench.answer(ANN, &["half"]).await;
            bench.store.mark(bench.store.outbox()[0].id, OutState::Sending).await.unwrap();
            let _running = bench.start();
            pass_s(10).await;
            assert_eq!(bench.messenger.texts(ANN).len(), sends);
            assert_eq!(bench.left().contains(&OutState::Ambiguous), sends == 0);
        });
    }
}

#[test]
fn a_sent_message_is_not_sent_again_because_the_store_was_slow_to_hear_of_it() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["one"]).await;
        bench.messenger.send_time(Duration::from_secs(1));
        let _running = bench.start();
        pass(Duration::from_millis(500)).await;
        bench.store.fail_next_of("mark", 3, StoreError::Overloaded);
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["one"]);
        assert!(bench.left().is_empty());
    });
}

#[test]
fn a_chat_that_blocks_the_bot_is_reported_and_its_row_given_up() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["hello?"]).await;
        bench.messenger.fail_sends(None, [ApiError::Forbidden]);
        let running = bench.start();
        pass_s(5).await;
        assert_eq!(running.gone.take(), [ChatGone { chat: ANN }]);
        assert_eq!(bench.left(), [OutState::Failed]);
    });
}

#[test]
fn a_row_given_up_after_failures_leaves_nothing_to_remember_for_long() {
    let unreachable = || ApiError::Unreachable("refused".to_owned());
    let unclear = || ApiError::Ambiguous("cut".to_owned());
    let refused = || ApiError::Rejected("HTTP 400".to_owned());
    for errors in [[unreachable(), ApiError::Forbidden], [unclear(), refused()], [unclear(), unclear()]] {
        in_virtual_time(|| async {
            let bench = Bench::new();
            bench.answer(ANN, &["hello?"]).await;
            bench.messenger.fail_sends(None, errors);
            let running = bench.start();
            pass_s(120).await;
            assert_eq!((bench.times(ANN).len(), bench.left().len()), (2, 1));
            assert_eq!(running.outbox.send(Paces).await.unwrap(), 0);
        });
    }
}

#[test]
fn in_an_outage_each_answer_waits_longer_than_the_one_before() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.messenger.fail_sends(None, (0..6).map(|_| ApiError::Ambiguous("cut".to_owned())));
        let running = bench.start();
        for text in ["one", "two", "three"] {
            bench.answer(ANN, &[text]).await;
            running.wake(ANN).await;
            pass_s(20).await;
        }
        assert_eq!(bench.left(), [OutState::Ambiguous; 3]);
        let times = bench.times(ANN);
        let gaps: Vec<f64> = times.chunks(2).map(|tries| tries[1] - tries[0]).collect();
        assert!(gaps.windows(2).all(|pair| pair[1] > pair[0] * 1.5), "{gaps:?}");
        pass_s(300).await;
        assert_eq!(running.outbox.send(Paces).await.unwrap(), 0);
    });
}

/// Asks an outbox of how many chats it remembers the pace.
#[derive(actix::Message)]
#[rtype(result = "usize")]
struct Paces;

impl Handler<Paces> for Outbox {
    type Result = usize;

    fn handle(&mut self, _: Paces, _: &mut Self::Context) -> Self::Result {
        self.shared.state.borrow().paces.len()
    }
}

#[test]
fn a_refused_message_does_not_hold_up_the_next() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["bad", "unchanged", "good"]).await;
        bench.messenger.fail_sends(None, [ApiError::Rejected("HTTP 400".to_owned()), ApiError::NotModified]);
        let _running = bench.start();
        pass_s(5).await;
        assert_eq!(bench.messenger.texts(ANN), ["bad", "unchanged", "good"]);
        assert_eq!(bench.left(), [OutState::Failed]);
        assert_eq!((bench.counters.sent.load(Relaxed), bench.counters.failed.load(Relaxed)), (2, 1));
    });
}

#[test]
fn a_group_that_moved_gets_its_messages_under_the_new_id() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.settings.ambiguous = AmbiguousSend::Mark; // The move itself is a clear answer.
        let new = ChatId(-1005);
        bench.answer(GROUP, &["one", "two"]).await;
        bench.messenger.fail_sends(Some(GROUP), [ApiError::Migrated(new)]);
        let _running = bench.start();
        pass_s(5).await;
        assert_eq!(bench.messenger.texts(GROUP), ["one"]);
        assert_eq!(bench.messenger.texts(new), ["one", "two"]);
        assert!(bench.left().is_empty());
    });
}

#[test]
fn a_refused_token_loses_nothing_and_is_reported() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["one"]).await;
        bench.messenger.fail_sends(None, [ApiError::Unauthorized(401)]);
        let running = bench.start();
        pass(Duration::from_millis(100)).await;
        assert_eq!(running.fatal.take().len(), 1);
        assert_eq!(bench.left(), [OutState::Pending]);
    });
}

#[test]
fn stopping_finishes_what_is_in_flight_and_begins_nothing() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["one", "two"]).await;
        bench.messenger.send_time(Duration::from_secs(2));
        let _running = bench.start();
        pass_s(1).await;
        bench.stop.cancel();
        bench.in_flight.close();
        bench.in_flight.wait().await;
        assert_eq!((bench.messenger.texts(ANN).len(), bench.left()), (1, vec![OutState::Pending]));
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["one"]);
    });
}

#[test]
fn no_more_sends_at_once_than_allowed() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.settings.concurrent = 2;
        bench.messenger.send_time(Duration::from_secs(1));
        for chat in 1..=6 {
            bench.answer(ChatId(chat), &["hi"]).await;
        }
        let _running = bench.start();
        pass(Duration::from_millis(2_500)).await;
        let begun = (1..=6).map(|chat| bench.messenger.texts(ChatId(chat)).len()).sum::<usize>();
        assert_eq!(begun, 6);
        let mut at: Vec<f64> = (1..=6).flat_map(|chat| bench.times(ChatId(chat))).map(f64::floor).collect();
        at.sort_by(f64::total_cmp);
        assert_eq!(at, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    });
}

#[test]
fn a_panic_after_a_send_costs_at_most_one_repetition_of_it() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["one", "two", "three"]).await;
        bench.answer(BOB, &["hello"]).await;
        bench.supervision.arm(Outbox::NAME, 1);
        let _running = bench.start();
        pass_s(30).await;
        assert_eq!(bench.supervision.restarts()[Outbox::NAME], 1);
        let sent = bench.messenger.texts(ANN);
        assert_eq!(sent, ["one", "one", "two", "three"], "the outcome of the first was never written");
        assert!(bench.left().is_empty());
        assert!((1..=2).contains(&bench.messenger.texts(BOB).len()));
    });
}

#[test]
fn a_wake_up_while_a_lane_finds_nothing_makes_it_look_again() {
    in_virtual_time(|| async {
        let running = Bench::new().start();
        let lanes = running.outbox.send(Lanes).await.unwrap();
        assert_eq!(lanes, [true, false, true, false, true]);
    });
}

/// Asks an outbox to go through what happens to a chat's lane.
#[derive(actix::Message)]
#[rtype(result = "Vec<bool>")]
struct Lanes;

impl Handler<Lanes> for Outbox {
    type Result = Vec<bool>;

    fn handle(&mut self, _: Lanes, _: &mut Self::Context) -> Self::Result {
        let shared = &self.shared;
        let woken = (shared.open_lane(ANN), shared.open_lane(ANN));
        let looks = (shared.look_again(ANN), shared.look_again(ANN));
        vec![woken.0, woken.1, looks.0, looks.1, shared.open_lane(ANN)]
    }
}
