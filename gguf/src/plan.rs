//! What the next step computes: everybody's next token, or a prompt.

use crate::backend::{Backend, LaneId, Token};
use crate::batcher::{Batcher, Phase};
use crate::lanes::Tenant;
use crate::pace::Piece;
use crate::scheduler::{SMALL_REST, WORTH_A_STEP, chunks, order};

/// A stretch of the batch: whose tokens they are, and the row that follows them.
pub(crate) struct Part {
    pub(crate) whose: Whose,
    pub(crate) row: Option<usize>,
}

/// Tokens to compute in a lane.
struct Work {
    whose: Whose,
    lane: LaneId,
    tokens: Vec<Token>,
    /// Tokens that were to be computed when it came.
    whole: usize,
    /// Seconds that each token of its last piece took.
    each: Option<f64>,
    newcomer: bool,
}

/// Newcomers whose prompts are finished between two steps that decode, at most. Many who come at once would otherwise begin to decode at once, end
/// at once and come again at once, each time behind all the others' prompts; so they get out of step. With two of them they hardly do.
const NEWCOMERS: usize = 1;

/// Behind more tokens than these a token costs more beside those that decode than in a piece of its own: what it attends to, 26 MB in
/// 1,500 tokens of the default model, is read for it alone.
const SHORT_HISTORY: usize = 512;

/// So many times that prompts begin, the oldest goes first once.
const OLDEST_FIRST: u64 = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Index into the active sequences.
    Sequence(usize),
    Prefix(LaneId),
}

impl<B: Backend> Batcher<B> {
    /// Fills the batch: with prompts, where they have time left, or else with the decoding rows, those that waited longest
    /// first, and with what costs nothing beside them. Says how many tokens of either are in it.
    pub(crate) fn plan(&mut self) -> (Vec<Part>, usize, usize) {
        self.batch.clear();
        self.turn += 1;
        let mut decoding: Vec<(u64, usize, Token)> = Vec::new();
        for (index, active) in self.active.iter().enumerate() {
            if let Phase::Decode { next, since } = active.phase {
                decoding.push((since, index, next));
            }
        }
        let rows = decoding.len().min(self.settings.rows);
        let prompts = self.prefill_work();
        let parts = self.plan_prompts(&prompts, rows, self.active.len() - decoding.len());
        if !parts.is_empty() {
            return (parts, 0, self.batch.entries().len());
        }
        decoding.sort_unstable();
        self.newcomers = 0;
        let mut parts = Vec::new();
        for &(_, index, next) in decoding.iter().take(rows) {
            let lane = self.active[index].lane;
            let work =
                Work { whose: Whose::Sequence(index), lane, tokens: vec![next], whole: 1, each: None, newcomer: false };
            parts.push(self.put(&work, 1, true));
        }
        self.plan_alongside(&prompts, &mut parts);
        (parts, rows, self.batch.entries().len() - rows)
    }

    /// Lanes between those that decode are computed with them anyway, and those next to them cost no pass more: if they have a
    /// prompt, a token of it goes along.
    fn plan_alongside(&mut self, work: &[Work], parts: &mut Vec<Part>) {
        if work.is_empty() {
            return;
        }
        let lanes: Vec<LaneId> = self.batch.entries().iter().map(|entry| entry.lane).collect();
        let waiting: Vec<LaneId> = work.iter().map(|work| work.lane).collect();
        let alongside = self.backend.alongside(&lanes, &waiting);
        for work in work.iter().filter(|work| alongside.contains(&work.lane) && !work.tokens.is_empty()) {
            if self.batch.room() > 0 && self.lanes.log(work.lane).len() <= SHORT_HISTORY {
                let whole = work.tokens.len() == 1 && matches!(work.whose, Whose::Sequence(_));
                self.newcomers += usize::from(whole && work.newcomer);
                parts.push(self.put(work, 1, whole));
            }
        }
    }

    /// Fills the batch with prompts, if they have time left before the `rows` that wait decode again.
    fn plan_prompts(&mut self, work: &[Work], rows: usize, waiting: usize) -> Vec<Part> {
        let remaining: Vec<usize> = work.iter().map(|work| work.tokens.len()).collect();
        let begins = rows == 0 || !self.pace.has_begun();
        let mut order = order(&remaining, begins && (self.beginnings + 1).is_multiple_of(OLDEST_FIRST));
        if rows > 0 {
            let mut finished = self.newcomers;
            order.retain(|index| {
                finished += usize::from(work[*index].newcomer);
                !work[*index].newcomer || finished <= NEWCOMERS
            });
        }
        self.beginnings += u64::from(begins && !order.is_empty());
        order.truncate(self.settings.prompts);
        let Some(first) = order.first().map(|index| &work[*index]) else { return Vec::new() };
        let room = self.batch.room();
        let piece = Piece { whole: first.whole, rest: first.tokens.len(), each: first.each };
        let budget = self.pace.prefill(rows, waiting, piece).min(room);
        let small_rest = if first.each.is_some() { 0 } else { SMALL_REST };
        let given = chunks(&remaining, &order, budget, room, small_rest);
        let worth = |index: &usize| given[*index] >= remaining[*index].min(WORTH_A_STEP);
        if !begins && !order.first().is_some_and(worth) {
            return Vec::new();
        }
        let mut parts = Vec::new();
        for (work, take) in work.iter().zip(given) {
            if take > 0 {
                let whole = take == work.tokens.len() && matches!(work.whose, Whose::Sequence(_));
                self.newcomers += usize::from(whole && work.newcomer);
                parts.push(self.put(work, take, whole));
            }
        }
        parts
    }

    /// Prompts to compute, oldest first; a prefix stands where the first sequence waits for it.
    fn prefill_work(&self) -> Vec<Work> {
        let most = self.batch.room();
        let mut work: Vec<Work> = Vec::new();
        for (index, active) in self.active.iter().enumerate() {
            let (whose, lane, target): (_, _, &[Token]) = match active.phase {
                Phase::Prefill => (Whose::Sequence(index), active.lane, &active.sequence.prompt),
                Phase::AwaitPrefix { prefix, .. } => match self.lanes.tenant(prefix) {
                    Tenant::Prefix(tokens) => (Whose::Prefix(prefix), prefix, tokens),
                    _ => continue,
                },
                Phase::Decode { .. } => continue,
            };
            if work.iter().all(|other| other.whose != whose) {
                let rest = &target[self.lanes.log(lane).len()..];
                // No more than a batch holds is ever taken; but one token more tells that the prompt goes on.
                let tokens = rest[..rest.len().min(most + 1)].to_vec();
                // A prefix may have been begun for somebody who is gone.
                let whole = active.sequence.to_compute().max(rest.len());
                let newcomer = active.newcomer && matches!(whose, Whose::Sequence(_));
                work.push(Work { whose, lane, tokens, whole, each: active.each, newcomer });
            }
        }
        work
    }

    /// Puts the first `take` tokens of some work into the batch, with logits wanted for the last where `logits`.
    fn put(&mut self, work: &Work, take: usize, logits: bool) -> Part {
        match self.lanes.stage(&mut self.batch, work.lane, &work.tokens[..take], logits) {
            Ok(row) => Part { whose: work.whose, row },
            // Cannot happen while the accounting holds; if it does, what was staged is computed and the rest later.
            Err(error) => {
                debug_assert!(false, "{error}");
                tracing::error!(%error, "a token could not join its batch");
                Part { whose: work.whose, row: None }
            }
        }
    }
}
