//! Words that are glad with somebody. A small model rejoices at sorrows now and then ("How lovely that he looked back!", of a dog given
//! away), which hurts more than any plain answer.

use std::sync::LazyLock;

use regex::Regex;

use super::rules::{any, take_out};
use super::words::words;

/// Whether an answer rejoices. What a comforter says with the same words ("I'm glad you told me", "you were so proud of your shop") does
/// not count.
pub fn rejoices(answer: &str) -> bool {
    if answer.chars().any(|c| PARTY.contains(c)) {
        return true;
    }
    let mut words = words(answer, true);
    take_out(&mut words, &KIND);
    GLAD.is_match(&words)
}

const PARTY: &str = "🎉🥳🎊😄😁😃😀😆🤩😂🤣🍾🎈🥰😍🙌";

pub(super) fn prepare() {
    LazyLock::force(&KIND);
    LazyLock::force(&GLAD);
}

static KIND: LazyLock<Regex> = LazyLock::new(|| any(KINDLY, PARTS));
static GLAD: LazyLock<Regex> = LazyLock::new(|| any(GLADLY, PARTS));

/// Filled into the patterns.
const PARTS: &[(&str, &str)] = &[
    ("{GLAD}", r"(happy|glad|proud|excited|thrilled|delighted|relieved|pleased|lucky)"),
    (
        "{GREAT}",
        r"(lovely|wonderful|great|amazing|awesome|fantastic|brilliant|exciting|beautiful|sweet|cute|fun|funny|cool|nice|perfect|delightful|adorable|excellent|fabulous|terrific|incredible|splendid|marvellous)",
    ),
    ("{VERY}", r"(so |very |really |just |pretty |quite |such |a |an |the |too |all |still |both )*"),
];

/// As [`super::danger`] is written, but for the end of a word: what is taken out first.
const KINDLY: &[&str] = &[
    // Glad to be spoken to.
    r" (glad|happy|pleased)( that)? (you|we) (are still|are|can still|can|could|have|did|do|feel)?( still)?( safe)? ?(told|tell|telling|wrote|write|writing|said|say|share|shared|sharing|called|call|came|come|coming|asked|ask|asking|reached|reach|talked|talk|talking|trust|trusted|open|opened|let|here|safe|alive|with me|around|stayed|stay|spoke|speak|chose|someone|somebody|people|a friend|each other|able to (tell|talk|say|write|cry|sleep|rest|eat))\b",
    r" (glad|happy) to (listen|hear from you|be here|be with you|talk|stay|keep you company|sit with you|help)\b",
    // That somebody is there, or was.
    r" (glad|happy|relieved|grateful)( that)? (you (are not (alone|on your own)|are (home|safe)|got to|had|have (your|each|someone|somebody|him|her))|your [a-z]+ (is|was|are) (there|here|near|with you)|(he|she|they) (is|was|were) (in your life|there|with you))\b",
    r" proud of you for [a-z]+\b",
    r" (he|she|they|your [a-z]+) (sounds?|seems?) (like )?{VERY}{GREAT}\b",
    r" {VERY}{GREAT} (memory|memories|way to (remember|say)|loss|shock|pain|fear|grief)\b",
    r" (nice|sweet|kind) of you\b",
    r" (nobody is perfect|(not|no)( [a-z]+){0,2} (good|great|nice) news)\b",
    // That it has become a little easier.
    r" (glad|happy)( to hear)?( that)? (you|it|that|this|things|he|she|they)( [a-z]+){0,4} (better|easier|ok|okay|safe|well|help|helps|helped)\b",
    // What is past, denied, or wished for.
    r" (was|were|been|used to be|not|never|not be|not feel|is not|are not|have to be|need to be|has to be|deserve to be|made you|make you|makes you) (so |very |really |all |that |too |always |just )*(happy|glad|proud|excited|lucky|nice|sweet|fun|funny|great|perfect|relieved)\b",
    r" (hope|wish)( [a-z]+){1,12}\b",
];

