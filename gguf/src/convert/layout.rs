//! What an adapter must know of its base, whatever its architecture: which module becomes which matrix of a GGUF, how large
//! it is, and in which order its rows lie.

use std::path::Path;

use serde_json::Value;

use super::config::NeoxConfig;
use super::error::{Blame, ConvertError, shorten};
use super::files::read_text;
use super::format::Metadata;
use super::gptneox::{self, Geometry};
use super::llama::{self, LlamaGeometry};

const MAX_CONFIG: u64 = 1 << 20;

/// A base's architecture with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Neox(Geometry),
    Llama(LlamaGeometry),
}

impl Layout {
    /// Of a Hugging Face folder, by its `config.json`.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, ConvertError> {
        let path = folder.join("config.json");
        Self::of_config(&read_text(&path, MAX_CONFIG)?, &Blame::new("config of a model", &path))
    }

    pub(crate) fn of_config(text: &str, blame: &Blame) -> Result<Self, ConvertError> {
        let config: Value = serde_json::from_str(text).map_err(|error| blame.error(error.to_string()))?;
        match config["model_type"].as_str() {
            Some("gpt_neox") => Ok(Self::Neox(Geometry::of_config(&NeoxConfig::parse(text, blame)?))),
            Some("llama") => Ok(Self::Llama(LlamaGeometry::of_config(&config, blame)?)),
            other => Err(ConvertError::Unsupported(format!(
                "{}: the architecture is `{}`; adapters are converted for gpt_neox (Dolly, Pythia) and llama (SmolLM2)",
                blame.path().display(),
                shorten(other.unwrap_or("(none)"))
            ))),
        }
    }

    /// Of a GGUF model.
    pub(crate) fn of_metadata(metadata: &Metadata) -> Result<Self, ConvertError> {
        match metadata.text("general.architecture") {
            Some(gptneox::ARCHITECTURE) => Geometry::of_metadata(metadata).map(Self::Neox),
            Some(llama::ARCHITECTURE) => LlamaGeometry::of_metadata(metadata).map(Self::Llama),
            other => Err(ConvertError::Unsupported(format!(
                "the base GGUF is of architecture `{}`; only {} and {} take these adapters",
                shorten(other.unwrap_or("(none)")),
                gptneox::ARCHITECTURE,
                llama::ARCHITECTURE
            ))),
        }
    }

    /// The architecture's name in GGUF.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::Neox(_) => gptneox::ARCHITECTURE,
            Self::Llama(_) => llama::ARCHITECTURE,
        }
    }

    /// Its name in messages.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::Neox(_) => "GPT-NeoX",
            Self::Llama(_) => "Llama",
        }
    }

    pub(crate) fn layers(self) -> u64 {
        match self {
            Self::Neox(geometry) => geometry.layers,
            Self::Llama(geometry) => geometry.layers,
        }
    }

    /// What the names of a layer's modules begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Neox(_) => "gpt_neox.layers.",
            Self::Llama(_) => "model.layers.",
        }
    }

    /// The matrices of a layer: module in the checkpoint, name in GGUF.
    pub(crate) fn matrices(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Neox(_) => {
                gptneox::PARTS.iter().filter(|(_, _, is_matrix)| *is_matrix).map(|(from, to, _)| (*from, *to)).collect()
            }
            Self::Llama(_) => llama::MATRICES.to_vec(),
        }
    }

    /// Rows and columns of a matrix, by its name in GGUF.
    pub(crate) fn matrix(self, part: &str) -> (u64, u64) {
        match self {
            Self::Neox(geometry) => geometry.matrix(part),
            Self::Llama(geometry) => geometry.matrix(part),
        }
    }

    /// How the rows of a matrix are ordered.
    pub(crate) fn order(self, part: &str) -> RowOrder {
        match self {
            Self::Neox(geometry) => geometry.order(part),
            Self::Llama(geometry) => geometry.order(part),
        }
    }
}

/// The order in which source rows become destination rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowOrder {
    AsIs,
    /// Destination row `(c·heads + h)·head_size + d` is source row `(h·3 + c)·head_size + d`.
    SplitHeads {
        heads: u64,
        head_size: u64,
    },
    /// Destination row `h·head_size + 2d + c` is source row `h·head_size + c·head_size/2 + d`: what Transformers rotates
    /// are the halves of a head, what llama.cpp rotates are neighbours.
    JoinHalves {
        heads: u64,
        head_size: u64,
    },
}

impl RowOrder {
    /// Runs of consecutive source rows, in destination order, none longer than `most` unless a head is.
    pub(crate) fn runs(self, rows: u64, most: u64) -> Vec<(u64, u64)> {
        match self {
            Self::AsIs => {
                let most = most.max(1);
                (0..rows.div_ceil(most)).map(|run| (run * most, most.min(rows - run * most))).collect()
            }
            Self::SplitHeads { heads, head_size } => {
                (0..3).flat_map(|part| (0..heads).map(move |head| ((head * 3 + part) * head_size, head_size))).collect()
            }
            Self::JoinHalves { heads, head_size } => {
                let half = head_size / 2;
                let pairs = (0..heads).flat_map(|head| (0..half).map(move |d| head * head_size + d));
                pairs.flat_map(|first| [(first, 1), (first + half, 1)]).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_of_a_head_become_neighbours() {
        let rows = |order: RowOrder| order.runs(8, 8).into_iter().map(|(row, _)| row).collect::<Vec<_>>();
        assert_eq!(rows(RowOrder::JoinHalves { heads: 1, head_size: 8 }), [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(rows(RowOrder::JoinHalves { heads: 2, head_size: 4 }), [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
