//! The catalogue: which models have names, where they come from, and how they are served.
//!
//! Two files of one form: the shipped one, and the user's own beside the downloaded models. An entry of the user's hides a
//! shipped one of the same name.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::convert::{Importance, QuantType};
use crate::hub::RepoId;

/// The catalogue that ships with the program.
pub const SHIPPED: &str = include_str!("../../models/catalogue.toml");

/// Entries by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// In the order of the file.
    #[serde(default, rename = "model", skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
}

/// A model with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Lower-case letters, digits, `.`, `-` and `_`; also the name of its files.
    pub name: String,
    /// One line for the list.
    #[serde(default)]
    pub about: String,
    /// Where the weights come from.
    pub base: Base,
    /// Its LoRA adapter, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Adapter>,
    /// The form in which it is served (`Q4_K_M`, `Q8_0` …).
    #[serde(with = "quantisation")]
    pub quantisation: QuantType,
    /// Whether a base that is quantised already is quantised again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requantise: bool,
    /// The importance matrix by which it is quantised, one of those that ship with the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// How prompts are written for it.
    pub template: Template,
    /// Tokens of context that it was made for.
    pub context: u32,
    /// Its licence, as a person should read it.
    #[serde(default)]
    pub licence: String,
    /// Whether that licence allows commercial use; unsaid where nobody has checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commercial: Option<bool>,
}

/// Where a model's weights come from: exactly one of the sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// A repository of the hub (`owner/name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Branch, tag or commit of it; `main` if unsaid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// A GGUF that the set-up puts into the models' folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<String>,
    /// What the sha256 of that file must be, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Another entry, without its adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A Hugging Face folder or a GGUF on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// Where an adapter comes from: exactly one of the sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// A repository of the hub that holds a PEFT folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// A PEFT folder or a GGUF on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A GGUF that ships with the program, in its folder of adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<String>,
    /// Why it can be had from nowhere: the user must add it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// How strongly it acts; 1 is as trained.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub scale: f32,
}

/// How prompts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    /// The reference's plain text: `### Instruction:`, `### Response:`, `Person:` and `You:`.
    Dolly,
    /// The GGUF's own chat template.
    Chat,
}

impl Template {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dolly => "dolly",
            Self::Chat => "chat",
        }
    }
}

/// Bytes of a catalogue file at most.
pub const MAX_FILE: u64 = 1 << 20;
const MAX_ENTRIES: usize = 1000;

impl Catalogue {
    /// The shipped catalogue.
    ///
    /// # Errors
    /// When the build holds a broken one, which a test prevents.
    pub fn shipped() -> Result<Self, String> {
        Self::parse(SHIPPED)
    }

    /// Reads and checks a catalogue file's text.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let catalogue: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if catalogue.entries.len() > MAX_ENTRIES {
            return Err(format!("it has {} entries, more than {MAX_ENTRIES}", catalogue.entries.len()));
        }
        let mut names = HashSet::new();
        for entry in &catalogue.entries {
            entry.check().map_err(|reason| format!("entry `{}`: {reason}", entry.name.escape_debug()))?;
            if !names.insert(entry.name.as_str()) {
                return Err(format!("two entries are named `{}`", entry.name));
            }
        }
        Ok(catalogue)
    }

    /// The catalogue as a file's text.
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// One entry.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Adds an entry, in place of one of the same name.
    pub fn set(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|old| old.name == entry.name) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// This catalogue with another's entries over it.
    #[must_use]
    pub fn overlaid(mut self, own: &Self) -> Self {
        own.entries.iter().cloned().for_each(|entry| self.set(entry));
        self
    }
}

impl Entry {
    /// Checks what TOML's types cannot say.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        let base = &self.base;
        let sources = [base.hub.is_some(), base.bundled.is_some(), base.model.is_some(), base.path.is_some()];
        if sources.into_iter().filter(|given| *given).count() != 1 {
            return Err("base needs exactly one of hub, bundled, model, path".to_owned());
        }
        if let Some(hub) = &base.hub {
            RepoId::parse(hub)?;
        }
        if base.revision.as_ref().is_some_and(|revision| base.hub.is_none() || !is_plain(revision)) {
            return Err("base.revision goes with base.hub, and is a branch, tag or commit".to_owned());
        }
        if base.sha256.as_ref().is_some_and(|hash| !is_sha256(hash)) {
            return Err("base.sha256 is no sha256 in hexadecimal".to_owned());
        }
        if base.bundled.as_ref().is_some_and(|file| !is_plain(file)) {
            return Err("base.bundled is no plain file name".to_owned());
        }
        if base.model.as_ref() == Some(&self.name) {
            return Err("base.model is the entry itself".to_owned());
        }
        if !(16..=1 << 20).contains(&self.context) {
            return Err(format!("context is {} tokens; 16 to 1048576 are possible", self.context));
        }
        if let Some(name) = self.importance.as_deref().filter(|name| Importance::shipped(name).is_none()) {
            return Err(format!("no importance matrix `{}` ships with this program", name.escape_debug()));
        }
        self.adapter.as_ref().map_or(Ok(()), Adapter::check)
    }
}

