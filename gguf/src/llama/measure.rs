//! Which number of threads and which batch are fastest on this machine with this model, by trying, once.
//!
//! The best batch is not "all of them": on one machine a batch of 64 rows took five times as long as one of 32. What was
//! found on a quiet machine is kept in the user's cache folder, so that only the first start pays for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use serde::{Deserialize, Serialize};

use super::cache::{streams, with_cells};
use super::context::open;
use super::{LlamaBackend, StartError, device};
use crate::backend::{Backend, Batch, DecodeError, LaneId, Token};
use crate::request::{EngineConfig, KvLayout};

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Threads to compute with.
    pub threads: u32,
    /// Most rows of one decode.
    pub rows: usize,
}

/// Each shape is tried this often: the fastest counts, since a neighbour can only slow one down.
const TRIES: usize = 2;
/// How much faster fewer threads, or fewer rows, must be to be chosen: a busy neighbour must not decide it.
const CLEARLY: f64 = 1.25;
/// Below so many slots all rows go into one batch: no machine was seen to be faster with two.
const FEW_SLOTS: usize = 16;
/// KV cells of a context that only measures.
const MEASURED_CELLS: u32 = 1024;
/// Those of each stream, where it is split: llama.cpp's smallest.
const MEASURED_STREAM: u32 = 256;
/// Most choices kept.
const MOST_KEPT: usize = 64;

/// Chooses threads (unless `config` names them) and rows: as remembered, or by trying.
///
/// # Errors
/// [`StartError`] where no context can be opened or a decode fails.
pub fn choose(
    model: &LlamaModel,
    adapter: Option<&mut LlamaLoraAdapter>,
    config: &EngineConfig,
) -> Result<Choice, StartError> {
    let config = &with_cells(model, config)?;
    let key = key(config, streams(model, config)?.is_some());
    let mut kept = remembered();
    if let Some(choice) = kept.get(&key).filter(|choice| choice.threads > 0 && choice.rows > 0) {
        return Ok(*choice);
    }
    let choice = measure(model, adapter, config)?;
    if !quiet() {
        return Ok(choice);
    }
    if kept.len() >= MOST_KEPT {
        kept.clear();
    }
    kept.insert(key, choice);
    remember(&kept);
    Ok(choice)
}

/// Tries threads and rows.
///
/// # Errors
/// [`StartError`] where no context can be opened or a decode fails.
pub fn measure(
    model: &LlamaModel,
    mut adapter: Option<&mut LlamaLoraAdapter>,
    config: &EngineConfig,
) -> Result<Choice, StartError> {
    let config = &with_cells(model, config)?;
    let slots = config.slots as usize;
    let mut shapes = vec![slots];
    if slots > FEW_SLOTS {
        // From 64 on llama.cpp attends in tiles of 64 rows, to the cells of all that are in one.
        shapes.extend(
            [63, slots.div_ceil(2), slots.div_ceil(4)].into_iter().filter(|rows| (FEW_SLOTS..slots).contains(rows)),
        );
    }
    let mut chosen = Choice { threads: config.threads, rows: slots };
    let mut to_beat = 0.0;
    for threads in candidates(config.threads) {
        let small = small(model, config, threads)?;
        let mut backend = LlamaBackend::new(open(model, adapter.as_deref_mut(), &small)?);
        let mut most = 0.0;
        for &rows in &shapes {
            let time = decode_time(&mut backend, rows).map_err(|error| StartError::llama("measure", error))?;
            let speed = rows as f64 / time.as_secs_f64().max(1e-9);
            tracing::debug!(threads, rows, speed, "tokens per second");
            most = f64::max(most, speed);
            if speed > to_beat {
                chosen = Choice { threads, rows };
                to_beat = speed * CLEARLY;
            }
        }
        // Half as many threads can hardly be better where these are not slowed down.
        to_beat = f64::max(to_beat, most * CLEARLY);
    }
    Ok(chosen)
}

