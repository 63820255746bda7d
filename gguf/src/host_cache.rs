//! Conversations that lost their lane, kept in ordinary memory with their KV.
//!
//! Copying a conversation's KV back takes milliseconds where computing its tokens anew takes seconds (2 cores, 135M model: 3 ms
//! a token). What was put here longest ago leaves first; such a conversation is computed anew when it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::Token;
use crate::request::OwnerId;

/// A conversation without a lane. `S` is what the backend saved of it.
#[derive(Debug)]
pub struct Entry<S> {
    /// Whose it is.
    pub owner: OwnerId,
    /// The prefix that it began with.
    pub prefix: Arc<[Token]>,
    /// Hash of the oldest turn that it holds.
    pub first_turn: u64,
    /// Its tokens.
    pub log: Vec<Token>,
    /// Their KV.
    pub saved: S,
    /// Bytes of all this.
    pub bytes: u64,
}

impl<S> Entry<S> {
    fn is(&self, owner: OwnerId, prefix: &[Token]) -> bool {
        self.owner == owner && *self.prefix == *prefix
    }
}

/// Conversations within a number of bytes, one for each owner and prefix.
#[derive(Debug)]
pub struct HostCache<S> {
    most: u64,
    bytes: u64,
    clock: u64,
    /// By the time at which they were put here.
    entries: BTreeMap<u64, Entry<S>>,
}

impl<S> HostCache<S> {
    /// An empty one for so many bytes; for 0 it keeps nothing.
    pub fn new(most: u64) -> Self {
        Self { most, bytes: 0, clock: 0, entries: BTreeMap::new() }
    }

    /// Whether it keeps nothing at all, so that nothing need be saved.
    pub fn is_off(&self) -> bool {
        self.most == 0
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps a conversation, in place of what was kept of it before; the oldest ones make room. One that is larger than
    /// all the room is dropped.
    pub fn put(&mut self, entry: Entry<S>) {
        drop(self.take(entry.owner, &entry.prefix));
        if entry.bytes > self.most {
            return;
        }
        while self.bytes + entry.bytes > self.most {
            let Some((_, oldest)) = self.entries.pop_first() else { break };
            self.bytes -= oldest.bytes;
        }
        self.bytes += entry.bytes;
        self.clock += 1;
        self.entries.insert(self.clock, entry);
    }

    /// Gives back an owner's conversation under a prefix.
    pub fn take(&mut self, owner: OwnerId, prefix: &[Token]) -> Option<Entry<S>> {
        let at = self.entries.iter().find(|(_, entry)| entry.is(owner, prefix)).map(|(at, _)| *at)?;
        let entry = self.entries.remove(&at)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    /// Hash of the oldest turn in what was kept last of an owner's.
    pub fn first_turn(&self, owner: OwnerId) -> Option<u64> {
        self.entries.values().rev().find(|entry| entry.owner == owner).map(|entry| entry.first_turn)
    }

    /// Drops all that is kept of an owner.
    pub fn forget(&mut self, owner: OwnerId) {
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let stays = entry.owner != owner;
            *bytes -= if stays { 0 } else { entry.bytes };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(owner: u64, prefix: Token, bytes: u64) -> Entry<u64> {
        let prefix = Arc::from([prefix]);
        Entry { owner: OwnerId(owner), prefix, first_turn: owner * 10 + bytes, log: vec![1], saved: bytes, bytes }
    }

    #[test]
    fn the_oldest_make_room_and_what_is_too_large_is_not_kept() {
        let mut cache = HostCache::new(10);
        for owner in 1..4 {
            cache.put(entry(owner, 0, 4));
        }
        assert_eq!(cache.bytes(), 8);
        assert!(cache.take(OwnerId(1), &[0]).is_none(), "it was the oldest");
        cache.put(entry(9, 0, 11));
        assert!(cache.take(OwnerId(9), &[0]).is_none());
        assert_eq!(cache.take(OwnerId(2), &[0]).map(|entry| entry.saved), Some(4));
        assert_eq!(cache.bytes(), 4);
    }

    #[test]
    fn an_owner_has_one_conversation_for_each_prefix() {
        let mut cache = HostCache::new(100);
        cache.put(entry(1, 0, 4));
        cache.put(entry(1, 7, 5));
        cache.put(entry(1, 0, 6));
        assert_eq!((cache.bytes(), cache.first_turn(OwnerId(1))), (11, Some(16)), "the newest of both");
        assert_eq!(cache.take(OwnerId(1), &[0]).map(|entry| entry.saved), Some(6));
        assert!(cache.take(OwnerId(1), &[0]).is_none() && cache.take(OwnerId(2), &[7]).is_none());
    }

    #[test]
    fn a_forgotten_owner_leaves_nothing() {
        let mut cache = HostCache::new(100);
        cache.put(entry(1, 0, 4));
        cache.put(entry(1, 7, 5));
        cache.put(entry(2, 0, 6));
        cache.forget(OwnerId(1));
        assert_eq!((cache.bytes(), cache.first_turn(OwnerId(1))), (6, None));
    }

    proptest! {
        #[test]
        fn bytes_are_those_of_what_is_kept(steps in prop::collection::vec((0_u64..6, 0_u32..2, 0_u64..9, 0_u8..4), 0..80)) {
            let mut cache = HostCache::new(20);
            for (owner, prefix, bytes, what) in steps {
                match what {
                    0 => drop(cache.take(OwnerId(owner), &[prefix])),
                    1 => cache.forget(OwnerId(owner)),
                    _ => cache.put(entry(owner, prefix, bytes)),
                }
                let sum: u64 = cache.entries.values().map(|entry| entry.bytes).sum();
                prop_assert_eq!(cache.bytes(), sum);
                prop_assert!(sum <= 20);
            }
        }
    }
}
