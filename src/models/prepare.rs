//! Makes a model of the catalogue ready to serve: pulled, converted and quantised once, found ready ever after.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use friend_gguf::catalogue::Entry;
use friend_gguf::convert::format::{GgufFile, partial_path};
use friend_gguf::convert::{
    Dtype, Importance, LoraOptions, ModelOptions, QuantType, convert_lora, convert_model, preflight,
};
use friend_gguf::hub::{ADAPTER_CONFIG, RepoId};
use friend_gguf::llama::{QuantizeOptions, quantize};
use sha2::{Digest, Sha256};

use super::library::{self, Library};
use super::progress::Bar;
use super::{pull, space};
use crate::adapters::hub::Hub;
use crate::config::make_models;

/// The revision of a hub repository where the catalogue says none.
const MAIN: &str = "main";

/// Makes models ready in one library, from one hub.
#[derive(Clone, Copy, Debug)]
pub struct Workshop<'a> {
    /// The models' folder.
    pub library: &'a Library,
    /// Where missing files come from.
    pub hub: &'a Hub,
}

impl Workshop<'_> {
    /// The GGUF of an entry's base, made if it is not there yet.
    ///
    /// # Errors
    /// What could not be fetched, converted or quantised, and what to do.
    pub async fn base(&self, entry: &Entry) -> Result<PathBuf> {
        let root = self.library.root(entry)?;
        let (base, quantisation) = (&root.base, entry.quantisation);
        if let Some(path) = base.path.as_deref().filter(|path| !path.is_dir()) {
            preflight(path)?;
            return Ok(path.to_owned());
        }
        let target = self.target(entry)?;
        let source = self.source(root, quantisation)?;
        if Library::is_ready(&target, &source) {
            preflight(&target)?;
            return Ok(target);
        }
        let lock = self.lock().await?;
        if Library::is_ready(&target, &source) {
            return Ok(target);
        }
        // Before anybody asks how much space is left on the disk.
        for file in leftovers(&target) {
            Library::remove(&file);
        }
        let importance = importance_of(root)?;
        match (&base.bundled, &base.hub, &base.path) {
            (Some(file), _, _) => self.requantise_bundled(root, file, &target, quantisation).await?,
            (_, Some(hub), _) => {
                let repo = RepoId::parse(hub).map_err(anyhow::Error::msg)?;
                let folder =
                    pull::model(self.hub, self.library, repo, base.revision.as_deref().unwrap_or(MAIN)).await?;
                build(folder, target.clone(), quantisation, importance).await?;
            }
            (_, _, Some(folder)) => build(folder.clone(), target.clone(), quantisation, importance).await?,
            _ => bail!("the catalogue does not say where `{}` comes from", root.name),
        }
        let made = target.clone();
        blocking(move || Library::put_record(&made, &source)).await?;
        drop(lock);
        preflight(&target)?;
        Ok(target)
    }

    /// The GGUF of an entry's adapter and its scale, converted if it is not there yet.
    ///
    /// # Errors
    /// As [`Workshop::base`]; also when the adapter must first be added by the user.
    pub async fn adapter(&self, entry: &Entry, base: &Path) -> Result<Option<(PathBuf, f32)>> {
        let Some(adapter) = &entry.adapter else { return Ok(None) };
        let path = match (self.local_adapter(entry)?, &adapter.hub) {
            (Some(path), _) => path,
            (None, Some(hub)) => {
                let repo = RepoId::parse(hub).map_err(anyhow::Error::msg)?;
                let _lock = self.lock().await?;
                pull::adapter(self.hub, self.library, repo, MAIN).await?
            }
            (None, None) => return Ok(None),
        };
        // A made-up entry is named after its base's folder, which other adapters may share.
        let name =
            if self.library.lists(entry) { entry.name.clone() } else { format!("adapter-{}", super::path_hash(&path)) };
        let ready = self.adapter_file(&path, base, &name).await?;
        Ok(Some((ready, adapter.scale)))
    }

    /// Where an entry's adapter is on this machine; `None` where there is none, or the hub has it. Asked before gigabytes
    /// of its base are fetched.
    ///
    /// # Errors
    /// When it can be had from nowhere, and how to add it.
    pub fn local_adapter(&self, entry: &Entry) -> Result<Option<PathBuf>> {
        let Some(adapter) = &entry.adapter else { return Ok(None) };
        if let Some(file) = &adapter.shipped {
            let path = self.library.shipped_adapter(file);
            if !path.is_file() {
                bail!(
                    "the adapter {} of `{}`, which ships with ai-friend, is not there: install ai-friend again with its \
                     folder models/adapters, or run without the adapter (--no-adapter)",
                    path.display(),
                    entry.name
                );
            }
            return Ok(Some(path));
        }
        let beside = self.library.file(&entry.name);
        match (&adapter.path, &adapter.missing) {
            (Some(path), _) if path.exists() => Ok(Some(path.clone())),
            (Some(path), _) => bail!("the adapter {} of `{}` is gone", path.display(), entry.name),
            (None, Some(_)) if beside.join(ADAPTER_CONFIG).is_file() => Ok(Some(beside)),
            (None, Some(why)) => bail!(
                "the adapter of `{0}` must be added first: {why}. If you have its PEFT folder, run\n  \
                 ai-friend models add {0} --adapter FOLDER",
                entry.name
            ),
            (None, None) => Ok(None),
        }
    }

    /// An entry's adapter if it is on this machine already, be it a PEFT folder or a GGUF.
    pub fn adapter_here(&self, entry: &Entry) -> Option<PathBuf> {
        let fetched = || {
            let repo = RepoId::parse(entry.adapter.as_ref()?.hub.as_deref()?).ok()?;
            Some(pull::folder_of(self.library, &repo)).filter(|folder| folder.join(ADAPTER_CONFIG).is_file())
        };
        self.local_adapter(entry).ok()?.or_else(fetched)
    }

    /// An adapter's GGUF: the path itself, or a PEFT folder converted.
    ///
    /// # Errors
    /// When it is neither, or cannot be converted.
    pub async fn adapter_file(&self, path: &Path, base: &Path, name: &str) -> Result<PathBuf> {
        if !path.is_dir() {
            let file = GgufFile::open(path)?;
            if file.metadata.text("general.type") != Some("adapter") {
                bail!("{} is no LoRA adapter in GGUF", path.display());
            }
            return Ok(path.to_owned());
        }
        let target = self.library.file(&format!("{name}.lora.gguf"));
        let source = format!("adapter {}", fingerprint(path)?);
        if !Library::is_ready(&target, &source) {
            let _lock = self.lock().await?;
            let (adapter, base) = (path.to_owned(), base.to_owned());
            let options = LoraOptions { adapter, base, output: target.clone(), dtype: Dtype::F32 };
            blocking(move || Ok(convert_lora(&options, &mut Bar::stderr())?)).await?;
            Library::put_record(&target, &source)?;
        }
        Ok(target)
    }

    /// Where the base's GGUF of an entry is, or will be.
    ///
    /// # Errors
    /// When the catalogue's entries lead nowhere.
    pub fn target(&self, entry: &Entry) -> Result<PathBuf> {
        let root = self.library.root(entry)?;
        if let Some(path) = root.base.path.as_ref().filter(|path| !path.is_dir()) {
            return Ok(path.clone());
        }
        let stem = root.base.bundled.as_deref().map_or(root.name.as_str(), stem);
        Ok(self.library.file(&format!("{stem}.{}.gguf", entry.quantisation)))
    }

    /// What a target is made from, in words that change when it must be made again.
    fn source(&self, root: &Entry, quantisation: QuantType) -> Result<String> {
        let base = &root.base;
        let from = match (&base.bundled, &base.hub, &base.path) {
            (Some(file), _, _) => format!("{file} {}", base.sha256.as_deref().unwrap_or("unpinned")),
            (_, Some(hub), _) => format!("{hub}@{}", base.revision.as_deref().unwrap_or(MAIN)),
            (_, _, Some(folder)) => format!("folder {}", fingerprint(folder)?),
            _ => String::new(),
        };
        let by = root
            .importance
            .as_deref()
            .and_then(Importance::shipped_bytes)
            .map_or_else(String::new, |matrix| format!(" by importance {}", short_hash(matrix)));
        Ok(format!("{from} as {quantisation}{by}"))
    }

    async fn requantise_bundled(&self, root: &Entry, file: &str, target: &Path, quantisation: QuantType) -> Result<()> {
        let raw = self.library.bundled(file);
        if !raw.is_file() {
            bail!(
                "{} is not here: run {}, which fetches what ships with the project (the container image has it in \
                 /app/models/bundled, where its models.adapters is not set to another folder)",
                raw.display(),
                make_models(self.library.dir())
            );
        }
        let (expected, target) = (root.base.sha256.clone(), target.to_owned());
        let fetch = make_models(self.library.dir());
        let options = QuantizeOptions {
            input: raw.clone(),
            output: target.clone(),
            kind: quantisation,
            allow_requantize: root.requantise,
            importance: importance_of(root)?,
            threads: 0,
        };
        blocking(move || {
            if let Some(expected) = expected
                && library::sha256(&raw)? != expected
            {
                bail!("{} is damaged (its sha256 is wrong): run {fetch} to fetch it again", raw.display());
            }
            require_space(&target, quantisation.estimate(parameters(&raw)?))?;
            quantize(&options, &mut Bar::stderr())?;
            Ok(())
        })
        .await
    }

    pub(super) async fn lock(&self) -> Result<fs::File> {
        let library = self.library.clone();
        blocking(move || library.lock()).await
    }
}

