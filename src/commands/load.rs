//! `ai-friend load`: simulated users against the real bot, over HTTP to the emulator, with a report.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use friend_actors::house::Windows;
use friend_actors::persona::Persona;
use friend_actors::ports::Messenger;
use friend_actors::texts::fill;
use friend_gguf::convert::Progress as _;
use friend_sim::bot_api::{self, BotApi, DEFAULT_TOKEN};
use friend_sim::report::Report;
use friend_sim::scenario::Scenario;
use tokio::sync::watch;

use crate::app::{self, Mind};
use crate::cli::Load;
use crate::config::{Config, Secret};
use crate::models::progress::Bar;

/// Plays the scenario and prints its report. Exit status 1 where a message was not answered, or with an apology.
///
/// # Errors
/// What is missing or broken, and what to do about it.
pub fn load(load: &Load, config: &Config) -> Result<ExitCode> {
    actix::System::new().block_on(async {
        let stop = app::stop_on_signal();
        let server = BotApi::start(bot_api::Config::for_load()).await?;
        // A user of the scenario sends no bursts.
        let mut config = config.clone();
        config.conversation.burst_quiet_ms = 0;
        let folder = tempfile::tempdir().context("no temporary folder for the users' conversations")?;
        let store = app::store(folder.path(), &config)?;
        let Some(mind) = Mind::load_until(&config, &stop).await? else { return Ok(ExitCode::FAILURE) };
        let token = Secret::new(DEFAULT_TOKEN);
        let telegram: Arc<dyn Messenger> = Arc::new(app::telegram_with(&config, server.url(), token)?);
        let parts = mind.parts(telegram.me().await?.id, telegram, store, &config);
        let mut house = app::house_config(&config);
        house.outbox.paced = false;
        let house = actix::spawn(app::serve(parts, house, Windows::default(), stop.clone()));

        let seconds = Duration::from_secs_f64;
        let scenario = Scenario {
            users: load.users,
            turns: load.turns,
            pace: seconds(load.pace_s),
            ramp: seconds(load.ramp_s),
            patience: seconds(load.patience_s),
            seed: load.seed,
            ..scenario(&mind.persona)
        };
        let (done, mut progress) = watch::channel(0);
        let mut bar = Bar::counting();
        bar.start("answers", (load.users * load.turns) as u64);
        let control = server.control();
        let played = scenario.run_with_progress(&control, done);
        tokio::pin!(played);
        let mut shown = 0;
        let report = loop {
            tokio::select! {
                report = &mut played => break Some(report),
                () = stop.cancelled() => break None,
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    bar.advance((now - shown) as u64);
                    shown = now;
                }
            }
        };
        drop(bar);
        stop.cancel();
        house.await.context("the actors ended unexpectedly")??;
        server.shutdown().await;
        let Some(report) = report else { return Ok(ExitCode::FAILURE) };
        let told = if load.json { serde_json::to_string(&report)? } else { format!("{}\n{report}", Report::heading()) };
        writeln!(std::io::stdout(), "{told}").context("cannot write to standard output")?;
        Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// A scenario whose users know which of this friend's messages are no answers: one who is busy or slow says so and answers later,
/// one who has lost his words says that.
///
/// They are known by how they begin, the busy one up to its `{wait}`. One that begins with `{wait}` cannot be known, and
/// counts as an answer.
pub fn scenario(persona: &Persona) -> Scenario {
    let beginning = |text: &str| {
        let named = fill(text, "name", &persona.name);
        named.split("{wait}").next().unwrap_or_default().trim().to_owned()
    };
    Scenario {
        put_off: vec![beginning(&persona.texts.busy), beginning(&persona.texts.slow)],
        apologies: vec![beginning(&persona.texts.failed)],
        ..Scenario::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_friends_own_words_for_being_busy_and_at_a_loss_are_known() {
        let mut persona = Persona::arthur();
        persona.texts.busy = "{name} ist gleich da, in {wait} etwa.".to_owned();
        persona.texts.slow = "Ich denke noch nach.".to_owned();
        persona.texts.failed = " Da fehlten {name} die Worte. ".to_owned();
        let scenario = scenario(&persona);
        assert_eq!(
            scenario.put_off,
            [format!("{} ist gleich da, in", persona.name), "Ich denke noch nach.".to_owned()]
        );
        assert_eq!(scenario.apologies, [format!("Da fehlten {} die Worte.", persona.name)]);
    }

    #[test]
    fn the_shipped_friends_words_are_known_by_more_than_nothing() {
        let Scenario { put_off, apologies, .. } = scenario(&Persona::arthur());
        for beginning in [put_off, apologies].concat() {
            assert!(beginning.len() > 10 && !beginning.contains('{'), "{beginning}");
        }
    }
}
