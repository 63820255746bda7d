//! Written conversations beside a model: how likely it finds the friend's replies, and what it would reply itself.
//!
//! Prompts are written as the bot writes them (persona, mode, template), answers drawn by the same engine. What is known
//! about a person has a line of its own, as `/remember` fills it in the bot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use friend_actors::persona::{Mode, Persona};
use friend_actors::prompt::Template;
use friend_actors::reply::finished;
use friend_actors::types::{Role, Turn};
use friend_gguf::llama::{Exact, Loss, Stretch};
use friend_gguf::request::{Engine, Finish, OwnerId, Piece, Prompt, Request, Ticket};
use serde::{Deserialize, Serialize};

/// Bytes of one line at most.
const LONGEST_LINE: u64 = 1 << 20;
/// Time that one answer may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who speaks, and how prompts are written.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// The friend.
    pub persona: &'a Persona,
    /// The model's form of a prompt.
    pub template: &'a Template,
}

/// One conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct Conversation {
    /// The mode's name in the persona.
    pub mode: String,
    /// Who the friend is, instead of the persona's own words.
    #[serde(default)]
    pub intro: Option<String>,
    /// What he knows about the person.
    #[serde(default)]
    pub memory: Vec<String>,
    /// What was said, the person first.
    pub turns: Vec<Said>,
    /// Seeds the draw.
    #[serde(default)]
    pub seed: u64,
}

/// One message.
#[derive(Clone, Debug, Deserialize)]
pub struct Said {
    /// `person`, `friend`, or `bot` for what was said in the friend's place without the model, whose loss does not count.
    pub who: Who,
    /// The words.
    pub text: String,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Who {
    Person,
    Friend,
    Bot,
}

/// The loss of one mode's replies.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LossReport {
    /// Conversations.
    pub conversations: usize,
    /// Tokens counted.
    pub tokens: usize,
    /// Nats per token.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
}

/// One answer.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The text as it would be sent.
    pub reply: String,
    /// Tokens drawn.
    pub tokens: u32,
    /// Whether it was ended by the limit.
    pub cut: bool,
}

/// Reads conversations, a JSON object a line; blank lines are skipped.
///
/// # Errors
/// Which line cannot be used, and why.
pub fn read(file: &Path, persona: &Persona) -> Result<Vec<Conversation>> {
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)
    };
    let mut reader = BufReader::new(input);
    let mut conversations = Vec::new();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_line(&mut line);
        if read.with_context(|| format!("line {number} is no UTF-8"))? == 0 {
            break;
        }
        ensure!(line.len() < LONGEST_LINE as usize, "line {number} is longer than {LONGEST_LINE} bytes");
        if line.trim().is_empty() {
            continue;
        }
        let conversation: Conversation =
            serde_json::from_str(&line).with_context(|| format!("line {number} is no conversation"))?;
        if !persona.modes.contains_key(&conversation.mode) {
            let known: Vec<_> = persona.modes.keys().map(String::as_str).collect();
            bail!("line {number}: {} has no mode `{}`; he has {}", persona.name, conversation.mode, known.join(", "));
        }
        ensure!(!conversation.turns.is_empty(), "line {number} has no turns");
        conversations.push(conversation);
    }
    ensure!(!conversations.is_empty(), "{} holds no conversation: is it the right file?", file.display());
    Ok(conversations)
}

impl Conversation {
    /// The prompt as the bot would write it, and what is known about the person.
    fn prompt(&self, voice: Voice<'_>) -> Prompt {
        let mut persona = voice.persona.clone();
        if let Some(intro) = &self.intro {
            persona.intro.clone_from(intro);
        }
        let mode =
            persona.modes.get(&self.mode).cloned().unwrap_or(Mode { instruction: String::new(), min_new_tokens: 0 });
        let turns: Vec<Turn> = self
            .turns
            .iter()
            .map(|said| Turn {
                role: if said.who == Who::Person { Role::Person } else { Role::Friend },
                text: said.text.clone(),
                mode: None,
                scores: None,
                at_ms: 0,
            })
            .collect();
        voice.template.prompt(&persona, &mode, &self.memory, &turns)
    }

    /// The answer to the last message, to be drawn as the bot draws it.
    fn request(&self, voice: Voice<'_>, owner: OwnerId) -> Result<Request> {
        let Voice { persona, template } = voice;
        let mode = persona.modes.get(&self.mode).with_context(|| format!("there is no mode {}", self.mode))?;
        Ok(Request {
            owner,
            prompt: self.prompt(voice),
            sampling: persona.sampling.sampling(),
            stop: template.stop(),
            min_new_tokens: mode.min_new_tokens,
            max_new_tokens: persona.sampling.max_new_tokens,
            seed: self.seed,
            time_limit: PATIENCE,
        })
    }

