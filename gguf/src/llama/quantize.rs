//! Quantising a GGUF through llama.cpp, with progress from the size of the growing output: there is no callback.

use std::ffi::{CStr, CString, c_char};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::thread;
use std::time::Duration;

use llama_cpp_sys_2 as sys;

use crate::convert::format::{GgmlType, GgufFile, TensorRecord, partial_path, publish, refuse_place};
use crate::convert::{ConvertError, Importance, Progress, QuantType, Summary, preflight};

/// What to quantise.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// The GGUF to read.
    pub input: PathBuf,
    /// The GGUF to write; it appears under this name only when it is whole.
    pub output: PathBuf,
    /// Into what.
    pub kind: QuantType,
    /// Whether an input that is quantised already may be quantised again: exact only into a wider type.
    pub allow_requantize: bool,
    /// How much each input of a matrix matters; without it all inputs matter alike.
    pub importance: Option<Importance>,
    /// Threads; 0 takes all cores.
    pub threads: u32,
}

/// How often the output's size is read.
const POLL: Duration = Duration::from_millis(100);
/// Rows held at once; llama.cpp's own bound is 8 GB.
const BUFFER_BYTES: usize = 512 << 20;

/// Quantises a model.
///
/// # Errors
/// [`ConvertError`] when the input is no sound model, is quantised already and may not be again, or llama.cpp or the
/// disk refuses; nothing is then left behind, and an older file of the output's name is untouched.
pub fn quantize(options: &QuantizeOptions, progress: &mut dyn Progress) -> Result<Summary, ConvertError> {
    let input = preflight(&options.input)?;
    refuse_loss(&input, options)?;
    refuse_place(&options.output)?;
    if let (Ok(from), Ok(to)) = (options.input.canonicalize(), options.output.canonicalize())
        && from == to
    {
        return Err(ConvertError::Unsupported(format!(
            "{} is both input and output; name another output, so that the original stays",
            options.input.display()
        )));
    }
    let importance = options.importance.as_ref().map(|importance| importance.of(&input.tensors)).transpose()?;
    let weights: u64 = input.tensors.iter().map(TensorRecord::values).sum();
    let tensors = input.tensors.len();
    drop(input);
    let partial = Partial(partial_path(&options.output));
    // Created here first, so that a folder that cannot be written is a plain error of the system's.
    File::create(&partial.0).map_err(ConvertError::io("create", &partial.0))?;
    progress.start(&format!("quantising to {}", options.kind), options.kind.estimate(weights));
    run(options, &importance.unwrap_or_default(), &partial.0, progress)?;
    let written = check(&partial.0, tensors)?;
    publish(&partial.0, &options.output)?;
    Ok(Summary { bytes: written, tensors, parameters: weights })
}

fn refuse_loss(input: &GgufFile, options: &QuantizeOptions) -> Result<(), ConvertError> {
    let plain = [GgmlType::F32, GgmlType::F16, GgmlType::BF16];
    match input.tensors.iter().find(|tensor| !plain.contains(&tensor.kind)) {
        Some(tensor) if !options.allow_requantize => Err(ConvertError::Unsupported(format!(
            "{} is quantised already ({} is {}); start from its F16 or F32 file, or allow it with --allow-requantize, \
             at some loss unless the new type is wider",
            options.input.display(),
            tensor.name,
            tensor.kind.name()
        ))),
        _ => Ok(()),
    }
}

/// Runs llama.cpp on a thread of its own and tells, meanwhile, how far its output is.
fn run(
    options: &QuantizeOptions,
    importance: &[(String, &[f32])],
    partial: &Path,
    progress: &mut dyn Progress,
) -> Result<(), ConvertError> {
    let (from, to) = (c_path(&options.input)?, c_path(partial)?);
    let importance = c_importance(importance)?;
    let (kind, threads) = (options.kind, options.threads);
    super::library().map_err(|error| ConvertError::Unsupported(error.to_string()))?;
    let code = thread::scope(|scope| {
        let worker = scope.spawn(|| call(&from, &to, options, &importance));
        let mut told = 0;
        while !worker.is_finished() {
            thread::sleep(POLL);
            let size = fs::metadata(partial).map_or(0, |about| about.len());
            progress.advance(size.saturating_sub(told));
            told = told.max(size);
        }
        worker.join().unwrap_or(u32::MAX)
    });
    if code == 0 {
        return Ok(());
    }
    Err(ConvertError::Unsupported(format!(
        "llama.cpp could not quantise {} to {kind} with {threads} threads; its reason is in the log \
         (AI_FRIEND_LOG=llama_cpp=debug shows all that it says). Is there space left on the disk?",
        options.input.display()
    )))
}

