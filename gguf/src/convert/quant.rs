//! The quantisations that llama.cpp makes, by the names its users know.

use std::fmt;
use std::str::FromStr;

/// One of llama.cpp's file types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantType {
    name: &'static str,
    file_type: u32,
    /// Bits for one weight, in hundredths, on average over a model.
    centibits: u64,
}

/// Types that need no importance matrix (`enum llama_ftype`, llama.h).
const TYPES: [(&str, u32, u64); 17] = [
    ("F16", 1, 1600),
    ("Q4_0", 2, 460),
    ("Q4_1", 3, 510),
    ("Q8_0", 7, 850),
    ("Q5_0", 8, 560),
    ("Q5_1", 9, 610),
    ("Q2_K", 10, 320),
    ("Q3_K_S", 11, 365),
    ("Q3_K_M", 12, 400),
    ("Q3_K_L", 13, 430),
    ("Q4_K_S", 14, 470),
    ("Q4_K_M", 15, 490),
    ("Q5_K_S", 16, 560),
    ("Q5_K_M", 17, 575),
    ("Q6_K", 18, 660),
    ("IQ4_NL", 25, 460),
    ("IQ4_XS", 30, 440),
];

impl QuantType {
    /// The name, as llama.cpp writes it (`Q4_K_M`).
    pub fn name(self) -> &'static str {
        self.name
    }

    /// llama.cpp's number.
    pub fn file_type(self) -> u32 {
        self.file_type
    }

    /// The type of a file's `general.file_type`, if it is one of these.
    pub fn of_file_type(file_type: u64) -> Option<Self> {
        Self::all().find(|kind| u64::from(kind.file_type) == file_type)
    }

    /// Bytes that so many weights take, roughly: for progress and for disk space.
    pub fn estimate(self, weights: u64) -> u64 {
        weights.saturating_mul(self.centibits) / 800
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TYPES.iter().map(|(name, file_type, centibits)| Self { name, file_type: *file_type, centibits: *centibits })
    }
}

impl fmt::Display for QuantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for QuantType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::all().find(|kind| kind.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("no quantisation `{}`; there are {}", super::error::shorten(name), names.join(", "))
        })
    }
}
