//! The talk after the written answer to words of danger: written, too, until its texts are said.

use super::*;

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
fn who_is_not_safe_is_asked_again_to_reach_somebody() {
    in_virtual_time(|| async {
        let (world, safety) = (World::open(), Safety::default());
        let said = after_danger(&world, &["so tired", "no"]).await;
        assert_eq!(said, [safety.next.safe, safety.answer_again]);
    });
}

#[test]
fn who_was_taken_wrong_talks_with_the_friend_again() {
    in_virtual_time(|| async {
        let (world, next) = (World::open(), Next::default());
        let said = after_danger(&world, &["no, its from a song", "you know it?", "its the one about the sea"]).await;
        let song = ["re: you know it?", "re: its the one about the sea"].map(str::to_owned);
        assert_eq!(said, [vec![next.wrong], song.to_vec()].concat());
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
