//! The one place that names llama.cpp: loads a model, gives it to the batching engine, keeps the library quiet.

mod backend;
mod border;
mod cache;
mod context;
mod device;
mod end;
mod environment;
// Where they are built: not in libraries that are loaded at start, nor for other processors.
#[cfg(all(
    test,
    not(feature = "dynamic-backends"),
    target_arch = "x86_64",
    target_feature = "avx2",
    target_feature = "fma",
    target_feature = "f16c"
))]
mod kernel_tests;
mod library;
mod loss;
mod measure;
mod openmp;
mod quantize;
mod verify;

use std::path::{Path, PathBuf};

pub use backend::LlamaBackend;
pub use context::{Context, load_model, open};
pub use device::gpus;
pub use end::end_process;
pub use environment::{NO_TELEMETRY, reexec_with_quiet_libraries};
pub use library::library;
pub use loss::{Loss, Stretch};
pub use measure::{Choice, choose, measure};
pub use quantize::{QuantizeOptions, quantize};
pub use verify::{Exact, NEAR_TIE, PromptCheck, Run, Verification, VerifyOptions, verify};

use crate::batcher::{Batcher, Settings};
use crate::memory;
use crate::request::{EngineConfig, ModelInfo};
use crate::thread::{EngineHandle, Serving};

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model file cannot be opened.
    #[error("cannot open the model {}: {source}; check the path, or fetch the model again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a GGUF file at all.
    #[error("{} is not a GGUF file (its first four bytes are not \"GGUF\"); fetch or convert the model again", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
    },
    /// llama.cpp refused the model, the adapter or the context.
    #[error("llama.cpp could not {what}: {why}")]
    Llama {
        /// What was tried.
        what: String,
        /// What it said.
        why: String,
    },
    /// A setting that cannot work with this model.
    #[error("{0}")]
    Setting(String),
    /// The thread could not be started.
    #[error("the engine's thread could not start: {0}")]
    Thread(#[from] std::io::Error),
}

impl StartError {
    fn llama(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Llama { what: what.into(), why: why.to_string() }
    }
}

/// Most shared prefixes: personas times modes that are in use at once.
const PREFIXES: usize = 16;

/// Loads the model on a thread of its own, and serves it from there. Returns when it is ready to answer.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn start(config: EngineConfig) -> Result<EngineHandle, StartError> {
    check_file(&config.model)?;
    if let Some((adapter, _)) = &config.adapter {
        check_file(adapter)?;
    }
    let queue = config.queue;
    EngineHandle::start(queue, move |serving| serve(&config, serving))
}

fn serve(config: &EngineConfig, serving: Serving) -> Result<(), StartError> {
    let config = &device::with_devices(config)?;
    let mut model = load_model(&config.model, config.gpu_layers)?;
    let mut adapter = context::load_adapter(&mut model, config)?;
    let config = &cache::with_cells(&model, config)?;
    let choice = choose(&model, adapter.as_mut(), config)?;
    tracing::info!(threads = choice.threads, rows = choice.rows, "the engine's choice on this machine");
    let config = &EngineConfig { threads: choice.threads, ..config.clone() };
    let context = open(&model, adapter.as_mut(), config)?;
    let info = info(config, &context);
    let settings = Settings {
        slots: config.slots as usize,
        rows: choice.rows,
        prompts: prompts(&context),
        prefixes: PREFIXES,
        parallel_rows: parallel_rows(config),
        inter_token_target: config.inter_token_target,
        host_bytes: host_bytes(config),
    };
    let mut batcher = Batcher::new(LlamaBackend::new(context), settings);
    serving.run(info, &mut batcher);
    Ok(())
}

/// Most prompts of one decode: one where each is a pass over the weights of its own.
pub fn prompts(context: &Context<'_>) -> usize {
    if context.split { 1 } else { usize::MAX }
}

/// Ordinary memory for conversations that lost their lane; to be asked for when everything else is loaded.
pub fn host_bytes(config: &EngineConfig) -> u64 {
    memory::available().unwrap_or(0) / 100 * u64::from(config.cache_ram_percent.min(100))
}

/// Fewest rows whose tokens are drawn in parallel.
///
/// Where the processor computes, its threads spin for a while after each step, on the cores that would draw: with two cores,
/// 8 rows drawn in parallel cost 7 ms more than one after the other, of 35 ms for the step.
pub fn parallel_rows(config: &EngineConfig) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match (config.gpu_layers, cores) {
        (0, ..=2) => usize::MAX,
        (0, _) => 32,
        _ => 8,
    }
}

fn info(config: &EngineConfig, context: &Context<'_>) -> ModelInfo {
    let model = context.model;
    let stem = config.model.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let vocab = model.vocab();
    let text = |token| vocab.text(token).map_or_else(String::new, |text| text.to_string_lossy().into_owned());
    ModelInfo {
        name: model.meta_val_str("general.name").unwrap_or(stem),
        architecture: model.meta_val_str("general.architecture").unwrap_or_default(),
        chat_template: model.chat_template(None).ok().and_then(|template| template.to_string().ok()),
        bos_text: text(vocab.bos()),
        eos_text: text(vocab.eos()),
        vocabulary: u32::try_from(vocab.n_tokens()).unwrap_or(0),
        context_tokens: u32::try_from(context.limits.context).unwrap_or(u32::MAX),
        adapter: config.adapter.as_ref().map(|(path, scale)| format!("{} x {scale}", path.display())),
    }
}

/// A clear word before llama.cpp sees the file.
fn check_file(path: &Path) -> Result<(), StartError> {
    let file = |source| StartError::File { path: path.to_owned(), source };
    if path.is_dir() {
        return Err(file(std::io::Error::other("it is a folder")));
    }
    let mut magic = [0_u8; 4];
    let read = std::io::Read::read(&mut std::fs::File::open(path).map_err(file)?, &mut magic).map_err(file)?;
    if read < 4 || magic != *b"GGUF" {
        return Err(StartError::NotGguf { path: path.to_owned() });
    }
    Ok(())
}
