//! `ai-friend evaluate`: the configured model beside written conversations.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use friend_gguf::convert::Progress as _;
use friend_gguf::llama::Exact;

use crate::app;
use crate::cli::evaluate::{Evaluate, EvaluateCommand};
use crate::config::Config;
use crate::evaluate::{Voice, losses, read, replies};
use crate::models::progress::Bar;

/// Prints losses or replies on standard output, progress on standard error.
///
/// # Errors
/// What is missing or broken, and what to do about it.
pub fn evaluate(evaluate: &Evaluate, config: &Config) -> Result<ExitCode> {
    let persona = app::persona(config)?;
    let (EvaluateCommand::Loss { file } | EvaluateCommand::Reply { file }) = &evaluate.command;
    let conversations = read(file, &persona)?;
    // A loss is computed beside the engine, which then only says how prompts are written.
    let small = matches!(evaluate.command, EvaluateCommand::Loss { .. }).then(|| app::for_one(config));
    let thinker = app::thinker(small.as_ref().unwrap_or(config), &persona)?;
    let voice = Voice { persona: &persona, template: &thinker.template };
    match &evaluate.command {
        EvaluateCommand::Loss { .. } => {
            let mut model = Exact::open(&thinker.gguf, thinker.adapter.as_ref())?;
            let mut bar = Bar::counting();
            bar.start("evaluating", conversations.len() as u64);
            let losses = losses(&mut model, voice, &conversations, |done| bar.advance(done))?;
            writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&losses)?)?;
        }
        EvaluateCommand::Reply { .. } => {
            let at_once = config.model.slots as usize;
            let mut out = std::io::stdout().lock();
            replies(&*thinker.engine, voice, &conversations, at_once, &mut out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
