//! A model without a model: one token a byte, a scripted continuation, a cost per token instead of time.
//!
//! It keeps what every lane holds, so that tests can compare it with the engine's logs, and refuses what llama.cpp
//! would abort on.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use crate::backend::{Backend, Batch, DecodeError, LaneId, Limits, Token, Vocabulary};

/// The end-of-generation token of the scripted vocabulary; 0 to 255 are bytes.
pub const END: Token = 256;

/// What follows a sequence of tokens: the next token gets logit 20, all others lower ones.
pub type Script = Box<dyn FnMut(&[Token]) -> Token + Send>;

/// A scripted [`Backend`].
pub struct ScriptedBackend {
    limits: Limits,
    vocabulary: Vocabulary,
    script: Script,
    lanes: Vec<Vec<Token>>,
    /// Positions whose KV is spoilt, one a lane.
    spoilt: Vec<Option<usize>>,
    rows: Vec<Vec<f32>>,
    cost: Cost,
    failures: VecDeque<Option<DecodeError>>,
    /// How many of the coming lanes cannot be saved or restored.
    stubborn: usize,
    /// Whether each lane has a stream of its own.
    streams: bool,
    /// Sizes of the batches decoded so far: tokens and rows.
    pub batches: Vec<(usize, usize)>,
    /// Tokens decoded so far.
    pub tokens: usize,
    tokenised: Cell<usize>,
}

/// What a batch costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Any batch.
    pub batch: Duration,
    /// Each token of it.
    pub token: Duration,
}

impl Default for ScriptedBackend {
    fn default() -> Self {
        Self::new(Limits { batch_tokens: 64, lanes: 16, cells: 2048, context: 256, vocabulary: 257 })
    }
}

impl ScriptedBackend {
    /// A backend with these bounds (the vocabulary is always 257) that says `hello` and ends.
    pub fn new(limits: Limits) -> Self {
        let bytes = (0..=u8::MAX).map(|byte| (vec![byte], false)).chain([(Vec::new(), true)]);
        Self {
            limits: Limits { vocabulary: 257, ..limits },
            vocabulary: Vocabulary::new(bytes, None),
            script: Box::new(says("hello")),
            lanes: vec![Vec::new(); limits.lanes],
            spoilt: vec![None; limits.lanes],
            rows: Vec::new(),
            cost: Cost { batch: Duration::from_millis(1), token: Duration::from_micros(100) },
            failures: VecDeque::new(),
            stubborn: 0,
            streams: false,
            batches: Vec::new(),
            tokens: 0,
            tokenised: Cell::new(0),
        }
    }

    /// With another script.
    #[must_use]
    pub fn with_script(mut self, script: impl FnMut(&[Token]) -> Token + Send + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    /// With other costs.
    #[must_use]
    pub fn with_cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// With a stream for each lane: what is between those of a batch is computed with them.
    #[must_use]
    pub fn with_streams(self) -> Self {
        Self { streams: true, ..self }
    }

    /// With a byte that opens every sequence.
    #[must_use]
    pub fn with_bos(mut self, bos: u8) -> Self {
        let bytes = (0..=u8::MAX).map(|byte| (vec![byte], false)).chain([(Vec::new(), true)]);
        self.vocabulary = Vocabulary::new(bytes, Some(Token::from(bos)));
        self
    }

    /// Lets the coming batches fail: one entry a batch, None succeeds.
    pub fn fail(&mut self, failures: impl IntoIterator<Item = Option<DecodeError>>) {
        self.failures.extend(failures);
    }

    /// Lets so many of the coming saves and restores fail.
    pub fn refuse_copies(&mut self, count: usize) {
        self.stubborn = count;
    }

    /// Spoils the KV of a lane's newest token, as a fault of the machine would: no row behind it holds a number, nor in any lane
    /// that it is shared with from now on.
    pub fn spoil(&mut self, lane: LaneId) {
        self.spoilt[lane.index()] = self.lanes[lane.index()].len().checked_sub(1);
    }

    fn refuses(&mut self) -> bool {
        let refuses = self.stubborn > 0;
        self.stubborn = self.stubborn.saturating_sub(1);
        refuses
    }

    /// Whether a coming batch will fail.
    pub fn will_fail(&self) -> bool {
        self.failures.iter().any(Option::is_some)
    }

    /// Texts of which it has made tokens.
    pub fn tokenised(&self) -> usize {
        self.tokenised.get()
    }

    /// What a lane holds.
    pub fn lane(&self, lane: LaneId) -> &[Token] {
        &self.lanes[lane.index()]
    }
}

/// A script that answers every prompt ending in `>>` with `text`, then ends.
pub fn says(text: &str) -> impl FnMut(&[Token]) -> Token + Send + 'static {
    let text = text.as_bytes().to_vec();
    move |tokens| {
        let opened = tokens.windows(2).rposition(|pair| pair == [u32::from(b'>'), u32::from(b'>')]);
        let said = opened.map_or(tokens.len(), |at| tokens.len() - at - 2);
        text.get(said).map_or(END, |byte| Token::from(*byte))
    }
}

