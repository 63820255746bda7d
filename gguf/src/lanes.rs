//! The lanes: which tokens each one holds, which cells of the KV cache they fill, and who may be evicted.
//!
//! Invariants, checked by [`Lanes::check`]: a lane's log equals its KV; a cell is free exactly when no lane holds it;
//! positions of a lane are 0, 1, 2, …, without gaps. Lanes share cells by reference count, as a unified KV cache does.

use std::sync::Arc;

use crate::backend::{Backend, Batch, BatchError, LaneId, Limits, Token};
use crate::request::OwnerId;

/// Every lane of a backend, and the free cells.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    references: Vec<u16>,
    free: Vec<u32>,
    clock: u64,
    evictions: u64,
}

/// What a lane is kept for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// Nothing: the lane is empty.
    Free,
    /// A prefix that many conversations share, whole once the log is as long as it.
    Prefix(Arc<[Token]>),
    /// One owner's conversation under one prefix.
    Session {
        /// Whose it is.
        owner: OwnerId,
        /// The prefix it began with.
        prefix: Arc<[Token]>,
        /// Hash of the oldest turn it still holds: the next prompt is cut at the same turn, so that it can be reused.
        first_turn: u64,
    },
}

#[derive(Debug)]
struct Lane {
    tenant: Tenant,
    log: Vec<Token>,
    cells: Vec<u32>,
    staged: usize,
    pins: u32,
    used: u64,
}

impl Lanes {
    /// Empty lanes for a backend with these bounds.
    pub fn new(limits: Limits) -> Self {
        let lane = || Lane { tenant: Tenant::Free, log: Vec::new(), cells: Vec::new(), staged: 0, pins: 0, used: 0 };
        let cells = u32::try_from(limits.cells).unwrap_or(u32::MAX);
        Self {
            lanes: (0..limits.lanes.min(usize::from(u16::MAX))).map(|_| lane()).collect(),
            references: vec![0; limits.cells],
            free: (0..cells).rev().collect(),
            clock: 0,
            evictions: 0,
        }
    }

    /// Cells that no lane holds.
    pub fn free_cells(&self) -> usize {
        self.free.len()
    }

    /// Cells that only idle lanes hold: they would be free if all of those were evicted.
    pub fn idle_cells(&self) -> usize {
        let mut in_use = vec![false; self.references.len()];
        for &cell in self.lanes.iter().filter(|lane| lane.pins > 0).flat_map(|lane| &lane.cells) {
            in_use[cell as usize] = true;
        }
        self.references.iter().zip(in_use).filter(|(references, in_use)| **references > 0 && !in_use).count()
    }

    /// Lanes dropped to make room, since start.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// The tokens a lane's KV holds.
    pub fn log(&self, lane: LaneId) -> &[Token] {
        &self.lanes[lane.index()].log
    }

    /// What a lane is kept for.
    pub fn tenant(&self, lane: LaneId) -> &Tenant {
        &self.lanes[lane.index()].tenant
    }

    /// The owner's lane under this prefix.
    pub fn session(&self, wanted: OwnerId, under: &[Token]) -> Option<LaneId> {
        self.find(
            |tenant| matches!(tenant, Tenant::Session { owner, prefix, .. } if *owner == wanted && **prefix == *under),
        )
    }

    /// The lane of a shared prefix.
    pub fn prefix(&self, wanted: &[Token]) -> Option<LaneId> {
        self.find(|tenant| matches!(tenant, Tenant::Prefix(tokens) if **tokens == *wanted))
    }

    fn find(&self, wanted: impl Fn(&Tenant) -> bool) -> Option<LaneId> {
        self.ids().find(|lane| wanted(&self.lanes[lane.index()].tenant))
    }

    fn ids(&self) -> impl Iterator<Item = LaneId> + use<> {
        (0..self.lanes.len()).map(|index| LaneId(u16::try_from(index).unwrap_or(u16::MAX)))
    }

    /// The prefix lane that shares the most leading tokens with `tokens`, and how many.
    pub fn longest_shared(&self, tokens: &[Token]) -> Option<(LaneId, usize)> {
        self.ids()
            .filter(|lane| matches!(self.lanes[lane.index()].tenant, Tenant::Prefix(_)))
            .map(|lane| (lane, common_prefix(self.log(lane), tokens)))
            .filter(|(_, shared)| *shared > 0)
            .max_by_key(|(_, shared)| *shared)
    }

    /// Hash of the oldest turn in the lane that an owner used last.
    pub fn first_turn(&self, wanted: OwnerId) -> Option<u64> {
        self.lanes
            .iter()
            .filter_map(|lane| match &lane.tenant {
                Tenant::Session { owner, first_turn, .. } if *owner == wanted => Some((lane.used, *first_turn)),
                _ => None,
            })
            .max()
            .map(|(_, first_turn)| first_turn)
    }