fn importance_of(entry: &Entry) -> Result<Option<Importance>> {
    Ok(entry.importance.as_deref().and_then(Importance::shipped).transpose()?)
}

/// Folder → GGUF in its final form; by way of F16 where llama.cpp must quantise.
async fn build(folder: PathBuf, target: PathBuf, kind: QuantType, importance: Option<Importance>) -> Result<()> {
    blocking(move || {
        let mut bar = Bar::stderr();
        let weights = weights_bytes(&folder)?;
        let direct = match kind.name() {
            "F16" => Some(Dtype::F16),
            "Q8_0" => Some(Dtype::Q8_0),
            _ => None,
        };
        require_space(&target, if direct.is_some() { weights } else { weights + weights / 2 })?;
        if let Some(dtype) = direct {
            convert_model(&ModelOptions { folder, output: target, dtype }, &mut bar)?;
            return Ok(());
        }
        let between = Temporary(between(&target));
        convert_model(&ModelOptions { folder, output: between.0.clone(), dtype: Dtype::F16 }, &mut bar)?;
        let (input, output) = (between.0.clone(), target);
        let options = QuantizeOptions { input, output, kind, allow_requantize: false, importance, threads: 0 };
        quantize(&options, &mut bar)?;
        Ok(())
    })
    .await
}

