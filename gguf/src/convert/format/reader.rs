//! Reads a GGUF file's header within bounds, and its tensors' bytes by position. The file may be hostile: nothing
//! declared in it is believed before the bytes are there.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::value::{CODE_ARRAY, CODE_BOOL, CODE_I32, CODE_TEXT, MetaArray, MetaValue, Metadata, fixed_size};
use super::{ALIGNMENT, GgmlType, MAGIC, MAX_HEADER, MAX_KEYS, MAX_NAME, MAX_TENSORS};
use crate::convert::error::{Blame, ConvertError, shorten};
use crate::convert::files::open_regular;

/// A GGUF file whose header has been read and checked.
#[derive(Debug)]
pub struct GgufFile {
    /// The file's metadata.
    pub metadata: Metadata,
    /// Its tensors in the file's order, none overlapping another, all within the file.
    pub tensors: Vec<TensorRecord>,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    file: File,
    blame: Blame,
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRecord {
    /// Its name.
    pub name: String,
    /// Dimensions in ggml's order: the row length first.
    pub dims: Vec<u64>,
    /// How values are stored.
    pub kind: GgmlType,
    /// First byte, from the start of the file.
    pub start: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl TensorRecord {
    /// Number of values.
    pub fn values(&self) -> u64 {
        self.dims.iter().product()
    }
}

impl GgufFile {
    /// Reads the header of a GGUF file (versions 2 and 3, little-endian).
    ///
    /// # Errors
    /// [`ConvertError`] naming the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, ConvertError> {
        let (file, file_bytes) = open_regular(path)?;
        let blame = Blame::new("GGUF file", path);
        let mut header = Header::new(BufReader::new(&file), file_bytes, blame.clone());
        let (metadata, tensors) = header.read(file_bytes)?;
        Ok(Self { metadata, tensors, file_bytes, file, blame })
    }

    /// The record of a tensor.
    pub fn tensor(&self, name: &str) -> Option<&TensorRecord> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Fills `buffer` from a tensor's data, `from` bytes after its start.
    ///
    /// # Errors
    /// [`ConvertError`] when the range leaves the tensor, or the disk refuses.
    pub fn read_at(&self, tensor: &TensorRecord, from: u64, buffer: &mut [u8]) -> Result<(), ConvertError> {
        match from.checked_add(buffer.len() as u64) {
            Some(end) if end <= tensor.bytes => {}
            _ => return Err(ConvertError::tensor(&tensor.name, "read beyond its end")),
        }
        self.file.read_exact_at(buffer, tensor.start + from).map_err(self.blame.io("read"))
    }
}

/// Parses a header from a byte slice, as the fuzz targets do: same code, no file.
///
/// # Errors
/// As [`GgufFile::open`].
pub(crate) fn parse_header(bytes: &[u8]) -> Result<(Metadata, Vec<TensorRecord>), ConvertError> {
    let length = bytes.len() as u64;
    Header::new(bytes, length, Blame::new("GGUF file", Path::new("(bytes)"))).read(length)
}

struct Header<R> {
    input: R,
    /// Bytes that may still be read: no more than the file has, no more than a header may need.
    left: u64,
    read: u64,
    blame: Blame,
}

impl<R: Read> Header<R> {
    fn new(input: R, file_bytes: u64, blame: Blame) -> Self {
        Self { input, left: file_bytes.min(MAX_HEADER), read: 0, blame }
    }

    fn read(&mut self, file_bytes: u64) -> Result<(Metadata, Vec<TensorRecord>), ConvertError> {
        if file_bytes == 0 {
            return Err(self.blame.error("it is empty; the download or copy did not finish"));
        }
        if self.array::<4>()? != MAGIC {
            return Err(self.blame.error("it does not begin with `GGUF`; a web page or a pointer of Git LFS may have been saved in its place: fetch it again"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(self.blame.error(format!("version {version} is not supported (2 and 3 are)")));
        }
        let (tensor_count, key_count) = (self.u64()?, self.u64()?);
        if tensor_count > MAX_TENSORS || key_count > MAX_KEYS {
            return Err(self.blame.error(format!("it declares {tensor_count} tensors and {key_count} keys")));
        }
        let metadata = self.metadata(key_count)?;
        match metadata.get("general.alignment") {
            None | Some(MetaValue::U32(32)) => {}
            Some(_) => return Err(self.blame.error("its alignment is not 32")),
        }
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(self.tensor()?);
        }
        let data = self.read.next_multiple_of(ALIGNMENT);
        place(&mut tensors, data, file_bytes).map_err(|reason| self.blame.error(reason))?;
        Ok((metadata, tensors))
    }

    fn metadata(&mut self, count: u64) -> Result<Metadata, ConvertError> {
        let mut metadata = Metadata::default();
        let mut seen = HashSet::new();
        for _ in 0..count {
            let key = self.text()?;
            if !seen.insert(key.clone()) {
                return Err(self.blame.error(format!("the key `{}` occurs twice", shorten(&key))));
            }
            let code = self.u32()?;
            let value = self.value(code)?;
            metadata.0.push((key, value));
        }
        Ok(metadata)
    }

    fn value(&mut self, code: u32) -> Result<MetaValue, ConvertError> {
        Ok(match code {
            0 => MetaValue::U8(u8::from_le_bytes(self.array()?)),
            1 => MetaValue::I8(i8::from_le_bytes(self.array()?)),
            2 => MetaValue::U16(u16::from_le_bytes(self.array()?)),
            3 => MetaValue::I16(i16::from_le_bytes(self.array()?)),
            4 => MetaValue::U32(self.u32()?),
            CODE_I32 => MetaValue::I32(i32::from_le_bytes(self.array()?)),
            6 => MetaValue::F32(f32::from_le_bytes(self.array()?)),
            CODE_BOOL => MetaValue::Bool(self.array::<1>()?[0] != 0),
            CODE_TEXT => MetaValue::Text(self.text()?),
            CODE_ARRAY => MetaValue::Array(self.values()?),
            10 => MetaValue::U64(self.u64()?),
            11 => MetaValue::I64(i64::from_le_bytes(self.array()?)),
            12 => MetaValue::F64(f64::from_le_bytes(self.array()?)),
            _ => return Err(self.blame.error(format!("metadata of unknown type {code}"))),
        })
    }

    fn values(&mut self) -> Result<MetaArray, ConvertError> {
        let (code, count) = (self.u32()?, self.u64()?);
        // A text takes at least the 8 bytes of its length: a count the file cannot hold ends here, before any loop.
        let least = if code == CODE_TEXT { Some(8) } else { fixed_size(code) };
        let Some(least) = least else {
            return Err(self.blame.error(format!("an array of type {code}")));
        };
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.left => {}
            _ => {
                return Err(self.blame.error(format!(
                    "an array declares {count} elements, more than the file holds; it may be cut short: fetch it again"
                )));
            }
        }
        Ok(match code {
            CODE_TEXT => MetaArray::Text((0..count).map(|_| self.text()).collect::<Result<_, _>>()?),
            CODE_I32 => {
                let bytes = self.bytes(count * 4)?;
                MetaArray::I32(bytes.as_chunks::<4>().0.iter().map(|four| i32::from_le_bytes(*four)).collect())
            }
            _ => MetaArray::Raw { code, count, bytes: self.bytes(count * least)? },
        })
    }

