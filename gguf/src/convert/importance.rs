//! Importance matrices: how much each input of a weight matrix matters, the mean of its squares over some text. Quantising with
//! one errs where it hurts least.
//!
//! Two forms are read, both GGUF with `general.type = imatrix`: llama.cpp's own (`llama-imatrix`: `NAME.in_sum2` and
//! `NAME.counts`, F32), and a small one (`NAME.octaves`, I8: eighths of an octave below the largest of the matrix, from −128).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use super::error::{Blame, ConvertError};
use super::format::{GgmlType, MAX_HEADER, TensorRecord, parse_header};

/// The largest file that is read: a model of 70 billion weights needs 25 MB.
const MAX_FILE: u64 = MAX_HEADER;
const WHAT: &str = "importance matrix";
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";
const OCTAVES: &str = ".octaves";
const STEPS_OF_AN_OCTAVE: f32 = 8.0;
/// Matrices that read the same input as another; the small form has it once.
const SHARED: [(&str, &str); 3] = [(".attn_k.", ".attn_q."), (".attn_v.", ".attn_q."), (".ffn_up.", ".ffn_gate.")];
/// Those that ship with the program, by the name that the catalogue has for them.
const SHIPPED: [(&str, &[u8]); 1] =
    [("smollm2-135m-instruct", include_bytes!("../../../models/importance/smollm2-135m-instruct.gguf"))];

/// For weight matrices by name: the importance of each input (of each expert's, one after the other); only ratios matter.
#[derive(Clone, PartialEq)]
pub struct Importance(BTreeMap<String, Vec<f32>>);

impl Importance {
    /// Reads a file in either form.
    ///
    /// # Errors
    /// When it is no importance matrix, is broken, or holds what is no importance.
    pub fn open(path: &Path) -> Result<Self, ConvertError> {
        let bytes = fs::metadata(path).map_err(ConvertError::io("read", path))?.len();
        if bytes > MAX_FILE {
            return Err(Blame::new(WHAT, path).error(format!("it has {bytes} bytes, more than any importance matrix")));
        }
        Self::parse(&fs::read(path).map_err(ConvertError::io("read", path))?, path)
    }

    /// One that ships with the program; `None` where none has that name.
    ///
    /// # Errors
    /// When the build holds a broken one, which a test prevents.
    pub fn shipped(name: &str) -> Option<Result<Self, ConvertError>> {
        Some(Self::parse(Self::shipped_bytes(name)?, Path::new(name)))
    }

    /// Its file, for a hash.
    pub fn shipped_bytes(name: &str) -> Option<&'static [u8]> {
        SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
    }

    /// The same from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Importance::open`].
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, ConvertError> {
        let blame = Blame::new(WHAT, path);
        let (metadata, tensors) = parse_header(bytes).map_err(|error| blame.error(error.to_string()))?;
        if metadata.text("general.type") != Some("imatrix") {
            return Err(blame.error("its general.type is not `imatrix`; `llama-imatrix` writes one"));
        }
        let data = |tensor: &TensorRecord| {
            let (start, length) = (usize::try_from(tensor.start).ok()?, usize::try_from(tensor.bytes).ok()?);
            bytes.get(start..start.checked_add(length)?)
        };
        let mut found = BTreeMap::new();
        for tensor in &tensors {
            let values = if let Some(name) = tensor.name.strip_suffix(SUMS) {
                let counts = tensors.iter().find(|other| other.name.strip_suffix(COUNTS) == Some(name));
                let (sums, counts) =
                    (floats(tensor, data(tensor)), counts.and_then(|counts| floats(counts, data(counts))));
                sums.zip(counts).and_then(|(sums, counts)| means(&sums, &counts)).map(|means| (name, means))
            } else if let Some(name) = tensor.name.strip_suffix(OCTAVES) {
                let octaves = data(tensor).filter(|_| tensor.kind == GgmlType::I8);
                octaves.map(|octaves| (name, octaves.iter().map(|step| weight(step.cast_signed())).collect()))
            } else {
                continue;
            };
            let Some((name, values)) =
                values.filter(|(_, values): &(_, Vec<f32>)| values.iter().all(|x| x.is_finite() && *x >= 0.0))
            else {
                return Err(ConvertError::tensor(
                    &tensor.name,
                    format!("{} holds no importances there", path.display()),
                ));
            };
            found.insert(name.to_owned(), values);
        }
        if found.is_empty() {
            return Err(blame.error(format!("it has no tensor that ends in {SUMS} or {OCTAVES}")));
        }
        Ok(Self(found))
    }

    /// What a model's matrices get, by their names.
    ///
    /// # Errors
    /// When it was made for another model: a size differs, or nothing fits.
    pub fn of(&self, tensors: &[TensorRecord]) -> Result<Vec<(String, &[f32])>, ConvertError> {
        let mut given = Vec::new();
        for tensor in tensors {
            let Some(values) = self.entry(&tensor.name) else { continue };
            let experts = tensor.dims.get(2).copied().unwrap_or(1);
            let inputs = tensor.dims.first().and_then(|inputs| inputs.checked_mul(experts));
            if inputs != Some(values.len() as u64) {
                let reason = format!("the importance matrix is another model's: it has {} values for it", values.len());
                return Err(ConvertError::tensor(&tensor.name, reason));
            }
            given.push((tensor.name.clone(), values));
        }
        if given.is_empty() {
            return Err(ConvertError::Unsupported(
                "the importance matrix is another model's: none of this model's tensors is in it".to_owned(),
            ));
        }
        Ok(given)
    }

    fn entry(&self, name: &str) -> Option<&[f32]> {
        let other = || {
            let (own, shared) = SHARED.iter().find(|(own, _)| name.contains(own))?;
            self.0.get(&name.replace(own, shared))
        };
        self.0.get(name).or_else(other).map(Vec::as_slice)
    }
}

impl fmt::Debug for Importance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Importance({} matrices)", self.0.len())
    }
}

fn weight(step: i8) -> f32 {
    f32::exp2(-(f32::from(step) + 128.0) / STEPS_OF_AN_OCTAVE)
}

fn floats(tensor: &TensorRecord, bytes: Option<&[u8]>) -> Option<Vec<f32>> {
    let bytes = bytes.filter(|_| tensor.kind == GgmlType::F32)?;
    Some(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Sums of squares over counts, which are one for each expert; an expert that saw nothing finds all inputs alike.
fn means(sums: &[f32], counts: &[f32]) -> Option<Vec<f32>> {
    let inputs =
        sums.len().checked_div(counts.len()).filter(|inputs| *inputs > 0 && inputs * counts.len() == sums.len())?;
    let of = |(sums, count): (&[f32], &f32)| -> Vec<f32> {
        sums.iter().map(|sum| if *count > 0.0 { sum / count } else { 1.0 }).collect()
    };
    Some(sums.chunks(inputs).zip(counts).flat_map(of).collect())
}
