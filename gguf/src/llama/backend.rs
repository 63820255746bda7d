//! llama.cpp behind the engine's [`Backend`].

use std::time::{Duration, Instant};

use llama_cpp_2::DecodeError as LlamaDecodeError;
use llama_cpp_2::context::session::{LlamaStateSeqFlags, SeqState};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::border::Border;
use super::cache::window;
use super::context::Context;
use super::openmp;
use crate::backend::{Backend, Batch, DecodeError, Entry, LaneId, Limits, Token, Vocabulary};
use crate::placement::{Costs, Placement, StreamId};
use crate::streams::{Padding, joining, padding};
use crate::team::Team;

/// A model in a context, as the batching engine sees it.
pub struct LlamaBackend<'model> {
    context: Context<'model>,
    vocabulary: Vocabulary,
    batch: LlamaBatch<'static>,
    /// Batch index of every row of logits.
    rows: Vec<i32>,
    /// Where each lane is, if every one has a stream of its own.
    placement: Option<Placement>,
    /// Streams copied to bring lanes together, since start.
    moves: u64,
    /// Passes over the weights, since start.
    passes: u64,
    /// Streams whose content llama.cpp will copy, or copy over, before the next batch: what is read or written there until
    /// then is lost.
    copying: Vec<StreamId>,
    /// Whether old tokens of a lane leave its KV (a sliding window), so that a copy could not be shortened.
    windowed: bool,
    /// Streams that the last batch was padded with, and what they held before.
    padded: Vec<(StreamId, usize)>,
    /// Whether all threads compute the next step; none where there is one, or where that cannot be changed.
    team: Option<Team>,
    /// Whether the original's tokenizer normalises text (NFC) before it splits it, which llama.cpp never does.
    normalises: bool,
    border: Border,
}

impl<'model> LlamaBackend<'model> {
    /// Takes over a context whose KV is empty.
    pub fn new(context: Context<'model>) -> Self {
        let lanes = context.limits.lanes;
        let placement = context.split.then(|| Placement::new(lanes, costs(&context)));
        let padding = placement.as_ref().map_or(0, Placement::streams);
        let batch = LlamaBatch::new(context.limits.batch_tokens + padding, 1);
        let vocabulary = vocabulary(context.model);
        let architecture = context.model.meta_val_str("general.architecture").unwrap_or_default();
        let windowed = window(context.model).is_some();
        let normalises = architecture == "gptneox";
        let border = Border::of(context.model);
        let team = (context.threads > 1 && openmp::can_change()).then(Team::default);
        Self {
            context,
            vocabulary,
            batch,
            rows: Vec::new(),
            placement,
            moves: 0,
            passes: 0,
            copying: Vec::new(),
            windowed,
            padded: Vec::new(),
            team,
            normalises,
            border,
        }
    }

    /// Streams copied since start, so that the lanes of a batch lie side by side.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Passes over the weights since start: one for each run of streams that follow each other in a batch, one for a batch where
    /// all lanes share a pool of cells.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// Takes over the batch; with split streams in their order, as llama.cpp wants them, side by side, and padded.
    fn fill(&mut self, batch: &Batch) -> Result<(), DecodeError> {
        self.batch.clear();
        self.rows.clear();
        self.rows.resize(batch.rows(), 0);
        if self.placement.is_some() {
            self.gather(batch);
        }
        let mut row = 0;
        let numbered = batch.entries().iter().map(|entry| {
            let own = entry.logits.then_some(row);
            row += usize::from(entry.logits);
            (self.sequence(entry.lane), *entry, own)
        });
        let mut entries: Vec<(StreamId, Entry, Option<usize>)> = numbered.collect();
        if self.placement.is_some() {
            entries.sort_by_key(|(stream, ..)| *stream);
            self.pad(&mut entries);
            let follows = |one: StreamId, next: StreamId| next.0 - one.0 <= 1;
            let runs = entries.chunk_by(|(one, ..), (next, ..)| follows(*one, *next)).count();
            self.passes += runs as u64;
        } else {
            self.passes += 1;
        }
        for (index, (stream, entry, row)) in (0_i32..).zip(entries) {
            let token = LlamaToken(i32::try_from(entry.token).unwrap_or(i32::MAX));
            let position = i32::try_from(entry.position).unwrap_or(i32::MAX);
            self.batch
                .add(token, position, &[i32::from(stream.0)], entry.logits)
                .map_err(|error| DecodeError::Failed(error.to_string()))?;
            if let Some(row) = row {
                self.rows[row] = index;
            }
        }
        Ok(())
    }