impl Adapter {
    fn check(&self) -> Result<(), String> {
        let sources = [self.hub.is_some(), self.path.is_some(), self.shipped.is_some(), self.missing.is_some()];
        if sources.into_iter().filter(|given| *given).count() != 1 {
            return Err("adapter needs exactly one of hub, path, shipped, missing".to_owned());
        }
        if self.shipped.as_ref().is_some_and(|file| !is_plain(file) || !file.ends_with(".gguf")) {
            return Err("adapter.shipped is no plain name of a .gguf file".to_owned());
        }
        if let Some(hub) = &self.hub {
            RepoId::parse(hub)?;
        }
        if !(self.scale.is_finite() && self.scale.abs() <= 8.0) {
            return Err(format!("adapter.scale is {}; -8 to 8 are possible", self.scale));
        }
        Ok(())
    }
}

/// Checks a name, which also becomes the name of files.
///
/// # Errors
/// What a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.len() <= 64 && is_plain(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    Err("a name has 1 to 64 lower-case letters, digits, `-`, `_` and `.`, and begins with a letter or digit".to_owned())
}

/// Letters, digits, `-`, `_`, `.`; beginning with a letter or digit. Nothing that leads out of a folder.
pub(crate) fn is_plain(name: &str) -> bool {
    name.len() <= 128
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// 64 hexadecimal digits.
pub(crate) fn is_sha256(hash: &str) -> bool {
    hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn one() -> f32 {
    1.0
}

fn is_one(scale: &f32) -> bool {
    (scale - 1.0).abs() < f32::EPSILON
}

mod quantisation {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::convert::QuantType;

    pub(super) fn serialize<S: Serializer>(kind: &QuantType, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QuantType, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_is_sound_and_names_the_reference_models() {
        let catalogue = Catalogue::shipped().unwrap();
        for name in ["smollm2-135m-instruct", "dolly-v2-3b-lora-emphatic-dd", "dolly-v2-7b-lora-emphatic-dd"] {
            let entry = catalogue.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(!entry.licence.is_empty() && entry.commercial.is_some());
        }
        let bases = catalogue.entries.iter().filter_map(|entry| entry.base.model.as_deref());
        assert_eq!(bases.filter(|base| catalogue.get(base).is_some()).count(), 2);
        assert_eq!(Catalogue::parse(&catalogue.to_text()).unwrap(), catalogue);
    }

    #[test]
    fn every_mistake_of_an_entry_is_told() {
        let good =
            "[[model]]\nname = \"a\"\nbase.hub = \"o/n\"\nquantisation = \"Q8_0\"\ntemplate = \"chat\"\ncontext = 64\n";
        Catalogue::parse(good).unwrap();
        for (from, to, word) in [
            ("\"a\"", "\"../a\"", "name"),
            ("\"a\"", "\"A\"", "lower-case"),
            ("o/n", "o/../n", "repository"),
            ("o/n\"", "o/n\"\nbase.path = \"/x\"", "exactly one"),
            ("o/n\"", "o/n\"\nbase.sha256 = \"12\"", "sha256"),
            ("o/n\"", "o/n\"\nbase.revision = \"a/b\"", "revision"),
            ("base.hub = \"o/n\"", "base.bundled = \"../x.gguf\"", "plain"),
            ("base.hub = \"o/n\"", "base.model = \"a\"", "itself"),
            ("Q8_0", "Q9", "Q4_K_M"),
            ("chat", "chatty", "chatty"),
            ("64", "0", "context"),
            ("64\n", "64\nadapter.scale = 2.0\n", "adapter"),
            ("64\n", "64\nadapter.path = \"x\"\nadapter.scale = nan\n", "scale"),
            ("64\n", "64\nadapter.path = \"x\"\nadapter.shipped = \"x.gguf\"\n", "exactly one"),
            ("64\n", "64\nadapter.shipped = \"../x.gguf\"\n", "plain"),
            ("64\n", "64\nadapter.shipped = \"x.bin\"\n", "gguf"),
            ("64\n", "64\nimportance = \"of-nobody\"\n", "of-nobody"),
            ("64\n", "64\ncolour = 1\n", "colour"),
        ] {
            let error = Catalogue::parse(&good.replace(from, to)).unwrap_err();
            assert!(error.contains(word), "{to}: {error}");
        }
        assert!(Catalogue::parse(&good.repeat(2)).unwrap_err().contains("two entries"));
    }
}