    /// Cells that prefixes somebody waits for will still fill.
    pub fn prefix_cells_to_come(&self) -> usize {
        let to_come = |lane: &Lane| match &lane.tenant {
            Tenant::Prefix(tokens) if lane.pins > 0 => tokens.len() - lane.log.len(),
            _ => 0,
        };
        self.lanes.iter().map(to_come).sum()
    }

    /// How many prefix lanes there are.
    pub fn prefixes(&self) -> usize {
        self.lanes.iter().filter(|lane| matches!(lane.tenant, Tenant::Prefix(_))).count()
    }

    /// Takes an empty lane, if there is one.
    pub fn claim(&mut self, tenant: Tenant) -> Option<LaneId> {
        let lane = self.find(|tenant| *tenant == Tenant::Free)?;
        self.lanes[lane.index()].tenant = tenant;
        self.touch(lane);
        Some(lane)
    }

    /// Changes what a lane is kept for.
    pub fn rename(&mut self, lane: LaneId, tenant: Tenant) {
        self.lanes[lane.index()].tenant = tenant;
    }

    /// Marks a lane as used now.
    pub fn touch(&mut self, lane: LaneId) {
        self.clock += 1;
        self.lanes[lane.index()].used = self.clock;
    }

    /// Keeps a lane from being evicted until the matching [`Lanes::unpin`].
    pub fn pin(&mut self, lane: LaneId) {
        self.lanes[lane.index()].pins += 1;
        self.touch(lane);
    }

    /// Takes back one [`Lanes::pin`].
    pub fn unpin(&mut self, lane: LaneId) {
        let pins = &mut self.lanes[lane.index()].pins;
        *pins = pins.saturating_sub(1);
        self.touch(lane);
    }

    /// The lane that nobody uses and that was used longest ago: conversations first, then shared prefixes. None where all are in
    /// use.
    pub fn oldest_idle(&self) -> Option<LaneId> {
        let idle = |lane: &LaneId| {
            let lane = &self.lanes[lane.index()];
            lane.pins == 0 && lane.tenant != Tenant::Free
        };
        let age = |lane: &LaneId| {
            let lane = &self.lanes[lane.index()];
            (matches!(lane.tenant, Tenant::Prefix(_)), lane.used)
        };
        self.ids().filter(idle).min_by_key(age)
    }

    /// Empties a lane to make room.
    pub fn evict(&mut self, backend: &mut impl Backend, lane: LaneId) {
        self.empty(backend, lane);
        self.evictions += 1;
    }

    /// Empties the prefix lane that nobody waits for and that was used longest ago.
    pub fn evict_prefix(&mut self, backend: &mut impl Backend) -> bool {
        let idle = |lane: &LaneId| {
            let lane = &self.lanes[lane.index()];
            lane.pins == 0 && matches!(lane.tenant, Tenant::Prefix(_))
        };
        let Some(oldest) = self.ids().filter(idle).min_by_key(|lane| self.lanes[lane.index()].used) else {
            return false;
        };
        self.evict(backend, oldest);
        true
    }

    /// Empties the idle prefixes that share cells with a lane: what is wrong with its KV may be wrong with theirs, and the next
    /// prefix that begins alike would be begun with it.
    pub fn empty_prefixes_of(&mut self, backend: &mut impl Backend, lane: LaneId) {
        // Whatever lanes share, they share from the start.
        let Some(&first) = self.lanes[lane.index()].cells.first() else { return };
        let shares = |id: &LaneId| {
            let lane = &self.lanes[id.index()];
            lane.pins == 0 && matches!(lane.tenant, Tenant::Prefix(_)) && lane.cells.first() == Some(&first)
        };
        let prefixes: Vec<_> = self.ids().filter(shares).collect();
        for prefix in prefixes {
            self.empty(backend, prefix);
        }
    }

    /// Empties every lane of an owner that is not in use.
    pub fn forget(&mut self, backend: &mut impl Backend, wanted: OwnerId) {
        let owned = |tenant: &Tenant| matches!(tenant, Tenant::Session { owner, .. } if *owner == wanted);
        let lanes: Vec<_> = self.ids().filter(|lane| owned(self.tenant(*lane))).collect();
        for lane in lanes {
            if self.lanes[lane.index()].pins == 0 {
                self.empty(backend, lane);
            }
        }
    }

    /// Empties a lane and gives it back.
    pub fn empty(&mut self, backend: &mut impl Backend, lane: LaneId) {
        self.truncate(backend, lane, 0);
        // Also when the log is empty: after a failed batch the KV may hold what the log does not.
        backend.truncate(lane, 0);
        self.lanes[lane.index()].tenant = Tenant::Free;
    }

