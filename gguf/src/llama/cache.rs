//! The KV cache of a context: how its keys are stored, how many cells it has, how many streams it is split into.

use llama_cpp_2::context::params::KvCacheType;
use llama_cpp_2::model::LlamaModel;

use super::{StartError, device};
use crate::memory::{self, Wanted};
use crate::request::{EngineConfig, KvKeys, KvLayout};

/// Most sequence ids of a context in llama.cpp.
pub(super) const MOST_LANES: u32 = 256;
/// Streams that no lane has: one, so that two lanes can change places.
pub(super) const SPARE_STREAMS: u32 = 1;
/// Values to a scale in llama.cpp's eight-bit blocks: keys come in whole ones.
const BLOCK: u32 = 32;
/// Memory of a machine that does not say: a small one's.
const UNKNOWN_MEMORY: u64 = 4 << 30;

/// The type that keys are stored in.
///
/// # Errors
/// [`StartError::Setting`] where eight bits were asked for and a head is no multiple of a block.
pub(super) fn keys(model: &LlamaModel, config: &EngineConfig) -> Result<KvCacheType, StartError> {
    let head = head(model);
    // llama.cpp opens no context for latent attention (MLA) where keys and values are not stored alike.
    let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
    let is_latent = model.meta_val_str(&format!("{architecture}.attention.key_length_mla")).is_ok();
    match config.kv_keys {
        KvKeys::Q8_0 if is_latent => Err(StartError::Setting(
            "kv_keys is \"q8_0\", and this model needs keys and values that are stored alike; take \"auto\"".into(),
        )),
        KvKeys::Auto if config.gpu_layers == 0 && !is_latent && head.is_multiple_of(BLOCK) => Ok(KvCacheType::Q8_0),
        KvKeys::Q8_0 if head.is_multiple_of(BLOCK) => Ok(KvCacheType::Q8_0),
        KvKeys::Q8_0 => Err(StartError::Setting(format!(
            "kv_keys is \"q8_0\", which needs heads of a multiple of {BLOCK}, and this model's have {head}; take \"auto\""
        ))),
        KvKeys::Auto | KvKeys::F16 => Ok(KvCacheType::F16),
    }
}

/// Bytes of a cell in all layers; values have two each.
pub(super) fn cell_bytes(model: &LlamaModel, keys: KvCacheType) -> f64 {
    let key = if keys == KvCacheType::Q8_0 { f64::from(BLOCK + 2) / f64::from(BLOCK) } else { 2.0 };
    f64::from(model.n_layer()) * f64::from(head(model) * model.n_head_kv()) * (key + 2.0)
}

/// Values of a head's key.
fn head(model: &LlamaModel) -> u32 {
    let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
    let told = model.meta_val_str(&format!("{architecture}.attention.key_length")).ok();
    let even = u32::try_from(model.n_embd()).unwrap_or(0) / model.n_head().max(1);
    told.and_then(|text| text.parse().ok()).unwrap_or(even).max(1)
}

/// The same set-up with its cells counted, where they were left to the machine's memory.
///
/// # Errors
/// [`StartError::Setting`] as [`keys`], and where the model cannot have the layout.
pub(super) fn with_cells(model: &LlamaModel, config: &EngineConfig) -> Result<EngineConfig, StartError> {
    let (stream, fewest, most) = shape(model, config);
    let layout = layout(model, config)?;
    let needed = stream.saturating_mul(fewest);
    let is_forced = layout != config.kv_layout && fewest <= MOST_LANES;
    if config.kv_tokens >= if is_forced { needed } else { 1 } {
        return Ok(config.clone());
    }
    let cell = cell_bytes(model, keys(model, config)?) as u64;
    let memory = memory(config.gpu_layers > 0).unwrap_or(UNKNOWN_MEMORY);
    if is_forced {
        check_streams(u64::from(needed) * cell, memory, config.slots)?;
    }
    if config.kv_tokens > 0 {
        tracing::info!(
            needed,
            "more KV cells than kv_tokens: a model with a sliding window needs a stream for each lane"
        );
        return Ok(EngineConfig { kv_tokens: needed, ..config.clone() });
    }
    let splits = layout != KvLayout::Unified && fewest <= MOST_LANES;
    let context = config.context_tokens.min(model.n_ctx_train()).max(most);
    let wanted = Wanted { stream, fewest: splits.then_some(fewest), most, context, cell };
    let kv_tokens = match layout {
        // Asked for by name, or the only one possible: as many as it needs.
        KvLayout::Split => memory::cells(wanted, memory).max(needed),
        KvLayout::Auto | KvLayout::Unified => memory::cells(wanted, memory),
    };
    Ok(EngineConfig { kv_tokens, ..config.clone() })
}

/// Refuses streams that the model needs and the memory does not hold: they are written at once, so that the system would end the
/// process without a word.
fn check_streams(bytes: u64, memory: u64, slots: u32) -> Result<(), StartError> {
    if bytes <= memory {
        return Ok(());
    }
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    Err(StartError::Setting(format!(
        "this model attends to a sliding window, so each of {slots} slots and {} prefixes needs a KV stream of its own: {:.1} GB in all, \
         and {:.1} GB are free; lower slots or context_tokens",
        super::PREFIXES,
        gigabytes(bytes),
        gigabytes(memory)
    )))
}

