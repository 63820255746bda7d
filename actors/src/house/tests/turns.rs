//! A turn: bursts, news, Stop, overload, retries, previews.

use std::sync::atomic::Ordering::Relaxed;

use friend_gguf::request::{GenerateError, SubmitError};

use super::*;
use crate::conversation::said;
use crate::fakes::engine::Play;
use crate::reception::{EARLIER_TURNS, Words};

const STORY: &str = "once upon a time there was a very long story";

#[test]
fn a_burst_is_one_turn() {
    in_virtual_time(|| async {
        let world = World::open();
        for part in ["hi", "you there?", "hello"] {
            world.says(ANN, part);
            pass(ms(300)).await;
        }
        pass_s(5).await;
        assert_eq!(world.read(ANN), ["re: hi you there? hello"]);
        assert_eq!(world.turns(ANN), [person("hi\nyou there?\nhello"), friend("re: hi you there? hello")]);
    });
}

#[test]
fn a_burst_that_never_ends_is_answered_all_the_same() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.max_cancels = 0);
        for _ in 0..40 {
            world.says(ANN, "a");
            pass(ms(200)).await;
        }
        assert_eq!(world.read(ANN).len(), 1, "burst_max is 5 s of the 8 s so far");
    });
}

#[test]
fn a_new_message_during_generation_cancels_and_merges() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.says(ANN, "tell me");
        pass_s(2).await;
        world.says(ANN, "a story");
        pass_s(20).await;
        assert_eq!(world.read(ANN), ["re: tell me a story"]);
        assert_eq!(world.engine.cancelled(), 1);
        assert_eq!(world.windows.observer.counters().outdated.load(Relaxed), 1);
    });
}

#[test]
fn the_prompts_of_a_long_friendship_begin_at_the_same_turn_for_many_messages() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.history_turns = 20);
        for number in 0..40 {
            world.talk(ANN, &format!("message {number}")).await;
        }
        let prompts: Vec<_> = world.engine.requests().into_iter().map(|request| request.prompt.turns).collect();
        let changes = prompts.windows(2).filter(|pair| pair[0][0] != pair[1][0]).count();
        // Eight of twenty leave when two more come; of 80 that is six times until the last prompt.
        assert_eq!((prompts.len(), changes), (40, 6));
        assert!(prompts[12..].iter().all(|turns| (13..=21).contains(&turns.len())), "with the newest message");
    });
}

#[test]
fn a_burst_during_generation_cancels_once() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.says(ANN, "a");
        pass_s(2).await;
        for word in ["b", "c", "d"] {
            world.says(ANN, word);
            pass(ms(300)).await;
        }
        pass_s(30).await;
        assert_eq!(world.read(ANN), ["re: a b c d"]);
        assert_eq!((world.engine.cancelled(), world.engine.requests().len()), (1, 2));
    });
}

#[test]
fn after_max_cancels_the_answer_is_finished_first() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.max_cancels = 2);
        world.engine.pace(ms(1000));
        for word in ["a", "b", "c"] {
            world.says(ANN, word);
            pass_s(2).await;
        }
        world.says(ANN, "late");
        pass_s(30).await;
        assert_eq!(world.engine.cancelled(), 2);
        assert_eq!(world.read(ANN), ["re: a b c", "re: late"]);
    });
}

#[test]
fn stop_keeps_what_was_written() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.engine.play([Play::Say(STORY.into())]);
        world.says(ANN, "a story please");
        pass(ms(4600)).await;
        world.does(ANN, Event::StopGeneration);
        pass_s(10).await;
        assert_eq!(world.read(ANN), ["once upon a time"]);
        assert_eq!(world.turns(ANN), [person("a story please"), friend("once upon a time")]);
        assert_eq!((world.store.unanswered(), world.engine.cancelled()), (0, 1));
        assert_eq!(world.windows.observer.counters().stopped.load(Relaxed), 1);
    });
}