impl Backend for ScriptedBackend {
    type Saved = Vec<Token>;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn tokenize(&self, text: &str, special: bool, _begins: bool, out: &mut Vec<Token>) {
        self.tokenised.set(self.tokenised.get() + 1);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if special && rest.starts_with("<end>") {
                out.push(END);
                rest = &rest["<end>".len()..];
            } else {
                let (character, after) = rest.split_at(first.len_utf8());
                out.extend(character.bytes().map(Token::from));
                rest = after;
            }
        }
    }

    fn decode(&mut self, batch: &Batch) -> Result<Duration, DecodeError> {
        assert!(!batch.entries().is_empty(), "an empty batch aborts llama.cpp");
        assert!(batch.entries().len() <= self.limits.batch_tokens, "more than n_batch tokens abort llama.cpp");
        if let Some(Some(failure)) = self.failures.pop_front() {
            // Nobody knows how far it came.
            for entry in batch.entries().iter().step_by(2) {
                self.lanes[entry.lane.index()].push(END);
            }
            return Err(failure);
        }
        self.rows.clear();
        for entry in batch.entries() {
            let lane = &mut self.lanes[entry.lane.index()];
            assert_eq!(entry.position, lane.len(), "positions of lane {} have a gap", entry.lane.0);
            lane.push(entry.token);
            if entry.logits {
                let next = (self.script)(lane);
                let mut row: Vec<f32> = (0..257_u16).map(|token| -f32::from(token) / 64.0).collect();
                row[next as usize] = 20.0;
                if self.spoilt[entry.lane.index()].is_some() {
                    row.fill(f32::NAN);
                }
                self.rows.push(row);
            }
        }
        self.batches.push((batch.entries().len(), batch.rows()));
        self.tokens += batch.entries().len();
        let tokens = u32::try_from(batch.entries().len()).unwrap_or(u32::MAX);
        Ok(self.cost.batch + self.cost.token * tokens)
    }

    fn alongside(&mut self, lanes: &[LaneId], waiting: &[LaneId]) -> Vec<LaneId> {
        let (Some(first), Some(last)) = (lanes.iter().min(), lanes.iter().max()) else { return Vec::new() };
        let between = |lane: &LaneId| self.streams && (*first..*last).contains(lane);
        waiting.iter().copied().filter(between).collect()
    }

    fn logits(&self, row: usize) -> &[f32] {
        &self.rows[row]
    }

    fn share(&mut self, from: LaneId, to: LaneId, tokens: usize) {
        assert!(self.lanes[to.index()].is_empty(), "lane {} is not empty", to.0);
        self.lanes[to.index()] = self.lanes[from.index()][..tokens].to_vec();
        self.spoilt[to.index()] = self.spoilt[from.index()].filter(|position| *position < tokens);
    }

    fn truncate(&mut self, lane: LaneId, keep: usize) {
        self.lanes[lane.index()].truncate(keep);
        self.spoilt[lane.index()] = self.spoilt[lane.index()].filter(|position| *position < keep);
    }

    fn len(&self, lane: LaneId) -> usize {
        self.lanes[lane.index()].len()
    }

    fn save(&mut self, lane: LaneId) -> Option<(Vec<Token>, u64)> {
        let held = self.lanes[lane.index()].clone();
        let bytes = held.len() as u64;
        (!self.refuses()).then_some((held, bytes))
    }

    fn restore(&mut self, lane: LaneId, saved: &Vec<Token>, tokens: usize) -> bool {
        assert!(self.lanes[lane.index()].is_empty(), "lane {} is not empty", lane.0);
        assert_eq!(saved.len(), tokens, "what was saved is what is wanted back");
        if self.refuses() {
            return false;
        }
        self.lanes[lane.index()].clone_from(saved);
        true
    }
}
