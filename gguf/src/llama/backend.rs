//! llama.cpp behind the engine's [`Backend`].

use std::time::{Duration, Instant};

use llama_cpp_2::DecodeError as LlamaDecodeError;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::context::Context;
use super::openmp;
use crate::backend::{Backend, Batch, DecodeError, Entry, LaneId, Limits, Token, Vocabulary};
use crate::streams::{Padding, padding};
use crate::team::Team;

/// A model in a context, as the batching engine sees it.
pub struct LlamaBackend<'model> {
    context: Context<'model>,
    vocabulary: Vocabulary,
    batch: LlamaBatch<'static>,
    /// Batch index of every row of logits.
    rows: Vec<i32>,
    /// Lanes that the last batch was padded with, and what they held before.
    padded: Vec<(LaneId, usize)>,
    /// Whether all threads compute the next step; none where there is one, or where that cannot be changed.
    team: Option<Team>,
    /// Whether the original's tokenizer normalises text (NFC) before it splits it, which llama.cpp never does.
    normalises: bool,
}

impl<'model> LlamaBackend<'model> {
    /// Takes over a context whose KV is empty.
    pub fn new(context: Context<'model>) -> Self {
        let padding = if context.split { context.limits.lanes } else { 0 };
        let batch = LlamaBatch::new(context.limits.batch_tokens + padding, 1);
        let vocabulary = vocabulary(context.model);
        let normalises = context.model.meta_val_str("general.architecture").is_ok_and(|name| name == "gptneox");
        let team = (context.threads > 1 && openmp::can_change()).then(Team::default);
        Self { context, vocabulary, batch, rows: Vec::new(), padded: Vec::new(), team, normalises }
    }

    /// Takes over the batch; with split streams in the order of their lanes, as llama.cpp wants them, and padded.
    fn fill(&mut self, batch: &Batch) -> Result<(), DecodeError> {
        self.batch.clear();
        self.rows.clear();
        self.rows.resize(batch.rows(), 0);
        let mut row = 0;
        let numbered = batch.entries().iter().map(|entry| {
            let own = entry.logits.then_some(row);
            row += usize::from(entry.logits);
            (*entry, own)
        });
        let mut entries: Vec<(Entry, Option<usize>)> = numbered.collect();
        if self.context.split {
            entries.sort_by_key(|(entry, _)| entry.lane);
            self.pad(&mut entries);
        }
        for (index, (entry, row)) in (0_i32..).zip(entries) {
            let token = LlamaToken(i32::try_from(entry.token).unwrap_or(i32::MAX));
            let position = i32::try_from(entry.position).unwrap_or(i32::MAX);
            self.batch
                .add(token, position, &[i32::from(entry.lane.0)], entry.logits)
                .map_err(|error| DecodeError::Failed(error.to_string()))?;
            if let Some(row) = row {
                self.rows[row] = index;
            }
        }
        Ok(())
    }

    /// Adds a token in each lane of the [`padding`]; it leaves again after the batch.
    fn pad(&mut self, entries: &mut Vec<(Entry, Option<usize>)>) {
        let Some(token) = entries.first().map(|(entry, _)| entry.token) else { return };
        let mut taking_part: Vec<LaneId> = entries.iter().map(|(entry, _)| entry.lane).collect();
        taking_part.dedup();
        let limits = self.context.limits;
        let held = |lane: LaneId| self.len(lane);
        let how = if self.context.on_gpu { Padding::GPU } else { Padding::CPU };
        let padding = padding(how, &taking_part, limits.lanes, |lane| held(lane) < limits.context);
        self.padded = padding.into_iter().map(|lane| (lane, held(lane))).collect();
        entries.extend(self.padded.iter().map(|&(lane, position)| {
            // Its logits are computed like the others': graphs are used again only where the counts are the same.
            (Entry { token, position, lane, logits: true }, None)
        }));
        entries.sort_by_key(|(entry, _)| entry.lane);
    }

    /// Forgets what the last batch was padded with.
    fn unpad(&mut self) {
        for (lane, held) in std::mem::take(&mut self.padded) {
            self.truncate(lane, held);
        }
    }
}

impl Backend for LlamaBackend<'_> {
    fn limits(&self) -> Limits {
        self.context.limits
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn tokenize(&self, text: &str, special: bool, out: &mut Vec<Token>) {
        let normal: String;
        let text = if self.normalises && !is_nfc(text) {
            normal = text.nfc().collect();
            normal.as_str()
        } else {
            text
        };
        let tokens = self.context.model.vocab().tokenize(text.as_bytes(), false, special);
        out.extend(tokens.into_iter().filter_map(|token| Token::try_from(token.0).ok()));
    }

    fn decode(&mut self, batch: &Batch) -> Result<Duration, DecodeError> {
        let started = Instant::now();
        self.fill(batch)?;
        if let Some(team) = &mut self.team {
            openmp::use_all_threads(team.whole(batch.entries().len()));
        }
        let decoded = self.context.context.decode(&mut self.batch).map_err(|error| match error {
            LlamaDecodeError::NoKvCacheSlot => DecodeError::NoRoom,
            other => DecodeError::Failed(other.to_string()),
        });
        self.unpad();
        decoded?;
        // A GPU's work is done when its logits are here.
        self.context.context.synchronize();
        let elapsed = started.elapsed();
        if let Some(team) = &mut self.team {
            team.observe(batch.entries().len(), elapsed);
        }
        Ok(elapsed)
    }

    fn logits(&self, row: usize) -> &[f32] {
        let logits = self.context.context.get_logits_ith(self.rows[row]);
        &logits[..logits.len().min(self.vocabulary.len())]
    }

    fn share(&mut self, from: LaneId, to: LaneId, tokens: usize) {
        // Both ids are below n_seq_max: they came from this backend's limits. Between streams llama.cpp copies whole ones
        // only, and aborts on ranges.
        let end = if self.context.split { None } else { Some(u32::try_from(tokens).unwrap_or(u32::MAX)) };
        let start = end.map(|_| 0);
        let shared = self.context.context.kv_cache_seq_cp(i32::from(from.0), i32::from(to.0), start, end);
        debug_assert!(shared.is_ok());
        if self.context.split {
            self.truncate(to, tokens);
        }
    }

    fn truncate(&mut self, lane: LaneId, keep: usize) {
        let keep = u32::try_from(keep).unwrap_or(u32::MAX);
        // In an attention cache every part of a sequence can be removed.
        let removed = self.context.context.clear_kv_cache_seq(Some(u32::from(lane.0)), Some(keep), None);
        debug_assert_eq!(removed, Ok(true));
    }

    fn len(&self, lane: LaneId) -> usize {
        usize::try_from(self.context.context.kv_cache_seq_pos_max(i32::from(lane.0)) + 1).unwrap_or(0)
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