#[test]
fn stop_behind_a_flood_is_heard() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.inbox_rows = 4);
        world.engine.pace(ms(1000));
        for word in ["a", "b", "c", "d"] {
            world.says(ANN, word);
        }
        pass_s(3).await;
        world.commands(ANN, "stop");
        pass_s(10).await;
        assert_eq!(world.engine.cancelled(), 1);
        assert_eq!(world.read(ANN).len(), 1);
    });
}

#[test]
fn stop_with_nothing_to_stop_says_so() {
    in_virtual_time(|| async {
        let world = World::open();
        world.commands(ANN, "stop");
        pass_s(3).await;
        assert_eq!(world.read(ANN), [texts().nothing_to_stop]);
        assert!(world.engine.requests().is_empty());
    });
}

#[test]
fn words_then_stop_before_the_answer_are_kept_without_one() {
    in_virtual_time(|| async {
        let world = World::open();
        world.says(ANN, "tell me a story");
        world.commands(ANN, "stop");
        pass_s(5).await;
        assert_eq!(world.read(ANN), [texts().stopped]);
        assert_eq!(world.turns(ANN), [person("tell me a story")]);
        assert!(world.engine.requests().is_empty());
    });
}

#[test]
fn reset_during_generation_cancels_even_an_answer_that_words_may_not() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.max_cancels = 0);
        world.engine.pace(ms(1000));
        world.engine.play([Play::Say(STORY.into())]);
        world.says(ANN, "tell me a story");
        pass_s(3).await;
        world.commands(ANN, "reset");
        pass_s(3).await;
        assert_eq!(world.read(ANN), [texts().started_over]);
        assert_eq!((world.engine.cancelled(), world.store.unanswered()), (1, 0));
        assert!(world.turns(ANN).is_empty());
    });
}

#[test]
fn the_greeting_hides_what_was_said_before() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "my cat is called Momo").await;
        world.commands(ANN, "start");
        pass_s(3).await;
        world.talk(ANN, "hello").await;
        let last = world.engine.requests().pop().unwrap().prompt;
        assert_eq!(last.turns.len(), 1);
        assert!(!last.text().contains("Momo"));
        assert!(!world.engine.forgotten().is_empty(), "the lane is dropped too");
    });
}

#[test]
fn overload_is_told_once_and_answered_in_the_end() {
    in_virtual_time(|| async {
        let world = World::open();
        let full = Play::Refuse(SubmitError::Overloaded { queued: 256, wait: Duration::from_secs(10) });
        world.engine.play(vec![full; 5]);
        world.says(ANN, "hi");
        pass_s(15).await;
        world.says(ANN, "still there?");
        pass_s(120).await;
        let read = world.read(ANN);
        assert!(read[0].contains("10 seconds"), "{read:?}");
        assert_eq!(read[1..], ["re: hi still there?"]);
    });
}

#[test]
fn who_waits_long_for_a_slot_is_told_so_once_and_answered_in_the_end() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(70_000));
        world.engine.wait(ms(60_000));
        world.engine.play([Play::Expire(" ".into()), Play::Say("here".into())]);
        world.says(ANN, "hi");
        pass_s(19).await;
        assert_eq!(world.read(ANN), [""; 0]);
        pass_s(3).await;
        let read = world.read(ANN);
        assert!(read.len() == 1 && read[0].contains("40 seconds"), "{read:?}");
        pass_s(300).await;
        assert_eq!(world.read(ANN)[1..], ["here"], "not told again, though the second try took as long");
    });
}

#[test]
fn nobody_is_blamed_where_the_model_alone_is_slow() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(30_000));
        world.says(ANN, "hi");
        pass_s(25).await;
        assert_eq!(world.read(ANN), [texts().slow]);
        pass_s(60).await;
        assert_eq!(world.read(ANN)[1..], ["re: hi"]);
    });
}

