//! What is heard in messages. The sentences lie in `sentences.txt`.
//!
//! Before the rules were tuned to them, too, they found 50 of 82 messages of a set that speak of danger (61%), and took 3 of 100
//! harmless look-alikes for it. One person wrote both, so this shows a direction only. What they miss by design:
//! - hints without a plain word: "I want out", "it's too late for me", "there's no way out of this except one";
//! - means or places alone: "I have a rope in my closet", "I'm on the roof of my building. one step";
//! - farewells that could be anybody's: "Take care of yourself. I won't be here tomorrow";
//! - a key word misspelt as another word ("i want to dei"), and every language but English.
//!
//! All of these would take many harmless messages with them. They are left to the classifier: tests/onnx.rs says how much it hears.

use super::*;

#[test]
fn every_sentence_is_taken_for_what_it_says() {
    let safety = Safety::default();
    let lines = include_str!("sentences.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut counts = [0; 3];
    for line in lines {
        let (who, text) = line.split_once(" | ").expect("who | sentence");
        let (kind, meant) = match who {
            "themselves" => (0, Some(Concern::Themselves)),
            "someone else" => (1, Some(Concern::SomeoneElse)),
            "nobody" => (2, None),
            other => panic!("{other}"),
        };
        counts[kind] += 1;
        assert_eq!(safety.concern(text), meant, "{text}");
    }
    assert!(counts[0] >= 60 && counts[1] >= 12 && counts[2] >= 60, "the file was read: {counts:?}");
}

#[test]
fn own_danger_is_heard_beside_what_is_said_of_others() {
    let safety = Safety::default();
    for text in [
        "my sister killed herself and now i want to die too",
        "my friend is suicidal and so am i, i want to kill myself",
        "i'm dying to see that film but i want to end my life",
    ] {
        assert_eq!(safety.concern(text), Some(Concern::Themselves), "{text}");
    }
}

#[test]
fn danger_behind_many_words_is_heard() {
    let safety = Safety::default();
    for piece in ["i want to ", "not really even just ", "my friend said he ", "a", "😂 ", "are you a real "] {
        let text = piece.repeat(4096 / piece.len());
        assert!(!safety.concerns(&text), "{piece}");
        assert!(safety.concerns(&format!("{text}. i want to die")), "{piece}");
    }
}

#[test]
fn an_answer_without_words_is_named() {
    let blank = || " ".to_owned();
    let named = |safety: Safety| safety.problems().join("\n");
    assert!(named(Safety { answer: blank(), ..Safety::default() }).contains("safety.answer is empty"));
    assert!(named(Safety { answer_again: blank(), ..Safety::default() }).contains("safety.answer_again is empty"));
    assert!(named(Safety { answer_other: blank(), ..Safety::default() }).contains("safety.answer_other is empty"));
    assert!(named(Safety { answer_thanks: blank(), ..Safety::default() }).contains("safety.answer_thanks is empty"));
    assert!(Safety { enabled: false, answer: blank(), ..Safety::default() }.problems().is_empty());
}

#[test]
fn bare_thanks_are_told_from_words_that_want_an_answer() {
    for bare in [
        "haha ok thanks",
        "ok",
        "Thank you so much for listening, Arthur.",
        "i will, thx 🙏",
        "lol jk",
        "nvm, forget i said anything",
        "I'm fine. It was just a joke",
        "👍",
        "yeah i guess",
        "😂 ok sorry",
    ] {
        assert!(is_bare_thanks(bare), "{bare}");
    }
    for more in [
        "",
        "...",
        "❤️",
        "😂",
        "hm",
        "ok?",
        "ok bye",
        "ok, но я хочу умереть",
        "yeah 我想死",
        "fine 💔",
        "ok 🔪",
        "ok i will do it",
        "thanks but i don't want to call anyone",
        "i'm not fine",
        "no thanks",
        "sure, like anyone cares",
        "i'm joking about the bridge, not the rest",
        "ok. my cat is here",
    ] {
        assert!(!is_bare_thanks(more), "{more}");
    }
}

#[test]
fn what_is_told_beside_the_question_wants_an_answer_too() {
    let beside = |text: &str| bot_question(text).expect(text).beside;
    for alone in ["are you a bot?", "hey, wait. be honest, are you a real person or what", "Ok! Are you real??"] {
        assert_eq!(beside(alone), None, "{alone}");
    }
    assert_eq!(beside("my mum died. are you even real?").as_deref(), Some("my mum died."));
    let run_on = "my mum died last night and nobody is here for me are you even real";
    assert_eq!(beside(run_on).as_deref(), Some(run_on));
}

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
        assert!(bot_question(text).is_some(), "{text}");
    }
    for text in [
        "are you a person who likes jazz?",
        "i'm building a robot at school",
        "is this a good idea?",
        "are you real madrid fan",
        "my computer is broken",
        "are you really going out tonight?",
    ] {
        assert_eq!(bot_question(text), None, "{text}");
    }
}

#[test]
fn switched_off_it_is_silent() {
    assert!(!Safety { enabled: false, ..Safety::default() }.concerns("i want to kill myself"));
}
