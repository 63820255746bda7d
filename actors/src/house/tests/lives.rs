//! Many chats and their sessions' lives: fairness, bounds, eviction, shutdown and the next start.

use super::*;

#[test]
fn a_hundred_people_at_the_same_moment_are_answered_at_once() {
    in_virtual_time(|| async {
        let world = World::open();
        for chat in 1..=100 {
            world.says(ChatId(chat), "hi");
        }
        pass_s(3).await;
        let answered = (1..=100).filter(|&chat| world.read(ChatId(chat)) == ["re: hi"]).count();
        assert_eq!(answered, 100, "none has to wait for a sweep");
    });
}

#[test]
fn one_persons_flood_never_delays_another() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(100));
        for _ in 0..500 {
            world.says(BEN, "flood");
        }
        world.says(ANN, "hi");
        pass_s(2).await;
        assert_eq!(world.read(ANN), ["re: hi"]);
    });
}

#[test]
fn one_persons_slow_answer_never_delays_another() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(2000));
        world.says(BEN, "slow slow slow slow slow");
        pass_s(1).await;
        world.engine.pace(ms(10));
        world.says(ANN, "hi");
        pass_s(2).await;
        assert_eq!((world.read(ANN).len(), world.read(BEN).len()), (1, 0));
        pass_s(20).await;
        assert_eq!(world.read(BEN).len(), 1);
    });
}

#[test]
fn at_most_max_sessions_at_once_and_the_rest_are_answered_in_their_turn() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.max_sessions = 3);
        world.engine.pace(ms(1000));
        for chat in 1..=10 {
            world.says(ChatId(chat), "hi");
        }
        for _ in 0..120 {
            assert!(world.windows.sessions.len() <= 3);
            pass_s(1).await;
        }
        for chat in 1..=10 {
            assert_eq!(world.read(ChatId(chat)), ["re: hi"], "{chat}");
        }
        assert!(world.engine.most_at_once() <= 3);
    });
}

#[test]
fn an_idle_session_goes_and_the_person_is_remembered() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "my cat is Momo").await;
        pass_s(500).await;
        assert_eq!(world.windows.sessions.len(), 1);
        pass_s(200).await;
        assert_eq!(world.windows.sessions.len(), 0);
        world.talk(ANN, "what is my cat called?").await;
        let last = world.engine.requests().pop().unwrap().prompt;
        assert_eq!(last.turns.len(), 3);
        assert!(last.text().contains("Momo"));
    });
}

#[test]
fn a_session_that_is_talked_to_stays() {
    in_virtual_time(|| async {
        let world = World::open();
        for _ in 0..5 {
            world.talk(ANN, "hi").await;
            pass_s(400).await;
            assert_eq!(world.windows.sessions.len(), 1);
        }
        assert_eq!(world.store.calls("claim"), 1, "one session all the time");
    });
}

#[test]
fn at_shutdown_answers_in_flight_are_finished_and_delivered() {
    in_virtual_time(|| async {
        let mut world = World::open();
        world.engine.pace(ms(1000));
        world.says(ANN, "one two three");
        pass_s(2).await;
        world.close().await.unwrap();
        assert_eq!(world.read(ANN), ["re: one two three"]);
        assert!(world.store.outbox().is_empty());
    });
}

#[test]
fn what_the_grace_cuts_off_is_answered_at_the_next_start() {
    in_virtual_time(|| async {
        let mut world = World::with(|config| config.grace = Duration::from_secs(2));
        world.engine.pace(ms(5000));
        world.says(ANN, "one two three");
        pass_s(2).await;
        world.close().await.unwrap();
        assert!(world.read(ANN).is_empty());
        pass_s(10).await;
        assert_eq!((world.store.unanswered(), world.engine.cancelled()), (1, 1));
        world.engine.pace(ms(10));
        world.start(|_| {});
        pass_s(5).await;
        assert_eq!(world.read(ANN), ["re: one two three"]);
        assert_eq!(world.turns(ANN).len(), 2);
    });
}

#[test]
fn words_that_come_during_shutdown_wait_for_the_next_start() {
    in_virtual_time(|| async {
        let mut world = World::open();
        world.says(ANN, "hi");
        pass(ms(100)).await;
        world.close().await.unwrap();
        world.says(BEN, "hello");
        world.start(|_| {});
        pass_s(5).await;
        assert_eq!((world.read(ANN), world.read(BEN)), (vec!["re: hi".to_owned()], vec!["re: hello".to_owned()]));
    });
}

#[test]
fn a_session_is_never_let_go_with_a_wake_up_on_its_way() {
    in_virtual_time(|| async {
        let world = World::with(|config| {
            config.max_sessions = 2;
            config.conversation.burst_quiet = ms(3);
            config.poller.sweep_every = ms(7);
        });
        world.store.delay_of("pending", ms(4));
        for round in 0..400 {
            world.says(ChatId(1 + round % 5), "hi");
            pass(ms(round as u64 % 11)).await;
        }
        pass_s(600).await;
        assert_eq!(world.store.unanswered(), 0);
        assert!(world.store.calls("claim") > 20, "sessions came and went");
        assert_eq!(world.store.fenced(), 0, "two sessions had one chat");
    });
}

#[test]
fn words_that_come_while_the_inbox_is_found_empty_do_not_wait_for_a_sweep() {
    in_virtual_time(|| async {
        for late in 0..60 {
            let world = World::with(|config| config.poller.sweep_every = Duration::from_secs(3600));
            world.store.delay_of("pending", ms(400));
            world.says(ANN, "hi");
            pass(ms(1000 + 25 * late)).await;
            world.says(ANN, "wait");
            pass_s(20).await;
            assert_eq!(world.store.unanswered(), 0, "{late}");
        }
    });
}
