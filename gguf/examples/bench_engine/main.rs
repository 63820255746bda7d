//! The engine beside llama.cpp's own tools on the same machine and file: `make bench-engine`.
//!
//! `roof` compares steady decoding with `llama-batched-bench`, `peer` a conversation trace with `llama-server` over the
//! same loopback HTTP client, `stall` what a long history does to others, `sequential` one message at a time, `comeback` people
//! whose conversation lost its lane, `soak` a long run, `simulate` the trace in virtual time, `logits` whether a GPU computes what the CPU does. A and B take turns; medians with their spread are printed, and written as JSON.

mod client;
mod comeback;
mod logits;
mod peer;
mod plot;
mod probe;
mod roof;
mod shim;
mod simulate;
mod soak;
mod trace;

use std::path::PathBuf;
use std::time::Duration;

use friend_gguf::llama;
use friend_gguf::request::{EngineConfig, KvKeys, KvLayout};
use serde_json::{Map, Value, json};

/// What the command line says.
pub struct Options {
    /// The GGUF that both sides serve.
    pub model: PathBuf,
    /// llama.cpp's roof, if it was built.
    pub batched_bench: Option<PathBuf>,
    /// llama.cpp's server, if it was built.
    pub server: Option<PathBuf>,
    /// How often each side runs.
    pub rounds: usize,
    /// Threads of both sides.
    pub threads: u32,
    /// Numbers of users.
    pub users: Vec<usize>,
    /// Minutes of the long run.
    pub minutes: f64,
    /// Layers on the GPU, of both sides.
    pub gpu_layers: u32,
    /// How our KV cache is laid out.
    pub kv: KvLayout,
    /// How its keys are stored, and the roof's.
    pub keys: KvKeys,
    /// Gap between two tokens of one answer that ours aims at; the engine's own where none is named.
    pub inter_token: Option<Duration>,
    /// Where the results go.
    pub json: Option<PathBuf>,
}

const USAGE: &str = "usage: bench_engine roof|busy|peer|stall|sequential|comeback|soak|simulate|logits|plot|all --model FILE \
[--batched-bench FILE] [--server FILE] [--rounds N] [--threads N] [--users 1,8,32,64] [--minutes M] [--json FILE] \
[--gpu-layers N] [--kv auto|unified|split] [--keys auto|f16|q8_0] [--inter-token-ms N]";

impl Options {
    /// An engine of `slots` and `lanes`, each of `context_tokens` at most, on the machine's processor or GPU. A unified
    /// KV cache has `cells`; a split one as many as all lanes need; otherwise the engine counts them.
    pub fn engine(&self, slots: u32, lanes: u32, context_tokens: u32, cells: u32) -> EngineConfig {
        let kv_tokens = match self.kv {
            KvLayout::Auto => 0,
            KvLayout::Unified => cells,
            KvLayout::Split => context_tokens.next_multiple_of(256) * (lanes + OTHER_STREAMS),
        };
        let config = EngineConfig::for_model(&self.model);
        let (threads, gpu_layers, kv_layout, kv_keys) = (self.threads, self.gpu_layers, self.kv, self.keys);
        let inter_token_target = self.inter_token.unwrap_or(config.inter_token_target);
        EngineConfig {
            slots,
            lanes,
            context_tokens,
            kv_tokens,
            kv_layout,
            kv_keys,
            threads,
            gpu_layers,
            inter_token_target,
            ..config
        }
    }

    /// The name of the type of our keys in llama.cpp's tools; for a model whose heads allow eight bits.
    pub fn key_type(&self) -> &'static str {
        match self.keys {
            KvKeys::Auto if self.gpu_layers == 0 => "q8_0",
            KvKeys::Q8_0 => "q8_0",
            KvKeys::Auto | KvKeys::F16 => "f16",
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            model: PathBuf::new(),
            batched_bench: None,
            server: None,
            rounds: 3,
            threads: u32::try_from(threads).unwrap_or(1),
            users: vec![1, 8, 32, 64],
            minutes: 2.0,
            gpu_layers: 0,
            kv: KvLayout::Auto,
            keys: KvKeys::Auto,
            inter_token: None,
            json: None,
        }
    }
}

