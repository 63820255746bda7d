//! The sincere question whether this is a bot, told from talk about machines, and from what else was said beside it.

use std::sync::LazyLock;

use regex::Regex;

use super::rules::{any, take_out};
use super::words::words;

/// A sincere question whether this is a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotQuestion {
    /// What was said beside it and wants an answer of its own; the question is left out where it is a sentence by itself.
    pub beside: Option<String>,
}

/// More words than this beside the question want an answer, too: fewer are "hey wait, be honest".
const FEW_WORDS: usize = 6;

/// A sentence of so many words that tells of oneself wants one: "my mum died. are you even real?"
const TELLING: usize = 3;

/// The question whether it is talking to a machine, where a message sincerely asks it.
pub fn bot_question(text: &str) -> Option<BotQuestion> {
    let left = left_by_question(text)?;
    let sentences = text.split_inclusive(['.', '!', '?', '…', '\n']);
    let others: String = sentences.filter(|sentence| left_by_question(sentence).is_none()).collect();
    let told = words(&others, true);
    let tells = ["i", "my", "we", "our"].iter().any(|own| told.split(' ').any(|word| word == *own));
    let beside = if tells && count(&told) >= TELLING || count(&told) > FEW_WORDS {
        Some(others.trim().to_owned())
    } else {
        (left > FEW_WORDS).then(|| text.trim().to_owned())
    };
    Some(BotQuestion { beside })
}

/// The number of words that stand beside the question; none where it is not asked.
fn left_by_question(text: &str) -> Option<usize> {
    let mut words = words(&text.replace("A.I.", "AI").replace("a.i.", "ai"), true);
    take_out(&mut words, &NOT_ASKED);
    take_out(&mut words, &ASKED).then(|| count(&words))
}

fn count(words: &str) -> usize {
    words.split_whitespace().filter(|word| !matches!(*word, "." | "~" | "qq")).count()
}

pub(super) fn prepare() {
    LazyLock::force(&ASKED);
    LazyLock::force(&NOT_ASKED);
}

static ASKED: LazyLock<Regex> = LazyLock::new(|| any(ASKS, PARTS));
static NOT_ASKED: LazyLock<Regex> = LazyLock::new(|| any(OTHER_TALK, PARTS));

