//! `ai-friend chat`: the same actors in the terminal, without the emulator.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use friend_actors::house::Windows;
use friend_actors::ports::Messenger as _;

use crate::adapters::terminal::Terminal;
use crate::app::{self, Mind};
use crate::config::Config;
use crate::terminal::{Screen, lines};

/// Talks until the input ends or Ctrl-C. The conversation is kept in the data folder and goes on next time.
///
/// # Errors
/// What is missing or broken, and what to do about it.
pub fn chat(config: &Config) -> Result<ExitCode> {
    actix::System::new().block_on(async {
        let stop = app::stop_on_signal();
        let (terminal, mut desk) = Terminal::new();
        let terminal = Arc::new(terminal);
        let store = app::store(&config.store.data, config)?;
        let Some(mind) = Mind::load_until(&app::for_one(config), &stop).await? else { return Ok(ExitCode::SUCCESS) };
        let windows = Windows::default();
        let mut reports = windows.observer.watch();
        let mut screen = Screen::new(&mind.persona.name);
        let parts = mind.parts(terminal.me().await?.id, terminal, store, config);
        let house = actix::spawn(app::serve(parts, app::house_config(config), windows, stop.clone()));

        let patience = app::patience(config);
        let mut lines = lines();
        let talked = 'talk: loop {
            screen.prompt();
            let line = loop {
                tokio::select! {
                    line = lines.recv() => break line,
                    // What was left unanswered last time comes by itself, and is no answer to the next line.
                    seen = desk.see() => match seen {
                        Some(seen) => if screen.see(seen) { screen.prompt() },
                        None => break None,
                    },
                    () = stop.cancelled() => break None,
                }
            };
            let Some(line) = line else { break Ok(()) };
            if line.trim().is_empty() {
                continue;
            }
            let pressed = screen.pressed(&line).map(str::to_owned);
            if !desk.say(&line, pressed.as_deref()).await {
                break Ok(());
            }
            loop {
                tokio::select! {
                    () = stop.cancelled() => break 'talk Ok(()),
                    seen = desk.see() => {
                        while let Ok(report) = reports.try_recv() {
                            screen.felt(report);
                        }
                        match seen {
                            Some(seen) => if screen.see(seen) { break },
                            None => break 'talk Ok(()),
                        }
                    }
                    () = tokio::time::sleep(patience) => {
                        break 'talk (|| bail!("no answer came within {patience:?}; the log above may say why"))();
                    }
                }
            }
        };
        stop.cancel();
        house.await.context("the actors ended unexpectedly")??;
        // The answer in flight was finished: it counts as said.
        while let Some(seen) = desk.seen_already() {
            screen.see(seen);
        }
        talked?;
        Ok(ExitCode::SUCCESS)
    })
}
