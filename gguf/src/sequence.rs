//! One request's life in the engine: its prompt as tokens, its sampler, its text, its outcome.

use std::time::{Duration, Instant};

use crate::backend::{Token, Vocabulary};
use crate::fit::Fitted;
use crate::mailbox::{Job, Reply};
use crate::request::{Completion, Finish, GenerateError, OwnerId, Request, Stop, Usage};
use crate::sampler::Sampler;
use crate::text::{Pushed, STOP_STRING_BYTES, STOP_STRINGS, TextStream};

/// A request that has a lane.
#[derive(Debug)]
pub struct Sequence {
    /// Whose it is.
    pub owner: OwnerId,
    /// After this it leaves.
    pub deadline: Instant,
    /// The prompt.
    pub prompt: Vec<Token>,
    /// Most tokens of the answer.
    pub max_new_tokens: usize,
    /// When it got its lane.
    pub admitted: Instant,
    submitted: Instant,
    min_new_tokens: usize,
    new_tokens: usize,
    sampler: Sampler,
    text: TextStream,
    usage: Usage,
    reply: Reply,
}

/// What a sampled token means for the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is computed next.
    Token(Token),
    /// The answer is whole.
    Finished(Finish),
    /// The caller has gone, or does not read.
    Cancelled,
    /// No token can be drawn from these logits.
    Nothing,
}

impl Sequence {
    /// A request with its prompt made to fit; `reused` of its tokens are in the KV cache.
    pub fn new(job: Job, fitted: Fitted, reused: usize, vocabulary: &Vocabulary, now: Instant) -> Self {
        let Job { request, submitted, reply } = job;
        let mut sampler = Sampler::new(request.sampling, request.seed, vocabulary.len());
        sampler.observe(&fitted.tokens);
        let usage = Usage {
            prompt_tokens: count(fitted.tokens.len()),
            reused_tokens: count(reused),
            dropped_turns: count(fitted.dropped_turns),
            ..Usage::default()
        };
        Self {
            owner: request.owner,
            deadline: deadline(submitted, request.time_limit),
            prompt: fitted.tokens,
            max_new_tokens: request.max_new_tokens as usize,
            admitted: now,
            submitted,
            min_new_tokens: request.min_new_tokens as usize,
            new_tokens: 0,
            sampler,
            text: TextStream::new(request.stop),
            usage,
            reply,
        }
    }

    /// Prompt tokens that were not in the KV cache when it came.
    pub fn to_compute(&self) -> usize {
        self.prompt.len().saturating_sub(self.usage.reused_tokens as usize)
    }

    /// Draws a token from logits. The sequence is unchanged but for its random numbers.
    pub fn draw(&mut self, logits: &[f32], vocabulary: &Vocabulary) -> Option<Token> {
        let early = self.new_tokens < self.min_new_tokens;
        let text = &self.text;
        self.sampler.sample(logits, |token| early && text.is_stop(vocabulary, token))
    }

    /// Takes in what was drawn: text goes out, and the answer may end. `now` is when the token was there.
    pub fn accept(&mut self, drawn: Option<Token>, vocabulary: &Vocabulary, now: Instant) -> Next {
        let Some(token) = drawn else { return Next::Nothing };
        if self.text.push(vocabulary, token) == Pushed::Ends {
            return if self.show(true, now) { Next::Finished(Finish::Stop) } else { Next::Cancelled };
        }
        self.new_tokens += 1;
        self.sampler.observe(&[token]);
        let last = self.new_tokens >= self.max_new_tokens;
        if !self.show(last, now) {
            return Next::Cancelled;
        }
        if last { Next::Finished(Finish::Length) } else { Next::Token(token) }
    }

    fn show(&mut self, all: bool, now: Instant) -> bool {
        let piece = if all { self.text.finish() } else { self.text.take() };
        if self.usage.time_to_first_token == Duration::ZERO && (piece.is_some() || all) {
            self.usage.time_to_first_token = now.saturating_duration_since(self.submitted);
        }
        piece.is_none_or(|piece| self.reply.send(piece))
    }

    /// Whether the caller has gone or asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.reply.is_cancelled()
    }

    /// Tokens generated so far.
    pub fn new_tokens(&self) -> usize {
        self.new_tokens
    }

    /// The answer is whole.
    pub fn finish(self, finish: Finish, now: Instant) {
        let usage = Usage {
            new_tokens: count(self.new_tokens),
            total: now.saturating_duration_since(self.submitted),
            ..self.usage
        };
        let text = self.text.text().to_owned();
        self.reply.finish(Ok(Completion { text, finish, usage }));
    }

    /// There will be no whole answer.
    pub fn fail(self, error: GenerateError) {
        self.reply.finish(Err(error));
    }
}

/// When a request leaves unanswered. A limit beyond what the clock can count is a year.
pub fn deadline(submitted: Instant, limit: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    submitted + limit.min(YEAR)
}

/// Checks whatever the engine assumes of a request.
///
/// # Errors
/// [`GenerateError::Invalid`] that names the value.
pub fn validate(request: &Request, context: usize) -> Result<(), GenerateError> {
    let Request { sampling, stop, min_new_tokens, max_new_tokens, .. } = request;
    let invalid = |text: String| Err(GenerateError::Invalid(text));
    if *max_new_tokens == 0 || *max_new_tokens as usize >= context {
        return invalid(format!("max_new_tokens is {max_new_tokens}, and must be 1 to {}", context.saturating_sub(1)));
    }
    if min_new_tokens > max_new_tokens {
        return invalid(format!("min_new_tokens is {min_new_tokens}, above max_new_tokens {max_new_tokens}"));
    }
    let positive = |value: f32| value.is_finite() && value > 0.0;
    if !positive(sampling.temperature) {
        return invalid(format!("temperature is {}, and must be above 0", sampling.temperature));
    }
    if !positive(sampling.repetition_penalty) {
        return invalid(format!("repetition_penalty is {}, and must be above 0", sampling.repetition_penalty));
    }
    if !positive(sampling.top_p) || sampling.top_p > 1.0 {
        return invalid(format!("top_p is {}, and must be above 0 and at most 1", sampling.top_p));
    }
    validate_stop(stop)
}

fn validate_stop(stop: &Stop) -> Result<(), GenerateError> {
    let invalid = |text: String| Err(GenerateError::Invalid(text));
    if stop.strings.len() > STOP_STRINGS || stop.tokens.len() > STOP_STRINGS {
        return invalid(format!("more than {STOP_STRINGS} stop strings or stop tokens"));
    }
    if stop.strings.iter().any(|text| text.is_empty() || text.len() > STOP_STRING_BYTES) {
        return invalid(format!("a stop string is empty or longer than {STOP_STRING_BYTES} bytes"));
    }
    Ok(())
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
