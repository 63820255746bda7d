//! What steps take, learnt from those that were made: a straight line that forgets.

/// Seconds of a step as a straight line over its tokens: least squares with older steps counting less, drawn towards
/// proportion where all steps have been of one size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    weight: f64,
    tokens: f64,
    seconds: f64,
    squares: f64,
    products: f64,
}

impl Line {
    /// What an older step counts after each new one.
    const FADING: f64 = 0.97;
    /// How strongly it is drawn to proportion, against a variance of the squared mean.
    const PROPORTION: f64 = 0.02;
    /// Steps that it must have seen.
    const ENOUGH: f64 = 2.0;
    /// The slope is at least this share of proportion: no odd measurement makes tokens free.
    const LEAST: f64 = 0.1;

    pub fn add(&mut self, tokens: f64, seconds: f64) {
        for (sum, new) in [
            (&mut self.weight, 1.0),
            (&mut self.tokens, tokens),
            (&mut self.seconds, seconds),
            (&mut self.squares, tokens * tokens),
            (&mut self.products, tokens * seconds),
        ] {
            *sum = *sum * Self::FADING + new;
        }
    }

    /// Seconds that one token more adds; none before the first step.
    pub fn slope(&self) -> Option<f64> {
        if self.weight <= 0.0 || self.tokens <= 0.0 {
            return None;
        }
        let (tokens, seconds) = (self.tokens / self.weight, self.seconds / self.weight);
        let proportion = seconds / tokens;
        let pull = Self::PROPORTION * tokens * tokens;
        let variance = (self.squares / self.weight - tokens * tokens).max(0.0);
        let covariance = self.products / self.weight - tokens * seconds;
        Some(((covariance + pull * proportion) / (variance + pull)).clamp(proportion * Self::LEAST, proportion))
    }

    /// Whether it goes through more than a step or two.
    pub fn knows(&self) -> bool {
        self.weight >= Self::ENOUGH && self.tokens > 0.0
    }

    /// Seconds of a step of so many tokens.
    pub fn seconds(&self, tokens: f64) -> f64 {
        let Some(slope) = self.slope() else { return 0.0 };
        (self.seconds / self.weight + slope * (tokens - self.tokens / self.weight)).max(0.0)
    }

    /// Tokens of a step of so many seconds.
    pub fn tokens(&self, seconds: f64) -> f64 {
        let Some(slope) = self.slope() else { return 0.0 };
        self.tokens / self.weight + (seconds - self.seconds / self.weight) / slope.max(1e-9)
    }
}
