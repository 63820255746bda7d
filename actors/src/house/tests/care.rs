//! What follows words of danger: the written answers, and the talk after them.

use super::*;
use crate::ports::{Change, Store as _};
use crate::reception::FLIRT_YES;
use crate::safety::Concern;
use crate::types::{Danger, Label, Media, Profile};

const DANGER: &str = "i want to die";

/// The time of all turns, and of the written answer, made so many hours older.
async fn hours_pass(world: &World, chat: ChatId, hours: i64) {
    let state = world.store.claim(BOT, chat, 100).await.unwrap();
    let earlier = |at_ms: i64| at_ms - hours * 3_600_000;
    let turns = state.turns.into_iter().map(|turn| Turn { at_ms: earlier(turn.at_ms), ..turn }).collect();
    let cared_at_ms = state.profile.cared_at_ms.map(earlier);
    let profile = Some(Profile { cared_at_ms, ..state.profile });
    let change = Change { reset: true, turns, profile, ..Change::default() };
    world.store.finish(BOT, chat, state.epoch, change).await.unwrap();
}

#[test]
fn who_says_it_again_reads_other_words() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        for words in [DANGER, "hm", "i really want to kill myself"] {
            world.talk(ANN, words).await;
        }
        assert_eq!(world.read(ANN), [safety.answer.clone(), safety.next.safe, safety.answer_again]);
        world.talk(BEN, DANGER).await;
        assert_eq!(world.read(BEN), [safety.answer], "another person has not read it");
    });
}

#[test]
fn after_hours_and_after_a_new_start_it_is_said_in_full() {
    in_virtual_time(|| async {
        let safety = Safety::default();
        let world = World::open();
        world.talk(ANN, DANGER).await;
        world.commands(ANN, "reset");
        pass_s(3).await;
        world.talk(ANN, DANGER).await;
        assert_eq!(world.read(ANN).last(), Some(&safety.answer));
        for (hours, said) in [(1, safety.answer_again), (7, safety.answer)] {
            let mut world = World::open();
            world.talk(ANN, DANGER).await;
            world.close().await.unwrap();
            hours_pass(&world, ANN, hours).await;
            world.start(|_| {});
            world.talk(ANN, DANGER).await;
            assert_eq!(world.read(ANN).last(), Some(&said), "{hours} hours later");
        }
    });
}

#[test]
fn who_worries_about_someone_reads_what_helps_them() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        world.talk(ANN, "my sister wants to kill herself").await;
        world.talk(ANN, DANGER).await;
        assert_eq!(world.read(ANN), [safety.answer_other, safety.answer], "their own danger is another matter");
        world.talk(BEN, "my brother killed himself last year").await;
        assert_eq!(world.read(BEN).len(), 1);
        assert!(world.read(BEN)[0].starts_with("re: "), "the friend himself comforts");
    });
}

#[test]
fn after_words_of_danger_nobody_jokes_or_flirts() {
    in_virtual_time(|| async {
        let world = World::trusting(|_| {});
        world.presses(ANN, FLIRT_YES);
        pass_s(3).await;
        world.talk(ANN, "such joy").await;
        world.talk(ANN, DANGER).await;
        let mood = world.store.profile(ANN).await.mood.unwrap();
        assert!(mood.scores.get(Label::Sadness) > 0.9, "{mood:?}");
        for _ in 0..4 {
            world.talk(ANN, "haha thanks, joy").await;
        }
        assert_eq!(world.modes(ANN), ["FLIRT", "FIX", "FIX", "FIX", "WARM"]);
    });
}

#[test]
fn nobody_is_flirted_with_after_danger_though_its_turns_are_gone() {
    for event in [Some("reset"), Some("start"), None] {
        in_virtual_time(|| async {
            let mut world = World::with(|config| config.conversation.history_turns = 6);
            world.presses(ANN, FLIRT_YES);
            pass_s(3).await;
            world.talk(ANN, DANGER).await;
            match event {
                Some(command) => world.commands(ANN, command),
                None => {
                    for _ in 0..5 {
                        world.talk(ANN, "haha thanks, joy").await;
                    }
                }
            }
            pass_s(3).await;
            world.talk(ANN, "such joy").await;
            assert_eq!(world.modes(ANN).last().map(String::as_str), Some("WARM"), "{event:?}");
            world.close().await.unwrap();
            hours_pass(&world, ANN, 7).await;
            world.start(|_| {});
            world.talk(ANN, "such joy").await;
            assert_eq!(world.modes(ANN).last().map(String::as_str), Some("FLIRT"), "another day: {event:?}");
        });
    }
}

#[test]
fn bare_thanks_for_the_written_answer_are_not_left_to_the_model() {
    in_virtual_time(|| async {
        let (world, safety) = (World::trusting(|_| {}), Safety::default());
        world.talk(ANN, "ok thanks").await;
        world.talk(ANN, DANGER).await;
        world.talk(ANN, "haha ok thanks").await;
        world.commands(ANN, "why");
        pass_s(3).await;
        world.talk(ANN, "ok").await;
        let said = ["re: ok thanks", &safety.answer, &safety.answer_thanks, &texts().why_written, "re: ok"];
        assert_eq!(world.read(ANN), said, "only right after it, and once");
        world.talk(ANN, "such joy").await;
        world.talk(ANN, "such joy again").await;
        assert_eq!(world.modes(ANN)[1..], ["FIX", "FIX", "FIX"], "what the model says after it, the thanks aside");
        assert_eq!(world.turns(ANN)[4..6], [person("haha ok thanks"), friend(&safety.answer_thanks)]);
        world.talk(BEN, DANGER).await;
        world.talk(BEN, "ok thanks, but nobody answers there").await;
        assert_eq!(world.read(BEN), [safety.answer, "re: ok thanks, but nobody answers there".to_owned()]);
    });
}

