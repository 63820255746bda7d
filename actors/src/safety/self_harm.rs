//! Whose danger a message speaks of: the phrases of the files beside this one, in the order in which they count.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::Concern;
use super::danger::DANGER;
use super::harmless::HARMLESS;
use super::others::{BEREAVED, OTHER};
use super::rules::{any, any_of, take_out};
use super::words::words;

/// Of whom the words tell that they may harm themselves, if anyone.
///
/// What is harmless goes first, or "dying to see it" would be a wish. What is said of others goes next, so that only one's own
/// words are left to be looked at: "she killed herself and now I want to die" is both.
pub(super) fn concern(text: &str) -> Option<Concern> {
    let mut words = words(text, false);
    for harmless in &RULES.harmless {
        take_out(&mut words, harmless);
    }
    let mut other = false;
    for someone in &RULES.other {
        other |= take_out(&mut words, someone);
    }
    for bereaved in &RULES.bereaved {
        take_out(&mut words, bereaved);
    }
    match (RULES.danger.is_match(&words), other) {
        (true, _) => Some(Concern::Themselves),
        (false, true) => Some(Concern::SomeoneElse),
        (false, false) => None,
    }
}

pub(super) fn prepare() {
    LazyLock::force(&RULES);
}

struct Rules {
    harmless: Vec<Regex>,
    other: Vec<Regex>,
    bereaved: Vec<Regex>,
    danger: RegexSet,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let each = |groups: &[&[&str]]| groups.iter().map(|lines| any(lines, PARTS)).collect();
    Rules { harmless: each(HARMLESS), other: each(OTHER), bereaved: each(BEREAVED), danger: any_of(DANGER, PARTS) }
});

/// What the phrases' `{NAME}` stand for.
const PARTS: &[(&str, &str)] = &[
    // What ends such a sentence.
    (
        "{E}",
        r" (\.|and|but|because|if|when|or|i|it|honestly|please|lol|soon|for good|like this|in this world|on this|in pain|without (him|her|them|you)|anymore|any longer|no more|ever|again|tomorrow|today|tonight|right now|now|lately|at all|past|next (year|month|week)) ",
    ),
    // Where one cuts.
    ("{A}", r"(arm|arms|wrist|wrists|thigh|thighs|leg|legs|skin|veins|stomach|throat)"),
    // What one takes too much of.
    (
        "{P}",
        r"(pill|pills|tablet|tablets|meds|medication|painkillers|antidepressants|paracetamol|tylenol|advil|ibuprofen|aspirin|xanax|valium|insulin|fentanyl|bleach)",
    ),
    // Whom one worries about.
    (
        "{WHO}",
        r"(friend|friends|bff|bestie|mate|brother|sister|mom|mum|mother|dad|father|son|daughter|girlfriend|gf|boyfriend|bf|wife|husband|partner|ex|cousin|roommate|flatmate|classmate|student|colleague|neighbour|neighbor|uncle|aunt|grandma|grandpa|kid|child|someone|girl|guy|he|she|they)",
    ),
    // Any word.
    ("{G}", r" [a-z0-9]+"),
];
