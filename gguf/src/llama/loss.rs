//! How likely a model finds what was said: the loss of some stretches of a text, the rest being given.

use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use super::StartError;
use super::verify::Run;
use crate::request::Piece;

/// A stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The text, tokenised on its own as a prompt's pieces are.
    pub piece: Piece,
    /// How many of its first tokens count: none of what is given, all of a reply, one of what closes it.
    pub counted: usize,
}

/// The loss of a text's counted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Negative log-likelihood of all counted tokens together, in nats.
    pub nats: f64,
    /// Counted tokens.
    pub tokens: usize,
}

impl Loss {
    /// Adds another text's.
    pub fn add(&mut self, other: Self) {
        self.nats += other.nats;
        self.tokens += other.tokens;
    }

    /// Nats per token; 0 where nothing was counted.
    pub fn mean(&self) -> f64 {
        if self.tokens == 0 { 0.0 } else { self.nats / self.tokens as f64 }
    }
}

impl Run<'_> {
    /// The loss of the counted tokens of a text, each given everything before it. A text longer than the context loses
    /// its end.
    ///
    /// # Errors
    /// [`StartError`] when llama.cpp refuses.
    pub fn loss(&mut self, text: &[Stretch]) -> Result<Loss, StartError> {
        let mut tokens: Vec<(u32, bool)> = Vec::new();
        for (index, stretch) in text.iter().enumerate() {
            let ids = self.tokenize_piece(&stretch.piece, index == 0);
            tokens.extend(ids.into_iter().enumerate().map(|(index, id)| (id, index < stretch.counted)));
        }
        tokens.truncate(self.tokens as usize);
        self.context.clear_kv_cache();
        if tokens.is_empty() {
            return Ok(Loss::default());
        }
        let counted = |index: usize| tokens.get(index + 1).is_some_and(|(_, counted)| *counted);
        let mut batch = LlamaBatch::new(tokens.len(), 1);
        for (index, (id, _)) in tokens.iter().enumerate() {
            let position = i32::try_from(index).unwrap_or(i32::MAX);
            let wanted = counted(index);
            batch
                .add(LlamaToken(id.cast_signed()), position, &[0], wanted)
                .map_err(|error| StartError::llama("fill a batch", error))?;
        }
        self.context.decode(&mut batch).map_err(|error| StartError::llama("compute a batch", error))?;
        let mut loss = Loss::default();
        for (index, pair) in tokens.windows(2).enumerate().filter(|(index, _)| counted(*index)) {
            let logits = self.context.get_logits_ith(i32::try_from(index).unwrap_or(i32::MAX));
            loss.nats += surprise(logits, pair[1].0 as usize);
            loss.tokens += 1;
        }
        Ok(loss)
    }
}

/// Negative log of a token's probability after softmax, in nats.
fn surprise(logits: &[f32], token: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    sum.ln() - f64::from(logits.get(token).copied().unwrap_or(f32::NEG_INFINITY) - largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_token_is_no_surprise_and_an_even_choice_costs_its_logarithm() {
        assert!(surprise(&[0.0, 50.0], 1) < 1e-9);
        assert!((surprise(&[3.0; 8], 5) - 8_f64.ln()).abs() < 1e-9);
        assert_eq!(surprise(&[0.0], 7), f64::INFINITY);
    }
}
