//! What is asked of the engine, and what comes back: plain values, shared by every caller and every engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// An engine that generates many users' answers at once.
///
/// `submit` never blocks and never waits: an answer is promised (a [`Ticket`]) or refused with a reason.
pub trait Engine: Send + Sync {
    /// Queues one request. Owners have at most one request in flight: a second one of the same owner is refused.
    ///
    /// # Errors
    /// [`SubmitError`] when the queue is full, the owner is busy, or the engine has stopped.
    fn submit(&self, request: Request) -> Result<Ticket, SubmitError>;

    /// Drops everything the engine remembers of an owner (its lane and token log).
    fn forget(&self, owner: OwnerId);

    /// What was loaded.
    fn model(&self) -> &ModelInfo;

    /// Counters and gauges of this moment.
    fn status(&self) -> EngineStatus;
}

/// Whose lane a request continues: one conversation, one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub u64);

/// A stretch of prompt text. Only the template's own text may be `special`: user and reply text never is, so nobody
/// can type a control token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// The text, as it is tokenised (on its own, never joined with its neighbours).
    pub text: String,
    /// Whether control tokens written in the text are recognised as such.
    pub special: bool,
}

impl Piece {
    /// Text of the template: control tokens count.
    pub fn template(text: impl Into<String>) -> Self {
        Self { text: text.into(), special: true }
    }

    /// Text of a person or of the friend: always plain.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), special: false }
    }

    /// Those of some pieces that hold anything.
    pub fn filled<const N: usize>(pieces: [Self; N]) -> Vec<Self> {
        pieces.into_iter().filter(|piece| !piece.text.is_empty()).collect()
    }
}

/// A prompt in parts, so that the engine can share the first and shorten the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Persona and instruction: equal for all users in one mode, prefilled once and shared.
    pub prefix: Vec<Piece>,
    /// What this conversation alone begins with, such as what is known of the person; it always stays.
    pub own: Vec<Piece>,
    /// The conversation, oldest first. When the context is short the oldest leave, whole.
    pub turns: Vec<Vec<Piece>>,
    /// What opens the answer (`\nYou:`, `<|im_start|>assistant\n`).
    pub tail: Vec<Piece>,
}

impl Prompt {
    /// The prompt as one string, as a person would read it. For snapshots and `--verbose`, never for tokenising.
    pub fn text(&self) -> String {
        let turns = self.turns.iter().flatten();
        self.prefix.iter().chain(&self.own).chain(turns).chain(&self.tail).map(|piece| piece.text.as_str()).collect()
    }
}

/// How the next token is drawn. The order is Hugging Face's: repetition penalty, temperature, top-k, top-p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides positive and multiplies negative logits of every token already in the sequence. 1.0 is off.
    pub repetition_penalty: f32,
    /// Keeps the k most probable tokens. 0 is off.
    pub top_k: u32,
    /// Keeps the smallest set of tokens whose probability reaches this. 1.0 is off.
    pub top_p: f32,
    /// Divides the logits. Above 0.
    pub temperature: f32,
    /// `false` takes the most probable token (after the penalty), as the reference really decoded.
    pub do_sample: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { repetition_penalty: 1.1, top_k: 100, top_p: 0.9, temperature: 0.7, do_sample: true }
    }
}

/// When an answer ends. Stop tokens are masked until `min_new_tokens` and never become part of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// Any token whose text contains a newline ends the answer; the text before the newline is kept.
    pub newline: bool,
    /// The model's own end-of-generation tokens end the answer.
    pub end_of_generation: bool,
    /// Further token ids that end the answer (Dolly: 50277, `### End`).
    pub tokens: Vec<u32>,
    /// Texts that end the answer, also across token borders; they are cut off.
    pub strings: Vec<String>,
}

/// One answer to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose conversation this is.
    pub owner: OwnerId,
    /// What the model reads.
    pub prompt: Prompt,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// When the answer ends.
    pub stop: Stop,
    /// Fewest tokens before a stop token may be drawn.
    pub min_new_tokens: u32,
    /// Most tokens of the answer, 1 or more.
    pub max_new_tokens: u32,
    /// Seeds the draw: same seed, same prompt, same tokens kept of the conversation, same batch composition, same text.
    pub seed: u64,
    /// Time from submission after which the request leaves with [`GenerateError::Expired`].
    pub time_limit: Duration,
}

/// A promise of one answer.
#[derive(Debug)]
pub struct Ticket {
    /// The text as it grows, in valid UTF-8 pieces. Dropping it cancels the request.
    pub text: mpsc::Receiver<String>,
    /// Exactly one outcome. A closed channel means that the engine died: retry from the store.
    pub done: oneshot::Receiver<Result<Completion, GenerateError>>,
    /// Ends the request at the engine's next step.
    pub cancel: Cancel,
    /// About how long it waits behind those that came before it, as far as was known when it was accepted; zero with nobody ahead.
    pub wait: Duration,
}

/// Cancels one request; cheap to clone, idempotent.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the engine to free the slot at its next step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether someone asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A finished answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The whole text, stop texts cut off, not trimmed.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it cost.
    pub usage: Usage,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A stop token, a newline or a stop string.
    Stop,
    /// `max_new_tokens` were generated: the last sentence may be cut.
    Length,
}

