//! Language models by name, file or folder: what `MODEL` says becomes a GGUF that can be served.

pub mod commands;
pub mod library;
pub mod prepare;
pub mod progress;
pub mod provenance;
pub mod pull;
pub mod remove;
pub mod report;
pub mod space;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use friend_actors::persona::TemplateKind;
use friend_gguf::catalogue::{self, Adapter, Base, Entry};
use friend_gguf::convert::{QuantType, preflight};
use friend_gguf::hub::RepoId;
use sha2::{Digest, Sha256};

use crate::adapters::hub::{Hub, Patience};
use crate::cli;
use crate::config::{self, Config};
use library::Library;
use prepare::{Workshop, blocking};
use provenance::Bond;

/// A model that is ready to be served.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedModel {
    /// What it is called: its name in the catalogue, or its file.
    pub name: String,
    /// The GGUF.
    pub gguf: PathBuf,
    /// LoRA adapter in GGUF, and its scale.
    pub adapter: Option<(PathBuf, f32)>,
    /// How prompts are written for it, where the catalogue knows; otherwise it is the persona's choice.
    pub template: Option<TemplateKind>,
    /// Its licence, where the catalogue knows it.
    pub licence: Option<String>,
    /// Whether that licence, and the adapter's, allow commercial use, where somebody has checked.
    pub commercial: Option<bool>,
}

/// Makes ready what `MODEL` says: a name of the catalogue, a `.gguf` file, a Hugging Face folder or a PEFT folder.
/// The first time that may download, convert and quantise, with progress on standard error; later it only looks.
/// May be called with or without an async runtime around; it blocks.
///
/// # Errors
/// What is missing or damaged, and what to do.
pub fn resolve(config: &Config) -> Result<ResolvedModel> {
    block_on(resolve_name(&config.model.name, config))
}

/// As [`resolve`], for any name, within an async runtime.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_name(model: &str, config: &Config) -> Result<ResolvedModel> {
    let library = Library::open(&config.models)?;
    let hub = hub(&config.models)?;
    let workshop = Workshop { library: &library, hub: &hub };
    let entry = entry_for(&library, model)?;
    if config.model.use_adapter && config.model.adapter.is_none() {
        workshop.local_adapter(&entry)?;
    }
    let gguf = workshop.base(&entry).await.with_context(|| format!("cannot make the model `{model}` ready"))?;
    let adapter = match (&config.model.adapter, config.model.use_adapter) {
        (_, false) => None,
        (Some(path), true) => {
            let name = format!("adapter-{}", path_hash(path));
            Some((workshop.adapter_file(path, &gguf, &name).await?, 1.0))
        }
        (None, true) => workshop.adapter(&entry, &gguf).await?,
    };
    let adapter = adapter.map(|(path, scale)| (path, scale * config.model.adapter_scale));
    let licence = Some(entry.licence.clone()).filter(|licence| !licence.is_empty());
    let template = library.lists(&entry).then_some(match entry.template {
        catalogue::Template::Dolly => TemplateKind::Dolly,
        catalogue::Template::Chat => TemplateKind::Chat,
    });
    let file = gguf.clone();
    let merged = blocking(move || provenance::of_model(&file)).await?;
    let mut commercial = if merged.commercial == Some(false) { Some(false) } else { entry.commercial };
    if let Some((path, _)) = &adapter {
        let persona = crate::app::persona(config)?.template;
        let bond = Bond { adapter: path.clone(), base: gguf.clone(), persona, listed: template };
        let said = blocking(move || bond.check(&library)).await?;
        commercial = if said.commercial == Some(false) { Some(false) } else { commercial };
    }
    Ok(ResolvedModel { name: entry.name, gguf, adapter, template, licence, commercial })
}

/// What a look at the model that the settings name has found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// In words.
    pub about: String,
    /// Whether its files are here, so that it can be tried.
    pub here: bool,
}

/// Whether the model that the settings name could be served. What is only a download away is not fetched.
///
/// # Errors
/// As [`resolve`].
pub fn check(config: &Config) -> Result<Checked> {
    let library = Library::open(&config.models)?;
    let entry = entry_for(&library, &config.model.name)?;
    let hub = hub(&config.models)?;
    let workshop = Workshop { library: &library, hub: &hub };
    let from_hub = library.root(&entry)?.base.hub.clone();
    if let Some(repo) = from_hub.filter(|_| !workshop.target(&entry).is_ok_and(|target| target.is_file())) {
        workshop.local_adapter(&entry)?;
        let about =
            format!("{}: not here yet; fetched from {repo} at the first start, and only then tried", entry.name);
        return Ok(Checked { about, here: false });
    }
    let ready = resolve(config)?;
    let size = space::human(std::fs::metadata(&ready.gguf).map_or(0, |about| about.len()));
    let adapter =
        ready.adapter.map_or_else(String::new, |(path, scale)| format!(", with {} at {scale}", path.display()));
    Ok(Checked { about: format!("{} ({size}){adapter}", ready.gguf.display()), here: true })
}