/// Tokens that some layers attend to at most: what is older leaves a lane's KV there.
pub(super) fn window(model: &LlamaModel) -> Option<u32> {
    let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
    let told = model.meta_val_str(&format!("{architecture}.attention.sliding_window")).ok();
    let told = told.map(|tokens| tokens.parse().unwrap_or(1));
    let window = match architecture.as_str() {
        // llama.cpp has a window for these also where their file names none …
        "gemma2" => Some(told.unwrap_or(4096)),
        "exaone4" if model.n_layer() == 64 => Some(told.unwrap_or(4096)),
        "llama4" if told != Some(0) => Some(8192),
        // … and none for this, whatever its file names.
        "phi3" => None,
        _ => told,
    };
    window.filter(|tokens| *tokens > 0)
}

/// The layout that was asked for, as far as the model leaves a choice: none where a conversation may grow longer than its window.
fn layout(model: &LlamaModel, config: &EngineConfig) -> Result<KvLayout, StartError> {
    let is_windowed = window(model).is_some_and(|tokens| tokens <= config.context_tokens.min(model.n_ctx_train()));
    match config.kv_layout {
        KvLayout::Auto if is_windowed => Ok(KvLayout::Split),
        // In one pool llama.cpp takes a cell that one lane no longer attends to for any other, and purges what lies before it.
        KvLayout::Unified if is_windowed => Err(StartError::Setting(
            "kv_layout is \"unified\", and this model attends to a sliding window, whose cells llama.cpp would take from one \
             conversation for another; take \"auto\" or \"split\""
                .into(),
        )),
        layout => Ok(layout),
    }
}

/// Bytes that are free where the cache will be.
fn memory(on_gpu: bool) -> Option<u64> {
    if !on_gpu {
        return memory::available();
    }
    let free: u64 = device::gpus().ok()?.iter().map(|gpu| gpu.memory_free as u64).sum();
    (free > 0).then_some(free).or_else(memory::available)
}

/// Streams beside those of the slots.
fn other_streams() -> u32 {
    u32::try_from(super::PREFIXES).unwrap_or(0) + SPARE_STREAMS
}

/// Cells of a stream, and the fewest and most streams of a split cache.
fn shape(model: &LlamaModel, config: &EngineConfig) -> (u32, u32, u32) {
    let others = other_streams();
    let stream = stream_tokens(config.context_tokens.min(model.n_ctx_train()));
    let most = config.lanes.saturating_add(others).min(MOST_LANES);
    (stream, config.slots.saturating_add(others), most)
}

/// Cells of one lane's own stream: llama.cpp rounds them up to this multiple.
pub(super) fn stream_tokens(context_tokens: u32) -> u32 {
    context_tokens.next_multiple_of(256)
}

/// How many streams the KV cache is split into; none where it is unified.
///
/// # Errors
/// [`StartError::Setting`] where a split was asked for, or the model needs one, and the cells do not suffice; where the model
/// cannot have the layout.
pub(super) fn streams(model: &LlamaModel, config: &EngineConfig) -> Result<Option<u32>, StartError> {
    let (stream, needed, most) = shape(model, config);
    let streams = (config.kv_tokens / stream.max(1)).min(most);
    let layout = layout(model, config)?;
    let why = if layout == config.kv_layout { "" } else { " (which this model needs for its sliding window)" };
    match layout {
        KvLayout::Unified => Ok(None),
        KvLayout::Auto if needed > MOST_LANES => Ok(None),
        KvLayout::Split if needed > MOST_LANES => Err(StartError::Setting(format!(
            "slots is {}, and with kv_layout = \"split\"{why} may be {} at most",
            config.slots,
            MOST_LANES - other_streams()
        ))),
        KvLayout::Auto if streams < needed => {
            let wanted = u64::from(needed) * u64::from(stream);
            tracing::info!(
                wanted,
                "the KV cache stays unified: more kv_tokens would give every lane a stream of its own"
            );
            Ok(None)
        }
        KvLayout::Split if streams < needed => Err(StartError::Setting(format!(
            "kv_tokens is {}, and kv_layout = \"split\"{why} needs {}: {stream} for each of {} slots and {} prefixes, and once more",
            config.kv_tokens,
            u64::from(needed) * u64::from(stream),
            config.slots,
            super::PREFIXES,
        ))),
        KvLayout::Auto | KvLayout::Split => Ok(Some(streams)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_the_memory_does_not_hold_are_refused_with_both_figures() {
        // Gemma 2 2b's 81.5 kB a cell, 49 streams of 2,048.
        let bytes = 49 * 2048 * 81_536;
        assert!(check_streams(bytes, 64_000_000_000, 32).is_ok());
        let error = check_streams(bytes, 4_000_000_000, 32).unwrap_err().to_string();
        assert!(error.contains("8.2 GB in all, and 4.0 GB are free; lower slots"), "{error}");
    }
}
