//! The poller: asks the messenger for updates, writes each batch to the inbox, and only then confirms it.
//!
//! Confirming is asking from a higher offset, which makes the server forget what lies below. So the offset is given
//! once after each durable batch; when an answer comes back empty, nothing is unconfirmed and the next call goes
//! without an offset. That way update ids that begin anew (Telegram draws them at random after an idle week) are never
//! taken for old ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix::{Actor, Context, Recipient, Supervised};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::messages::{Fatal, Wake};
use crate::pace::{Backoff, LONGEST_WAIT};
use crate::ports::{ApiError, Messenger, Store, StoreError, Update};
use crate::supervisor::{Guarded, Lifeline, Supervision, spawn_guarded};

/// The actor. Everything it knows is in the store, so it may be started again at any moment.
pub struct Poller {
    parts: Arc<PollerParts>,
    /// Before the first poll: not zero after a panic, so that a panic at every start cannot spin: actix starts anew without yielding.
    pause: Duration,
    _lifeline: Lifeline,
}

/// What the poller works with.
pub struct PollerParts {
    /// Where updates come from.
    pub messenger: Arc<dyn Messenger>,
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// [`crate::ports::Me::id`].
    pub bot: i64,
    /// Told of each chat that has something new.
    pub router: Recipient<Wake>,
    /// Told when no retry can help.
    pub fatal: Recipient<Fatal>,
    /// Ends the poller; an open poll is dropped, which loses nothing.
    pub stop: CancellationToken,
    /// Times.
    pub settings: PollerSettings,
    /// For metrics and health.
    pub counters: Arc<PollerCounters>,
    /// Told of restarts.
    pub supervision: Supervision,
}

/// The poller's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollerSettings {
    /// How long the server may hold a poll open: at most 50 s.
    pub wait: Duration,
    /// Network errors and 5xx.
    pub backoff: Backoff,
    /// After 409: longer than `wait`, so that the other poller's poll has surely ended.
    pub conflict_pause: Duration,
    /// How often waiting chats are woken again, in case a wake-up was lost.
    pub sweep_every: Duration,
    /// Seeds the jitter.
    pub seed: u64,
}

impl Default for PollerSettings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(50),
            backoff: Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30) },
            conflict_pause: Duration::from_secs(60),
            sweep_every: Duration::from_secs(15),
            seed: 0,
        }
    }
}

/// Counted since the start of the process.
#[derive(Debug, Default)]
pub struct PollerCounters {
    /// Answers of the server, empty ones too.
    pub polls: AtomicU64,
    /// Updates written to the inbox or found to be none of ours.
    pub updates: AtomicU64,
    /// Updates that meant nothing to us.
    pub ignored: AtomicU64,
    /// Polls or writes that failed.
    pub failures: AtomicU64,
    /// Failures since the last success: 0 means healthy.
    pub failing: AtomicU64,
    /// 409 answers.
    pub conflicts: AtomicU64,
}

impl Poller {
    /// A poller that begins when the actor is started.
    pub fn new(parts: PollerParts) -> Self {
        let lifeline = parts.supervision.lifeline(Self::NAME);
        Self { parts: Arc::new(parts), pause: Duration::ZERO, _lifeline: lifeline }
    }
}

impl Actor for Poller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        spawn_guarded(ctx, poll(Arc::clone(&self.parts), self.pause), |_, (), _| {});
        spawn_guarded(ctx, sweep(Arc::clone(&self.parts)), |_, (), _| {});
    }
}

impl Supervised for Poller {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.parts.supervision.restarted(Self::NAME);
        self.pause = self.parts.settings.backoff.first;
    }
}

impl Guarded for Poller {
    const NAME: &'static str = "poller";
}

/// A server that does not hold polls open is not asked more often than this.
const SHORTEST_EMPTY_ROUND: Duration = Duration::from_secs(1);

/// Why one round of polling did not succeed.
enum Trouble {
    Api(ApiError),
    Store(StoreError),
}

