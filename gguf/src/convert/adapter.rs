//! A LoRA adapter in memory, in GGUF's names and order of rows, whatever form it came in.

use std::path::Path;

use super::encode;
use super::error::{Blame, ConvertError};
use super::format::{GgufFile, TensorRecord};

/// Bytes of all its values at most. Rank 16 on every matrix of a 7b model needs 160 MB.
const MAX_ADAPTER: u64 = 1 << 30;

/// The low-rank products that an adapter adds to its base.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// `adapter.lora.alpha`; the product is scaled by alpha ÷ rank.
    pub alpha: f32,
    /// One pair a matrix, in the order of layers.
    pub pairs: Vec<Pair>,
}

/// The two factors for one matrix.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The matrix's name in GGUF (`blk.0.attn_qkv.weight`).
    pub target: String,
    /// Rank.
    pub rank: u64,
    /// `[rank, inputs]`, row-major.
    pub a: Vec<f32>,
    /// `[outputs, rank]`, row-major, rows in GGUF's order.
    pub b: Vec<f32>,
}

/// One matrix's product, scaled.
pub(crate) struct Delta<'a> {
    pair: &'a Pair,
    scale: f32,
}

impl Adapter {
    /// Reads an adapter from a GGUF file.
    ///
    /// # Errors
    /// [`ConvertError`] when it is no LoRA, incomplete, or its values cannot be read.
    pub fn open_gguf(path: &Path) -> Result<Self, ConvertError> {
        let file = GgufFile::open(path)?;
        let blame = Blame::new("LoRA adapter", path);
        if file.metadata.text("general.type") != Some("adapter") || file.metadata.text("adapter.type") != Some("lora") {
            return Err(blame.error("its keys do not say that it is a LoRA adapter"));
        }
        let alpha = file.metadata.float("adapter.lora.alpha");
        let alpha = alpha.filter(|alpha| alpha.is_finite()).ok_or_else(|| blame.error("it does not say its alpha"))?;
        let mut pairs = Vec::new();
        check_size(file.tensors.iter().map(TensorRecord::values).fold(0, u64::saturating_add))?;
        for tensor in &file.tensors {
            let Some(target) = tensor.name.strip_suffix(".lora_a") else { continue };
            let other = file.tensor(&format!("{target}.lora_b"));
            let other = other.ok_or_else(|| ConvertError::tensor(&tensor.name, "its second factor is missing"))?;
            let ([_, rank], [rank_b, _]) = (&tensor.dims[..], &other.dims[..]) else {
                return Err(ConvertError::tensor(&tensor.name, "is no matrix"));
            };
            if rank != rank_b {
                return Err(ConvertError::tensor(&tensor.name, format!("has rank {rank}, its other factor {rank_b}")));
            }
            let (a, b) = (whole(&file, tensor)?, whole(&file, other)?);
            pairs.push(Pair { target: target.to_owned(), rank: *rank, a, b });
        }
        if pairs.is_empty() || pairs.len() * 2 != file.tensors.len() {
            return Err(blame.error("its tensors are no pairs of LoRA factors"));
        }
        Ok(Self { alpha, pairs })
    }

    /// The product for one matrix, if the adapter has one.
    pub(crate) fn delta(&self, target: &str, scale: f32) -> Option<Delta<'_>> {
        let pair = self.pairs.iter().find(|pair| pair.target == target)?;
        Some(Delta { pair, scale: scale * self.alpha / pair.rank as f32 })
    }
}

pub(crate) fn check_size(values: u64) -> Result<(), ConvertError> {
    if values.saturating_mul(4) > MAX_ADAPTER {
        return Err(ConvertError::Unsupported(format!(
            "an adapter of {values} values is larger than any LoRA served here"
        )));
    }
    Ok(())
}

fn whole(file: &GgufFile, tensor: &TensorRecord) -> Result<Vec<f32>, ConvertError> {
    let mut bytes = vec![0; usize::try_from(tensor.bytes).unwrap_or(usize::MAX)];
    file.read_at(tensor, 0, &mut bytes)?;
    let mut values = Vec::new();
    encode::decode(tensor.kind, &bytes, &mut values).map_err(|reason| ConvertError::tensor(&tensor.name, reason))?;
    match values.iter().find(|value| !value.is_finite()) {
        Some(bad) => Err(ConvertError::tensor(&tensor.name, format!("holds {bad}"))),
        None => Ok(values),
    }
}

impl Delta<'_> {
    /// Adds rows `first…` of `scale · B · A` to `values`, whole rows of the matrix.
    pub(crate) fn add(&self, first: u64, values: &mut [f32]) {
        let rank = self.pair.rank as usize;
        let columns = self.pair.a.len() / rank;
        let factors = self.pair.b[first as usize * rank..].chunks_exact(rank);
        for (row, factors) in values.chunks_exact_mut(columns).zip(factors) {
            for (factor, source) in factors.iter().zip(self.pair.a.chunks_exact(columns)) {
                let factor = factor * self.scale;
                row.iter_mut().zip(source).for_each(|(value, source)| *value += factor * source);
            }
        }
    }
}
