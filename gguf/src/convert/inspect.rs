//! What a GGUF holds, read from its header alone.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::ConvertError;
use super::format::{GgufFile, MetaArray, MetaValue, TensorRecord};
use super::quant::QuantType;

/// What a GGUF holds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Inspection {
    /// `general.type`: `model`, or `adapter`.
    pub kind: String,
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`.
    pub name: String,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The quantisation that the file names (`Q4_K_M`), or the type of most of its bytes.
    pub quantisation: String,
    /// Bytes by type of tensor.
    pub types: BTreeMap<String, u64>,
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub embedding: u64,
    /// Attention heads.
    pub heads: u64,
    /// Longest sequence that it was trained for.
    pub context: u64,
    /// Bytes that one token takes in a half-precision KV cache; 0 where the shape does not say.
    pub kv_bytes_per_token: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Kind of tokenizer, and how it splits text (`gpt2/olmo`).
    pub tokenizer: String,
    /// Chat template (Jinja), if it has one.
    pub chat_template: Option<String>,
    /// `general.license`.
    pub licence: Option<String>,
    /// Of an adapter: alpha, and the largest rank.
    pub adapter: Option<(f32, u64)>,
}

/// Reads what a GGUF holds.
///
/// # Errors
/// [`ConvertError`] when it is damaged.
pub fn inspect(path: &Path) -> Result<Inspection, ConvertError> {
    let file = GgufFile::open(path)?;
    let text = |key: &str| file.metadata.text(key).unwrap_or_default().to_owned();
    let architecture = text("general.architecture");
    let size = |key: &str| file.metadata.integer(&format!("{architecture}.{key}")).unwrap_or(0);
    let mut types = BTreeMap::new();
    for tensor in &file.tensors {
        *types.entry(tensor.kind.name()).or_insert(0) += tensor.bytes;
    }
    let named = file.metadata.integer("general.file_type").and_then(|kind| match kind {
        0 => Some("F32".to_owned()),
        kind => QuantType::of_file_type(kind).map(|kind| kind.name().to_owned()),
    });
    let most = types.iter().max_by_key(|(_, bytes)| **bytes).map(|(kind, _)| kind.clone());
    let vocabulary = match file.metadata.get("tokenizer.ggml.tokens") {
        Some(MetaValue::Array(MetaArray::Text(tokens))) => tokens.len(),
        _ => 0,
    };
    Ok(Inspection {
        kind: file.metadata.text("general.type").unwrap_or("model").to_owned(),
        name: text("general.name"),
        parameters: file.tensors.iter().map(TensorRecord::values).fold(0, u64::saturating_add),
        file_bytes: file.file_bytes,
        quantisation: named.or(most).unwrap_or_default(),
        types,
        layers: size("block_count"),
        embedding: size("embedding_length"),
        heads: size("attention.head_count"),
        context: size("context_length"),
        kv_bytes_per_token: kv_bytes(&size),
        vocabulary,
        tokenizer: format!("{}/{}", text("tokenizer.ggml.model"), text("tokenizer.ggml.pre")),
        chat_template: file.metadata.text("tokenizer.chat_template").map(str::to_owned),
        licence: file.metadata.text("general.license").map(str::to_owned),
        adapter: adapter(&file),
        architecture,
    })
}

/// A key and a value of each layer and KV head, two bytes a number.
fn kv_bytes(size: &impl Fn(&str) -> u64) -> u64 {
    let heads = size("attention.head_count").max(1);
    let kv_heads = Some(size("attention.head_count_kv")).filter(|heads| *heads > 0).unwrap_or(heads);
    let head = size("embedding_length") / heads;
    let width = |key: &str| Some(size(key)).filter(|width| *width > 0).unwrap_or(head);
    let both = width("attention.key_length").saturating_add(width("attention.value_length"));
    size("block_count").saturating_mul(kv_heads).saturating_mul(both).saturating_mul(2)
}

fn adapter(file: &GgufFile) -> Option<(f32, u64)> {
    let alpha = file.metadata.float("adapter.lora.alpha")?;
    let ranks = file.tensors.iter().filter(|tensor| tensor.name.ends_with(".lora_a"));
    Some((alpha, ranks.filter_map(|tensor| tensor.dims.get(1).copied()).max().unwrap_or(0)))
}
