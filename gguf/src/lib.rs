//! Everything about GGUF models: the batching engine that answers many users at once, and the ways into the format.

mod admission;
pub mod backend;
pub mod batcher;
pub mod catalogue;
mod cgroup;
pub mod chat_template;
pub mod convert;
pub mod fake;
mod fit;
pub mod host_cache;
pub mod hub;
pub mod lanes;
mod line;
#[cfg(feature = "llama")]
pub mod llama;
pub mod mailbox;
pub mod memory;
pub mod pace;
mod pieces;
pub mod placement;
mod plan;
pub mod request;
pub mod sampler;
pub mod scheduler;
mod sequence;
pub mod streams;
pub mod team;
mod text;
pub mod thread;
mod wording;
