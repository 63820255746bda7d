//! Opening files that somebody else made: regular files only, sizes known, small ones read within a bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ConvertError;

/// Opens a regular file and tells its size. Links are followed: a hub cache is made of them.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64), ConvertError> {
    // Asked before opening: to open a named pipe would wait for its writer.
    let about = std::fs::metadata(path).map_err(ConvertError::io("open", path))?;
    if about.is_dir() {
        return Err(ConvertError::io("read", path)(io::Error::other("it is a directory; a file is needed here")));
    }
    if !about.is_file() {
        return Err(ConvertError::io("read", path)(io::Error::other("it is no regular file")));
    }
    let file = File::open(path).map_err(ConvertError::io("open", path))?;
    Ok((file, about.len()))
}

/// Reads a whole text file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ConvertError> {
    let (file, size) = open_regular(path)?;
    let refuse = |reason: String| ConvertError::io("read", path)(io::Error::other(reason));
    if size > limit {
        return Err(refuse(format!("it has {size} bytes and at most {limit} are expected")));
    }
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text).map_err(ConvertError::io("read", path))?;
    if text.is_empty() {
        return Err(refuse("it is empty; the download or copy did not finish".to_owned()));
    }
    Ok(text)
}
