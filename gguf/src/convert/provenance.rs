//! Where an adapter comes from, what it goes over and what it may be used for: `friend_adapter.json` in a PEFT folder, and
//! the keys of the same meaning in an adapter's GGUF.

use std::path::Path;

use serde::Deserialize;

use super::error::{Blame, ConvertError};
use super::files::read_text;
use super::format::{GgufFile, MetaValue, Metadata};
use crate::catalogue::{Template, is_sha256};

/// The file's name in a PEFT folder.
pub const PROVENANCE_FILE: &str = "friend_adapter.json";

const MAX_FILE: u64 = 1 << 16;
const MAX_TEXT: usize = 4096;

const NAME: &str = "general.name";
const LICENCE: &str = "general.license";
const BASE_SHA256: &str = "friend.adapter.base_sha256";
const BASE_NAME: &str = "friend.adapter.base_name";
const TEMPLATE: &str = "friend.adapter.template";
const COMMERCIAL: &str = "friend.adapter.commercial";
const DATA: &str = "friend.adapter.data";
const RECIPE: &str = "friend.adapter.recipe";
// Of a model that an adapter was merged into: what that adapter was trained for. Under other names than an adapter's own, as
// the merged model is nobody's adapter.
const MERGED_BASE_SHA256: &str = "friend.merged.base_sha256";
const MERGED_BASE_NAME: &str = "friend.merged.base_name";

/// What an adapter says of itself. Nothing of it must be said; what is said has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// What it is called.
    pub name: Option<String>,
    /// Its licence, as a person should read it.
    pub licence: Option<String>,
    /// Whether it may be used commercially.
    pub commercial: Option<bool>,
    /// The sha256 of the GGUF that it was trained for, in lower-case hexadecimal.
    pub base_sha256: Option<String>,
    /// What that base is called.
    pub base_name: Option<String>,
    /// How the prompts of its training were written.
    pub template: Option<Template>,
    /// What it was trained on.
    pub data: Option<String>,
    /// How it was trained.
    pub recipe: Option<String>,
}

impl Provenance {
    /// Of an adapter: a PEFT folder or a GGUF.
    ///
    /// # Errors
    /// [`ConvertError`] when what it says of itself is broken; to say nothing is none.
    pub fn of(adapter: &Path) -> Result<Self, ConvertError> {
        if !adapter.is_dir() {
            let file = GgufFile::open(adapter)?;
            return Self::of_metadata(&file.metadata, &Blame::new("LoRA adapter", adapter));
        }
        let path = adapter.join(PROVENANCE_FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::parse(&read_text(&path, MAX_FILE)?, &Blame::new("provenance of an adapter", &path))
    }

    pub(crate) fn parse(text: &str, blame: &Blame) -> Result<Self, ConvertError> {
        let said: Self = serde_json::from_str(text).map_err(|error| blame.error(error.to_string()))?;
        said.checked().map_err(|reason| blame.error(reason))
    }

    fn of_metadata(metadata: &Metadata, blame: &Blame) -> Result<Self, ConvertError> {
        // Names and licences are in files of others too: one that is no plain text is passed over, not refused.
        let anyones = |key: &str| metadata.text(key).filter(|text| is_plain_text(text)).map(str::to_owned);
        let ours = |key: &str| match metadata.get(key) {
            None => Ok(None),
            Some(MetaValue::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(blame.error(format!("`{key}` is no text"))),
        };
        let commercial = match metadata.get(COMMERCIAL) {
            None => None,
            Some(MetaValue::Bool(allowed)) => Some(*allowed),
            Some(_) => return Err(blame.error(format!("`{COMMERCIAL}` is neither true nor false"))),
        };
        let template = match ours(TEMPLATE)?.as_deref() {
            None => None,
            Some("chat") => Some(Template::Chat),
            Some("dolly") => Some(Template::Dolly),
            Some(_) => return Err(blame.error(format!("`{TEMPLATE}` is neither `chat` nor `dolly`"))),
        };
        let said = Self {
            name: anyones(NAME),
            licence: anyones(LICENCE),
            commercial,
            base_sha256: ours(BASE_SHA256)?,
            base_name: ours(BASE_NAME)?,
            template,
            data: ours(DATA)?,
            recipe: ours(RECIPE)?,
        };
        said.checked().map_err(|reason| blame.error(reason))
    }

    /// Sets the keys of an adapter's GGUF.
    pub(crate) fn add_to(&self, metadata: &mut Metadata) {
        let texts = [
            (NAME, &self.name),
            (LICENCE, &self.licence),
            (BASE_SHA256, &self.base_sha256),
            (BASE_NAME, &self.base_name),
            (DATA, &self.data),
            (RECIPE, &self.recipe),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                metadata.set(key, MetaValue::Text(text.clone()));
            }
        }
        if let Some(template) = self.template {
            metadata.set(TEMPLATE, MetaValue::Text(template.name().to_owned()));
        }
        if let Some(allowed) = self.commercial {
            metadata.set(COMMERCIAL, MetaValue::Bool(allowed));
        }
    }

    /// Sets the keys of a base that the adapter was merged into: what it was trained on and may be used for goes with its
    /// changes. What would make the whole an adapter of another base stays out; which base it was trained for is told apart.
    pub(crate) fn add_to_merged(&self, metadata: &mut Metadata) {
        // Both texts, where both fit; what the adapter says is never dropped.
        let joined = |key: &str, own: &Option<String>, between: &str| {
            let base = metadata.text(key).filter(|text| is_plain_text(text));
            match (base, own) {
                (Some(base), Some(own)) if base != own => Some(format!("{base}{between}{own}"))
                    .filter(|both| is_plain_text(both))
                    .or_else(|| Some(own.clone())),
                (base, own) => own.clone().or(base.map(str::to_owned)),
            }
        };
        let merged = Self {
            licence: joined(LICENCE, &self.licence, "; the adapter merged into it: "),
            data: joined(DATA, &self.data, "; "),
            recipe: joined(RECIPE, &self.recipe, "; "),
            // What an earlier adapter forbade stays forbidden.
            commercial: match metadata.get(COMMERCIAL) {
                Some(MetaValue::Bool(false)) => Some(false),
                _ => self.commercial,
            },
            ..Self::default()
        };
        merged.add_to(metadata);
        for (key, text) in [(MERGED_BASE_SHA256, &self.base_sha256), (MERGED_BASE_NAME, &self.base_name)] {
            if let Some(text) = text {
                metadata.set(key, MetaValue::Text(text.clone()));
            }
        }
    }

    fn checked(mut self) -> Result<Self, String> {
        let texts = [
            ("name", &self.name),
            ("licence", &self.licence),
            ("base_name", &self.base_name),
            ("data", &self.data),
            ("recipe", &self.recipe),
        ];
        for (key, text) in texts {
            if text.as_ref().is_some_and(|text| !is_plain_text(text)) {
                return Err(format!("`{key}` is no text of 1 to {MAX_TEXT} bytes without control characters"));
            }
        }
        if self.base_sha256.as_ref().is_some_and(|hash| !is_sha256(hash)) {
            return Err("`base_sha256` is no sha256 in hexadecimal".to_owned());
        }
        self.base_sha256 = self.base_sha256.map(|hash| hash.to_ascii_lowercase());
        Ok(self)
    }
}

/// What may be printed as it is.
fn is_plain_text(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"name": "friend", "licence": "Apache-2.0", "commercial": true, "base_name": "SmolLM2",
        "base_sha256": "AB00000000000000000000000000000000000000000000000000000000000000", "template": "chat",
        "data": "written for it", "recipe": "rank 8"}"#;

