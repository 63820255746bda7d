//! The models' folder: the catalogue over it, the files in it, and a record beside each file that was made here.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use friend_gguf::catalogue::{Catalogue, Entry, MAX_FILE};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config;

/// The user's own catalogue in the models' folder.
const OWN: &str = "catalogue.toml";
/// The folder, beside that of the adapters, of the models that ship with the program in a container.
const BUNDLED: &str = "bundled";
/// Entries may stand on entries, so deep at most.
const MAX_CHAIN: usize = 4;

/// The models' folder, its two catalogues, and the adapters that ship with the program.
#[derive(Clone, Debug)]
pub struct Library {
    dir: PathBuf,
    adapters: PathBuf,
    own: Catalogue,
    all: Catalogue,
}

/// What was written, and from what: kept beside a file as `<file>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Size of the file.
    pub bytes: u64,
    /// Its sha256, in hexadecimal.
    pub sha256: String,
    /// What it was made from: when that changes, the file is made again.
    pub source: String,
}

impl Library {
    /// Reads the shipped catalogue and the user's own.
    ///
    /// # Errors
    /// When the user's own is broken: where and how.
    pub fn open(models: &config::Models) -> Result<Self> {
        let (dir, adapters) = (find(&models.dir), find(&models.adapters));
        let mut library = Self { dir, adapters, own: Catalogue::default(), all: Catalogue::default() };
        library.read()?;
        Ok(library)
    }

