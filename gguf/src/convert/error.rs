//! What can go wrong on the way into GGUF. Every message says what happened, where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model was not converted, merged, synthesised or read.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted, as an infinitive ("read", "write").
        action: &'static str,
        /// On which file.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A file does not hold what its name promises.
    #[error("{path} is no usable {what}: {reason}")]
    Malformed {
        /// What was expected ("safetensors file", "GGUF file").
        what: &'static str,
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The input is sound, but nothing here can convert it faithfully.
    #[error("{0}")]
    Unsupported(String),
    /// One tensor is missing, of a wrong shape, or holds values that are no weights.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor's name in its file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConvertError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { name: shorten(name), reason: reason.into() }
    }
}

/// Builds [`ConvertError::Malformed`] for one file.
#[derive(Clone, Debug)]
pub(crate) struct Blame {
    what: &'static str,
    path: PathBuf,
}

impl Blame {
    pub(crate) fn new(what: &'static str, path: &Path) -> Self {
        Self { what, path: path.to_owned() }
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> ConvertError {
        ConvertError::Malformed { what: self.what, path: self.path.display().to_string(), reason: reason.into() }
    }

    pub(crate) fn io(&self, action: &'static str) -> impl FnOnce(io::Error) -> ConvertError {
        ConvertError::io(action, &self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Names come from hostile files: at most 80 characters of one reach a message, control characters escaped.
pub(crate) fn shorten(name: &str) -> String {
    let mut short: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    if name.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}
