//! Draws the next token as Hugging Face's generation does: repetition penalty, stop mask, temperature, top-k, top-p.
//!
//! One pass over the vocabulary, in blocks whose maximum the compiler vectorises, finds the k best raw logits among
//! tokens not yet in the sequence; the penalised ones, as many as the history has distinct tokens, join them by hand.
//! All the rest costs O(history + k) instead of several passes over 50,000 logits.

use std::cmp::Ordering;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backend::Token;
use crate::request::Sampling;

/// One request's sampler: its values, its random numbers, and which tokens its sequence holds.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
    /// Membership by token id.
    seen: Vec<bool>,
    /// The same as a list.
    history: Vec<Token>,
}

type Candidate = (f32, Token);

const BLOCK: usize = 64;

impl Sampler {
    /// A sampler over a vocabulary of this size.
    pub fn new(sampling: Sampling, seed: u64, vocabulary: usize) -> Self {
        Self { sampling, random: ChaCha8Rng::seed_from_u64(seed), seen: vec![false; vocabulary], history: Vec::new() }
    }

    /// Tokens that are part of the sequence now: prefix, prompt or generated.
    pub fn observe(&mut self, tokens: &[Token]) {
        for &token in tokens {
            if let Some(seen) = self.seen.get_mut(token as usize).filter(|seen| !**seen) {
                *seen = true;
                self.history.push(token);
            }
        }
    }

    /// Draws a token from raw logits, never one that is `masked`. None where no logit is a number above -∞.
    pub fn sample(&mut self, logits: &[f32], masked: impl Fn(Token) -> bool) -> Option<Token> {
        if !self.sampling.do_sample {
            return self.best(logits, 1, masked).first().map(|(_, token)| *token);
        }
        let kept = self.distribution(logits, masked);
        let total: f64 = kept.iter().map(|(probability, _)| f64::from(*probability)).sum();
        let mut left = self.random.random::<f64>() * total;
        for &(probability, token) in &kept {
            left -= f64::from(probability);
            if left < 0.0 {
                return Some(token);
            }
        }
        kept.last().map(|(_, token)| *token)
    }

    /// The tokens that may be drawn with their probabilities (they sum to 1), most probable first.
    pub fn distribution(&self, logits: &[f32], masked: impl Fn(Token) -> bool) -> Vec<(f32, Token)> {
        let keep = if self.sampling.top_k == 0 { usize::MAX } else { self.sampling.top_k as usize };
        let mut kept = self.best(logits, keep, masked);
        for (score, _) in &mut kept {
            *score /= self.sampling.temperature;
        }
        softmax(&mut kept);
        if self.sampling.top_p < 1.0 {
            nucleus(&mut kept, self.sampling.top_p);
        }
        kept
    }

    /// The `keep` best tokens with penalised logits, best first; tokens that tie with the last one stay, as in Hugging
    /// Face's top-k.
    fn best(&self, logits: &[f32], keep: usize, masked: impl Fn(Token) -> bool) -> Vec<Candidate> {
        let mut best = Best::new(keep.min(logits.len()));
        for &token in &self.history {
            if let Some(&logit) = logits.get(token as usize)
                && !masked(token)
            {
                best.offer(self.penalised(logit), token);
            }
        }
        for (block, values) in logits.chunks(BLOCK).enumerate() {
            if greatest(values) < best.floor {
                continue;
            }
            for (index, &logit) in values.iter().enumerate() {
                if logit >= best.floor && logit > f32::NEG_INFINITY {
                    let id = block * BLOCK + index;
                    let token = Token::try_from(id).unwrap_or(Token::MAX);
                    if !self.seen.get(id).copied().unwrap_or(false) && !masked(token) {
                        best.offer(logit, token);
                    }
                }
            }
        }
        best.sorted()
    }

    fn penalised(&self, logit: f32) -> f32 {
        let penalty = self.sampling.repetition_penalty;
        if logit < 0.0 { logit * penalty } else { logit / penalty }
    }
}

