//! Writes a GGUF file tensor by tensor: the header first, then each tensor's bytes as they come, never more than one
//! buffer in memory. The file grows under `<name>.partial` and takes its name only when it is whole and on disk.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::value::{CODE_ARRAY, CODE_BOOL, CODE_I32, CODE_TEXT, MetaArray, MetaValue, Metadata};
use super::{GgmlType, MAGIC, MAX_NAME, align};
use crate::convert::error::ConvertError;

/// A tensor that the header announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlan {
    /// GGUF name, at most 63 bytes.
    pub name: String,
    /// Dimensions in ggml's order: the row length first.
    pub dims: Vec<u64>,
    /// How values are stored.
    pub kind: GgmlType,
}

impl TensorPlan {
    /// Bytes of the data; `None` where the row length is no multiple of the block, or the product leaves 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        let rows = self.dims.iter().skip(1).try_fold(1_u64, |product, dim| product.checked_mul(*dim))?;
        self.kind.bytes(*self.dims.first()?)?.checked_mul(rows)
    }
}

/// A GGUF file being written.
#[derive(Debug)]
pub struct GgufWriter {
    out: BufWriter<File>,
    partial: PathBuf,
    target: PathBuf,
    /// Names and sizes still to come, in order.
    pending: std::vec::IntoIter<(String, u64)>,
    current: Option<(String, u64)>,
    written: u64,
    finished: bool,
}

impl GgufWriter {
    /// Creates `<target>.partial` and writes the header.
    ///
    /// # Errors
    /// [`ConvertError`] when a tensor cannot be stored as planned, or the file cannot be written.
    pub fn create(target: &Path, metadata: &Metadata, tensors: &[TensorPlan]) -> Result<Self, ConvertError> {
        let (header, sizes) = header(metadata, tensors)?;
        let partial = partial_path(target);
        refuse_place(target)?;
        let file = File::create(&partial).map_err(ConvertError::io("create", &partial))?;
        let mut writer = Self {
            out: BufWriter::with_capacity(1 << 20, file),
            partial,
            target: target.to_owned(),
            pending: sizes.into_iter(),
            current: None,
            written: 0,
            finished: false,
        };
        writer.put(&header)?;
        Ok(writer)
    }

    /// Begins the next tensor, which must be the one planned next and follow a complete one.
    ///
    /// # Errors
    /// [`ConvertError::Tensor`] when it is out of order.
    pub fn begin(&mut self, name: &str) -> Result<(), ConvertError> {
        self.close_tensor()?;
        match self.pending.next() {
            Some(next) if next.0 == name => self.current = Some(next),
            other => {
                let due = other.map_or_else(|| "no tensor".to_owned(), |next| next.0);
                return Err(ConvertError::tensor(name, format!("written out of order, {due} is due")));
            }
        }
        Ok(())
    }

    /// Adds bytes to the tensor that was begun.
    ///
    /// # Errors
    /// [`ConvertError::Tensor`] when there are more than planned, [`ConvertError::Io`] when the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        let Some((name, left)) = &mut self.current else {
            return Err(ConvertError::tensor("(none)", "bytes written before a tensor was begun"));
        };
        match left.checked_sub(bytes.len() as u64) {
            Some(rest) => *left = rest,
            None => return Err(ConvertError::tensor(name, "more bytes than its shape holds")),
        }
        self.put(bytes)
    }

    /// Closes the file: flushed, synced, renamed to its final name, the directory synced too.
    ///
    /// # Errors
    /// [`ConvertError`] when a tensor is incomplete or missing, or the disk refuses; the final name is then untouched.
    pub fn finish(mut self) -> Result<u64, ConvertError> {
        self.close_tensor()?;
        if let Some((name, _)) = self.pending.next() {
            return Err(ConvertError::tensor(&name, "announced in the header but never written"));
        }
        self.out.flush().map_err(ConvertError::io("write", &self.partial))?;
        self.out.get_ref().sync_all().map_err(ConvertError::io("write", &self.partial))?;
        publish(&self.partial, &self.target)?;
        self.finished = true;
        Ok(self.written)
    }

    fn close_tensor(&mut self) -> Result<(), ConvertError> {
        match self.current.take() {
            Some((name, left)) if left > 0 => Err(ConvertError::tensor(&name, format!("{left} bytes are missing"))),
            Some(_) => self.pad(),
            None => Ok(()),
        }
    }

    fn pad(&mut self) -> Result<(), ConvertError> {
        let padding = self.written.next_multiple_of(super::ALIGNMENT) - self.written;
        self.put(&[0; super::ALIGNMENT as usize][..usize::try_from(padding).unwrap_or(0)])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        self.out.write_all(bytes).map_err(ConvertError::io("write", &self.partial))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for GgufWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody can use half a model, and it may be gigabytes.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// `model.gguf` → `model.gguf.partial`, beside it, so that the rename stays on one file system.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Refuses what a rename would put a file in place of: a folder, and a device or pipe, which others need as it is.
pub(crate) fn refuse_place(target: &Path) -> Result<(), ConvertError> {
    match fs::metadata(target) {
        Ok(about) if !about.is_file() => {
            let what = if about.is_dir() { "a directory" } else { "no file, but a device or a pipe" };
            Err(ConvertError::io("write", target)(std::io::Error::other(format!("it is {what}; name a file"))))
        }
        _ => Ok(()),
    }
}

/// Gives a whole, synced file its final name.
pub(crate) fn publish(partial: &Path, target: &Path) -> Result<(), ConvertError> {
    fs::rename(partial, target).map_err(ConvertError::io("rename", partial))?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).map_err(ConvertError::io("open", folder))?;
    folder.sync_all().map_err(ConvertError::io("sync the folder of", target))
}

