//! Load scenarios: what counts as an answer, and what is made of messages that get none.

mod support;

use std::time::Duration;

use friend_sim::bot_api::Event;
use friend_sim::report::Figure;
use friend_sim::scenario::Scenario;
use serde_json::json;
use support::{Bot, SOON, World};
use tokio::sync::watch;

const BUSY: &str = "So many people. Give me about";
const SORRY: &str = "Sorry, I lost my words.";

/// One user without `/start` who knows what is no answer.
fn scenario(turns: usize, patience: Duration) -> Scenario {
    Scenario {
        turns,
        patience,
        start_command: false,
        put_off: vec![String::new(), BUSY.to_owned()],
        apologies: vec![String::new(), SORRY.to_owned()],
        ..Scenario::default()
    }
}

/// A bot that answers its n-th message with what `says` for it, each text after its pause.
async fn answer(bot: Bot, says: impl Fn(usize) -> Vec<(Duration, String)>) {
    let (mut offset, mut heard) = (0, 0);
    loop {
        let updates = bot.ok("getUpdates", json!({ "offset": offset, "timeout": 20 })).await;
        for update in updates.as_array().unwrap() {
            offset = update["update_id"].as_i64().unwrap() + 1;
            let chat = &update["message"]["chat"]["id"];
            for (pause, text) in says(heard) {
                tokio::time::sleep(pause).await;
                bot.ok("sendMessageDraft", json!({ "chat_id": chat, "draft_id": 1, "text": "" })).await;
                bot.ok("sendMessage", json!({ "chat_id": chat, "text": text })).await;
            }
            heard += 1;
        }
    }
}

/// What people wrote.
fn written(world: &World) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::UserWrote { text, .. } => Some(text.clone()),
        _ => None,
    };
    world.control.ledger(0).iter().filter_map(|entry| text(&entry.event)).collect()
}

#[tokio::test]
async fn a_scenario_measures_an_echoing_bot() {
    let world = World::new().await;
    let echo = tokio::spawn(answer(world.bot.clone(), |n| vec![(Duration::ZERO, format!("answer {n}"))]));
    let scenario =
        Scenario { users: 5, turns: 3, pace: Duration::from_millis(30), patience: SOON, ..Scenario::default() };
    let report = scenario.run(&world.control).await;
    echo.abort();
    assert_eq!((report.messages, report.replies, report.unanswered), (15, 15, 0));
    let seconds = |figure: Figure| figure.measured().unwrap();
    assert!(seconds(report.first_text.p50) > 0.0 && seconds(report.first_text.max) <= seconds(report.answer.max));
    assert!(seconds(report.answer_from_due.max) >= seconds(report.answer.max));
    assert!(report.replies_per_second > 1.0);
}

#[tokio::test]
async fn an_answer_that_was_put_off_is_waited_for() {
    let world = World::new().await;
    let later = Duration::from_millis(80);
    let says = move |_| vec![(Duration::ZERO, format!("{BUSY} 20 seconds.")), (later, "here I am".to_owned())];
    let bot = tokio::spawn(answer(world.bot.clone(), says));
    let report = scenario(2, SOON).run(&world.control).await;
    bot.abort();
    assert_eq!((report.replies, report.unanswered, report.failed, report.put_off), (2, 0, 0, 2));
    assert!(report.answer.p50.measured().unwrap() >= later.as_secs_f64(), "{report:?}");
    assert!(report.first_text.p50.measured().unwrap() >= later.as_secs_f64(), "{report:?}");
}

#[tokio::test]
async fn an_answer_that_was_put_off_for_ever_is_none() {
    let world = World::new().await;
    let bot =
        tokio::spawn(answer(world.bot.clone(), |_| vec![(Duration::ZERO, format!("{BUSY} 20 seconds, believe me."))]));
    let report = scenario(1, Duration::from_millis(500)).run(&world.control).await;
    bot.abort();
    assert_eq!((report.replies, report.unanswered, report.put_off), (0, 1, 1));
}

#[tokio::test]
async fn an_apology_fails_its_message_and_the_user_goes_on() {
    let world = World::new().await;
    let says = |n| vec![(Duration::ZERO, if n == 0 { SORRY.to_owned() } else { "now I know".to_owned() })];
    let bot = tokio::spawn(answer(world.bot.clone(), says));
    let report = scenario(2, SOON).run(&world.control).await;
    bot.abort();
    assert_eq!((report.replies, report.unanswered, report.failed), (1, 0, 1));
    assert!(report.answer.p50.measured().is_some());
    assert_eq!(report.answer.max, Figure::AtLeast(SOON.as_secs_f64()));
}

#[tokio::test]
async fn who_has_given_up_writes_no_more_so_that_a_late_answer_is_nobodys() {
    let world = World::new().await;
    let bot = tokio::spawn(answer(world.bot.clone(), |_| vec![(Duration::from_millis(300), "at last".to_owned())]));
    let (done, progress) = watch::channel(0);
    let report = scenario(4, Duration::from_millis(200)).run_with_progress(&world.control, done).await;
    bot.abort();
    assert_eq!((report.messages, report.replies, report.unanswered), (4, 0, 4));
    assert_eq!(report.answer.p50, Figure::AtLeast(0.2));
    assert_eq!(written(&world).len(), 1);
    assert_eq!(*progress.borrow(), 4, "what is not written is over as well");
}

#[tokio::test]
async fn a_start_that_is_never_answered_ends_it_too() {
    let world = World::new().await;
    let scenario = Scenario { start_command: true, ..scenario(2, Duration::from_millis(20)) };
    let report = scenario.run(&world.control).await;
    assert_eq!((report.messages, report.replies, report.unanswered), (2, 0, 2));
    assert_eq!(written(&world), ["/start"]);
}