/// The `keep` greatest scores offered so far, and all that tie with the least of them.
struct Best {
    keep: usize,
    /// Unsorted; pruned when twice as many as wanted.
    candidates: Vec<Candidate>,
    /// What is below this cannot be among the best.
    floor: f32,
}

impl Best {
    fn new(keep: usize) -> Self {
        Self { keep, candidates: Vec::with_capacity(keep.min(1024) * 2 + 16), floor: f32::NEG_INFINITY }
    }

    fn offer(&mut self, score: f32, token: Token) {
        if score.is_nan() || score < self.floor || score == f32::NEG_INFINITY {
            return;
        }
        self.candidates.push((score, token));
        if self.candidates.len() >= self.keep.saturating_mul(2).saturating_add(16) {
            self.prune();
        }
    }

    fn prune(&mut self) {
        if self.keep == 0 || self.candidates.len() <= self.keep {
            return;
        }
        let (_, least, _) = self.candidates.select_nth_unstable_by(self.keep - 1, better);
        let floor = least.0;
        self.floor = floor;
        self.candidates.retain(|(score, _)| *score >= floor);
    }

    fn sorted(mut self) -> Vec<Candidate> {
        self.prune();
        self.candidates.sort_unstable_by(better);
        self.candidates
    }
}

/// Greater scores first, lower ids first among equals.
fn better(one: &Candidate, other: &Candidate) -> Ordering {
    other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
}

/// The greatest value of a block; NaN counts as none.
fn greatest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let rest = chunks.remainder().iter().copied();
    lanes.into_iter().chain(rest).fold(f32::NEG_INFINITY, f32::max)
}

/// Turns scores, greatest first, into probabilities.
fn softmax(candidates: &mut [Candidate]) {
    let Some(&(top, _)) = candidates.first() else { return };
    let mut total = 0.0_f64;
    for (score, _) in candidates.iter_mut() {
        // A top of +∞ would make every difference NaN: what ties with it shares all of the probability.
        let exponent = if *score == top { 0.0 } else { f64::from(*score) - f64::from(top) };
        let weight = exponent.exp();
        total += weight;
        *score = weight as f32;
    }
    for (weight, _) in candidates {
        *weight = (f64::from(*weight) / total) as f32;
    }
}

