//! What comes while an answer is written or waits: danger, consent taken back, a start anew, /stop behind more words.

use friend_gguf::request::SubmitError;

use super::*;
use crate::fakes::engine::Play;
use crate::reception::{FLIRT_NO, FLIRT_YES, FORGET_YES};

const STORY: &str = "once upon a time there was a very long story";

/// A house where new words cancel no answer, and an engine that takes none for minutes.
fn overloaded(change: impl FnOnce(&mut HouseConfig)) -> World {
    let world = World::trusting(|config| {
        config.conversation.max_cancels = 0;
        change(config);
    });
    let full = SubmitError::Overloaded { queued: 256, wait: Duration::from_secs(10) };
    world.engine.play(vec![Play::Refuse(full); 30]);
    world
}

fn care() -> String {
    Safety::default().answer
}

#[test]
fn danger_is_answered_at_once_while_an_answer_waits_for_the_engine() {
    in_virtual_time(|| async {
        for words in [&["i want to die"][..], &["i want to", "die"], &["listen", "i want to die", "ok?"]] {
            let world = overloaded(|_| {});
            world.says(ANN, "hi");
            pass_s(5).await;
            words.iter().for_each(|words| world.says(ANN, words));
            pass_s(3).await;
            assert_eq!(world.read(ANN)[1..], [care()], "after word of the wait");
            assert_eq!(world.turns(ANN), [person(&["hi", &words.join("\n")].join("\n")), friend(&care())]);
            pass_s(400).await;
            assert_eq!((world.read(ANN).len(), world.store.unanswered()), (2, 0));
        }
    });
}

#[test]
fn danger_is_answered_at_once_while_an_answer_is_written() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.max_cancels = 0);
        world.engine.pace(Duration::from_secs(20));
        world.says(ANN, "hi you");
        pass_s(5).await;
        world.says(ANN, "i want to die");
        pass_s(3).await;
        assert_eq!(world.read(ANN), [care()]);
        assert_eq!(world.engine.requests().len(), 1);
    });
}

#[test]
fn danger_told_elsewhere_is_answered_first_and_the_words_before_it_wait_on() {
    let command = Event::Command { name: "remember".to_owned(), args: "i want to die".to_owned() };
    let text = |text: &str| Event::Text { text: text.to_owned() };
    let elsewhere =
        [(None, Event::Edited { text: "i want to die".to_owned() }), (None, command), (Some(9), text("i want to die"))];
    for (topic, event) in elsewhere {
        in_virtual_time(|| async {
            let world = overloaded(|_| {});
            world.says(ANN, "hi");
            pass_s(5).await;
            world.does(ANN, Event::Command { name: "why".to_owned(), args: String::new() });
            world.does_in(topic, ANN, event);
            pass_s(3).await;
            assert_eq!(world.read(ANN)[1..], [care()]);
            assert_eq!(world.store.unanswered(), 2, "the words before it and the command");
            pass_s(400).await;
            let answer = "re: hi".to_owned();
            assert_eq!(world.read(ANN)[2..3], [answer], "and the wait is told once");
            assert_eq!(world.store.unanswered(), 0);
        });
    }
}

#[test]
fn danger_behind_a_flood_is_not_kept_waiting_by_it() {
    in_virtual_time(|| async {
        let world = overloaded(|config| config.conversation.inbox_rows = 2);
        for words in ["a", "b", "c", "i want to die"] {
            world.says(ANN, words);
        }
        pass_s(5).await;
        assert_eq!((world.read(ANN), world.store.unanswered()), (vec![care()], 0));
    });
}

