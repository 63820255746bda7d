//! Every parser of this module as a function of bytes alone, so that fuzz targets and the tests' mutations can reach it
//! without a file. None of them may panic, hang, or allocate more than a small multiple of what it is given; but a chat template,
//! a program, is bounded in its steps alone.

use std::path::Path;

use super::error::{Blame, ConvertError};
use super::format::Metadata;
use super::{expected, format, layout, lora, provenance, source, tokenizer};

/// A parser and its name.
pub type Parser = (&'static str, fn(&[u8]) -> Result<(), String>);

/// All of them.
pub const PARSERS: [Parser; 13] = [
    ("gguf", gguf),
    ("safetensors", safetensors),
    ("zip", zip),
    ("pickle", pickle),
    ("shard_index", shard_index),
    ("model_config", model_config),
    ("tokenizer", tokenizer),
    ("adapter_config", adapter_config),
    ("friend_adapter", friend_adapter),
    ("catalogue", catalogue),
    ("expected", expected),
    ("chat_template", chat_template),
    ("importance", importance),
];

/// A GGUF file's header.
///
/// # Errors
/// What is wrong, in words; likewise below.
pub fn gguf(bytes: &[u8]) -> Result<(), String> {
    format::parse_header(bytes).map(drop).map_err(words)
}

/// A safetensors header: the JSON after the length.
///
/// # Errors
/// What is wrong.
pub fn safetensors(bytes: &[u8]) -> Result<(), String> {
    source::parse_safetensors_header(bytes, bytes.len() as u64 + 8).map(drop)
}

/// The directory of a PyTorch archive.
///
/// # Errors
/// What is wrong.
pub fn zip(bytes: &[u8]) -> Result<(), String> {
    source::zip::entries(bytes, bytes.len() as u64).map(drop)
}

/// The pickle of a PyTorch checkpoint.
///
/// # Errors
/// What is wrong.
pub fn pickle(bytes: &[u8]) -> Result<(), String> {
    source::pickle::tensors(bytes).map(drop)
}

/// The index of a sharded checkpoint.
///
/// # Errors
/// What is wrong.
pub fn shard_index(bytes: &[u8]) -> Result<(), String> {
    source::index::parse(text(bytes)?, ".bin").map(drop)
}

/// A model's `config.json`.
///
/// # Errors
/// What is wrong.
pub fn model_config(bytes: &[u8]) -> Result<(), String> {
    layout::Layout::of_config(text(bytes)?, &blame()).map(drop).map_err(words)
}

/// A `tokenizer.json`.
///
/// # Errors
/// What is wrong.
pub fn tokenizer(bytes: &[u8]) -> Result<(), String> {
    tokenizer::add_tokenizer_text(&mut Metadata::default(), text(bytes)?, 512, &blame()).map_err(words)
}

/// A PEFT `adapter_config.json`.
///
/// # Errors
/// What is wrong.
pub fn adapter_config(bytes: &[u8]) -> Result<(), String> {
    lora::PeftConfig::parse(text(bytes)?, &blame()).map(drop).map_err(words)
}

/// What an adapter says of itself, `friend_adapter.json`.
///
/// # Errors
/// What is wrong.
pub fn friend_adapter(bytes: &[u8]) -> Result<(), String> {
    provenance::Provenance::parse(text(bytes)?, &blame()).map(drop).map_err(words)
}

/// An importance matrix, all of its file.
///
/// # Errors
/// What is wrong.
pub fn importance(bytes: &[u8]) -> Result<(), String> {
    super::Importance::parse(bytes, Path::new("(bytes)")).map(drop).map_err(words)
}

/// A catalogue of models.
///
/// # Errors
/// What is wrong.
pub fn catalogue(bytes: &[u8]) -> Result<(), String> {
    crate::catalogue::Catalogue::parse(text(bytes)?).map(drop)
}

/// An original's expected values, `expected.json`.
///
/// # Errors
/// What is wrong.
pub fn expected(bytes: &[u8]) -> Result<(), String> {
    expected::Expected::parse(text(bytes)?, "base", &blame()).map(drop).map_err(words)
}

/// The chat template out of a GGUF, which is a program in Jinja.
///
/// # Errors
/// What is wrong.
pub fn chat_template(bytes: &[u8]) -> Result<(), String> {
    crate::chat_template::ChatTemplate::new(text(bytes)?, "<s>", "</s>").map(drop).map_err(|error| error.to_string())
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

fn blame() -> Blame {
    Blame::new("input", Path::new("(bytes)"))
}

fn words(error: ConvertError) -> String {
    error.to_string()
}
