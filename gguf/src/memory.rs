//! How much memory there is, and how many cells a KV cache may have in it.

use crate::cgroup;

/// Bytes of memory that a new process could have: what the system calls available, within the limits of its control groups. `None`
/// where the system does not say.
pub fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kilobytes * 1024).min(cgroup::left().unwrap_or(u64::MAX)))
}

/// What a KV cache is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Cells of one stream, where each lane has its own.
    pub stream: u32,
    /// Fewest streams of a split cache; none where it must be unified.
    pub fewest: Option<u32>,
    /// Most streams of it.
    pub most: u32,
    /// Tokens of the longest conversation.
    pub context: u32,
    /// Bytes of a cell, in all layers.
    pub cell: u64,
}

/// Cells of a unified cache, where memory allows: a thousand tokens for each of 32.
const POOL: u32 = 32_768;
/// The streams of all slots may take this part of the memory: with one pool 64 conversations had a tenfold wait.
const PART_FOR_SLOTS: u64 = 4;
/// And those of lanes that rest this part, with the slots'.
const PART_FOR_LANES: u64 = 8;
/// And a pool this part, before it is made smaller.
const PART_FOR_POOL: u64 = 2;

/// As many cells as suit the memory: a stream for each slot if that takes no more than a quarter of it, and for more lanes
/// within an eighth; or else a pool.
pub fn cells(wanted: Wanted, memory: u64) -> u32 {
    let afford = |part: u64| u32::try_from(memory / part / wanted.cell.max(1)).unwrap_or(u32::MAX);
    let streams = |part: u64| afford(part) / wanted.stream.max(1);
    match wanted.fewest {
        Some(fewest) if streams(PART_FOR_SLOTS) >= fewest => {
            streams(PART_FOR_LANES).clamp(fewest, wanted.most.max(fewest)).saturating_mul(wanted.stream)
        }
        _ => POOL.min(afford(PART_FOR_POOL)).max(wanted.context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default model with 32 slots and 64 lanes.
    const WANTED: Wanted = Wanted { stream: 2048, fewest: Some(49), most: 81, context: 2048, cell: 17_640 };
    const GB: u64 = 1_000_000_000;

    #[test]
    fn every_lane_has_a_stream_where_memory_is_plenty() {
        assert_eq!(cells(WANTED, 64 * GB), 81 * 2048);
        assert_eq!(cells(WANTED, 16 * GB), 55 * 2048, "2 GB of it");
        assert_eq!(cells(WANTED, 8 * GB), 49 * 2048, "the slots' alone, 1.8 GB");
        assert_eq!(cells(Wanted { stream: u32::MAX, ..WANTED }, 64 * GB), 32_768);
    }

    #[test]
    fn all_share_a_pool_where_it_is_not() {
        assert_eq!(cells(WANTED, 4 * GB), 32_768);
        assert_eq!(cells(Wanted { fewest: None, ..WANTED }, 64 * GB), 32_768);
    }

    #[test]
    fn a_large_models_pool_leaves_half_of_the_memory_but_holds_one_conversation() {
        // Dolly v2 3b: 327,680 bytes a token.
        let dolly = Wanted { cell: 327_680, ..WANTED };
        assert_eq!(cells(dolly, 12 * GB), 18_310);
        assert_eq!(cells(dolly, GB), 2048);
    }

    #[test]
    fn this_machine_says_what_it_has() {
        assert!(available().is_none_or(|memory| memory > 1 << 20));
    }
}
