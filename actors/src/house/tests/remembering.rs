//! What a person asks the friend to keep in mind reaches every prompt of theirs, and nobody else's.

use super::*;
use crate::known::{LONGEST_CHARS, MOST};

const LINE: &str = "What you know about the person: their sister is called Nadia; they are a nurse.";

/// The prompt of the newest answer.
fn prompt(world: &World) -> String {
    world.engine.requests().pop().expect("something was answered").prompt.text()
}

async fn remembers(world: &World, facts: &[&str]) {
    for fact in facts {
        world.asks(ANN, "remember", fact);
        pass_s(3).await;
    }
}

/// What is kept in mind of a person.
async fn kept(world: &World, chat: ChatId) -> Vec<String> {
    world.store.profile(chat).await.facts.into_iter().map(|fact| fact.text).collect()
}

/// The newest list's buttons, as data.
fn buttons(world: &World) -> Vec<String> {
    let sent = |(_, call)| match call {
        Call::Send(ANN, Outgoing::Text { buttons, .. }) if !buttons.is_empty() => Some(buttons),
        _ => None,
    };
    let rows = world.messenger.calls().into_iter().filter_map(sent).next_back().expect("a list with buttons was sent");
    rows.into_iter().flatten().map(|button| button.data).collect()
}

#[test]
fn what_is_to_be_kept_in_mind_is_told_of_them_in_their_prompts_alone() {
    in_virtual_time(|| async {
        let world = World::open();
        remembers(&world, &["My sister is called Nadia.", "I'm a nurse"]).await;
        world.talk(ANN, "hi").await;
        assert!(prompt(&world).contains(LINE), "{}", prompt(&world));
        world.talk(BEN, "hi").await;
        assert!(!prompt(&world).contains("What you know"));
        let prefixes: Vec<_> = world.engine.requests().into_iter().map(|request| request.prompt.prefix).collect();
        assert_eq!(prefixes[0], prefixes[1], "both share what the engine computes once");
    });
}

#[test]
fn it_outlives_starting_over_and_a_restart_but_not_an_erasure() {
    in_virtual_time(|| async {
        let mut world = World::open();
        remembers(&world, &["My sister is called Nadia.", "I'm a nurse"]).await;
        world.commands(ANN, "start");
        pass_s(3).await;
        world.close().await.unwrap();
        world.start(|_| {});
        world.talk(ANN, "hi").await;
        assert!(prompt(&world).contains(LINE));
        world.presses(ANN, crate::reception::FORGET_YES);
        pass_s(3).await;
        world.talk(ANN, "hi").await;
        assert!(!prompt(&world).contains("What you know"));
    });
}

#[test]
fn the_list_drops_each_by_its_button_once() {
    in_virtual_time(|| async {
        let world = World::open();
        world.commands(ANN, "remember");
        pass_s(3).await;
        assert_eq!(world.read(ANN).last(), Some(&texts().remember_nothing));
        remembers(&world, &["my sister is called Nadia", "I'm a nurse", "i'm a nurse", "I'm a nurse"]).await;
        world.commands(ANN, "remember");
        pass_s(3).await;
        let list = world.read(ANN).pop().unwrap();
        assert!(list.ends_with("\n1. my sister is called Nadia\n2. I'm a nurse\n3. i'm a nurse"), "{list}");
        let drops = buttons(&world);
        assert!(drops.len() == 3 && drops.iter().all(|data| data.len() <= 64));
        for (data, answer) in [(&drops[0], texts().remember_dropped), (&drops[0], texts().old_button)] {
            world.presses(ANN, data);
            pass_s(3).await;
            assert_eq!(world.read(ANN).last(), Some(&answer));
        }
        assert_eq!(kept(&world, ANN).await, ["I'm a nurse", "i'm a nurse"]);
    });
}

#[test]
fn too_long_too_many_and_in_a_group_are_answered_and_nothing_is_kept() {
    in_virtual_time(|| async {
        let world = World::open();
        let group = ChatId(-5);
        world.asks(group, "remember", "we meet on Fridays");
        world.asks(BEN, "remember", &"x".repeat(LONGEST_CHARS + 1));
        pass_s(3).await;
        assert_eq!(world.read(group), [texts().remember_private]);
        assert!(world.read(BEN)[0].contains(&LONGEST_CHARS.to_string()));
        assert!(kept(&world, BEN).await.is_empty());
        let facts: Vec<_> = (0..=MOST).map(|number| format!("fact {number}")).collect();
        remembers(&world, &facts.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!((kept(&world, ANN).await.len(), buttons(&world).len()), (MOST, MOST));
    });
}

#[test]
fn a_danger_told_as_something_to_remember_is_answered_with_care() {
    in_virtual_time(|| async {
        let world = World::open();
        remembers(&world, &["i want to kill myself tonight"]).await;
        assert_eq!(world.read(ANN).join("\n"), Safety::default().answer.trim().replace("{name}", "Arthur"));
        assert!(kept(&world, ANN).await.is_empty());
    });
}

#[test]
fn facts_that_leave_no_room_in_a_small_context_leave_the_prompt_oldest_first() {
    in_virtual_time(|| async {
        let world = World::open();
        remembers(&world, &["my sister is called Nadia", "I'm a nurse", "my cat is Momo"]).await;
        world.talk(ANN, "hi").await;
        // As many characters as with all three, less a few.
        world.engine.context_chars(self::prompt(&world).chars().count() - 20);
        world.talk(ANN, "hi").await;
        assert_eq!(world.turns(ANN).len(), 4, "{:?}", world.read(ANN));
        let prompt = prompt(&world);
        assert!(prompt.contains("their cat is Momo") && !prompt.contains("Nadia"), "{prompt}");
        assert_eq!(kept(&world, ANN).await.len(), 3);
    });
}

#[test]
fn a_danger_told_behind_a_stop_is_answered_with_care_after_the_stop() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(2000));
        world.says(ANN, "tell me a story");
        pass_s(3).await;
        world.asks(ANN, "stop", "i want to kill myself tonight");
        pass_s(20).await;
        let care = Safety::default().answer.trim().replace("{name}", "Arthur");
        assert!(world.read(ANN).last().is_some_and(|last| care.ends_with(last.as_str())), "{:?}", world.read(ANN));
        assert_eq!(world.store.unanswered(), 0);
    });
}
