//! What simulated users say: a few lines a mood, so that a bot which listens has something to hear.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Serialize;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// Angry, disgusted or afraid.
    Angry,
    /// Glad or pleasantly surprised.
    Joyful,
    /// Sad or lonely.
    Sad,
    /// A plain question.
    Neutral,
}

/// A line and how it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// As typed.
    pub text: &'static str,
    /// As meant.
    pub mood: Mood,
}

/// All moods.
pub const MOODS: [Mood; 4] = [Mood::Angry, Mood::Joyful, Mood::Sad, Mood::Neutral];

/// How likely a user's mood changes from one message to the next.
const CHANGE: f64 = 0.15;

/// Lines of one mood.
pub fn lines(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Angry => &[
            "i hate this, they lied to my face again",
            "my landlord kept the whole deposit and i am furious",
            "this is disgusting, i can't believe he said that",
            "stop ignoring me, i am so angry right now",
            "they blamed me for their own stupid mistake!!",
            "i'm scared he will shout at me again tomorrow",
        ],
        Mood::Joyful => &[
            "i got the job!!! i am so happy",
            "best day ever, my sister had her baby this morning",
            "we won the match 3-2, it was amazing",
            "omg they threw me a surprise party and i loved it",
            "i passed my exam, i can't stop smiling",
            "my painting was picked for the exhibition, wow",
        ],
        Mood::Sad => &[
            "my dog died last night and the flat is so quiet",
            "i feel so lonely since i moved here",
            "she left and i don't know what to do with myself",
            "i miss my grandma so much today",
            "nobody came to my birthday",
            "i failed my driving test again and cried in the car",
        ],
        Mood::Neutral => &[
            "what time is it over there",
            "do you drink coffee or tea in the morning",
            "what kind of things do you design",
            "how do you get to work",
            "which part of san francisco do you live in",
            "what are you reading at the moment",
        ],
    }
}

/// `turns` lines of one user: a mood that lasts a while, and no line twice before all of its mood were used.
pub fn conversation(rng: &mut impl Rng, turns: usize) -> Vec<Line> {
    let mut mood = *MOODS.choose(rng).unwrap_or(&Mood::Neutral);
    let mut starts = MOODS.map(|mood| rng.random_range(0..lines(mood).len()));
    let mut said = Vec::with_capacity(turns);
    for _ in 0..turns {
        if rng.random_bool(CHANGE) {
            mood = *MOODS.choose(rng).unwrap_or(&mood);
        }
        let next = &mut starts[mood as usize];
        said.push(Line { text: lines(mood)[*next % lines(mood).len()], mood });
        *next += 1;
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_says_the_same_and_another_something_else() {
        let said = |seed| conversation(&mut ChaCha8Rng::seed_from_u64(seed), 12);
        assert_eq!(said(1), said(1));
        assert_ne!(said(1), said(2));
    }

    #[test]
    fn over_many_users_every_line_is_said() {
        let said: BTreeSet<&str> = (0..64)
            .flat_map(|seed| conversation(&mut ChaCha8Rng::seed_from_u64(seed), 8))
            .map(|line| line.text)
            .collect();
        assert_eq!(said.len(), MOODS.iter().map(|mood| lines(*mood).len()).sum::<usize>());
    }
}
