//! `tokenizer.json` of a GPT-NeoX model, as GGUF's tokenizer keys.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::error::{Blame, ConvertError, shorten};
use super::files::read_text;
use super::format::{MetaArray, MetaValue, Metadata};

/// GPT-NeoX's own has 2 MB.
const MAX_TOKENIZER: u64 = 64 << 20;

/// Token types of GGUF.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Ends an answer of Dolly; without it in the file only `<|endoftext|>` would.
const END_KEY: &str = "### End";

#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Option<Kind>,
    #[serde(default)]
    pre_tokenizer: Option<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    add_prefix_space: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type", default)]
    kind: String,
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair([String; 2]),
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

/// Adds the keys under `tokenizer.ggml.` for a vocabulary of `size` tokens, gaps filled.
///
/// # Errors
/// [`ConvertError`] when the file is missing, damaged, of another kind, or does not fit the vocabulary.
pub(crate) fn add_tokenizer(metadata: &mut Metadata, folder: &Path, size: u64) -> Result<(), ConvertError> {
    let path = folder.join("tokenizer.json");
    add_tokenizer_text(metadata, &read_text(&path, MAX_TOKENIZER)?, size, &Blame::new("tokenizer", &path))
}

pub(crate) fn add_tokenizer_text(
    metadata: &mut Metadata,
    text: &str,
    size: u64,
    blame: &Blame,
) -> Result<(), ConvertError> {
    let tokenizer: Tokenizer = serde_json::from_str(text).map_err(|error| blame.error(error.to_string()))?;
    let byte_level =
        tokenizer.pre_tokenizer.as_ref().is_some_and(|kind| kind.kind == "ByteLevel" && !kind.add_prefix_space);
    let normalizer = tokenizer.normalizer.as_ref().map(|kind| kind.kind.as_str());
    if tokenizer.model.kind != "BPE" || !byte_level || !matches!(normalizer, None | Some("NFC")) {
        return Err(blame.error("it is no byte-level BPE of the GPT-NeoX kind"));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut tokens: Vec<Option<(String, i32)>> = vec![None; size];
    let mut place = |id: u32, token: &str, kind: i32| match tokens.get_mut(id as usize) {
        Some(slot) if kind == NORMAL && slot.is_some() => {
            Err(blame.error(format!("two tokens share the id {id}, `{}` is one", shorten(token))))
        }
        Some(slot) => {
            *slot = Some((token.to_owned(), kind));
            Ok(())
        }
        None => Err(blame.error(format!("token {id} lies beyond the model's vocabulary of {size}"))),
    };
    for (token, id) in &tokenizer.model.vocab {
        place(*id, token, NORMAL)?;
    }
    for added in &tokenizer.added_tokens {
        place(added.id, &added.content, if added.special { CONTROL } else { USER_DEFINED })?;
    }
    let merges = tokenizer.model.merges.into_iter().map(|merge| match merge {
        Merge::Text(text) => text,
        Merge::Pair([left, right]) => format!("{left} {right}"),
    });
    let padded = tokens.into_iter().enumerate();
    let padded = padded.map(|(id, token)| token.unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED)));
    let (texts, kinds): (Vec<String>, Vec<i32>) = padded.unzip();
    let end = tokenizer.added_tokens.iter().find(|added| added.content == END_KEY).map(|added| added.id);

    let mut set = |key: &str, value: MetaValue| metadata.set(format!("tokenizer.ggml.{key}"), value);
    set("model", MetaValue::Text("gpt2".to_owned()));
    // llama.cpp knows no `gpt-neox`; `olmo` splits text by the same rule.
    set("pre", MetaValue::Text("olmo".to_owned()));
    set("tokens", MetaValue::Array(MetaArray::Text(texts)));
    set("token_type", MetaValue::Array(MetaArray::I32(kinds)));
    set("merges", MetaValue::Array(MetaArray::Text(merges.collect())));
    for key in ["bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"] {
        set(key, MetaValue::U32(0));
    }
    set("add_bos_token", MetaValue::Bool(false));
    set("add_eos_token", MetaValue::Bool(false));
    if let Some(end) = end {
        set("eot_token_id", MetaValue::U32(end));
    }
    Ok(())
}