    fn blame() -> Blame {
        Blame::new("provenance", Path::new("friend_adapter.json"))
    }

    #[test]
    fn what_is_said_survives_the_way_into_gguf() {
        let said = Provenance::parse(WHOLE, &blame()).unwrap();
        assert!(said.base_sha256.as_ref().unwrap().starts_with("ab0"), "in lower case");
        let mut metadata = Metadata::default();
        said.add_to(&mut metadata);
        assert_eq!(metadata.text("friend.adapter.template"), Some("chat"));
        assert_eq!(Provenance::of_metadata(&metadata, &blame()).unwrap(), said);
        assert_eq!(Provenance::parse("{}", &blame()).unwrap(), Provenance::default());
    }

    #[test]
    fn a_merged_model_says_what_its_adapter_said_and_is_no_adapter() {
        let said =
            Provenance::parse(&WHOLE.replace("true", "false").replace("Apache-2.0", "CC BY-NC 4.0"), &blame()).unwrap();
        let mut metadata = Metadata::default();
        metadata.set(NAME, MetaValue::Text("SmolLM2".into()));
        metadata.set(LICENCE, MetaValue::Text("apache-2.0".into()));
        said.add_to_merged(&mut metadata);
        let merged = Provenance::of_metadata(&metadata, &blame()).unwrap();
        assert_eq!(merged.commercial, Some(false));
        assert_eq!(merged.licence.as_deref(), Some("apache-2.0; the adapter merged into it: CC BY-NC 4.0"));
        assert_eq!((merged.name.as_deref(), merged.data.as_deref()), (Some("SmolLM2"), Some("written for it")));
        assert_eq!((merged.base_sha256, merged.template), (None, None));
        assert_eq!(metadata.text("friend.merged.base_sha256"), said.base_sha256.as_deref());
        assert_eq!(metadata.text("friend.merged.base_name"), Some("SmolLM2"));
        // Another adapter that allows it does not lift what the first forbids.
        Provenance::parse(WHOLE, &blame()).unwrap().add_to_merged(&mut metadata);
        let twice = Provenance::of_metadata(&metadata, &blame()).unwrap();
        assert_eq!(twice.commercial, Some(false));
        assert!(twice.licence.unwrap().contains("CC BY-NC 4.0; the adapter merged into it: Apache-2.0"));
    }

    #[test]
    fn what_is_said_wrongly_is_refused() {
        for (from, to) in [
            ("AB00", "AB0"),
            ("\"chat\"", "\"poem\""),
            ("true", "\"yes\""),
            ("\"friend\"", "\"\""),
            ("\"friend\"", "\"a\\u001b[2J\""),
            ("licence", "license"),
        ] {
            Provenance::parse(&WHOLE.replace(from, to), &blame()).unwrap_err();
        }
        for (key, value) in [
            (BASE_SHA256, MetaValue::Text("short".into())),
            (BASE_NAME, MetaValue::U32(1)),
            (TEMPLATE, MetaValue::Text("poem".into())),
            (COMMERCIAL, MetaValue::Text("yes".into())),
        ] {
            let mut metadata = Metadata::default();
            metadata.set(key, value);
            Provenance::of_metadata(&metadata, &blame()).unwrap_err();
        }
        let mut foreign = Metadata::default();
        foreign.set(NAME, MetaValue::Text("a\u{1b}[2J".into()));
        assert_eq!(Provenance::of_metadata(&foreign, &blame()).unwrap(), Provenance::default());
    }
}