/// What one answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt as the model saw it.
    pub prompt_tokens: u32,
    /// Of these, how many were already in the KV cache.
    pub reused_tokens: u32,
    /// Tokens generated, stop token not counted.
    pub new_tokens: u32,
    /// Old turns left out because the context was full.
    pub dropped_turns: u32,
    /// From submission to the first text.
    pub time_to_first_token: Duration,
    /// From submission to the end.
    pub total: Duration,
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; the wait is an estimate from the current speed.
    #[error("overloaded: {queued} requests wait; a slot is free in about {wait:?}")]
    Overloaded {
        /// Requests waiting.
        queued: usize,
        /// Estimated wait.
        wait: Duration,
    },
    /// This owner has a request in flight.
    #[error("this conversation already has an answer in flight")]
    Busy,
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
}

/// Why an accepted request gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The caller cancelled, or stopped reading.
    #[error("cancelled")]
    Cancelled,
    /// The time limit passed.
    #[error("the time limit passed before the answer was complete")]
    Expired,
    /// Even without old turns the prompt does not fit.
    #[error("the prompt needs {needed} tokens and the context holds {available}")]
    PromptTooLong {
        /// Tokens of prefix, newest turn, tail and answer.
        needed: usize,
        /// Tokens of one sequence.
        available: usize,
    },
    /// A request that breaks a bound the engine asserts.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// The model failed on this batch; other requests are not affected by a retry.
    #[error("the model failed: {0}")]
    Backend(String),
}

/// What was loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// `general.name`, or the file's name.
    pub name: String,
    /// `general.architecture`.
    pub architecture: String,
    /// The GGUF's own chat template (Jinja), if it has one.
    pub chat_template: Option<String>,
    /// Text of the BOS token, empty if none; templates may name it.
    pub bos_text: String,
    /// Text of the EOS token.
    pub eos_text: String,
    /// Vocabulary size.
    pub vocabulary: u32,
    /// Tokens that one sequence can hold in this engine.
    pub context_tokens: u32,
    /// Whether an adapter is applied, and which.
    pub adapter: Option<String>,
}

/// Gauges and counters, all since start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineStatus {
    /// Requests waiting for a slot.
    pub queued: usize,
    /// Requests being prefilled or decoded.
    pub active: usize,
    /// Steps made.
    pub steps: u64,
    /// Prompt tokens computed (not reused).
    pub prompt_tokens: u64,
    /// Prompt tokens found in the KV cache.
    pub reused_tokens: u64,
    /// Tokens generated.
    pub new_tokens: u64,
    /// Lanes evicted.
    pub evictions: u64,
    /// Conversations that came back from ordinary memory into a lane.
    pub restored: u64,
    /// Bytes of ordinary memory that conversations without a lane take.
    pub host_bytes: u64,
}

/// How the KV cache is laid out in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvLayout {
    /// Split where the cells suffice for a stream for every slot and prefix, or where the model attends to a sliding window;
    /// else unified.
    Auto,
    /// One pool of cells for all lanes: a shared prefix takes no room, and a long conversation takes what a short one
    /// leaves. But every token looks at the cells of all: with 32 conversations that doubles a small model's work. Not for
    /// models with a sliding window: llama.cpp hands on the cells that a conversation's window has left behind, and its lane
    /// would no longer be what the engine takes it for.
    Unified,
    /// A stream of `context_tokens` cells for each lane: a step reads only the lanes that take part. A shared prefix is
    /// copied.
    Split,
}

/// How the keys of the KV cache are stored. Values keep 16 bits: in eight they were slower to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvKeys {
    /// Eight bits where a processor computes and the model's heads allow it, or else 16.
    Auto,
    /// 16-bit floating point.
    F16,
    /// Blocks of 32 eight-bit integers with a scale: half the memory, and a processor multiplies them faster.
    Q8_0,
}

/// How the engine is set up. Every number has a checked range in the binary's config.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The GGUF file.
    pub model: PathBuf,
    /// LoRA adapter and its scale.
    pub adapter: Option<(PathBuf, f32)>,
    /// Tokens that one sequence may hold.
    pub context_tokens: u32,
    /// Most sequences decoding at once.
    pub slots: u32,
    /// Lanes kept with their KV (active ones included), at most 256 minus the prefixes.
    pub lanes: u32,
    /// KV cells in all; lanes share them. 0: as many as suit the machine's memory ([`crate::memory::cells`]).
    pub kv_tokens: u32,
    /// How those cells are laid out.
    pub kv_layout: KvLayout,
    /// How the cells' keys are stored.
    pub kv_keys: KvKeys,
    /// Most tokens in one step.
    pub batch_tokens: u32,
    /// Requests that may wait.
    pub queue: usize,
    /// Threads of decode and prefill; 0 chooses by measurement.
    pub threads: u32,
    /// Gap between two tokens of one answer that scheduling aims at.
    pub inter_token_target: Duration,
    /// Layers on the GPU; 0 is CPU only.
    pub gpu_layers: u32,
    /// Ordinary memory for conversations that lost their lane, in percent of what is free once everything is loaded.
    pub cache_ram_percent: u32,
}

impl EngineConfig {
    /// A set-up for a small model on a CPU.
    pub fn for_model(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            adapter: None,
            context_tokens: 2048,
            slots: 32,
            lanes: 64,
            kv_tokens: 0,
            kv_layout: KvLayout::Auto,
            kv_keys: KvKeys::Auto,
            batch_tokens: 512,
            queue: 256,
            threads: 0,
            inter_token_target: Duration::from_millis(150),
            gpu_layers: 0,
            cache_ram_percent: 20,
        }
    }
}
