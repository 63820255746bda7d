//! `ai-friend run`: the service.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;
use friend_actors::house::Windows;
use friend_actors::pace::LONGEST_WAIT;
use friend_actors::poller::PollerCounters;
use friend_actors::ports::{ApiError, Me, Messenger};
use friend_actors::supervisor::backoff;

use crate::app::{self, Mind};
use crate::config::Config;

/// Serves Telegram until a signal. `file` is the settings file that was read.
///
/// # Errors
/// What a person has to mend before it can start, or what made it give up.
pub fn run(config: &Config, file: Option<&Path>) -> Result<ExitCode> {
    actix::System::new().block_on(async {
        let stop = app::stop_on_signal();
        let telegram: Arc<dyn Messenger> = Arc::new(app::telegram(config)?);
        let settings = file.map_or_else(|| "none".into(), Path::to_string_lossy);
        // From another folder than yesterday it would be another store, and a friend who knows nobody.
        let data = std::path::absolute(&config.store.data).unwrap_or_else(|_| config.store.data.clone());
        tracing::info!(%settings, data = %data.display(), "starting");
        let store = app::store(&config.store.data, config)?;
        // What a person can mend at once is found before a model is fetched, converted and loaded.
        let known = tokio::select! {
            known = telegram.me() => known,
            () = stop.cancelled() => return Ok(stopped_early()),
        };
        if let Err(error @ ApiError::Unauthorized(_)) = known {
            return Err(error.into());
        }
        let windows = Windows::default();
        let web = crate::web::listen(config).await?.map(|door| crate::web::start(door, &windows));
        let Some(mind) = Mind::load_until(config, &stop).await? else { return Ok(stopped_early()) };
        if let Some(web) = &web {
            web.loaded(mind.engine.clone());
        }
        let me = tokio::select! {
            me = introduce(&*telegram, &windows.poller) => me?,
            () = stop.cancelled() => return Ok(stopped_early()),
        };
        tracing::info!(bot = me.username, model = mind.engine.model().name, "serving; Ctrl-C ends it");
        let parts = mind.parts(me.id, telegram, store, config);
        let served = app::serve(parts, app::house_config(config), windows, stop).await;
        if let Some(web) = web {
            web.stop().await;
        }
        served?;
        tracing::info!("closed in order");
        Ok(ExitCode::SUCCESS)
    })
}

/// Asked to end before anybody was served: in order, as at any later moment.
fn stopped_early() -> ExitCode {
    tracing::info!("stopped before it served anybody");
    ExitCode::SUCCESS
}

/// Asks who we are and registers the commands. Waits for a messenger that is out of reach, which counts as failing polls do (the
/// first poll that succeeds ends that); ends on a refused token.
async fn introduce(messenger: &dyn Messenger, counters: &PollerCounters) -> Result<Me> {
    let mut attempt = 0;
    loop {
        match messenger.me().await {
            Ok(me) => {
                if let Err(error) = messenger.set_commands(&friend_actors::COMMANDS).await {
                    tracing::warn!(%error, "the command menu was not registered; commands work all the same");
                }
                return Ok(me);
            }
            Err(error @ ApiError::Unauthorized(_)) => return Err(error.into()),
            Err(error) => {
                let wait = match error {
                    ApiError::RetryAfter(wait) => wait.min(LONGEST_WAIT),
                    _ => backoff(Duration::from_secs(1), Duration::from_secs(30), attempt),
                };
                tracing::warn!(%error, ?wait, "the Bot API does not answer; is TG_API_URL right? Trying again");
                attempt += 1;
                counters.failures.fetch_add(1, Relaxed);
                counters.failing.fetch_add(1, Relaxed);
                tokio::time::sleep(wait).await;
            }
        }
    }
}
