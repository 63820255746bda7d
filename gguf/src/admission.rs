//! Who gets a slot, a lane and the cells for its whole answer.
//!
//! Cells are reserved when a request is admitted: prompt and longest answer. So a running sequence never finds the KV
//! cache full, and what waits can wait.

use std::time::Instant;

use crate::backend::{Backend, LaneId};
use crate::batcher::{Active, Batcher, Phase, Prefix};
use crate::fit::{Fitted, Room, fit};
use crate::host_cache::Entry;
use crate::lanes::{Tenant, common_prefix};
use crate::mailbox::Job;
use crate::request::{GenerateError, OwnerId};
use crate::scheduler::rank;
use crate::sequence::{Sequence, deadline, validate};
use crate::wording::same_words;

/// Fewest tokens beside its prefix for which a conversation is kept in ordinary memory.
const WORTH_SAVING: usize = 8;

/// Tokens of prompts that are made of texts between two steps, about, while somebody waits for the next token: a millisecond is
/// a few hundred, and what is copied back from ordinary memory takes no less.
const MOST_FITTED: usize = 2048;

/// A request without a slot.
pub(crate) struct Waiting {
    pub(crate) job: Job,
    pub(crate) deadline: Instant,
    /// Its owner was forgotten meanwhile: its lane will not be kept.
    pub(crate) forgotten: bool,
    /// Its prompt in tokens, once it was at the head.
    fitted: Option<Fitted>,
}

/// Where a request's tokens will live.
struct Place {
    lane: LaneId,
    phase: Phase,
    /// Prompt tokens that need no computing.
    reused: usize,
}

impl Waiting {
    /// A request to admit. None where it is invalid: then it has its outcome.
    pub(crate) fn new(job: Job, context: usize) -> Option<Self> {
        if let Err(error) = validate(&job.request, context) {
            job.reply.finish(Err(error));
            return None;
        }
        let deadline = deadline(job.submitted, job.request.time_limit);
        Some(Self { job, deadline, forgotten: false, fitted: None })
    }
}

impl<B: Backend> Batcher<B> {
    /// Gives slots to waiting requests in order of rank, while slots, lanes and cells last. The first that finds no
    /// room is waited for: nobody passes it, so nobody starves.
    pub(crate) fn admit(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let decodes = |active: &Active| matches!(active.phase, Phase::Decode { .. });
        let mut left = if self.active.iter().any(decodes) { MOST_FITTED } else { usize::MAX };
        while self.active.len() < self.settings.slots && left > 0 {
            let rank = |waiting: &Waiting| {
                let until = waiting.deadline.saturating_duration_since(begun);
                rank(until, self.served.of(waiting.job.request.owner), waiting.job.reply.id)
            };
            let Some(first) = (0..self.waiting.len()).min_by_key(|index| rank(&self.waiting[*index])) else { return };
            let mut waiting = self.waiting.swap_remove(first);
            let request = &waiting.job.request;
            let mut fitted = match waiting.fitted.take() {
                Some(fitted) => fitted,
                None => {
                    let anchor = self.lanes.first_turn(request.owner).or_else(|| self.host.first_turn(request.owner));
                    let room = Room { context: self.limits.context, new_tokens: request.max_new_tokens as usize };
                    let made = fit(&self.backend, &mut self.pieces, &request.prompt, room, anchor);
                    if waiting.forgotten {
                        self.pieces.clear();
                    }
                    match made {
                        Ok(fitted) => {
                            left = left.saturating_sub(fitted.tokens.len());
                            fitted
                        }
                        Err(error) => {
                            if let GenerateError::PromptTooLong { needed, .. } = error {
                                left = left.saturating_sub(needed);
                            }
                            waiting.job.reply.finish(Err(error));
                            continue;
                        }
                    }
                }
            };
            match self.place(request.owner, &mut fitted, request.max_new_tokens as usize) {
                Some(place) => self.begin(waiting, fitted, place, now),
                None if self.active.is_empty() => {
                    let error = GenerateError::Backend("no room in an empty KV cache".into());
                    waiting.job.reply.finish(Err(error));
                }
                None => {
                    self.waiting.push(Waiting { fitted: Some(fitted), ..waiting });
                    return;
                }
            }
        }
    }

