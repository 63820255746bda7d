//! Checkpoints as Hugging Face serves them: safetensors and PyTorch pickles, whole or in shards. A folder becomes one
//! table of tensors; their values are read row by row, so that a checkpoint of any size needs little memory.

pub(crate) mod index;
pub(crate) mod pickle;
mod safetensors;
mod torch;
pub(crate) mod zip;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{Blame, ConvertError};

/// The shards that an index names, checked to be plain names ending in `extension`.
///
/// # Errors
/// What is wrong with the index.
pub fn shard_names(index: &str, extension: &str) -> Result<Vec<String>, String> {
    index::parse(index, extension).map(|index| index.files)
}

pub(crate) use safetensors::parse_header as parse_safetensors_header;

/// Why a tensor with a dimension of 0 is refused. The sizes of its other dimensions are bounded by nothing, as their product is.
const NO_VALUES: &str =
    "has a dimension of 0, so it holds no values; gather a training that is spread over machines before saving it";

/// The tensors of one checkpoint folder.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<(File, Blame)>,
    tensors: BTreeMap<String, SourceTensor>,
}

/// Where a tensor lies in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTensor {
    /// Type of its values.
    pub dtype: SourceType,
    /// Row-major shape, as PyTorch prints it.
    pub shape: Vec<u64>,
    /// First byte of row 0, from the start of its file.
    pub(crate) start: u64,
    /// Bytes from one row to the next.
    pub(crate) row_stride: u64,
    pub(crate) file: usize,
}

/// Types of values in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// Anything else, with the bytes of one value: buffers such as masks, never weights.
    Other(u64),
}

impl SourceType {
    /// Bytes of one value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Other(bytes) => bytes,
        }
    }
}

impl SourceTensor {
    /// Rows: the first dimension, 1 for a scalar.
    pub fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Values in one row: the product of all further dimensions.
    pub fn columns(&self) -> u64 {
        self.shape.iter().skip(1).fold(1_u64, |product, dim| product.saturating_mul(*dim))
    }
}

/// File names of a whole model and of an adapter: (single file, index of its shards).
const MODEL_FILES: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];
const ADAPTER_FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

impl Checkpoint {
    /// Opens the weights of a model folder: safetensors before pickles, one file before shards.
    ///
    /// # Errors
    /// [`ConvertError`] when there are no weights, or they are damaged, hostile or of a kind that is not supported.
    pub fn open_model(folder: &Path) -> Result<Self, ConvertError> {
        require_folder(folder)?;
        for (single, shards) in MODEL_FILES {
            if folder.join(single).exists() {
                return Self::open(folder, &[single.to_owned()], None);
            }
            if folder.join(shards).exists() {
                let index = index::read(&folder.join(shards))?;
                return Self::open(folder, &index.files, Some(&index));
            }
        }
        let names = MODEL_FILES.map(|(single, _)| single).join(" or ");
        Err(ConvertError::Unsupported(format!("{} holds no weights: {names}, whole or in shards", folder.display())))
    }

    /// Opens the weights of a PEFT folder.
    ///
    /// # Errors
    /// As [`Checkpoint::open_model`].
    pub fn open_adapter(folder: &Path) -> Result<Self, ConvertError> {
        require_folder(folder)?;
        match ADAPTER_FILES.into_iter().find(|name| folder.join(name).exists()) {
            Some(name) => Self::open(folder, &[name.to_owned()], None),
            None => Err(ConvertError::Unsupported(format!(
                "{} holds no adapter weights: {}",
                folder.display(),
                ADAPTER_FILES.join(" or ")
            ))),
        }
    }

