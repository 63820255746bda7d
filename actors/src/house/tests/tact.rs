//! Nobody rejoices at a sorrow, and plain bad news is taken for what it is.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::fakes::engine::Play;
use crate::types::Label;

const GLAD: &str = "How lovely that he left! You must be so happy.";
const KIND: &str = "Oh no, that hurts so much. I'm glad you told me.";

fn plays<const N: usize>(said: [&str; N]) -> [Play; N] {
    said.map(|words| Play::Say(words.to_owned()))
}

#[test]
fn an_answer_that_rejoices_with_who_is_sad_is_drawn_anew_before_anybody_reads_it() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(200));
        world.engine.play(plays([GLAD, KIND]));
        world.talk(ANN, "sadness, he left").await;
        assert_eq!(world.read(ANN), [KIND]);
        assert_eq!(world.turns(ANN), [person("sadness, he left"), friend(KIND)]);
        let drafts: Vec<_> =
            world.messenger.calls().into_iter().filter(|call| matches!(call.1, Call::Draft(..))).collect();
        let shown = |call: &Call| matches!(call, Call::Draft(_, _, _, text) if KIND.starts_with(text.as_str()));
        assert!(!drafts.is_empty() && drafts.iter().all(|call| shown(&call.1)), "{drafts:?}");
        let mut seeds: Vec<_> = world.engine.requests().iter().map(|request| request.seed).collect();
        seeds.dedup(); // The second was asked for until the first had left.
        assert_eq!(seeds.len(), 2, "{seeds:?}");
        assert_eq!(world.engine.cancelled(), 1, "it was not read to its end");
        assert_eq!(world.windows.observer.counters().tactless.load(Relaxed), 1);
    });
}

#[test]
fn a_model_that_only_rejoices_gives_way_to_written_comfort_and_not_twice_the_same() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play(plays([GLAD; 6]));
        world.talk(ANN, "sadness, he left").await;
        world.talk(ANN, "sadness").await;
        assert_eq!(world.read(ANN), [texts().comfort, texts().comfort_again]);
        assert_eq!(world.modes(ANN), ["FIX", "FIX"]);
        let mut seeds: Vec<_> = world.engine.requests().iter().map(|request| request.seed).collect();
        seeds.dedup();
        assert_eq!(seeds.len(), 6, "three draws each");
    });
}

#[test]
fn joy_is_shared_with_the_glad() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play(plays([GLAD, GLAD]));
        world.talk(ANN, "such joy, he left").await;
        world.talk(BEN, "he left").await;
        assert_eq!((world.read(ANN), world.read(BEN)), (vec![GLAD.to_owned()], vec![GLAD.to_owned()]));
    });
}

#[test]
fn nobody_rejoices_right_after_words_of_danger_whatever_the_next_ones_sound_like() {
    in_virtual_time(|| async {
        let world = World::trusting(|_| {});
        world.talk(ANN, "i want to die").await;
        world.engine.play(plays([GLAD, KIND]));
        world.talk(ANN, "such joy, im so tired").await;
        assert_eq!(world.read(ANN).last().map(String::as_str), Some(KIND));
    });
}

#[test]
fn bad_news_said_plainly_are_felt_as_sad_though_they_sound_glad() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "joy: the tumour is back").await;
        world.talk(BEN, "joy: the tumour is benign").await;
        assert_eq!((world.modes(ANN), world.modes(BEN)), (vec!["FIX".to_owned()], vec!["WARM".to_owned()]));
        let felt = world.store.profile(ANN).await.last_scores.unwrap();
        assert!(felt.get(Label::Sadness) > 0.9 && felt.get(Label::Joy) < 0.01, "{felt:?}");
    });
}

#[test]
fn bad_news_said_plainly_need_no_classifier_and_why_says_so() {
    in_virtual_time(|| async {
        let world = World::open();
        world.scorer.broken(true);
        world.engine.play(plays([GLAD, KIND]));
        world.talk(ANN, "my mum died this morning").await;
        assert_eq!(world.read(ANN), [KIND]);
        world.commands(ANN, "why");
        pass_s(3).await;
        let why = world.read(ANN).pop().unwrap();
        assert!(why.contains("Your words themselves") && why.contains("FIX"), "{why}");
    });
}

#[test]
fn comfort_behind_the_truth_about_the_bot_is_not_repeated_either() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.play(plays([GLAD; 6]));
        world.talk(ANN, "my mum died. are you even real?").await;
        world.talk(ANN, "sadness").await;
        assert_eq!(world.read(ANN), [format!("{} {}", texts().honest_first, texts().comfort), texts().comfort_again]);
        world.commands(ANN, "why");
        pass_s(3).await;
        assert_eq!(world.read(ANN).last(), Some(&texts().why_written));
    });
}

#[test]
fn new_words_end_an_answer_that_is_being_drawn_anew() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(500));
        world.engine.play(plays([GLAD, "Oh no, that hurts so very much, and I am sorry for it.", KIND]));
        world.says(ANN, "sadness, he left");
        pass_s(5).await;
        world.says(ANN, "sadness, and the cat");
        pass_s(20).await;
        assert_eq!(world.read(ANN), [KIND]);
    });
}
