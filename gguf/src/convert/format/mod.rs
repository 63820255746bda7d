//! The GGUF container: its values, its reader and its streaming writer.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Little-endian; read in versions 2 and 3, written
//! in version 3.

mod reader;
mod value;
mod writer;

pub(crate) use reader::parse_header;
pub use reader::{GgufFile, TensorRecord};
pub use value::{GgmlType, MetaArray, MetaValue, Metadata};
pub use writer::{GgufWriter, TensorPlan, partial_path};
#[cfg(feature = "llama")]
pub(crate) use writer::{publish, refuse_place};

/// Every tensor's data begins at a multiple of this many bytes.
pub const ALIGNMENT: u64 = 32;
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// No model of ours has more; a file that says so is broken or hostile.
pub(crate) const MAX_TENSORS: u64 = 65_536;
pub(crate) const MAX_KEYS: u64 = 65_536;
/// Bytes of the header (metadata and tensor records) that will be read at most.
pub(crate) const MAX_HEADER: u64 = 256 << 20;
/// ggml's own bound on a tensor's name, terminator not counted.
pub(crate) const MAX_NAME: usize = 63;

/// The next multiple of the alignment; `None` past the end of 64 bits.
pub(crate) fn align(offset: u64) -> Option<u64> {
    offset.checked_next_multiple_of(ALIGNMENT)
}