fn call(from: &CString, to: &CString, options: &QuantizeOptions, importance: &[(CString, &[f32])]) -> u32 {
    // SAFETY: takes nothing, returns a plain struct of defaults whose pointers are null.
    let mut parameters = unsafe { sys::llama_model_quantize_default_params() };
    parameters.nthread = i32::try_from(options.threads).unwrap_or(0);
    parameters.ftype = options.kind.file_type() as sys::llama_ftype;
    parameters.allow_requantize = options.allow_requantize;
    parameters.max_buf_size = BUFFER_BYTES;
    // Both lists end in an entry without a name.
    let entry = |name: *const c_char, data: &[f32]| sys::llama_model_imatrix_data {
        name,
        data: data.as_ptr(),
        size: data.len(),
    };
    let mut entries: Vec<_> = importance.iter().map(|(name, values)| entry(name.as_ptr(), values)).collect();
    entries.push(entry(ptr::null(), &[]));
    let kind = kept(options.kind);
    let pattern = |pattern| sys::llama_model_tensor_override { pattern, type_: kind.unwrap_or_default() };
    let overrides = [pattern(KEPT.as_ptr()), pattern(ptr::null())];
    if !importance.is_empty() {
        parameters.imatrix = entries.as_ptr();
        parameters.tt_overrides = if kind.is_some() { overrides.as_ptr() } else { ptr::null() };
    }
    // SAFETY: both paths end in NUL and outlive the call; `parameters` is initialised, and its lists and what they point to
    // outlive the call too; llama.cpp catches its C++ exceptions and returns non-zero, and preflight has refused what it would abort on.
    unsafe { sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const parameters) }
}

/// With an importance matrix, llama.cpp puts the first layers' `ffn_down` into Q4_1 and Q5_1, which have no fast kernels on x86,
/// since without one some models broke there. With one, keeping them in the type that was asked for cost 0.1% of SmolLM2's loss.
const KEPT: &CStr = c"ffn_down";

fn kept(kind: QuantType) -> Option<sys::ggml_type> {
    match kind.name() {
        "Q4_0" => Some(sys::GGML_TYPE_Q4_0),
        "Q5_0" => Some(sys::GGML_TYPE_Q5_0),
        _ => None,
    }
}

fn c_importance<'a>(importance: &[(String, &'a [f32])]) -> Result<Vec<(CString, &'a [f32])>, ConvertError> {
    importance
        .iter()
        .map(|(name, values)| CString::new(name.as_str()).map(|name| (name, *values)))
        .collect::<Result<_, _>>()
        .map_err(|_| ConvertError::Unsupported("a tensor's name holds a NUL byte".to_owned()))
}

/// The output must be a whole model of as many tensors, and on disk.
fn check(partial: &Path, tensors: usize) -> Result<u64, ConvertError> {
    let output = GgufFile::open(partial)?;
    if output.tensors.len() != tensors {
        return Err(ConvertError::Unsupported(format!(
            "llama.cpp wrote {} of {tensors} tensors",
            output.tensors.len()
        )));
    }
    let file = File::open(partial).map_err(ConvertError::io("open", partial))?;
    file.sync_all().map_err(ConvertError::io("write", partial))?;
    Ok(output.file_bytes)
}

fn c_path(path: &Path) -> Result<CString, ConvertError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| ConvertError::Unsupported(format!("{}: a path with a NUL byte", path.display())))
}

/// Removed when dropped; after a successful rename there is nothing left to remove.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