#[test]
fn stop_is_heard_while_an_answer_waits_for_the_engine() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play(vec![Play::Refuse(SubmitError::Overloaded { queued: 9, wait: Duration::from_secs(10) }); 50]);
        world.says(ANN, "hi");
        pass_s(5).await;
        world.commands(ANN, "stop");
        pass_s(5).await;
        assert_eq!(world.read(ANN)[1..], [texts().stopped]);
        assert_eq!((world.store.unanswered(), world.turns(ANN)), (0, vec![person("hi")]));
    });
}

#[test]
fn a_message_too_long_is_shortened_until_it_fits() {
    in_virtual_time(|| async {
        let world = World::open();
        let persona = Persona::arthur();
        let rest = persona.intro.len() + persona.modes["GENERAL"].instruction.len();
        // Little of the room is the message's own: many cuts.
        world.engine.context_chars(rest + 200);
        let long = format!("{} the end", "word ".repeat(700));
        world.talk(ANN, &long).await;
        let read = world.read(ANN);
        assert!(read.len() == 1 && read[0].starts_with("re: ") && read[0].ends_with("the end"), "{read:?}");
        assert_eq!(world.turns(ANN)[0], person(&long), "all of it is remembered");
    });
}

#[test]
fn an_empty_reply_is_tried_with_another_seed() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play([Play::Say("  ".into()), Play::Fail(GenerateError::Cancelled), Play::Say("there".into())]);
        world.talk(ANN, "hi").await;
        assert_eq!(world.read(ANN), ["there"]);
        let seeds: std::collections::HashSet<u64> = world.engine.requests().iter().map(|r| r.seed).collect();
        assert_eq!(seeds.len(), 3);
    });
}

#[test]
fn an_engine_that_lost_the_request_is_asked_again() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play([Play::Vanish, Play::Refuse(SubmitError::Busy), Play::Vanish]);
        world.talk(ANN, "hi").await;
        assert_eq!(world.read(ANN), ["re: hi"]);
    });
}

#[test]
fn a_failing_model_ends_in_an_apology_and_the_row_is_settled() {
    for failure in [
        GenerateError::Backend("on purpose".into()),
        GenerateError::Expired,
        GenerateError::Invalid("on purpose".into()),
        GenerateError::PromptTooLong { needed: 100, available: 1 },
    ] {
        in_virtual_time(|| async {
            let world = World::open();
            world.engine.play(vec![Play::Fail(failure); 12]);
            world.talk(ANN, "hi").await;
            assert_eq!(world.read(ANN), [texts().failed]);
            assert_eq!(world.store.unanswered(), 0);
            assert_eq!(world.turns(ANN), [person("hi")], "the person's words stay");
            assert_eq!(world.windows.observer.counters().gave_up.load(Relaxed), 1);
        });
    }
}

#[test]
fn of_an_answer_whose_time_is_up_the_sentences_that_were_read_stay() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play([Play::Expire("I'm so glad. It was about ti".into())]);
        world.talk(ANN, "hi").await;
        assert_eq!(
            (world.read(ANN), world.turns(ANN)),
            (vec!["I'm so glad.".into()], vec![person("hi"), friend("I'm so glad.")])
        );
        world.engine.play([Play::Expire("It was about ti".into()), Play::Say("there".into())]);
        world.talk(ANN, "and?").await;
        assert_eq!(world.read(ANN).last().map(String::as_str), Some("there"), "nothing whole was read");
    });
}

#[test]
fn previews_have_an_id_and_no_blanks_around() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(700));
        world.engine.play([Play::Say(format!("  {STORY}"))]);
        world.talk(ANN, "hi").await;
        world.talk(ChatId(-5), "hi all").await;
        let calls = world.messenger.calls();
        let drafts = calls
            .iter()
            .filter_map(|(_, call)| if let Call::Draft(c, _, id, t) = call { Some((c, id, t)) } else { None });
        let drafts: Vec<_> = drafts.collect();
        assert!(drafts.len() > 2);
        for (chat, id, text) in drafts {
            assert!(*id != 0 && *chat == ANN, "groups get none");
            assert!(!text.is_empty() && text.trim() == text && STORY.starts_with(text.as_str()), "{text:?}");
        }
    });
}

