//! The talk right after the written answer to words of danger. A small model is not to be trusted with it ("whats the point" was answered with
//! "The point is that you want to die"), so what comes next is written, too: until these texts are said, or the person was got wrong.

use std::sync::LazyLock;

use regex::RegexSet;

use super::rules::any_of;
use super::words::words;

/// What is said next, each text once after a written answer. Without any, the model speaks right after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// To whatever comes first.
    pub safe: String,
    /// To whatever comes then.
    pub heavy: String,
    /// To someone who is not safe, or has the means at hand; also more than once.
    pub unsafe_now: String,
    /// To someone who has nobody, or cannot call.
    pub alone: String,
    /// To someone who has called somebody, or has somebody coming.
    pub company: String,
    /// To someone who asks whom to call.
    pub lines: String,
    /// To someone who was got wrong: the model speaks again after it.
    pub wrong: String,
    /// To someone who worries about another person, whatever comes first.
    pub other: String,
}

impl Next {
    /// Nothing is said beforehand.
    pub fn left_to_the_model() -> Self {
        let [safe, heavy, unsafe_now, alone, company, lines, wrong, other] = [const { String::new() }; 8];
        Self { safe, heavy, unsafe_now, alone, company, lines, wrong, other }
    }

    /// All of them.
    pub(crate) fn texts(&self) -> [&str; 8] {
        let Self { safe, heavy, unsafe_now, alone, company, lines, wrong, other } = self;
        [safe, heavy, unsafe_now, alone, company, lines, wrong, other].map(String::as_str)
    }
}

impl Default for Next {
    fn default() -> Self {
        let [safe, heavy, unsafe_now, alone, company, lines, wrong, other] =
            [SAFE, HEAVY, UNSAFE, ALONE, COMPANY, LINES, WRONG, OTHER].map(str::to_owned);
        Self { safe, heavy, unsafe_now, alone, company, lines, wrong, other }
    }
}

/// [`Next::safe`], where the operator wrote none.
pub const SAFE: &str = "I'm here, and I read every word. Are you safe right now, where you are?";

/// [`Next::heavy`], where the operator wrote none.
pub const HEAVY: &str = "Thank you for staying with me. What makes it so heavy today? And keep those lines near, to call or to write to, whenever it \
    gets too much.";

/// [`Next::unsafe_now`], where the operator wrote none.
pub const UNSAFE: &str = "Then please call for help right now: your emergency number (112 in Europe, 911 in the US and Canada). If something near you \
    could hurt you, go away from it, to where other people are. Don't wait for me. I'm still here while you call.";

/// [`Next::alone`], where the operator wrote none.
pub const ALONE: &str = "That makes it harder, and I believe you. A helpline is there for just that: you don't have to say who you are, and if calling \
    is too much, you can write. Text 988 in the US and Canada, SHOUT to 85258 in the UK, HELLO to 50808 in Ireland; findahelpline.com lists chats \
    elsewhere. I'm here while you do.";

/// [`Next::company`], where the operator wrote none.
pub const COMPANY: &str = "It's good that you don't stay alone with it. If you feel safe with them, tell them what you told me, in the same words if that's \
    easier. I'm still here, too.";

/// [`Next::lines`], where the operator wrote none.
pub const LINES: &str = "findahelpline.com lists the free lines of your country, to call or to chat with. It's 988 in the US and Canada, 116 123 in the UK \
    and Ireland. If it can't wait, call the emergency number: 112 in Europe, 911 in the US and Canada.";

/// [`Next::wrong`], where the operator wrote none.
pub const WRONG: &str = "Okay, then I got you wrong. What did you mean? And if it ever does get that dark, tell me: I'd rather ask once too often.";

/// [`Next::other`], where the operator wrote none.
pub const OTHER: &str = "You don't have to carry this alone, either. Is there someone who could stay with them, or with you, until there's help? \
    A helpline talks with people who worry about someone, too.";

/// What a message in such a talk tells, as far as the answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// They are not safe, or have the means at hand.
    Unsafe,
    /// They were got wrong.
    Wrong,
    /// They ask whom to call.
    Lines,
    /// Nobody is there, or they cannot call.
    Alone,
    /// Somebody is there, or was called.
    Company,
    /// No more than no, or that they do not know.
    No,
    /// Anything else.
    Other,
}

