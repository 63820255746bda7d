//! The poller in virtual time, against a messenger that holds updates until they are confirmed.

use crate::fakes::messenger::{Call, FakeMessenger};
use crate::fakes::probe::{Probe, Seen};
use crate::fakes::store::FakeStore;
use crate::fakes::time::{in_virtual_time, pass, pass_s};
use crate::ports::Update;
use crate::supervisor::{Event as HouseEvent, Intensity};
use crate::types::{ChatId, Event, Incoming, UserId};

use actix::{Addr, Supervisor};

use super::*;

struct Bench {
    messenger: Arc<FakeMessenger>,
    store: Arc<FakeStore>,
    woken: Seen<Wake>,
    fatal: Seen<Fatal>,
    stop: CancellationToken,
    counters: Arc<PollerCounters>,
    supervision: Supervision,
    /// Keeps the house's end open.
    _house: tokio::sync::mpsc::Receiver<HouseEvent>,
}

impl Bench {
    fn new() -> Self {
        let (messenger, store) = (Arc::new(FakeMessenger::new()), Arc::new(FakeStore::new()));
        let seen = (Probe::begin().1, Probe::begin().1);
        let (supervision, house) = Supervision::new(Intensity::default());
        Self {
            messenger,
            store,
            woken: seen.0,
            fatal: seen.1,
            stop: CancellationToken::new(),
            counters: Arc::default(),
            supervision,
            _house: house,
        }
    }

    /// The address must be held: actix restarts nobody whom nobody knows.
    fn start(&mut self) -> Addr<Poller> {
        self.start_with(PollerSettings::default())
    }

    fn start_with(&mut self, settings: PollerSettings) -> Addr<Poller> {
        let ((router, woken), (fatal, failed)) = (Probe::begin(), Probe::begin());
        (self.woken, self.fatal) = (woken, failed);
        let parts = PollerParts {
            messenger: Arc::clone(&self.messenger) as _,
            store: Arc::clone(&self.store) as _,
            bot: FakeMessenger::BOT,
            router: router.recipient(),
            fatal: fatal.recipient(),
            stop: self.stop.clone(),
            settings,
            counters: Arc::clone(&self.counters),
            supervision: self.supervision.clone(),
        };
        Supervisor::start(|_| Poller::new(parts))
    }

    /// When polls were made, in seconds from the first, and their offsets.
    fn polls(&self) -> Vec<(f64, Option<i64>)> {
        let calls = self.messenger.calls();
        let start = calls[0].0;
        let poll = |(at, call): &(tokio::time::Instant, Call)| match call {
            Call::Updates(offset) => Some(((*at - start).as_secs_f64(), *offset)),
            _ => None,
        };
        calls.iter().filter_map(poll).collect()
    }
}

fn message(update_id: i64, chat: i64) -> Incoming {
    Incoming {
        update_id,
        chat: ChatId(chat),
        private: true,
        user: UserId(chat),
        name: None,
        message_id: Some(update_id),
        topic: None,
        event: Event::Text { text: format!("message {update_id}") },
    }
}

#[test]
fn updates_are_kept_before_they_are_confirmed() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.receive(message(10, 1));
        bench.messenger.receive(message(11, 2));
        bench.store.fail_next_of("ingest", 2, StoreError::Unwritable("disk full".to_owned()));
        let _poller = bench.start();
        pass(Duration::from_millis(10)).await;
        assert_eq!((bench.store.unanswered(), bench.messenger.unconfirmed()), (0, 2));
        pass_s(10).await;
        assert_eq!((bench.store.unanswered(), bench.messenger.unconfirmed()), (2, 0));
        assert!(bench.woken.take().contains(&Wake { chat: ChatId(2) }));
        let offsets: Vec<_> = bench.polls().iter().map(|(_, offset)| *offset).collect();
        assert_eq!(offsets, [None, None, None, Some(12)], "the offset moves only after the batch is written");
    });
}

#[test]
fn an_update_of_no_meaning_is_confirmed_too() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.receive_update(Update { id: 5, incoming: None });
        let _poller = bench.start();
        pass_s(1).await;
        assert_eq!((bench.messenger.unconfirmed(), bench.store.unanswered()), (0, 0));
        assert_eq!(bench.counters.ignored.load(Relaxed), 1);
    });
}

