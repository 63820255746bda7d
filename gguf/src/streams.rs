//! Which idle streams join a batch, so that a KV cache with a stream for each lane is computed in few, equal graphs.
//!
//! With split streams llama.cpp computes together only those whose ids follow each other, and builds a new graph (and
//! drops a captured CUDA graph) whenever their number changes. So the gaps between a batch's streams are filled, and each
//! run of them is widened to one of a few sizes, with one token that is forgotten right after.

use crate::placement::StreamId;

/// How batches are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    /// The widest gap between streams that is filled: as many rows as a run more costs.
    pub widest_gap: usize,
    /// Whether runs are widened to one of few sizes.
    pub buckets: bool,
}

impl Padding {
    /// For a GPU: a row more costs its attention, a graph more a pass over the weights and a new capture. For a 3b model in
    /// four bits that is 130 MB for a row with 400 tokens of 16-bit KV against 1.7 GB. By that arithmetic gaps of thirteen
    /// would do; nobody has measured it.
    pub const GPU: Self = Self { widest_gap: 8, buckets: true };
    /// For a processor: a row more costs as much as any other, a graph more a pass over the weights (2 cores, 135M model in
    /// eight bits: 4 and 10 ms).
    pub const CPU: Self = Self { widest_gap: 2, buckets: false };
}

/// The sizes that a run of streams is widened to, at most by half.
const BUCKETS: [usize; 16] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

/// The streams to pad a batch with. `taking_part` is a batch's streams, ascending and each once; `can_pad` says of any
/// other below `streams` whether it has room for a token.
///
/// Both together fall into as few runs as the gaps allow; each run has a bucket's size where the streams beside it can
/// pad.
pub fn padding(
    how: Padding,
    taking_part: &[StreamId],
    streams: usize,
    can_pad: impl Fn(StreamId) -> bool,
) -> Vec<StreamId> {
    let stream = |index: usize| StreamId(u16::try_from(index).unwrap_or(u16::MAX));
    let mut runs: Vec<(usize, usize)> = Vec::new(); // first, end
    for at in taking_part.iter().map(|stream| stream.index()) {
        match runs.last_mut() {
            Some((_, end)) if at - *end <= how.widest_gap && (*end..at).all(|gap| can_pad(stream(gap))) => {
                *end = at + 1;
            }
            _ => runs.push((at, at + 1)),
        }
    }
    let mut padding: Vec<StreamId> = Vec::new();
    // Runs must not grow together: two of them side by side would have a size that is no bucket's.
    let mut lowest = 0;
    for index in 0..runs.len() {
        let (mut first, mut end) = runs[index];
        let highest = runs.get(index + 1).map_or(streams, |next| next.0 - 1);
        let wanted =
            BUCKETS.iter().filter(|_| how.buckets).copied().find(|size| *size >= end - first).unwrap_or(end - first);
        while end - first < wanted {
            if end < highest && can_pad(stream(end)) {
                end += 1;
            } else if first > lowest && can_pad(stream(first - 1)) {
                first -= 1;
            } else {
                break;
            }
        }
        padding.extend((first..end).map(stream).filter(|stream| taking_part.binary_search(stream).is_err()));
        lowest = end + 1;
    }
    padding
}

