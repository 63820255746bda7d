//! Base and LoRA to one GGUF: every matrix W that the adapter changes becomes W + scale · alpha/r · B·A.

use std::path::{Path, PathBuf};

use super::adapter::Adapter;
use super::encode;
use super::error::ConvertError;
use super::format::{GgmlType, GgufFile, MetaValue, TensorPlan};
use super::gptneox::Mapped;
use super::layout::{Layout, RowOrder};
use super::lora::open_peft;
use super::model::{Base, Dtype, RowSource, Summary, write};
use super::progress::Progress;
use super::provenance::Provenance;

/// What to merge.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The base: a Hugging Face folder, or a GGUF in F32, F16, BF16, Q8_0 or Q4_0.
    pub base: PathBuf,
    /// The adapter: a PEFT folder or a GGUF.
    pub adapter: PathBuf,
    /// Factor on the adapter's own scale; 1.0 is as it was trained.
    pub scale: f32,
    /// The GGUF to write.
    pub output: PathBuf,
    /// How matrices are written.
    pub dtype: Dtype,
}

/// Merges an adapter into its base.
///
/// # Errors
/// [`ConvertError`] as for converting either; also when the adapter does not fit the base.
pub fn merge(options: &MergeOptions, progress: &mut dyn Progress) -> Result<Summary, ConvertError> {
    if !options.scale.is_finite() {
        return Err(ConvertError::Unsupported(format!("the scale {} is no number to merge with", options.scale)));
    }
    let (mut base, layout) = if options.base.is_dir() {
        (Base::of_folder(&options.base, options.dtype)?, Layout::of_folder(&options.base)?)
    } else {
        of_gguf(&options.base, options.dtype)?
    };
    let adapter = if options.adapter.is_dir() {
        open_peft(&options.adapter, layout)?
    } else {
        Adapter::open_gguf(&options.adapter)?
    };
    check_fit(&adapter, |name| {
        base.tensors.iter().map(|tensor| &tensor.plan).find(|plan| plan.name == name).map(|plan| &plan.dims[..])
    })?;
    Provenance::of(&options.adapter)?.add_to_merged(&mut base.metadata);
    write(&base, Some((&adapter, options.scale)), &options.output, progress)
}

/// Every matrix that an adapter changes must be in its base, with its dimensions.
pub(super) fn check_fit<'b>(adapter: &Adapter, dims: impl Fn(&str) -> Option<&'b [u64]>) -> Result<(), ConvertError> {
    for pair in &adapter.pairs {
        let shape = (pair.a.len() as u64 / pair.rank, pair.b.len() as u64 / pair.rank);
        match dims(&pair.target) {
            Some([columns, rows]) if (*columns, *rows) == shape => {}
            Some(dims) => {
                return Err(ConvertError::tensor(
                    &pair.target,
                    format!("the adapter is for {shape:?}, the base has {dims:?}"),
                ));
            }
            None => {
                return Err(ConvertError::tensor(
                    &pair.target,
                    "the adapter changes it, and the base does not have it",
                ));
            }
        }
    }
    Ok(())
}

fn of_gguf(path: &Path, dtype: Dtype) -> Result<(Base, Layout), ConvertError> {
    let file = GgufFile::open(path)?;
    let layout = Layout::of_metadata(&file.metadata)?;
    let mut metadata = file.metadata.clone();
    metadata.set("general.file_type", MetaValue::U32(dtype.file_type()));
    let mut tensors = Vec::new();
    for tensor in &file.tensors {
        let vector = tensor.dims.len() == 1;
        let kind = if vector || dtype.kind().bytes(tensor.dims[0]).is_none() { GgmlType::F32 } else { dtype.kind() };
        let plan = TensorPlan { name: tensor.name.clone(), dims: tensor.dims.clone(), kind };
        tensors.push(Mapped { plan, source: tensor.name.clone(), order: RowOrder::AsIs });
    }
    Ok((Base { metadata, tensors, values: Box::new(file) }, layout))
}

impl RowSource for GgufFile {
    fn rows(&self, name: &str, first: u64, rows: u64, out: &mut Vec<f32>) -> Result<(), ConvertError> {
        let tensor = self.tensor(name).ok_or_else(|| ConvertError::tensor(name, "is missing"))?;
        // A vector is a column here, as in the writer; vectors are in unblocked types, so a row is one value.
        let columns = if tensor.dims.len() == 1 { 1 } else { tensor.dims[0] };
        let row = tensor.kind.bytes(columns);
        let row = row.ok_or_else(|| ConvertError::tensor(name, "is a vector in a blocked type"))?;
        let bytes = usize::try_from(rows * row).map_err(|_| ConvertError::tensor(name, "is too large"))?;
        let mut buffer = vec![0; bytes];
        self.read_at(tensor, first * row, &mut buffer)?;
        encode::decode(tensor.kind, &buffer, out).map_err(|reason| ConvertError::tensor(name, reason))
    }
}
