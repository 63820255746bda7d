//! Words that must not be left to a model: self-harm, and the sincere question whether this is a bot.
//!
//! Both are recognised by patterns, not by the classifier: they have to work with every model and every persona, and a
//! person who reads them can tell what they catch. They rather catch too much than too little.

use std::sync::LazyLock;

use regex::{Regex, RegexSet, RegexSetBuilder};

/// The operator's care settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// Whether messages are looked at for self-harm. Switch it off only where something better stands in front.
    pub enabled: bool,
    /// Sent as it is written, without mode or model. Name the helplines of your people's countries.
    pub answer: String,
    /// Further regular expressions, for other languages.
    pub patterns: Patterns,
}

/// An operator's regular expressions (Rust syntax, case ignored), compiled once.
#[derive(Clone, Debug)]
pub struct Patterns {
    written: Vec<String>,
    compiled: Result<RegexSet, regex::Error>,
}

impl From<Vec<String>> for Patterns {
    fn from(written: Vec<String>) -> Self {
        // They meet messages whose apostrophes were straightened.
        let straight = written.iter().map(|pattern| straight(pattern));
        let compiled = RegexSetBuilder::new(straight).case_insensitive(true).size_limit(1 << 20).build();
        Self { written, compiled }
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self { written: Vec::new(), compiled: Ok(RegexSet::empty()) }
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Patterns {}

impl Default for Safety {
    fn default() -> Self {
        Self {
            enabled: true,
            answer:
                "I'm really glad you told me, and I don't want you to be alone with this. I'm a bot, so please also \
                     talk to a person now: findahelpline.com lists helplines in every country, and 112 or 911 helps in \
                     an emergency. I'm still here. Do you want to tell me what happened?"
                    .into(),
            patterns: Patterns::default(),
        }
    }
}

impl Safety {
    /// Whether a message speaks of harming oneself.
    pub fn concerns(&self, text: &str) -> bool {
        if !self.enabled {
            return false;
        }
        let text = HARMLESS.replace_all(&plain(text), " ").into_owned();
        SELF_HARM.is_match(&text) || self.patterns.compiled.as_ref().is_ok_and(|own| own.is_match(&text))
    }

    /// What is wrong with the settings, if anything.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.enabled && self.answer.trim().is_empty() {
            problems.push("safety.answer is empty: write what to say, or set safety.enabled = false".to_owned());
        }
        if let Err(error) = &self.patterns.compiled {
            problems.push(format!("safety.patterns: {error}"));
        }
        problems
    }
}

/// Whether a message sincerely asks if it is talking to a machine.
pub fn asks_if_bot(text: &str) -> bool {
    BOT_QUESTION.is_match(&plain(text))
}

/// Lower case, straight apostrophes, single spaces: what people type on phones, made comparable.
fn plain(text: &str) -> String {
    let lower = straight(&text.to_lowercase());
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// With straight apostrophes.
fn straight(text: &str) -> String {
    text.replace(['’', '‘', '`'], "'")
}

#[expect(clippy::expect_used, reason = "constant patterns, compiled by a test")]
fn set(patterns: &[&str]) -> RegexSet {
    RegexSet::new(patterns).expect("constant patterns compile")
}

/// Phrases with the same words that mean something else.
static HARMLESS: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant pattern, compiled by a test")]
    Regex::new(r"suicide squad|suicide squeeze|suicide doors?|dying to (see|meet|know|hear|try|go|tell)|cut myself (shaving|cooking|some slack|off)|kill myself laughing|killed myself laughing|(die|dying|died) (laughing|of laughter|of boredom|of embarrassment)")
        .expect("constant pattern compiles")
});

static SELF_HARM: LazyLock<RegexSet> = LazyLock::new(|| {
    set(&[
        r"\b(kill|killing|hurt|hurting|harm|harming|cut|cutting|hang|hanging|shoot|drown|burn|burning|starve|starving) (my ?self|me self)\b",
        r"\bkms\b",
        r"\b(i'?m|i am|feel|feeling|been|so|having|get|got) suicidal\b|\bsuicidal (thoughts?|ideation|feelings?)\b",
        r"\b(commit|committing|attempt|attempted|about|of|contemplat\w+|consider\w*) suicide\b|^suicide\W*$",
        r"\b(end|ending) (my|this) (own )?life\b|\bend it all\b|\btak(e|ing) my (own )?life\b",
        r"\b(want|wanna|wants|wanted|going|gonna|ready|rather|wish i could|hope i) (to )?(just )?die\b",
        r"\b(wish|hope|hoping|pray|praying) (that )?i (just )?(wouldn'?t|didn'?t( have to)?|don'?t( have to)?|won'?t|could not|couldn'?t|never|not) (ever )?(wake|woke) up\b|\bnever wak(e|ing) up( again)?\b|\bgo(ing)? to sleep and (not|never) wake up\b",
        r"\bwish (that )?i (was|were|wasn't|weren't) (dead|alive|born|never born|here anymore)\b|\bwish i (had never been|was never|were never) born\b|\bwant to be dead\b",
        r"\bbetter off (dead|if i (was|were) (dead|gone)|without me)\b",
        r"\b(no|any) (reason|point) (to|in) (live|living|being alive|stay alive|staying alive)\b",
        r"\b(don'?t|do not|dont) (want|wanna) (to )?(live|be alive|exist|wake up|be here)( any ?more| anymore)?\b",
        r"\bcan'?t go on (living|like this any ?more|any ?more)\b|\bnot (worth|want) living\b|\blife (is not|isn'?t) worth (it|living)\b",
        r"\bself[- ]?harm(ing|ed)?\b|\bslit(ting)? my wrists?\b|\bjump(ing)? off (a|the) (bridge|roof|building)\b",
        r"\boverdos(e|ing)\b.*\b(pills?|myself|want|going|tonight)\b|\btake all (my|the|these) pills\b",
    ])
});

