//! How the friend chooses to answer: pure functions from what was felt to the name of a mode.

use serde::{Deserialize, Serialize};

use crate::types::{Label, Mood, Scores};

/// A positive sum (0 to 1) that is good news even among bad ones, where they are rare: of glad messages half have more, of what
/// sad persons go on to say 4% do (0.6: 70% and 12%).
const CLEARLY: f32 = 0.85;

/// Which mode a score leads to. Data of a persona; see `personas/` for the shipped values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Labels summed as negative.
    pub negative: Vec<Label>,
    /// A negative sum above this (0 to 1) chooses `negative_mode`. Looked at first.
    pub negative_above: f32,
    /// The mode for negative messages.
    pub negative_mode: String,
    /// Labels summed as positive.
    pub positive: Vec<Label>,
    /// A positive sum above this (0 to 1) chooses `positive_mode`.
    pub positive_above: f32,
    /// But not where the negative sum is above this (0 to 1): joy at bad news that were misread hurts more than a plain answer to good
    /// ones. By default nothing is in doubt.
    #[serde(default = "certain")]
    pub positive_unless_negative_above: f32,
    /// The mode for positive messages.
    pub positive_mode: String,
    /// Takes the place of `positive_mode` for a person who confirmed being an adult and wanting it.
    #[serde(default)]
    pub flirt_mode: Option<String>,
    /// The mode for everything else.
    pub neutral_mode: String,
    /// Whether plain words of grave news count as sad whatever the scores, and no answer in `negative_mode` rejoices ([`crate::tact`]).
    #[serde(default)]
    pub tact: bool,
    /// Messages after which one counts half as much in the mean. 0 switches smoothing off.
    pub half_life_messages: f32,
    /// How far (0 to 1) a sum must fall below its threshold before the mode it chose is left.
    pub hysteresis: f32,
}

/// What a choice stood on: what /why tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The mode's name.
    pub mode: String,
    /// The negative sum that was compared, 0 to 1.
    pub negative: f32,
    /// The positive sum that was compared, 0 to 1.
    pub positive: f32,
}

impl Rules {
    /// Takes one message's scores into the mean of all of a person's messages.
    ///
    /// A message `k` messages ago has weight 0.5^(k / half-life), and the mean is over the weights' sum: the first
    /// message counts whole, without a start value pulling at it (Adam's bias correction, Kingma & Ba 2015, section 3).
    /// Clearly good news after bad ones are such a first message again: nobody is to be comforted for them.
    pub fn smooth(&self, before: Option<Mood>, scores: Scores) -> Mood {
        let decay = if self.half_life_messages > 0.0 { 0.5_f32.powf(1.0 / self.half_life_messages) } else { 0.0 };
        let counts = |mood: &Mood| mood.weight > 0.0 && !self.turns_good(mood.scores, scores);
        let Some(before) = before.filter(counts) else { return Mood { scores, weight: 1.0 } };
        let weight = 1.0 + decay * before.weight;
        let mut mean = scores;
        for (mean, old) in mean.0.iter_mut().zip(before.scores.0) {
            *mean = (*mean + decay * before.weight * old) / weight;
        }
        Mood { scores: mean, weight }
    }

    /// Whether a message is clearly good news where the mean of those before was bad.
    fn turns_good(&self, before: Scores, scores: Scores) -> bool {
        before.sum(&self.negative) > self.negative_above
            && self.is_clearly_good(scores)
            && scores.sum(&self.negative) <= self.negative_above
    }

    /// Whether a message is good news even in a talk about bad ones.
    pub fn is_clearly_good(&self, scores: Scores) -> bool {
        scores.sum(&self.positive) > CLEARLY.max(self.positive_above)
    }

