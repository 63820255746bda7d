//! The poller over the wire: every fault of getUpdates passes, and nothing that a person wrote is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::{Addr, Supervisor, System};
use ai_friend::adapters::telegram::{Telegram, TelegramConfig};
use ai_friend::config::Secret;
use friend_actors::fakes::probe::{Probe, Seen};
use friend_actors::fakes::store::FakeStore;
use friend_actors::messages::{Fatal, Wake};
use friend_actors::pace::Backoff;
use friend_actors::poller::{Poller, PollerCounters, PollerParts, PollerSettings};
use friend_actors::ports::Messenger;
use friend_actors::supervisor::{Event as HouseEvent, Intensity, Supervision};
use friend_sim::bot_api::{BatchFault, Fault, FaultRule};
use tokio_util::sync::CancellationToken;

use crate::world::{ANN, World, config, until};

struct Running {
    world: World,
    store: Arc<FakeStore>,
    woken: Seen<Wake>,
    fatal: Seen<Fatal>,
    counters: Arc<PollerCounters>,
    stop: CancellationToken,
    _poller: Addr<Poller>,
    _house: tokio::sync::mpsc::Receiver<HouseEvent>,
}

const QUICK: PollerSettings = PollerSettings {
    wait: Duration::from_secs(20),
    backoff: Backoff { first: Duration::from_millis(5), most: Duration::from_millis(50) },
    conflict_pause: Duration::ZERO,
    sweep_every: Duration::from_secs(60),
    seed: 0,
};

impl Running {
    /// A poller on a world where something may already be wrong.
    fn start(world: World, messenger: Arc<dyn Messenger>, settings: PollerSettings) -> Self {
        let ((router, woken), (fatal, failed)) = (Probe::begin(), Probe::begin());
        let (supervision, house) = Supervision::new(Intensity::default());
        let (store, counters, stop) = (Arc::new(FakeStore::new()), Arc::default(), CancellationToken::new());
        let parts = PollerParts {
            messenger,
            store: Arc::clone(&store) as _,
            bot: 110_201_543,
            router: router.recipient(),
            fatal: fatal.recipient(),
            stop: stop.clone(),
            settings,
            counters: Arc::clone(&counters),
            supervision,
        };
        let poller = Supervisor::start(|_| Poller::new(parts));
        Self { world, store, woken, fatal: failed, counters, stop, _poller: poller, _house: house }
    }

    fn quick(world: World) -> Self {
        let messenger = Arc::clone(&world.telegram) as _;
        Self::start(world, messenger, QUICK)
    }

    /// Waits until so many messages are kept, each once, and the server holds none of them.
    async fn has_kept(&self, messages: usize) {
        until("all messages are kept", || self.store.unanswered() >= messages).await;
        until("all updates are confirmed", || self.world.control.pending_updates() == 0).await;
        assert_eq!(self.store.unanswered(), messages);
        self.stop.cancel();
    }
}

fn in_system<F: Future>(test: F) -> F::Output {
    System::new().block_on(test)
}

#[test]
fn what_people_write_is_kept_confirmed_and_told() {
    in_system(async {
        let world = World::new().await;
        world.ann().say("and another");
        let running = Running::quick(world);
        running.has_kept(2).await;
        until("the chat is woken", || running.woken.count() > 0).await;
        assert_eq!(running.woken.take()[0], Wake { chat: ANN });
    });
}

#[test]
fn faults_of_the_wire_pass_and_lose_nothing() {
    in_system(async {
        let world = World::new().await;
        world.telegram.me().await.unwrap();
        let ann = world.ann();
        for fault in [
            Fault::internal(),
            Fault::Html { status: 502 },
            Fault::Garbage,
            Fault::WrongShape,
            Fault::Cut,
            Fault::CutBody,
            Fault::Html { status: 404 },
        ] {
            world.control.inject(FaultRule::new("getUpdates", fault.clone()));
            world.control.inject(FaultRule::new("getUpdates", fault).after_effect());
        }
        let running = Running::quick(world);
        until("the faults are over", || running.world.control.pending_faults().is_empty()).await;
        ann.say("still there?");
        running.has_kept(2).await;
        assert!(running.counters.failures.load(Relaxed) >= 14);
        assert!(running.fatal.take().is_empty());
    });
}

