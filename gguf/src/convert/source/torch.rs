//! `pytorch_model.bin`: a ZIP archive with a pickle that describes tensors and one entry of raw values for each storage.

use std::fs::File;

use super::pickle::{self, PickledTensor};
use super::{NO_VALUES, SourceTensor, zip};
use crate::convert::error::{Blame, ConvertError, shorten};

/// A 7b checkpoint's pickle has about 100 kB.
const MAX_PICKLE: u64 = 16 << 20;

pub(super) fn read(file: &File, size: u64, blame: &Blame) -> Result<Vec<(String, SourceTensor)>, ConvertError> {
    let entries = zip::entries(file, size).map_err(|reason| blame.error(reason))?;
    let mut pickles = entries.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let (Some(root), None) = (pickles.next(), pickles.next()) else {
        return Err(blame.error("it holds no `data.pkl`, or several"));
    };
    let bytes = |name: &str, limit: u64| -> Result<Option<Vec<u8>>, ConvertError> {
        let Some(entry) = entries.get(&format!("{root}/{name}")) else { return Ok(None) };
        if entry.size > limit {
            return Err(blame.error(format!("its `{name}` has {} bytes, more than {limit}", entry.size)));
        }
        let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(0)];
        zip::ReadAt::read_at(file, entry.start, &mut bytes).map_err(blame.io("read"))?;
        Ok(Some(bytes))
    };
    if bytes("byteorder", 16)?.is_some_and(|order| order != b"little") {
        return Err(blame.error("it was saved by a big-endian machine"));
    }
    let pickle = bytes("data.pkl", MAX_PICKLE)?.unwrap_or_default();
    let described = pickle::tensors(&pickle).map_err(|reason| blame.error(reason))?;
    let mut tensors = Vec::with_capacity(described.len());
    for (name, tensor) in described {
        let Some(storage) = entries.get(&format!("{root}/data/{}", tensor.storage)) else {
            return Err(ConvertError::tensor(&name, format!("its storage `{}` is missing", shorten(&tensor.storage))));
        };
        let placed = place(&tensor, storage).map_err(|reason| ConvertError::tensor(&name, reason))?;
        tensors.push((name, placed));
    }
    Ok(tensors)
}

/// Finds a tensor's bytes in its storage; several tensors may be views of one.
fn place(tensor: &PickledTensor, storage: &zip::Entry) -> Result<SourceTensor, String> {
    const TOO_LARGE: &str = "its shape is impossible";
    if tensor.shape.contains(&0) {
        return Err(NO_VALUES.to_owned());
    }
    let width = tensor.dtype.bytes();
    // Strides of a row-major tensor, counted from the last dimension; the first dimension may step further.
    let mut expected = 1_u64;
    for (dim, stride) in tensor.shape.iter().zip(&tensor.strides).skip(1).rev() {
        if *dim > 1 && *stride != expected {
            return Err("it is a transposed or strided view; save the checkpoint with `.contiguous()`".to_owned());
        }
        expected = expected.checked_mul(*dim).ok_or(TOO_LARGE)?;
    }
    let rows = tensor.shape.first().copied().unwrap_or(1);
    let row_step = if rows > 1 { tensor.strides.first().copied().unwrap_or(expected) } else { expected };
    if row_step < expected {
        return Err("its rows overlap".to_owned());
    }
    let steps = rows.checked_sub(1).and_then(|steps| steps.checked_mul(row_step));
    let last = steps.and_then(|steps| tensor.offset.checked_add(steps)?.checked_add(expected)?.checked_mul(width));
    if last.ok_or(TOO_LARGE)? > storage.size {
        return Err("it reaches beyond its storage: the file is cut short or damaged".to_owned());
    }
    Ok(SourceTensor {
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        start: storage.start + tensor.offset * width,
        row_stride: row_step * width,
        file: 0,
    })
}
