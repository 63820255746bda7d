//! The emulator over real HTTP: polling, sending, drafts, buttons, errors.

mod support;

use std::time::Duration;

use friend_sim::bot_api::{Config, Event, Limits};
use serde_json::json;
use support::{SOON, World};

#[tokio::test]
async fn a_user_writes_the_bot_answers_and_the_user_sees_it() {
    let world = World::new().await;
    let anna = world.control.user(1001, "Anna");
    let said = anna.say("hello 😀");
    let updates = world.bot.updates().await;
    assert_eq!(updates.len(), 1);
    let message = &updates[0]["message"];
    assert_eq!(message["text"], "hello 😀");
    assert_eq!((message["from"]["id"].as_i64(), message["chat"]["type"].as_str()), (Some(1001), Some("private")));
    assert_eq!(updates[0]["update_id"].as_i64(), said.update_id);
    let sent = world.bot.ok("sendMessage", json!({ "chat_id": 1001, "text": "hi *you*" })).await;
    assert_eq!(sent["text"], "hi *you*");
    assert_eq!(anna.next_message(said.seq, SOON).await.unwrap().0, "hi *you*");
    world.server.shutdown().await;
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_an_update_comes() {
    let world = World::new().await;
    let anna = world.control.user(1, "Anna");
    let bot = world.bot.clone();
    let poll = tokio::spawn(async move { bot.ok("getUpdates", json!({ "timeout": 50 })).await });
    world.until_poll_waits().await;
    anna.say("now");
    let batch = tokio::time::timeout(SOON, poll).await.unwrap().unwrap();
    assert_eq!(batch[0]["message"]["text"], "now");
}

#[tokio::test]
async fn a_second_poller_ends_the_first_with_409() {
    let world = World::new().await;
    let (first, second) = (world.bot.clone(), world.bot.clone());
    let first = tokio::spawn(async move { first.err("getUpdates", json!({ "timeout": 50 })).await });
    world.until_poll_waits().await;
    let second = tokio::spawn(async move { second.ok("getUpdates", json!({ "timeout": 50 })).await });
    let (code, words) = tokio::time::timeout(SOON, first).await.unwrap().unwrap();
    assert_eq!(code, 409);
    assert!(words.starts_with("Conflict: terminated by other getUpdates request"), "{words}");
    world.control.user(1, "Anna").say("for the second");
    assert_eq!(second.await.unwrap()[0]["message"]["text"], "for the second");
}

#[tokio::test]
async fn tokens_and_paths_are_checked_as_telegram_does() {
    let mut world = World::new().await;
    let right = world.bot.base.clone();
    world.bot.base = right.replace("110201543", "110201544");
    assert_eq!(world.bot.err("getMe", json!({})).await, (401, "Unauthorized".to_owned()));
    world.bot.base = format!("{}/botnonsense", world.server.url());
    assert_eq!(world.bot.err("getMe", json!({})).await.0, 401);
    world.bot.base = right.replace("/bot", "/");
    assert_eq!(world.bot.err("getMe", json!({})).await, (404, "Not Found".to_owned()));
    world.bot.base = right;
    assert_eq!(world.bot.err("sendMesage", json!({})).await, (404, "Not Found: method not found".to_owned()));
    assert_eq!(world.bot.ok("GETME", json!({})).await["id"], 110_201_543);
}

#[tokio::test]
async fn a_webhook_stops_polling_until_it_is_deleted() {
    let world = World::new().await;
    world.control.set_webhook("https://example.org/hook");
    assert_eq!(world.bot.ok("getWebhookInfo", json!({})).await["url"], "https://example.org/hook");
    let (code, words) = world.bot.err("getUpdates", json!({})).await;
    assert!(code == 409 && words.contains("while webhook is active"), "{words}");
    world.bot.ok("deleteWebhook", json!({})).await;
    assert!(world.bot.updates().await.is_empty());
}

#[tokio::test]
async fn a_draft_grows_and_vanishes_when_the_message_comes() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("tell me");
    for text in ["", "Once", "Once upon"] {
        world.bot.ok("sendMessageDraft", json!({ "chat_id": 7, "draft_id": 5, "text": text, "can_stop": true })).await;
    }
    assert_eq!(anna.draft().as_deref(), Some("Once upon"));
    world.bot.ok("sendMessage", json!({ "chat_id": 7, "text": "Once upon a time." })).await;
    assert_eq!(anna.draft(), None);
    let kinds: Vec<_> = anna
        .ledger(said.seq)
        .iter()
        .map(|entry| entry.event.clone())
        .filter(|event| !matches!(event, Event::Call { .. }))
        .collect();
    assert!(
        matches!(
            &kinds[..],
            [
                Event::SawDraft { .. },
                Event::SawDraft { .. },
                Event::SawDraft { .. },
                Event::DraftGone { why: "sent", .. },
                Event::SawMessage { .. },
            ]
        ),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn drafts_are_refused_outside_private_chats_and_without_an_id() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("hi");
    let group = world.control.group("friends", &anna).unwrap();
    let draft = |chat: i64, id: i64| json!({ "chat_id": chat, "draft_id": id, "text": "x" });
    assert_eq!(world.bot.err("sendMessageDraft", draft(7, 0)).await.0, 400);
    assert_eq!(world.bot.err("sendMessageDraft", draft(group.id(), 1)).await.0, 400);
    assert_eq!(world.bot.err("sendMessageDraft", draft(999, 1)).await, (400, "Bad Request: chat not found".to_owned()));
    world.bot.ok("sendMessageDraft", draft(7, -3)).await;
}

#[tokio::test]
async fn stop_under_a_draft_takes_it_away_and_tells_the_bot() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("hi");
    world.bot.ok("sendMessageDraft", json!({ "chat_id": 7, "draft_id": 5, "text": "a" })).await;
    assert!(anna.stop_draft().is_err(), "no Stop button was asked for");
    world.bot.ok("sendMessageDraft", json!({ "chat_id": 7, "draft_id": 5, "text": "ab", "can_stop": true })).await;
    let stopped = anna.stop_draft().unwrap();
    let updates = world.bot.updates().await;
    assert_eq!(updates[1]["stopped_message_generation"]["draft_id"], 5);
    assert_eq!(updates[1]["stopped_message_generation"]["chat"]["id"], 7);
    world.bot.ok("sendMessageDraft", json!({ "chat_id": 7, "draft_id": 5, "text": "abc" })).await;
    let after = anna.ledger(stopped.seq);
    assert!(!after.iter().any(|entry| matches!(entry.event, Event::SawDraft { .. })), "nothing more of it is shown");
}

