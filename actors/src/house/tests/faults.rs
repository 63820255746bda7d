//! What breaks: the store, actors, messages that make them panic, other owners.

use super::*;
use crate::conversation::owner;
use crate::fakes::engine::Play;
use crate::ports::{Store, StoreError};
use friend_gguf::request::SubmitError;

#[test]
fn store_failures_back_off_and_lose_nothing() {
    for method in ["claim", "pending", "finish"] {
        in_virtual_time(|| async {
            let world = World::open();
            world.store.fail_next_of(method, 6, StoreError::Overloaded);
            world.says(ANN, "hi");
            pass_s(60).await;
            assert_eq!(world.read(ANN), ["re: hi"], "{method}");
            assert_eq!(world.turns(ANN), [person("hi"), friend("re: hi")]);
            world.store.fail_next_of(method, 1, StoreError::Unwritable("full".into()));
            world.talk(ANN, "and now").await;
            assert_eq!(world.read(ANN).len(), 2, "{method}");
        });
    }
}

#[test]
fn a_store_that_is_out_for_long_is_not_stormed() {
    in_virtual_time(|| async {
        let world = World::open();
        world.store.fail_next_of("claim", 1000, StoreError::Overloaded);
        for _ in 0..600 {
            world.says(ANN, "hi");
            pass_s(1).await;
        }
        let tries = world.store.calls("claim");
        assert!((15..40).contains(&tries), "{tries} tries in ten minutes: one in 30 s, however often it is woken");
    });
}

#[test]
fn a_lost_answer_of_the_store_is_no_second_answer() {
    in_virtual_time(|| async {
        let world = World::open();
        world.store.lose_answers_of("finish", 1);
        world.says(ANN, "hi");
        pass_s(60).await;
        assert_eq!(world.read(ANN), ["re: hi"]);
        assert_eq!(world.turns(ANN).len(), 2);
    });
}

#[test]
fn another_owner_gets_the_chat_and_it_is_taken_back_for_what_it_leaves() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.says(ANN, "hi");
        pass_s(2).await;
        world.store.claim(BOT, ANN, 10).await.unwrap();
        pass_s(10).await;
        assert!(world.read(ANN).is_empty(), "its change was refused");
        assert_eq!(world.store.calls("claim"), 2, "no tug of war");
        pass_s(30).await;
        assert_eq!(world.read(ANN), ["re: hi"], "nobody answered, so the sweep wakes it again");
        assert_eq!(world.turns(ANN).len(), 2);
    });
}

#[test]
fn a_message_that_panics_its_session_again_and_again_is_skipped_alone() {
    in_virtual_time(|| async {
        let world = World::open();
        world.store.panic_at_turns_with("poison", u32::MAX);
        world.says(ANN, "poison");
        pass_s(1).await;
        world.commands(ANN, "why");
        world.says(ANN, "fine words");
        world.says(BEN, "hello");
        pass_s(30).await;
        assert_eq!(world.read(ANN), [texts().failed, texts().why_nothing, "re: fine words".to_owned()]);
        assert_eq!(world.read(BEN), ["re: hello"]);
        assert_eq!(world.supervision.restarts().get("session"), Some(&3));
        assert_eq!(world.store.unanswered(), 0);
    });
}

#[test]
fn poisonous_messages_of_one_person_never_end_the_house() {
    in_virtual_time(|| async {
        let world = World::open();
        world.store.panic_at_turns_with("poison", u32::MAX);
        for _ in 0..10 {
            world.says(ANN, "poison");
            pass_s(5).await;
        }
        world.talk(BEN, "hello").await;
        assert_eq!(world.read(BEN), ["re: hello"]);
        assert!(world.supervision.restarts()["session"] >= 20);
    });
}

#[test]
fn panics_that_no_message_caused_skip_no_message() {
    in_virtual_time(|| async {
        let world = World::open();
        world.supervision.arm("session", 5);
        for _ in 0..6 {
            world.says(ANN, "hi");
            pass(ms(50)).await;
        }
        pass_s(60).await;
        assert_eq!(world.supervision.restarts().get("session"), Some(&5));
        assert!(world.read(ANN).iter().all(|text| text.starts_with("re: hi")), "{:?}", world.read(ANN));
        assert_eq!(world.store.unanswered(), 0);
    });
}

#[test]
fn messages_that_panic_once_each_are_all_answered() {
    in_virtual_time(|| async {
        let world = World::open();
        for words in ["first", "second", "third", "fourth"] {
            world.store.panic_at_turns_with(words, 1);
            world.says(ANN, words);
            world.commands(ANN, "why"); // So that they are four turns of one visit.
        }
        pass_s(60).await;
        let read = world.read(ANN);
        let answers: Vec<_> = read.iter().filter(|text| text.starts_with("re: ")).collect();
        assert_eq!(answers, ["re: first", "re: second", "re: third", "re: fourth"], "{read:?}");
        assert!(!read.contains(&texts().failed));
    });
}

#[test]
fn sessions_outlive_a_panic_of_their_router() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "hi").await;
        world.supervision.arm("router", 1);
        world.says(ANN, "again");
        pass_s(30).await;
        assert_eq!(world.read(ANN), ["re: hi", "re: again"]);
        assert_eq!(world.store.calls("claim"), 1, "the same session");
        pass_s(700).await;
        assert_eq!(world.windows.sessions.len(), 0, "and it is still let go when idle");
    });
}