    /// Chooses the mode for (smoothed) scores. `before` is the mode of the last answer, which is left with hysteresis.
    pub fn choose(&self, scores: Scores, before: Option<&str>, flirt: bool) -> Choice {
        let negative = scores.sum(&self.negative);
        let positive = scores.sum(&self.positive);
        let warm = self.flirt_mode.as_ref().filter(|_| flirt).unwrap_or(&self.positive_mode);
        let stays = |mode: &String| before == Some(mode.as_str());
        let bar = |threshold: f32, held: bool| if held { threshold - self.hysteresis } else { threshold };
        let was_warm = stays(&self.positive_mode) || self.flirt_mode.as_ref().is_some_and(stays);
        let mode = if negative > bar(self.negative_above, stays(&self.negative_mode)) {
            &self.negative_mode
        } else if positive > bar(self.positive_above, was_warm) && !self.doubts(negative, was_warm) {
            warm
        } else {
            &self.neutral_mode
        };
        Choice { mode: mode.clone(), negative, positive }
    }

    /// Whether so much that is negative stands against sharing a joy.
    fn doubts(&self, negative: f32, held: bool) -> bool {
        negative > self.positive_unless_negative_above + if held { self.hysteresis } else { 0.0 }
    }

    /// Whether a choice stays in the mode before it by hysteresis alone.
    pub fn held(&self, choice: &Choice) -> bool {
        let is_warm = choice.mode == self.positive_mode || self.flirt_mode.as_ref() == Some(&choice.mode);
        let is_clear = choice.positive > self.positive_above && !self.doubts(choice.negative, false);
        let below = choice.mode == self.negative_mode || (is_warm && !is_clear);
        choice.mode != self.neutral_mode && choice.negative <= self.negative_above && below
    }

    /// What counts as sorrow: sadness, or where the persona does not hold that for negative, the first that it does.
    pub fn sorrow(&self) -> Label {
        let knows_sadness = self.negative.contains(&Label::Sadness);
        if knows_sadness { Label::Sadness } else { self.negative.first().copied().unwrap_or(Label::Sadness) }
    }