#[tokio::test]
async fn drafts_and_typing_end_by_their_age() {
    let config = Config {
        draft_ttl: Duration::from_millis(120),
        action_ttl: Duration::from_millis(60),
        limits: Limits::off(),
        ..Config::default()
    };
    let world = World::with(config).await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("hi");
    world.bot.ok("sendMessageDraft", json!({ "chat_id": 7, "draft_id": 5, "text": "a" })).await;
    world.bot.ok("sendChatAction", json!({ "chat_id": 7, "action": "typing" })).await;
    anna.wait_for(said.seq, SOON, |event| *event == Event::ActionGone).await.unwrap();
    anna.wait_for(said.seq, SOON, |event| matches!(event, Event::DraftGone { why: "expired", .. })).await.unwrap();
    assert!(anna.draft().is_none() && !anna.sees_action());
    assert_eq!(world.bot.err("sendChatAction", json!({ "chat_id": 7, "action": "dancing" })).await.0, 400);
}

#[tokio::test]
async fn a_button_is_pressed_and_answered_once() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("/forget");
    let keyboard = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "forget:yes" }]] });
    let sent = world.bot.ok("sendMessage", json!({ "chat_id": 7, "text": "Sure?", "reply_markup": keyboard })).await;
    assert!(anna.press("No").is_err());
    let pressed = anna.press("Yes").unwrap();
    assert_eq!(pressed.message_id, sent["message_id"].as_i64().unwrap());
    let query = world.bot.updates().await[1]["callback_query"].clone();
    assert_eq!((query["data"].as_str(), query["message"]["text"].as_str()), (Some("forget:yes"), Some("Sure?")));
    let answer = json!({ "callback_query_id": query["id"], "text": "Gone.", "show_alert": true });
    world.bot.ok("answerCallbackQuery", answer.clone()).await;
    let notice = anna.wait_for(pressed.seq, SOON, |event| matches!(event, Event::SawNotice { .. })).await.unwrap();
    assert!(matches!(&notice.event, Event::SawNotice { text, alert: true, .. } if text == "Gone."));
    let (code, words) = world.bot.err("answerCallbackQuery", answer).await;
    assert!(code == 400 && words.contains("query is too old"), "{words}");
}

#[tokio::test]
async fn a_pressed_button_grows_too_old_to_be_answered_whatever_else_is_shown() {
    let callback_ttl = Duration::from_millis(50);
    let world = World::with(Config { callback_ttl, limits: Limits::off(), ..Config::default() }).await;
    let anna = world.control.user(7, "Anna");
    anna.say("/forget");
    let keyboard = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "forget:yes" }]] });
    world.bot.ok("sendMessage", json!({ "chat_id": 7, "text": "Sure?", "reply_markup": keyboard })).await;
    anna.press("Yes").unwrap();
    let query = world.bot.updates().await[1]["callback_query"].clone();
    tokio::time::sleep(callback_ttl * 2).await;
    world.bot.ok("sendChatAction", json!({ "chat_id": 7, "action": "typing" })).await;
    assert!(anna.sees_action());
    let (code, words) = world.bot.err("answerCallbackQuery", json!({ "callback_query_id": query["id"] })).await;
    assert!(code == 400 && words.contains("query is too old"), "{words}");
}