    fn read(&mut self) -> Result<()> {
        let shipped = Catalogue::shipped().map_err(anyhow::Error::msg).context("the shipped catalogue is broken")?;
        let path = self.dir.join(OWN);
        self.own = match File::open(&path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(MAX_FILE + 1)
                    .read_to_string(&mut text)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                if text.len() as u64 > MAX_FILE {
                    bail!("{} is larger than any catalogue", path.display());
                }
                let parsed = Catalogue::parse(&text).map_err(anyhow::Error::msg);
                parsed.with_context(|| format!("{} is broken; mend or delete it", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Catalogue::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        self.all = shipped.overlaid(&self.own);
        Ok(())
    }

    /// Reads what other processes have written since, and holds them off until dropped, so that no entry of theirs is lost.
    fn take_turn(&mut self) -> Result<File> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        let path = self.dir.join(".catalogue.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.and_then(|file| file.lock().map(|()| file));
        let file = file.with_context(|| format!("cannot lock {}", path.display()))?;
        self.read()?;
        Ok(file)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All entries: the shipped ones, the user's over them.
    pub fn entries(&self) -> &[Entry] {
        &self.all.entries
    }

    /// An entry by name.
    ///
    /// # Errors
    /// Names the nearest one, or says how to list them.
    pub fn entry(&self, name: &str) -> Result<&Entry> {
        if let Some(entry) = self.all.get(name) {
            return Ok(entry);
        }
        let near = self.all.entries.iter().map(|entry| (strsim::jaro_winkler(&entry.name, name), &entry.name));
        let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((_, near)) => bail!("there is no model `{name}`; did you mean `{near}`? (`ai-friend models list`)"),
            None => bail!(
                "there is no model `{name}`, nor a file or folder of that name (`ai-friend models list` shows them)"
            ),
        }
    }

    /// Whether an entry is the user's own.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.get(name).is_some()
    }

    /// Whether this very entry is listed. One made up for a file may only bear the name of a listed one.
    pub fn lists(&self, entry: &Entry) -> bool {
        self.all.get(&entry.name) == Some(entry)
    }

    /// The entry at the end of the chain of `base.model`.
    ///
    /// # Errors
    /// When the chain has no end, or leads to an entry that is not there.
    pub fn root<'e>(&'e self, entry: &'e Entry) -> Result<&'e Entry> {
        root(&self.all, entry)
    }

    /// The entries that would lose their base with this one. None where a shipped one of its name shows again.
    pub fn standing_on(&self, name: &str) -> Vec<&str> {
        if Catalogue::shipped().is_ok_and(|shipped| shipped.get(name).is_some()) {
            return Vec::new();
        }
        // One that leads nowhere has no base to lose: of two that stand on each other, each can be removed.
        let stands = |entry: &&Entry| entry.base.model.as_deref() == Some(name) && self.root(entry).is_ok();
        self.all.entries.iter().filter(stands).map(|entry| entry.name.as_str()).collect()
    }

    /// Adds or replaces an entry of the user's.
    ///
    /// # Errors
    /// When it is broken or takes another entry's base away, or the folder cannot be written.
    pub fn add(&mut self, entry: Entry) -> Result<()> {
        entry.check().map_err(anyhow::Error::msg)?;
        let _turn = self.take_turn()?;
        let mut all = self.all.clone();
        all.set(entry.clone());
        root(&all, &entry)?;
        for other in self.all.entries.iter().filter(|other| self.root(other).is_ok()) {
            // The entry of the same name is the old one, which is replaced.
            if other.name != entry.name {
                root(&all, other).with_context(|| format!("`{}` cannot have this base", entry.name))?;
            }
        }
        self.own.set(entry);
        self.all = all;
        self.save()
    }

    /// Drops an entry of the user's; a shipped one of the same name shows again.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn forget(&mut self, name: &str) -> Result<()> {
        let _turn = self.take_turn()?;
        self.own.entries.retain(|entry| entry.name != name);
        self.all = Catalogue::shipped().map_err(anyhow::Error::msg)?.overlaid(&self.own);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let text = format!("# Your own models; `ai-friend models add` writes this file.\n\n{}", self.own.to_text());
        write_whole(&self.dir.join(OWN), text.as_bytes())
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A GGUF that the set-up puts into the folder. Where it is not there, the one that ships beside the adapters: a container's
    /// models' folder is a volume, which may be empty.
    pub fn bundled(&self, name: &str) -> PathBuf {
        let (own, shipped) = (self.file(name), self.adapters.with_file_name(BUNDLED).join(name));
        if !own.is_file() && shipped.is_file() { shipped } else { own }
    }

    /// An adapter that ships with the program.
    pub fn shipped_adapter(&self, name: &str) -> PathBuf {
        self.adapters.join(name)
    }

    /// Whether a file is here, whole, and made from `source`.
    pub fn is_ready(file: &Path, source: &str) -> bool {
        let size = fs::metadata(file).map(|about| about.len());
        Self::record(file).is_some_and(|record| record.source == source && size.is_ok_and(|size| size == record.bytes))
    }

    /// The record beside a file.
    pub fn record(file: &Path) -> Option<Record> {
        serde_json::from_slice(&fs::read(record_path(file)).ok()?).ok()
    }

    /// Hashes a finished file and records what it was made from.
    ///
    /// # Errors
    /// When it cannot be read, or the record not be written.
    pub fn put_record(file: &Path, source: &str) -> Result<Record> {
        let record = Record { bytes: fs::metadata(file)?.len(), sha256: sha256(file)?, source: source.to_owned() };
        write_whole(&record_path(file), &serde_json::to_vec_pretty(&record)?)?;
        Ok(record)
    }

    /// Removes a file and its record. Tells the bytes freed.
    pub fn remove(file: &Path) -> u64 {
        let freed = fs::metadata(file).map_or(0, |about| about.len());
        let _ = fs::remove_file(record_path(file));
        if fs::remove_file(file).is_ok() { freed } else { 0 }
    }

    /// Waits for other processes that prepare models in this folder, and holds them off until dropped. A wait is told on
    /// standard error.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.dir).with_context(|| {
            format!(
                "cannot make the models' folder {}; set AI_FRIEND_MODELS to one that you can write",
                self.dir.display()
            )
        })?;
        let path = self.dir.join(".prepare.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot write into {}", self.dir.display()))?;
        let locked = match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another process that prepares models in {}", self.dir.display());
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
        };
        locked.with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

fn root<'e>(all: &'e Catalogue, entry: &'e Entry) -> Result<&'e Entry> {
    let mut root = entry;
    for _ in 0..MAX_CHAIN {
        let Some(next) = &root.base.model else { return Ok(root) };
        root = all.get(next).with_context(|| {
            format!(
                "`{0}` stands on `{next}`, which is not in the catalogue: remove it (`ai-friend models remove {0}`), or give \
                 it another base (`ai-friend models add {0} --base …`)",
                root.name
            )
        })?;
    }
    bail!(
        "`{}` stands on itself, or is one of more than {MAX_CHAIN} that stand on each other: give it another base with --base",
        entry.name
    )
}

/// A folder as it is named; one that is not there is looked for beside the binary's project, so that the relative default
/// works from any working folder.
fn find(dir: &Path) -> PathBuf {
    let beside = || {
        let binary = std::env::current_exe().ok().filter(|_| dir.is_relative())?;
        binary.ancestors().skip(1).take(4).map(|parent| parent.join(dir)).find(|found| found.is_dir())
    };
    if dir.is_dir() { dir.to_owned() } else { beside().unwrap_or_else(|| dir.to_owned()) }
}

fn record_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Writes a small file in one step: a reader sees the old one or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The sha256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let got = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if got == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(&buffer[..got]);
    }
}