#[test]
fn update_ids_that_begin_anew_lower_are_not_lost() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.receive(message(1_000_000, 1));
        let _poller = bench.start();
        pass_s(300).await;
        bench.messenger.receive(message(7, 1));
        pass_s(60).await;
        assert_eq!((bench.store.unanswered(), bench.messenger.unconfirmed()), (2, 0));
    });
}

#[test]
fn a_repeated_update_is_kept_once() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.receive(message(3, 1));
        let _poller = bench.start();
        pass_s(1).await;
        bench.messenger.receive(message(3, 1));
        pass_s(120).await;
        assert_eq!(bench.store.unanswered(), 1);
    });
}

#[test]
fn failures_back_off_and_success_ends_them() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        let down = || ApiError::Unreachable("refused".to_owned());
        bench.messenger.fail_polls((0..12).map(|_| down()));
        let _poller = bench.start();
        pass_s(200).await;
        let gaps: Vec<f64> = bench.polls().windows(2).map(|two| two[1].0 - two[0].0).take(12).collect();
        assert!(gaps[0] <= 0.5 && gaps[1] > gaps[0] && gaps.iter().all(|gap| *gap <= 30.0), "{gaps:?}");
        assert!(gaps[8..].iter().all(|gap| *gap >= 15.0), "{gaps:?}");
        bench.messenger.receive(message(1, 1));
        pass_s(60).await;
        assert_eq!(bench.store.unanswered(), 1);
        assert_eq!(bench.counters.failing.load(Relaxed), 0);
    });
}

#[test]
fn a_told_wait_is_obeyed() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.fail_polls([ApiError::RetryAfter(Duration::from_secs(40))]);
        let _poller = bench.start();
        pass_s(60).await;
        assert!(bench.polls()[1].0 >= 40.0);
    });
}

#[test]
fn an_absurd_wait_is_believed_for_a_day() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.fail_polls([ApiError::RetryAfter(Duration::from_secs(10_000_000))]);
        let _poller = bench.start();
        pass_s(24 * 60 * 60 - 1).await;
        assert_eq!(bench.polls().len(), 1);
        pass_s(2).await;
        assert_eq!(bench.polls().len(), 2);
    });
}

#[test]
fn another_poller_is_outwaited() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.fail_polls([ApiError::Conflict]);
        let _poller = bench.start();
        pass_s(120).await;
        let wait = PollerSettings::default().wait.as_secs_f64();
        assert!(bench.polls()[1].0 > wait, "the other's poll may last {wait} s");
        assert_eq!(bench.counters.conflicts.load(Relaxed), 1);
        assert!(bench.fatal.take().is_empty());
    });
}

#[test]
fn a_refused_token_ends_the_polling_with_a_reason() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.fail_polls([ApiError::Unauthorized(401)]);
        let _poller = bench.start();
        pass_s(300).await;
        let fatal = bench.fatal.take();
        assert_eq!((fatal.len(), fatal[0].actor), (1, "poller"));
        assert!(fatal[0].reason.contains("TG_BOT_TOKEN"));
        assert_eq!(bench.polls().len(), 1);
    });
}

#[test]
fn chats_left_over_are_woken_at_boot_and_again_if_a_wake_up_was_lost() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.store.ingest(FakeMessenger::BOT, vec![message(1, 4)]).await.unwrap();
        let _poller = bench.start();
        pass_s(1).await;
        assert_eq!(bench.woken.take(), [Wake { chat: ChatId(4) }]);
        pass_s(15).await;
        assert_eq!(bench.woken.take(), [Wake { chat: ChatId(4) }], "nobody has answered yet");
    });
}

#[test]
fn stop_ends_an_open_poll_at_once() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        let _poller = bench.start();
        pass_s(1).await;
        bench.stop.cancel();
        pass_s(200).await;
        assert_eq!(bench.polls().len(), 1);
    });
}

#[test]
fn a_panic_between_poll_and_inbox_loses_nothing() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.messenger.receive(message(10, 1));
        bench.supervision.arm(Poller::NAME, 2);
        let _poller = bench.start();
        pass_s(5).await;
        assert_eq!(bench.supervision.restarts()[Poller::NAME], 2);
        assert_eq!((bench.store.unanswered(), bench.messenger.unconfirmed()), (1, 0));
    });
}

#[test]
fn a_server_that_answers_empty_at_once_is_not_hammered() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        let _poller = bench.start_with(PollerSettings { wait: Duration::ZERO, ..PollerSettings::default() });
        pass_s(10).await;
        assert!((10..=11).contains(&bench.polls().len()), "{}", bench.polls().len());
    });
}
