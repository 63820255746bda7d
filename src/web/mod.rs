//! Health and metrics over HTTP, for those who operate a bot. Off unless `web.listen` is set.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use friend_actors::house::Windows;
use friend_actors::ports::Engine;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Polls that may fail in a row before the bot counts as unhealthy.
const FAILING_POLLS: u64 = 5;
/// What answers under way have left when the program ends.
const PARTING: Duration = Duration::from_secs(1);

/// A running server.
pub struct Web {
    stop: CancellationToken,
    task: JoinHandle<()>,
    engine: Arc<OnceLock<Arc<dyn Engine>>>,
}

impl Web {
    /// Tells that the model is there: its numbers are among the metrics from now on.
    pub fn loaded(&self, engine: Arc<dyn Engine>) {
        // Only the first one is served.
        let _ = self.engine.set(engine);
    }

    /// Ends it. Whoever has a request half sent is not waited for.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(PARTING, self.task).await;
    }
}

#[derive(Clone)]
struct Seen {
    windows: Windows,
    /// Empty while the model is made ready.
    engine: Arc<OnceLock<Arc<dyn Engine>>>,
}

/// Listens where the settings say, if they say so. Nothing is answered before [`start`].
///
/// # Errors
/// The address is taken or not ours.
pub async fn listen(config: &Config) -> Result<Option<TcpListener>> {
    let Some(listen) = &config.web.listen else { return Ok(None) };
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} for health and metrics: choose another web.listen"))?;
    Ok(Some(listener))
}

/// Answers on `door`, also before the model is [`Web::loaded`], which may take minutes.
pub fn start(door: TcpListener, windows: &Windows) -> Web {
    let engine = Arc::<OnceLock<Arc<dyn Engine>>>::default();
    let seen = Seen { windows: windows.clone(), engine: engine.clone() };
    let app = Router::new().route("/health", get(health)).route("/metrics", get(metrics)).with_state(seen);
    let stop = CancellationToken::new();
    let ended = stop.clone();
    let address = door.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
    let task = tokio::spawn(async move {
        let served = axum::serve(door, app).with_graceful_shutdown(async move { ended.cancelled().await }).await;
        if let Err(error) = served {
            tracing::error!(%error, "the health server ended");
        }
    });
    tracing::info!(address, "health at /health, metrics at /metrics");
    Web { stop, task, engine }
}

/// 200 while updates come, 503 when polling has failed several times in a row. Also 200 while the model is made ready: one
/// that cannot be had ends the program, and whoever restarted it for taking long would throw away what is done.
async fn health(State(seen): State<Seen>) -> impl IntoResponse {
    let failing = seen.windows.poller.failing.load(Relaxed);
    let healthy = failing < FAILING_POLLS;
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let loading = seen.engine.get().is_none();
    (status, Json(json!({ "healthy": healthy, "loading": loading, "failed_polls_in_a_row": failing })))
}

/// Everything counted, in Prometheus' text format 0.0.4.
async fn metrics(State(seen): State<Seen>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render(&seen))
}

fn render(Seen { windows, engine }: &Seen) -> String {
    let mut text = String::new();
    let mut line = |name: &str, kind: &str, value: u64| {
        let _ = writeln!(text, "# TYPE ai_friend_{name} {kind}\nai_friend_{name} {value}");
    };
    let (talk, emotion) = (windows.observer.counters(), &windows.emotion);
    let (poller, outbox) = (&windows.poller, &windows.outbox);
    let counters: [(&str, &AtomicU64); 27] = [
        ("turns_answered_total", &talk.answered),
        ("turns_gave_up_total", &talk.gave_up),
        ("turns_outdated_total", &talk.outdated),
        ("turns_tactless_total", &talk.tactless),
        ("turns_stopped_total", &talk.stopped),
        ("turns_care_total", &talk.care),
        ("turns_care_by_classifier_total", &talk.care_by_classifier),
        ("turns_care_after_total", &talk.cared_after),
        ("turns_unfelt_total", &talk.unfelt),
        ("prompt_dropped_turns_total", &talk.dropped_turns),
        ("reply_tokens_total", &talk.new_tokens),
        ("emotion_scored_total", &emotion.scored),
        ("emotion_runs_total", &emotion.runs),
        ("emotion_late_total", &emotion.late),
        ("emotion_shed_total", &emotion.shed),
        ("emotion_failed_total", &emotion.failed),
        ("poller_polls_total", &poller.polls),
        ("poller_updates_total", &poller.updates),
        ("poller_ignored_total", &poller.ignored),
        ("poller_failures_total", &poller.failures),
        ("poller_conflicts_total", &poller.conflicts),
        ("outbox_sent_total", &outbox.sent),
        ("outbox_failed_total", &outbox.failed),
        ("outbox_ambiguous_total", &outbox.ambiguous),
        ("outbox_limited_total", &outbox.limited),
        ("outbox_retried_total", &outbox.retried),
        ("outbox_previews_total", &outbox.previews),
    ];
    for (name, counter) in counters {
        line(name, "counter", counter.load(Relaxed));
    }
    line("sessions", "gauge", windows.sessions.len() as u64);
    if let Some(engine) = engine.get() {
        let engine = engine.status();
        line("engine_queued", "gauge", engine.queued as u64);
        line("engine_active", "gauge", engine.active as u64);
        line("engine_steps_total", "counter", engine.steps);
        line("engine_prompt_tokens_total", "counter", engine.prompt_tokens);
        line("engine_reused_tokens_total", "counter", engine.reused_tokens);
        line("engine_new_tokens_total", "counter", engine.new_tokens);
        line("engine_evictions_total", "counter", engine.evictions);
        line("engine_restored_total", "counter", engine.restored);
        line("engine_host_cache_bytes", "gauge", engine.host_bytes);
    }
    let _ = writeln!(text, "# TYPE ai_friend_actor_restarts_total counter");
    for (actor, restarts) in windows.restarts() {
        let _ = writeln!(text, "ai_friend_actor_restarts_total{{actor=\"{actor}\"}} {restarts}");
    }
    text
}
