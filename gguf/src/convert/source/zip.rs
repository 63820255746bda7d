//! The little of ZIP that PyTorch writes: stored entries, with the 64-bit extension for checkpoints over 4 GB.
//!
//! Format: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3. Compressed or encrypted entries are refused: PyTorch writes
//! neither, and nothing here can then unpack to more than the file holds.

use std::collections::HashMap;

/// One stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// First byte of its data, from the start of the file.
    pub(crate) start: u64,
    /// Number of bytes.
    pub(crate) size: u64,
}

/// Bytes by position, so that the same code reads files and the fuzzer's slices.
pub(crate) trait ReadAt {
    /// Fills `buffer` from position `at`.
    ///
    /// # Errors
    /// When the bytes are not all there.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, at)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let range = usize::try_from(at).ok().and_then(|at| Some(at..at.checked_add(buffer.len())?));
        match range.and_then(|range| self.get(range)) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
const END_BYTES: u64 = 22;
/// The end record may be followed by a comment of at most 65,535 bytes.
const MAX_TAIL: u64 = END_BYTES + 65_535;
const MAX_ENTRIES: u64 = 65_536;
const MAX_DIRECTORY: u64 = 32 << 20;

/// Lists the entries of an archive of `size` bytes, by name.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn entries(input: &(impl ReadAt + ?Sized), size: u64) -> Result<HashMap<String, Entry>, String> {
    let (start, length, count) = directory(input, size)?;
    let end = start.checked_add(length).filter(|end| *end <= size);
    if end.is_none() || count > MAX_ENTRIES || length > MAX_DIRECTORY {
        return Err("its directory lies outside the file".to_owned());
    }
    let bytes = read(input, start, length)?;
    let mut rest = Fields(&bytes);
    let mut entries = HashMap::new();
    let mut ranges = Vec::new();
    for _ in 0..count {
        let (name, size_, header) = central(&mut rest)?;
        let entry = Entry { start: data_start(input, header)?, size: size_ };
        let within = entry.start.checked_add(entry.size).is_some_and(|end| end <= start);
        if !within {
            return Err(format!("the entry `{}` lies outside the file", crate::convert::error::shorten(&name)));
        }
        ranges.push((entry.start, entry.size));
        if entries.insert(name, entry).is_some() {
            return Err("an entry occurs twice".to_owned());
        }
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        return Err("two of its entries overlap".to_owned());
    }
    Ok(entries)
}

/// Start, length and number of entries of the central directory.
fn directory(input: &(impl ReadAt + ?Sized), size: u64) -> Result<(u64, u64, u64), String> {
    let tail_length = size.min(MAX_TAIL);
    let tail = read(input, size - tail_length, tail_length)?;
    let last = tail.len().checked_sub(END_BYTES as usize);
    let found = last.and_then(|last| (0..=last).rev().find(|at| tail[*at..].starts_with(&END.to_le_bytes())));
    let at = found.ok_or("it has no ZIP directory at its end: it is cut short, or older than PyTorch 1.6")?;
    let mut end = Fields(&tail[at + 10..]);
    let (count, length, start) = (u64::from(end.u16()?), u64::from(end.u32()?), u64::from(end.u32()?));
    if count != 0xFFFF && length != 0xFFFF_FFFF && start != 0xFFFF_FFFF {
        return Ok((start, length, count));
    }
    let locator = (size - tail_length + at as u64).checked_sub(20).ok_or("its 64-bit directory is missing")?;
    let locator = read(input, locator, 20)?;
    let mut locator = Fields(&locator);
    if locator.u32()? != END_64_LOCATOR {
        return Err("its 64-bit directory is missing".to_owned());
    }
    locator.skip(4)?;
    let record = read(input, locator.u64()?, 56)?;
    let mut record = Fields(&record);
    if record.u32()? != END_64 {
        return Err("its 64-bit directory is missing".to_owned());
    }
    record.skip(28)?;
    let (count, length, start) = (record.u64()?, record.u64()?, record.u64()?);
    Ok((start, length, count))
}

/// Name, size and local header of the next entry of the directory.
fn central(rest: &mut Fields) -> Result<(String, u64, u64), String> {
    if rest.u32()? != CENTRAL {
        return Err("its directory is damaged".to_owned());
    }
    rest.skip(4)?;
    let (flags, method) = (rest.u16()?, rest.u16()?);
    rest.skip(8)?;
    let (packed, unpacked) = (rest.u32()?, rest.u32()?);
    let (name, extra, comment) = (rest.u16()?, rest.u16()?, rest.u16()?);
    rest.skip(8)?;
    let header = rest.u32()?;
    let name = String::from_utf8_lossy(rest.take(name.into())?).into_owned();
    let mut extra = Fields(rest.take(extra.into())?);
    rest.skip(comment.into())?;
    if method != 0 || flags & 1 != 0 {
        return Err("its entries are compressed or encrypted, which PyTorch never does".to_owned());
    }
    let (mut sizes, mut start) = ([u64::from(packed), u64::from(unpacked)], u64::from(header));
    while !extra.0.is_empty() {
        let (tag, length) = (extra.u16()?, extra.u16()?);
        let mut field = Fields(extra.take(length.into())?);
        if tag != 1 {
            continue;
        }
        // In this order, and only those that are full in the 32-bit record: unpacked, packed, header.
        if unpacked == u32::MAX {
            sizes[1] = field.u64()?;
        }
        if packed == u32::MAX {
            sizes[0] = field.u64()?;
        }
        if header == u32::MAX {
            start = field.u64()?;
        }
    }
    if sizes[0] != sizes[1] {
        return Err("a stored entry has two sizes".to_owned());
    }
    Ok((name, sizes[0], start))
}

/// Where an entry's data begins: its local header has a name and a padding of its own.
fn data_start(input: &(impl ReadAt + ?Sized), header: u64) -> Result<u64, String> {
    let local = read(input, header, 30)?;
    let mut local = Fields(&local);
    if local.u32()? != LOCAL {
        return Err("an entry does not begin where the directory says".to_owned());
    }
    local.skip(22)?;
    let (name, extra) = (local.u16()?, local.u16()?);
    header
        .checked_add(30 + u64::from(name) + u64::from(extra))
        .ok_or_else(|| "an entry lies outside the file".to_owned())
}

fn read(input: &(impl ReadAt + ?Sized), at: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| "it is too large".to_owned())?];
    input.read_at(at, &mut bytes).map_err(|_| "it is cut short".to_owned())?;
    Ok(bytes)
}

/// Little-endian fields, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("its directory is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "its directory is cut short".to_owned())
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }
}
