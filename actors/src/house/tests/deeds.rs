//! What is answered without the model, and what is felt: commands, buttons, written answers, modes.

use super::*;
use crate::conversation::owner;
use crate::ports::{Change, Store as _};
use crate::reception::{FLIRT_NO, FLIRT_YES, FORGET_YES};
use crate::types::{Media, Profile, Scores};

#[test]
fn modes_follow_the_smoothed_mood() {
    in_virtual_time(|| async {
        let world = World::open();
        for text in ["i feel anger", "what time is it", "ok", "such joy", "such joy again"] {
            world.talk(ANN, text).await;
        }
        // After one angry message the mean of anger is 0.9, then 0.3 (held by the hysteresis), then 0.13; after joy that of joy 0.48.
        assert_eq!(world.modes(ANN), ["FIX", "FIX", "GENERAL", "WARM", "WARM"]);
        let instruction = &Persona::arthur().modes["FIX"].instruction;
        assert!(world.engine.requests()[0].prompt.text().contains(instruction));
    });
}

#[test]
fn a_late_or_broken_scorer_means_neutral_and_leaves_the_mood() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "such joy").await;
        let mood = world.store.profile(ANN).await.mood;
        assert!(mood.is_some());
        world.scorer.broken(true);
        world.talk(ANN, "anger").await;
        world.scorer.broken(false);
        world.scorer.delay(Duration::from_secs(60));
        world.talk(ANN, "anger").await;
        assert_eq!(world.modes(ANN), ["WARM", "GENERAL", "GENERAL"]);
        assert_eq!(world.store.profile(ANN).await.mood, mood);
        let unfelt = world.store.turns(BOT, ANN).into_iter().filter(|t| t.role == Role::Person && t.scores.is_none());
        assert_eq!(unfelt.count(), 2);
    });
}

#[test]
fn flirting_begins_only_with_the_button() {
    in_virtual_time(|| async {
        let world = World::open();
        world.commands(ANN, "flirt");
        pass_s(3).await;
        world.talk(ANN, "yes i am an adult, joy").await;
        world.presses(ANN, FLIRT_NO);
        pass_s(3).await;
        world.talk(ANN, "joy").await;
        world.presses(ANN, FLIRT_YES);
        pass_s(3).await;
        world.talk(ANN, "joy").await;
        world.commands(ANN, "flirt");
        pass_s(3).await;
        world.talk(ANN, "joy").await;
        assert_eq!(world.modes(ANN), ["WARM", "WARM", "FLIRT", "WARM"]);
    });
}

#[test]
fn in_a_group_nobody_consents_for_the_others() {
    in_virtual_time(|| async {
        let (world, group) = (World::open(), ChatId(-5));
        world.commands(group, "flirt");
        world.presses(group, FLIRT_YES);
        world.talk(group, "joy").await;
        assert_eq!(world.read(group)[..2], [texts().flirt_private, texts().flirt_private]);

        // As such a button once left it.
        let consented = ChatId(-6);
        let profile = Some(Profile { flirt: true, ..Profile::default() });
        let epoch = world.store.claim(BOT, consented, 0).await.unwrap().epoch;
        world.store.finish(BOT, consented, epoch, Change { profile, ..Change::default() }).await.unwrap();
        world.talk(consented, "joy").await;
        world.commands(consented, "why");
        pass_s(3).await;
        for chat in [group, consented] {
            assert_eq!(world.modes(chat), ["WARM"]);
        }
        let why = world.read(consented).pop().unwrap();
        assert!(why.contains("WARM") && !why.contains("FLIRT"), "{why}");
    });
}

#[test]
fn a_consent_is_not_overtaken_by_starting_over() {
    in_virtual_time(|| async {
        let world = World::open();
        world.presses(ANN, FLIRT_YES);
        world.commands(ANN, "start");
        pass_s(3).await;
        world.talk(ANN, "joy").await;
        assert_eq!(world.modes(ANN), ["FLIRT"]);
    });
}

#[test]
fn forget_erases_and_drops_the_lane() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "my secret").await;
        world.talk(BEN, "hi").await;
        world.commands(ANN, "forget");
        pass_s(3).await;
        assert_eq!(world.turns(ANN).len(), 2, "nothing before the confirmation");
        world.presses(ANN, FORGET_YES);
        pass_s(3).await;
        assert!(world.turns(ANN).is_empty() && world.turns(BEN).len() == 2);
        assert_eq!(world.engine.forgotten(), [owner(ANN)]);
        assert_eq!(world.read(ANN).last(), Some(&texts().forgotten));
        world.talk(ANN, "hello").await;
        assert_eq!(world.engine.requests().pop().unwrap().prompt.turns.len(), 1);
        let answered = |(_, call): &(_, Call)| matches!(call, Call::Send(ANN, Outgoing::ButtonAnswer { .. }));
        assert_eq!(world.messenger.calls().iter().filter(|call| answered(call)).count(), 1);
    });
}