    /// Opens one safetensors file of any kind.
    pub(crate) fn open_file(path: &Path) -> Result<Self, ConvertError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::open(folder, &[name], None)
    }

    fn open(folder: &Path, names: &[String], index: Option<&index::Index>) -> Result<Self, ConvertError> {
        let mut checkpoint = Self { folder: folder.to_owned(), files: Vec::new(), tensors: BTreeMap::new() };
        for name in names {
            let path = folder.join(name);
            let (what, read): (_, fn(&_, _, &_) -> _) = if name.ends_with(".safetensors") {
                ("safetensors file", safetensors::read)
            } else {
                ("PyTorch checkpoint", torch::read)
            };
            let (file, size) = super::files::open_regular(&path)?;
            let blame = Blame::new(what, &path);
            if size == 0 {
                return Err(blame.error("it is empty; the download or copy did not finish"));
            }
            let number = checkpoint.files.len();
            for (key, tensor) in read(&file, size, &blame)? {
                if index.is_some_and(|index| index.file_of(&key) != Some(name)) {
                    return Err(blame.error(format!("the index does not place `{}` here", super::error::shorten(&key))));
                }
                if checkpoint.tensors.insert(key.clone(), SourceTensor { file: number, ..tensor }).is_some() {
                    return Err(ConvertError::tensor(&key, "occurs twice in the checkpoint"));
                }
            }
            checkpoint.files.push((file, blame));
        }
        if let Some(missing) = index.and_then(|index| index.keys().find(|key| !checkpoint.tensors.contains_key(*key))) {
            return Err(ConvertError::tensor(missing, "the index promises it, but its shard does not hold it"));
        }
        Ok(checkpoint)
    }

    /// The folder that was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &SourceTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// One tensor.
    pub fn tensor(&self, name: &str) -> Option<&SourceTensor> {
        self.tensors.get(name)
    }

    /// Appends `rows` rows, from row `first`, to `out` as single floats.
    ///
    /// # Errors
    /// [`ConvertError::Tensor`] when the tensor is missing, the rows leave it, or it holds no floats;
    /// [`ConvertError::Io`] when the disk refuses.
    pub fn read_rows(&self, name: &str, first: u64, rows: u64, out: &mut Vec<f32>) -> Result<(), ConvertError> {
        let tensor = self.tensor(name).ok_or_else(|| ConvertError::tensor(name, "is missing from the checkpoint"))?;
        if first.checked_add(rows).is_none_or(|end| end > tensor.rows()) {
            return Err(ConvertError::tensor(name, "read beyond its last row"));
        }
        let row_bytes = tensor.columns() * tensor.dtype.bytes();
        let (file, blame) = &self.files[tensor.file];
        let mut read = |start: u64, bytes: u64| -> Result<(), ConvertError> {
            let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut buffer, start).map_err(blame.io("read"))?;
            decode(tensor.dtype, &buffer, out).map_err(|reason| ConvertError::tensor(name, reason))
        };
        if tensor.row_stride == row_bytes {
            return read(tensor.start + first * row_bytes, rows * row_bytes);
        }
        (first..first + rows).try_for_each(|row| read(tensor.start + row * tensor.row_stride, row_bytes))
    }
}

fn require_folder(folder: &Path) -> Result<(), ConvertError> {
    if folder.is_dir() {
        return Ok(());
    }
    let reason = if folder.exists() { "it is a file; name the folder that holds it" } else { "no such folder" };
    Err(ConvertError::Unsupported(format!("{}: {reason}", folder.display())))
}

/// Little-endian floats to single precision; every value of the three types is exact in it.
fn decode(dtype: SourceType, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), &'static str> {
    match dtype {
        SourceType::F32 => out.extend(bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four))),
        SourceType::F16 => out.extend(pairs(bytes).map(|bits| half::f16::from_bits(bits).to_f32())),
        SourceType::BF16 => out.extend(pairs(bytes).map(|bits| half::bf16::from_bits(bits).to_f32())),
        SourceType::Other(_) => return Err("its values are no F32, F16 or BF16: it is no weight"),
    }
    Ok(())
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|two| u16::from_le_bytes(*two))
}
