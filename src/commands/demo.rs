//! `ai-friend demo`: the emulator on loopback, the real bot polling it over HTTP, and you as the user.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use friend_actors::house::Windows;
use friend_actors::ports::Messenger;
use friend_actors::report::TurnReport;
use friend_sim::bot_api::{self, BotApi, Control, DEFAULT_TOKEN, Entry, Event, User};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Mind};
use crate::config::{Config, Secret};
use crate::terminal::{Screen, Seen, lines};

/// Talks until the input ends or Ctrl-C.
///
/// # Errors
/// What is missing or broken, and what to do about it.
pub fn demo(config: &Config) -> Result<ExitCode> {
    actix::System::new().block_on(async {
        let stop = app::stop_on_signal();
        let persona = app::persona(config)?;
        let mut screen = Screen::new(&persona.name);
        let settings = bot_api::Config { bot_name: persona.name.clone(), ..bot_api::Config::default() };
        let server = BotApi::start(settings).await?;
        if screen.is_terminal() {
            screen.note(&format!("The Bot API emulator listens at {}. Loading the models…", server.url()));
        }
        let token = Secret::new(DEFAULT_TOKEN);
        let telegram: Arc<dyn Messenger> = Arc::new(app::telegram_with(config, server.url(), token)?);
        // A new emulator knows nothing of former conversations, and counts its updates anew: so does the store.
        let folder = tempfile::tempdir().context("no temporary folder for the demo's conversation")?;
        let store = app::store(folder.path(), config)?;
        let Some(mind) = Mind::load_until(&app::for_one(config), &stop).await? else { return Ok(ExitCode::SUCCESS) };
        let windows = Windows::default();
        let reports = windows.observer.watch();
        let me = telegram.me().await?;
        telegram.set_commands(&friend_actors::COMMANDS).await?;
        let parts = mind.parts(me.id, telegram, store, config);
        let house = actix::spawn(app::serve(parts, app::house_config(config), windows, stop.clone()));

        let control = server.control();
        let talk =
            Talk { user: control.user(1, "You"), live: control.subscribe(), control, reports, stop: stop.clone() };
        let talked = talk.run(&mut screen, app::patience(config)).await;
        stop.cancel();
        house.await.context("the actors ended unexpectedly")??;
        server.shutdown().await;
        talked?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The conversation: all of it goes over the wire, but for the dim line, which the bot reports on the side.
struct Talk {
    user: User,
    control: Control,
    live: broadcast::Receiver<Arc<Entry>>,
    reports: broadcast::Receiver<TurnReport>,
    stop: CancellationToken,
}

impl Talk {
    async fn run(mut self, screen: &mut Screen, patience: Duration) -> Result<()> {
        let mut lines = lines();
        if screen.is_terminal() {
            screen.note("Write to the friend. /help lists commands, /stop stops an answer; Ctrl-D or Ctrl-C ends.");
            self.user.say("/start");
            self.answer(screen, patience, &mut lines).await?;
        }
        while !self.stop.is_cancelled() {
            screen.prompt();
            let Some(line) = self.listen(screen, &mut lines).await else { break };
            if line.trim().is_empty() {
                continue;
            }
            self.say(screen, &line);
            self.answer(screen, patience, &mut lines).await?;
        }
        Ok(())
    }

    fn say(&self, screen: &Screen, line: &str) {
        match screen.pressed(line) {
            Some(label) if self.user.press(label).is_ok() => {}
            _ => {
                self.user.say(line);
            }
        }
    }

    /// The next line; whatever the friend does meanwhile is shown.
    async fn listen(&mut self, screen: &mut Screen, lines: &mut tokio::sync::mpsc::Receiver<String>) -> Option<String> {
        loop {
            tokio::select! {
                line = lines.recv() => return line,
                seen = next(&mut self.live, &self.control) => if let Some(seen) = seen { screen.see(seen); },
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// Shows the friend's answer as it comes. In a terminal one may write on meanwhile, as in the app.
    async fn answer(
        &mut self,
        screen: &mut Screen,
        patience: Duration,
        lines: &mut tokio::sync::mpsc::Receiver<String>,
    ) -> Result<()> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                seen = next(&mut self.live, &self.control) => {
                    while let Ok(report) = self.reports.try_recv() {
                        screen.felt(report);
                    }
                    if seen.is_some_and(|seen| screen.see(seen)) {
                        return Ok(());
                    }
                }
                Some(line) = lines.recv(), if screen.is_terminal() => self.say(screen, &line),
                () = tokio::time::sleep_until(deadline) => bail!("no answer came within {patience:?}; the log above may say why"),
            }
        }
    }
}

/// The next thing that the user sees.
async fn next(live: &mut broadcast::Receiver<Arc<Entry>>, control: &Control) -> Option<Seen> {
    let Ok(entry) = live.recv().await else { return None };
    match &entry.event {
        Event::SawAction { .. } => Some(Seen::Typing(true)),
        Event::ActionGone => Some(Seen::Typing(false)),
        Event::SawDraft { text, .. } => Some(Seen::Draft(text.clone())),
        Event::SawMessage { text, markup, .. } => {
            let rows = markup.as_ref().and_then(|markup| markup["inline_keyboard"].as_array());
            let buttons = rows.into_iter().flatten().filter_map(|row| row.as_array()).flatten();
            let labels = buttons.filter_map(|button| button["text"].as_str()).map(str::to_owned).collect();
            Some(Seen::Message(text.clone(), labels))
        }
        Event::SawDocument { file_id, file_name, .. } => {
            let content = control.file(file_id).map(|file| String::from_utf8_lossy(&file.content).into_owned());
            Some(Seen::Document(file_name.clone(), content.unwrap_or_default()))
        }
        _ => None,
    }
}
