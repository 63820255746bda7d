//! Whether the GPU, or split streams, give the logits that the CPU with one pool of cells gives.

use friend_gguf::backend::{Backend, Batch, LaneId, Token};
use friend_gguf::llama::{self, LlamaBackend};
use friend_gguf::request::{KvKeys, KvLayout};
use serde_json::{Map, Value, json};

use crate::Options;

/// Sequences and tokens of each.
const LANES: u16 = 4;
const TOKENS: usize = 48;
/// Below this cosine it is no rounding. Quantised activations of a GPU's kernels were not measured by us.
const LEAST_COSINE: f64 = 0.999;

/// Computes the same batch both ways and compares the last logits of each sequence.
pub fn run(options: &Options) -> Result<Map<String, Value>, Box<dyn std::error::Error>> {
    let plain = Options {
        gpu_layers: 0,
        kv: KvLayout::Unified,
        keys: KvKeys::F16,
        model: options.model.clone(),
        ..Options::default()
    };
    let (expected, got) = (logits(&plain)?, logits(options)?);
    let (mut worst, mut least, mut same) = (0.0_f64, 1.0_f64, 0);
    for (expected, got) in expected.iter().zip(&got) {
        let pairs = || expected.iter().zip(got).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        worst = pairs().map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
        let (dot, ours, theirs) =
            pairs().fold((0.0, 0.0, 0.0), |(dot, x, y), (a, b)| (dot + a * b, x + a * a, y + b * b));
        least = least.min(dot / (ours * theirs).sqrt());
        same += usize::from(largest(expected) == largest(got));
    }
    println!(
        "logits against the CPU's: largest difference {worst:.4}, least cosine {least:.6}, same token first in {same} of {}",
        expected.len()
    );
    if least.is_nan() || least < LEAST_COSINE {
        return Err(format!("the logits differ: cosine {least:.6}, and at least {LEAST_COSINE} is expected").into());
    }
    Ok(Map::from_iter([("logits".into(), json!({ "largest_difference": worst, "least_cosine": least }))]))
}

fn logits(options: &Options) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    let config = options.engine(u32::from(LANES), u32::from(LANES) * 2, 256, 4096);
    let model = llama::load_model(&config.model, config.gpu_layers)?;
    let mut backend = LlamaBackend::new(llama::open(&model, None, &config)?);
    let limits = backend.limits();
    let mut batch = Batch::new(limits);
    for lane in 0..LANES {
        for position in 0..TOKENS {
            let token = Token::try_from((usize::from(lane) * 977 + position * 131 + 300) % limits.vocabulary)?;
            batch.push(LaneId(lane * 2), 0, token, position + 1 == TOKENS)?;
        }
    }
    backend.decode(&batch)?;
    Ok((0..batch.rows()).map(|row| backend.logits(row).to_vec()).collect())
}

fn largest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
}