#[test]
fn why_tells_of_the_written_answer_and_of_what_still_counts() {
    in_virtual_time(|| async {
        let world = World::trusting(|_| {});
        world.talk(ANN, DANGER).await;
        world.commands(ANN, "why");
        pass_s(3).await;
        assert_eq!(world.read(ANN).last(), Some(&texts().why_written));
        world.talk(ANN, "thanks, such joy").await;
        world.commands(ANN, "why");
        pass_s(3).await;
        let why = world.read(ANN).pop().unwrap();
        assert!(why.contains("What you told me before") && why.contains("FIX") && !why.contains('%'), "{why}");
    });
}

#[test]
fn the_model_knows_of_danger_told_in_an_edit_or_behind_a_command() {
    let command = Event::Command { name: "remember".to_owned(), args: DANGER.to_owned() };
    for event in [Event::Edited { text: DANGER.to_owned() }, command] {
        in_virtual_time(|| async {
            let world = World::trusting(|_| {});
            world.does(ANN, event);
            pass_s(5).await;
            world.talk(ANN, "he never answers").await;
            let prompt = world.engine.requests()[0].prompt.text();
            assert!(prompt.contains(DANGER) && prompt.contains("988"), "{prompt}");
            assert_eq!(world.modes(ANN), ["FIX"]);
        });
    }
}

#[test]
fn who_asks_for_a_bot_beside_something_sad_reads_the_truth_and_an_answer() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "my mum died. are you even real?").await;
        let said = format!("{} re: my mum died.", texts().honest_first);
        assert_eq!(world.read(ANN), std::slice::from_ref(&said));
        assert_eq!(world.turns(ANN), [person("my mum died. are you even real?"), friend(&said)]);
        assert!(world.engine.requests()[0].prompt.text().ends_with("Person: my mum died.\nYou:"));
    });
}

/// What only the classifier hears.
const HINT: &str = "it will all be quiet soon";
const HEARD: Danger = Danger { themselves: 0.7, someone_else: 0.1 };

#[test]
fn veiled_words_are_answered_with_care_and_in_a_talk_never_twice_with_the_same() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        world.scorer.hears(HINT, HEARD);
        for _ in 0..5 {
            world.talk(ANN, HINT).await;
        }
        let listens = || format!("re: {HINT}");
        let said = [safety.answer.clone(), safety.answer_again, safety.next.safe, listens(), listens()];
        assert_eq!(world.read(ANN), said, "it may be mistaken: one question, and then the friend listens");
        assert_eq!(world.modes(ANN), ["FIX", "FIX"]);
        assert_eq!(world.turns(ANN)[..2], [person(HINT), friend(&safety.answer)]);
    });
}

#[test]
fn veiled_words_of_someone_else_are_told_from_ones_own() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        world.scorer.hears(HINT, Danger { themselves: 0.2, someone_else: 0.6 });
        world.talk(ANN, &format!("my brother says {HINT}")).await;
        world.scorer.broken(true);
        world.talk(BEN, HINT).await;
        assert_eq!(world.read(ANN), [safety.answer_other]);
        assert_eq!(world.read(BEN), [format!("re: {HINT}")], "who is not heard is answered");
    });
}

#[test]
fn veiled_words_are_heard_wherever_they_stand() {
    let text = |text: &str| Event::Text { text: text.to_owned() };
    let command = |name: &str, args: &str| Event::Command { name: name.to_owned(), args: args.to_owned() };
    let photo = Event::Media { media: Media::Photo, caption: Some(HINT.to_owned()), album: None };
    for events in [
        vec![text(HINT), command("stop", "")],
        vec![text(HINT), command("reset", "")],
        vec![text("hi"), text(HINT), text("what a day")],
        vec![text(&format!("{HINT}. are you a bot?"))],
        vec![command("remember", HINT)],
        vec![Event::Edited { text: HINT.to_owned() }],
        vec![photo],
    ] {
        in_virtual_time(|| async {
            let world = World::open();
            // In so many words more it would not be heard.
            world.scorer.hears(HINT, HEARD);
            world.scorer.hears_only_short(HINT.len() + 20);
            events.iter().for_each(|event| world.does(ANN, event.clone()));
            pass_s(10).await;
            assert_eq!(world.read(ANN)[0], Safety::default().answer, "{events:?}");
            assert!(world.engine.requests().is_empty(), "{events:?}");
        });
    }
}

#[test]
fn how_sure_the_classifier_must_be_is_the_operators_choice() {
    let heard = |safety: Safety, themselves, someone_else| safety.heard(Some(Danger { themselves, someone_else }));
    assert_eq!(heard(Safety::default(), 0.3, 0.3), Some(Concern::Themselves), "that it is anybody counts");
    assert_eq!(heard(Safety::default(), 0.2, 0.3), None);
    assert_eq!(heard(Safety::default(), 0.2, 0.4), Some(Concern::SomeoneElse));
    for safety in [Safety { danger_above: 1.0, ..Safety::default() }, Safety { enabled: false, ..Safety::default() }] {
        assert_eq!(heard(safety, 0.9, 0.1), None);
    }
    assert_eq!(Safety::default().heard(None), None, "no classifier");
    let rounded = Danger { themselves: 0.6, someone_else: 0.400_000_04 };
    assert_eq!(rounded.total(), 1.0);
}
