//! One chat's way out: row after row, until none is left.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::Recipient;
use rand::Rng;

use super::{AmbiguousSend, Outbox, Shared};
use crate::messages::{ChatGone, Fatal, OutboxWake};
use crate::pace::Rate;
use crate::ports::{ApiError, OutRow, OutState, StoreError};
use crate::supervisor::Guarded;
use crate::types::{ChatId, Outgoing};

/// Works on a chat until it has no rows, or until the process stops.
pub(super) async fn run(shared: Rc<Shared>, chat: ChatId, outbox: Recipient<OutboxWake>) {
    let mut store_failures = 0;
    loop {
        let step = match shared.parts.store.next_out(shared.parts.bot, chat).await {
            Ok(Some(row)) => one_row(&shared, row, &outbox).await,
            Ok(None) if shared.look_again(chat) => Ok(Next::Row),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match step {
            Ok(Next::Row) => store_failures = 0,
            Ok(Next::Stop) => break,
            Err(StoreError::Stopped) => {
                let reason = "the store has stopped, so nothing can be sent safely".to_owned();
                let _ = shared.parts.fatal.send(Fatal { actor: Outbox::NAME, reason }).await;
                break;
            }
            Err(error) => {
                store_failures += 1;
                tracing::warn!(chat = chat.0, %error, "the outbox cannot use the store");
                if shared.stopped_within(shared.store_pause(store_failures)).await {
                    break;
                }
            }
        }
    }
    shared.state.borrow_mut().lanes.remove(&chat);
}

/// Wakes every chat that has rows: all at boot, later those whose wake-up was lost. Also forgets quiet chats' pace.
pub(super) async fn sweep(shared: Rc<Shared>, outbox: Recipient<OutboxWake>, pause: Duration) {
    tokio::time::sleep(pause).await;
    let mut ticks = tokio::time::interval(shared.parts.settings.sweep_every);
    loop {
        tokio::select! {
            () = shared.parts.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        shared.forget_idle();
        match shared.parts.store.unsent(shared.parts.bot).await {
            Ok(chats) => {
                for chat in chats {
                    // Waits for room in the mailbox, so that a long list neither floods it nor is cut short.
                    let _ = outbox.send(OutboxWake { chat }).await;
                }
            }
            Err(error) => tracing::warn!(%error, "chats with unsent messages could not be read"),
        }
    }
}

/// How a lane goes on.
enum Next {
    /// With the oldest row, which may be the same one.
    Row,
    /// Not at all: the process ends.
    Stop,
}

/// Takes one row as far as it comes now: waits for its turn, commits, sends, writes the outcome.
async fn one_row(shared: &Shared, row: OutRow, outbox: &Recipient<OutboxWake>) -> Result<Next, StoreError> {
    let (chat, rate) = (row.chat, Rate::of(row.chat));
    // The answer to a button is no message: it costs nothing, and the person waits for it.
    let message = !matches!(row.outgoing, Outgoing::ButtonAnswer { .. });
    let paced = message && shared.parts.settings.paced;
    if row.state == OutState::Sending && !may_resend(shared, &row) {
        tracing::warn!(chat = chat.0, row = row.id, "perhaps sent, and not sent again");
        write(shared, row.id, OutState::Ambiguous).await?;
        return Ok(Next::Row);
    }
    let wait = shared.pace(chat, |pace, now| if paced { pace.wait(rate, now) } else { pace.blocked(now) });
    if !wait.is_zero() {
        // Meanwhile the row may be erased or moved: it is read anew.
        return Ok(if shared.stopped_within(wait).await { Next::Stop } else { Next::Row });
    }
    let Ok(_permit) = shared.permits.acquire().await else { return Ok(Next::Stop) };
    if shared.parts.stop.is_cancelled() {
        return Ok(Next::Stop);
    }
    let _in_flight = shared.parts.in_flight.token();

    if message && row.state == OutState::Sending && !is_within_reach(shared, chat).await {
        shared.back_off(chat);
        return Ok(Next::Row);
    }
    if !shared.parts.store.mark(row.id, OutState::Sending).await? {
        // Erased since it was read, as by a person who waited for a permit together with it.
        return Ok(Next::Row);
    }
    if message {
        shared.end_preview(chat).await;
    }
    if paced {
        shared.pace(chat, |pace, now| pace.sent(rate, now));
    }
    let outcome = shared.parts.messenger.send(chat, &row.outgoing).await;
    shared.parts.supervision.trip(Outbox::NAME);
    settle(shared, &row, outcome.map(|_| ()), outbox).await?;
    Ok(Next::Row)
}

/// Whether a row found in `sending` goes out once more. Nobody wrote the outcome of its last send: the process died,
/// or no clear answer came.
fn may_resend(shared: &Shared, row: &OutRow) -> bool {
    shared.parts.settings.ambiguous == AmbiguousSend::Resend && row.attempts <= 1
}

/// Whether the server answers, by a call that makes no message: the one resend of a row is not spent on a server that is down.
async fn is_within_reach(shared: &Shared, chat: ChatId) -> bool {
    let answer = shared.parts.messenger.typing(chat, None).await;
    !matches!(answer, Err(ApiError::Ambiguous(_) | ApiError::Unreachable(_)))
}

/// Writes what became of a send.
async fn settle(
    shared: &Shared,
    row: &OutRow,
    outcome: Result<(), ApiError>,
    outbox: &Recipient<OutboxWake>,
) -> Result<(), StoreError> {
    let chat = row.chat;
    let counters = &shared.parts.counters;
    if is_clear(&outcome) {
        shared.pace(chat, |pace, _| pace.succeeded());
    }
    let (state, counter) = match outcome {
        Ok(()) | Err(ApiError::NotModified) => (OutState::Sent, &counters.sent),
        Err(ApiError::RetryAfter(wait)) => {
            tracing::info!(chat = chat.0, wait_s = wait.as_secs(), "the messenger asks this chat to wait");
            shared.pace(chat, |pace, now| pace.retry_after(wait, now));
            (OutState::Pending, &counters.limited)
        }
        Err(ApiError::Forbidden) => {
            tracing::info!(chat = chat.0, "this chat does not want messages");
            let _ = shared.parts.gone.try_send(ChatGone { chat }); // Lost: the next row meets the same answer.
            (OutState::Failed, &counters.failed)
        }
        Err(ApiError::Migrated(to)) if to != chat => {
            tracing::info!(from = chat.0, to = to.0, "the group has a new id");
            write(shared, row.id, OutState::Pending).await?;
            shared.parts.store.migrate(shared.parts.bot, chat, to).await?;
            let _ = outbox.try_send(OutboxWake { chat: to }); // Lost: the sweep repeats it.
            return Ok(());
        }
        Err(error @ ApiError::Rejected(_)) if matches!(row.outgoing, Outgoing::ButtonAnswer { .. }) => {
            tracing::debug!(chat = chat.0, row = row.id, %error, "the button was pressed too long ago to be answered");
            (OutState::Failed, &counters.failed)
        }
        Err(error @ (ApiError::Rejected(_) | ApiError::Migrated(_))) => {
            tracing::error!(chat = chat.0, row = row.id, kind = ?row.outgoing, %error, "refused for good");
            (OutState::Failed, &counters.failed)
        }
        Err(error @ ApiError::Ambiguous(_)) => {
            shared.back_off(chat);
            tracing::warn!(chat = chat.0, row = row.id, %error, "perhaps sent");
            counters.ambiguous.fetch_add(1, Relaxed);
            return Ok(()); // It stays in `sending`: the next look at it decides.
        }
        Err(error @ (ApiError::Unreachable(_) | ApiError::Conflict | ApiError::Unauthorized(_))) => {
            let first = shared.pace(chat, |pace, _| pace.is_well());
            let retry_ms = shared.back_off(chat).as_millis() as u64;
            if first {
                tracing::warn!(chat = chat.0, %error, retry_ms, "not sent yet");
            } else {
                tracing::debug!(chat = chat.0, %error, retry_ms, "still not sent");
            }
            if matches!(error, ApiError::Unauthorized(_)) {
                let _ = shared.parts.fatal.try_send(Fatal { actor: Outbox::NAME, reason: error.to_string() });
            }
            (OutState::Pending, &counters.retried)
        }
    };
    write(shared, row.id, state).await?;
    counter.fetch_add(1, Relaxed);
    Ok(())
}

/// Whether the server has spoken on the row itself, be it to refuse it: it is within reach.
fn is_clear(outcome: &Result<(), ApiError>) -> bool {
    let refused = |error: &ApiError| {
        matches!(error, ApiError::NotModified | ApiError::Forbidden | ApiError::Rejected(_) | ApiError::Migrated(_))
    };
    outcome.as_ref().err().is_none_or(refused)
}

/// Writes an outcome, as often as it takes: a forgotten `sent` would be a duplicate.
async fn write(shared: &Shared, row: i64, state: OutState) -> Result<(), StoreError> {
    let mut failures = 0;
    loop {
        match shared.parts.store.mark(row, state).await {
            // Erased while it was on the way: nothing is left to mark.
            Ok(_) => return Ok(()),
            Err(error) if error == StoreError::Stopped || shared.parts.stop.is_cancelled() => return Err(error),
            Err(error) => {
                failures += 1;
                tracing::warn!(row, ?state, %error, "an outcome could not be written yet");
                tokio::time::sleep(shared.store_pause(failures)).await;
            }
        }
    }
}

impl Shared {
    /// Whether a wake-up came while the lane found nothing; if none did, the lane is closed.
    pub(super) fn look_again(&self, chat: ChatId) -> bool {
        let lanes = &mut self.state.borrow_mut().lanes;
        let again = lanes.insert(chat, false).unwrap_or(false);
        if !again {
            lanes.remove(&chat);
        }
        again
    }

    /// A call for this chat failed in a way that may pass. Returns the wait.
    fn back_off(&self, chat: ChatId) -> Duration {
        let jitter = self.jitter();
        self.pace(chat, |pace, now| pace.failed(self.parts.settings.backoff, jitter, now))
    }

    fn store_pause(&self, failures: u32) -> Duration {
        self.parts.settings.backoff.delay(failures, self.jitter())
    }

    fn jitter(&self) -> f64 {
        self.state.borrow_mut().jitter.random()
    }

    /// Waits. True if the process began to stop meanwhile.
    async fn stopped_within(&self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.parts.stop.cancelled()).await.is_ok()
    }
}