    /// The sequence id of a lane in llama.cpp: its stream's, or its own number where all share one pool of cells.
    fn sequence(&self, lane: LaneId) -> StreamId {
        self.placement.as_ref().map_or(StreamId(lane.0), |placement| placement.stream(lane))
    }

    /// Brings the lanes of a batch together.
    fn gather(&mut self, batch: &Batch) {
        let mut lanes: Vec<LaneId> = batch.entries().iter().map(|entry| entry.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let context = &self.context;
        let Some(placement) = &mut self.placement else { return };
        // Those that begin with this batch are empty still, and must not be given each other's place.
        let mut begun: Vec<StreamId> = Vec::new();
        for lane in batch.entries().iter().filter(|entry| entry.position == 0).map(|entry| entry.lane) {
            placement.settle(lane, |stream| held(context, stream) == 0 && !begun.contains(&stream));
            begun.push(placement.stream(lane));
        }
        if lanes.len() < batch.entries().len() {
            return placement.touch(&lanes);
        }
        let moves = placement.gather(&lanes, |stream| held(context, stream));
        self.moves += moves.len() as u64;
        for step in moves {
            self.copy(step.from, step.to);
            self.keep(step.from, 0);
        }
    }

    /// Puts an empty lane beside those of the last batch.
    fn settle(&mut self, lane: LaneId) {
        let context = &self.context;
        if let Some(placement) = &mut self.placement {
            placement.settle(lane, |stream| held(context, stream) == 0);
        }
    }

    /// Adds a token in each stream of the [`padding`]; it leaves again after the batch.
    fn pad(&mut self, entries: &mut Vec<(StreamId, Entry, Option<usize>)>) {
        let Some(&(_, first, _)) = entries.first() else { return };
        let mut taking_part: Vec<StreamId> = entries.iter().map(|(stream, ..)| *stream).collect();
        taking_part.dedup();
        if taking_part.len() < entries.len() {
            // A prompt; beside it a token of another stream would be a pass over the weights more.
            return;
        }
        let context = &self.context;
        let how = padding_of(context);
        let streams = self.placement.as_ref().map_or(0, Placement::streams);
        let can_pad = |stream: StreamId| held(context, stream) < context.limits.context;
        let padding = padding(how, &taking_part, streams, can_pad);
        self.padded = padding.into_iter().map(|stream| (stream, held(context, stream))).collect();
        entries.extend(self.padded.iter().map(|&(stream, position)| {
            // Its logits are computed like the others': graphs are used again only where the counts are the same.
            (stream, Entry { position, logits: true, ..first }, None)
        }));
        entries.sort_by_key(|(stream, ..)| *stream);
    }

    /// Forgets what the last batch was padded with.
    fn unpad(&mut self) {
        for (stream, held) in std::mem::take(&mut self.padded) {
            self.keep(stream, held);
        }
    }

    /// Drops all but the first `keep` tokens of a sequence.
    fn keep(&mut self, stream: StreamId, keep: usize) {
        let keep = u32::try_from(keep).unwrap_or(u32::MAX);
        // In an attention cache every part of a sequence can be removed.
        let removed = self.context.context.clear_kv_cache_seq(Some(u32::from(stream.0)), Some(keep), None);
        debug_assert_eq!(removed, Ok(true));
    }

    /// Copies what a stream holds to one that is empty.
    fn copy(&mut self, from: StreamId, to: StreamId) {
        if !self.copy_tokens(from, to) {
            self.copy_stream(from, to);
        }
    }

    /// Copies only the tokens that a stream holds, by way of ordinary memory: on a processor a conversation of 200 tokens is a
    /// tenth of its stream. False where it cannot be had so: nothing has happened then.
    fn copy_tokens(&mut self, from: StreamId, to: StreamId) -> bool {
        if self.context.on_gpu || self.windowed || [from, to].iter().any(|stream| self.copying.contains(stream)) {
            return false;
        }
        self.taken(from).is_some_and(|state| self.put(to, &state, held(&self.context, from)))
    }

    /// What a stream holds, in ordinary memory.
    fn taken(&self, stream: StreamId) -> Option<SeqState> {
        self.context.context.state_seq_get(i32::from(stream.0), LlamaStateSeqFlags::empty()).ok()
    }

    /// Makes what was taken, so many tokens, the content of an empty stream. Where it could not, the stream stays empty.
    fn put(&mut self, stream: StreamId, state: &SeqState, tokens: usize) -> bool {
        let copied = self.context.context.state_seq_set(state, i32::from(stream.0)).is_ok();
        let whole = copied && held(&self.context, stream) == tokens;
        if !whole {
            self.keep(stream, 0);
        }
        whole
    }

    /// Copies a whole stream. llama.cpp does it before the next batch, in the order of the calls.
    fn copy_stream(&mut self, from: StreamId, to: StreamId) {
        // Both ids are below n_seq_max: they came from the placement.
        let copied = self.context.context.kv_cache_seq_cp(i32::from(from.0), i32::from(to.0), None, None);
        debug_assert!(copied.is_ok());
        self.copying.extend([from, to]);
    }
}

/// Tokens that a sequence holds.
fn held(context: &Context<'_>, stream: StreamId) -> usize {
    usize::try_from(context.context.kv_cache_seq_pos_max(i32::from(stream.0)) + 1).unwrap_or(0)
}

fn padding_of(context: &Context<'_>) -> Padding {
    if context.on_gpu { Padding::GPU } else { Padding::CPU }
}

/// A run of streams more is a pass over the weights; a copied stream is read and written.
fn costs(context: &Context<'_>) -> Costs {
    let run = padding_of(context).widest_gap as f64 + 0.5;
    let passes = |bytes: f64| run * bytes / (context.model.size() as f64).max(1.0);
    if !context.on_gpu {
        return Costs { run, copy: LEAST_COPY, token: passes(COPYING * context.cell_bytes) };
    }
    let cells = context.limits.cells as f64 / context.limits.lanes.max(1) as f64;
    // A copy also makes llama.cpp build its graph anew: about what a row costs.
    Costs { run, copy: 1.0 + passes(2.0 * cells * context.cell_bytes), token: 0.0 }
}

/// Copying the tokens of a stream costs at least so many rows.
const LEAST_COPY: f64 = 0.25;
/// And their bytes as much as so many of the weights (2 cores, 250 tokens of a 135M model: 2 to 4 ms): room for them is cleared, they are
/// read and written twice, by one thread.
const COPYING: f64 = 10.0;

impl Backend for LlamaBackend<'_> {
    type Saved = SeqState;