    fn tensor(&mut self) -> Result<TensorRecord, ConvertError> {
        let name = self.text()?;
        if name.len() > MAX_NAME {
            return Err(self.blame.error(format!("the tensor name `{}` is too long", shorten(&name))));
        }
        let rank = self.u32()?;
        if !(1..=4).contains(&rank) {
            return Err(self.blame.error(format!("tensor `{}` has {rank} dimensions", shorten(&name))));
        }
        let dims = (0..rank).map(|_| self.u64()).collect::<Result<Vec<_>, _>>()?;
        let kind = GgmlType::from_code(self.u32()?);
        let start = self.u64()?;
        Ok(TensorRecord { name, dims, kind, start, bytes: 0 })
    }

    fn text(&mut self) -> Result<String, ConvertError> {
        let length = self.u64()?;
        let bytes = self.bytes(length)?;
        // Token texts of some vocabularies are no UTF-8; none of ours, but reading must not fail over a foreign file.
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, ConvertError> {
        let Some(left) = self.left.checked_sub(count) else {
            return Err(self.blame.error(format!("it ends early: {count} bytes declared, {} left", self.left)));
        };
        let mut bytes = Vec::new();
        let got = (&mut self.input).take(count).read_to_end(&mut bytes).map_err(self.blame.io("read"))?;
        if got as u64 != count {
            return Err(self.blame.error("it ends early"));
        }
        self.left = left;
        self.read += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ConvertError> {
        let mut bytes = [0; N];
        let left = self.left.checked_sub(N as u64).ok_or_else(|| self.blame.error("it ends early"))?;
        self.input.read_exact(&mut bytes).map_err(|_| self.blame.error("it ends early"))?;
        self.left = left;
        self.read += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, ConvertError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ConvertError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

/// Turns offsets into positions in the file and sizes; refuses overlaps, repeated names and data beyond the end.
fn place(tensors: &mut [TensorRecord], data: u64, file_bytes: u64) -> Result<(), String> {
    let mut names = HashSet::new();
    for tensor in &mut *tensors {
        let name = shorten(&tensor.name);
        if !names.insert(tensor.name.clone()) {
            return Err(format!("tensor `{name}` occurs twice"));
        }
        let values = tensor.dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
        let Some(values) = values.filter(|values| *values > 0) else {
            return Err(format!("tensor `{name}` declares an impossible shape"));
        };
        if tensor.kind.block().is_none() {
            return Err(format!("tensor `{name}` is of {}, which is not known here", tensor.kind.name()));
        }
        let whole_rows = tensor.kind.bytes(tensor.dims[0]).and(tensor.kind.bytes(values));
        let Some(bytes) = whole_rows else {
            return Err(format!("tensor `{name}`: its rows are no whole blocks of {}", tensor.kind.name()));
        };
        let end = data.checked_add(tensor.start).and_then(|start| start.checked_add(bytes));
        if tensor.start % ALIGNMENT != 0 || end.is_none_or(|end| end > file_bytes) {
            return Err(format!("tensor `{name}` lies beyond the end of the file, which is cut short or damaged"));
        }
        tensor.start += data;
        tensor.bytes = bytes;
    }
    let mut ranges: Vec<_> = tensors.iter().map(|tensor| (tensor.start, tensor.bytes, &tensor.name)).collect();
    ranges.sort_unstable();
    match ranges.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        Some(pair) => Err(format!("tensors `{}` and `{}` overlap", shorten(pair[0].2), shorten(pair[1].2))),
        None => Ok(()),
    }
}