async fn poll(parts: Arc<PollerParts>, pause: Duration) {
    tokio::time::sleep(pause).await;
    let mut jitter = ChaCha8Rng::seed_from_u64(parts.settings.seed);
    let mut offset = None;
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let round = tokio::select! {
            () = parts.stop.cancelled() => return,
            round = round(&parts, offset) => round,
        };
        let pause = match round {
            Ok(next) => {
                offset = next;
                failures = 0;
                parts.counters.failing.store(0, Relaxed);
                if next.is_some() { Duration::ZERO } else { SHORTEST_EMPTY_ROUND.saturating_sub(begun.elapsed()) }
            }
            Err(trouble) => {
                failures += 1;
                parts.counters.failures.fetch_add(1, Relaxed);
                parts.counters.failing.store(u64::from(failures), Relaxed);
                match pause_after(&parts, &trouble, failures, jitter.random()) {
                    Ok(pause) => pause,
                    Err(reason) => return give_up(&parts, reason).await,
                }
            }
        };
        tokio::select! {
            () = parts.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One poll, written down. Returns the offset of the next.
async fn round(parts: &PollerParts, offset: Option<i64>) -> Result<Option<i64>, Trouble> {
    let updates = parts.messenger.updates(offset, parts.settings.wait).await.map_err(Trouble::Api)?;
    parts.supervision.trip(Poller::NAME);
    parts.counters.polls.fetch_add(1, Relaxed);
    let Some(last) = updates.iter().map(|update| update.id).max() else { return Ok(None) };
    ingest(parts, updates).await.map_err(Trouble::Store)?;
    Ok(Some(last.saturating_add(1)))
}

/// Makes a batch durable and wakes its chats.
async fn ingest(parts: &PollerParts, updates: Vec<Update>) -> Result<(), StoreError> {
    let all = updates.len() as u64;
    let ours: Vec<_> = updates.into_iter().filter_map(|update| update.incoming).collect();
    let ignored = all - ours.len() as u64;
    let chats = if ours.is_empty() { Vec::new() } else { parts.store.ingest(parts.bot, ours).await? };
    parts.counters.updates.fetch_add(all, Relaxed);
    parts.counters.ignored.fetch_add(ignored, Relaxed);
    for chat in chats {
        let _ = parts.router.try_send(Wake { chat }); // Full: the sweep repeats it.
    }
    Ok(())
}

/// How long to wait after a failure, or why waiting is of no use. Says what happened, for the operator.
fn pause_after(parts: &PollerParts, trouble: &Trouble, failures: u32, jitter: f64) -> Result<Duration, String> {
    let settings = &parts.settings;
    let backoff = settings.backoff.delay(failures, jitter);
    match trouble {
        Trouble::Api(error @ ApiError::Unauthorized(_)) => Err(error.to_string()),
        Trouble::Api(ApiError::Conflict) => {
            parts.counters.conflicts.fetch_add(1, Relaxed);
            let pause = settings.conflict_pause.max(settings.wait + Duration::from_secs(1));
            tracing::error!(
                pause_s = pause.as_secs(),
                "another process polls with this bot's token, or a webhook is set (HTTP 409): no message is received \
                 here until it ends; stop the other process, or call deleteWebhook"
            );
            Ok(pause)
        }
        Trouble::Api(ApiError::RetryAfter(wait)) => {
            let wait = LONGEST_WAIT.min(*wait);
            tracing::warn!(wait_s = wait.as_secs(), "the messenger asks the poller to wait");
            Ok(wait)
        }
        Trouble::Api(error) => {
            tracing::warn!(%error, failures, retry_ms = backoff.as_millis() as u64, "no updates came");
            Ok(backoff)
        }
        Trouble::Store(StoreError::Stopped) => Err("the store has stopped, so no message can be kept".to_owned()),
        Trouble::Store(error) => {
            tracing::error!(%error, failures, retry_ms = backoff.as_millis() as u64, "updates could not be kept");
            Ok(backoff)
        }
    }
}

/// Reports the end, and waits for it: starting anew would only repeat it.
async fn give_up(parts: &PollerParts, reason: String) {
    tracing::error!(%reason, "the poller gives up");
    let _ = parts.fatal.send(Fatal { actor: Poller::NAME, reason }).await;
}

/// Wakes every chat that waits: all of them at boot, later those whose wake-up was lost.
async fn sweep(parts: Arc<PollerParts>) {
    let mut ticks = tokio::time::interval(parts.settings.sweep_every);
    loop {
        tokio::select! {
            () = parts.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match parts.store.waiting(parts.bot).await {
            _ if parts.stop.is_cancelled() => return,
            Ok(chats) => {
                for chat in chats {
                    if parts.router.try_send(Wake { chat }).is_err() {
                        break; // Full: the oldest have been woken, the others have to wait for the next sweep.
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "waiting chats could not be read"),
        }
    }
}

#[cfg(test)]
mod tests;
