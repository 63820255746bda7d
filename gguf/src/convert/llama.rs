//! The llama architecture (SmolLM2 and its kin), as far as an adapter must know it: sizes, and which module becomes which
//! matrix. Whole models of it are not converted here: they come as GGUF.
//!
//! llama.cpp's converter reorders the rows of the query and key projections head by head, as its rotation pairs neighbours
//! where Transformers' pairs the two halves of a head (`permute` in convert_hf_to_gguf.py). Keys have heads of their own
//! number. Everything else keeps its order.

use serde_json::Value;

use super::error::{Blame, ConvertError};
use super::format::Metadata;
use super::layout::RowOrder;

/// The architecture's name in GGUF.
pub(crate) const ARCHITECTURE: &str = "llama";

/// Matrices of a layer: module in the checkpoint, name in GGUF.
pub(crate) const MATRICES: [(&str, &str); 7] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// What an adapter must know of its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LlamaGeometry {
    pub(crate) hidden: u64,
    pub(crate) heads: u64,
    /// Heads of keys and values: a divisor of `heads`.
    pub(crate) kv_heads: u64,
    /// Values of one head: even.
    pub(crate) head_size: u64,
    pub(crate) layers: u64,
    pub(crate) feed_forward: u64,
}

impl LlamaGeometry {
    /// Of `config.json`.
    pub(crate) fn of_config(config: &Value, blame: &Blame) -> Result<Self, ConvertError> {
        let size = |key: &str, limit: u64| match config[key].as_u64() {
            Some(value) if (1..=limit).contains(&value) => Ok(value),
            _ => Err(blame.error(format!("`{key}` is missing, or no number from 1 to {limit}"))),
        };
        let (hidden, heads) = (size("hidden_size", 65_536)?, size("num_attention_heads", 1024)?);
        // Unsaid, they follow from the others, as in Transformers.
        let or = |key: &str, limit: u64, unsaid: u64| {
            if config[key].is_null() { Ok(unsaid) } else { size(key, limit) }
        };
        let geometry = Self {
            hidden,
            heads,
            kv_heads: or("num_key_value_heads", 1024, heads)?,
            head_size: or("head_dim", 65_536, hidden / heads)?,
            layers: size("num_hidden_layers", 512)?,
            feed_forward: size("intermediate_size", 1 << 20)?,
        };
        geometry.checked().map_err(|reason| blame.error(reason))
    }

    /// Of a GGUF model.
    pub(crate) fn of_metadata(metadata: &Metadata) -> Result<Self, ConvertError> {
        let refuse = |reason: &str| ConvertError::Unsupported(format!("the base GGUF {reason}"));
        let key = |name: &str| format!("{ARCHITECTURE}.{name}");
        if metadata.integer(&key("expert_count")).is_some_and(|count| count > 0) {
            return Err(refuse("is a mixture of experts, whose adapters are not converted here"));
        }
        let size = |name: &str| {
            let size = metadata.integer(&key(name)).filter(|size| (1..=1 << 20).contains(size));
            size.ok_or_else(|| refuse(&format!("lacks its size `{}`, or it is no plausible one", key(name))))
        };
        let (hidden, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let or = |name: &str, unsaid: u64| if metadata.get(&key(name)).is_none() { Ok(unsaid) } else { size(name) };
        let head_size = or("attention.key_length", hidden / heads)?;
        if or("attention.value_length", head_size)? != head_size {
            return Err(refuse("has keys and values of different sizes, whose adapters are not converted here"));
        }
        let geometry = Self {
            hidden,
            heads,
            kv_heads: or("attention.head_count_kv", heads)?,
            head_size,
            layers: size("block_count")?,
            feed_forward: size("feed_forward_length")?,
        };
        geometry.checked().map_err(|reason| refuse(&format!("cannot be right: {reason}")))
    }

    fn checked(self) -> Result<Self, String> {
        let Self { heads, kv_heads, head_size, .. } = self;
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} attention heads are no multiple of {kv_heads} key-value heads"));
        }
        if head_size == 0 || !head_size.is_multiple_of(2) {
            return Err(format!("a head of {head_size} values has no two halves to rotate"));
        }
        Ok(self)
    }

    /// Rows and columns of a matrix, by its name in GGUF.
    pub(crate) fn matrix(self, part: &str) -> (u64, u64) {
        let (queries, keys) = (self.heads * self.head_size, self.kv_heads * self.head_size);
        match part {
            "attn_q" => (queries, self.hidden),
            "attn_k" | "attn_v" => (keys, self.hidden),
            "attn_output" => (self.hidden, queries),
            "ffn_down" => (self.hidden, self.feed_forward),
            _ => (self.feed_forward, self.hidden),
        }
    }

    /// How the rows of a matrix are ordered.
    pub(crate) fn order(self, part: &str) -> RowOrder {
        match part {
            "attn_q" => RowOrder::JoinHalves { heads: self.heads, head_size: self.head_size },
            "attn_k" => RowOrder::JoinHalves { heads: self.kv_heads, head_size: self.head_size },
            _ => RowOrder::AsIs,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::convert::format::MetaValue;

    #[test]
    fn sizes_are_the_same_from_a_config_and_from_a_gguf() {
        let config = json!({"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3,
            "num_hidden_layers": 30, "intermediate_size": 1536});
        let blame = Blame::new("config", Path::new("config.json"));
        let geometry = LlamaGeometry::of_config(&config, &blame).unwrap();
        assert_eq!(geometry.matrix("attn_q"), (576, 576));
        assert_eq!(geometry.matrix("attn_k"), (192, 576));
        assert_eq!(geometry.matrix("ffn_down"), (576, 1536));
        assert_eq!(geometry.matrix("ffn_gate"), (1536, 576));
        let mut metadata = Metadata::default();
        for (key, value) in [
            ("embedding_length", 576),
            ("attention.head_count", 9),
            ("attention.head_count_kv", 3),
            ("block_count", 30),
            ("feed_forward_length", 1536),
        ] {
            metadata.set(format!("llama.{key}"), MetaValue::U32(value));
        }
        assert_eq!(LlamaGeometry::of_metadata(&metadata).unwrap(), geometry);
        for (key, value, word) in [
            ("attention.head_count_kv", 2, "no multiple"),
            ("attention.head_count_kv", 0, "head_count_kv"),
            ("attention.key_length", 63, "halves"),
            ("attention.value_length", 32, "different"),
            ("expert_count", 8, "experts"),
        ] {
            let mut wrong = metadata.clone();
            wrong.set(format!("llama.{key}"), MetaValue::U32(value));
            let error = LlamaGeometry::of_metadata(&wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{key}: {error}");
        }
        for (key, value) in [("num_key_value_heads", json!(2)), ("head_dim", json!(7)), ("hidden_size", json!("x"))] {
            let mut wrong = config.clone();
            wrong[key] = value;
            LlamaGeometry::of_config(&wrong, &blame).unwrap_err();
        }
    }
}
