//! Injected faults, flood limits and what else goes wrong between a bot and Telegram.

mod support;

use std::time::Duration;

use friend_sim::bot_api::{BatchFault, Config, Event, Fault, FaultRule, Limits, Rate};
use serde_json::json;
use support::{SOON, World};

async fn world_with_anna() -> World {
    let world = World::new().await;
    world.control.user(7, "Anna").say("hi");
    world
}

fn send() -> serde_json::Value {
    json!({ "chat_id": 7, "text": "hello" })
}

#[tokio::test]
async fn a_cut_before_the_effect_loses_the_message_and_one_after_it_does_not() {
    let world = world_with_anna().await;
    let anna = world.control.user(7, "Anna");
    world.control.inject(FaultRule::new("sendMessage", Fault::Cut));
    assert!(world.bot.try_call("sendMessage", send()).await.is_err());
    assert_eq!(anna.received().len(), 0);
    for fault in [Fault::Cut, Fault::CutBody] {
        let before = anna.received().len();
        world.control.inject(FaultRule::new("sendMessage", fault).after_effect());
        assert!(world.bot.try_call("sendMessage", send()).await.is_err());
        assert_eq!(anna.received().len(), before + 1, "the user saw it all the same");
    }
    world.bot.ok("sendMessage", send()).await;
}

#[tokio::test]
async fn answers_can_be_errors_html_garbage_or_of_the_wrong_shape() {
    let world = world_with_anna().await;
    world.control.fail("sendMessage", Fault::internal(), 1);
    assert_eq!(world.bot.err("sendMessage", send()).await, (500, "Internal Server Error".to_owned()));
    world.control.fail("sendMessage", Fault::too_many_requests(17), 1);
    let (status, answer) = world.bot.call("sendMessage", send()).await;
    assert_eq!((status, answer["parameters"]["retry_after"].as_u64()), (429, Some(17)));
    world.control.fail("sendMessage", Fault::Html { status: 502 }, 1);
    let response = world.bot.client.post(format!("{}/sendMessage", world.bot.base)).json(&send()).send().await.unwrap();
    assert_eq!(response.status(), 502);
    assert!(response.text().await.unwrap().contains("<h1>502 Bad Gateway</h1>"));
    world.control.fail("sendMessage", Fault::Garbage, 1);
    assert!(world.bot.try_call("sendMessage", send()).await.unwrap_err().is_decode());
    world.control.fail("sendMessage", Fault::WrongShape, 1);
    assert!(world.bot.ok("sendMessage", send()).await["message_id"].is_null());
    assert!(world.control.user(7, "Anna").received().is_empty(), "none of them took effect");
    let statuses: Vec<u16> = world
        .control
        .ledger(0)
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Call { status, .. } => Some(status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [500, 429, 502, 200, 200], "the ledger has what the bot got");
}

#[tokio::test]
async fn a_delay_comes_before_the_effect() {
    let world = world_with_anna().await;
    world.control.fail("sendMessage", Fault::Delay { ms: 80 }, 1);
    let began = std::time::Instant::now();
    world.bot.ok("sendMessage", send()).await;
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_delay_after_the_effect_holds_back_the_answer_only() {
    let world = world_with_anna().await;
    let anna = world.control.user(7, "Anna");
    let delay = Fault::Delay { ms: 20_000 };
    world.control.inject(FaultRule::new("sendMessage", delay).after_effect());
    let call = world.bot.client.post(format!("{}/sendMessage", world.bot.base)).json(&send());
    let error = call.timeout(Duration::from_secs(1)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(anna.received(), ["hello"], "timed out, but delivered");
    assert_eq!(world.control.calls("sendMessage", 0), 1);
    world.control.inject(FaultRule::new("sendMessage", Fault::Delay { ms: 80 }).after_effect());
    let began = std::time::Instant::now();
    world.bot.ok("sendMessage", send()).await;
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn an_api_out_of_reach_comes_back() {
    let world = World::new().await;
    let bot = world.bot.clone();
    let poll = tokio::spawn(async move { bot.try_call("getUpdates", json!({ "timeout": 50 })).await.is_err() });
    world.until_poll_waits().await;
    world.control.set_offline(true);
    assert!(tokio::time::timeout(SOON, poll).await.unwrap().unwrap(), "the open poll is cut");
    assert!(world.bot.try_call("getMe", json!({})).await.is_err());
    world.control.set_offline(false);
    world.bot.ok("getMe", json!({})).await;
}

#[tokio::test]
async fn flood_limits_answer_429_until_they_are_lifted() {
    let rate = Rate { count: 1, per: Duration::from_secs(600), burst: 2 };
    let world =
        World::with(Config { limits: Limits { per_chat: Some(rate), ..Limits::off() }, ..Config::default() }).await;
    let anna = world.control.user(7, "Anna");
    anna.say("hi");
    world.bot.ok("sendMessage", send()).await;
    world.bot.ok("sendMessage", send()).await;
    let (status, answer) = world.bot.call("sendMessage", send()).await;
    let wait = answer["parameters"]["retry_after"].as_u64().unwrap();
    assert!(status == 429 && (1..=600).contains(&wait), "{answer}");
    assert_eq!(answer["description"], format!("Too Many Requests: retry after {wait}"));
    assert_eq!(anna.received().len(), 2);
    world.control.set_limits(Limits::off());
    world.bot.ok("sendMessage", send()).await;
}

#[tokio::test]
async fn batches_come_doubled_and_ids_restart_and_unknown_kinds_come() {
    let world = world_with_anna().await;
    world.control.spoil_batch(BatchFault::Duplicated);
    let batch = world.bot.updates().await;
    assert_eq!(batch.len(), 2);
    assert_eq!(batch[0], batch[1]);
    let next = batch[1]["update_id"].as_i64().unwrap() + 1;
    world.bot.ok("getUpdates", json!({ "offset": next })).await;
    world.control.restart_update_ids_at(17);
    world.control.user(7, "Anna").say("after an idle week");
    world.control.raw_update("telepathy", json!({ "thought": "…" }));
    let batch = world.bot.ok("getUpdates", json!({ "offset": next })).await;
    assert_eq!((batch[0]["update_id"].as_i64(), batch[1]["telepathy"]["thought"].as_str()), (Some(17), Some("…")));
}

#[tokio::test]
async fn a_cut_poll_has_confirmed_its_offset_all_the_same() {
    let world = world_with_anna().await;
    world.control.user(7, "Anna").say("two");
    let first = world.bot.updates().await[0]["update_id"].as_i64().unwrap();
    world.control.inject(FaultRule::new("getUpdates", Fault::Cut).after_effect());
    assert!(world.bot.try_call("getUpdates", json!({ "offset": first + 1 })).await.is_err());
    assert_eq!(world.bot.updates().await.len(), 1, "the confirmed one is gone, the other is not");
}
