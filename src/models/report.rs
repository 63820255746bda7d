//! `models inspect` and `models verify`: what a GGUF holds, and how far it is from its original.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use friend_gguf::convert::{Inspection, inspect as read};
use friend_gguf::llama::{NEAR_TIE, Verification, VerifyOptions, verify as compare};

use super::prepare::blocking;
use super::progress::Bar;
use super::space;
use crate::cli::models::Verify;

/// Prints what a GGUF holds, and whether this machine can serve it.
///
/// # Errors
/// When it is damaged.
pub fn inspect(path: &Path, json: bool, out: &mut dyn Write) -> Result<()> {
    let found = read(path)?;
    let room = Room::of(&found);
    if json {
        let mut value = serde_json::to_value(&found)?;
        value["memory_bytes"] = room.memory.into();
        value["fits"] = room.fits.into();
        value["users_at_1024_tokens"] = room.users.into();
        writeln!(out, "{value}")?;
        return Ok(());
    }
    let mut line = |name: &str, text: String| writeln!(out, "{name:<14} {text}");
    line("file", format!("{} ({})", path.display(), space::human(found.file_bytes)))?;
    line("name", found.name.clone())?;
    line("architecture", format!("{} ({})", found.architecture, found.kind))?;
    let types = found.types.iter().map(|(kind, bytes)| format!("{kind} {}", space::human(*bytes)));
    line("quantisation", format!("{}: {}", found.quantisation, types.collect::<Vec<_>>().join(", ")))?;
    line("parameters", format!("{:.1} million", found.parameters as f64 / 1e6))?;
    if let Some((alpha, rank)) = found.adapter {
        line("adapter", format!("LoRA of rank {rank}, alpha {alpha}"))?;
        line("licence", found.licence.clone().unwrap_or_else(|| "not said".to_owned()))?;
        return Ok(());
    }
    line(
        "shape",
        format!("{} layers of {}, {} heads, context {}", found.layers, found.embedding, found.heads, found.context),
    )?;
    line("tokenizer", format!("{}, {} tokens", found.tokenizer, found.vocabulary))?;
    let template = found.chat_template.as_deref().map(|text| format!("its own, {} characters", text.chars().count()));
    line("chat template", template.unwrap_or_else(|| "none: prompts are plain text".to_owned()))?;
    line("licence", found.licence.clone().unwrap_or_else(|| "not said".to_owned()))?;
    line("this machine", room.to_string())?;
    Ok(())
}

/// Tokens of history that a user's share of the cache is reckoned with.
const USER_TOKENS: u64 = 1024;
/// Beside weights and cache: compute buffers, the vocabulary, the program.
const OVERHEAD: u64 = 300 << 20;

struct Room {
    memory: Option<u64>,
    fits: Option<bool>,
    users: Option<u64>,
    needed: u64,
}

impl Room {
    fn of(found: &Inspection) -> Self {
        let memory = friend_gguf::memory::available();
        let needed = found.file_bytes + OVERHEAD;
        let user = found.kv_bytes_per_token.saturating_mul(USER_TOKENS);
        let users = |memory: u64| memory.saturating_sub(needed).checked_div(user);
        Self { memory, fits: memory.map(|memory| memory >= needed), users: memory.and_then(users), needed }
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(memory) = self.memory else { return f.write_str("does not say how much memory it has") };
        let (memory, needed) = (space::human(memory), space::human(self.needed));
        match self.users {
            Some(users) if self.fits == Some(true) => write!(
                f,
                "has {memory} free: the weights fit (about {needed}), beside a cache for {users} users of {USER_TOKENS} tokens"
            ),
            _ if self.fits == Some(true) => write!(f, "has {memory} free: the weights fit (about {needed})"),
            _ => write!(f, "has {memory} free and about {needed} are needed: too little; take a smaller quantisation"),
        }
    }
}

/// Compares a GGUF with its original; the exit status is 1 where it is further away than the limit.
///
/// # Errors
/// When a file is damaged, or the adapter is no GGUF.
pub async fn verify(asked: Verify, out: &mut (dyn Write + Send)) -> Result<ExitCode> {
    if !(asked.limit > 0.0 && asked.limit.is_finite()) {
        bail!("--limit is {}; it must be a positive number", asked.limit);
    }
    if let Some(lora) = asked.lora.as_ref().filter(|lora| lora.path.is_dir()) {
        bail!("{} is a folder; convert it first (`models convert-lora`)", lora.path.display());
    }
    let options = VerifyOptions {
        model: asked.gguf.clone(),
        adapter: asked.lora.clone().map(|lora| (lora.path, lora.scale)),
        expected: asked.expected.clone(),
        variant: asked.variant.clone(),
    };
    let found = blocking(move || compare(&options, &mut Bar::counting()).context("cannot compare")).await?;
    print(&found, &asked, out)?;
    Ok(if found.passes(asked.limit) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(found: &Verification, asked: &Verify, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{:<16} {:>10}  {:>8}  tokens", "prompt", "max |Δ|", "greedy")?;
    for prompt in &found.prompts {
        let tokens = if prompt.tokens_equal { "equal" } else { "DIFFERENT" };
        let greedy = format!("{}/{}", prompt.agreed, prompt.compared);
        writeln!(out, "{:<16} {:>10.5}  {greedy:>8}  {tokens}", prompt.name, prompt.distance)?;
    }
    if found.prompts.iter().all(|prompt| !prompt.tokens_equal) {
        writeln!(out, "No text gives the expected token ids: these values were made with another model or tokenizer.")?;
    }
    let sum = |part: fn(&friend_gguf::llama::PromptCheck) -> usize| found.prompts.iter().map(part).sum::<usize>();
    let (agreed, compared) = (sum(|prompt| prompt.agreed), sum(|prompt| prompt.compared));
    let verdict = if found.passes(asked.limit) { "passes" } else { "FAILS" };
    writeln!(
        out,
        "{}: largest |Δlogit| {:.5} (limit {}), greedy {agreed}/{compared} up to the first margin below {NEAR_TIE}: {verdict}",
        asked.variant,
        found.distance(),
        asked.limit
    )
}