#[test]
fn an_erasure_during_generation_comes_first_and_nothing_of_the_answer_stays() {
    in_virtual_time(|| async {
        let world = World::with(|config| config.conversation.max_cancels = 0);
        world.engine.pace(ms(2000));
        world.says(ANN, "my secret");
        pass_s(1).await;
        world.presses(ANN, FORGET_YES);
        world.commands(ANN, "start");
        pass_s(20).await;
        assert!(world.turns(ANN).is_empty());
        assert_eq!(world.read(ANN).len(), 2, "erased, greeted: {:?}", world.read(ANN));
        assert_eq!((world.engine.cancelled(), world.store.unanswered()), (1, 0));
    });
}

#[test]
fn export_is_a_file_of_all_that_is_kept() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "my cat is Momo").await;
        world.commands(ANN, "export");
        pass_s(3).await;
        let calls = world.messenger.calls();
        let file = calls.iter().find_map(|(_, call)| match call {
            Call::Send(ANN, Outgoing::Document { file_name, content, .. }) => Some((file_name, content)),
            _ => None,
        });
        let (name, content) = file.expect("a file came");
        assert_eq!(name, "conversation.json");
        let parsed: serde_json::Value = serde_json::from_str(content).unwrap();
        assert!(parsed["turns"].as_array().is_some_and(|turns| turns.len() == 2), "{parsed}");
    });
}

#[test]
fn care_and_honesty_are_not_left_to_the_model() {
    in_virtual_time(|| async {
        let world = World::trusting(|_| {});
        world.talk(ANN, "i want to die").await;
        world.talk(ANN, "are you a bot?").await;
        assert!(world.engine.requests().is_empty());
        assert_eq!(world.read(ANN), [Safety::default().answer, texts().honest]);
        world.talk(ANN, "ok thanks").await;
        assert_eq!(world.engine.requests()[0].prompt.turns.len(), 5, "the conversation goes on");
    });
}

#[test]
fn care_finds_words_that_are_hushed_overtaken_or_edited() {
    in_virtual_time(|| async {
        let care = Safety::default().answer;
        for after in ["stop", "start"] {
            let world = World::open();
            world.says(ANN, "i want to die");
            world.commands(ANN, after);
            pass_s(10).await;
            assert_eq!(world.read(ANN)[0], care, "/{after}");
        }
        let world = World::open();
        world.does(ANN, Event::Edited { text: "i want to die".into() });
        pass_s(10).await;
        for words in ["suicide.", "nothing more to say"] {
            world.says(ANN, words);
        }
        pass_s(10).await;
        assert_eq!(world.read(ANN), [care, Safety::default().answer_again], "an edit is of the talk, too");
    });
}

#[test]
fn why_tells_the_last_choice() {
    in_virtual_time(|| async {
        let world = World::open();
        world.commands(ANN, "why");
        pass_s(3).await;
        world.talk(ANN, "i feel sadness").await;
        world.commands(ANN, "why");
        pass_s(3).await;
        let read = world.read(ANN);
        assert_eq!(read[0], texts().why_nothing);
        assert!(read[2].contains("sadness 90%") && read[2].contains("FIX"), "{read:?}");
    });
}

#[test]
fn why_says_when_a_mode_was_only_held_on() {
    in_virtual_time(|| async {
        let world = World::open();
        for text in ["i feel anger", "what time is it"] {
            world.talk(ANN, text).await;
        }
        // Of anger the mean is 0.9, then 0.3 of these: at its threshold, above its threshold less the hysteresis.
        let why = async || {
            world.commands(ANN, "why");
            pass_s(3).await;
            world.read(ANN).pop().unwrap()
        };
        let held = why().await;
        assert!(held.contains("negative (anger + disgust + fear + sadness) 30%"), "{held}");
        assert!(held.ends_with("Once there, I stay until negative is down to 25%. So I answered in FIX."), "{held}");
        world.talk(ANN, "i feel anger").await;
        let chosen = why().await;
        assert!(chosen.contains("FIX") && !chosen.contains("Once there"), "{chosen}");
    });
}

#[test]
fn why_does_not_tell_of_an_earlier_message_when_the_last_was_not_felt() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "i feel anger").await;
        world.scorer.broken(true);
        world.talk(ANN, "such joy").await;
        world.talk(BEN, "hello").await;
        for chat in [ANN, BEN] {
            world.commands(chat, "why");
            pass_s(3).await;
            let why = world.read(chat).pop().unwrap();
            assert!(why.contains("couldn't make out") && why.ends_with("so I answered in GENERAL."), "{why}");
            assert!(!why.contains("anger"), "{why}");
        }
    });
}

