//! Checks of a GGUF before llama.cpp sees it. llama.cpp ends the whole process where a file breaks some of its
//! assumptions (`GGML_ASSERT`), so those are checked here and become errors.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::error::{Blame, ConvertError, shorten};
use super::format::{GgmlType, GgufFile, MetaArray, MetaValue, TensorRecord};

/// llama.cpp's `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u64 = 512;

/// Opens a model for llama.cpp: its header is sound, and nothing in it can end the process.
///
/// # Errors
/// [`ConvertError`] that says what is wrong with the file.
pub fn preflight(path: &Path) -> Result<GgufFile, ConvertError> {
    let file = GgufFile::open(path)?;
    let blame = Blame::new("model", path);
    match file.metadata.text("general.type") {
        None | Some("model") => {}
        Some("adapter") => return Err(blame.error("it is an adapter; give it as one, beside its base")),
        Some(other) => return Err(blame.error(format!("it is a `{}`", shorten(other)))),
    }
    let architecture = file.metadata.text("general.architecture").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if architecture.is_empty() || architecture.len() > 40 || !architecture.bytes().all(plain) {
        return Err(blame.error("it does not name its architecture"));
    }
    let size = |key: &str| file.metadata.integer(&format!("{architecture}.{key}"));
    for (key, most) in [("block_count", MAX_LAYERS), ("embedding_length", 1 << 17), ("context_length", 1 << 31)] {
        if !size(key).is_some_and(|value| (1..=most).contains(&value)) {
            return Err(blame.error(format!("`{architecture}.{key}` is missing, or no number from 1 to {most}")));
        }
    }
    let heads = format!("{architecture}.attention.head_count");
    if matches!(file.metadata.get(&heads), Some(value) if !matches!(value, MetaValue::Array(_)) && size("attention.head_count") == Some(0))
    {
        return Err(blame.error(format!("`{heads}` is 0")));
    }
    if size("expert_count").is_some_and(|count| count > 0) {
        return Err(blame.error("mixtures of experts are not served here"));
    }
    check_vocabulary(&file).map_err(|reason| blame.error(reason))?;
    if file.tensors.is_empty() {
        return Err(blame.error("it holds no tensors"));
    }
    Ok(file)
}

/// Opens an adapter for llama.cpp, which takes the types of some keys and the shapes of its factors on trust.
///
/// # Errors
/// [`ConvertError`] that says what is wrong with the file.
pub fn preflight_adapter(path: &Path) -> Result<GgufFile, ConvertError> {
    let file = GgufFile::open(path)?;
    let blame = Blame::new("LoRA adapter", path);
    let text = |key: &str| file.metadata.text(key).unwrap_or_default();
    if text("general.type") != "adapter" || text("adapter.type") != "lora" {
        return Err(blame.error("its keys do not say that it is a LoRA adapter; a model is no adapter"));
    }
    if text("general.architecture").is_empty() {
        return Err(blame.error("it does not name its base's architecture (`general.architecture`)"));
    }
    match file.metadata.get("adapter.lora.alpha") {
        // Without one llama.cpp applies the factors as they are.
        None => {}
        Some(MetaValue::F32(alpha)) if alpha.is_finite() => {}
        Some(_) => return Err(blame.error("`adapter.lora.alpha` is no finite 32-bit float; convert the adapter again")),
    }
    check_factors(&file).map_err(|reason| blame.error(reason))?;
    Ok(file)
}

/// What a factor may be stored as: whatever llama.cpp's own converter writes.
const FACTORS: [GgmlType; 4] = [GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0];

fn check_factors(file: &GgufFile) -> Result<(), String> {
    let by_name: HashMap<&str, &TensorRecord> =
        file.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut pairs = 0;
    for tensor in &file.tensors {
        let refuse = |reason: &str| Err(format!("its tensor `{}` {reason}", shorten(&tensor.name)));
        // llama.cpp leaves out trained norms.
        if tensor.name.ends_with("_norm.weight") {
            continue;
        }
        let Some((target, factor)) = tensor.name.rsplit_once('.') else { return refuse("is no LoRA factor") };
        let other = match factor {
            "lora_a" => "lora_b",
            "lora_b" => "lora_a",
            _ => return refuse("is no LoRA factor"),
        };
        let other = by_name.get(format!("{target}.{other}").as_str());
        let Some(other) = other else { return refuse("lacks its other factor") };
        if !FACTORS.contains(&tensor.kind) {
            return refuse(&format!("is of {}, in which no factor is stored", tensor.kind.name()));
        }
        let ([columns, rows], [other_columns, _]) = (&tensor.dims[..], &other.dims[..]) else {
            return refuse("or its other factor is no matrix");
        };
        if factor == "lora_a" {
            // The first factor for the embedding is looked up row by row, and so lies the other way.
            let rank = if target.ends_with("token_embd.weight") { columns } else { rows };
            if rank != other_columns {
                return refuse(&format!("is of rank {rank}, its other factor of rank {other_columns}"));
            }
            pairs += 1;
        }
    }
    if pairs == 0 { Err("it holds no LoRA factors".to_owned()) } else { Ok(()) }
}

fn check_vocabulary(file: &GgufFile) -> Result<(), String> {
    let Some(MetaValue::Array(MetaArray::Text(tokens))) = file.metadata.get("tokenizer.ggml.tokens") else {
        return Err("it holds no vocabulary (`tokenizer.ggml.tokens`)".to_owned());
    };
    let mut seen = HashSet::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        // Empty ones may be many: llama.cpp gives each this name.
        let name = if token.is_empty() { format!("[EMPTY_{id}]").into() } else { Cow::Borrowed(token.as_str()) };
        if seen.contains(&name) {
            return Err(format!("its vocabulary holds `{}` twice", shorten(&name)));
        }
        seen.insert(name);
    }
    if let Some(MetaValue::Array(kinds)) = file.metadata.get("tokenizer.ggml.token_type")
        && kinds.len() != tokens.len()
    {
        return Err(format!("it has {} tokens and {} token types", tokens.len(), kinds.len()));
    }
    for key in ["bos", "eos", "unknown", "padding", "eot"] {
        let id = file.metadata.integer(&format!("tokenizer.ggml.{key}_token_id"));
        if id.is_some_and(|id| id >= tokens.len() as u64) {
            return Err(format!("its {key} token is outside the vocabulary"));
        }
    }
    Ok(())
}