/// What a message after a written answer tells, or `right_after` it.
pub fn told(text: &str, right_after: bool) -> Told {
    let found = PATTERNS.matches(&words(text, true));
    // A veto stands behind each kind that would let go of somebody, or take them for safe.
    let kinds = [
        (Told::Unsafe, 0, None),
        (Told::Wrong, 1, Some(2)),
        (Told::Lines, 3, None),
        (Told::Alone, 4, Some(5)),
        (Told::Company, 6, Some(7)),
        (Told::No, 8, None),
    ];
    if right_after && found.matched(9) {
        return Told::Unsafe;
    }
    let is = |veto: Option<usize>| veto.is_some_and(|veto| found.matched(veto));
    let kind = kinds.into_iter().find(|&(_, at, veto)| found.matched(at) && !is(veto));
    kind.map_or(Told::Other, |(kind, ..)| kind)
}

pub(super) fn prepare() {
    LazyLock::force(&PATTERNS);
}

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    let groups = [
        IN_DANGER,
        MISTAKEN,
        STILL_DARK,
        WHOM_TO_CALL,
        BY_ONESELF,
        NOT_ALONE,
        WITH_OTHERS,
        NOT_WITH_OTHERS,
        NO,
        IN_DANGER_NOW,
    ];
    any_of(&groups, PARTS)
});

/// Filled into the patterns.
const PARTS: &[(&str, &str)] = &[
    ("{LEAD}", r"^ \. ((no|nah|nope|lol|haha|omg|wait|oh|hey|bro|what|sorry|ok|okay|god|you|yeah|yes|qq|\.) )*"),
    (
        "{WHO}",
        r"((my |the |an |a )?(someone|somebody|he|she|they|people|help|police|paramedics|ambulance|mum|mom|mother|mama|dad|father|papa|parents|family|gran|grandma|nan|grandpa|wife|husband|partner|girlfriend|boyfriend|gf|bf|son|daughter|brother|bro|sister|sis|uncle|aunt|cousin|friends?|mate|bestie|roommate|flatmate|neighbou?r|teacher|counsellor|counselor|therapist|doctor|nurse)s?)",
    ),
    (
        "{NONE}",
        r"(no|nope|nah|not (really|sure|at all)|i do not (know|think so)|idk|dunno|maybe|no idea|not|i am not|i guess not)",
    ),
    ("{MEANS}", r"(pills?|tablets|knife|knives|blades?|razors?|rope|noose|gun|bleach)"),
];

/// As [`super::danger`] is written, but for the end of a word.
const IN_DANGER: &[&str] = &[
    r" i (am |feel |do not feel )(really |just )?(not (really |very |that |feeling |feel |actually )*safe|unsafe)\b",
    r" (idk|dunno|not (know|sure|think))( if| that)? i am( safe)? \.",
    r" i (have|got|have got|am holding|picked up|bought)( [a-z]+){0,2} {MEANS}\b",
    r" {MEANS}( [a-z]+){0,2} (here|in my hands?|in front of me|next to me|with me)\b",
    r" {MEANS} is (ready|loaded|tied)\b",
    r" (i am|standing|sitting) (here )?(on|at) (the|a) (bridge|roof|ledge|edge|train tracks|tracks|balcony|cliff)\b",
    r" (took|swallowed|drank) (all|all of|every one of) (the |my |his |her )?(them|{MEANS})\b",
    r" took them all \.",
    r" i jumped \.",
    r" i am bleeding\b",
];

/// What says so only right after what was written: elsewhere a job is done, or a pizza taken.
const IN_DANGER_NOW: &[&str] = &[
    r" (not (really |very |that |feeling |feel |actually )*safe|unsafe)\b",
    r" i (have |already |just )*(did|done) it( already)? \.",
    r"( \.| i)( have| already| just)* (took|taken|swallowed|drank) (it|them|all|some|all of it|everything) \.",
];