static BOT_QUESTION: LazyLock<RegexSet> = LazyLock::new(|| {
    const MACHINE: &str = r"(bot|chat ?bot|robot|ai|a\.i\.?|artificial intelligence|machine|computer|program|language model|chat ?gpt|gpt|llm)";
    const PERSON: &str =
        r"(human|human being|real|real person|real human|person|actual person|real guy|real boy|real man|alive)";
    const REALLY: &str = r"(really |actually |just |truly |even |some kind of |like |by any chance |maybe )*";
    const END: &str = r"( or (what|not|something|a |an |are|just|some).*| though| then| right now| irl| lol| haha| tbh| please| arthur| actually| really| here)?\W*$";
    set(&[
        &format!(r"\b(are|r) (you|u|ya) {REALLY}(not )?(a |an |the )?{REALLY}{MACHINE}\b"),
        &format!(r"\b(are|r) (you|u|ya) {REALLY}(not )?(a |an )?{PERSON}{END}"),
        &format!(
            r"\b(am i|i'm|im|i am) {REALLY}(talking|speaking|chatting|texting|writing) (to|with) {REALLY}(a |an )?{REALLY}({MACHINE}|{PERSON})\b"
        ),
        &format!(r"\b(is this|is it|is that|this is) {REALLY}(a |an )?{REALLY}({MACHINE}|{PERSON}){END}"),
        &format!(r"\b(you're|youre|ur|you are|u r) {REALLY}(a |an )?{MACHINE}\b[^.]*\?"),
        &format!(r"\b(you're|youre|ur|you are) (not|n't) {REALLY}(a |an )?{PERSON}{END}"),
        r"\b(do|did) (you|u) (really )?exist\b|\bare (you|u) (made|written|programmed) by (a )?(human|company|people)\b",
        &format!(r"\b(tell me|admit|be honest)\b.*\b(you|u|ur|you're) (are )?(a |an )?({MACHINE}|human|real)\b"),
    ])
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_who_may_harm_themselves_are_heard() {
        let safety = Safety::default();
        for text in [
            "i want to kill myself",
            "I don’t want to live anymore",
            "sometimes i wish i was dead",
            "everyone would be better off without me",
            "im feeling suicidal",
            "thinking about suicide again",
            "I just wanna die",
            "i've been cutting myself",
            "there is no point in living",
            "i want to end my life",
            "kms",
            "I DON'T WANT TO WAKE UP",
            "some days i wish i wouldn't wake up",
            "hope i dont wake up tomorrow",
            "i just want to go to sleep and never wake up",
            "i'm going to take all my pills tonight",
        ] {
            assert!(safety.concerns(text), "{text}");
        }
    }

    #[test]
    fn harmless_talk_is_left_to_the_friend() {
        let safety = Safety::default();
        for text in [
            "this homework is killing me",
            "have you seen suicide squad?",
            "i'm dying to see that film",
            "i cut myself shaving lol",
            "i nearly died laughing",
            "my phone died",
            "i hurt my knee",
            "i want to dye my hair",
            "my grandmother died last week",
            "i didn't wake up until noon",
        ] {
            assert!(!safety.concerns(text), "{text}");
        }
    }

    #[test]
    fn own_patterns_are_heard_and_broken_ones_are_named() {
        let own = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            Safety { patterns: patterns.into(), ..Safety::default() }
        };
        let safety = own(&["ich will nicht mehr leben", "j’ai envie de mourir"]);
        assert!(safety.concerns("Ich will nicht mehr leben."));
        for apostrophe in ["’", "'"] {
            assert!(safety.concerns(&format!("J{apostrophe}ai envie de mourir")), "{apostrophe}");
        }
        assert!(!safety.concerns("j'ai faim"));
        let broken = own(&["("]);
        assert!(broken.problems()[0].contains("safety.patterns"));
    }

    #[test]
    fn a_sincere_question_is_told_from_talk_about_machines() {
        for text in [
            "are you a bot?",
            "Are you real",
            "wait are u an AI",
            "am i talking to a real person?",
            "is this a bot",
            "r u human or what",
            "are you actually a human being?",
            "be honest, are you a robot",
            "you're a bot, aren't you?",
        ] {
            assert!(asks_if_bot(text), "{text}");
        }
        for text in [
            "are you a person who likes jazz?",
            "i'm building a robot at school",
            "is this a good idea?",
            "are you real madrid fan",
            "my computer is broken",
            "are you really going out tonight?",
        ] {
            assert!(!asks_if_bot(text), "{text}");
        }
    }

    #[test]
    fn switched_off_it_is_silent() {
        assert!(!Safety { enabled: false, ..Safety::default() }.concerns("i want to kill myself"));
    }
}
