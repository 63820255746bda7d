//! Models of true shape, tokenizer and size with random weights: speed, memory and batching can be measured where the
//! real weights cannot be had. What such a model says is noise.
//!
//! K-quants are written block by block with constant scales and random levels, so that the file is what quantising would
//! give in size and in kernels, without a float of the original ever being made. Which tensor gets which type follows
//! llama.cpp's `llama_tensor_get_type` for GPT-NeoX.

use std::path::PathBuf;
use std::str::FromStr;

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::NeoxConfig;
use super::encode;
use super::error::{Blame, ConvertError};
use super::format::{GgmlType, GgufWriter, MetaValue, TensorPlan};
use super::gptneox::{self, Geometry, PARTS};
use super::model::{Summary, general};
use super::progress::Progress;
use super::quant::QuantType;
use super::tokenizer::add_tokenizer_text;

/// What to write.
#[derive(Clone, Debug)]
pub struct SynthesizeOptions {
    /// Whose shape.
    pub shape: Shape,
    /// F16, Q8_0, Q4_0 or Q4_K_M.
    pub kind: QuantType,
    /// Same seed, same file.
    pub seed: u64,
    /// The GGUF to write.
    pub output: PathBuf,
}

/// A model whose shape is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// databricks/dolly-v2-3b: 32 layers of 2560, 2.8 billion weights.
    Dolly3b,
    /// databricks/dolly-v2-7b: 32 layers of 4096, 6.9 billion weights.
    Dolly7b,
    /// 4 layers of 256, for tests: small enough for any machine, wide enough for K-quants.
    Tiny,
}

const SHAPES: [(&str, Shape); 3] =
    [("dolly-v2-3b", Shape::Dolly3b), ("dolly-v2-7b", Shape::Dolly7b), ("tiny", Shape::Tiny)];

impl FromStr for Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = SHAPES.iter().find(|(known, _)| *known == name);
        found.map(|(_, shape)| *shape).ok_or_else(|| {
            let known: Vec<_> = SHAPES.iter().map(|(known, _)| *known).collect();
            format!("no shape `{}`; there are {}", super::error::shorten(name), known.join(", "))
        })
    }
}

impl Shape {
    /// Its name.
    pub fn name(self) -> &'static str {
        SHAPES.iter().find(|(_, shape)| *shape == self).map_or("", |(name, _)| name)
    }

    /// As `config.json` of the real model has it.
    fn config(self) -> NeoxConfig {
        let (hidden, heads, layers) = match self {
            Self::Dolly3b => (2560, 32, 32),
            Self::Dolly7b => (4096, 32, 32),
            Self::Tiny => (256, 4, 4),
        };
        NeoxConfig {
            hidden,
            heads,
            layers,
            feed_forward: 4 * hidden,
            context: 2048,
            vocabulary: 50_280,
            rotary_dimensions: hidden / heads / 4,
            rotary_base: 10_000.0,
            norm_epsilon: 1e-5,
            parallel_residual: true,
        }
    }
}

/// The real GPT-NeoX tokenizer with Dolly's tokens (Apache-2.0).
const TOKENIZER: &str = include_str!("../../tests/fixtures/tiny/hf-safetensors/tokenizer.json");

/// Writes a model with random weights.
///
/// # Errors
/// [`ConvertError`] when the type is not one of those that can be written, or the disk refuses.
pub fn synthesize(options: &SynthesizeOptions, progress: &mut dyn Progress) -> Result<Summary, ConvertError> {
    let config = options.shape.config();
    let plans = plans(&config, options.kind)?;
    let mut metadata = general(&format!("{}-random", options.shape.name()), "model", gptneox::ARCHITECTURE);
    metadata.set("general.file_type", MetaValue::U32(options.kind.file_type()));
    gptneox::add_shape(&mut metadata, &config)?;
    let blame = Blame::new("tokenizer", std::path::Path::new("(built in)"));
    add_tokenizer_text(&mut metadata, TOKENIZER, config.vocabulary, &blame)?;
    let mut writer = GgufWriter::create(&options.output, &metadata, &plans)?;
    progress.start("writing random weights", plans.iter().filter_map(TensorPlan::bytes).sum());
    let (mut bytes, mut parameters) = (Vec::new(), 0);
    for (number, plan) in (0..).zip(&plans) {
        // A stream of its own for each tensor: its weights do not depend on the others' sizes.
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(number);
        writer.begin(&plan.name)?;
        let values: u64 = plan.dims.iter().product();
        let mut left = values;
        while left > 0 {
            let run = left.min(RUN);
            bytes.clear();
            fill(plan, run, &mut random, &mut bytes).map_err(|reason| ConvertError::tensor(&plan.name, reason))?;
            writer.write(&bytes)?;
            progress.advance(bytes.len() as u64);
            left -= run;
        }
        parameters += values;
    }
    Ok(Summary { bytes: writer.finish()?, tensors: plans.len(), parameters })
}