#[test]
fn why_is_told_of_answers_from_before_its_grounds_were_kept() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "i feel anger").await;
        let profile = Some(Profile { grounds: None, ..world.store.profile(ANN).await });
        let epoch = world.store.claim(BOT, BEN, 0).await.unwrap().epoch;
        world.store.finish(BOT, BEN, epoch, Change { profile, ..Change::default() }).await.unwrap();
        for chat in [ANN, BEN] {
            world.commands(chat, "why");
        }
        pass_s(3).await;
        assert_eq!(world.read(BEN).pop(), world.read(ANN).pop());
    });
}

#[test]
fn a_group_that_moved_is_answered_under_its_new_id() {
    in_virtual_time(|| async {
        let (old, new) = (ChatId(-10), ChatId(-1_000_010));
        let world = World::open();
        world.talk(old, "hello friend").await;
        world.does(old, Event::Migrated { to: new });
        world.says(old, "late words");
        pass_s(5).await;
        world.talk(new, "again").await;
        assert_eq!(world.read(old), ["re: hello friend"]);
        assert_eq!(world.read(new), ["re: late words", "re: again"]);
        assert!(world.turns(old).is_empty());
        assert_eq!((world.turns(new).len(), world.store.unanswered()), (6, 0));
        assert!(world.engine.forgotten().contains(&owner(old)));
    });
}

#[test]
fn pictures_voices_and_changes_each_get_a_word() {
    in_virtual_time(|| async {
        let world = World::open();
        world.does(ANN, Event::Media { media: Media::Photo, caption: None, album: None });
        world.does(ANN, Event::Media { media: Media::Voice, caption: None, album: None });
        world.does(ANN, Event::Edited { text: "hm".into() });
        world.does(ANN, Event::Media { media: Media::Photo, caption: Some("my dog".into()), album: None });
        pass_s(10).await;
        let said = texts();
        assert_eq!(world.read(ANN), [said.photo, said.voice, said.edited, "re: my dog".to_owned()]);
    });
}

/// A picture of an album.
fn pictured(caption: Option<&str>) -> Event {
    Event::Media { media: Media::Photo, caption: caption.map(str::to_owned), album: Some("summer".to_owned()) }
}

#[test]
fn an_album_is_answered_once() {
    in_virtual_time(|| async {
        let world = World::open();
        // A poll returns at the first: the others come with the next.
        for captions in [[None; 5], [Some("my dog"), None, None, None, None], [None, None, None, Some("my cat"), None]]
        {
            for (number, caption) in captions.into_iter().enumerate() {
                world.does(ANN, pictured(caption));
                pass(ms(if number == 0 { 200 } else { 0 })).await;
            }
            pass_s(10).await;
        }
        assert_eq!(world.read(ANN), [texts().photo, "re: my dog".to_owned(), "re: my cat".to_owned()]);
        assert_eq!(world.store.unanswered(), 0);
    });
}

#[test]
fn words_behind_a_picture_wait_no_second_time_for_quiet() {
    in_virtual_time(|| async {
        let world = World::open();
        world.does(ANN, Event::Media { media: Media::Photo, caption: None, album: None });
        world.does(ANN, Event::Media { media: Media::Voice, caption: None, album: None });
        pass(ms(300)).await;
        world.says(ANN, "my dog");
        pass(ms(900)).await;
        assert_eq!(world.engine.requests().len(), 1, "it is quiet for half a second, and 900 ms have passed");
        pass_s(10).await;
        let said = texts();
        assert_eq!(world.read(ANN), [said.photo, said.voice, "re: my dog".to_owned()]);
        world.does(ANN, Event::Media { media: Media::Sticker, caption: None, album: None });
        pass_s(10).await;
        world.says(ANN, "hi");
        pass(ms(300)).await;
        assert_eq!(world.engine.requests().len(), 1, "what comes later is waited for again");
    });
}

#[test]
fn several_stickers_in_a_row_are_answered_once() {
    in_virtual_time(|| async {
        let world = World::open();
        for _ in 0..3 {
            world.does(ANN, Event::Media { media: Media::Sticker, caption: None, album: None });
            pass(ms(300)).await;
        }
        pass_s(10).await;
        assert_eq!(world.read(ANN), [texts().sticker]);
    });
}

#[test]
fn a_neutral_message_is_felt_as_neutral() {
    in_virtual_time(|| async {
        let world = World::open();
        world.talk(ANN, "what time is it").await;
        assert_eq!(world.modes(ANN), ["GENERAL"]);
        assert_eq!(world.store.turns(BOT, ANN)[0].scores, Some(Scores::NEUTRAL));
    });
}
