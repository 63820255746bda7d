//! The talk right after the written answer to words of danger. A small model is not to be trusted with it ("whats the point" was answered with
//! "The point is that you want to die"), so what comes next is written, too: until these texts are said, or the person was taken wrong.

use std::sync::LazyLock;

use regex::RegexSet;

use super::rules::any_of;
use super::words::words;

/// What is said next, each text once in a talk. An empty one leaves that message to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// To whatever comes first.
    pub safe: String,
    /// To whatever comes then.
    pub heavy: String,
    /// To who has nobody, or cannot call.
    pub alone: String,
    /// To who has called somebody, or has somebody coming.
    pub company: String,
    /// To who was taken wrong: the model speaks again after it.
    pub wrong: String,
    /// To who worries about someone else, whatever comes first.
    pub other: String,
}

impl Next {
    /// Nothing is said beforehand: the model speaks right after the written answer.
    pub fn left_to_the_model() -> Self {
        let [safe, heavy, alone, company, wrong, other] = [const { String::new() }; 6];
        Self { safe, heavy, alone, company, wrong, other }
    }

    /// All of them.
    pub(crate) fn texts(&self) -> [&str; 6] {
        [&self.safe, &self.heavy, &self.alone, &self.company, &self.wrong, &self.other].map(String::as_str)
    }
}

impl Default for Next {
    fn default() -> Self {
        let [safe, heavy, alone, company, wrong, other] =
            [SAFE, HEAVY, ALONE, COMPANY, WRONG, OTHER].map(str::to_owned);
        Self { safe, heavy, alone, company, wrong, other }
    }
}

/// [`Next::safe`], where the operator wrote none.
pub const SAFE: &str = "I'm here, and I read every word. Before anything else: are you safe right now, where you are?";

/// [`Next::heavy`], where the operator wrote none.
pub const HEAVY: &str = "Thank you for staying with me. What makes it so heavy today? And please keep that number near: you can call it at any hour.";

/// [`Next::alone`], where the operator wrote none.
pub const ALONE: &str = "That makes it harder, and I believe you. A helpline is there for just that: nobody has to know you, and if calling is too much, \
    you can text. 988 in the US and Canada, SHOUT to 85258 in the UK; findahelpline.com lists chats elsewhere. I'm here while you write to them.";

/// [`Next::company`], where the operator wrote none.
pub const COMPANY: &str = "It's good that somebody is there. Let them come close, and tell them what you told me, in the same words if that's easier. \
    I'm still here, too.";

/// [`Next::wrong`], where the operator wrote none.
pub const WRONG: &str = "Okay, then I took you wrong. What did you mean? And if it ever does get that dark, tell me: I'd rather ask once too often.";

/// [`Next::other`], where the operator wrote none.
pub const OTHER: &str = "You don't have to carry this alone, either. Is there someone who could stay with them, or with you, until there's help? \
    A helpline talks with people who worry about someone, too.";

/// What a message in such a talk says, as far as the answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// That they were taken wrong.
    Wrong,
    /// That nobody is there, or that they cannot call.
    Alone,
    /// That somebody is, or was called.
    Company,
    /// No more than no, or that they do not know.
    No,
    /// Anything else.
    Other,
}

/// What a message after the written answer says.
pub fn says(text: &str) -> Says {
    let found = PATTERNS.matches(&words(text, true));
    let kinds = [Says::Wrong, Says::Alone, Says::Company, Says::No];
    kinds.into_iter().enumerate().find(|&(at, _)| found.matched(at)).map_or(Says::Other, |(_, kind)| kind)
}

pub(super) fn prepare() {
    LazyLock::force(&PATTERNS);
}

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| any_of(&[MISTAKEN, BY_ONESELF, WITH_OTHERS, NO], PARTS));

/// Filled into the patterns.
const PARTS: &[(&str, &str)] = &[(
    "{WHO}",
    r"(someone|somebody|he|she|they|people|help|police|paramedics|the ambulance|an ambulance|mum|mom|mother|mama|dad|father|papa|parents|gran|grandma|nan|grandpa|wife|husband|partner|girlfriend|boyfriend|gf|bf|son|daughter|brother|bro|sister|sis|uncle|aunt|cousin|friend|friends|mate|bestie|roommate|flatmate|neighbou?r|teacher|counsellor|counselor|therapist|doctor|nurse)",
)];

