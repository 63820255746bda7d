//! A GGUF against what its original computes, in a context that adds no error of its own: single-precision KV, no flash
//! attention, one sequence.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use unicode_normalization::UnicodeNormalization;

use super::border::Border;
use super::context::check_adapter;
use super::{StartError, library, load_model};
use crate::convert::{Expected, ExpectedPrompt, Progress, preflight};
use crate::request::Piece;

/// What to compare.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The model.
    pub model: PathBuf,
    /// Adapter in GGUF, and its scale.
    pub adapter: Option<(PathBuf, f32)>,
    /// `expected.json`.
    pub expected: PathBuf,
    /// Which variant of it.
    pub variant: String,
}

/// How far a GGUF is from its original.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verification {
    /// For each prompt, in the file's order.
    pub prompts: Vec<PromptCheck>,
}

/// How far it is after one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptCheck {
    /// The prompt's name.
    pub name: String,
    /// Whether its text gives the expected token ids.
    pub tokens_equal: bool,
    /// Largest distance of a logit of the last position.
    pub distance: f32,
    /// Greedy steps that were compared: those before the first near-tie.
    pub compared: usize,
    /// Of these, how many gave the expected token.
    pub agreed: usize,
    /// The original's margin where the first other token was drawn.
    pub parted_at_margin: Option<f32>,
}

/// Below this margin two sound implementations may draw different tokens; what follows is not comparable.
pub const NEAR_TIE: f32 = 0.1;

impl Verification {
    /// The largest distance of a logit.
    pub fn distance(&self) -> f32 {
        self.prompts.iter().map(|prompt| prompt.distance).fold(0.0, f32::max)
    }

    /// Whether all token ids are equal, no logit is further than `limit`, and greedy decoding parts only where that limit
    /// allows it.
    pub fn passes(&self, limit: f32) -> bool {
        let parted = self.prompts.iter().filter_map(|prompt| prompt.parted_at_margin);
        self.distance() <= limit
            && self.prompts.iter().all(|prompt| prompt.tokens_equal)
            && parted.fold(0.0, f32::max) <= (2.0 * limit).max(NEAR_TIE)
    }
}

/// Compares a GGUF with what its original computes.
///
/// # Errors
/// [`StartError`] when a file is damaged or llama.cpp refuses it.
pub fn verify(options: &VerifyOptions, progress: &mut dyn Progress) -> Result<Verification, StartError> {
    let refuse = |error: crate::convert::ConvertError| StartError::Setting(error.to_string());
    let expected = Expected::read(&options.expected, &options.variant).map_err(refuse)?;
    let mut exact = Exact::open(&options.model, options.adapter.as_ref())?;
    progress.start("comparing", expected.prompts.len() as u64);
    let mut checks = Vec::new();
    exact.with(|run| {
        for prompt in &expected.prompts {
            checks.push(check(run, prompt, &options.variant)?);
            progress.advance(1);
        }
        Ok(())
    })?;
    Ok(Verification { prompts: checks })
}

fn check(run: &mut Run, prompt: &ExpectedPrompt, variant: &str) -> Result<PromptCheck, StartError> {
    let expected = &prompt.variants[variant];
    let tokens_equal = prompt.text.is_empty() || run.tokenize(&prompt.text) == prompt.ids;
    let mut logits = run.prompt(&prompt.ids)?.to_vec();
    let distance = expected.distance(&logits);
    let (mut compared, mut agreed, mut parted_at_margin) = (0, 0, None);
    for (token, margin) in expected.greedy24.iter().zip(&expected.greedy24_margin) {
        if *margin < NEAR_TIE {
            break;
        }
        compared += 1;
        if largest(&logits) != Some(*token) {
            parted_at_margin = Some(*margin);
            break;
        }
        agreed += 1;
        logits = run.next(*token)?.to_vec();
    }
    Ok(PromptCheck { name: prompt.name.clone(), tokens_equal, distance, compared, agreed, parted_at_margin })
}

fn largest(logits: &[f32]) -> Option<u32> {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?.0;
    u32::try_from(best).ok()
}

/// A model, with its adapter, for exact computation.
pub struct Exact {
    model: LlamaModel,
    adapter: Option<(PathBuf, f32)>,
}

/// Longest prompt with its continuation.
const MOST_TOKENS: u32 = 4096;