    /// The names of all modes that these rules can choose.
    pub fn modes(&self) -> impl Iterator<Item = &str> {
        [Some(&self.negative_mode), Some(&self.positive_mode), self.flirt_mode.as_ref(), Some(&self.neutral_mode)]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

fn certain() -> f32 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::Persona;

    fn scores(pairs: &[(Label, f32)]) -> Scores {
        let mut scores = Scores([0.0; 7]);
        for &(label, value) in pairs {
            scores.0[label as usize] = value;
        }
        scores.0[Label::Neutral as usize] = 1.0 - scores.0.iter().sum::<f32>();
        scores
    }

    #[test]
    fn the_reference_compares_strictly_and_leaves_sadness_out() {
        let rules = Persona::reference().rules;
        let mode = |pairs: &[(Label, f32)]| rules.choose(scores(pairs), None, false).mode;
        assert_eq!(mode(&[(Label::Anger, 0.3)]), "GENERAL");
        assert_eq!(mode(&[(Label::Anger, 0.11), (Label::Disgust, 0.1), (Label::Fear, 0.1)]), "FIX");
        assert_eq!(mode(&[(Label::Joy, 0.5)]), "GENERAL", "the README says above 0.5");
        assert_eq!(mode(&[(Label::Joy, 0.3), (Label::Surprise, 0.21)]), "FLIRT");
        assert_eq!(mode(&[(Label::Sadness, 0.9)]), "GENERAL");
        assert_eq!(mode(&[(Label::Anger, 0.4), (Label::Joy, 0.6)]), "FIX", "negative comes first");
    }

    #[test]
    fn joy_is_no_invitation_to_flirt_until_an_adult_says_so() {
        let rules = Persona::arthur().rules;
        let joyful = scores(&[(Label::Joy, 0.9)]);
        assert_eq!(rules.choose(joyful, None, false).mode, "WARM");
        assert_eq!(rules.choose(joyful, None, true).mode, "FLIRT");
        assert_eq!(rules.choose(scores(&[(Label::Sadness, 0.5)]), None, true).mode, "FIX");
    }

    #[test]
    fn a_mode_is_left_only_below_its_threshold_less_the_hysteresis() {
        let rules = Persona::arthur().rules;
        let near = scores(&[(Label::Sadness, 0.27)]);
        assert_eq!(rules.choose(near, None, false).mode, "GENERAL");
        assert_eq!(rules.choose(near, Some("FIX"), false).mode, "FIX");
        assert_eq!(rules.choose(scores(&[(Label::Sadness, 0.24)]), Some("FIX"), false).mode, "GENERAL");
        let warm = scores(&[(Label::Joy, 0.27)]);
        assert_eq!(rules.choose(warm, Some("FLIRT"), false).mode, "WARM", "consent withdrawn, warmth stays");
        let held = |label, sum, before| rules.held(&rules.choose(scores(&[(label, sum)]), before, false));
        for (label, mode) in [(Label::Sadness, "FIX"), (Label::Joy, "WARM")] {
            let held = [0.4, 0.27, 0.2].map(|sum| held(label, sum, Some(mode)));
            assert_eq!(held, [false, true, false], "{mode} is held on between its two thresholds only");
        }
    }

    #[test]
    fn joy_is_not_shared_where_it_may_be_a_sorrow() {
        let rules = Persona::arthur().rules;
        let mixed = |sadness| scores(&[(Label::Sadness, sadness), (Label::Joy, 0.7)]);
        let choice = |sadness, before| rules.choose(mixed(sadness), before, false);
        assert_eq!([0.1, 0.2, 0.31].map(|sadness| choice(sadness, None).mode), ["WARM", "GENERAL", "FIX"]);
        let held = choice(0.18, Some("WARM"));
        assert!(held.mode == "WARM" && rules.held(&held) && !rules.held(&choice(0.1, Some("WARM"))));
        let reference = Persona::reference().rules;
        let anger = scores(&[(Label::Anger, 0.29), (Label::Joy, 0.7)]);
        assert_eq!(reference.choose(anger, None, false).mode, "FLIRT", "the reference knows no doubt");
    }

    #[test]
    fn the_first_message_counts_whole_and_the_next_two_thirds() {
        let rules = Persona::arthur().rules;
        let joy = scores(&[(Label::Joy, 0.9)]);
        let calm = scores(&[]);
        let first = rules.smooth(None, joy);
        assert_eq!(first.scores, joy);
        let second = rules.smooth(Some(first), calm);
        assert!((second.scores.get(Label::Joy) - 0.3).abs() < 1e-6, "{second:?}");
        let mut mood = second;
        for _ in 0..20 {
            mood = rules.smooth(Some(mood), calm);
        }
        assert!(mood.scores.get(Label::Joy) < 1e-5 && (mood.weight - 2.0).abs() < 1e-3, "{mood:?}");
    }

    #[test]
    fn good_news_right_after_bad_ones_are_not_comforted() {
        let rules = Persona::arthur().rules;
        let bad = rules.smooth(None, scores(&[(Label::Sadness, 0.95)]));
        let good = rules.smooth(Some(bad), scores(&[(Label::Joy, 0.86), (Label::Sadness, 0.08)]));
        assert_eq!(rules.choose(good.scores, Some("FIX"), false).mode, "WARM");
        assert!((good.weight - 1.0).abs() < f32::EPSILON, "what was before is not held against the next message");
        let mixed = rules.smooth(Some(bad), scores(&[(Label::Joy, 0.5)]));
        assert_eq!(rules.choose(mixed.scores, Some("FIX"), false).mode, "FIX", "a mild one is not enough");
        let calm = rules.smooth(Some(bad), scores(&[]));
        assert_eq!(rules.choose(calm.scores, Some("FIX"), false).mode, "FIX", "nor one without a feeling");
        let again = rules.smooth(Some(good), scores(&[(Label::Sadness, 0.9)]));
        assert_eq!(rules.choose(again.scores, Some("WARM"), false).mode, "FIX");
    }

    #[test]
    fn without_half_life_every_message_counts_alone() {
        let rules = Persona::reference().rules;
        let mood = rules.smooth(Some(Mood { scores: scores(&[(Label::Fear, 1.0)]), weight: 1.0 }), scores(&[]));
        assert_eq!(mood.scores, scores(&[]));
    }
}
