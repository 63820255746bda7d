//! Several people at once, in this process: everyone is answered, in order, in a mode that fits; and goes on being
//! answered while every actor panics once.

use std::collections::BTreeMap;
use std::time::Duration;

use ai_friend::app::Mind;
use friend_actors::report::TurnReport;
use friend_actors::types::ChatId;
use friend_sim::bot_api::{Event, User};
use futures_util::future::join_all;
use tokio::sync::broadcast;

use crate::running::{self, PATIENCE, Running};

const ACTORS: [&str; 6] = ["poller", "router", "session", "emotion", "llm", "outbox"];

/// What a person says, and the mode that fits.
type Line = (&'static str, &'static str);

const ANGRY: Line = ("i am so angry, my boss shouted at me in front of everyone and i hate him", "FIX");
const FURIOUS: Line = ("and then he laughed. i am furious, this makes me sick", "FIX");
const GLAD: Line = ("i passed my exam!! i am so happy, this is wonderful", "WARM");
const LOVING: Line = ("we are celebrating tonight, i love my friends so much", "WARM");
const TIME: Line = ("what time is it", "GENERAL");
const BUS: Line = ("which bus goes to the station", "GENERAL");
/// As glad as the others, but they have said that they want it.
const FLIRTING: Line = (GLAD.0, "FLIRT");

#[actix::test]
async fn eight_people_at_once_are_each_answered_in_order_in_a_mode_that_fits() {
    let config = running::config();
    let mind = Mind::load(&config).unwrap();
    let running = Running::start(&config, &mind).await;
    let reports = running.windows.observer.watch();
    let control = running.server.control();
    // Moods are a mean over a person's messages, so each person stays in one: a first message counts whole.
    let scripts: [[Line; 3]; 8] = std::array::from_fn(|person| match person % 4 {
        0 => [ANGRY, FURIOUS, ANGRY],
        1 => [GLAD, LOVING, GLAD],
        2 => [TIME, BUS, TIME],
        _ => [FLIRTING; 3],
    });
    let people: Vec<User> = (0..8).map(|person| control.user(100 + person, "Anna")).collect();
    let talks = people.iter().zip(&scripts).map(|(user, script)| async move {
        if script.iter().any(|(_, mode)| *mode == "FLIRT") {
            adult_who_wants_it(user).await;
        }
        let mark = user.ledger(0).last().map_or(0, |entry| entry.seq);
        for (text, _) in script {
            let answer = user.ask(text, PATIENCE).await.unwrap();
            assert!(!answer.trim().is_empty());
        }
        assert_eq!(order(user, mark), "wawawa", "one answer after each message");
    });
    join_all(talks).await;

    let modes = modes(reports, 24).await;
    for (user, script) in people.iter().zip(&scripts) {
        assert_eq!(modes[&ChatId(user.id())], script.map(|(_, mode)| mode), "{script:?}");
    }
    let status = mind.engine.status();
    assert!(status.reused_tokens > status.prompt_tokens, "prefixes and former turns are in the KV cache: {status:?}");
    running.stop().await;
}

/// /flirt and its button.
async fn adult_who_wants_it(user: &User) {
    user.ask("/flirt", PATIENCE).await.unwrap();
    let pressed = user.press("flirt:yes").unwrap();
    user.next_message(pressed.seq, PATIENCE).await.unwrap();
}

/// The modes of so many turns, by chat.
async fn modes(mut reports: broadcast::Receiver<TurnReport>, turns: usize) -> BTreeMap<ChatId, Vec<String>> {
    let mut modes: BTreeMap<ChatId, Vec<String>> = BTreeMap::new();
    for _ in 0..turns {
        let report = tokio::time::timeout(PATIENCE, reports.recv()).await.unwrap().unwrap();
        modes.entry(report.chat).or_default().push(report.choice.mode);
    }
    modes
}

/// What happened in a private chat: `w` for each message of the person, `a` for each of the bot's.
fn order(user: &User, since: u64) -> String {
    let letter = |event: &Event| match event {
        Event::UserWrote { .. } => Some('w'),
        Event::SawMessage { .. } => Some('a'),
        _ => None,
    };
    user.ledger(since).iter().filter_map(|entry| letter(&entry.event)).collect()
}

#[actix::test]
async fn every_actor_panics_once_under_load_and_nothing_is_lost() {
    let config = running::config();
    let mind = Mind::load(&config).unwrap();
    let running = Running::start(&config, &mind).await;
    let control = running.server.control();
    let people: Vec<User> = (0..4).map(|person| control.user(200 + person, "Ben")).collect();
    for actor in ACTORS {
        let mark = control.mark();
        running.supervision.arm(actor, 1);
        let answers = people.iter().map(|user| user.ask("tell me something about the sea", PATIENCE * 2));
        for answer in join_all(answers).await {
            assert!(!answer.unwrap().trim().is_empty(), "after a panic of {actor}");
        }
        // A panic that struck a send may have it repeated once; nobody is left without an answer.
        tokio::time::timeout(PATIENCE, async {
            while !running.supervision.restarts().contains_key(actor) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{actor} did not panic"));
        let orders: Vec<String> = people.iter().map(|user| order(user, mark)).collect();
        assert!(orders.iter().all(|order| order == "wa" || order == "waa"), "{actor}: {orders:?}");
        // The outbox takes all sends in flight with it, and nobody has written what became of them; elsewhere one at most is struck.
        let most = if actor == "outbox" { people.len() } else { 1 };
        assert!(orders.iter().filter(|order| *order == "waa").count() <= most, "{actor}: {orders:?}");
    }
    let restarts = running.supervision.restarts();
    assert_eq!(
        restarts.keys().copied().collect::<Vec<_>>(),
        ["emotion", "llm", "outbox", "poller", "router", "session"]
    );
    running.stop().await;
}