/// As [`super::danger`] is written, the end of a word a space; `qq` is a question mark.
const ASKS: &[&str] = &[
    r" are you{X} {M}{END}",
    r" are you{X} {H}{END}",
    r" am i{X} (talking|speaking|chatting|texting|writing) (to|with){X} ({M}|{H}) ",
    r" i am{X} (talking|speaking|chatting|texting|writing) (to|with){X} ({M}|{H})( \.)?( right| am i| is not it)?( \.)* qq ",
    r" (feel|feels|seems|think|thought|sounds)( like| as if)? i am (talking|speaking|chatting|texting) (to|with){X} {M} ",
    r" (is|was) (this|it|that){X} ({M}|real person|person|human|real human|human being|automated|scripted|ai generated)( response| reply| message| answer| account| chat| conversation)?{END}",
    r" (you are|you must be){X} {M}( generated| model)?( \.)?( right| no| huh| are you( not)?| are not you| correct| is it| is not it| or)+( \.)* (qq|\.) ",
    r" (you are|you must be){X} {M} qq ",
    r" (you are )?not{X} {H}( \.)?( right| are you| huh)+( \.)? (qq|\.) ",
    r" (i think|i bet|i am sure|i know|i guess|pretty sure|convinced|i feel like)( that)? you are{X} {M}( \.| lol| tbh| and| but)",
    r" you (sound|talk|write|seem|reply|answer|type)( [a-z]+)? like{X} {M} ",
    r" you are{X} (ai generated|automated)",
    r" \.( so| wait| hey| but| hi| hello| ok){0,2} you{X} ({M}|{H}) qq ",
    r" \.( so| wait| hey| but){0,2}( a| an)? ({M}|human|real person|real)( or( a| an)?( real)? ({M}|{H}|what|not)) ",
    r" \.( a| an)? ({M}|human|real person) qq ",
    r" (is|are) (there|anyone|someone|somebody|anybody)( [a-z]+){0,5} (behind (this|it|these|you|the)|on the other (side|end)|typing (this|these|here|to me|qq)|reading (this|these|my)|writing (this|these|back)) ",
    r" who is( really| actually)? (typing|writing to me|writing this|behind this|on the other) ",
    r" (is|are) (this|these|it|your)( [a-z]+)? (automated|auto replies|ai generated|scripted|written by( an?| a)? {M}) ",
    r" are these automated ",
    r" did( a| an| some)?( real)? (human|person|someone) (write|type|program|make|create|code) (this|that|these|it|you) ",
    r" who( has)? (made|created|programmed|built|coded|developed|trained) you (qq|\.)",
    r" (what|which)( ai| language)? model (are you|is this) ",
    r" do you{X} exist( irl| in real life)? (qq|\.)",
    r" do you have a( real| physical| human)? body ",
    r" (were|are) you( [a-z]+)? (made|written|programmed|trained|coded|automated|scripted) (by|to|on|in|qq|\.)",
    r" \.( so| wait| but){0,2} what are you( \.| really| exactly)* qq ",
    r" (tell me|admit|be honest|honestly|truth)( [a-z.]+){0,5} (are you|you are|if you are){X} ({M}|human|real|person) ",
    r" are (you not|not you){X} {M} ",
    r" this is{X} ({M}|automated)( \.)?( right| is not it| no)+ ",
    r" (wonder|wondering|question|ask)( [a-z]+){0,2} if you are{X} ({M}|{H}) ",
    r" did (someone|somebody|anyone|people) (program|build|make|create) you ",
    r" flesh and blood (or|qq)",
    r" (prove|swear|promise|believe|know|tell|sure)( me| that| if)* you are{X} ({M}|{H}) ",
    r" (fast|good|perfect|kind|nice) to be{X} human ",
    r" talking to{X} {M} (all along|this whole time|the whole time)",
    r" (person|human) or{X} {M} ",
    r" (real|human) or (fake|ai|bot) ",
    r" do (real|actual) (people|humans) (read|write|answer)",
    r" (answers|replies|messages)( [a-z]+)? (automated|scripted|generated) ",
    r" (what|which) (llm|ai|chatbot) (are you|is this) ",
    r" did (openai|google|meta|anthropic) (make|build|create|train) you ",
    r" whether you are{X} ({M}|{H}) ",
];

/// People and things that are named after machines.
const OTHER_TALK: &[&str] = &[
    r" (bot|robot|robotics|ai|machine|computer|program|software) (researcher|engineer|developer|dev|fan|expert|guy|girl|user|student|artist|nerd|person|science|scientist|wash|learning|club|manager|designer)",
];

/// What the phrases' `{NAME}` stand for.
const PARTS: &[(&str, &str)] = &[
    // A machine.
    (
        "{M}",
        r"(bot|chat ?bot|robot|ai|a i|llm|chat ?gpt|gpt|language model|artificial intelligence|machine|computer|computer program|program|software|algorithm|script|code|gpt ?4o?|gpt ?5|claude|gemini|fake|artificial)",
    ),
    // A person.
    (
        "{H}",
        r"(human|human being|real|real one|real person|real human|person|actual person|actual human|real guy|real man|real boy|real woman|sentient|conscious|self aware|alive)",
    ),
    // Words that change nothing.
    (
        "{X}",
        r"( a| an| the| really| actually| just| truly| even| like| maybe| secretly| not| some kind of| some sort of| by any chance| only| honestly| basically| actual| real| literally| all this time| for real)*",
    ),
    // The end of the question.
    (
        "{END}",
        r"( or( a| an| the| just| some| actual| real| is it| are you| am i)*( what| not| something| {M}| {H}| no)| is not it| though| then| right| now| irl| lol| haha| tbh| please| arthur| actually| really| here| man| bro| dude| model| assistant)*( \.)* (qq|\.) ",
    ),
];