#[test]
fn every_actor_may_panic_under_load_and_nothing_is_lost() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(100));
        for actor in ["poller", "router", "session", "emotion", "llm", "outbox"] {
            world.supervision.arm(actor, 1);
            for chat in 1..=8 {
                world.says(ChatId(chat), actor);
            }
            pass_s(60).await;
        }
        for chat in 1..=8 {
            let mut read = world.read(ChatId(chat));
            read.dedup(); // The one send in flight may be repeated.
            assert_eq!(read, ["poller", "router", "session", "emotion", "llm", "outbox"].map(|a| format!("re: {a}")));
        }
        assert_eq!(world.supervision.restarts().len(), 6);
    });
}

#[test]
fn a_lost_actor_starts_all_anew_and_turns_in_flight_go_on() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.says(ANN, "one two three");
        pass_s(2).await;
        drop(world.supervision.lifeline("llm"));
        pass_s(20).await;
        assert_eq!(world.read(ANN), ["re: one two three"]);
        assert_eq!(world.turns(ANN).len(), 2);
        assert_eq!(world.engine.cancelled(), 1, "the old answer was cut");
    });
}

#[test]
fn a_fatal_end_says_why() {
    in_virtual_time(|| async {
        let mut world = World::open();
        pass_s(1).await;
        world.messenger.fail_polls([crate::ports::ApiError::Unauthorized(401)]);
        let fatal = tokio::time::timeout(Duration::from_secs(120), world.ended()).await.unwrap().unwrap_err();
        assert_eq!(fatal.actor, "poller");
        assert!(fatal.reason.contains("TG_BOT_TOKEN"), "{fatal:?}");
    });
}

#[test]
fn an_engine_that_ended_ends_the_house_and_the_words_wait_for_the_next_start() {
    in_virtual_time(|| async {
        let mut world = World::open();
        world.engine.play([Play::Refuse(SubmitError::Stopped)]);
        world.says(ANN, "hi");
        let fatal = world.ended().await.unwrap_err();
        assert_eq!((fatal.actor, world.store.unanswered()), ("llm", 1));
        world.start(|_| {});
        pass_s(5).await;
        assert_eq!(world.read(ANN), ["re: hi"]);
    });
}

#[test]
fn a_chat_that_is_gone_leaves_and_may_come_back() {
    in_virtual_time(|| async {
        let world = World::open();
        world.messenger.fail_sends(Some(ANN), [crate::ports::ApiError::Forbidden]);
        world.talk(ANN, "hi").await;
        assert!(!world.windows.sessions.contains_key(&ANN));
        assert!(world.engine.forgotten().contains(&owner(ANN)));
        world.talk(ANN, "back again").await;
        assert_eq!(world.read(ANN), ["re: hi", "re: back again"]);
    });
}

#[test]
fn a_wake_up_that_reaches_the_router_of_a_former_life_takes_no_seat_of_the_next() {
    in_virtual_time(|| async {
        let (old, new) = (ChatId(-10), ChatId(-1_000_010));
        let world = World::open();
        world.store.delay_of("migrate", Duration::from_secs(2));
        world.does(old, Event::Migrated { to: new });
        world.says(old, "hello");
        pass(ms(500)).await;
        drop(world.supervision.lifeline("llm"));
        // The old session has moved the group by now, and wakes it under its new id.
        pass_s(60).await;
        assert_eq!((world.read(new), world.store.unanswered()), (vec!["re: hello".to_owned()], 0));
    });
}

#[test]
fn a_sweep_that_outlives_its_house_wakes_nobody() {
    in_virtual_time(|| async {
        let world = World::open();
        world.store.delay_of("waiting", Duration::from_secs(2));
        pass(ms(15_400)).await; // The sweep at 15 s has begun.
        world.says(ANN, "hi");
        pass(ms(100)).await;
        drop(world.supervision.lifeline("llm"));
        pass_s(60).await;
        assert_eq!((world.read(ANN), world.store.unanswered()), (vec!["re: hi".to_owned()], 0));
    });
}

#[test]
fn a_session_of_a_former_life_does_not_take_its_chat_back() {
    in_virtual_time(|| async {
        let world = World::open();
        world.store.fail_next_of("claim", 1, StoreError::Overloaded);
        world.says(ANN, "hi");
        pass(ms(100)).await;
        drop(world.supervision.lifeline("llm"));
        pass_s(10).await;
        assert_eq!((world.read(ANN), world.store.fenced()), (vec!["re: hi".to_owned()], 0));
        assert_eq!(world.store.calls("claim"), 2, "the one that failed, and the new session's");
    });
}

#[test]
fn nothing_is_left_of_a_house_that_was_started_anew() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "hi").await;
        let holders = Arc::strong_count(&world.store);
        for _ in 0..3 {
            drop(world.supervision.lifeline("llm"));
            pass_s(30).await;
        }
        world.talk(ANN, "hi").await;
        assert_eq!(Arc::strong_count(&world.store), holders);
    });
}
