//! Whether an adapter may go over a base: what it says of the base it was trained for and of how its prompts were written,
//! held against what is served. One that says nothing is believed to fit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Result, bail};
use friend_actors::persona::TemplateKind;
use friend_gguf::catalogue::Template;
use friend_gguf::convert::Provenance;
use friend_gguf::convert::format::GgufFile;
use serde::{Deserialize, Serialize};

use super::library::{Library, sha256, write_whole};
use crate::config;

/// What an adapter is to go over.
#[derive(Clone, Debug)]
pub struct Bond {
    /// The adapter's GGUF.
    pub adapter: PathBuf,
    /// The base's GGUF.
    pub base: PathBuf,
    /// How the persona wants prompts written.
    pub persona: TemplateKind,
    /// How the catalogue says that they are written for this model.
    pub listed: Option<TemplateKind>,
}

/// What a model says of an adapter that was merged into it. One that may not be used commercially is told in the log.
///
/// # Errors
/// A file that cannot be read, or says it brokenly.
pub fn of_model(gguf: &Path) -> Result<Provenance> {
    let said = Provenance::of(gguf)?;
    if said.commercial == Some(false) {
        tell(gguf, &said, "this model may not be used commercially");
    }
    Ok(said)
}

/// What to tell of a merge whose adapter names another base than this. That is no refusal: the half-precision original of a
/// base is another file, of the same weights.
///
/// # Errors
/// A file that cannot be read, or says it brokenly.
pub fn other_base(adapter: &Path, base: &Path, models: &config::Models) -> Result<Option<String>> {
    let said = Provenance::of(adapter)?;
    let Some(wanted) = said.base_sha256 else { return Ok(None) };
    let found = if base.is_file() { Some(Identity::of(base, &Library::open(models)?)?) } else { None };
    if found.as_ref().is_some_and(|found| found.is(&wanted)) {
        return Ok(None);
    }
    Ok(Some(format!(
        "mind: the adapter was trained for {} (sha256 {wanted}), and {} {}. The merged model is sound only where both hold the \
         same weights",
        said.base_name.as_deref().unwrap_or("another file"),
        base.display(),
        found.map_or_else(|| "is a folder".to_owned(), |found| format!("has sha256 {}", found.words()))
    )))
}

fn tell(file: &Path, said: &Provenance, what: &str) {
    tracing::warn!(
        file = %file.display(),
        licence = said.licence.as_deref().unwrap_or("unknown"),
        data = said.data.as_deref().unwrap_or("unknown"),
        "{what}"
    );
}

impl Bond {
    /// Reads what the adapter says of itself, and refuses it where that does not fit. One that may not be used
    /// commercially is told in the log.
    ///
    /// # Errors
    /// What does not fit, why, and what to do.
    pub fn check(&self, library: &Library) -> Result<Provenance> {
        let said = Provenance::of(&self.adapter)?;
        if let Some(wanted) = &said.base_sha256 {
            self.check_base(wanted, &said, library)?;
        }
        if let Some(wanted) = said.template {
            self.check_template(wanted)?;
        }
        if said.commercial == Some(false) {
            tell(&self.adapter, &said, "this adapter may not be used commercially");
        }
        Ok(said)
    }

    fn check_base(&self, wanted: &str, said: &Provenance, library: &Library) -> Result<()> {
        let found = Identity::of(&self.base, library)?;
        if found.is(wanted) {
            return Ok(());
        }
        bail!(
            "the adapter {} does not belong to {}: it was trained for {} (sha256 {wanted}), and this base has sha256 {}. \
             Its changes to other weights would give nonsense. Serve the base that it was trained for, give the adapter \
             of this one, or run without it (--no-adapter)",
            self.adapter.display(),
            self.base.display(),
            said.base_name.as_deref().unwrap_or("another base"),
            found.words()
        )
    }

    fn check_template(&self, wanted: Template) -> Result<()> {
        let kind = if self.persona == TemplateKind::Auto { self.listed.unwrap_or_default() } else { self.persona };
        let used = match kind {
            TemplateKind::Dolly => Template::Dolly,
            TemplateKind::Chat => Template::Chat,
            TemplateKind::Auto => {
                let own = GgufFile::open(&self.base)?.metadata.text("tokenizer.chat_template").is_some();
                if own { Template::Chat } else { Template::Dolly }
            }
        };
        if used == wanted {
            return Ok(());
        }
        let by = if self.persona == TemplateKind::Auto { "this model" } else { "this persona" };
        bail!(
            "the adapter {} was trained on prompts in the template `{}`, and {by} has them written in `{}`: it would read \
             what it never learned. Set template = \"{}\" in the persona, or run without the adapter (--no-adapter)",
            self.adapter.display(),
            wanted.name(),
            used.name(),
            wanted.name()
        )
    }
}

/// Which file a base is, and which it was made from.
#[derive(Clone, Debug)]
struct Identity {
    sha256: String,
    /// What was recorded when it was made here; names the sha256 of a pinned source.
    source: String,
}

impl Identity {
    fn of(base: &Path, library: &Library) -> Result<Self> {
        let bytes = fs::metadata(base).map_or(0, |about| about.len());
        match Library::record(base).filter(|record| record.bytes == bytes) {
            Some(record) => Ok(Self { sha256: record.sha256, source: record.source }),
            None => Ok(Self { sha256: remembered_sha256(base, library)?, source: String::new() }),
        }
    }

    fn is(&self, wanted: &str) -> bool {
        self.sha256.eq_ignore_ascii_case(wanted) || self.source.split(' ').any(|word| word.eq_ignore_ascii_case(wanted))
    }

    fn words(&self) -> String {
        let made = if self.source.is_empty() { String::new() } else { format!(", made from {}", self.source) };
        format!("{}{made}", self.sha256)
    }
}

/// A file's sha256, as it was when the file had this size and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u128,
    sha256: String,
}

/// Hashing 145 MB takes a second; a file of unchanged size and time is not hashed again.
fn remembered_sha256(file: &Path, library: &Library) -> Result<String> {
    let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let about = fs::metadata(&path)?;
    let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let Some(modified) = modified.map(|since| since.as_nanos()) else { return sha256(&path) };
    let memory = library.file(".sums").join(format!("{}.json", super::path_hash(&path)));
    let known = fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice::<Sum>(&bytes).ok());
    if let Some(known) = known
        && (&known.path, known.bytes, known.modified) == (&path, about.len(), modified)
    {
        return Ok(known.sha256);
    }
    let sum = Sum { sha256: sha256(&path)?, bytes: about.len(), modified, path };
    let remember = || -> Result<()> {
        fs::create_dir_all(library.file(".sums"))?;
        write_whole(&memory, &serde_json::to_vec_pretty(&sum)?)
    };
    if let Err(error) = remember() {
        tracing::debug!("a checksum is not remembered: {error:#}");
    }
    Ok(sum.sha256)
}
