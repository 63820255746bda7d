//! Tokens of the pieces that prompts were made of lately. A conversation's turns come again with its next message, and the template's own
//! words with everybody's; making tokens of them anew takes llama.cpp 50 to 100 microseconds a piece, on the thread that decodes for all.

use std::collections::HashMap;

use crate::backend::{Backend, Token};
use crate::request::Piece;

/// Bytes of texts and tokens in each of two generations, about: some 400 conversations of 40 turns.
const GENERATION_BYTES: usize = 4 << 20;
/// Longer pieces are not kept.
const LONGEST_BYTES: usize = 4096;
/// What an entry takes beside its text and tokens, about.
const ENTRY_BYTES: usize = 96;

/// Tokens of pieces. What has not been met for a generation is dropped with it.
#[derive(Debug, Default)]
pub struct PieceCache {
    young: Generation,
    old: Generation,
}

/// Pieces that stand within a prompt, and those that begin one.
#[derive(Debug, Default)]
struct Generation {
    pieces: [HashMap<Piece, Box<[Token]>>; 2],
    bytes: usize,
}

impl PieceCache {
    /// Appends the tokens of `piece`, which stands within a prompt or `begins` it: those kept, or the backend's.
    pub fn tokenize(&mut self, backend: &impl Backend, piece: &Piece, begins: bool, out: &mut Vec<Token>) {
        let which = usize::from(begins);
        if let Some(tokens) = self.young.pieces[which].get(piece) {
            out.extend_from_slice(tokens);
            return;
        }
        let tokens = self.old.pieces[which].remove(piece).unwrap_or_else(|| {
            let mut tokens = Vec::new();
            backend.tokenize(&piece.text, piece.special, begins, &mut tokens);
            tokens.into()
        });
        out.extend_from_slice(&tokens);
        if piece.text.len() > LONGEST_BYTES {
            return;
        }
        if self.young.bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += piece.text.len() + size_of_val(&*tokens) + ENTRY_BYTES;
        self.young.pieces[which].insert(piece.clone(), tokens);
    }

    /// Forgets all: the texts are people's.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::ScriptedBackend;

    fn tokens(cache: &mut PieceCache, backend: &ScriptedBackend, piece: &Piece, begins: bool) -> Vec<Token> {
        let mut out = vec![7];
        cache.tokenize(backend, piece, begins, &mut out);
        assert_eq!(out.remove(0), 7, "what was there stays");
        out
    }

    #[test]
    fn a_piece_that_was_met_is_not_tokenised_again_until_all_is_forgotten() {
        let backend = ScriptedBackend::default();
        let mut cache = PieceCache::default();
        for _ in 0..3 {
            assert_eq!(tokens(&mut cache, &backend, &Piece::plain("hey"), false), [104, 101, 121]);
        }
        assert_eq!(backend.tokenised(), 1);
        tokens(&mut cache, &backend, &Piece::template("hey"), false);
        tokens(&mut cache, &backend, &Piece::plain("hey"), true);
        assert_eq!(backend.tokenised(), 3, "control tokens, and what begins a text, may be other tokens");
        cache.clear();
        tokens(&mut cache, &backend, &Piece::plain("hey"), false);
        assert_eq!(backend.tokenised(), 4);
    }

    #[test]
    fn what_is_met_again_stays_and_all_together_is_bounded() {
        let backend = ScriptedBackend::default();
        let mut cache = PieceCache::default();
        let often = Piece::plain("often");
        for index in 0..30_000 {
            tokens(&mut cache, &backend, &Piece::plain(format!("{index:080}")), false);
            tokens(&mut cache, &backend, &often, false);
            assert!(cache.bytes() < 2 * GENERATION_BYTES + 4096);
        }
        assert_eq!(backend.tokenised(), 30_001);
        let long = Piece::plain("x".repeat(LONGEST_BYTES + 1));
        let before = cache.bytes();
        assert_eq!(tokens(&mut cache, &backend, &long, false).len(), LONGEST_BYTES + 1);
        assert_eq!(cache.bytes(), before);
    }
}
