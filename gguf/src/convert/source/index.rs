//! The index of a sharded checkpoint: which tensor lies in which file. Its file names come from outside, so only plain
//! names in the same folder are accepted.

use std::collections::BTreeMap;
use std::path::Path;

use crate::convert::error::{Blame, ConvertError, shorten};
use crate::convert::files::read_text;

/// A 7b model's index has 100 kB.
const MAX_INDEX: u64 = 32 << 20;
const MAX_SHARDS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Index {
    /// Shards, each once, in order of name.
    pub(crate) files: Vec<String>,
    weight_map: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct Raw {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    pub(super) fn file_of(&self, key: &str) -> Option<&String> {
        self.weight_map.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.weight_map.keys()
    }
}

pub(super) fn read(path: &Path) -> Result<Index, ConvertError> {
    let blame = Blame::new("index of shards", path);
    let extension = if path.to_string_lossy().contains(".safetensors.") { ".safetensors" } else { ".bin" };
    parse(&read_text(path, MAX_INDEX)?, extension).map_err(|reason| blame.error(reason))
}

/// Checks an index's text; its shards must end in `extension`.
pub(crate) fn parse(text: &str, extension: &str) -> Result<Index, String> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut files: Vec<String> = raw.weight_map.values().cloned().collect();
    files.sort_unstable();
    files.dedup();
    if files.is_empty() || files.len() > MAX_SHARDS {
        return Err(format!("it names {} shards", files.len()));
    }
    match files.iter().find(|name| !is_plain(name, extension)) {
        Some(bad) => Err(format!(
            "it names the shard `{}`; only files ending in {extension} in the same folder are read",
            shorten(bad)
        )),
        None => Ok(Index { files, weight_map: raw.weight_map }),
    }
}

/// Letters, digits, `-`, `_` and `.`, not beginning with a dot: nothing that could lead out of the folder.
fn is_plain(name: &str, extension: &str) -> bool {
    name.len() <= 200
        && name.ends_with(extension)
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
