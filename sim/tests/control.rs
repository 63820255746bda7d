//! The control interface over HTTP, and the live ledger.

mod support;

use std::time::Duration;

use friend_sim::bot_api::{BotApi, Config, Event, StartError};
use serde_json::{Value, json};
use support::{SOON, World};

async fn post(world: &World, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/control/{path}", world.server.url());
    let response = world.bot.client.post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(world: &World, path: &str) -> Value {
    world.bot.client.get(format!("{}/control/{path}", world.server.url())).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_script_plays_a_user_over_http() {
    let world = World::new().await;
    let (status, said) = post(&world, "act", json!({ "do": "say", "user": 7, "name": "Anna", "text": "hi" })).await;
    assert_eq!(status, 200, "{said}");
    let keyboard = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "y" }]] });
    world.bot.ok("sendMessage", json!({ "chat_id": 7, "text": "sure?", "reply_markup": keyboard })).await;
    assert_eq!(post(&world, "act", json!({ "do": "press", "user": 7, "button": "Yes" })).await.0, 200);
    assert_eq!(post(&world, "act", json!({ "do": "send", "user": 7, "media": "voice" })).await.0, 200);
    assert_eq!(post(&world, "act", json!({ "do": "press", "user": 7, "button": "No" })).await.0, 409);
    assert_eq!(post(&world, "act", json!({ "do": "fly", "user": 7 })).await.0, 400);
    let since = said["result"]["seq"].as_u64().unwrap();
    let lines = get(&world, &format!("ledger?since={since}&chat=7")).await;
    let kinds: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["saw_message", "call", "user_pressed", "user_sent"]);
    assert_eq!(get(&world, "state").await["pending_updates"], 3);
}

#[tokio::test]
async fn the_control_interface_explains_itself_and_every_example_is_understood() {
    for path in ["control", "control/"] {
        let world = World::new().await;
        let help = world.bot.client.get(format!("{}/{path}", world.server.url())).send().await.unwrap();
        let help = help.text().await.unwrap();
        let examples: Vec<&str> = help.split("{\"do\"").skip(1).collect();
        assert!(examples.len() > 10, "{help}");
        let mut done = Vec::new();
        for example in examples {
            let text = format!("{{\"do\"{example}");
            let act = serde_json::Deserializer::from_str(&text).into_iter::<Value>().next().unwrap().unwrap();
            let (status, answer) = post(&world, "act", act.clone()).await;
            assert_ne!(status, 400, "{act}: {answer}");
            if status == 200 {
                done.push(act["do"].as_str().unwrap().to_owned());
            }
        }
        for works in ["user", "say", "send", "create_group", "join", "migrate"] {
            assert!(done.iter().any(|deed| deed == works), "{works}, as the help shows it, does not work: {help}");
        }
        assert!(world.bot.try_call("getMe", json!({})).await.is_err(), "an example took the API out of reach");
        assert_eq!(post(&world, "act", json!({ "do": "offline", "offline": false })).await.0, 200);
        world.bot.ok("getMe", json!({})).await;
    }
}

#[tokio::test]
async fn a_script_plays_a_group_over_http() {
    let world = World::new().await;
    let (_, made) = post(&world, "act", json!({ "do": "create_group", "user": 7, "title": "friends" })).await;
    let chat = made["result"]["chat"].as_i64().unwrap();
    let say = json!({ "do": "say", "user": 8, "name": "Ben", "chat": chat, "text": "hi all" });
    assert_eq!(post(&world, "act", say.clone()).await.0, 409, "not a member yet");
    post(&world, "act", json!({ "do": "join", "user": 8, "chat": chat })).await;
    assert_eq!(post(&world, "act", say).await.0, 200);
    let (_, moved) = post(&world, "act", json!({ "do": "migrate", "chat": chat, "silent": true })).await;
    let (_, answer) = world.bot.call("sendMessage", json!({ "chat_id": chat, "text": "x" })).await;
    assert_eq!(answer["parameters"]["migrate_to_chat_id"], moved["result"]["chat"]);
    assert_eq!(world.bot.updates().await.last().unwrap()["message"]["text"], "hi all");
}

