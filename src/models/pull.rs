//! From the hub to a folder on this machine: the few files that a model or an adapter consists of, all of one commit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use friend_gguf::convert::shard_names;
use friend_gguf::hub::{ADAPTER_CONFIG, ADAPTER_FILES, ADAPTER_PROVENANCE, MODEL_FILES, RepoId, WEIGHT_FILES};
use serde::{Deserialize, Serialize};

use super::library::Library;
use super::progress::Bar;
use crate::adapters::hub::{Hub, Order};

/// What has arrived of a repository: `files.json` in its folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// The revision that was asked for.
    revision: String,
    /// The commit that it stood for.
    #[serde(default)]
    commit: Option<String>,
    /// Size and sha256 by name.
    files: BTreeMap<String, (u64, String)>,
    /// Whether everything has arrived.
    complete: bool,
}

const MANIFEST: &str = "files.json";
/// Bytes of an index of shards at most; a 7b model's has 100 kB.
const MAX_INDEX: u64 = 32 << 20;

/// A download of one repository.
pub struct Pull<'a> {
    hub: &'a Hub,
    repo: RepoId,
    folder: PathBuf,
    manifest: Manifest,
}

/// The folder of a repository below the models' folder.
pub fn folder_of(library: &Library, repo: &RepoId) -> PathBuf {
    library.dir().join("hub").join(repo.folder())
}

/// Fetches what a model consists of. Without the network, if all of it is here. The library must be locked.
///
/// # Errors
/// When the hub or the disk refuses, or the repository holds no weights of a kind that is read here.
pub async fn model(hub: &Hub, library: &Library, repo: RepoId, revision: &str) -> Result<PathBuf> {
    let mut pull = Pull::new(hub, library, repo, revision)?;
    if pull.is_complete() {
        return Ok(pull.folder);
    }
    for file in MODEL_FILES {
        pull.fetch(file).await?;
    }
    let Some(weights) = pull.first_of(&WEIGHT_FILES).await? else {
        bail!("{} holds no weights that are read here ({})", pull.repo, WEIGHT_FILES.join(", "));
    };
    pull.fetch(weights).await?;
    if weights.ends_with(".index.json") {
        let index = read_index(&pull.folder.join(weights)).context("cannot read the index of shards")?;
        let extension = if weights.contains("safetensors") { ".safetensors" } else { ".bin" };
        let shards = shard_names(&index, extension).map_err(anyhow::Error::msg);
        for shard in shards.with_context(|| format!("{weights} of {} is broken", pull.repo))? {
            pull.fetch(&shard).await?;
        }
    }
    pull.finish()
}

/// Fetches a PEFT adapter. The library must be locked.
///
/// # Errors
/// As [`model`].
pub async fn adapter(hub: &Hub, library: &Library, repo: RepoId, revision: &str) -> Result<PathBuf> {
    let mut pull = Pull::new(hub, library, repo, revision)?;
    if pull.is_complete() {
        return Ok(pull.folder);
    }
    pull.fetch(ADAPTER_CONFIG).await?;
    if let Some(provenance) = pull.first_of(&[ADAPTER_PROVENANCE]).await? {
        pull.fetch(provenance).await?;
    }
    match pull.first_of(&ADAPTER_FILES).await? {
        Some(weights) => pull.fetch(weights).await?,
        None => bail!("{} holds no adapter weights ({})", pull.repo, ADAPTER_FILES.join(", ")),
    }
    pull.finish()
}

impl<'a> Pull<'a> {
    fn new(hub: &'a Hub, library: &Library, repo: RepoId, revision: &str) -> Result<Self> {
        let folder = folder_of(library, &repo);
        let old =
            fs::read(folder.join(MANIFEST)).ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        let fresh = Manifest { revision: revision.to_owned(), ..Manifest::default() };
        let manifest = match old {
            Some(old) if old.revision == revision => old,
            Some(_) => {
                // Among the files of two revisions the converter could take the weights of the former one.
                clear(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
                fresh
            }
            None => fresh,
        };
        Ok(Self { hub, repo, folder, manifest })
    }

    fn is_complete(&self) -> bool {
        let here = |(name, (bytes, _)): (&String, &(u64, String))| is_here(&self.folder.join(name), *bytes);
        self.manifest.complete && self.manifest.files.iter().all(here)
    }

    /// The commit of the first file is that of all: a push meanwhile cannot mix two versions.
    fn revision(&self) -> &str {
        self.manifest.commit.as_deref().unwrap_or(&self.manifest.revision)
    }

    async fn first_of(&self, names: &[&'static str]) -> Result<Option<&'static str>> {
        for name in names {
            if self.manifest.files.contains_key(*name)
                || self.hub.info(&self.repo, self.revision(), name).await?.is_some()
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn fetch(&mut self, file: &str) -> Result<()> {
        let target = self.folder.join(file);
        let known = self.manifest.files.get(file).is_some_and(|(bytes, _)| is_here(&target, *bytes));
        if known {
            return Ok(());
        }
        let (repo, revision) = (self.repo.clone(), self.revision().to_owned());
        let order = Order { repo, revision, file: file.to_owned(), target };
        let arrival = self.hub.download(&order, &mut Bar::stderr()).await?;
        if self.manifest.commit.is_none() {
            self.manifest.commit = arrival.commit;
        }
        self.manifest.files.insert(file.to_owned(), (arrival.bytes, arrival.sha256));
        self.save()
    }

    fn finish(mut self) -> Result<PathBuf> {
        self.manifest.complete = true;
        self.save()?;
        Ok(self.folder)
    }

    fn save(&self) -> Result<()> {
        super::library::write_whole(&self.folder.join(MANIFEST), &serde_json::to_vec_pretty(&self.manifest)?)
    }
}

/// Removes the files of another revision. Its manifest stays until the new one is written, so that whoever is stopped here
/// begins here again.
fn clear(folder: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name() != MANIFEST && !file.file_type()?.is_dir() {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Whether a file is as long as the manifest says. An empty one counts as not arrived: no file of a model is empty.
fn is_here(path: &Path, bytes: u64) -> bool {
    bytes > 0 && fs::metadata(path).is_ok_and(|about| about.len() == bytes)
}

fn read_index(path: &Path) -> Result<String> {
    let mut index = String::new();
    File::open(path)?.take(MAX_INDEX + 1).read_to_string(&mut index)?;
    if index.len() as u64 > MAX_INDEX {
        bail!("it has more than {MAX_INDEX} bytes");
    }
    Ok(index)
}
