//! What the original model computes: prompts with token ids, logits and greedy tokens, to compare a GGUF with.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::{Blame, ConvertError, shorten};
use super::files::read_text;
use super::source::Checkpoint;

const MAX_EXPECTED: u64 = 64 << 20;
const MAX_PROMPTS: usize = 1000;
const MAX_TOKENS: usize = 1 << 16;

/// The prompts of an `expected.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Expected {
    /// In the file's order.
    pub prompts: Vec<ExpectedPrompt>,
}

/// One prompt.
#[derive(Clone, Debug, Deserialize)]
pub struct ExpectedPrompt {
    /// What it is called.
    pub name: String,
    /// Its text.
    #[serde(default)]
    pub text: String,
    /// Its token ids.
    pub ids: Vec<u32>,
    /// What each variant of the model computes.
    pub variants: BTreeMap<String, ExpectedVariant>,
}

/// What one variant computes after a prompt.
#[derive(Clone, Debug, Deserialize)]
pub struct ExpectedVariant {
    /// Ids of the largest logits of the last position.
    pub top50_ids: Vec<u32>,
    /// Their logits.
    pub top50_logits: Vec<f32>,
    /// Tokens of greedy decoding.
    pub greedy24: Vec<u32>,
    /// Distance of the first from the second logit, at each of its steps.
    pub greedy24_margin: Vec<f32>,
    /// Every logit of the last position; from the file beside, where it has this variant.
    #[serde(skip)]
    pub logits: Option<Vec<f32>>,
}

impl Expected {
    /// Reads `expected.json`, and `last_logits.safetensors` beside it if it is there.
    ///
    /// # Errors
    /// [`ConvertError`] when one is damaged, or a variant is missing.
    pub fn read(path: &Path, variant: &str) -> Result<Self, ConvertError> {
        let blame = Blame::new("file of expected values", path);
        let mut expected = Self::parse(&read_text(path, MAX_EXPECTED)?, variant, &blame)?;
        expected.add_logits(&path.with_file_name("last_logits.safetensors"), variant)?;
        Ok(expected)
    }

    /// The JSON alone.
    pub(super) fn parse(text: &str, variant: &str, blame: &Blame) -> Result<Self, ConvertError> {
        let expected: Self = serde_json::from_str(text).map_err(|error| blame.error(error.to_string()))?;
        if expected.prompts.is_empty() || expected.prompts.len() > MAX_PROMPTS {
            return Err(blame.error(format!("it has {} prompts", expected.prompts.len())));
        }
        for prompt in &expected.prompts {
            let name = shorten(&prompt.name);
            if prompt.ids.is_empty() || prompt.ids.len() > MAX_TOKENS {
                return Err(blame.error(format!("the prompt `{name}` has {} tokens", prompt.ids.len())));
            }
            let Some(found) = prompt.variants.get(variant) else {
                let known: Vec<_> = prompt.variants.keys().map(|known| shorten(known)).collect();
                return Err(
                    blame.error(format!("the prompt `{name}` has no variant `{variant}`, only {}", known.join(", ")))
                );
            };
            if found.top50_ids.len() != found.top50_logits.len() || found.greedy24.len() != found.greedy24_margin.len()
            {
                return Err(blame.error(format!("the lists of the prompt `{name}` differ in length")));
            }
        }
        Ok(expected)
    }

    fn add_logits(&mut self, path: &Path, variant: &str) -> Result<(), ConvertError> {
        if !path.exists() {
            return Ok(());
        }
        let tensors = Checkpoint::open_file(path)?;
        let Some(tensor) = tensors.tensor(variant) else { return Ok(()) };
        if tensor.rows() != self.prompts.len() as u64 {
            return Err(ConvertError::tensor(variant, "has another number of rows than there are prompts"));
        }
        for (row, prompt) in (0..).zip(&mut self.prompts) {
            let mut logits = Vec::new();
            tensors.read_rows(variant, row, 1, &mut logits)?;
            if let Some(found) = prompt.variants.get_mut(variant) {
                found.logits = Some(logits);
            }
        }
        Ok(())
    }
}

impl ExpectedVariant {
    /// The largest distance from `logits`; infinite where a token is missing or a logit is no number.
    pub fn distance(&self, logits: &[f32]) -> f32 {
        let apart = |ours: Option<&f32>, theirs: &f32| {
            let distance = ours.map_or(f32::INFINITY, |ours| (ours - theirs).abs());
            if distance.is_nan() { f32::INFINITY } else { distance }
        };
        match &self.logits {
            Some(all) if all.len() != logits.len() => f32::INFINITY,
            Some(all) => all.iter().zip(logits).map(|(theirs, ours)| apart(Some(ours), theirs)).fold(0.0, f32::max),
            None => {
                let pairs = self.top50_ids.iter().zip(&self.top50_logits);
                pairs.map(|(id, theirs)| apart(logits.get(*id as usize), theirs)).fold(0.0, f32::max)
            }
        }
    }
}