/// Runs `ai-friend models …`; what it finds goes to standard output.
///
/// # Errors
/// What went wrong and what to do.
pub fn run(models: &cli::models::Models, config: &Config) -> Result<ExitCode> {
    block_on(commands::run(models.command.clone(), config, &mut std::io::stdout()))
}

/// Runs a future to its end on a thread and runtime of its own, so that callers may stand inside another runtime.
fn block_on<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| bail!("preparing the model panicked"))
}

/// The hub that the settings name.
///
/// # Errors
/// When the TLS library cannot start.
pub fn hub(models: &config::Models) -> Result<Hub> {
    Hub::new(&models.hub_url, models.hub_token.clone(), Patience::default()).context("cannot start the HTTP client")
}

/// An entry for whatever `model` is: a catalogue's, or one made up for a file or folder.
fn entry_for(library: &Library, model: &str) -> Result<Entry> {
    let path = Path::new(model);
    if path.join("adapter_config.json").is_file() {
        return for_peft_folder(library, path);
    }
    if path.is_dir() {
        return for_folder(path);
    }
    if path.is_file() || model.to_ascii_lowercase().ends_with(".gguf") {
        let file = preflight(path)?;
        let name = path.file_stem().map_or_else(|| model.to_owned(), |stem| stem.to_string_lossy().into_owned());
        let context = file
            .metadata
            .integer(&format!("{}.context_length", file.metadata.text("general.architecture").unwrap_or_default()));
        let base = Base { path: Some(path.to_owned()), ..Base::default() };
        let context = context.and_then(|context| u32::try_from(context).ok()).unwrap_or(2048);
        return Ok(Entry { context, ..made_up(name, base, default_quantisation(0)?) });
    }
    if model.contains('/') {
        bail!(
            "there is no file or folder {model}; a model of the hub is added with `ai-friend models add NAME --base {model}`"
        );
    }
    library.entry(model).cloned()
}

/// Below this many bytes a folder's model is served in half precision: quantising would save nothing worth having.
const SMALL: u64 = 512 << 20;

fn default_quantisation(weights: u64) -> Result<QuantType> {
    let name = if weights <= SMALL { "F16" } else { "Q4_K_M" };
    name.parse().map_err(anyhow::Error::msg)
}

fn for_folder(folder: &Path) -> Result<Entry> {
    let whole = folder.canonicalize().with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let quantisation = default_quantisation(prepare::weights_bytes(&whole)?)?;
    let name = format!("local-{}", path_hash(&whole));
    Ok(made_up(name, Base { path: Some(whole), ..Base::default() }, quantisation))
}

/// A PEFT folder names its base: a folder beside it, or a repository that the catalogue or the hub has.
fn for_peft_folder(library: &Library, folder: &Path) -> Result<Entry> {
    let whole = folder.canonicalize().with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let text = std::fs::read_to_string(whole.join("adapter_config.json")).context("cannot read adapter_config.json")?;
    let config: serde_json::Value = serde_json::from_str(&text).context("adapter_config.json is no JSON")?;
    let Some(base) = config["base_model_name_or_path"].as_str().filter(|base| !base.is_empty()) else {
        bail!("{} does not name its base model; use `ai-friend models add NAME --base … --adapter …`", whole.display());
    };
    let adapter = Adapter { path: Some(whole.clone()), scale: 1.0, ..Adapter::default() };
    let name = format!("local-{}", path_hash(&whole));
    let beside = whole.join(base);
    if beside.join("config.json").is_file() {
        return Ok(Entry { adapter: Some(adapter), ..for_folder(&beside)? });
    }
    let listed = library
        .entries()
        .iter()
        .find(|entry| entry.base.hub.as_deref().is_some_and(|hub| hub.eq_ignore_ascii_case(base)));
    if let Some(listed) = listed {
        return Ok(Entry {
            name,
            adapter: Some(adapter),
            licence: String::new(),
            commercial: None,
            base: Base { model: Some(listed.name.clone()), ..Base::default() },
            ..listed.clone()
        });
    }
    let repo = RepoId::parse(base).map_err(|_| {
        anyhow::anyhow!("{} is for the base `{base}`, which is neither a folder nor a repository", whole.display())
    })?;
    let base = Base { hub: Some(repo.to_string()), ..Base::default() };
    Ok(Entry { adapter: Some(adapter), ..made_up(name, base, default_quantisation(u64::MAX)?) })
}

fn made_up(name: String, base: Base, quantisation: QuantType) -> Entry {
    Entry {
        name,
        about: String::new(),
        base,
        adapter: None,
        quantisation,
        requantise: false,
        importance: None,
        template: catalogue::Template::Dolly,
        context: 2048,
        licence: String::new(),
        commercial: None,
    }
}

fn path_hash(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
