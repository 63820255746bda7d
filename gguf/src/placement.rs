//! Which stream of a split KV cache holds which lane, so that the lanes of a batch lie side by side.
//!
//! llama.cpp computes together only streams that follow each other; each run of them is a pass over the weights of its own
//! (2 cores, 135M model: twelve runs made a step of 24 rows and 50 prompt tokens take 360 ms instead of 240). Conversations
//! come and go, so the lanes of a batch drift apart. Here they are brought together again: an empty lane begins where the
//! others are, which costs nothing, and a lane that holds something is moved, which copies what it holds. A move is made
//! once the gaps of batches in a row have cost as much as it does; a gap of a moment moves nobody.

use crate::backend::LaneId;

/// A stream of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

impl StreamId {
    /// As an index into tables of streams.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What things cost, in rows: the time that one more row of a batch takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// A run of streams more.
    pub run: f64,
    /// Copying a stream, however little it holds.
    pub copy: f64,
    /// Copying each token that it holds.
    pub token: f64,
}

impl Costs {
    /// Copying a stream that holds so many tokens.
    fn of(&self, held: usize) -> f64 {
        self.copy + self.token * held as f64
    }
}

/// `from` is to be copied to `to`, which is empty, and to be emptied then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// What holds something.
    pub from: StreamId,
    /// Where it goes.
    pub to: StreamId,
}

/// Lanes brought in before one batch, at most: the copies are time in which nobody gets a token.
const MOST_AT_ONCE: usize = 2;

/// Gaps are remembered up to so many copies: when nobody can be moved for long, no flood of moves follows.
const MOST_DEBT: f64 = 4.0;

/// A stream that was part of one of so many last batches is left where it is: its conversation may go on at once. Whoever waits
/// for a prompt counts as part of each.
const RESTING: u64 = 4;

/// Where every lane is. There is a stream more than lanes, so that two lanes can always change places.
#[derive(Clone, Debug)]
pub struct Placement {
    costs: Costs,
    /// The stream of each lane; the last is nobody's, and empty.
    stream: Vec<StreamId>,
    /// The lane of each stream.
    lane: Vec<LaneId>,
    /// When a stream was last part of a batch.
    used: Vec<u64>,
    batches: u64,
    /// The middle of the last batch's streams.
    middle: StreamId,
    /// What gaps have cost since the last move, in rows.
    debt: f64,
}

impl Placement {
    /// Every lane in the stream of its number.
    pub fn new(lanes: usize, costs: Costs) -> Self {
        let ids = || (0..=lanes).map(|index| u16::try_from(index).unwrap_or(u16::MAX));
        Self {
            costs,
            stream: ids().map(StreamId).collect(),
            lane: ids().map(LaneId).collect(),
            used: vec![0; lanes + 1],
            batches: 0,
            middle: StreamId(0),
            debt: 0.0,
        }
    }

    /// Streams: one more than lanes.
    pub fn streams(&self) -> usize {
        self.lane.len()
    }

    /// Where a lane is.
    pub fn stream(&self, lane: LaneId) -> StreamId {
        self.stream[lane.index()]
    }

    /// Puts a lane that holds nothing yet as near as can be to the last batch's.
    pub fn settle(&mut self, lane: LaneId, is_empty: impl Fn(StreamId) -> bool) {
        let distance = |stream: StreamId| stream.0.abs_diff(self.middle.0);
        let own = self.stream(lane);
        let free = self.all().filter(|stream| is_empty(*stream));
        let Some(nearest) = free.min_by_key(|stream| distance(*stream)) else { return };
        if distance(nearest) < distance(own) {
            self.exchange(own, nearest);
        }
    }

    /// Lanes that will be part of batches soon, or are part of one for which nobody is moved: prompts are a pass over the weights
    /// each, wherever they are.
    pub fn touch(&mut self, lanes: &[LaneId]) {
        for lane in lanes {
            self.used[self.stream[lane.index()].index()] = self.batches;
        }
    }