    fn limits(&self) -> Limits {
        self.context.limits
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn tokenize(&self, text: &str, special: bool, begins: bool, out: &mut Vec<Token>) {
        let normal: String;
        let text = if self.normalises && !is_nfc(text) {
            normal = text.nfc().collect();
            normal.as_str()
        } else {
            text
        };
        let tokens = self.border.tokenize(self.context.model, text.as_bytes(), special, begins);
        out.extend(tokens.into_iter().filter_map(|token| Token::try_from(token.0).ok()));
    }

    fn decode(&mut self, batch: &Batch) -> Result<Duration, DecodeError> {
        let started = Instant::now();
        self.fill(batch)?;
        if let Some(team) = &mut self.team {
            let tokens = batch.entries().len();
            openmp::use_all_threads(team.whole(tokens, batch.rows() < tokens));
        }
        let decoded = self.context.context.decode(&mut self.batch).map_err(|error| match error {
            LlamaDecodeError::NoKvCacheSlot => DecodeError::NoRoom,
            other => DecodeError::Failed(other.to_string()),
        });
        self.unpad();
        decoded?;
        self.copying.clear();
        // A GPU's work is done when its logits are here.
        self.context.context.synchronize();
        let elapsed = started.elapsed();
        if let Some(team) = &mut self.team {
            let tokens = batch.entries().len();
            team.observe(tokens, batch.rows() < tokens, elapsed);
        }
        Ok(elapsed)
    }

    fn alongside(&mut self, lanes: &[LaneId], waiting: &[LaneId]) -> Vec<LaneId> {
        // On a GPU a step of as many rows as the one before takes over its graph; these want no logits, so there would be fewer.
        if self.context.on_gpu {
            return Vec::new();
        }
        let how = padding_of(&self.context);
        let Some(placement) = &mut self.placement else { return Vec::new() };
        // Whoever waits decodes soon, and is not to be moved out of the way.
        placement.touch(waiting);
        let stream = |lane: &LaneId| placement.stream(*lane);
        let joining = joining(how, lanes.iter().map(stream).collect(), waiting.iter().map(stream).collect());
        waiting.iter().copied().filter(|lane| joining.contains(&stream(lane))).collect()
    }

    fn logits(&self, row: usize) -> &[f32] {
        let logits = self.context.context.get_logits_ith(self.rows[row]);
        &logits[..logits.len().min(self.vocabulary.len())]
    }

    fn share(&mut self, from: LaneId, to: LaneId, tokens: usize) {
        if self.placement.is_none() {
            // Both ids are below n_seq_max: they came from this backend's limits.
            let (start, end) = (Some(0), Some(u32::try_from(tokens).unwrap_or(u32::MAX)));
            let shared = self.context.context.kv_cache_seq_cp(i32::from(from.0), i32::from(to.0), start, end);
            debug_assert!(shared.is_ok());
            return;
        }
        // Between streams llama.cpp copies whole ones only, and aborts on ranges.
        self.settle(to);
        self.copy(self.sequence(from), self.sequence(to));
        self.truncate(to, tokens);
    }

    fn truncate(&mut self, lane: LaneId, keep: usize) {
        self.keep(self.sequence(lane), keep);
    }

    fn len(&self, lane: LaneId) -> usize {
        held(&self.context, self.sequence(lane))
    }

    fn save(&mut self, lane: LaneId) -> Option<(SeqState, u64)> {
        let stream = self.sequence(lane);
        if self.windowed || self.copying.contains(&stream) {
            return None;
        }
        let state = self.taken(stream)?;
        let bytes = state.byte_len() as u64;
        Some((state, bytes))
    }

    fn restore(&mut self, lane: LaneId, saved: &SeqState, tokens: usize) -> bool {
        let (context, copying) = (&self.context, &self.copying);
        if let Some(placement) = &mut self.placement {
            placement.settle(lane, |stream| held(context, stream) == 0 && !copying.contains(&stream));
        }
        let stream = self.sequence(lane);
        if self.copying.contains(&stream) {
            return false;
        }
        self.put(stream, saved, tokens)
    }
}

fn vocabulary(model: &LlamaModel) -> Vocabulary {
    let vocab = model.vocab();
    let bos = Some(vocab.bos()).filter(|_| vocab.should_add_bos()).and_then(|bos| Token::try_from(bos.0).ok());
    let tokens = (0..vocab.n_tokens()).map(LlamaToken).map(|token| {
        // Control tokens have a name, not a text: `special = false` renders them as nothing.
        (vocab.token_to_piece(token, false, None), vocab.is_eog(token))
    });
    Vocabulary::new(tokens, bos)
}