/// The same set-up with a KV cache that is just large enough to measure in.
fn small(model: &LlamaModel, config: &EngineConfig, threads: u32) -> Result<EngineConfig, StartError> {
    let split = streams(model, config)?;
    let context_tokens = config.context_tokens.min(if split.is_some() { MEASURED_STREAM } else { MEASURED_CELLS });
    let (kv_tokens, kv_layout) = match split {
        Some(streams) => (streams * MEASURED_STREAM, KvLayout::Split),
        None => (config.kv_tokens.min(MEASURED_CELLS), KvLayout::Unified),
    };
    Ok(EngineConfig { threads, context_tokens, kv_tokens, kv_layout, ..config.clone() })
}

/// Numbers of threads worth trying, the likeliest first.
fn candidates(asked: u32) -> Vec<u32> {
    if asked > 0 {
        return vec![asked];
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    // One thread is tried while serving ([`crate::team`]): what fits a busy moment must not be kept.
    let mut candidates = vec![cores, cores.div_ceil(2).max(2.min(cores))];
    candidates.dedup();
    candidates
}

/// The shortest of a few decodes of one token in each of `rows` lanes.
fn decode_time(backend: &mut impl Backend, rows: usize) -> Result<Duration, DecodeError> {
    let limits = backend.limits();
    let rows = rows.min(limits.lanes);
    let lane = |index: usize| LaneId(u16::try_from(index).unwrap_or(u16::MAX));
    let mut batch = Batch::new(limits);
    let mut shortest = Duration::MAX;
    for position in 0..=TRIES {
        batch.clear();
        for row in 0..rows {
            let token = Token::try_from((position * 31 + row * 7 + 100) % limits.vocabulary).unwrap_or(0);
            batch.push(lane(row), position, token, true).map_err(|error| DecodeError::Failed(error.to_string()))?;
        }
        let time = backend.decode(&batch)?;
        // The first of each shape builds its graph.
        if position > 0 {
            shortest = shortest.min(time);
        }
    }
    (0..rows).for_each(|row| backend.truncate(lane(row), 0));
    Ok(shortest)
}

/// Whether nothing else computes much: only then is a choice worth keeping.
fn quiet() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let minute = load.and_then(|load| load.split(' ').next().and_then(|minute| minute.parse::<f64>().ok()));
    minute.is_some_and(|minute| minute < cores as f64 * 0.75)
}

/// To be raised when gguf/native changes what a step takes.
const KERNELS: &str = "kernels=2";

/// What the choice depends on, as far as it can be told without trying. Not the number of cells, which follows from the
/// memory that is free at a start.
fn key(config: &EngineConfig, split: bool) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let bytes = std::fs::metadata(&config.model).map_or(0, |file| file.len());
    let name = config.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processor = processor.trim_start_matches([' ', '\t', ':']);
    let passive = std::env::var("OMP_WAIT_POLICY").unwrap_or_default();
    let EngineConfig { slots, threads, gpu_layers, adapter, kv_keys, .. } = config;
    let kv = format!(" split={split} keys={kv_keys:?}");
    let others = std::env::var("AI_FRIEND_KERNELS").unwrap_or_default();
    let (adapted, gpus) = (adapter.is_some(), device::names(config));
    format!(
        "{name} {bytes} adapter={adapted} gpu={gpu_layers} {gpus} slots={slots} threads={threads} on {cores} x {processor} {passive}{kv} {KERNELS} {others}"
    )
}

fn cache_file() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("ai-friend").join("engine-choices.json"))
}

fn remembered() -> BTreeMap<String, Choice> {
    let read = cache_file().and_then(|file| std::fs::read(file).ok());
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Where it cannot be written the next start measures again.
fn remember(kept: &BTreeMap<String, Choice>) {
    let write = || -> Option<()> {
        let file = cache_file()?;
        std::fs::create_dir_all(file.parent()?).ok()?;
        let partial = file.with_extension(format!("{}.partial", std::process::id()));
        std::fs::write(&partial, serde_json::to_vec_pretty(kept).ok()?).ok()?;
        std::fs::rename(partial, file).ok()
    };
    if write().is_none() {
        tracing::debug!("the engine's choice of threads and rows could not be kept");
    }
}
