//! The tiny checkpoint with a few numbers changed, so that the model wants one token above all others, whatever it read.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::fixture;

/// A Hugging Face folder.
pub struct Doctored {
    folder: TempDir,
}

impl Doctored {
    /// The last layer norm puts out its bias alone, (1, 0, 0, …), so a token's logit is the first number of its row of
    /// the output matrix: the highest for `token`.
    pub fn always_says(token: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
            fs::copy(fixture("hf-safetensors").join(file), folder.path().join(file)).unwrap();
        }
        let mut bytes = fs::read(fixture("hf-safetensors").join("model.safetensors")).unwrap();
        let (header, tensors) = bytes.split_at_mut(8);
        let length = u64::from_le_bytes(header.try_into().unwrap()) as usize;
        let (json, data) = tensors.split_at_mut(length);
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        let offset = |name: &str| json[name]["data_offsets"][0].as_u64().unwrap() as usize;
        let hidden = json["gpt_neox.final_layer_norm.bias"]["shape"][0].as_u64().unwrap() as usize;

        let (weight, bias) = (offset("gpt_neox.final_layer_norm.weight"), offset("gpt_neox.final_layer_norm.bias"));
        data[weight..weight + 2 * hidden].fill(0);
        data[bias..bias + 2 * hidden].fill(0);
        put(data, bias, 1.0);
        put(data, offset("embed_out.weight") + 2 * hidden * token, 100.0);
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        Self { folder }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Writes a number as bf16: the upper half of its f32.
fn put(data: &mut [u8], at: usize, number: f32) {
    data[at..at + 2].copy_from_slice(&number.to_le_bytes()[2..]);
}