/// Values made at once: a multiple of every block.
const RUN: u64 = 1 << 20;
/// Spread of the weights; GPT-NeoX is initialised with 0.02.
const SPREAD: f32 = 0.02;

fn plans(config: &NeoxConfig, kind: QuantType) -> Result<Vec<TensorPlan>, ConvertError> {
    let geometry = Geometry::of_config(config);
    let mut plans = Vec::new();
    let mut add = |name: String, dims: &[u64], kind: GgmlType| {
        let kind = if dims.len() == 1 { GgmlType::F32 } else { kind };
        plans.push(TensorPlan { name, dims: dims.to_vec(), kind });
    };
    let (hidden, vocabulary) = (config.hidden, config.vocabulary);
    add("token_embd.weight".to_owned(), &[hidden, vocabulary], type_of("token_embd", 0, config.layers, kind)?);
    for layer in 0..config.layers {
        for (_, part, is_matrix) in PARTS {
            let (rows, columns) = geometry.matrix(part);
            let dims: &[u64] = if is_matrix { &[columns, rows] } else { &[rows] };
            add(format!("blk.{layer}.{part}.weight"), dims, type_of(part, layer, config.layers, kind)?);
            add(format!("blk.{layer}.{part}.bias"), &[rows], GgmlType::F32);
        }
    }
    add("output_norm.weight".to_owned(), &[hidden], GgmlType::F32);
    add("output_norm.bias".to_owned(), &[hidden], GgmlType::F32);
    add("output.weight".to_owned(), &[hidden, vocabulary], type_of("output", 0, config.layers, kind)?);
    Ok(plans)
}

/// The type that llama.cpp's quantiser gives a matrix of GPT-NeoX.
fn type_of(part: &str, layer: u64, layers: u64, kind: QuantType) -> Result<GgmlType, ConvertError> {
    // The first and last eighth of the layers, and each third between, keep more bits.
    let keeps_more = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    Ok(match (kind.name(), part) {
        ("F16", _) => GgmlType::F16,
        ("Q8_0", _) => GgmlType::Q8_0,
        ("Q4_0" | "Q4_K_M", "output") => GgmlType::Q6_K,
        ("Q4_0", _) => GgmlType::Q4_0,
        ("Q4_K_M", "attn_qkv" | "ffn_down") if keeps_more => GgmlType::Q6_K,
        ("Q4_K_M", _) => GgmlType::Q4_K,
        (other, _) => {
            return Err(ConvertError::Unsupported(format!(
                "random weights are written as F16, Q8_0, Q4_0 or Q4_K_M; write F16 and quantise it for {other}"
            )));
        }
    })
}

/// `count` random values of a tensor, encoded.
fn fill(plan: &TensorPlan, count: u64, random: &mut ChaCha8Rng, out: &mut Vec<u8>) -> Result<(), String> {
    let (block, size) = plan.kind.block().ok_or("is of an unknown type")?;
    let blocks = usize::try_from(count / block).map_err(|_| "is too large")?;
    match plan.kind {
        GgmlType::F32 => {
            // Vectors: norms near 1, biases near 0.
            let centre = if plan.name.ends_with("norm.weight") { 1.0 } else { 0.0 };
            let values: Vec<f32> = (0..count).map(|_| centre + random.random_range(-SPREAD..SPREAD)).collect();
            encode::encode(plan.kind, &values, out)
        }
        GgmlType::F16 => {
            let values: Vec<f32> = (0..count).map(|_| random.random_range(-SPREAD..SPREAD) * 1.7).collect();
            encode::encode(plan.kind, &values, out)
        }
        kind => {
            let start = out.len();
            out.resize(start + blocks * size as usize, 0);
            random.fill_bytes(&mut out[start..]);
            out[start..].chunks_exact_mut(size as usize).for_each(|block| set_scales(kind, block));
            Ok(())
        }
    }
}

/// Overwrites the scales of a block of random bytes, so that its values spread evenly around zero.
fn set_scales(kind: GgmlType, block: &mut [u8]) {
    let mut put = |at: usize, value: f32| {
        block[at..at + 2].copy_from_slice(&half::f16::from_f32(value).to_le_bytes());
    };
    match kind {
        // Levels 0…15 less 8, and −128…127: the scale alone.
        GgmlType::Q4_0 => put(0, SPREAD / 4.6),
        GgmlType::Q8_0 => put(0, SPREAD / 74.0),
        // value = d · scale · level − dmin · min, all scales and mins 32.
        GgmlType::Q4_K => {
            let middle = 7.5;
            let step = SPREAD * 1.7 / middle / 32.0;
            put(0, step);
            put(2, step * middle);
            // Eight 6-bit scales and eight 6-bit mins in twelve bytes: 32 has its upper two bits in the first eight.
            block[4..12].fill(0b1010_0000);
            block[12..16].fill(0);
        }
        // value = d · scale · (level − 32), sixteen signed scales before the last two bytes.
        GgmlType::Q6_K => {
            put(208, SPREAD * 1.7 / 32.0 / 16.0);
            block[192..208].fill(16);
        }
        _ => {}
    }
}