    /// Drops all but the first `keep` tokens of a lane.
    pub fn truncate(&mut self, backend: &mut impl Backend, lane: LaneId, keep: usize) {
        let Lane { log, cells, .. } = &mut self.lanes[lane.index()];
        if keep >= log.len() {
            return;
        }
        log.truncate(keep);
        for cell in cells.drain(keep..) {
            release(&mut self.references, &mut self.free, cell);
        }
        backend.truncate(lane, keep);
    }

    /// Makes the first `tokens` tokens of `from` the content of the empty lane `to`; no cell is filled.
    pub fn share(&mut self, backend: &mut impl Backend, from: LaneId, to: LaneId, tokens: usize) {
        if from == to || tokens == 0 {
            return;
        }
        self.truncate(backend, to, 0);
        let source = &self.lanes[from.index()];
        let tokens = tokens.min(source.log.len());
        let (log, cells) = (source.log[..tokens].to_vec(), source.cells[..tokens].to_vec());
        for &cell in &cells {
            self.references[cell as usize] += 1;
        }
        let target = &mut self.lanes[to.index()];
        (target.log, target.cells) = (log, cells);
        backend.share(from, to, tokens);
    }

    /// Makes tokens whose KV was saved the content of an empty lane; each takes a free cell. False where the backend could
    /// not, or where too few cells are free: the lane is as before then.
    pub fn restore<B: Backend>(&mut self, backend: &mut B, lane: LaneId, saved: &B::Saved, log: Vec<Token>) -> bool {
        if !self.log(lane).is_empty() || self.free.len() < log.len() || !backend.restore(lane, saved, log.len()) {
            return false;
        }
        let cells = self.free.split_off(self.free.len() - log.len());
        for &cell in &cells {
            self.references[cell as usize] = 1;
        }
        let lane = &mut self.lanes[lane.index()];
        (lane.log, lane.cells) = (log, cells);
        true
    }

    /// Puts `tokens` behind a lane's content into a batch, with logits wanted for the last where `logits`; returns that
    /// row. The lane grows when the batch is [committed](Lanes::commit).
    ///
    /// # Errors
    /// [`BatchError`], also when no cell is free; tokens already added stay staged.
    pub fn stage(
        &mut self,
        batch: &mut Batch,
        lane: LaneId,
        tokens: &[Token],
        logits: bool,
    ) -> Result<Option<usize>, BatchError> {
        let mut row = None;
        for (index, &token) in tokens.iter().enumerate() {
            let target = &mut self.lanes[lane.index()];
            let held = target.log.len() - target.staged;
            if self.free.is_empty() {
                return Err(BatchError::Full);
            }
            row = batch.push(lane, held, token, logits && index + 1 == tokens.len())?;
            if let Some(cell) = self.free.pop() {
                self.references[cell as usize] = 1;
                target.cells.push(cell);
            }
            target.log.push(token);
            target.staged += 1;
        }
        Ok(row)
    }

    /// The batch was computed: its tokens are part of their lanes.
    pub fn commit(&mut self, batch: &Batch) {
        for entry in batch.entries() {
            self.lanes[entry.lane.index()].staged = 0;
        }
    }

    /// The batch failed: its lanes are as before it.
    pub fn roll_back(&mut self, backend: &mut impl Backend, batch: &Batch) {
        for entry in batch.entries() {
            let lane = &mut self.lanes[entry.lane.index()];
            let staged = std::mem::take(&mut lane.staged);
            if staged > 0 {
                let keep = lane.log.len() - staged;
                self.truncate(backend, entry.lane, keep);
            }
        }
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not hold, in words.
    pub fn check(&self, backend: &impl Backend) -> Result<(), String> {
        let mut references = vec![0_u16; self.references.len()];
        for id in self.ids() {
            let lane = &self.lanes[id.index()];
            let held = backend.len(id);
            if lane.log.len() != held || lane.cells.len() != held {
                return Err(format!("lane {}: log {}, cells {}, KV {held}", id.0, lane.log.len(), lane.cells.len()));
            }
            if lane.tenant == Tenant::Free && held > 0 {
                return Err(format!("lane {} is free and holds {held} tokens", id.0));
            }
            for &cell in &lane.cells {
                references[cell as usize] += 1;
            }
        }
        if references != self.references {
            return Err("reference counts differ from the lanes' cells".into());
        }
        let held = references.iter().filter(|count| **count > 0).count();
        if held + self.free.len() != references.len() {
            return Err(format!("{held} cells held and {} free of {}", self.free.len(), references.len()));
        }
        Ok(())
    }
}

fn release(references: &mut [u16], free: &mut Vec<u32>, cell: u32) {
    let count = &mut references[cell as usize];
    *count = count.saturating_sub(1);
    if *count == 0 {
        free.push(cell);
    }
}

/// Leading tokens that two sequences have in common.
pub fn common_prefix(one: &[Token], other: &[Token]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