#[tokio::test]
async fn texts_are_limited_in_utf16_units_after_parsing() {
    let world = World::new().await;
    world.control.user(7, "Anna").say("hi");
    let send = |text: String, mode: &str| json!({ "chat_id": 7, "text": text, "parse_mode": mode });
    world.bot.ok("sendMessage", send("😀".repeat(2048), "")).await;
    world.bot.ok("sendMessage", send(format!("<b>{}</b>", "a".repeat(4096)), "HTML")).await;
    let refused = [
        (send("😀".repeat(2049), ""), "Bad Request: message is too long"),
        (send(String::new(), ""), "Bad Request: message text is empty"),
        (send(" \n ".to_owned(), ""), "Bad Request: text must be non-empty"),
        (send("<b></b>".to_owned(), "HTML"), "Bad Request: text must be non-empty"),
        (send("\u{200b}\u{2800}\u{a0}".to_owned(), ""), "Bad Request: text must be non-empty"),
        (
            send("a.".to_owned(), "MarkdownV2"),
            "Bad Request: can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
        ),
        (send("a".to_owned(), "XML"), "Bad Request: unsupported parse_mode"),
    ];
    for (params, words) in refused {
        assert_eq!(world.bot.err("sendMessage", params).await, (400, words.to_owned()));
    }
}

#[tokio::test]
async fn edits_are_checked_and_seen() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("hi");
    let id = world.bot.ok("sendMessage", json!({ "chat_id": 7, "text": "one" })).await["message_id"].clone();
    let edit = |id: serde_json::Value, text: &str| json!({ "chat_id": 7, "message_id": id, "text": text });
    let edited = world.bot.ok("editMessageText", edit(id.clone(), "two")).await;
    assert!(edited["text"] == "two" && edited["edit_date"].is_u64());
    anna.wait_for(said.seq, SOON, |event| matches!(event, Event::SawEdit { text, .. } if text == "two")).await.unwrap();
    for (params, words) in [
        (edit(id.clone(), "two"), "message is not modified"),
        (edit(json!(999), "x"), "message to edit not found"),
        (edit(json!(said.message_id), "x"), "message can't be edited"),
    ] {
        let (code, found) = world.bot.err("editMessageText", params).await;
        assert!(code == 400 && found.contains(words), "{found}");
    }
    let keyboard = json!({ "inline_keyboard": [[{ "text": "a", "callback_data": "b" }]] });
    let with_buttons = json!({ "chat_id": 7, "message_id": id, "reply_markup": keyboard });
    world.bot.ok("editMessageReplyMarkup", with_buttons).await;
    anna.press("b").unwrap();
    world.bot.ok("editMessageReplyMarkup", json!({ "chat_id": 7, "message_id": id })).await;
    assert!(anna.press("b").is_err(), "the buttons are gone");
    for nothing in [json!([]), json!([[]])] {
        let no_buttons = json!({ "chat_id": 7, "message_id": id, "reply_markup": { "inline_keyboard": nothing } });
        let (code, found) = world.bot.err("editMessageReplyMarkup", no_buttons).await;
        assert!(code == 400 && found.contains("message is not modified"), "{found}");
    }
    let invisible = world.bot.err("editMessageText", edit(id.clone(), "\u{200b}")).await;
    assert_eq!(invisible, (400, "Bad Request: text must be non-empty".to_owned()));
    world.bot.ok("deleteMessage", json!({ "chat_id": 7, "message_id": id })).await;
    assert_eq!(world.bot.err("deleteMessage", json!({ "chat_id": 7, "message_id": id })).await.0, 400);
}

#[tokio::test]
async fn blockers_strangers_and_the_deleted_cannot_be_written_to() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let send = json!({ "chat_id": 7, "text": "hi" });
    assert_eq!(world.bot.err("sendMessage", send.clone()).await, (400, "Bad Request: chat not found".to_owned()));
    anna.say("hello");
    world.bot.ok("sendMessage", send.clone()).await;
    anna.block();
    assert_eq!(
        world.bot.err("sendMessage", send.clone()).await,
        (403, "Forbidden: bot was blocked by the user".to_owned())
    );
    let told = world.bot.updates().await;
    assert_eq!(told[1]["my_chat_member"]["new_chat_member"]["status"], "kicked");
    anna.unblock();
    world.bot.ok("sendMessage", send.clone()).await;
    anna.deactivate();
    assert_eq!(world.bot.err("sendMessage", send).await, (403, "Forbidden: user is deactivated".to_owned()));
}
