//! safetensors: a JSON header, then the values. The `safetensors` crate checks the header (no holes, no overlaps, sizes
//! that fit shapes); values are read by position, never mapped.

use std::fs::File;
use std::os::unix::fs::FileExt;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::{NO_VALUES, SourceTensor, SourceType};
use crate::convert::error::{Blame, ConvertError, shorten};

/// The format's own bound is 100 MB; no checkpoint of ours needs a tenth of that.
const MAX_HEADER: u64 = 16 << 20;

pub(super) fn read(file: &File, size: u64, blame: &Blame) -> Result<Vec<(String, SourceTensor)>, ConvertError> {
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0).map_err(|_| blame.error("it is cut short: not even its header is whole"))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + 8 > size {
        return Err(
            blame.error(format!("it declares a header of {length} bytes; the file is cut short or no such file"))
        );
    }
    let mut header = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut header, 8).map_err(blame.io("read"))?;
    parse_header(&header, size).map_err(|reason| blame.error(reason))
}

/// The tensors of a header (its JSON, without the 8 bytes of length) in a file of `size` bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse_header(header: &[u8], size: u64) -> Result<Vec<(String, SourceTensor)>, String> {
    let metadata: Metadata = serde_json::from_slice(header).map_err(|error| format!("bad header: {error}"))?;
    let data = header.len() as u64 + 8;
    let declared = data.saturating_add(metadata.data_len() as u64);
    if declared != size {
        return Err(format!(
            "its header describes {declared} bytes and the file has {size}: it is cut short or damaged"
        ));
    }
    let mut tensors = Vec::new();
    for (name, about) in metadata.tensors() {
        let dtype = match about.dtype {
            Dtype::F32 => SourceType::F32,
            Dtype::F16 => SourceType::F16,
            Dtype::BF16 => SourceType::BF16,
            other => SourceType::Other(other.bitsize().div_ceil(8) as u64),
        };
        let shape: Vec<u64> = about.shape.iter().map(|dim| *dim as u64).collect();
        if shape.contains(&0) {
            return Err(format!("its tensor `{}` {NO_VALUES}", shorten(&name)));
        }
        let tensor = SourceTensor { dtype, shape, start: data + about.data_offsets.0 as u64, row_stride: 0, file: 0 };
        // The crate has checked that the whole shape fits the file, so a row does.
        let row_stride = tensor.columns().saturating_mul(dtype.bytes());
        tensors.push((name, SourceTensor { row_stride, ..tensor }));
    }
    Ok(tensors)
}
