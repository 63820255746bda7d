//! The ways into GGUF: a Hugging Face GPT-NeoX checkpoint, a PEFT LoRA for it or for a Llama, both merged, or a
//! synthesised model.
//!
//! Everything streams: one run of rows is read, reordered, encoded and written before the next, so that a checkpoint of
//! 14 GB needs a few megabytes. Inputs may be hostile; every reader is bounded and none runs anything. Outputs appear
//! under their name only when they are whole.

pub mod adapter;
mod config;
mod encode;
mod error;
mod expected;
mod files;
pub mod format;
mod gptneox;
mod importance;
mod inspect;
mod layout;
mod llama;
mod lora;
mod merge;
mod model;
pub mod parsers;
mod preflight;
mod progress;
mod provenance;
mod quant;
pub mod source;
mod synthesize;
mod tokenizer;

pub use config::NeoxConfig;
pub use error::ConvertError;
pub use expected::{Expected, ExpectedPrompt, ExpectedVariant};
pub use gptneox::Geometry;
pub use importance::Importance;
pub use inspect::{Inspection, inspect};
pub use lora::{LoraOptions, convert_lora};
pub use merge::{MergeOptions, merge};
pub use model::{Dtype, ModelOptions, Summary, convert_model};
pub use preflight::{preflight, preflight_adapter};
pub use progress::Progress;
pub use provenance::{PROVENANCE_FILE, Provenance};
pub use quant::QuantType;
pub use source::shard_names;
pub use synthesize::{Shape, SynthesizeOptions, synthesize};