/// As [`super::danger`] is written, but for the end of a word.
const MISTAKEN: &[&str] = &[
    r" (i|that is|it is) (do |did |was |would |am )?(just )?(not (what i )?(mean|meant)|not like that|not suicidal|not in danger|not what i (said|mean|meant))\b",
    r" (i do not|did not) mean (it|that)\b",
    r" (got|getting|get|took|taking|read|heard|understood) (me|it|that|this|me all) (all |totally |completely )?wrong\b",
    r" (misunderstood|misunderstand|misunderstanding|misread|misheard)\b",
    r" i (do|would|did) not (really |actually )?want to (die|kill|hurt|harm)\b",
    r" i am not (going to|planning to|about to|thinking of|thinking about)( [a-z]+)? ?(kill|killing|hurt|hurting|harm|harming|do|doing|die|dying)\b",
    r" (it|that|this) (is|was) (only |just )?(a |an |the |from a |from the |about a |about the )*(song|lyrics?|movie|film|joke|game|book|quote|meme|show|expression|saying|figure of speech|job|move|moving)\b",
    r" i (was|am) (only |just )?(talking|speaking|thinking) (about|of) (a|the|my|our|this|that|his|her|their|moving|work)\b",
    r" i mean(t)? (the|my|a|that|moving|leaving|our|his|her|their|it|work)\b",
    r" (what are you (talking|on) about|why would you (think|say|ask) (that|this)|where did (that|this) come from|calm down|chill|relax)\b",
    r" not (literally|that serious|serious)\b",
];

const BY_ONESELF: &[&str] = &[
    r" (nobody|noone|not (have )?(anyone|anybody)|no friends?|no family|alone|by myself|on my own|lonely)\b",
    r" i (really |just )?(can not|could not|do not want to|do not wanna|will not|would not|am not going to|do not dare|do not) (to )?(call|phone|talk|speak|reach|tell|ring|text|go|do (that|it|this))\b",
    r" (scared|afraid|ashamed|embarrassed|shy) (to|of)( call| talk| tell| calling| talking| telling| phoning)?\b",
    r" (do|did|does|will|would) not (pick up|answer|reply|respond|help|work|care|come|understand|believe|listen)\b",
    r" (tried|called|did) (that|them|it|those|there|already|once|before)( already| before| once)?\b",
    r" (never|not) (helps?|helped|works?|worked|picks? up|answers?)\b",
];

const WITH_OTHERS: &[&str] = &[
    r" {WHO}( [a-z]+){0,2} (is|are|am) (already |now |here |just |still |right )*(here|coming|with me|beside me|next to me|on (the|her|his|their) way|driving|home|awake|sleeping|in the (next|other) room|asleep)\b",
    r" {WHO}( [a-z]+){0,5} (come|coming|comes|drive|driving) (over|here|by|round|around|to me|home|soon|now|tonight|in|and get me|get me)\b",
    r" i (have |just |already |finally )*(called|texted|messaged|told|rang|phoned|spoke|talked|reached|dialled|dialed)\b",
    r" i (am|will|am going to|can|could|would) (be )?(call|calling|text|texting|phone|phoning|ring|ringing|tell|telling|talk to|talking to|go to|going to|walk to|at|in|with) (my |the |a |an )?({WHO}|them|him|her|988|911|112|999|helpline|hotline|line|hospital|er|emergency)\b",
    r" (on the phone|on hold|picked up|(they|he|she) (answered|replied))\b",
];

/// Nothing else stands beside it: the words begin and end with a full stop.
const NO: &[&str] = &[
    r"^ \. ((no|nope|nah|not (really|sure|at all)|i do not (know|think so)|idk|dunno|maybe|no idea|not|i am not|i guess not) (\. )?)+$",
];

#[cfg(test)]
mod tests {
    use super::{Says, says};

    #[test]
    fn what_is_said_after_the_written_answer_is_told_apart() {
        for (text, meant) in [
            ("no i mean the move to texas", Says::Wrong),
            ("you got me wrong lol, im not suicidal", Says::Wrong),
            ("its from a song", Says::Wrong),
            ("i don't want to die, its just a saying", Says::Wrong),
            ("theres nobody", Says::Alone),
            ("i cant call anyone", Says::Alone),
            ("i called, they dont pick up", Says::Alone),
            ("hotlines never help", Says::Alone),
            ("im all alone here", Says::Alone),
            ("my sister said she might come over", Says::Company),
            ("mum is in the next room", Says::Company),
            ("i called my brother", Says::Company),
            ("im on hold", Says::Company),
            ("no", Says::No),
            ("not really…", Says::No),
            ("idk", Says::No),
            ("im just so tired", Says::Other),
            ("whats the point", Says::Other),
            ("im in my car", Says::Other),
            ("yes", Says::Other),
            ("no sleep since monday", Says::Other),
            ("", Says::Other),
        ] {
            assert_eq!(says(text), meant, "{text}");
        }
    }
}