#[test]
fn who_takes_consent_back_reads_no_flirting_answer() {
    let refusal = || Event::Button { callback_id: "pressed".to_owned(), data: FLIRT_NO.to_owned() };
    let command = || Event::Command { name: "flirt".to_owned(), args: String::new() };
    for (withdrawal, after) in [(refusal(), 0), (command(), 0), (refusal(), 3000), (command(), 3000)] {
        in_virtual_time(|| async {
            let world = World::with(|config| config.conversation.max_cancels = 0);
            world.engine.pace(ms(1000));
            world.presses(ANN, FLIRT_YES);
            pass_s(3).await;
            world.says(ANN, "such joy");
            pass(ms(after)).await;
            world.does(ANN, withdrawal);
            pass_s(30).await;
            assert_eq!(world.modes(ANN), ["WARM"], "{after} ms after the words");
            assert_eq!(world.engine.cancelled(), usize::from(after > 0));
            assert_eq!(world.read(ANN).last(), Some(&texts().flirt_off));
        });
    }
}

#[test]
fn an_answer_in_another_mode_goes_on_when_consent_is_taken_back() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.presses(ANN, FLIRT_YES);
        pass_s(3).await;
        world.says(ANN, "what time is it");
        pass_s(3).await;
        world.presses(ANN, FLIRT_NO);
        pass_s(30).await;
        assert_eq!((world.modes(ANN), world.engine.cancelled()), (vec!["GENERAL".to_owned()], 0));
    });
}

#[test]
fn starting_over_ends_an_answer_that_fills_the_view_of_the_inbox() {
    let button = Event::Button { callback_id: "pressed".to_owned(), data: FORGET_YES.to_owned() };
    let reset = Event::Command { name: "reset".to_owned(), args: String::new() };
    for (event, said) in [(reset, Some(texts().started_over)), (button, Some(texts().forgotten)), (Event::Left, None)] {
        in_virtual_time(|| async {
            let world = World::with(|config| config.conversation.inbox_rows = 1);
            world.engine.pace(ms(1000));
            world.engine.play(vec![Play::Say(STORY.into()); 9]);
            world.says(ANN, "tell me a story");
            pass_s(3).await;
            world.does(ANN, event);
            pass_s(60).await;
            let said: Vec<_> = said.iter().map(|said| said.replace("{name}", "Arthur")).collect();
            assert_eq!(world.read(ANN), said);
            assert_eq!((world.engine.requests().len(), world.store.unanswered()), (1, 0));
            assert!(world.turns(ANN).is_empty());
        });
    }
}

#[test]
fn words_outside_the_view_of_the_inbox_do_not_begin_the_same_answer_again() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.inbox_rows = 1);
        world.engine.pace(ms(1000));
        world.says(ANN, "tell me");
        pass_s(2).await;
        world.says(ANN, "a story");
        pass_s(30).await;
        assert_eq!(world.read(ANN), ["re: tell me", "re: a story"]);
        assert_eq!(world.engine.cancelled(), 0);
    });
}

#[test]
fn stop_behind_more_words_answers_none_of_them() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.max_cancels = 0);
        world.engine.pace(ms(1000));
        world.engine.play([Play::Say(STORY.into())]);
        world.says(ANN, "tell me a story");
        pass_s(3).await;
        world.says(ANN, "a long one");
        world.commands(ANN, "stop");
        pass_s(30).await;
        assert_eq!(world.read(ANN), [texts().stopped]);
        assert_eq!(world.turns(ANN), [person("tell me a story\na long one")]);
        assert_eq!((world.engine.requests().len(), world.store.unanswered()), (1, 0));
    });
}

#[test]
fn typing_lasts_as_long_as_the_answer_waits() {
    in_virtual_time(|| async {
        let world = overloaded(|_| {});
        world.says(ANN, "hi");
        pass_s(400).await;
        assert_eq!(world.read(ANN).last(), Some(&"re: hi".to_owned()));
        let calls = world.messenger.calls();
        let signs = calls.iter().filter(|(_, call)| matches!(call, Call::Typing(ANN, _) | Call::Send(ANN, _)));
        let at: Vec<_> = signs.map(|(at, _)| *at).collect();
        assert!(at[at.len() - 1] - at[0] > Duration::from_secs(200), "longer than the three minutes of one attempt");
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] < ms(4100)), "it is shown for five seconds");
    });
}