    /// Moves to make, in this order, before a batch of these lanes; `held` says how many tokens a stream holds. Each goes to a
    /// stream that is empty by then.
    pub fn gather(&mut self, lanes: &[LaneId], held: impl Fn(StreamId) -> usize) -> Vec<Move> {
        self.batches += 1;
        let mut moves = Vec::new();
        let mut taking_part: Vec<StreamId> = lanes.iter().map(|lane| self.stream(*lane)).collect();
        taking_part.sort_unstable();
        // Copies that are planned but not made yet change what is held.
        let mut held: Vec<usize> = self.all().map(held).collect();
        let tokens: usize = taking_part.iter().map(|stream| held[stream.index()]).sum();
        let most = MOST_DEBT * self.costs.of(tokens / taking_part.len().max(1));
        let gaps = self.cost_of_gaps(&taking_part);
        self.debt = if gaps > 0.0 { (self.debt + gaps).min(most) } else { 0.0 };
        for _ in 0..MOST_AT_ONCE {
            if self.cost_of_gaps(&taking_part) <= 0.0 {
                break;
            }
            let Some((outsider, hole, spare)) = self.next(&taking_part, &held) else { break };
            let first = (held[hole.index()] > 0).then_some(Move { from: hole, to: spare });
            let steps = first.into_iter().chain([Move { from: outsider, to: hole }]);
            // A lane that begins with this batch has nothing to copy yet.
            let cost =
                |step: &Move| if held[step.from.index()] > 0 { self.costs.of(held[step.from.index()]) } else { 0.0 };
            let cost: f64 = steps.clone().map(|step| cost(&step)).sum();
            if self.debt < cost {
                break;
            }
            self.debt -= cost;
            for step in steps {
                self.exchange(step.from, step.to);
                held.swap(step.from.index(), step.to.index());
                if held[step.to.index()] > 0 {
                    moves.push(step);
                }
            }
            taking_part.retain(|stream| *stream != outsider);
            taking_part.push(hole);
            taking_part.sort_unstable();
        }
        for stream in &taking_part {
            self.used[stream.index()] = self.batches;
        }
        if let Some(middle) = taking_part.get(taking_part.len() / 2) {
            self.middle = *middle;
        }
        moves
    }

    /// What the gaps between these streams, ascending, cost one batch: filled or jumped over, whichever is cheaper.
    fn cost_of_gaps(&self, taking_part: &[StreamId]) -> f64 {
        let gaps = taking_part.windows(2).map(|pair| f64::from(pair[1].0 - pair[0].0 - 1));
        gaps.map(|gap| gap.min(self.costs.run)).sum()
    }

    /// Who should go where: a stream that lies apart, a hole among the others, and an empty stream for what is in the
    /// hole.
    fn next(&self, taking_part: &[StreamId], held: &[usize]) -> Option<(StreamId, StreamId, StreamId)> {
        let window = self.window(taking_part);
        let inside = |stream: &StreamId| window.contains(&stream.index());
        // The smallest run first: when it is gone, so is a pass over the weights.
        let mut outsiders: Vec<(usize, StreamId)> = Vec::new();
        for run in taking_part.chunk_by(|one, next| f64::from(next.0 - one.0 - 1) < self.costs.run) {
            let outside = run.iter().filter(|stream| !inside(stream));
            outsiders.extend(outside.map(|stream| (run.len(), *stream)));
        }
        let (_, outsider) = outsiders.into_iter().min()?;
        // An empty hole needs one copy only; else whose conversation rests longest is the likeliest to go on resting.
        let filled = |stream: &StreamId| held[stream.index()] > 0;
        let rests = |stream: &StreamId| !filled(stream) || self.batches - self.used[stream.index()] > RESTING;
        let holes = self.all().filter(|stream| inside(stream) && taking_part.binary_search(stream).is_err());
        let holes = holes.filter(rests);
        let hole = holes.min_by_key(|stream| (filled(stream), self.used[stream.index()]))?;
        let free = |stream: &StreamId| !filled(stream) && taking_part.binary_search(stream).is_err();
        let spares = self.all().filter(|stream| free(stream) && !inside(stream));
        let spare = spares.max_by_key(|stream| stream.0.abs_diff(self.middle.0));
        // Without a hole's content to put away, no spare is needed.
        let spare = if filled(&hole) { spare? } else { hole };
        Some((outsider, hole, spare))
    }

    /// As many streams side by side as take part, with most of these in it already.
    fn window(&self, taking_part: &[StreamId]) -> std::ops::Range<usize> {
        let size = taking_part.len();
        let last = self.streams() - size.min(self.streams());
        let starts = taking_part.iter().flat_map(|stream| [stream.index(), (stream.index() + 1).saturating_sub(size)]);
        let members =
            |start: usize| taking_part.iter().filter(|stream| (start..start + size).contains(&stream.index())).count();
        // The lowest of the best, so that it is the same one in the next batch.
        let best = starts.map(|start| start.min(last)).max_by_key(|start| (members(*start), std::cmp::Reverse(*start)));
        let start = best.unwrap_or(0);
        start..start + size
    }

    fn all(&self) -> impl Iterator<Item = StreamId> + use<> {
        (0..self.lane.len()).map(|index| StreamId(u16::try_from(index).unwrap_or(u16::MAX)))
    }

