//! What the engine needs from a model, as a trait, and the checked batch that alone may reach it.
//!
//! llama.cpp aborts the process on a batch that breaks its bounds. So a [`Batch`] checks every bound while it is
//! filled, and nothing else is ever decoded.

use std::time::Duration;

/// A token id.
pub type Token = u32;

/// A lane: one sequence of tokens in the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u16);

impl LaneId {
    /// As an index into per-lane tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A loaded model with a KV cache of many lanes, which share cells or have a stream each.
pub trait Backend {
    /// A lane's KV in ordinary memory.
    type Saved;

    /// The bounds of this model and context. Constant.
    fn limits(&self) -> Limits;

    /// The vocabulary's texts and classes. Constant.
    fn vocabulary(&self) -> &Vocabulary;

    /// Appends the tokens of `text`, tokenised on its own: of what `begins` a prompt, or of what stands within one. Control tokens are
    /// recognised only where `special`.
    fn tokenize(&self, text: &str, special: bool, begins: bool, out: &mut Vec<Token>);

    /// Computes a batch. On success returns how long it took, and [`Backend::logits`] holds its rows.
    ///
    /// # Errors
    /// [`DecodeError`]; the KV cache of the batch's lanes is then unspecified beyond their old lengths.
    fn decode(&mut self, batch: &Batch) -> Result<Duration, DecodeError>;

    /// Of `waiting` lanes those of which a token costs hardly anything beside one token of each of `lanes`: they would be
    /// computed as padding anyway, or are next to those. None where lanes are computed alone.
    fn alongside(&mut self, lanes: &[LaneId], waiting: &[LaneId]) -> Vec<LaneId> {
        let _ = (lanes, waiting);
        Vec::new()
    }

    /// Raw logits (`vocabulary` of them) of the last batch's row `row`, counting entries with `logits` set.
    fn logits(&self, row: usize) -> &[f32];

    /// Makes the first `tokens` tokens of `from` the content of the empty lane `to`, without computing anything.
    fn share(&mut self, from: LaneId, to: LaneId, tokens: usize);

    /// Drops all but the first `keep` tokens of a lane. 0 empties it.
    fn truncate(&mut self, lane: LaneId, keep: usize);

    /// Tokens in a lane's KV, as the backend itself counts them.
    fn len(&self, lane: LaneId) -> usize;

    /// Copies a lane's KV into ordinary memory, and says how many bytes that takes. None where it cannot be had now.
    fn save(&mut self, lane: LaneId) -> Option<(Self::Saved, u64)>;

    /// Makes what was saved, `tokens` tokens, the content of the empty lane. False where it could not: the lane is empty
    /// then.
    fn restore(&mut self, lane: LaneId, saved: &Self::Saved, tokens: usize) -> bool;
}

/// The bounds of a model and its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens in one batch.
    pub batch_tokens: usize,
    /// Lanes.
    pub lanes: usize,
    /// KV cells shared by all lanes.
    pub cells: usize,
    /// Most tokens of one lane.
    pub context: usize,
    /// Token ids are below this.
    pub vocabulary: usize,
}

/// Why a batch gave no logits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No KV cells for it, though the accounting said so.
    #[error("the KV cache has no room for the batch")]
    NoRoom,
    /// The computation failed.
    #[error("decode failed: {0}")]
    Failed(String),
}

/// One token of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The token.
    pub token: Token,
    /// Its position in the lane.
    pub position: usize,
    /// Its lane.
    pub lane: LaneId,
    /// Whether its logits are wanted.
    pub logits: bool,
}

/// Why a token cannot join a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The batch holds as many tokens as the context takes at once.
    #[error("the batch is full")]
    Full,
    /// Unknown lane.
    #[error("lane {0} does not exist")]
    Lane(u16),
    /// Unknown token.
    #[error("token {0} is not in the vocabulary")]
    Token(Token),
    /// Beyond the lane's context, or not the position that follows.
    #[error("position {position} cannot follow in this lane, {expected} does")]
    Position {
        /// The position asked for.
        position: usize,
        /// The only one possible.
        expected: usize,
    },
}

/// Tokens to compute together, within all bounds by construction.
#[derive(Clone, Debug)]
pub struct Batch {
    limits: Limits,
    entries: Vec<Entry>,
    rows: usize,
    next: Vec<Option<usize>>,
}

impl Batch {
    /// An empty batch for a backend with these bounds.
    pub fn new(limits: Limits) -> Self {
        Self { limits, entries: Vec::with_capacity(limits.batch_tokens), rows: 0, next: vec![None; limits.lanes] }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        for entry in &self.entries {
            self.next[entry.lane.index()] = None;
        }
        self.entries.clear();
        self.rows = 0;
    }

