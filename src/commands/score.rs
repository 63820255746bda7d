//! `ai-friend score`: how a message is felt.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::Score;
use crate::config::Config;
use crate::{app, score};

/// Scores the message of the command line, or each line of standard input.
///
/// # Errors
/// The classifier does not start, or fails.
pub fn score(asked: &Score, config: &Config) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scorer = app::scorer(config)?;
    let rules = app::persona(config)?.rules;
    let safety = app::safety(config);
    let judges = score::Judges { scorer: &scorer, rules: &rules, safety: &safety };
    runtime.block_on(async {
        match asked.message() {
            Some(text) => {
                let told = score::message(judges, asked.json, text).await?;
                writeln!(std::io::stdout(), "{}", told.trim_end()).context("cannot write to standard output")?;
            }
            None => score::lines(judges, asked.json, std::io::stdin(), std::io::stdout()).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
