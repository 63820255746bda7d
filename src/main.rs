//! The binary: reads the command line, does what it asks, says what went wrong.

use std::process::ExitCode;

use ai_friend::cli::{Cli, Command};
use ai_friend::complaint::{complaint, is_broken_pipe};
use ai_friend::signals::end_at_signal;
use anyhow::{Context as _, Result};
use clap::Parser as _;

fn main() -> ExitCode {
    friend_gguf::llama::reexec_with_quiet_libraries();
    let code = match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
            anstream::eprintln!("{red}error:{red:#} {}", complaint(&error));
            ExitCode::FAILURE
        }
    };
    ai_friend::app::end(code)
}

fn run(cli: &Cli) -> Result<ExitCode> {
    // The others have things to put in order before they end, and handle signals themselves.
    if matches!(cli.command, Command::Models(_) | Command::Check | Command::Evaluate(_) | Command::Score(_)) {
        end_at_signal().context("signals cannot be handled")?;
    }
    ai_friend::commands::dispatch(cli)
}