    /// The whole text, with the friend's words and what ends them counted.
    fn stretches(&self, voice: Voice<'_>) -> Vec<Stretch> {
        let prompt = self.prompt(voice);
        let given = |piece: Piece| Stretch { piece, counted: 0 };
        let mut stretches: Vec<Stretch> = prompt.prefix.into_iter().chain(prompt.own).map(given).collect();
        for (said, pieces) in self.turns.iter().zip(prompt.turns) {
            let mut spoken = false;
            for piece in pieces {
                let counted = match (said.who, piece.special) {
                    (Who::Friend, false) => usize::MAX,
                    // The token that ends the reply.
                    (Who::Friend, true) if spoken => 1,
                    _ => 0,
                };
                spoken |= !piece.special;
                stretches.push(Stretch { piece, counted });
            }
        }
        stretches
    }
}

/// The loss of the friend's replies by mode, and of all (`ALL`).
///
/// # Errors
/// When the model cannot compute them.
pub fn losses(
    model: &mut Exact,
    voice: Voice<'_>,
    conversations: &[Conversation],
    mut progress: impl FnMut(u64),
) -> Result<BTreeMap<String, LossReport>> {
    let mut sums: BTreeMap<String, (usize, Loss)> = BTreeMap::new();
    model.with(|run| {
        for conversation in conversations {
            let loss = run.loss(&conversation.stretches(voice))?;
            for mode in [conversation.mode.as_str(), "ALL"] {
                let sum = sums.entry(mode.to_owned()).or_default();
                sum.0 += 1;
                sum.1.add(loss);
            }
            progress(1);
        }
        Ok(())
    })?;
    let report = |(conversations, loss): (usize, Loss)| LossReport {
        conversations,
        tokens: loss.tokens,
        loss: loss.mean(),
        perplexity: loss.mean().exp(),
    };
    Ok(sums.into_iter().map(|(mode, sum)| (mode, report(sum))).collect())
}

/// Lets the model begin an answer to a short message; room for the whole answer must be there.
///
/// # Errors
/// When the persona's prompt does not fit its context, or the model fails.
pub fn begin_answer(engine: &dyn Engine, voice: Voice<'_>, mode: &str) -> Result<()> {
    let hello = Said { who: Who::Person, text: "hello".to_owned() };
    let conversation =
        Conversation { mode: mode.to_owned(), intro: None, memory: Vec::new(), turns: vec![hello], seed: 0 };
    let owner = OwnerId(u64::MAX);
    let mut ticket = engine.submit(conversation.request(voice, owner)?)?;
    if ticket.text.blocking_recv().is_none() {
        // Nothing was said: it failed, or had nothing to say, which is no fault.
        ticket.done.blocking_recv().context("the engine ended")??;
    } else {
        ticket.cancel.cancel();
        let _ = ticket.done.blocking_recv();
    }
    engine.forget(owner);
    Ok(())
}

/// Answers every conversation, as many at once as the engine has slots; lines in the input's order.
///
/// # Errors
/// When the engine refuses or the output cannot be written.
pub fn replies(
    engine: &dyn Engine,
    voice: Voice<'_>,
    conversations: &[Conversation],
    at_once: usize,
    out: &mut dyn Write,
) -> Result<()> {
    for (group, conversations) in conversations.chunks(at_once.max(1)).enumerate() {
        let tickets: Vec<Ticket> = conversations
            .iter()
            .enumerate()
            .map(|(index, conversation)| {
                let owner = OwnerId((group * at_once + index) as u64);
                Ok(engine.submit(conversation.request(voice, owner)?)?)
            })
            .collect::<Result<_>>()?;
        for (index, ticket) in tickets.into_iter().enumerate() {
            let completion = ticket.done.blocking_recv().context("the engine ended")??;
            engine.forget(OwnerId((group * at_once + index) as u64));
            let reply = Reply {
                reply: finished(&completion, voice.persona.sampling.whole_sentences),
                tokens: completion.usage.new_tokens,
                cut: completion.finish == Finish::Length,
            };
            serde_json::to_writer(&mut *out, &reply)?;
            writeln!(out)?;
        }
        out.flush()?;
    }
    Ok(())
}
