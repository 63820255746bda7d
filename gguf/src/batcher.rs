//! The engine's step: requests leave and join, a batch is planned, computed and sampled, text goes out.
//!
//! One call of [`Batcher::step`] is one decode of the model: of everybody's next token, or of prompts (`plan.rs`). Everything in it is
//! synchronous and takes the time as an argument, so that a scripted backend tests all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::admission::Waiting;
use crate::backend::{Backend, Batch, DecodeError, LaneId, Limits, Token};
use crate::host_cache::HostCache;
use crate::lanes::Lanes;
use crate::mailbox::{Job, Outlook};
use crate::pace::Pace;
use crate::pieces::PieceCache;
use crate::plan::{Part, Whose};
use crate::request::{EngineStatus, GenerateError, OwnerId};
use crate::scheduler::Served;
use crate::sequence::{Next, Sequence};

/// The batching engine over a backend.
pub struct Batcher<B: Backend> {
    pub(crate) backend: B,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) lanes: Lanes,
    pub(crate) host: HostCache<B::Saved>,
    pub(crate) pieces: PieceCache,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) active: Vec<Active>,
    pub(crate) served: Served,
    pub(crate) status: EngineStatus,
    pub(crate) batch: Batch,
    pub(crate) pace: Pace,
    pub(crate) turn: u64,
    /// Steps that began to compute prompts after one that decoded.
    pub(crate) beginnings: u64,
    /// When it made its first step.
    pub(crate) begun: Option<Instant>,
    /// Newcomers whose prompts were finished since the last step that decoded.
    pub(crate) newcomers: usize,
    outlook: Outlook,
}

/// What can be set of a [`Batcher`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most sequences at once.
    pub slots: usize,
    /// Most rows of one decode: beyond it the decoding sequences take turns.
    pub rows: usize,
    /// Most prompts of one decode. Where each has a stream of its own, llama.cpp makes a pass over the weights for each anyway,
    /// and one a decode lets its sequence answer before the others are computed.
    pub prompts: usize,
    /// Most shared prefixes kept.
    pub prefixes: usize,
    /// Fewest rows whose tokens are drawn in parallel: a few cost less than waking threads for them.
    pub parallel_rows: usize,
    /// Gap between two tokens of one answer to aim at.
    pub inter_token_target: Duration,
    /// Most bytes of ordinary memory for conversations that lost their lane.
    pub host_bytes: u64,
}

/// A sequence with its lane.
pub(crate) struct Active {
    pub(crate) sequence: Sequence,
    pub(crate) lane: LaneId,
    pub(crate) phase: Phase,
    /// Seconds that each token of its prompt's last piece took.
    pub(crate) each: Option<f64>,
    /// Nothing of its own was in the KV cache when it came.
    pub(crate) newcomer: bool,
    /// Its owner was forgotten meanwhile, or its KV is of no use: the lane is not kept.
    pub(crate) forgotten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The shared prefix is being computed; `shared` of its tokens will be taken over.
    AwaitPrefix { prefix: LaneId, shared: usize },
    /// The prompt is being computed.
    Prefill,
    /// `next` is to be computed; `since` is the turn in which its predecessor was.
    Decode { next: Token, since: u64 },
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Answers' tokens computed.
    pub rows: usize,
    /// Prompt tokens computed.
    pub prefill: usize,
    /// What the model took.
    pub elapsed: Duration,
}

impl<B: Backend> Batcher<B> {
    /// An engine without requests.
    pub fn new(backend: B, settings: Settings) -> Self {
        let limits = backend.limits();
        let rows = settings.rows.clamp(1, limits.batch_tokens);
        Self {
            limits,
            settings: Settings {
                rows,
                prompts: settings.prompts.max(1),
                slots: settings.slots.clamp(1, limits.lanes.saturating_sub(1).max(1)),
                ..settings
            },
            lanes: Lanes::new(limits),
            host: HostCache::new(settings.host_bytes),
            pieces: PieceCache::default(),
            waiting: Vec::new(),
            active: Vec::new(),
            served: Served::default(),
            status: EngineStatus::default(),
            batch: Batch::new(limits),
            pace: Pace::new(settings.inter_token_target, limits.batch_tokens),
            turn: 0,
            beginnings: 0,
            begun: None,
            newcomers: 0,
            outlook: Outlook::default(),
            backend,
        }
    }

    /// Makes one step at time `now`: at most one decode of the model.
    pub fn step(&mut self, now: Instant) -> Step {
        self.let_leave(now);
        self.admit(now);
        self.begin_after_prefix();
        let (parts, rows, prefill) = self.plan();
        if parts.is_empty() {
            return Step::default();
        }
        self.status.steps += 1;
        match self.backend.decode(&self.batch) {
            Ok(elapsed) => {
                self.lanes.commit(&self.batch);
                self.learn(&parts, rows, prefill, elapsed);
                self.status.prompt_tokens += prefill as u64;
                self.sample(&parts, now + elapsed);
                Step { rows, prefill, elapsed }
            }
            Err(error) => {
                self.lanes.roll_back(&mut self.backend, &self.batch);
                self.recover(&parts, &error);
                Step::default()
            }
        }
    }

