//! `getUpdates`: the long poll, and the conflict between two of them.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Shared;
use super::params::Params;
use super::reply::{ApiError, MethodResult};
use super::updates::UpdateQueue;

/// Seconds that a poll waits at most, whatever it asks for.
const MAX_TIMEOUT: i64 = 50;

/// `getUpdates`. A poll that has to wait ends the one that waits already, which answers 409.
pub async fn get_updates(shared: &Shared, params: &Params) -> MethodResult {
    let limit = usize::try_from(params.int("limit").unwrap_or(100).clamp(1, 100)).unwrap_or(100);
    let timeout = Duration::from_secs(params.int("timeout").unwrap_or(0).clamp(0, MAX_TIMEOUT).unsigned_abs());
    let allowed = params.json("allowed_updates", "allowed_updates")?;
    let until = Instant::now() + timeout;
    let (mut news, mut taken_over) = {
        let mut state = shared.lock();
        if state.webhook.is_some() {
            return Err(ApiError::webhook_active());
        }
        if let Some(allowed) = &allowed {
            allow(&mut state.updates, allowed);
        }
        let batch = state.updates.fetch(params.int("offset"), limit, Instant::now());
        if !batch.is_empty() || timeout.is_zero() {
            return Ok(Value::Array(batch));
        }
        let (end, ended) = oneshot::channel();
        if let Some(other) = state.waiting_poll.replace(end) {
            // It may be gone already, which is as good.
            let _ = other.send(ApiError::other_poller());
        }
        (state.news.subscribe(), ended)
    };
    loop {
        tokio::select! {
            biased;
            error = &mut taken_over => return Err(error.unwrap_or_else(|_| ApiError::other_poller())),
            _ = news.changed() => {}
            () = tokio::time::sleep_until(until) => return Ok(Value::Array(Vec::new())),
        }
        // The offset has done its work; a negative one would forget more if it were applied again.
        let batch = shared.lock().updates.fetch(None, limit, Instant::now());
        if !batch.is_empty() {
            return Ok(Value::Array(batch));
        }
    }
}

fn allow(updates: &mut UpdateQueue, allowed: &Value) {
    let names = allowed.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    updates.allow(&names.collect::<Vec<_>>());
}