const GLADLY: &[&str] = &[
    // Oneself.
    r" i am {VERY}{GLAD}\b",
    r" i can not wait\b",
    r" i love (that|it|this|how)\b",
    // The other one, today.
    r" (you|they|he|she|it|that) must (be|feel) {VERY}({GLAD}|{GREAT})\b",
    r" (you|we) (can|should|must) (still |now |also )*be so {GLAD}\b",
    r" (be|feel) so {GLAD} (for|of|about|with|that|too|now)\b",
    r" still happy\b",
    r" you (did|made) it \.",
    r" (with|have|got) a (big|huge|wide|bright) smile\b",
    // What happened.
    r" how {VERY}{GREAT}\b",
    r" what {VERY}{GREAT} [a-z]+\b",
    r" (is|are|sounds|sound|looks|feels) {VERY}{GREAT}\b",
    r" [.~] {VERY}{GREAT} (\.|for you|to hear|that)",
    r" {GREAT} (news|job|work|idea|choice|one|day|way to|thing to)\b",
    r" good (news|job|for you|work)\b",
    r" [.~] (so |very |really )*{GLAD} (for|of) (you|him|her|them|us)\b",
    r" {GLAD} to (hear|read|see) (it|that)\b",
    r" (good|great|nice) to hear\b",
    r" (that|it|this) is {VERY}good( (thing|sign|news))? \.",
    r" (make|makes|made) (me|my) {VERY}({GLAD}|smile|day)\b",
    r" (lucky you|you are {VERY}lucky|what a relief|what (a )?joy|have fun|enjoy|thank god)\b",
    r" sounds like {VERY}{GREAT}\b",
    r" a?(ha)+h? ",
    r" (congrats|congratulations|yay|woohoo|hooray|hurray|well done|bravo|cheers|hehe|lol|celebrate|celebrating|celebration)\b",
];

#[cfg(test)]
mod tests {
    use super::rejoices;

    #[test]
    fn gladness_with_who_is_sad_is_heard() {
        for answer in [
            "How lovely that he looked back! You must have been so worried about him.",
            "His hair on your black coat is a lovely thing.",
            "I'm so glad that you used to love painting! You can still be so happy for those days.",
            "A fruit basket, how lovely! You must be so relieved.",
            "Tired and still happy, you did it.",
            "I'm so glad that you are so tired",
            "I'm so happy that your aunt told you about the tumor!",
            "That's lovely news, and it's true.",
            "All the weight back! You must be so proud of yourself.",
            "Congratulations! 🎉",
            "Great news! What happened?",
            "They go great idea mark, how sweet! You can be so proud of them.",
            "What a wonderful day.",
            "So happy for you!",
            "That's good to hear.",
            "Hahaha, you made it!",
            "A street market in the dark is so lovely.",
        ] {
            assert!(rejoices(answer), "{answer}");
        }
    }

    #[test]
    fn comfort_in_the_same_words_is_none() {
        for answer in [
            "Oh no, you lost your job. That must hurt so much. What happened?",
            "I'm glad you told me. That sounds so heavy.",
            "I'm so glad you're here, and that you are still writing to me.",
            "It's good that you can rest now.",
            "You were so proud of your shop. I'm so sorry.",
            "You don't have to be happy today.",
            "I hope that tomorrow is a good day for you.",
            "Your dog was so loved by you.",
            "It's normal for you to feel sad about your daughter's move. You can be proud of her and still miss her.",
            "I'm happy to listen.",
            "I'm glad you're not alone. She sounds lovely.",
            "What a lovely memory of him.",
            "I'm so proud of you for telling me.",
            "I'm so glad that it got a little easier.",
            "That's so unfair, and you deserve better.",
            "No wonder you're angry.",
            "",
        ] {
            assert!(!rejoices(answer), "{answer}");
        }
    }
}
