//! Loading: a model, its adapter, and a context whose bounds are known.

use std::num::NonZeroU32;
use std::path::Path;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::token::LlamaToken;

use super::cache::{MOST_LANES, SPARE_STREAMS, cell_bytes, keys, stream_tokens, streams, with_cells};
use super::{StartError, library};
use crate::backend::Limits;
use crate::convert::preflight_adapter;
use crate::request::EngineConfig;

/// A context with its model and bounds.
pub struct Context<'model> {
    /// The model it computes.
    pub model: &'model LlamaModel,
    pub(super) context: LlamaContext<'model>,
    /// What may be asked of it.
    pub limits: Limits,
    /// Whether every lane has a stream of its own ([`KvLayout::Split`]).
    pub split: bool,
    /// Whether a GPU computes.
    pub(super) on_gpu: bool,
    /// Bytes of a cell of its KV cache, in all layers.
    pub(super) cell_bytes: f64,
    /// Threads that compute, at most.
    pub(super) threads: i32,
}

/// Most threads of one context.
const MOST_THREADS: usize = 512;

/// Loads a GGUF model, `gpu_layers` of it onto the GPU. With none a GPU computes nothing at all: llama.cpp would otherwise hand it the
/// products of long prompts, weights and all, which is no reference for what a GPU computes, and slow.
///
/// # Errors
/// [`StartError::Llama`].
pub fn load_model(path: &Path, gpu_layers: u32) -> Result<LlamaModel, StartError> {
    let mut params = LlamaModelParams::default().with_n_gpu_layers(gpu_layers);
    if gpu_layers == 0 {
        params = params.with_devices(&[]).map_err(|error| StartError::llama("leave the GPUs alone", error))?;
    }
    LlamaModel::load_from_file(library()?, path, &params).map_err(|error| {
        StartError::llama(
            format!("load {}", path.display()),
            format!(
                "{error}; the file may be cut short or of an architecture it does not know (--log debug says more)"
            ),
        )
    })
}

/// Loads the adapter that the configuration names. Adapters come before contexts.
pub(super) fn load_adapter(
    model: &mut LlamaModel,
    config: &EngineConfig,
) -> Result<Option<LlamaLoraAdapter>, StartError> {
    let Some((path, _)) = &config.adapter else { return Ok(None) };
    check_adapter(path)?;
    model.lora_adapter_init(path).map(Some).map_err(|error| {
        StartError::llama(
            format!("load the adapter {}", path.display()),
            format!("{error}; was it made for this model?"),
        )
    })
}

/// Refuses an adapter that would end the process inside llama.cpp.
pub(super) fn check_adapter(path: &Path) -> Result<(), StartError> {
    let checked = preflight_adapter(path).map(drop);
    checked.map_err(|error| StartError::Setting(format!("the adapter cannot be used: {error}")))
}