/// Keeps the smallest set of most probable tokens that reaches `top_p`, and makes it sum to 1.
fn nucleus(candidates: &mut Vec<(f32, Token)>, top_p: f32) {
    // Summed from the least probable up, as Hugging Face does: a token leaves while the tail up to it is within 1 - p.
    let mut tail = 0.0_f64;
    let mut keep = candidates.len();
    for (index, (probability, _)) in candidates.iter().enumerate().rev() {
        tail += f64::from(*probability);
        if tail > 1.0 - f64::from(top_p) {
            break;
        }
        keep = index;
    }
    candidates.truncate(keep.max(1));
    let total: f64 = candidates.iter().map(|(probability, _)| f64::from(*probability)).sum();
    for (probability, _) in candidates {
        *probability = (f64::from(*probability) / total) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Sampling =
        Sampling { repetition_penalty: 1.0, top_k: 0, top_p: 1.0, temperature: 1.0, do_sample: true };

    fn noise(seed: u64, count: usize) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| random.random_range(-12.0..12.0)).collect()
    }

    /// The chain written down plainly, over the whole vocabulary.
    fn plainly(sampling: Sampling, history: &[Token], logits: &[f32], masked: &[Token]) -> Vec<(f32, Token)> {
        let mut scores = logits.to_vec();
        for &token in history {
            let score = &mut scores[token as usize];
            *score =
                if *score < 0.0 { *score * sampling.repetition_penalty } else { *score / sampling.repetition_penalty };
        }
        for &token in masked {
            scores[token as usize] = f32::NEG_INFINITY;
        }
        let mut all: Vec<(f32, Token)> =
            scores.iter().zip(0..).map(|(score, token)| (score / sampling.temperature, token)).collect();
        all.sort_by(better);
        if sampling.top_k > 0 && all.len() > sampling.top_k as usize {
            let floor = all[sampling.top_k as usize - 1].0;
            all.retain(|(score, _)| *score >= floor);
        }
        all.retain(|(score, _)| *score > f32::NEG_INFINITY);
        softmax(&mut all);
        if sampling.top_p < 1.0 {
            nucleus(&mut all, sampling.top_p);
        }
        all
    }

    #[test]
    fn the_fast_pass_equals_the_chain_over_the_whole_vocabulary() {
        for seed in 0..200 {
            let mut logits = noise(seed, 997);
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            if seed % 3 == 0 {
                logits.iter_mut().for_each(|logit| *logit = logit.round());
            }
            let history: Vec<Token> = {
                let mut unique: Vec<_> =
                    (0..random.random_range(0..300)).map(|_| random.random_range(0..997)).collect();
                unique.sort_unstable();
                unique.dedup();
                unique
            };
            let masked: Vec<Token> = (0..random.random_range(0..9)).map(|_| random.random_range(0..997)).collect();
            let sampling = Sampling {
                repetition_penalty: [1.0, 1.1, 0.8][random.random_range(0..3)],
                top_k: [0, 1, 5, 100, 5000][random.random_range(0..5)],
                top_p: [1.0, 0.9, 0.3][random.random_range(0..3)],
                temperature: [0.7, 1.0, 1.6][random.random_range(0..3)],
                do_sample: true,
            };
            let mut sampler = Sampler::new(sampling, seed, logits.len());
            sampler.observe(&history);
            let got = sampler.distribution(&logits, |token| masked.contains(&token));
            assert_eq!(got, plainly(sampling, &history, &logits, &masked), "seed {seed}, {sampling:?}");
        }
    }

    #[test]
    fn greedy_takes_the_best_after_the_penalty_and_the_first_among_equals() {
        let sampling = Sampling { repetition_penalty: 2.0, do_sample: false, ..PLAIN };
        let mut sampler = Sampler::new(sampling, 0, 4);
        assert_eq!(sampler.sample(&[1.0, 3.0, 3.0, 2.0], |_| false), Some(1));
        sampler.observe(&[1, 1]);
        assert_eq!(sampler.sample(&[1.0, 3.0, 2.5, 2.0], |_| false), Some(2));
        assert_eq!(sampler.sample(&[1.0, 3.0, 2.5, 2.0], |token| token >= 2), Some(1));
        sampler.observe(&[0]);
        assert_eq!(sampler.sample(&[-1.0, -9.0, -1.5, -8.0], |_| false), Some(2));
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens_and_another_seed_others() {
        let logits = noise(1, 500);
        let draw = |seed| {
            let mut sampler = Sampler::new(Sampling { temperature: 3.0, ..PLAIN }, seed, logits.len());
            (0..32).map(|_| sampler.sample(&logits, |_| false).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.0_f32, 1.0, 2.0, f32::NEG_INFINITY];
        let mut sampler = Sampler::new(PLAIN, 3, logits.len());
        let expected = sampler.distribution(&logits, |_| false);
        let mut counts = [0_u32; 4];
        for _ in 0..20_000 {
            counts[sampler.sample(&logits, |_| false).unwrap() as usize] += 1;
        }
        assert_eq!(counts[3], 0);
        for (probability, token) in expected {
            let share = counts[token as usize] as f32 / 20_000.0;
            assert!((share - probability).abs() < 0.015, "token {token}: {share} for {probability}");
        }
    }

    #[test]
    fn hostile_logits_never_draw_nonsense() {
        let mut sampler = Sampler::new(Sampling::default(), 0, 3);
        assert_eq!(sampler.sample(&[f32::NAN; 3], |_| false), None);
        assert_eq!(sampler.sample(&[f32::NEG_INFINITY; 3], |_| false), None);
        assert_eq!(sampler.sample(&[], |_| false), None);
        assert_eq!(sampler.sample(&[1.0; 3], |_| true), None);
        assert_eq!(sampler.sample(&[f32::NAN, 1.0, f32::NAN], |_| false), Some(1));
        assert_eq!(sampler.sample(&[0.0, f32::INFINITY, 3.0], |_| false), Some(1));
    }
}