/// Streams of a split KV cache beside the lanes asked for: for shared prefixes, and a spare one.
const OTHER_STREAMS: u32 = 17;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    llama::reexec_with_quiet_libraries();
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().ok_or(USAGE)?;
    let options = parse(arguments)?;
    // The processor's figures under a GPU's name are worse than none.
    if options.gpu_layers > 0 && llama::gpus()?.is_empty() {
        return Err(
            "--gpu-layers asks for a GPU, and llama.cpp sees none: is its CUDA backend beside this program?".into()
        );
    }
    let mut results = Map::new();
    let parts: &[&str] =
        if what == "all" { &["roof", "busy", "peer", "stall", "sequential", "comeback"] } else { &[&what] };
    for part in parts {
        let result = match *part {
            "roof" => roof::run(&options)?,
            "busy" => roof::busy_neighbour(&options)?,
            "peer" => peer::run(&options)?,
            "stall" => peer::stall(&options)?,
            "sequential" => roof::sequential(&options)?,
            "comeback" => comeback::run(&options)?,
            "simulate" => simulate::run(&options)?,
            "soak" => soak::run(&options)?,
            "logits" => logits::run(&options)?,
            "plot" => plot::run(&options)?,
            _ => return Err(USAGE.into()),
        };
        let measured = !result.is_empty();
        results.extend(result);
        // A part that measured nothing (`plot`) says nothing about the machine either.
        if let Some(path) = options.json.as_ref().filter(|_| measured) {
            write(path, &options, &results)?;
        }
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--model" => options.model = value.into(),
            "--batched-bench" => options.batched_bench = Some(value.into()),
            "--server" => options.server = Some(value.into()),
            "--rounds" => options.rounds = value.parse()?,
            "--threads" => options.threads = value.parse()?,
            "--users" => options.users = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--minutes" => options.minutes = value.parse()?,
            "--gpu-layers" => options.gpu_layers = value.parse()?,
            "--kv" => {
                options.kv = match value.as_str() {
                    "auto" => KvLayout::Auto,
                    "unified" => KvLayout::Unified,
                    "split" => KvLayout::Split,
                    _ => return Err(USAGE.into()),
                }
            }
            "--keys" => {
                options.keys = match value.as_str() {
                    "auto" => KvKeys::Auto,
                    "f16" => KvKeys::F16,
                    "q8_0" => KvKeys::Q8_0,
                    _ => return Err(USAGE.into()),
                }
            }
            "--inter-token-ms" => options.inter_token = Some(Duration::from_millis(value.parse()?)),
            "--json" => options.json = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    if options.model.as_os_str().is_empty() {
        return Err(USAGE.into());
    }
    Ok(options)
}

/// Adds to what the file holds of earlier parts.
fn write(path: &PathBuf, options: &Options, results: &Map<String, Value>) -> Result<(), Box<dyn std::error::Error>> {
    let old = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
    let mut all = old.unwrap_or_default();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    let processor = processor.trim_start_matches([' ', '\t', ':']);
    // Where a bundle was carried to, there is no repository, or another one.
    let commit = std::env::var("BENCH_COMMIT").unwrap_or_else(|_| {
        let head = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
        head.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    });
    let mut machine = json!({ "processor": processor, "cores": cores, "load_1min": load });
    if let Ok(card) = std::env::var("BENCH_CARD") {
        machine["gpu"] = json!(card);
    }
    all.insert("machine".into(), machine);
    // Parts are measured one by one: each has the commit that it is of.
    let commits: Map<String, Value> = results.keys().map(|part| (part.clone(), json!(commit))).collect();
    merge(&mut all, &Map::from_iter([("commits".to_owned(), Value::Object(commits))]));
    all.insert("commit".into(), json!(commit));
    all.insert("model".into(), json!(options.model.file_name().map(|name| name.to_string_lossy())));
    merge(&mut all, results);
    std::fs::write(path, serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(())
}

/// Takes the new results in; numbers of users that were not measured this time stay.
fn merge(all: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (name, value) in new {
        match (all.get_mut(name), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                all.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The value below which a share of the values lies.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// Median and spread, to print; a dash where nothing was measured.
pub fn spread(values: &[f64]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    format!("{:.1} ({:.1} to {:.1})", median(values), percentile(values, 0.0), percentile(values, 1.0))
}
