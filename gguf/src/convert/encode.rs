//! Single floats to the three forms that the converter writes, and back from those that it merges into.

use half::{bf16, f16};

use super::format::GgmlType;

/// Values in a block of Q8_0: one half-precision scale, then 32 signed bytes.
const Q8_BLOCK: usize = 32;
/// Bytes of a block of Q4_0: one half-precision scale, then 32 values in halves of bytes, the first 16 in the lower ones.
const Q4_BYTES: usize = 18;

/// Appends `values` in the form `kind`.
///
/// # Errors
/// What is wrong with a value: not finite, or beyond the form's range. In words, for the tensor's error.
pub(crate) fn encode(kind: GgmlType, values: &[f32], out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(bad) = values.iter().find(|value| !value.is_finite()) {
        return Err(format!("it holds {bad}; the checkpoint is damaged, or its training diverged"));
    }
    match kind {
        GgmlType::F32 => values.iter().for_each(|value| out.extend(value.to_le_bytes())),
        GgmlType::F16 => {
            for value in values {
                out.extend(half(*value, "f16")?.to_le_bytes());
            }
        }
        GgmlType::Q8_0 => {
            for block in values.as_chunks::<Q8_BLOCK>().0 {
                let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let scale = largest / 127.0;
                let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
                out.extend(half(scale, "q8_0")?.to_le_bytes());
                // Rounded half away from zero, as ggml's reference quantiser does.
                out.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
            }
        }
        other => return Err(format!("writing {} needs `models quantize`", other.name())),
    }
    Ok(())
}

fn half(value: f32, form: &str) -> Result<f16, String> {
    let half = f16::from_f32(value);
    if half.is_finite() { Ok(half) } else { Err(format!("{value} is beyond the range of {form}; use --dtype f32")) }
}

/// Appends the floats of `bytes`, whole blocks of `kind`.
///
/// # Errors
/// In words, when the form cannot be read back here.
pub(crate) fn decode(kind: GgmlType, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), String> {
    let pairs = || bytes.as_chunks::<2>().0.iter().map(|two| u16::from_le_bytes(*two));
    match kind {
        GgmlType::F32 => out.extend(bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four))),
        GgmlType::F16 => out.extend(pairs().map(|bits| f16::from_bits(bits).to_f32())),
        GgmlType::BF16 => out.extend(pairs().map(|bits| bf16::from_bits(bits).to_f32())),
        GgmlType::Q8_0 => {
            for block in bytes.as_chunks::<{ Q8_BLOCK + 2 }>().0 {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                out.extend(block[2..].iter().map(|value| scale * f32::from(*value as i8)));
            }
        }
        GgmlType::Q4_0 => {
            for block in bytes.as_chunks::<Q4_BYTES>().0 {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                let value = |half: u8| scale * (f32::from(half) - 8.0);
                out.extend(block[2..].iter().map(|both| value(both & 15)));
                out.extend(block[2..].iter().map(|both| value(both >> 4)));
            }
        }
        other => {
            return Err(format!("{} cannot be read back here; start from F32, F16, BF16, Q8_0 or Q4_0", other.name()));
        }
    }
    Ok(())
}
