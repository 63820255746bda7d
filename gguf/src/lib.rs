//! Everything about GGUF models: the batching engine that answers many users at once, and the ways into the format.

pub mod convert;
#[cfg(feature = "llama")]
pub mod llama;
pub mod request;
