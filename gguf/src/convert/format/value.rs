//! Metadata values and tensor types of GGUF, with their codes on disk.

/// Metadata in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub Vec<(String, MetaValue)>);

impl Metadata {
    /// Adds a key, or replaces its value.
    pub fn set(&mut self, key: impl Into<String>, value: MetaValue) {
        let key = key.into();
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&MetaValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// A text value; `None` where the key is missing or of another type.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            MetaValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Any integer value that fits 64 unsigned bits.
    pub fn integer(&self, key: &str) -> Option<u64> {
        match *self.get(key)? {
            MetaValue::U8(value) => Some(value.into()),
            MetaValue::U16(value) => Some(value.into()),
            MetaValue::U32(value) => Some(value.into()),
            MetaValue::U64(value) => Some(value),
            MetaValue::I8(value) => value.try_into().ok(),
            MetaValue::I16(value) => value.try_into().ok(),
            MetaValue::I32(value) => value.try_into().ok(),
            MetaValue::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// A 32-bit float value.
    pub fn float(&self, key: &str) -> Option<f32> {
        match *self.get(key)? {
            MetaValue::F32(value) => Some(value),
            _ => None,
        }
    }
}

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the format's own type names")]
pub enum MetaValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    Array(MetaArray),
}

/// An array value. Arrays of arrays are not read: no model uses them.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaArray {
    /// Texts.
    Text(Vec<String>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// Any other fixed-size element, kept as it is on disk: the element's code and the raw little-endian bytes.
    Raw {
        /// The element's type code.
        code: u32,
        /// How many elements.
        count: u64,
        /// Their bytes.
        bytes: Vec<u8>,
    },
}

impl MetaArray {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(items) => items.len(),
            Self::I32(items) => items.len(),
            Self::Raw { count, .. } => usize::try_from(*count).unwrap_or(usize::MAX),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub(crate) const CODE_I32: u32 = 5;
pub(crate) const CODE_BOOL: u32 = 7;
pub(crate) const CODE_TEXT: u32 = 8;
pub(crate) const CODE_ARRAY: u32 = 9;

/// Bytes of one element of a fixed-size type; `None` for texts, arrays and unknown codes.
pub(crate) fn fixed_size(code: u32) -> Option<u64> {
    Some(match code {
        0 | 1 | CODE_BOOL => 1,
        2 | 3 => 2,
        4 | CODE_I32 | 6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

/// How a tensor's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, missing_docs, reason = "ggml's own names")]
pub enum GgmlType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ2_XXS,
    IQ2_XS,
    IQ3_XXS,
    IQ1_S,
    IQ4_NL,
    IQ3_S,
    IQ2_S,
    IQ4_XS,
    I8,
    IQ1_M,
    BF16,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4,
    Q1_0,
    Q2_0,
    /// A type that this code does not know; kept by its number.
    Other(u32),
}

/// (type, code, name, values in a block, bytes of a block), after ggml's type table.
const TYPES: [(GgmlType, u32, &str, u64, u64); 29] = [
    (GgmlType::F32, 0, "F32", 1, 4),
    (GgmlType::F16, 1, "F16", 1, 2),
    (GgmlType::Q4_0, 2, "Q4_0", 32, 18),
    (GgmlType::Q4_1, 3, "Q4_1", 32, 20),
    (GgmlType::Q5_0, 6, "Q5_0", 32, 22),
    (GgmlType::Q5_1, 7, "Q5_1", 32, 24),
    (GgmlType::Q8_0, 8, "Q8_0", 32, 34),
    (GgmlType::Q2_K, 10, "Q2_K", 256, 84),
    (GgmlType::Q3_K, 11, "Q3_K", 256, 110),
    (GgmlType::Q4_K, 12, "Q4_K", 256, 144),
    (GgmlType::Q5_K, 13, "Q5_K", 256, 176),
    (GgmlType::Q6_K, 14, "Q6_K", 256, 210),
    (GgmlType::IQ2_XXS, 16, "IQ2_XXS", 256, 66),
    (GgmlType::IQ2_XS, 17, "IQ2_XS", 256, 74),
    (GgmlType::IQ3_XXS, 18, "IQ3_XXS", 256, 98),
    (GgmlType::IQ1_S, 19, "IQ1_S", 256, 50),
    (GgmlType::IQ4_NL, 20, "IQ4_NL", 32, 18),
    (GgmlType::IQ3_S, 21, "IQ3_S", 256, 110),
    (GgmlType::IQ2_S, 22, "IQ2_S", 256, 82),
    (GgmlType::IQ4_XS, 23, "IQ4_XS", 256, 136),
    (GgmlType::I8, 24, "I8", 1, 1),
    (GgmlType::IQ1_M, 29, "IQ1_M", 256, 56),
    (GgmlType::BF16, 30, "BF16", 1, 2),
    (GgmlType::TQ1_0, 34, "TQ1_0", 256, 54),
    (GgmlType::TQ2_0, 35, "TQ2_0", 256, 66),
    (GgmlType::MXFP4, 39, "MXFP4", 32, 17),
    (GgmlType::NVFP4, 40, "NVFP4", 64, 36),
    (GgmlType::Q1_0, 41, "Q1_0", 128, 18),
    (GgmlType::Q2_0, 42, "Q2_0", 64, 18),
];

impl GgmlType {
    /// The type of a code on disk.
    pub fn from_code(code: u32) -> Self {
        TYPES.iter().find(|row| row.1 == code).map_or(Self::Other(code), |row| row.0)
    }

    fn row(self) -> Option<&'static (Self, u32, &'static str, u64, u64)> {
        TYPES.iter().find(|row| row.0 == self)
    }

    /// The code on disk.
    pub fn code(self) -> u32 {
        match self {
            Self::Other(code) => code,
            known => known.row().map_or(u32::MAX, |row| row.1),
        }
    }

    /// The name that llama.cpp prints.
    pub fn name(self) -> String {
        self.row().map_or_else(|| format!("type {}", self.code()), |row| row.2.to_owned())
    }

    /// Values and bytes of one block; `None` for unknown types.
    pub fn block(self) -> Option<(u64, u64)> {
        self.row().map(|row| (row.3, row.4))
    }

    /// Bytes of `values` values; `None` for unknown types, broken blocks and sizes beyond 64 bits.
    pub fn bytes(self, values: u64) -> Option<u64> {
        let (block, bytes) = self.block()?;
        values.is_multiple_of(block).then_some(values / block)?.checked_mul(bytes)
    }
}