/// Bytes of the header, and each tensor's name and size.
type Header = (Vec<u8>, Vec<(String, u64)>);

/// The whole header, padded, and each tensor's name and size.
fn header(metadata: &Metadata, tensors: &[TensorPlan]) -> Result<Header, ConvertError> {
    let mut out = Vec::with_capacity(4 << 20);
    out.extend(MAGIC);
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.0.len() as u64).to_le_bytes());
    for (key, value) in &metadata.0 {
        put_text(&mut out, key);
        put_value(&mut out, value);
    }
    let mut offset = 0_u64;
    let mut sizes = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        if tensor.name.len() > MAX_NAME || tensor.dims.is_empty() || tensor.dims.len() > 4 {
            return Err(ConvertError::tensor(&tensor.name, "its name or its number of dimensions does not fit GGUF"));
        }
        let refuse = || ConvertError::tensor(&tensor.name, format!("cannot be stored as {}", tensor.kind.name()));
        let bytes = tensor.bytes().ok_or_else(refuse)?;
        put_text(&mut out, &tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
        out.extend(tensor.kind.code().to_le_bytes());
        out.extend(offset.to_le_bytes());
        sizes.push((tensor.name.clone(), bytes));
        offset = offset.checked_add(bytes).and_then(align).ok_or_else(refuse)?;
    }
    out.resize(out.len().next_multiple_of(super::ALIGNMENT as usize), 0);
    Ok((out, sizes))
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &MetaValue) {
    let mut put = |code: u32, bytes: &[u8]| {
        out.extend(code.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        MetaValue::U8(value) => put(0, &value.to_le_bytes()),
        MetaValue::I8(value) => put(1, &value.to_le_bytes()),
        MetaValue::U16(value) => put(2, &value.to_le_bytes()),
        MetaValue::I16(value) => put(3, &value.to_le_bytes()),
        MetaValue::U32(value) => put(4, &value.to_le_bytes()),
        MetaValue::I32(value) => put(CODE_I32, &value.to_le_bytes()),
        MetaValue::F32(value) => put(6, &value.to_le_bytes()),
        MetaValue::Bool(value) => put(CODE_BOOL, &[u8::from(*value)]),
        MetaValue::U64(value) => put(10, &value.to_le_bytes()),
        MetaValue::I64(value) => put(11, &value.to_le_bytes()),
        MetaValue::F64(value) => put(12, &value.to_le_bytes()),
        MetaValue::Text(text) => {
            put(CODE_TEXT, &[]);
            put_text(out, text);
        }
        MetaValue::Array(array) => {
            put(CODE_ARRAY, &[]);
            put_array(out, array);
        }
    }
}

fn put_array(out: &mut Vec<u8>, array: &MetaArray) {
    let code = match array {
        MetaArray::Text(_) => CODE_TEXT,
        MetaArray::I32(_) => CODE_I32,
        MetaArray::Raw { code, .. } => *code,
    };
    out.extend(code.to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        MetaArray::Text(items) => items.iter().for_each(|item| put_text(out, item)),
        MetaArray::I32(items) => items.iter().for_each(|item| out.extend(item.to_le_bytes())),
        MetaArray::Raw { bytes, .. } => out.extend(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_device_or_a_folder_is_no_place_for_a_file() {
        for (place, what) in [("/dev/null", "a device"), ("/", "a directory")] {
            let refused = GgufWriter::create(Path::new(place), &Metadata::default(), &[]).unwrap_err().to_string();
            assert!(refused.contains(place) && refused.contains(what), "{refused}");
        }
    }
}
