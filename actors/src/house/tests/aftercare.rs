//! The talk after the written answer to words of danger: written, too, until its texts are said.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::types::Danger;

const DANGER: &str = "i want to die";

/// What Ann reads after the first written answer, message by message.
async fn after_danger(world: &World, said: &[&str]) -> Vec<String> {
    for words in [DANGER].iter().chain(said) {
        world.talk(ANN, words).await;
    }
    world.read(ANN).split_off(1)
}

#[test]
fn what_comes_after_words_of_danger_is_written_until_all_is_said() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        let said = after_danger(&world, &["im just so tired", "whats the point", "hm", "im in my car"]).await;
        assert_eq!(said, [next.safe, next.heavy, "re: hm".to_owned(), "re: im in my car".to_owned()]);
        assert_eq!(world.modes(ANN), ["FIX", "FIX"]);
    });
}

#[test]
fn who_has_nobody_and_who_has_somebody_read_different_words() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        let said = after_danger(&world, &["i cant call anyone", "theres nobody", "ok my sister is coming over"]).await;
        assert_eq!(said, [next.alone, next.safe, next.company]);
        world.commands(ANN, "why");
        pass_s(3).await;
        assert_eq!(world.read(ANN).last(), Some(&texts().why_written));
    });
}

#[test]
fn who_is_not_safe_is_told_to_call_as_often_as_it_takes() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        let said = after_danger(&world, &["so tired", "no", "i have the pills here", "im not safe", "hm"]).await;
        let call = &safety.next.unsafe_now;
        assert_eq!(said, [&safety.next.safe, call, &safety.answer_again, call, &safety.next.safe].map(String::clone));
        assert_eq!(world.windows.observer.counters().care.load(Relaxed), 4, "with the first");
    });
}

#[test]
fn no_to_the_question_whether_somebody_is_near_is_heard() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        assert_eq!(after_danger(&world, &["no", "hm"]).await, [next.alone, next.safe]);
    });
}

#[test]
fn after_danger_again_the_model_keeps_silent_again() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        let said = after_danger(&world, &["so tired", "hm", "i want to kill myself", "whats the point"]).await;
        let Next { safe, heavy, .. } = safety.next;
        assert_eq!(said, [safe.clone(), heavy, safety.answer_again, safe]);
    });
}

#[test]
fn who_asks_for_a_bot_in_such_a_talk_is_told() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        let said = after_danger(&world, &["i feel so bad. are you even real?", "hm"]).await;
        assert_eq!(said, [format!("{} {}", texts().honest_first, next.safe), next.heavy]);
        world.commands(ANN, "why");
        pass_s(3).await;
        assert_eq!(world.read(ANN).last(), Some(&texts().why_written));
    });
}

#[test]
fn a_text_that_the_operator_left_out_is_passed_over() {
    in_virtual_time(|| async {
        let next = Next { safe: String::new(), ..Next::default() };
        let world = World::with_safety(Safety { next: next.clone(), ..Safety::default() }, |_| {});
        assert_eq!(after_danger(&world, &["so tired", "hm"]).await, [next.heavy, "re: hm".to_owned()]);
    });
}

#[test]
fn what_is_plain_right_after_it_is_not_taken_for_another_hint() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        for words in ["from a song", "call anyone"] {
            world.scorer.hears(words, Danger { themselves: 0.9, someone_else: 0.0 });
        }
        assert_eq!(after_danger(&world, &["no its from a song"]).await, [next.wrong]);
        world.talk(BEN, DANGER).await;
        world.talk(BEN, "i cant call anyone").await;
        assert_eq!(world.read(BEN)[1..], [next.alone]);
    });
}

#[test]
fn the_talk_goes_on_where_it_was_after_a_restart() {
    in_virtual_time(|| async {
        let (mut world, next) = (World::open(), Next::default());
        after_danger(&world, &["so tired"]).await;
        world.close().await.unwrap();
        world.start(|_| {});
        world.talk(ANN, "hm").await;
        assert_eq!(world.read(ANN)[1..], [next.safe, next.heavy]);
    });
}

#[test]
fn who_was_got_wrong_talks_with_the_friend_again() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        let said = after_danger(&world, &["no, its from a song", "you know it?", "its the one about the sea"]).await;
        let song = ["re: you know it?", "re: its the one about the sea"].map(str::to_owned);
        assert_eq!(said, [vec![next.wrong], song.to_vec()].concat());
        assert_eq!(world.modes(ANN), ["GENERAL", "GENERAL"], "what was no danger weighs on nothing");
    });
}

#[test]
fn who_worries_about_someone_reads_of_them() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        for words in ["my sister wants to kill herself", "she wont talk to me", "im so scared"] {
            world.talk(ANN, words).await;
        }
        assert_eq!(world.read(ANN)[1..], [next.other, "re: im so scared".to_owned()]);
    });
}

#[test]
fn in_a_group_nobody_knows_whose_words_would_be_answered() {
    in_virtual_time(|| async {
        let (world, group) = (World::open(), ChatId(-5));
        world.talk(group, DANGER).await;
        world.talk(group, "hm").await;
        assert_eq!(world.read(group).last().map(String::as_str), Some("re: hm"));
    });
}