#[test]
fn an_api_that_comes_late_is_waited_for() {
    in_system(async {
        let world = World::new().await;
        world.ann();
        world.control.set_offline(true);
        let running = Running::quick(world);
        until("it has tried a few times", || running.counters.failing.load(Relaxed) > 3).await;
        running.world.control.set_offline(false);
        running.has_kept(1).await;
        assert_eq!(running.counters.failing.load(Relaxed), 0);
    });
}

#[test]
fn batches_that_are_spoilt_are_kept_once() {
    for fault in [BatchFault::Duplicated, BatchFault::Reversed, BatchFault::Redelivered] {
        in_system(async {
            let world = World::new().await;
            let ann = world.ann();
            let running = Running::quick(world);
            until("the first is kept", || running.store.unanswered() == 1).await;
            until("and confirmed", || running.world.control.pending_updates() == 0).await;
            running.world.control.spoil_batch(fault);
            (0..3).for_each(|n| _ = ann.say(&format!("message {n}")));
            running.has_kept(4).await;
        });
    }
}

#[test]
fn update_ids_that_begin_anew_are_followed() {
    in_system(async {
        let world = World::new().await;
        let ann = world.ann();
        let running = Running::quick(world);
        until("the first is kept", || running.store.unanswered() == 1).await;
        until("and confirmed", || running.world.control.pending_updates() == 0).await;
        running.world.control.restart_update_ids_at(3);
        ann.say("after an idle week");
        until("the second is kept", || running.store.unanswered() == 2).await;
        ann.say("and on");
        running.has_kept(3).await;
    });
}

#[test]
fn unknown_updates_are_confirmed_and_forgotten() {
    in_system(async {
        let world = World::new().await;
        world.control.raw_update("telepathy", serde_json::json!({"thought": "?"}));
        world.ann();
        let running = Running::quick(world);
        running.has_kept(1).await;
        assert_eq!(running.counters.ignored.load(Relaxed), 1);
    });
}

#[test]
fn a_refused_token_is_fatal_and_not_repeated() {
    in_system(async {
        let world = World::new().await;
        let wrong = TelegramConfig { token: Secret::new("1:wrong"), ..config(&world.server.url()) };
        let messenger = Arc::new(Telegram::new(&wrong).unwrap());
        let running = Running::start(world, messenger, QUICK);
        until("it gives up", || running.fatal.count() > 0).await;
        assert!(running.fatal.take()[0].reason.contains("TG_BOT_TOKEN"));
        assert_eq!(running.counters.failures.load(Relaxed), 1);
    });
}

#[test]
fn another_poller_is_outwaited_and_then_taken_over_from() {
    in_system(async {
        let world = World::new().await;
        let ann = world.ann();
        world.control.set_webhook("https://example.org/hook");
        let messenger = Arc::clone(&world.telegram) as _;
        let running = Running::start(world, messenger, PollerSettings { wait: Duration::from_secs(2), ..QUICK });
        until("the conflict is noticed", || running.counters.conflicts.load(Relaxed) == 1).await;
        assert_eq!(running.store.unanswered(), 0);
        ann.say("meanwhile");
        let delete = format!("{}/bot{}/deleteWebhook", running.world.server.url(), friend_sim::bot_api::DEFAULT_TOKEN);
        reqwest::Client::builder().no_proxy().build().unwrap().post(delete).send().await.unwrap();
        running.has_kept(2).await;
        assert_eq!(running.counters.conflicts.load(Relaxed), 1, "it waited longer than a poll before the next try");
    });
}