const MISTAKEN: &[&str] = &[
    r"{LEAD}((i|that|it) (is |was |do |am |would )*not (what i )?(mean|meant|say|said)( it| that| like that)*|not like that|i am (really |actually |definitely )?not (suicidal|in danger)) (\.|lol|like that)",
    r"{LEAD}(got|took|read|heard|understood) (me|it|that|this|me all)( all| totally| completely)? wrong\b",
    r"{LEAD}((i think|i guess) )?you (totally |completely |really )?(got|took|read|heard|understood) (me|it|that|this|what i said)( all| totally| completely)? wrong\b",
    r"{LEAD}((i think|i guess) )?you (misunderstood|misunderstand|misread|misheard)\b",
    r"{LEAD}((it|this|that) (is|was) )?(just )?(a )?misunderstanding\b",
    r"{LEAD}i do not (really |actually )?want to die( \.)*( it is just [a-z ]*(saying|expression|song|joke)| lol| haha)( \.)? $",
    r" (it|that|this) (is|was) (only |just )?(from )?(a |an |the |my )?([a-z]+ ){0,2}(song|lyrics?|quote|meme|figure of speech|expression|saying)\b",
    r" (those|these|they) are( just| only)? (the )?lyrics\b",
    r"{LEAD}(it|that) (is|was) (only |just )?(a |from a |from the |about a |for a )([a-z]+ )?(movie|film|joke|game|book|show|story|novel|series)\b",
    r"{LEAD}i (was|am) (only |just )?(joking|kidding|exaggerating|quoting|being dramatic|being sarcastic|venting)\b",
    r"{LEAD}(just kidding|jk)\b",
    r"{LEAD}i (was |am )?(only |just )?(mean|meant|talking about|speaking of) (the|my|our)( [a-z]+)? (plant|phone|battery|game|exam|move|car|song|laptop|trip|flight|team|match|show|series|project|deadline|shift|job interview)\b",
    r"{LEAD}i (was |am )?(only |just )?(mean|meant|talking about|speaking of) (moving|leaving) (to|the|my)\b",
    r"{LEAD}i never said that\b",
    r"{LEAD}(what are you (talking|on) about|why would you (think|say|ask) (that|this)|where did (that|this) come from|calm down|chill|relax) ",
];

/// Who says so was not got wrong.
const STILL_DARK: &[&str] = &[
    r" (but|anymore|scared|afraid|pain|tired|can not|pills?|bridge|knife|alone|hurts?|lonely|crying)\b",
    r" (not ok|not okay|dying inside|exist|disappear|nobody|not see|give up|funeral|goodbye|serious|hell|shit|my last|suicide|my life|like everything|(said|that) i (was|am) (ok|okay|fine)|forever|world|is impossible|other side|i put on|told myself|broke me|to them|my kids|qq how|too much)\b",
];

const WHOM_TO_CALL: &[&str] = &[
    r" (what|which|who|whom|where)( [a-z]+){0,4} (call|text|phone|ring|reach|contact)\b[^.]* qq",
    r" (what|which)( [a-z]+){0,2} (numbers?|lines?|helplines?|hotlines?)\b",
    r" (numbers?|lines?)( [a-z]+){0,3} (do|does) not (work|exist) (here|in)\b",
    r" i (am|live) (not )?in [a-z]+( [a-z]+)? (what|which|who|is there|are there)\b",
];

const BY_ONESELF: &[&str] = &[
    r" (nobody|noone|not (have )?(anyone|anybody)|no friends?|no family|alone|by myself|on my own|lonely)\b",
    r" i (really |just )?(can not|could not|do not want to|will not|would not|am not going to|do not dare to|do not dare) (call|phone|talk|speak|reach|tell|ring|text|do that)\b",
    r" (scared|afraid|ashamed|embarrassed|shy) (to|of) (call|talk|tell|phon|text|ask|speak)[a-z]*\b",
    r" (they|he|she|it|that|line|lines|number|numbers|hotlines?|helplines?|therapists?|friends?|mum|mom|dad|parents|family) (do|does|did|will|would) not (pick up|answer|reply|respond|help|work|care|come|listen|believe me|understand)\b",
    r" i (tried|called) (that|it|those|already|once|before)\b",
    r" (hotlines?|helplines?|lines?|therapy|therapists?|they) never (helps?|helped|works?|worked|picks? up|answers?)\b",
    r" (hung up on me|line is busy|rang out|kept me on hold|put me on hold)\b",
];

const NOT_ALONE: &[&str] = &[r" not (really )?alone\b", r" leave me alone\b"];

