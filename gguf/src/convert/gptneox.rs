//! GPT-NeoX: which tensor of a checkpoint becomes which tensor of a GGUF, and in which order of rows.
//!
//! The fused attention projection is stored head by head (query, key, value of head 0, then of head 1 …); llama.cpp
//! reads all queries, then all keys, then all values. Everything else keeps its order.

use super::ConvertError;
use super::config::NeoxConfig;
use super::format::{GgmlType, MetaValue, Metadata, TensorPlan};
use super::layout::RowOrder;
use super::source::{Checkpoint, SourceTensor};

/// The architecture's name in GGUF.
pub(crate) const ARCHITECTURE: &str = "gptneox";

/// What an adapter must know of its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the residual stream.
    pub hidden: u64,
    /// Attention heads.
    pub heads: u64,
    /// Layers.
    pub layers: u64,
    /// Width of the feed-forward layer.
    pub feed_forward: u64,
}

impl Geometry {
    /// Of a checkpoint.
    pub fn of_config(config: &NeoxConfig) -> Self {
        Self { hidden: config.hidden, heads: config.heads, layers: config.layers, feed_forward: config.feed_forward }
    }

    /// Of a GGUF model.
    ///
    /// # Errors
    /// [`ConvertError`] when it is of another architecture or its sizes are missing or do not fit.
    pub fn of_metadata(metadata: &Metadata) -> Result<Self, ConvertError> {
        let refuse = |reason: String| Err(ConvertError::Unsupported(format!("the base GGUF {reason}")));
        match metadata.text("general.architecture") {
            Some(ARCHITECTURE) => {}
            other => {
                let other = super::error::shorten(other.unwrap_or("(none)"));
                return refuse(format!("is of architecture `{other}`; only {ARCHITECTURE} takes these adapters"));
            }
        }
        let size =
            |key: &str| metadata.integer(&format!("{ARCHITECTURE}.{key}")).filter(|size| (1..=1 << 20).contains(size));
        let sizes =
            (size("embedding_length"), size("attention.head_count"), size("block_count"), size("feed_forward_length"));
        match sizes {
            (Some(hidden), Some(heads), Some(layers), Some(feed_forward)) if hidden % heads == 0 => {
                Ok(Self { hidden, heads, layers, feed_forward })
            }
            _ => refuse("lacks its sizes, or they do not fit each other".to_owned()),
        }
    }

    /// Rows and columns of a matrix of a layer, by its name in GGUF.
    pub(crate) fn matrix(self, part: &str) -> (u64, u64) {
        match part {
            "attn_qkv" => (3 * self.hidden, self.hidden),
            "ffn_up" => (self.feed_forward, self.hidden),
            "ffn_down" => (self.hidden, self.feed_forward),
            _ => (self.hidden, self.hidden),
        }
    }

    /// How the rows of a part are ordered.
    pub(crate) fn order(self, part: &str) -> RowOrder {
        match part {
            "attn_qkv" => RowOrder::SplitHeads { heads: self.heads, head_size: self.hidden / self.heads },
            _ => RowOrder::AsIs,
        }
    }
}

/// Parts of a layer: name in the checkpoint, name in GGUF, whether it is a matrix.
pub(crate) const PARTS: [(&str, &str, bool); 6] = [
    ("input_layernorm", "attn_norm", false),
    ("attention.query_key_value", "attn_qkv", true),
    ("attention.dense", "attn_output", true),
    ("post_attention_layernorm", "ffn_norm", false),
    ("mlp.dense_h_to_4h", "ffn_up", true),
    ("mlp.dense_4h_to_h", "ffn_down", true),
];

/// One tensor to convert.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    pub(crate) plan: TensorPlan,
    /// Its name in the checkpoint.
    pub(crate) source: String,
    pub(crate) order: RowOrder,
}

