//! The one place that names llama.cpp.

mod library;
mod quantize;

pub use library::library;
pub use quantize::{QuantizeOptions, quantize};

/// Why llama.cpp could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// llama.cpp refused.
    #[error("llama.cpp could not {what}: {why}")]
    Llama {
        /// What was tried.
        what: String,
        /// What it said.
        why: String,
    },
}

impl StartError {
    fn llama(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Llama { what: what.into(), why: why.to_string() }
    }
}
