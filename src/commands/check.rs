//! `ai-friend check`: would it start? Says of every part whether it is in order, and goes on to the next.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use friend_actors::ports::Messenger as _;

use crate::app;
use crate::complaint::complaint;
use crate::config::{Config, DEFAULT_FILE};
use crate::evaluate::Voice;

/// Checks settings, persona, classifier, model, data folder and token. `file` is the settings file that was read.
///
/// # Errors
/// Only when the check itself cannot run; findings are printed and make the exit status 1.
pub fn check(config: &Config, file: Option<&Path>) -> Result<ExitCode> {
    // The settings were read before anything else: a mistake in them has ended the program with its place.
    let mut report = Report { sound: true };
    report.part("settings", || {
        Ok(match file {
            Some(file) => format!("in order ({})", file.display()),
            None => format!("in order (no {DEFAULT_FILE} here, and none named)"),
        })
    })?;
    report.part("persona", || app::persona(config).map(|persona| persona.name))?;
    report.part("emotion", || app::scorer(config).map(|_| "loads and scores".to_owned()))?;
    report.part("model", || model(config))?;
    report.part("data", || app::store(&config.store.data, config).map(|_| config.store.data.display().to_string()))?;
    report.part("token", || token(config))?;
    Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Report {
    sound: bool,
}

impl Report {
    fn part(&mut self, name: &str, look: impl FnOnce() -> Result<String>) -> Result<()> {
        use anstyle::{AnsiColor, Style};
        let (mark, color, text) = match look() {
            Ok(text) => ("ok", AnsiColor::Green, text),
            Err(error) => {
                self.sound = false;
                ("no", AnsiColor::Red, complaint(&error))
            }
        };
        let style = Style::new().fg_color(Some(color.into()));
        let text = text.replace('\n', "\n              ");
        writeln!(anstream::stdout(), "{style}{mark}{style:#}  {name:<9} {text}")
            .context("cannot write to standard output")
    }
}

/// A model that is here is loaded, and begins an answer in each mode: only that shows that it can be served.
fn model(config: &Config) -> Result<String> {
    let checked = crate::models::check(config)?;
    if checked.here {
        tracing::info!("loading the model, and beginning an answer in each mode");
        let persona = app::persona(config)?;
        let thinker = app::thinker(config, &persona)?;
        let voice = Voice { persona: &persona, template: &thinker.template };
        for mode in persona.modes.keys() {
            crate::evaluate::begin_answer(&*thinker.engine, voice, mode)
                .with_context(|| format!("the model cannot answer in the mode {mode}"))?;
        }
    }
    Ok(checked.about)
}

fn token(config: &Config) -> Result<String> {
    let telegram = app::telegram(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(15), telegram.me()).await });
    match asked {
        Ok(me) => Ok(format!("@{}", me?.username)),
        Err(_) => {
            let url = crate::config::without_password(&config.telegram.api_url);
            bail!("{url} did not answer within 15 seconds: is it the right TG_API_URL?")
        }
    }
}
