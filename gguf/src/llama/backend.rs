//! llama.cpp behind the engine's [`Backend`].

use std::time::{Duration, Instant};

use llama_cpp_2::DecodeError as LlamaDecodeError;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::context::Context;
use crate::backend::{Backend, Batch, DecodeError, LaneId, Limits, Token, Vocabulary};

/// A model in a context, as the batching engine sees it.
pub struct LlamaBackend<'model> {
    context: Context<'model>,
    vocabulary: Vocabulary,
    batch: LlamaBatch<'static>,
    /// Batch index of every row of logits.
    rows: Vec<i32>,
    /// Whether the original's tokenizer normalises text (NFC) before it splits it, which llama.cpp never does.
    normalises: bool,
}

impl<'model> LlamaBackend<'model> {
    /// Takes over a context whose KV is empty.
    pub fn new(context: Context<'model>) -> Self {
        let batch = LlamaBatch::new(context.limits.batch_tokens, 1);
        let vocabulary = vocabulary(context.model);
        let normalises = context.model.meta_val_str("general.architecture").is_ok_and(|name| name == "gptneox");
        Self { context, vocabulary, batch, rows: Vec::new(), normalises }
    }

    fn fill(&mut self, batch: &Batch) -> Result<(), DecodeError> {
        self.batch.clear();
        self.rows.clear();
        for (index, entry) in (0_i32..).zip(batch.entries()) {
            let token = LlamaToken(i32::try_from(entry.token).unwrap_or(i32::MAX));
            let position = i32::try_from(entry.position).unwrap_or(i32::MAX);
            self.batch
                .add(token, position, &[i32::from(entry.lane.0)], entry.logits)
                .map_err(|error| DecodeError::Failed(error.to_string()))?;
            if entry.logits {
                self.rows.push(index);
            }
        }
        Ok(())
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
        self.context.context.decode(&mut self.batch).map_err(|error| match error {
            LlamaDecodeError::NoKvCacheSlot => DecodeError::NoRoom,
            other => DecodeError::Failed(other.to_string()),
        })?;
        // A GPU's work is done when its logits are here.
        self.context.context.synchronize();
        Ok(started.elapsed())
    }

    fn logits(&self, row: usize) -> &[f32] {
        let logits = self.context.context.get_logits_ith(self.rows[row]);
        &logits[..logits.len().min(self.vocabulary.len())]
    }

    fn share(&mut self, from: LaneId, to: LaneId, tokens: usize) {
        let end = u32::try_from(tokens).unwrap_or(u32::MAX);
        // Both ids are below n_seq_max: they came from this backend's limits.
        let shared = self.context.context.kv_cache_seq_cp(i32::from(from.0), i32::from(to.0), Some(0), Some(end));
        debug_assert!(shared.is_ok());
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
