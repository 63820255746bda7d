//! A checkpoint folder to one GGUF file, run of rows by run of rows.

use std::path::{Path, PathBuf};

use super::adapter::Adapter;
use super::config::NeoxConfig;
use super::encode;
use super::error::ConvertError;
use super::format::{GgmlType, GgufWriter, MetaValue, Metadata, TensorPlan};
use super::gptneox::{self, Mapped};
use super::layout::RowOrder;
use super::progress::Progress;
use super::source::Checkpoint;
use super::tokenizer::add_tokenizer;

/// How matrices are written; vectors are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Single precision: exact.
    F32,
    /// Half precision.
    F16,
    /// Blocks of 32 signed bytes with a scale.
    Q8_0,
}

impl Dtype {
    pub(crate) fn kind(self) -> GgmlType {
        match self {
            Self::F32 => GgmlType::F32,
            Self::F16 => GgmlType::F16,
            Self::Q8_0 => GgmlType::Q8_0,
        }
    }

    /// llama.cpp's number for a file that is mostly of this type (`enum llama_ftype`).
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
        }
    }
}

/// What to convert.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Folder with `config.json`, `tokenizer.json` and weights.
    pub folder: PathBuf,
    /// The GGUF to write; replaced if it exists.
    pub output: PathBuf,
    /// How matrices are written.
    pub dtype: Dtype,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the file.
    pub bytes: u64,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values in them.
    pub parameters: u64,
}

/// Converts a GPT-NeoX checkpoint to GGUF.
///
/// # Errors
/// [`ConvertError`] naming the file or tensor at fault; nothing is then left behind, and an older file of the same name
/// is untouched.
pub fn convert_model(options: &ModelOptions, progress: &mut dyn Progress) -> Result<Summary, ConvertError> {
    let base = Base::of_folder(&options.folder, options.dtype)?;
    write(&base, None, &options.output, progress)
}

/// A model to write: its keys, its tensors, and where their values come from.
pub(crate) struct Base {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<Mapped>,
    pub(crate) values: Box<dyn RowSource>,
}

/// Where rows come from.
pub(crate) trait RowSource {
    /// Appends `rows` rows of a tensor, from row `first`; rows are counted as in the source.
    fn rows(&self, name: &str, first: u64, rows: u64, out: &mut Vec<f32>) -> Result<(), ConvertError>;
}

impl RowSource for Checkpoint {
    fn rows(&self, name: &str, first: u64, rows: u64, out: &mut Vec<f32>) -> Result<(), ConvertError> {
        self.read_rows(name, first, rows, out)
    }
}

impl Base {
    pub(crate) fn of_folder(folder: &Path, dtype: Dtype) -> Result<Self, ConvertError> {
        let checkpoint = Checkpoint::open_model(folder)?;
        let config = NeoxConfig::read(folder)?;
        let tensors = gptneox::map(&config, &checkpoint, dtype.kind())?;
        let mut metadata = general(&display_name(folder), "model", gptneox::ARCHITECTURE);
        metadata.set("general.file_type", MetaValue::U32(dtype.file_type()));
        gptneox::add_shape(&mut metadata, &config)?;
        add_tokenizer(&mut metadata, folder, config.vocabulary)?;
        Ok(Self { metadata, tensors, values: Box::new(checkpoint) })
    }
}

/// The keys that every file of ours begins with.
pub(crate) fn general(name: &str, kind: &str, architecture: &str) -> Metadata {
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", MetaValue::Text(architecture.to_owned()));
    metadata.set("general.type", MetaValue::Text(kind.to_owned()));
    metadata.set("general.name", MetaValue::Text(name.to_owned()));
    metadata.set("general.quantization_version", MetaValue::U32(2));
    metadata
}

/// A folder's own name, also of `.`.
pub(crate) fn display_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Values handled at once: 4 MB of single floats.
const RUN_VALUES: u64 = 1 << 20;

/// Writes a model, an adapter's products added where there is one.
pub(crate) fn write(
    base: &Base,
    adapter: Option<(&Adapter, f32)>,
    output: &Path,
    progress: &mut dyn Progress,
) -> Result<Summary, ConvertError> {
    let plans: Vec<TensorPlan> = base.tensors.iter().map(|tensor| tensor.plan.clone()).collect();
    let total = plans.iter().filter_map(TensorPlan::bytes).sum();
    let mut writer = GgufWriter::create(output, &base.metadata, &plans)?;
    progress.start("converting", total);
    let mut parameters = 0;
    let (mut values, mut bytes) = (Vec::new(), Vec::new());
    for tensor in &base.tensors {
        let plan = &tensor.plan;
        writer.begin(&plan.name)?;
        // A vector is a column: reordering rows then reorders its values.
        let vector = plan.dims.len() == 1;
        let (columns, rows) = if vector { (1, plan.dims[0]) } else { (plan.dims[0], plan.dims[1..].iter().product()) };
        let delta = adapter.and_then(|(adapter, scale)| adapter.delta(&plan.name, scale));
        let mut row = 0;
        for (first, count) in runs(tensor.order, rows, columns) {
            values.clear();
            base.values.rows(&tensor.source, first, count, &mut values)?;
            if let Some(delta) = &delta {
                delta.add(row, &mut values);
            }
            bytes.clear();
            encode::encode(plan.kind, &values, &mut bytes)
                .map_err(|reason| ConvertError::tensor(&tensor.source, reason))?;
            writer.write(&bytes)?;
            progress.advance(bytes.len() as u64);
            row += count;
            parameters += values.len() as u64;
        }
    }
    let bytes = writer.finish()?;
    Ok(Summary { bytes, tensors: plans.len(), parameters })
}

fn runs(order: RowOrder, rows: u64, columns: u64) -> Vec<(u64, u64)> {
    order.runs(rows, RUN_VALUES / columns.max(1))
}