    /// Adds the token that follows in a lane which holds `held` tokens before this batch. Returns its row where
    /// `logits` are wanted.
    ///
    /// # Errors
    /// [`BatchError`] where a bound would break; the batch is unchanged.
    pub fn push(&mut self, lane: LaneId, held: usize, token: Token, logits: bool) -> Result<Option<usize>, BatchError> {
        if self.entries.len() >= self.limits.batch_tokens {
            return Err(BatchError::Full);
        }
        let Some(next) = self.next.get_mut(lane.index()) else { return Err(BatchError::Lane(lane.0)) };
        if token as usize >= self.limits.vocabulary {
            return Err(BatchError::Token(token));
        }
        let position = next.unwrap_or(held);
        if position >= self.limits.context || position < held {
            return Err(BatchError::Position { position, expected: held });
        }
        *next = Some(position + 1);
        self.entries.push(Entry { token, position, lane, logits });
        if !logits {
            return Ok(None);
        }
        self.rows += 1;
        Ok(Some(self.rows - 1))
    }

    /// The tokens, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many rows of logits it asks for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.limits.batch_tokens - self.entries.len()
    }
}

/// The texts and classes of a vocabulary's tokens.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    newline: Vec<bool>,
    end_of_generation: Vec<bool>,
    bos: Option<Token>,
    longest: usize,
}

impl Vocabulary {
    /// A vocabulary from every token's rendered bytes (control tokens: none) and whether it ends generation, in id
    /// order. `bos` is the token that must open every sequence, if there is one.
    pub fn new(tokens: impl IntoIterator<Item = (Vec<u8>, bool)>, bos: Option<Token>) -> Self {
        let mut vocabulary = Self { bos, ..Self::default() };
        for (bytes, ends) in tokens {
            vocabulary.newline.push(bytes.contains(&b'\n'));
            vocabulary.end_of_generation.push(ends);
            vocabulary.longest = vocabulary.longest.max(bytes.len());
            vocabulary.bytes.extend_from_slice(&bytes);
            vocabulary.ends.push(vocabulary.bytes.len());
        }
        vocabulary
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A token's text as bytes: a token may be part of a character. Unknown and control tokens have none.
    pub fn bytes(&self, token: Token) -> &[u8] {
        let index = token as usize;
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..end]
    }

    /// Whether the token's text contains a newline.
    pub fn has_newline(&self, token: Token) -> bool {
        self.newline.get(token as usize).copied().unwrap_or(false)
    }

    /// Whether the model ends its answers with this token.
    pub fn ends_generation(&self, token: Token) -> bool {
        self.end_of_generation.get(token as usize).copied().unwrap_or(false)
    }

    /// The token that opens every sequence, if the model wants one.
    pub fn bos(&self) -> Option<Token> {
        self.bos
    }

    /// Bytes of the longest token: no text needs fewer tokens than its length over this.
    pub fn longest(&self) -> usize {
        self.longest.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { batch_tokens: 3, lanes: 2, cells: 64, context: 10, vocabulary: 100 };

    #[test]
    fn a_batch_refuses_whatever_would_break_a_bound() {
        let mut batch = Batch::new(LIMITS);
        assert_eq!(batch.push(LaneId(2), 0, 1, false), Err(BatchError::Lane(2)));
        assert_eq!(batch.push(LaneId(0), 0, 100, false), Err(BatchError::Token(100)));
        assert_eq!(batch.push(LaneId(0), 10, 1, false), Err(BatchError::Position { position: 10, expected: 10 }));
        assert_eq!(batch.push(LaneId(0), 9, 1, true), Ok(Some(0)));
        assert!(matches!(batch.push(LaneId(0), 9, 1, true), Err(BatchError::Position { position: 10, .. })));
        assert_eq!(batch.push(LaneId(1), 4, 1, false), Ok(None));
        assert_eq!(batch.push(LaneId(1), 4, 2, true), Ok(Some(1)));
        assert_eq!(batch.push(LaneId(1), 4, 3, true), Err(BatchError::Full));
        let positions: Vec<_> = batch.entries().iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [9, 4, 5]);
        batch.clear();
        assert_eq!((batch.rows(), batch.room()), (0, 3));
        assert_eq!(batch.push(LaneId(0), 0, 1, false), Ok(None));
    }

    #[test]
    fn a_vocabulary_knows_texts_and_classes() {
        let tokens = [(b"hi".to_vec(), false), (b"a\nb".to_vec(), false), (vec![], true)];
        let vocabulary = Vocabulary::new(tokens, Some(2));
        assert_eq!(vocabulary.bytes(0), b"hi");
        assert_eq!(vocabulary.bytes(1), b"a\nb");
        assert_eq!(vocabulary.bytes(9), b"");
        assert!(vocabulary.has_newline(1) && !vocabulary.has_newline(0) && !vocabulary.has_newline(9));
        assert!(vocabulary.ends_generation(2) && !vocabulary.ends_generation(9));
        assert_eq!((vocabulary.len(), vocabulary.longest()), (3, 3));
    }
}
