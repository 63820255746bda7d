//! Bare words of thanks, assent or retreat. After the written answer to words of danger they tell a model nothing, and a small one was glad
//! with them.

use std::sync::LazyLock;

use regex::Regex;

use super::rules::{any, take_out};
use super::words::words;

/// Whether a message says no more than that the one before was read: "haha ok thanks", "i will, thx", "jk".
pub fn is_bare_thanks(text: &str) -> bool {
    // `words` drops the letters of other scripts, and signs such as a knife.
    if text.chars().any(|c| !c.is_ascii() && !PLAIN.contains(c)) {
        return false;
    }
    // A question mark is a word here, which nothing takes out: "ok?" wants an answer.
    let mut words = words(&text.replace(['👍', '👌', '🙏'], " ok "), true);
    take_out(&mut words, &SAID) && words.split_whitespace().all(|word| matches!(word, "." | "~" | "lol"))
}

/// Signs beyond ASCII that change nothing.
const PLAIN: &str = "’‘…👍👌🙏❤\u{fe0f}😂🤣🙂😊";

pub(super) fn prepare() {
    LazyLock::force(&SAID);
}

static SAID: LazyLock<Regex> = LazyLock::new(|| any(SAYS, &[]));

/// As [`super::danger`] is written, but for the end of a word.
const SAYS: &[&str] = &[
    // Thanks.
    r" (thanks|thank you|thankyou|thank u|thx|thnx|thanx|tnx|ty|tysm|tyvm|tks|cheers)( so much| very much| a lot| a bunch| anyway| again)?( for (listening|caring|this|that|it|everything|the (numbers?|info|links?|help)|being (here|there)))?\b",
    r" (arthur|man|bro|dude|mate)\b",
    r" (i )?(really )?appreciate (it|that|this|you)\b",
    // Assent.
    r" (ok|okay|okey|okie|oki|k|kk|alright|all right|right|sure|fine|yes|yeah|yea|yep|yup|yh|cool|good|nice|got it|gotcha|understood|noted|will do|i will|i guess|i see|i know|fair enough|fair)\b",
    // Laughter, and drawing back.
    r" (a?(ha)+h?|(he)+h?|lmao|rofl|jk|just kidding|kidding|i am (just )?(kidding|joking|fine|ok|okay|good|alright|all right)|it was (just |only )?a joke|nvm|nevermind|never mind|forget (it|that|i said that|i said anything|about it)|it is (fine|ok|okay|nothing|all good|whatever)|all good|no worries|do not worry( about (me|it))?|sorry)\b",
];
