//! `config.json` of a GPT-NeoX model, in the form of transformers 4 and of transformers 5.

use std::path::Path;

use serde_json::Value;

use super::error::{Blame, ConvertError};
use super::files::read_text;

const MAX_CONFIG: u64 = 1 << 20;

/// The shape of a GPT-NeoX model. All sizes are checked to be plausible and to fit each other.
#[derive(Clone, Debug, PartialEq)]
pub struct NeoxConfig {
    /// Width of the residual stream.
    pub hidden: u64,
    /// Attention heads.
    pub heads: u64,
    /// Layers.
    pub layers: u64,
    /// Width of the feed-forward layer.
    pub feed_forward: u64,
    /// Longest sequence, in tokens.
    pub context: u64,
    /// Rows of the embedding, padding included.
    pub vocabulary: u64,
    /// Dimensions of a head that are rotated.
    pub rotary_dimensions: u64,
    /// Base of the rotation's frequencies.
    pub rotary_base: f32,
    /// Epsilon of the layer norms.
    pub norm_epsilon: f32,
    /// Whether attention and feed-forward read the same input.
    pub parallel_residual: bool,
}

impl NeoxConfig {
    /// Values of one head.
    pub fn head_size(&self) -> u64 {
        self.hidden / self.heads
    }

    /// Reads `config.json` in a model folder.
    ///
    /// # Errors
    /// [`ConvertError`] when it is missing or damaged, of another architecture, or says something that GGUF's gptneox
    /// cannot express.
    pub fn read(folder: &Path) -> Result<Self, ConvertError> {
        let path = folder.join("config.json");
        Self::parse(&read_text(&path, MAX_CONFIG)?, &Blame::new("config of a model", &path))
    }

    pub(crate) fn parse(text: &str, blame: &Blame) -> Result<Self, ConvertError> {
        let config: Value = serde_json::from_str(text).map_err(|error| blame.error(error.to_string()))?;
        let config = &config;
        let kind = config["model_type"].as_str().unwrap_or("(none)");
        if kind != "gpt_neox" {
            return Err(ConvertError::Unsupported(format!(
                "{}: the architecture is `{}`; only gpt_neox (Dolly, Pythia) is converted here. Take a GGUF of this \
                 model instead",
                blame.path().display(),
                super::error::shorten(kind)
            )));
        }
        refuse_unsupported(config, blame)?;
        let size = |key: &str, limit: u64| match config[key].as_u64() {
            Some(value) if (1..=limit).contains(&value) => Ok(value),
            _ => Err(blame.error(format!("`{key}` is missing, or no number from 1 to {limit}"))),
        };
        let (hidden, heads) = (size("hidden_size", 65_536)?, size("num_attention_heads", 1024)?);
        if hidden % heads != 0 {
            return Err(blame.error("`hidden_size` is no multiple of `num_attention_heads`"));
        }
        let (rotary_share, rotary_base) = rotary(config, blame)?;
        // Truncated, as transformers does.
        let rotary_dimensions = (rotary_share * (hidden / heads) as f64) as u64;
        if rotary_dimensions == 0 || !rotary_dimensions.is_multiple_of(2) || rotary_dimensions > hidden / heads {
            return Err(blame.error(format!("{rotary_dimensions} rotated dimensions of {} a head", hidden / heads)));
        }
        let epsilon = config["layer_norm_eps"].as_f64().unwrap_or(1e-5) as f32;
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(blame.error("`layer_norm_eps` is no small positive number"));
        }
        Ok(Self {
            hidden,
            heads,
            layers: size("num_hidden_layers", 512)?,
            feed_forward: size("intermediate_size", 1 << 20)?,
            context: size("max_position_embeddings", 1 << 20)?,
            vocabulary: size("vocab_size", 1 << 20)?,
            rotary_dimensions,
            rotary_base,
            norm_epsilon: epsilon,
            parallel_residual: config["use_parallel_residual"].as_bool().unwrap_or(true),
        })
    }
}

/// Share of rotated dimensions and base frequency. Both must be said: a silent default moves every logit.
fn rotary(config: &Value, blame: &Blame) -> Result<(f64, f32), ConvertError> {
    let new = &config["rope_parameters"];
    let (share, base) = if new.is_object() {
        if !matches!(new["rope_type"].as_str(), None | Some("default")) {
            return Err(blame.error("`rope_parameters.rope_type` is not `default`; scaled rotation is not supported"));
        }
        (new["partial_rotary_factor"].as_f64(), new["rope_theta"].as_f64())
    } else {
        (config["rotary_pct"].as_f64(), config["rotary_emb_base"].as_f64())
    };
    match (share, base) {
        (Some(share), Some(base)) if share > 0.0 && share <= 1.0 && (1.0..1e9).contains(&base) => {
            Ok((share, base as f32))
        }
        _ => Err(blame
            .error("neither `rotary_pct` with `rotary_emb_base` nor `rope_parameters` says how positions are rotated")),
    }
}

/// Settings that would change every answer and that GGUF's gptneox cannot hold.
fn refuse_unsupported(config: &Value, blame: &Blame) -> Result<(), ConvertError> {
    if config["tie_word_embeddings"].as_bool() == Some(true) {
        return Err(blame.error("`tie_word_embeddings` is on, which gptneox in GGUF does not support"));
    }
    if config["attention_bias"].as_bool() == Some(false) {
        return Err(blame.error("`attention_bias` is off, which gptneox in GGUF does not support"));
    }
    if !config["rope_scaling"].is_null() {
        return Err(blame.error("`rope_scaling` is set; scaled rotation is not supported"));
    }
    match config["hidden_act"].as_str() {
        None | Some("gelu" | "gelu_new" | "gelu_fast") => Ok(()),
        Some(other) => Err(blame.error(format!("the activation `{}` is not GELU", super::error::shorten(other)))),
    }
}