    fn begin(&mut self, waiting: Waiting, fitted: Fitted, place: Place, now: Instant) {
        let Waiting { job, forgotten, .. } = waiting;
        let Place { lane, phase, reused } = place;
        let (prefix, first_turn) = (fitted.prefix.clone(), fitted.first_turn);
        self.lanes.rename(lane, Tenant::Session { owner: job.request.owner, prefix: prefix.clone(), first_turn });
        self.status.reused_tokens += reused as u64;
        let newcomer = reused <= prefix.len();
        let sequence = Sequence::new(job, fitted, reused, self.backend.vocabulary(), now);
        self.active.push(Active { sequence, lane, phase, each: None, newcomer, forgotten });
    }

    /// Finds the lane from which the fewest tokens must be computed, and room for the rest. None where others must
    /// finish first.
    fn place(&mut self, owner: OwnerId, fitted: &mut Fitted, new_tokens: usize) -> Option<Place> {
        let own = self.lanes.session(owner, &fitted.prefix).or_else(|| self.bring_back(owner, fitted));
        let own = own.map(|lane| (lane, self.continued(lane, fitted, new_tokens)));
        match own {
            Some((lane, common)) if common >= fitted.prefix.len().min(fitted.tokens.len() - 1) => {
                self.lanes.truncate(&mut self.backend, lane, common);
                self.lanes.pin(lane);
                if self.make_room(fitted.tokens.len() + new_tokens - common) {
                    return Some(Place { lane, phase: Phase::Prefill, reused: common });
                }
                self.lanes.unpin(lane);
                None
            }
            // An answer that was given up before its prompt was whole.
            Some((lane, _)) => {
                self.lanes.empty(&mut self.backend, lane);
                self.place_new(owner, fitted, new_tokens)
            }
            None => self.place_new(owner, fitted, new_tokens),
        }
    }

    /// Gives the owner's conversation under this prefix a lane again, if it was kept in ordinary memory and the prompt goes
    /// on from it.
    fn bring_back(&mut self, owner: OwnerId, fitted: &Fitted) -> Option<LaneId> {
        let entry = self.host.take(owner, &fitted.prefix)?;
        if common_prefix(&entry.log, &fitted.tokens) <= fitted.prefix.len() {
            return None;
        }
        let could = self.could_make_room(entry.log.len());
        let Some(lane) = could.then(|| self.claim(owner, &fitted.prefix)).flatten() else {
            self.host.put(entry);
            return None;
        };
        self.lanes.pin(lane);
        let room = self.make_room(entry.log.len());
        self.lanes.unpin(lane);
        if !room {
            self.lanes.empty(&mut self.backend, lane);
            self.host.put(entry);
            return None;
        }
        if !self.lanes.restore(&mut self.backend, lane, &entry.saved, entry.log) {
            self.lanes.empty(&mut self.backend, lane);
            return None;
        }
        let (prefix, first_turn) = (entry.prefix, entry.first_turn);
        self.lanes.rename(lane, Tenant::Session { owner, prefix, first_turn });
        self.status.restored += 1;
        Some(lane)
    }

    /// Empties the idle lane that was used longest ago; its conversation stays in ordinary memory. False where all are in
    /// use.
    pub(crate) fn evict(&mut self) -> bool {
        let Some(lane) = self.lanes.oldest_idle() else { return false };
        if let Some(entry) = self.saved(lane) {
            self.host.put(entry);
        }
        self.lanes.evict(&mut self.backend, lane);
        true
    }

    /// A conversation to keep in ordinary memory. None where it is hardly more than its prefix, which others keep.
    fn saved(&mut self, lane: LaneId) -> Option<Entry<B::Saved>> {
        let Tenant::Session { owner, prefix, first_turn } = self.lanes.tenant(lane).clone() else { return None };
        let log = self.lanes.log(lane).to_vec();
        if self.host.is_off() || log.len() < prefix.len() + WORTH_SAVING {
            return None;
        }
        let (saved, kv) = self.backend.save(lane)?;
        let bytes = kv + std::mem::size_of_val(log.as_slice()) as u64;
        Some(Entry { owner, prefix, first_turn, log, saved, bytes })
    }

    /// How many tokens of a lane the prompt continues, written in the lane's tokens where these say the same.
    fn continued(&self, lane: LaneId, fitted: &mut Fitted, new_tokens: usize) -> usize {
        // The last token is always computed: its logits are where the answer begins.
        let reusable = &fitted.tokens[..fitted.tokens.len() - 1];
        let log = self.lanes.log(lane);
        let common = common_prefix(log, reusable);
        let (held, said) = same_words(self.backend.vocabulary(), log, reusable, common);
        let longer = fitted.tokens.len() - said + held;
        if common < fitted.prefix.len() || longer + new_tokens > self.limits.context {
            return common;
        }
        fitted.tokens.splice(..said, log[..held].iter().copied());
        held
    }