/// What a process that was ended while it made `target` may have left: half of it, and its half-precision form, half or whole.
pub(super) fn leftovers(target: &Path) -> [PathBuf; 3] {
    let between = between(target);
    [partial_path(target), partial_path(&between), between]
}

/// The half-precision form on the way from a folder to `target`.
fn between(target: &Path) -> PathBuf {
    target.with_extension("f16.gguf")
}

/// A file that goes when the work is over, well or badly; not where the process ends.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs long work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("the work was stopped")?
}

fn require_space(target: &Path, needed: u64) -> Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    match space::free(folder) {
        Some(free) if free < needed => bail!(
            "{} needs about {} and the disk of {} has {} left; free some, or set AI_FRIEND_MODELS to another disk",
            target.display(),
            space::human(needed),
            folder.display(),
            space::human(free)
        ),
        _ => Ok(()),
    }
}

fn parameters(gguf: &Path) -> Result<u64> {
    Ok(GgufFile::open(gguf)?.tensors.iter().map(friend_gguf::convert::format::TensorRecord::values).sum())
}

/// Bytes of the weights in a Hugging Face folder.
pub(super) fn weights_bytes(folder: &Path) -> Result<u64> {
    let is_weights = |name: &str| name.ends_with(".safetensors") || name.ends_with(".bin");
    Ok(listing(folder)?.iter().filter(|(name, _, _)| is_weights(name)).map(|(_, bytes, _)| bytes).sum())
}

/// Changes when a file of a folder does: a hash over names, sizes and times.
pub(super) fn fingerprint(folder: &Path) -> Result<String> {
    Ok(short_hash(format!("{:?}", listing(folder)?).as_bytes()))
}

fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name, size and time of each file of a folder, by name.
fn listing(folder: &Path) -> Result<Vec<(String, u64, Option<std::time::SystemTime>)>> {
    let read = || -> std::io::Result<Vec<_>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let about = fs::metadata(entry.path())?;
            if about.is_file() {
                files.push((entry.file_name().to_string_lossy().into_owned(), about.len(), about.modified().ok()));
            }
        }
        files.sort();
        Ok(files)
    };
    read().with_context(|| format!("cannot read the folder {}", folder.display()))
}

/// `SmolLM2-135M-Instruct.Q4_1.gguf` → `SmolLM2-135M-Instruct`.
fn stem(file: &str) -> &str {
    let stem = file.strip_suffix(".gguf").unwrap_or(file);
    match stem.rsplit_once('.') {
        Some((name, kind)) if kind.parse::<QuantType>().is_ok() => name,
        _ => stem,
    }
}
