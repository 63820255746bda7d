//! The border between two pieces of a text that are tokenised on their own.
//!
//! SentencePiece's tokenizers put a space before a text ("add_dummy_prefix"), and llama.cpp one before whatever it is given: called for each
//! piece, it would put one where none stands, before each message.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

/// What stands in for the text before a piece. No vocabulary merges it with what follows.
const LINE_END: &[u8] = b"\n";

/// How a model's tokenizer takes up a text in its middle.
#[derive(Clone, Debug)]
pub(super) struct Border {
    /// What a line's end becomes at the beginning of a text, space included; empty where none is put there.
    spaced: Vec<LlamaToken>,
}

impl Border {
    pub(super) fn of(model: &LlamaModel) -> Self {
        let vocab = model.vocab();
        let tokens = vocab.tokenize(LINE_END, false, false);
        let text: Vec<u8> = tokens.iter().flat_map(|token| vocab.token_to_piece(*token, false, None)).collect();
        Self { spaced: if text == LINE_END { Vec::new() } else { tokens } }
    }

    /// Token ids of a piece: of the one that `begins` the text, or of one behind another.
    pub(super) fn tokenize(&self, model: &LlamaModel, piece: &[u8], special: bool, begins: bool) -> Vec<LlamaToken> {
        let vocab = model.vocab();
        if begins || self.spaced.is_empty() {
            return vocab.tokenize(piece, false, special);
        }
        let tokens = vocab.tokenize(&[LINE_END, piece].concat(), false, special);
        let rest = tokens.strip_prefix(self.spaced.as_slice());
        rest.map_or_else(|| vocab.tokenize(piece, false, special), <[LlamaToken]>::to_vec)
    }
}
