//! Random schedules of what people do and what breaks: in the end everybody was answered, in order, and never twice.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::fakes::engine::Play;
use crate::ports::{OutState, Store as _, StoreError};
use friend_gguf::request::{GenerateError, SubmitError};

const CHATS: i64 = 4;
const ACTORS: [&str; 6] = ["poller", "router", "session", "emotion", "llm", "outbox"];

#[test]
fn every_word_is_answered_in_order_and_never_twice() {
    for seed in 0..60 {
        in_virtual_time(|| schedule(seed));
    }
}

async fn schedule(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let small = |config: &mut HouseConfig| {
        config.max_sessions = 3;
        config.conversation.idle_evict = Duration::from_secs(5);
        config.conversation.inbox_rows = 6;
        config.intensity.restarts = 1000;
        config.grace = Duration::from_secs(1);
    };
    let mut world = World::with(small);
    world.engine.pace(ms(random.random_range(0..400)));
    world.store.delay(ms(random.random_range(0..5)));
    let mut said: Vec<Vec<String>> = vec![Vec::new(); CHATS as usize];
    for step in 0..60 {
        let chat = random.random_range(0..CHATS);
        match random.random_range(0..20) {
            0..9 => {
                let word = format!("w{step}");
                world.says(ChatId(chat + 1), &word);
                said[chat as usize].push(word);
            }
            9 => world.commands(ChatId(chat + 1), "why"),
            10 => world.engine.play([Play::Refuse(SubmitError::Overloaded { queued: 9, wait: ms(800) })]),
            11 => world.engine.play([Play::Fail(GenerateError::Backend("on purpose".into())), Play::Vanish]),
            12 => world.store.fail_next(random.random_range(1..4), StoreError::Overloaded),
            13 => world.store.fail_next_of("finish", 1, StoreError::Other("on purpose".into())),
            14 | 15 => world.supervision.arm(ACTORS[random.random_range(0..ACTORS.len())], 1),
            16 => drop(world.supervision.lifeline("router")),
            17 => {
                world.store.claim(BOT, ChatId(chat + 1), 1).await.ok();
            }
            18 if random.random_bool(0.3) => {
                world.close().await.expect("an orderly end");
                world.start(small);
            }
            _ => pass_s(random.random_range(0..20)).await,
        }
        pass(ms(random.random_range(0..1500))).await;
    }
    pass_s(600).await;
    assert_eq!(world.store.unanswered(), 0, "seed {seed}: rows without an answer");
    let unsent = world.store.unsent(BOT).await.unwrap();
    assert!(unsent.is_empty(), "seed {seed}: answers not sent");
    for chat in 0..CHATS {
        let turns = world.turns(ChatId(chat + 1));
        let words: Vec<&str> =
            turns.iter().filter(|turn| turn.0 == Role::Person).flat_map(|turn| turn.1.split('\n')).collect();
        assert_eq!(words, said[chat as usize], "seed {seed}, chat {chat}: each word once, in order");
        let mut asked = "";
        for (role, text) in &turns {
            match role {
                Role::Person => asked = text,
                Role::Friend => assert_eq!(*text, format!("re: {}", asked.replace('\n', " ")), "seed {seed}"),
            }
        }
        let answers =
            |texts: Vec<String>| texts.into_iter().filter(|text| text.starts_with("re: ")).collect::<Vec<_>>();
        let mut kept = answers(turns.into_iter().map(|turn| turn.1).collect());
        let mut read = answers(world.read(ChatId(chat + 1)));
        read.dedup(); // A send that was perhaps done is done once more.
        // Two crashes in the midst of one and the same send: the policy is not to send a third time.
        let given_up =
            world.store.outbox().into_iter().filter(|row| row.state == OutState::Ambiguous && row.attempts > 1);
        let given_up: Vec<Outgoing> = given_up.map(|row| row.outgoing).collect();
        let is_given_up =
            |text: &String| given_up.contains(&Outgoing::Text { text: text.clone(), buttons: Vec::new(), topic: None });
        kept.retain(|text| read.contains(text) || !is_given_up(text));
        assert_eq!(read, kept, "seed {seed}, chat {chat}: what is remembered is what was read");
    }
}