/// Maps a whole checkpoint; every tensor that the config implies must be there with its exact shape, and no other.
pub(crate) fn map(config: &NeoxConfig, checkpoint: &Checkpoint, kind: GgmlType) -> Result<Vec<Mapped>, ConvertError> {
    let geometry = Geometry::of_config(config);
    let mut mapped = Vec::new();
    let mut add = |source: &str, name: String, shape: &[u64], order: RowOrder| -> Result<(), ConvertError> {
        let tensor =
            checkpoint.tensor(source).ok_or_else(|| ConvertError::tensor(source, "is missing from the checkpoint"))?;
        check_shape(source, tensor, shape)?;
        mapped.push(Mapped { plan: plan(name, shape, kind), source: source.to_owned(), order });
        Ok(())
    };
    let (hidden, vocabulary) = (config.hidden, config.vocabulary);
    add("gpt_neox.embed_in.weight", "token_embd.weight".to_owned(), &[vocabulary, hidden], RowOrder::AsIs)?;
    for layer in 0..config.layers {
        for (from, to, is_matrix) in PARTS {
            let (rows, columns) = geometry.matrix(to);
            let order = geometry.order(to);
            let shape: &[u64] = if is_matrix { &[rows, columns] } else { &[rows] };
            add(&format!("gpt_neox.layers.{layer}.{from}.weight"), format!("blk.{layer}.{to}.weight"), shape, order)?;
            add(&format!("gpt_neox.layers.{layer}.{from}.bias"), format!("blk.{layer}.{to}.bias"), &[rows], order)?;
        }
    }
    for end in ["weight", "bias"] {
        add(&format!("gpt_neox.final_layer_norm.{end}"), format!("output_norm.{end}"), &[hidden], RowOrder::AsIs)?;
    }
    let head = if checkpoint.tensor("lm_head.weight").is_some() { "lm_head.weight" } else { "embed_out.weight" };
    add(head, "output.weight".to_owned(), &[vocabulary, hidden], RowOrder::AsIs)?;
    refuse_strangers(checkpoint, &mapped)?;
    Ok(mapped)
}

fn check_shape(name: &str, tensor: &SourceTensor, shape: &[u64]) -> Result<(), ConvertError> {
    if tensor.shape == shape {
        return Ok(());
    }
    Err(ConvertError::tensor(name, format!("has the shape {:?}; config.json implies {shape:?}", tensor.shape)))
}

/// Vectors stay in F32; so does a matrix whose rows are no whole blocks (in F16, if that was not asked for anyway).
fn plan(name: String, shape: &[u64], kind: GgmlType) -> TensorPlan {
    let dims: Vec<u64> = shape.iter().rev().copied().collect();
    let kind = match (shape.len(), kind.bytes(dims[0])) {
        (1, _) => GgmlType::F32,
        (_, None) => GgmlType::F16,
        _ => kind,
    };
    TensorPlan { name, dims, kind }
}

/// Buffers of the model's code, no weights: the causal mask (misleadingly called `bias`), its fill value, the rotation.
const BUFFERS: [&str; 3] = [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"];

/// A tensor left over means that the checkpoint is no plain GPT-NeoX: converted without it, the model would be wrong.
fn refuse_strangers(checkpoint: &Checkpoint, mapped: &[Mapped]) -> Result<(), ConvertError> {
    let known: std::collections::HashSet<&str> = mapped.iter().map(|tensor| tensor.source.as_str()).collect();
    let stranger = checkpoint.tensors().map(|(name, _)| name).find(|name| {
        let buffer = BUFFERS.iter().any(|buffer| name.ends_with(buffer));
        !known.contains(name) && !buffer
    });
    match stranger {
        Some(name) => Err(ConvertError::tensor(name, "is no part of a GPT-NeoX of this config.json")),
        None => Ok(()),
    }
}

/// The keys under `gptneox.`.
pub(crate) fn add_shape(metadata: &mut Metadata, config: &NeoxConfig) -> Result<(), ConvertError> {
    let mut set = |key: &str, value: MetaValue| metadata.set(format!("{ARCHITECTURE}.{key}"), value);
    for (key, size) in [
        ("context_length", config.context),
        ("embedding_length", config.hidden),
        ("block_count", config.layers),
        ("feed_forward_length", config.feed_forward),
        ("attention.head_count", config.heads),
        ("rope.dimension_count", config.rotary_dimensions),
    ] {
        let size = u32::try_from(size).map_err(|_| ConvertError::Unsupported(format!("`{key}` is too large")))?;
        set(key, MetaValue::U32(size));
    }
    set("use_parallel_residual", MetaValue::Bool(config.parallel_residual));
    set("attention.layer_norm_epsilon", MetaValue::F32(config.norm_epsilon));
    set("rope.freq_base", MetaValue::F32(config.rotary_base));
    Ok(())
}