/// Opens a context for `config`, with the adapter at its scale.
///
/// # Errors
/// [`StartError`] where a setting cannot work or llama.cpp refuses.
pub fn open<'model>(
    model: &'model LlamaModel,
    adapter: Option<&mut LlamaLoraAdapter>,
    config: &EngineConfig,
) -> Result<Context<'model>, StartError> {
    if model.meta_val_str("general.architecture").is_ok_and(|architecture| architecture == "t5") {
        return Err(StartError::Setting(
            "this model is an encoder with a decoder (as T5), which reads a question before it begins to answer; choose one that \
             generates text token by token"
                .into(),
        ));
    }
    if model.is_recurrent() || model.is_hybrid() {
        return Err(StartError::Setting(
            "this model keeps a recurrent state, which cannot be shared or shortened; choose a transformer".into(),
        ));
    }
    let lanes = config.lanes.saturating_add(u32::try_from(super::PREFIXES).unwrap_or(0));
    if config.lanes == 0 || lanes > MOST_LANES {
        return Err(StartError::Setting(format!(
            "lanes is {}, and must be 1 to {}",
            config.lanes,
            MOST_LANES as usize - super::PREFIXES
        )));
    }
    if config.slots == 0 || config.slots > config.lanes {
        return Err(StartError::Setting(format!(
            "slots is {}, and must be 1 to lanes ({})",
            config.slots, config.lanes
        )));
    }
    let config = &with_cells(model, config)?;
    let context_tokens = config.context_tokens.min(model.n_ctx_train());
    if context_tokens < 64 || config.kv_tokens < context_tokens {
        return Err(StartError::Setting(format!(
            "kv_tokens is {} and context_tokens {context_tokens}; one conversation needs at least 64, and must fit the cache",
            config.kv_tokens
        )));
    }
    if config.batch_tokens < config.slots || config.batch_tokens < 16 {
        return Err(StartError::Setting(format!(
            "batch_tokens is {}, and must be at least 16 and at least slots ({})",
            config.batch_tokens, config.slots
        )));
    }
    if config.kv_tokens < lanes {
        return Err(StartError::Setting(format!(
            "kv_tokens is {}, and must be at least {lanes}, the lanes",
            config.kv_tokens
        )));
    }
    let (streams, keys) = (streams(model, config)?, keys(model, config)?);
    let (sequences, cells) = match streams {
        Some(streams) => (streams, streams * stream_tokens(context_tokens)),
        None => (lanes, config.kv_tokens),
    };
    // llama.cpp makes room for the logits of every sequence, and aborts where n_batch is smaller. Split streams are padded
    // with at most one token for each.
    let batch = config.batch_tokens.max(sequences) + streams.unwrap_or(0);
    let threads = i32::try_from(threads(config.threads)).unwrap_or(1);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(cells))
        .with_n_batch(batch)
        .with_n_ubatch(batch)
        .with_n_seq_max(sequences)
        .with_kv_unified(streams.is_none())
        .with_type_k(keys)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_no_perf(true);
    let mut context = model.new_context(library()?, params).map_err(|error| {
        StartError::llama("open a context", format!("{error}; is there memory for kv_tokens = {}?", config.kv_tokens))
    })?;
    if let (Some(adapter), Some((path, scale))) = (adapter, &config.adapter) {
        context
            .lora_adapter_set(adapter, *scale)
            .map_err(|error| StartError::llama(format!("apply the adapter {}", path.display()), error))?;
    }
    check_memory(&mut context)?;
    let lanes = sequences - streams.map_or(0, |_| SPARE_STREAMS);
    let limits = Limits {
        batch_tokens: config.batch_tokens.min(context.n_batch()).min(context.n_ubatch()) as usize,
        lanes: lanes as usize,
        cells: match streams {
            Some(streams) => context.n_ctx().min(cells) / streams * lanes,
            None => context.n_ctx().min(cells),
        } as usize,
        context: context_tokens as usize,
        vocabulary: usize::try_from(model.n_vocab()).unwrap_or(0),
    };
    let (split, on_gpu) = (streams.is_some(), config.gpu_layers > 0);
    Ok(Context { model, context, limits, split, on_gpu, cell_bytes: cell_bytes(model, keys), threads })
}

/// Computes a token and looks for it in the KV cache. Encoders and diffusion models have none: llama.cpp computes each of their
/// batches by itself without a word, and the answer would follow from the newest token alone.
fn check_memory(context: &mut LlamaContext<'_>) -> Result<(), StartError> {
    let mut batch = LlamaBatch::new(1, 1);
    batch.add(LlamaToken(0), 0, &[0], true).map_err(|error| StartError::llama("fill a batch", error))?;
    context.decode(&mut batch).map_err(|error| StartError::llama("compute a first token", error))?;
    let held = context.kv_cache_seq_pos_max(0) + 1;
    // This sequence alone: to clear the whole cache is to write all of its memory.
    let emptied = context.clear_kv_cache_seq(Some(0), None, None);
    emptied.map_err(|error| StartError::llama("empty the KV cache", error))?;
    if held == 1 {
        return Ok(());
    }
    Err(StartError::Setting(
        "this model has no KV cache, so it cannot go on with a text: it is an encoder (as BERT) or a diffusion model; choose one \
         that generates text token by token"
            .into(),
    ))
}

/// Threads to compute with: as asked, or as many as there are cores.
fn threads(asked: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if asked == 0 { cores } else { (asked as usize).min(MOST_THREADS) }
}
