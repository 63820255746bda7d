//! The Hugging Face hub's download protocol, without its HTTP: names, paths, what headers mean, and how a cut download
//! goes on. The program's adapter brings the requests and the disk.
//!
//! `GET|HEAD /{owner}/{name}/resolve/{revision}/{file}` answers with the file or a redirect to its store. `X-Linked-Etag`
//! is the sha256 of a file in the large-file store, `X-Linked-Size` its size, `X-Repo-Commit` the commit that the revision
//! stands for. Source: huggingface_hub's documentation of `get_hf_file_metadata`.

use std::fmt;

use crate::catalogue::is_plain;

/// A repository: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoId(String);

impl RepoId {
    /// Checks a repository's name.
    ///
    /// # Errors
    /// What it must look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((owner, name)) if is_plain(owner) && is_plain(name) && !text.contains("..") => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!("`{}` is no repository of the hub: it is written owner/name", text.escape_debug())),
        }
    }

    /// The name of its folder in a cache.
    pub fn folder(&self) -> String {
        self.0.replace('/', "--")
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a file below the hub's address.
pub fn resolve_path(repo: &RepoId, revision: &str, file: &str) -> String {
    format!("/{repo}/resolve/{revision}/{file}")
}

/// What the hub says of a file before it is downloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes, if it says.
    pub size: Option<u64>,
    /// sha256 in lower-case hexadecimal; only large files have one.
    pub sha256: Option<String>,
    /// The commit that the revision stands for.
    pub commit: Option<String>,
}

impl FileInfo {
    /// Reads the headers of an answer that is the file itself.
    pub fn from_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let tag = header("x-linked-etag").or_else(|| header("etag"));
        Self::said(tag, header("x-linked-size").or_else(|| header("content-length")), header)
    }

    /// Reads the headers of a redirect to the file: its own length and tag are not the file's.
    pub fn from_redirect<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self::said(header("x-linked-etag"), header("x-linked-size"), header)
    }

    fn said<'a>(tag: Option<&str>, size: Option<&str>, header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let tag = tag.unwrap_or_default();
        let tag = tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let is_sha256 = tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let commit = header("x-repo-commit").filter(|commit| commit.len() <= 64 && is_plain(commit));
        Self {
            size: size.and_then(|size| size.trim().parse().ok()),
            sha256: is_sha256.then_some(tag),
            commit: commit.map(str::to_owned),
        }
    }
}

/// What to do with the answer to a request for a file from byte `asked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Append its body.
    Append,
    /// Throw away what is there and write its body from the start: the server sends the whole file.
    Restart,
    /// Throw away what is there and ask again from the start.
    AskAgain,
    /// Wait and ask again: the server is busy or broken for the moment.
    Wait,
    /// The file is not there.
    Missing,
    /// A token is needed, or the one given does not do.
    Forbidden,
    /// Nothing that the protocol knows.
    Refused,
}

/// Judges an answer by its status and its `Content-Range`.
pub fn judge(status: u16, content_range: Option<&str>, asked: u64) -> Answer {
    match status {
        200 => Answer::Restart,
        206 => match content_range.and_then(range_start) {
            Some(start) if start == asked => Answer::Append,
            _ => Answer::AskAgain,
        },
        416 => Answer::AskAgain,
        404 | 410 => Answer::Missing,
        401 | 403 => Answer::Forbidden,
        408 | 425 | 429 | 500..=599 => Answer::Wait,
        _ => Answer::Refused,
    }
}

/// `bytes 100-199/200` → 100.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Files that a model needs beside its weights.
pub const MODEL_FILES: [&str; 2] = ["config.json", "tokenizer.json"];
/// Where weights may be, best first: an index names its shards.
pub const WEIGHT_FILES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// Files of an adapter.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// What it says of itself, where somebody has written it down.
pub const ADAPTER_PROVENANCE: &str = crate::convert::PROVENANCE_FILE;
/// Where an adapter's weights may be, best first.
pub const ADAPTER_FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_cannot_lead_elsewhere() {
        assert_eq!(RepoId::parse("databricks/dolly-v2-3b").unwrap().folder(), "databricks--dolly-v2-3b");
        for bad in ["", "dolly", "a/b/c", "../b", "a/..", "a/.b", "a b/c", "/a/b", "https://x/y", "a/b?c", "a/b\n"] {
            assert!(RepoId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn headers_tell_size_hash_and_commit_of_large_and_small_files() {
        let sha = "AB".repeat(32);
        let large = [
            ("x-linked-etag", format!("\"{sha}\"")),
            ("etag", "\"other\"".to_owned()),
            ("x-linked-size", "7".to_owned()),
        ];
        let find = |name: &str| large.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        let info = FileInfo::from_headers(find);
        assert_eq!(info, FileInfo { size: Some(7), sha256: Some("ab".repeat(32)), commit: None });
        let small = |name: &str| match name {
            "etag" => Some("W/\"da39a3ee5e6b4b0d3255bfef95601890afd80709\""),
            "content-length" => Some("12"),
            "x-repo-commit" => Some("0123abcd"),
            _ => None,
        };
        assert_eq!(
            FileInfo::from_headers(small),
            FileInfo { size: Some(12), sha256: None, commit: Some("0123abcd".into()) }
        );
    }

    #[test]
    fn a_redirects_own_length_and_tag_are_not_taken_for_the_files() {
        let sha = "ab".repeat(32);
        let own = |name: &str| match name {
            "content-length" => Some("0"),
            "etag" => Some(sha.as_str()),
            _ => None,
        };
        assert_eq!(FileInfo::from_redirect(own), FileInfo::default());
        let linked = |name: &str| match name {
            "x-linked-size" => Some("7"),
            "x-linked-etag" => Some(sha.as_str()),
            _ => own(name),
        };
        let info = FileInfo { size: Some(7), sha256: Some(sha.clone()), commit: None };
        assert_eq!(FileInfo::from_redirect(linked), info);
    }

    #[test]
    fn a_download_goes_on_only_where_the_server_agrees_on_the_place() {
        assert_eq!(judge(206, Some("bytes 100-199/200"), 100), Answer::Append);
        assert_eq!(judge(206, Some("bytes 0-199/200"), 100), Answer::AskAgain);
        assert_eq!(judge(206, None, 100), Answer::AskAgain);
        assert_eq!(judge(200, None, 100), Answer::Restart);
        assert_eq!(judge(416, None, 100), Answer::AskAgain);
        assert_eq!(judge(503, None, 0), Answer::Wait);
        assert_eq!(judge(404, None, 0), Answer::Missing);
        assert_eq!(judge(401, None, 0), Answer::Forbidden);
        assert_eq!(judge(302, None, 0), Answer::Refused);
    }
}