    fn place_new(&mut self, owner: OwnerId, fitted: &Fitted, new_tokens: usize) -> Option<Place> {
        let shared = fitted.prefix.len().min(fitted.tokens.len() - 1);
        // Before a lane is evicted for what then finds no cells.
        if !self.could_make_room(fitted.tokens.len() + new_tokens - shared) {
            return None;
        }
        let (prefix, reused) = match self.prefix_lane(&fitted.prefix) {
            Some((prefix, ready)) if shared > 0 => (Some(prefix), ready.min(shared)),
            _ => (None, 0),
        };
        if let Some(prefix) = prefix {
            self.lanes.pin(prefix);
        }
        let taken_over = if prefix.is_some() { shared } else { 0 };
        let place = self.claim(owner, &fitted.prefix).and_then(|lane| {
            self.lanes.pin(lane);
            if self.make_room(fitted.tokens.len() + new_tokens - taken_over) {
                let phase = prefix.map_or(Phase::Prefill, |prefix| Phase::AwaitPrefix { prefix, shared });
                return Some(Place { lane, phase, reused });
            }
            self.lanes.unpin(lane);
            self.lanes.empty(&mut self.backend, lane);
            None
        });
        if let (None, Some(prefix)) = (&place, prefix) {
            self.lanes.unpin(prefix);
        }
        place
    }

    /// An empty lane for a conversation, evicting an idle one where none is left.
    fn claim(&mut self, owner: OwnerId, prefix: &Prefix) -> Option<LaneId> {
        let tenant = Tenant::Session { owner, prefix: prefix.clone(), first_turn: 0 };
        loop {
            if let Some(lane) = self.lanes.claim(tenant.clone()) {
                return Some(lane);
            }
            if !self.evict() {
                return None;
            }
        }
    }

    /// The lane of a shared prefix, and how many of its tokens need no computing for this request; a new one begins with
    /// what it has in common with another. None where all such lanes are in use: the request then computes its prefix
    /// alone.
    fn prefix_lane(&mut self, prefix: &Prefix) -> Option<(LaneId, usize)> {
        if prefix.is_empty() {
            return None;
        }
        if let Some(lane) = self.lanes.prefix(prefix) {
            // Where it is still being computed, that is for another request.
            return Some((lane, prefix.len()));
        }
        if self.lanes.prefixes() >= self.settings.prefixes && !self.lanes.evict_prefix(&mut self.backend) {
            return None;
        }
        let like = self.lanes.longest_shared(prefix);
        if let Some((like, _)) = like {
            self.lanes.pin(like);
        }
        let mut lane = self.lanes.claim(Tenant::Prefix(prefix.clone()));
        if lane.is_none() && self.evict() {
            lane = self.lanes.claim(Tenant::Prefix(prefix.clone()));
        }
        if let Some((like, common)) = like {
            if let Some(lane) = lane {
                self.lanes.share(&mut self.backend, like, lane, common);
            }
            self.lanes.unpin(like);
        }
        lane.map(|lane| (lane, like.map_or(0, |(_, common)| common)))
    }

    /// Evicts idle lanes until `cells` are free beside all that is reserved; none where all together would not suffice: a
    /// request that has to wait anyway must not cost the others their conversations.
    fn make_room(&mut self, cells: usize) -> bool {
        if !self.could_make_room(cells) {
            return false;
        }
        while self.lanes.free_cells() < self.reserved() + cells {
            if !self.evict() {
                return false;
            }
        }
        true
    }

    /// Whether `cells` would be free beside all that is reserved if every idle lane were evicted.
    fn could_make_room(&self, cells: usize) -> bool {
        let (free, needed) = (self.lanes.free_cells(), self.reserved() + cells);
        free >= needed || free + self.lanes.idle_cells() >= needed
    }

    /// Cells that running sequences and the prefixes they wait for will still fill.
    pub(crate) fn reserved(&self) -> usize {
        let own = |active: &Active| {
            let whole = active.sequence.prompt.len() + active.sequence.max_new_tokens;
            let held = match active.phase {
                Phase::AwaitPrefix { shared, .. } => shared,
                Phase::Prefill | Phase::Decode { .. } => self.lanes.log(active.lane).len(),
            };
            whole.saturating_sub(held)
        };
        self.active.iter().map(own).sum::<usize>() + self.lanes.prefix_cells_to_come()
    }
}
