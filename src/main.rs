//! The binary: reads the command line, does what it asks, says what went wrong.

use std::process::ExitCode;

use ai_friend::cli::Cli;
use ai_friend::complaint::{complaint, is_broken_pipe};
use clap::Parser as _;

fn main() -> ExitCode {
    friend_gguf::llama::reexec_with_quiet_libraries();
    let code = match ai_friend::commands::dispatch(&Cli::parse()) {
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
