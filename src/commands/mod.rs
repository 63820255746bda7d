//! What each command does, a file each.

pub mod botapi;
pub mod chat;
pub mod check;
pub mod demo;
pub mod evaluate;
pub mod load;
pub mod run;
pub mod score;

use std::process::ExitCode;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};

use crate::cli::{Cli, Command};
use crate::config::{AUTO, Config, Loaded, LogFormat};

/// Does what the command line asks.
///
/// # Errors
/// For a person to read: what happened, why, what to do.
pub fn dispatch(cli: &Cli) -> Result<ExitCode> {
    if let Command::Config(command) = &cli.command {
        let text = command.command.text(|| cli.load_config())?;
        std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
        return Ok(ExitCode::SUCCESS);
    }
    let Loaded { config, file, warnings } = cli.load_config()?;
    let quiet = matches!(
        cli.command,
        Command::Demo
            | Command::Chat
            | Command::Load(_)
            | Command::Score(_)
            | Command::Models(_)
            | Command::Evaluate(_)
    );
    start_log(&config, quiet)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    match &cli.command {
        Command::Run => run::run(&config, file.as_deref()),
        Command::Demo => demo::demo(&config),
        Command::Chat => chat::chat(&config),
        Command::Check => check::check(&config, file.as_deref()),
        Command::Score(score) => score::score(score, &config),
        Command::Botapi(botapi) => botapi::botapi(botapi),
        Command::Load(load) => load::load(load, &config),
        Command::Evaluate(evaluate) => evaluate::evaluate(evaluate, &config),
        Command::Models(models) => crate::models::run(models, &config),
        Command::Config(_) => Ok(ExitCode::SUCCESS),
    }
}

/// The log goes to standard error. Where a person talks in the terminal, only warnings, unless a level is asked for.
fn start_log(config: &Config, quiet: bool) -> Result<()> {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let asked = match config.log.level.as_str() {
        AUTO if quiet => "warn",
        AUTO => "info",
        asked => asked,
    };
    if let Some(wrong) = asked.split(',').find(|part| !is_directive(part.trim())) {
        bail!("log.level: `{wrong}` is none of auto, error, warn, info, debug, trace, nor such as friend_actors=debug");
    }
    // Libraries below us may log what they carry; ours never log words, theirs stay at warnings.
    let quiet_libraries = "hyper=warn,reqwest=warn,h2=warn,rustls=warn,ort=warn,llama_cpp_2=warn,llama-cpp-2=warn";
    let filter = EnvFilter::try_new(format!("{quiet_libraries},{asked}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written (its disk is full, its reader is gone) would be told of by `eprintln!`, which panics where it
        // fails, and then within the panic's own report: the process would abort for want of a line.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let started = match config.log.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The place, never the payload: it may quote somebody's words.
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, "a panic was caught");
        }));
    }
    Ok(())
}

/// A level, or a module with a level.
fn is_directive(text: &str) -> bool {
    let level = text.rsplit_once('=').map_or(text, |(_, level)| level).trim();
    ["off", "error", "warn", "info", "debug", "trace"].iter().any(|known| level.eq_ignore_ascii_case(known))
}