    /// Whether there is nothing to do until a request arrives.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.waiting.is_empty()
    }

    /// Gauges and counters.
    pub fn status(&self) -> EngineStatus {
        EngineStatus {
            queued: self.waiting.len(),
            active: self.active.len(),
            evictions: self.lanes.evictions(),
            host_bytes: self.host.bytes(),
            ..self.status
        }
    }

    /// What a newcomer has to expect.
    pub fn outlook(&self, now: Instant) -> Outlook {
        Outlook { wait_each: self.wait_each(now), ..self.outlook }
    }

    /// How long each waiting request adds to a newcomer's wait, about: as learnt, or while no answer has ended yet, by what the oldest
    /// has taken so far. Never zero where somebody waits.
    fn wait_each(&self, now: Instant) -> Duration {
        let shown = || {
            let ages = self.active.iter().map(|active| now.saturating_duration_since(active.sequence.admitted));
            ages.max().unwrap_or_default() / u32::try_from(self.active.len().max(1)).unwrap_or(u32::MAX)
        };
        let learnt = self.outlook.wait_each;
        let each = if learnt.is_zero() { shown() } else { learnt };
        each.max(if self.waiting.is_empty() { Duration::ZERO } else { Duration::from_millis(1) })
    }

    /// The backend, for tests and measurements.
    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Checks that every lane's log equals its KV and every cell is accounted for.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self) -> Result<(), String> {
        self.lanes.check(&self.backend)
    }

    /// How far the logits behind a lane's log lie from those of the same log computed anew, at most, over all lanes; for an engine
    /// that is idle. Computed together with others, they differ by rounding alone.
    ///
    /// # Errors
    /// A batch could not be made or computed.
    pub fn recompute(&mut self) -> Result<f32, String> {
        let lanes = (0..self.limits.lanes).filter_map(|lane| u16::try_from(lane).ok()).map(LaneId);
        let mut furthest = 0.0_f32;
        for lane in lanes {
            let log = self.lanes.log(lane).to_vec();
            let Some(before) = log.len().checked_sub(1) else { continue };
            let held = self.logits_behind(lane, &log, before)?;
            let anew = self.logits_behind(lane, &log, 0)?;
            furthest = held.iter().zip(&anew).map(|(one, other)| (one - other).abs()).fold(furthest, f32::max);
        }
        Ok(furthest)
    }

    /// Computes a lane's log from token `from` on, and what follows it.
    fn logits_behind(&mut self, lane: LaneId, log: &[Token], from: usize) -> Result<Vec<f32>, String> {
        self.backend.truncate(lane, from);
        for (first, piece) in
            (from..).step_by(self.limits.batch_tokens).zip(log[from..].chunks(self.limits.batch_tokens))
        {
            self.batch.clear();
            for (index, token) in piece.iter().enumerate() {
                let last = first + index + 1 == log.len();
                self.batch.push(lane, first, *token, last).map_err(|error| error.to_string())?;
            }
            self.backend.decode(&self.batch).map_err(|error| error.to_string())?;
        }
        Ok(self.backend.logits(0).to_vec())
    }

    /// Takes in a request; it gets a slot in a coming step.
    pub fn accept(&mut self, job: Job) {
        if let Some(waiting) = Waiting::new(job, self.limits.context) {
            self.waiting.push(waiting);
        }
    }

    /// Drops everything remembered of an owner. A request that waits or is being answered goes on, and leaves nothing behind.
    pub fn forget(&mut self, owner: OwnerId) {
        self.lanes.forget(&mut self.backend, owner);
        self.host.forget(owner);
        self.served.forget(owner);
        // Whose texts these are is not known.
        self.pieces.clear();
        for active in self.active.iter_mut().filter(|active| active.sequence.owner == owner) {
            active.forgotten = true;
        }
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.job.request.owner == owner) {
            waiting.forgotten = true;
        }
    }

    /// Cancelled and expired requests give their slots back.
    fn let_leave(&mut self, now: Instant) {
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.job.reply.is_cancelled() {
                waiting.job.reply.finish(Err(GenerateError::Cancelled));
            } else if now >= waiting.deadline {
                waiting.job.reply.finish(Err(GenerateError::Expired));
            } else {
                self.waiting.push(waiting);
            }
        }
        for index in (0..self.active.len()).rev() {
            let sequence = &self.active[index].sequence;
            if sequence.is_cancelled() {
                self.leave(index).fail(GenerateError::Cancelled);
            } else if now >= sequence.deadline {
                self.leave(index).fail(GenerateError::Expired);
            }
        }
    }

    /// Takes a sequence out; its lane stays for the next turn.
    fn leave(&mut self, index: usize) -> Sequence {
        let Active { sequence, lane, phase, forgotten, .. } = self.active.remove(index);
        if let Phase::AwaitPrefix { prefix, .. } = phase {
            self.lanes.unpin(prefix);
        }
        self.lanes.unpin(lane);
        if forgotten || self.lanes.log(lane).is_empty() {
            self.lanes.empty(&mut self.backend, lane);
        }
        self.served.add(sequence.owner, sequence.new_tokens());
        sequence
    }

    /// Sequences whose shared prefix is whole take it over.
    fn begin_after_prefix(&mut self) {
        for active in &mut self.active {
            let Phase::AwaitPrefix { prefix, shared } = active.phase else { continue };
            if self.lanes.log(prefix).len() >= shared {
                self.lanes.share(&mut self.backend, prefix, active.lane, shared);
                self.lanes.unpin(prefix);
                active.phase = Phase::Prefill;
            }
        }
    }

    /// What the step took teaches the pace of the next ones.
    fn learn(&mut self, parts: &[Part], rows: usize, prefill: usize, elapsed: Duration) {
        if rows > 0 {
            return self.pace.decoded(rows + prefill, elapsed);
        }
        let decoding = self.active.iter().filter(|active| matches!(active.phase, Phase::Decode { .. })).count();
        self.pace.prefilled(decoding.min(self.settings.rows), prefill, elapsed);
        if let [Part { whose: Whose::Sequence(index), .. }] = parts {
            self.active[*index].each = Some(elapsed.as_secs_f64() / prefill.max(1) as f64);
        }
    }

    /// Draws the next token of every row, in parallel, and lets the sequences go on or end.
    fn sample(&mut self, parts: &[Part], now: Instant) {
        let mut row_of: Vec<Option<usize>> = vec![None; self.active.len()];
        for part in parts {
            if let Whose::Sequence(index) = part.whose {
                row_of[index] = part.row;
            }
        }
        let backend = &self.backend;
        let vocabulary = backend.vocabulary();
        let mut drawing: Vec<(usize, &mut Sequence, &[f32])> = self
            .active
            .iter_mut()
            .enumerate()
            .filter_map(|(index, active)| row_of[index].map(|row| (index, &mut active.sequence, backend.logits(row))))
            .collect();
        let parallel = drawing.len() >= self.settings.parallel_rows;
        let draw = |(index, sequence, logits): &mut (usize, &mut Sequence, &[f32])| {
            (*index, sequence.draw(logits, vocabulary))
        };
        let drawn: Vec<(usize, Option<Token>)> =
            if parallel { drawing.par_iter_mut().map(draw).collect() } else { drawing.iter_mut().map(draw).collect() };

        for (index, token) in drawn.into_iter().rev() {
            let active = &mut self.active[index];
            let before = active.sequence.new_tokens();
            let next = active.sequence.accept(token, self.backend.vocabulary(), now);
            self.status.new_tokens += (active.sequence.new_tokens() - before) as u64;
            match next {
                Next::Token(next) => active.phase = Phase::Decode { next, since: self.turn },
                Next::Finished(finish) => {
                    let sequence = self.leave(index);
                    self.learn_wait(now.saturating_duration_since(sequence.admitted));
                    sequence.finish(finish, now);
                }
                Next::Cancelled => self.leave(index).fail(GenerateError::Cancelled),
                // Whatever is computed behind such KV is as bad: kept, it would fail every answer of this conversation, and shared,
                // those of all others.
                Next::Nothing => {
                    active.forgotten = true;
                    let lane = active.lane;
                    self.lanes.empty_prefixes_of(&mut self.backend, lane);
                    self.leave(index).fail(GenerateError::Backend("the model gave no usable logits".into()));
                }
            }
        }
    }

    /// One was answered in this time, together with those that still are and itself. While others wait there are no more of them at
    /// once, be it for want of cells; else there might be.
    fn learn_wait(&mut self, service: Duration) {
        let at_once = if self.waiting.is_empty() { self.settings.slots } else { self.active.len() + 1 };
        let each = service / u32::try_from(at_once).unwrap_or(u32::MAX);
        let learn = |known: &mut Duration, new: Duration| {
            *known = if known.is_zero() { new } else { (*known * 7 + new) / 8 };
        };
        learn(&mut self.outlook.wait_each, each);
        learn(&mut self.outlook.answer, service);
    }

    /// A batch failed. Where room was missing and some can be made, the next step tries again; else its requests fail,
    /// and their lanes are dropped.
    fn recover(&mut self, parts: &[Part], error: &DecodeError) {
        tracing::warn!(%error, "a batch failed");
        if *error == DecodeError::NoRoom && self.evict() {
            return;
        }
        let failed = |index: usize, active: &Active| {
            parts.iter().any(|part| match (part.whose, active.phase) {
                (Whose::Sequence(part), _) => part == index,
                (Whose::Prefix(lane), Phase::AwaitPrefix { prefix, .. }) => lane == prefix,
                (Whose::Prefix(_), _) => false,
            })
        };
        for index in (0..self.active.len()).rev() {
            if failed(index, &self.active[index]) {
                self.active[index].forgotten = true;
                self.leave(index).fail(GenerateError::Backend(error.to_string()));
            }
        }
        for part in parts {
            if let Whose::Prefix(lane) = part.whose {
                self.lanes.empty(&mut self.backend, lane);
            }
        }
    }
}

/// The prefix of a request, to compare and to share.
pub(crate) type Prefix = Arc<[Token]>;