/// Of `waiting` streams those that are near enough to the ones `taking_part`, or to each other, to be computed in one run with
/// them: their tokens have to be computed some time, and there cost no pass over the weights.
pub fn joining(how: Padding, mut taking_part: Vec<StreamId>, mut waiting: Vec<StreamId>) -> Vec<StreamId> {
    let is_near = |one: &StreamId, other: &StreamId| usize::from(one.0.abs_diff(other.0)) <= how.widest_gap + 1;
    let own = taking_part.len();
    while let Some(next) = waiting.iter().position(|one| taking_part.iter().any(|other| is_near(one, other))) {
        taking_part.push(waiting.swap_remove(next));
    }
    taking_part.split_off(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(streams: &[u16]) -> Vec<StreamId> {
        streams.iter().copied().map(StreamId).collect()
    }

    #[test]
    fn a_gap_is_filled_and_the_run_gets_a_buckets_size() {
        // 3, 4, 6 and 7 become 3 to 7, and then one more.
        assert_eq!(padding(Padding::GPU, &ids(&[3, 4, 6, 7]), 64, |_| true), ids(&[5, 8]));
        assert_eq!(padding(Padding::GPU, &ids(&[5]), 64, |_| true), ids(&[]));
        assert_eq!(padding(Padding::GPU, &[], 64, |_| true), ids(&[]));
    }

    #[test]
    fn streams_far_apart_stay_apart() {
        assert_eq!(padding(Padding::GPU, &ids(&[0, 1, 40, 41]), 64, |_| true), ids(&[]));
    }

    #[test]
    fn a_processor_fills_small_gaps_and_widens_nothing() {
        assert_eq!(padding(Padding::CPU, &ids(&[3, 4, 6, 11, 12]), 64, |_| true), ids(&[5]));
        assert_eq!(padding(Padding::CPU, &ids(&[3, 4, 5, 6, 7]), 64, |_| true), ids(&[]));
    }

    #[test]
    fn a_full_stream_never_pads() {
        // Without stream 5 the gap stays; each half has a bucket's size already.
        assert_eq!(padding(Padding::GPU, &ids(&[3, 4, 6, 7]), 64, |stream| stream != StreamId(5)), ids(&[]));
        // At the end of the streams the run grows downwards.
        assert_eq!(padding(Padding::GPU, &ids(&[59, 60, 61, 62, 63]), 64, |_| true), ids(&[58]));
        assert_eq!(padding(Padding::GPU, &ids(&[59, 60, 61, 62, 63]), 64, |stream| stream != StreamId(58)), ids(&[]));
    }

    #[test]
    fn whoever_waits_joins_those_who_decode_only_where_that_makes_no_run_more() {
        let joining = |decoding: &[u16], waiting: &[u16]| {
            let mut joining = joining(Padding::CPU, ids(decoding), ids(waiting));
            joining.sort_unstable();
            joining
        };
        assert_eq!(joining(&[3, 4, 9], &[5, 7, 20]), ids(&[5, 7]));
        assert_eq!(joining(&[3], &[12, 9, 6]), ids(&[6, 9, 12]), "one by one");
        assert_eq!(joining(&[3], &[7]), ids(&[]));
        assert_eq!(joining(&[], &[7]), ids(&[]));
    }

    proptest! {
        #[test]
        fn runs_have_a_buckets_size_wherever_there_is_room(
            taking_part in prop::collection::btree_set(0_u16..200, 1..100),
            full in prop::collection::btree_set(0_u16..200, 0..20),
        ) {
            let taking_part: Vec<StreamId> = taking_part.into_iter().map(StreamId).collect();
            let can_pad = |stream: StreamId| !full.contains(&stream.0);
            let padding = padding(Padding::GPU, &taking_part, 200, can_pad);
            let mut all: Vec<StreamId> = taking_part.iter().chain(&padding).copied().collect();
            all.sort_unstable();
            let count = all.len();
            all.dedup();
            prop_assert_eq!(all.len(), count, "a stream twice");
            prop_assert!(padding.iter().all(|stream| can_pad(*stream) && stream.index() < 200));
            // Never more than half again, gaps aside; and without full streams every run is a bucket.
            let runs = all.chunk_by(|one, next| one.0 + 1 == next.0);
            let own = taking_part.chunk_by(|one, next| one.0 + 1 == next.0).count();
            prop_assert!(runs.clone().count() <= own);
            for run in runs {
                let begins_after_room = run[0].0 > 1 && can_pad(StreamId(run[0].0 - 1)) && !all.contains(&StreamId(run[0].0 - 2));
                let crowded = !begins_after_room;
                prop_assert!(crowded || BUCKETS.contains(&run.len()), "{} streams", run.len());
            }
        }
    }
}