#[tokio::test]
async fn a_script_injects_faults_over_http() {
    let world = World::new().await;
    assert_eq!(
        post(&world, "faults", json!({ "method": "getMe", "fault": "error", "code": 500, "description": "no" }))
            .await
            .0,
        200
    );
    assert_eq!(get(&world, "faults").await.as_array().unwrap().len(), 1);
    assert_eq!(world.bot.err("getMe", json!({})).await, (500, "no".to_owned()));
    world.bot.ok("getMe", json!({})).await;
    assert_eq!(post(&world, "faults", json!({ "fault": "sorcery" })).await.0, 400);
}

#[tokio::test]
async fn the_ledger_streams_live_over_http() {
    let world = World::new().await;
    let url = format!("{}/control/events?chat=7", world.server.url());
    let mut stream = world.bot.client.get(url).send().await.unwrap();
    world.control.user(7, "Anna").say("hi");
    world.bot.ok("sendChatAction", json!({ "chat_id": 7, "action": "typing" })).await;
    let mut text = String::new();
    while !text.contains("saw_action") {
        let chunk = tokio::time::timeout(SOON, stream.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((first["kind"].as_str(), first["text"].as_str()), (Some("user_wrote"), Some("hi")));
}

#[tokio::test]
async fn web_pages_of_other_sites_may_not_play_users() {
    let world = World::new().await;
    let url = format!("{}/control/act", world.server.url());
    let body = json!({ "do": "say", "user": 7, "text": "hi" }).to_string();
    let response = world.bot.client.post(url).header("origin", "http://evil.example").body(body).send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(world.control.pending_updates(), 0);
}

#[tokio::test]
async fn control_can_be_left_out() {
    let world = World::with(Config { serve_control: false, ..Config::default() }).await;
    let response = world.bot.client.get(format!("{}/control/state", world.server.url())).send().await.unwrap();
    assert_ne!(response.status(), 200);
}

#[tokio::test]
async fn a_subscriber_sees_typing_drafts_and_the_message_as_they_come() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("hi");
    let mut live = world.control.subscribe();
    world.bot.ok("sendChatAction", json!({ "chat_id": 7, "action": "typing" })).await;
    world.bot.ok("sendMessageDraft", json!({ "chat_id": 7, "draft_id": 1, "text": "He" })).await;
    world.bot.ok("sendMessage", json!({ "chat_id": 7, "text": "Hello" })).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        match &live.recv().await.unwrap().event {
            Event::Call { .. } => {}
            event => seen.push(format!("{event:?}").split([' ', '{']).next().unwrap().to_owned()),
        }
    }
    assert_eq!(seen, ["SawAction", "SawDraft", "DraftGone", "ActionGone", "SawMessage"]);
}

#[tokio::test]
async fn waiting_in_vain_says_what_came_instead() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("hi");
    let error = anna.next_message(0, Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.looked_at, 1);
    assert!(error.to_string().contains("UserWrote"), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_way_out() {
    let world = World::new().await;
    let error = BotApi::start(Config { listen: world.server.address(), ..Config::default() }).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    assert!(error.to_string().contains(&world.server.address().to_string()));
    let error = BotApi::start(Config { token: "secret".to_owned(), ..Config::default() }).await.unwrap_err();
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn a_stopped_server_ends_its_open_polls() {
    let world = World::new().await;
    let bot = world.bot.clone();
    let poll = tokio::spawn(async move { bot.try_call("getUpdates", json!({ "timeout": 50 })).await.is_err() });
    world.until_poll_waits().await;
    tokio::time::timeout(SOON, world.server.shutdown()).await.unwrap();
    assert!(tokio::time::timeout(SOON, poll).await.unwrap().unwrap());
}