impl Exact {
    /// Loads a model, on the CPU.
    ///
    /// # Errors
    /// [`StartError`] when the file is damaged, would end the process, or llama.cpp refuses it.
    pub fn open(model: &Path, adapter: Option<&(PathBuf, f32)>) -> Result<Self, StartError> {
        preflight(model).map_err(|error| StartError::Setting(error.to_string()))?;
        if let Some((adapter, _)) = adapter {
            check_adapter(adapter)?;
        }
        Ok(Self { model: load_model(model, 0)?, adapter: adapter.cloned() })
    }

    /// Opens a context and works in it.
    ///
    /// # Errors
    /// [`StartError`] when llama.cpp refuses, or those of `work`.
    pub fn with<T>(&mut self, work: impl FnOnce(&mut Run) -> Result<T, StartError>) -> Result<T, StartError> {
        let mut adapter = match &self.adapter {
            Some((path, _)) => {
                let loaded = self.model.lora_adapter_init(path);
                Some(loaded.map_err(|error| StartError::llama(format!("load the adapter {}", path.display()), error))?)
            }
            None => None,
        };
        let tokens = MOST_TOKENS.min(self.model.n_ctx_train().max(1));
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(tokens))
            .with_n_batch(tokens)
            .with_n_ubatch(tokens)
            .with_n_seq_max(1)
            .with_type_k(KvCacheType::F32)
            .with_type_v(KvCacheType::F32)
            .with_flash_attention_policy(llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED);
        let context = self.model.new_context(library()?, params);
        let mut context = context.map_err(|error| StartError::llama("open a context", error))?;
        if let (Some(adapter), Some((path, scale))) = (&mut adapter, &self.adapter) {
            let set = context.lora_adapter_set(adapter, *scale);
            set.map_err(|error| StartError::llama(format!("apply the adapter {}", path.display()), error))?;
        }
        work(&mut Run { model: &self.model, border: Border::of(&self.model), context, tokens, position: 0 })
    }
}

/// One sequence in an exact context.
pub struct Run<'model> {
    model: &'model LlamaModel,
    border: Border,
    pub(super) context: LlamaContext<'model>,
    /// The context's length.
    pub(super) tokens: u32,
    position: u32,
}

impl Run<'_> {
    /// Token ids of a text, control tokens recognised. Normalised first (NFC), which llama.cpp leaves to its caller.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenize_piece(&Piece::template(text), true)
    }

    /// Token ids of a prompt's piece, its first or one behind that.
    pub fn tokenize_piece(&self, piece: &Piece, begins: bool) -> Vec<u32> {
        let text: String = piece.text.nfc().collect();
        let tokens = self.border.tokenize(self.model, text.as_bytes(), piece.special, begins);
        tokens.into_iter().filter_map(|token| u32::try_from(token.0).ok()).collect()
    }

    /// Starts anew with a prompt; the logits after its last token.
    ///
    /// # Errors
    /// [`StartError`] when a token is outside the vocabulary, or there are too many.
    pub fn prompt(&mut self, ids: &[u32]) -> Result<&[f32], StartError> {
        self.context.clear_kv_cache();
        self.position = 0;
        self.decode(ids)
    }

    /// Goes on by one token; the logits after it.
    ///
    /// # Errors
    /// As [`Run::prompt`].
    pub fn next(&mut self, id: u32) -> Result<&[f32], StartError> {
        self.decode(&[id])
    }

    fn decode(&mut self, ids: &[u32]) -> Result<&[f32], StartError> {
        let vocabulary = u32::try_from(self.model.n_vocab()).unwrap_or(0);
        if let Some(bad) = ids.iter().find(|id| **id >= vocabulary) {
            return Err(StartError::Setting(format!("token {bad} is outside the model's vocabulary of {vocabulary}")));
        }
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let end = self.position.saturating_add(count);
        if ids.is_empty() || end > self.tokens {
            return Err(StartError::Setting(format!("{end} tokens; 1 to {} are possible", self.tokens)));
        }
        let mut batch = LlamaBatch::new(ids.len(), 1);
        for (position, id) in (self.position..).zip(ids) {
            let (token, position) = (LlamaToken(id.cast_signed()), position.cast_signed());
            let last = position.cast_unsigned() + 1 == end;
            batch.add(token, position, &[0], last).map_err(|error| StartError::llama("fill a batch", error))?;
        }
        self.context.decode(&mut batch).map_err(|error| StartError::llama("compute a batch", error))?;
        self.position = end;
        Ok(self.context.get_logits_ith(batch.n_tokens() - 1))
    }
}