    /// The lanes of two streams change places.
    fn exchange(&mut self, one: StreamId, other: StreamId) {
        self.lane.swap(one.index(), other.index());
        self.used.swap(one.index(), other.index());
        for stream in [one, other] {
            self.stream[self.lane[stream.index()].index()] = stream;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COSTS: Costs = Costs { run: 2.5, copy: 1.0, token: 0.1 };
    /// Tokens of whoever holds something.
    const HELD: usize = 10;

    /// What a cache with a stream more than lanes does: which token of which lane is where.
    struct Cache {
        placement: Placement,
        content: Vec<Option<u16>>,
    }

    impl Cache {
        fn new(lanes: usize) -> Self {
            Self { placement: Placement::new(lanes, COSTS), content: vec![None; lanes + 1] }
        }

        /// Computes a batch; says how many moves it took.
        fn batch(&mut self, lanes: &[u16]) -> usize {
            let lanes: Vec<LaneId> = lanes.iter().copied().map(LaneId).collect();
            for lane in &lanes {
                if self.content[self.placement.stream(*lane).index()].is_none() {
                    self.placement.settle(*lane, |stream| self.content[stream.index()].is_none());
                }
            }
            let held = |stream: StreamId| self.content[stream.index()].map_or(0, |_| HELD);
            let moves = self.placement.gather(&lanes, held);
            for step in &moves {
                assert_eq!(self.content[step.to.index()], None, "only an empty stream is written");
                assert!(self.content[step.from.index()].is_some(), "nothing is copied for nothing");
                self.content.swap(step.from.index(), step.to.index());
            }
            for lane in &lanes {
                self.content[self.placement.stream(*lane).index()] = Some(lane.0);
            }
            self.check();
            moves.len()
        }

        /// Each lane has been talking alone.
        fn fill(lanes: u16) -> Self {
            let mut cache = Self::new(usize::from(lanes));
            for lane in 0..lanes {
                cache.batch(&[lane]);
            }
            cache
        }

        fn empty(&mut self, lane: u16) {
            self.content[self.placement.stream(LaneId(lane)).index()] = None;
        }

        fn check(&self) {
            let mut streams: Vec<u16> = self.placement.stream.iter().map(|stream| stream.0).collect();
            streams.sort_unstable();
            assert!(
                streams.iter().enumerate().all(|(index, stream)| index == usize::from(*stream)),
                "one stream a lane"
            );
            for (stream, content) in self.content.iter().enumerate() {
                assert!(
                    content.is_none_or(|lane| self.placement.stream(LaneId(lane)).index() == stream),
                    "lost {content:?}"
                );
            }
        }

        fn runs(&self, lanes: &[u16]) -> usize {
            let mut streams: Vec<u16> = lanes.iter().map(|lane| self.placement.stream(LaneId(*lane)).0).collect();
            streams.sort_unstable();
            streams.chunk_by(|one, next| one + 1 == *next).count()
        }
    }

    #[test]
    fn lanes_that_decode_together_for_long_come_to_lie_side_by_side() {
        let mut cache = Cache::fill(32);
        let talking: Vec<u16> = (0..32).step_by(3).collect();
        for _ in 0..20 {
            cache.batch(&talking);
        }
        assert_eq!(cache.runs(&talking), 1);
        // And then nothing is copied any more.
        assert_eq!((0..50).map(|_| cache.batch(&talking)).sum::<usize>(), 0);
    }

    #[test]
    fn a_gap_for_a_moment_moves_nobody() {
        let mut cache = Cache::new(16);
        let all: Vec<u16> = (0..8).collect();
        cache.batch(&all);
        let moved: usize = (0..50)
            .map(|step| {
                let missing = (step % 8) as u16;
                let others: Vec<u16> = all.iter().copied().filter(|lane| *lane != missing).collect();
                cache.batch(&others) + cache.batch(&all)
            })
            .sum();
        assert_eq!(moved, 0);
    }

    #[test]
    fn a_newcomer_begins_beside_the_others_at_no_cost() {
        let mut cache = Cache::new(40);
        // Lanes 0 to 29 hold something; 20 to 29 decode.
        for lane in 0..30 {
            cache.batch(&[lane]);
        }
        let mut talking: Vec<u16> = (20..30).collect();
        for _ in 0..20 {
            cache.batch(&talking);
        }
        talking.push(39);
        assert_eq!(cache.batch(&talking), 0);
        assert_eq!(cache.runs(&talking), 1);
    }

    #[test]
    fn copies_stay_in_proportion_to_what_the_gaps_would_cost() {
        // Whoever talks changes all the time.
        let mut cache = Cache::fill(64);
        let mut cost = 0.0;
        let mut copies = 0;
        for step in 0..400_u16 {
            let mut talking: Vec<u16> = (0..12).map(|index| (step / 5 * 7 + index * 5) % 64).collect();
            talking.sort_unstable();
            talking.dedup();
            let streams = |cache: &Cache| {
                let mut streams: Vec<StreamId> =
                    talking.iter().map(|lane| cache.placement.stream(LaneId(*lane))).collect();
                streams.sort_unstable();
                cache.placement.cost_of_gaps(&streams)
            };
            cost += streams(&cache);
            copies += cache.batch(&talking);
        }
        assert!(copies as f64 * COSTS.of(HELD) <= cost, "{copies} copies for {cost} rows");
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_is_lost(steps in prop::collection::vec((prop::collection::btree_set(0_u16..24, 1..24), 0_u16..24), 1..60)) {
            let mut cache = Cache::new(24);
            for (lanes, emptied) in steps {
                cache.batch(&lanes.into_iter().collect::<Vec<_>>());
                cache.empty(emptied);
            }
        }
    }
}