#[test]
fn typing_ends_where_no_answer_follows() {
    in_virtual_time(|| async {
        let world = World::open();
        world.says(ANN, "hi");
        pass(ms(100)).await;
        world.commands(ANN, "reset");
        pass_s(60).await;
        let typed = world.messenger.calls().iter().filter(|(_, call)| *call == Call::Typing(ANN, None)).count();
        assert_eq!(typed, 1, "it would last three minutes");
    });
}

#[test]
fn typing_goes_on_where_new_words_cancelled_the_first_answer() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.engine.play([Play::Say(STORY.into()), Play::Say(STORY.into())]);
        world.says(ANN, "tell me");
        pass_s(2).await;
        world.says(ANN, "a story");
        pass_s(30).await;
        assert_eq!((world.read(ANN), world.engine.cancelled()), (vec![STORY.to_owned()], 1));
        let calls = world.messenger.calls();
        let signs = calls.iter().filter(|(_, call)| matches!(call, Call::Typing(ANN, _) | Call::Send(ANN, _)));
        let at: Vec<_> = signs.map(|(at, _)| *at).collect();
        assert!(at.len() > 4, "{at:?}");
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] < ms(4100)), "it is shown for five seconds: {at:?}");
    });
}

#[test]
fn more_words_than_one_turn_takes_are_all_remembered() {
    let (first, second) = ("a".repeat(3000), "b".repeat(3000));
    in_virtual_time(|| async {
        let world = World::open();
        world.says(ANN, &first);
        world.says(ANN, &second);
        pass_s(10).await;
        assert_eq!(world.turns(ANN), [person(&first), person(&second), friend(&format!("re: {second}"))]);
        world.says(BEN, &first);
        world.says(BEN, &second);
        world.commands(BEN, "stop");
        pass_s(10).await;
        assert_eq!(world.turns(BEN), [person(&first), person(&second)], "also without an answer");
        let carl = ChatId(3);
        let danger = format!("i want to die {first}");
        world.says(carl, &danger);
        world.says(carl, &second);
        pass_s(10).await;
        assert_eq!(world.turns(carl), [person(&danger), person(&second), friend(&Safety::default().answer)]);
    });
}

#[test]
fn however_much_comes_at_once_makes_a_bounded_number_of_turns() {
    for longest in [4096, 7] {
        in_virtual_time(|| async {
            let world = World::with(|config| {
                config.conversation.inbox_rows = 1000;
                config.conversation.max_message_chars = longest;
            });
            // 1,000 messages of 4,096 characters.
            let message =
                |number: usize| (0..512).map(|word| format!("{:06}s ", number * 512 + word)).collect::<String>();
            (0..1000).for_each(|number| world.says(ANN, &message(number)));
            pass_s(10).await;
            let turns = world.store.turns(BOT, ANN);
            let said: Vec<_> = turns.iter().filter(|turn| turn.role == Role::Person).collect();
            assert!(said.len() <= EARLIER_TURNS + 1, "{} turns", said.len());
            let words: String = said.iter().flat_map(|turn| turn.text.split_whitespace()).collect();
            let all: String = (0..512_000).map(|word| format!("{word:06}s")).collect();
            assert!(words == all, "each word is there, in order");
            assert!(
                turns.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms),
                "and none is older than the one before"
            );
            assert_eq!(world.store.unanswered(), 0);
        });
    }
}

#[test]
fn what_was_said_first_is_not_remembered_as_said_last() {
    let words = Words { earlier: vec!["first".to_owned(), "second".to_owned()], newest: "third".to_owned() };
    let newest = Turn { role: Role::Person, text: "third".to_owned(), mode: None, scores: None, at_ms: 5 };
    let turns: Vec<_> = said(&words, newest).into_iter().map(|turn| (turn.text, turn.at_ms)).collect();
    assert_eq!(turns, [("first".to_owned(), 5), ("second".to_owned(), 5), ("third".to_owned(), 5)]);
}