const WITH_OTHERS: &[&str] = &[
    r" {WHO}( [a-z]+){0,1} (is|are) (already |now |just |still |right )*(here|coming|with me|beside me|next to me|on (the|her|his|their) way|home|awake|sleeping|in the (next|other) room|asleep)\b",
    r" {WHO} (here|coming over|on (the|her|his|their) way)\b",
    r" {WHO}( [a-z]+){0,5} (come|coming|comes|drive|drives|driving) (over|here|by|round|around|to me|home|to get me|and get me)\b",
    r" i (have |just |already |finally )*(called|texted|messaged|rang|phoned|spoke|talked|reached|dialled|dialed)\b",
    r" i (have |just |already |finally )*told (my|him|her|them|a|the|someone|somebody)\b",
    r" i (am|will|am going to) (be )?(call|calling|text|texting|phone|phoning|ring|ringing|tell|telling|talk to|talking to|chatting with|go to|going to|walk to|at|with|in) (my |the |a |an )?({WHO}|them|him|her|988|911|112|999|helpline|hotline|hospital|er|emergency room)\b",
    r" ill (call|text|tell|ring|phone|ask) ",
    r" (i am |still )(on (the phone|hold) with|not alone)\b",
    r"^ \. (ok |okay |yes )?(i am )?(on hold|on the phone|calling now|calling them|calling)\b",
    r" (they|he|she|somebody|someone) (picked up|answered)\b",
];

/// And so is not in good company.
const NOT_WITH_OTHERS: &[&str] = &[
    r" (not (coming|come|here|home|answer|pick|awake|reply|care|help|believe|listen|understand)|never|nobody|used to|kill|killed|hit|hits|hurts?|beats?|gun|knife|pills?|drunk|scared|laughed|hung up|rang out|voices|after me|for me)\b",
    r" (goodbye|bye|sorry|love you|not let|hide|hiding|mad|angry|shout[a-z]*|yell(ed|s|ing)?|slap(ped|s)?|upstairs|get me|in heaven|grave|no answer|useless|made it worse|busy|working|dramatic|pray|lock me|the reason|do it|doing it|not know|thinks|pretend|not want|lonely|dying|end me|is scary|but)\b",
    // Who says no more than this may be afraid of them.
    r"^ \. (he|they) (is|are) (here|home|coming|with me|in the (next|other) room)( now)? \. $",
    r"^ \. my (husband|boyfriend|partner|ex|bf|dad|father|stepdad) is (coming )?home( now)? \. $",
];

/// Nothing else stands beside it: the words begin and end with a full stop.
const NO: &[&str] = &[r"^ \. ((lol|sorry|qq|man|oh|ok|um) (\. )?)*{NONE} (\. )?(({NONE}|lol|sorry|qq|man) (\. )?)*$"];

#[cfg(test)]
mod tests {
    use super::{Told, told};

    #[test]
    fn what_is_told_after_the_written_answer_is_told_apart() {
        for (meant, texts) in [
            (
                Told::Unsafe,
                "no im not safe|not really, i have the pills here|im on the bridge|i did it|i took them|idk if im safe|im bleeding|i have a knife here|\
                 took them all|took all of them|i already took some|i jumped|ive got my dads gun|im at the train tracks|rope is ready|not safe",
            ),
            (
                Told::Wrong,
                "no i mean moving to texas|no i meant the game|you got me wrong lol|im not suicidal lol|its from a song|its a taylor swift song|\
                 those are lyrics|i don't want to die, its just a saying|no thats not what i meant|omg no im just kidding|chill",
            ),
            (Told::Lines, "what number do i call in germany?|who would i call?|those numbers dont work here"),
            (
                Told::Alone,
                "theres nobody|i cant call anyone|they dont pick up|hotlines never help|im all alone here|i called, they hung up on me|im scared to call",
            ),
            (
                Told::Company,
                "my sister said she might come over|mum is in the next room|i called my brother|im on hold|im not alone, my mum is here|\
                 i called them, theyre sending someone|ok ill call her|my family is here|i told my sister",
            ),
            (Told::No, "no|not really…|idk|no lol"),
            (
                Told::Other,
                "im just so tired|whats the point|im in my car|yes|no sleep since monday|i mean it|i meant it|i dont mean anything to anyone|\
                 i dont want to die but i cant do this anymore|im not going to do it tonight|i cant calm down|its the job, i cant take it anymore|\
                 he is never coming home|im not suicidal. i just dont see why i bother|jk im dying inside|it was my last song|my whole life is a misunderstanding|\
                 i dont want to die its just too much|hes coming upstairs|i told my dad and he slapped me|i texted everyone goodbye|he is here|lol|?|sorry|he told me to relax and hit me|dad is coming home drunk|i told you already|leave me alone|i dont care|",
            ),
        ] {
            for text in texts.split('|') {
                assert_eq!(told(text, true), meant, "{text}");
            }
        }
        assert_eq!(told("i got the job, i did it!!", false), Told::Other, "long after it");
    }
}
