//! Tact: bad news said plainly is felt as such, and nobody rejoices at a sorrow.
//!
//! Both the classifier and the model are small, and err now and then; where they err towards joy it hurts. So plain words of grave news
//! overrule the classifier, and an answer in the mode for bad moments that rejoices is not said ([`crate::generation`]).

use crate::conversation::{Chat, Desk};
use crate::messages::Felt;
use crate::mode::{Choice, Rules};
use crate::safety::is_bad_news;
use crate::types::{Label, Scores};

/// How a message is felt by its words alone, if they are plain bad news: whatever is not negative in the scores is sadness.
pub fn sobered(rules: &Rules, text: &str, scores: Scores) -> Option<Scores> {
    if !rules.tact || !is_bad_news(text) {
        return None;
    }
    let negative = scores.sum(&rules.negative);
    let mut sobered = scores;
    for label in Label::ALL.into_iter().filter(|label| !rules.negative.contains(label)) {
        sobered.0[label as usize] = 0.0;
    }
    sobered.0[rules.sorrow() as usize] += (1.0 - negative).max(0.0);
    Some(sobered)
}

impl Desk {
    /// How a message was meant, by the classifier and by its words, which need no classifier where they are plain.
    pub(crate) async fn feel_soberly(&self, text: &str) -> Felt {
        let felt = self.feel(text).await;
        match sobered(&self.persona.rules, text, felt.scores) {
            Some(scores) => Felt { scores, degraded: false, plain: true, ..felt },
            None => felt,
        }
    }

    /// Whether an answer in this mode must not rejoice: it is for bad moments, and the message itself is no good news among them. Right
    /// after words of danger nothing is.
    pub(crate) fn is_sober(&self, choice: &Choice, felt: &Felt, tender: bool) -> bool {
        let rules = &self.persona.rules;
        let glad = !felt.degraded && rules.is_clearly_good(felt.scores);
        rules.tact && choice.mode == rules.negative_mode && (tender || !glad)
    }

    /// What is said where the model had nothing but joy: written, and not what was said last.
    pub(crate) fn comfort(&self, chat: &Chat<'_>) -> String {
        let texts = &self.persona.texts;
        let said = self.friend_turns(chat).next().is_some_and(|turn| self.tells(turn, &texts.comfort));
        self.named(if said { &texts.comfort_again } else { &texts.comfort })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::Persona;

    #[test]
    fn plain_bad_news_are_felt_as_sad_whatever_the_classifier_says() {
        let mut scores = Scores([0.0; 7]);
        (scores.0[Label::Joy as usize], scores.0[Label::Fear as usize]) = (0.9, 0.1);
        let (arthur, reference) = (Persona::arthur().rules, Persona::reference().rules);
        let sober = sobered(&arthur, "the tumour is back", scores).unwrap();
        assert!(
            (sober.get(Label::Sadness) - 0.9).abs() < 1e-6 && (sober.get(Label::Fear) - 0.1).abs() < 1e-6,
            "{sober:?}"
        );
        assert_eq!(arthur.choose(sober, None, false).mode, "FIX");
        assert_eq!(sobered(&arthur, "my friend is back", scores), None);
        assert_eq!(sobered(&reference, "the tumour is back", scores), None, "the reference goes by the scores alone");
    }
}
