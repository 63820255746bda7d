//! Documents, reactions, commands, replies; parameters in every form; groups and their migration.

mod support;

use friend_sim::bot_api::{Config, Event, Limits, Media};
use serde_json::{Value, json};
use support::{SOON, World};

#[tokio::test]
async fn parameters_come_as_query_form_json_or_multipart() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("hi");
    let url = format!("{}/sendMessage", world.bot.base);
    let client = &world.bot.client;
    let keyboard = r#"{"inline_keyboard":[[{"text":"a","callback_data":"b"}]]}"#;
    let answers = [
        client.get(format!("{url}?chat_id=7&text=one%20%26%20only")).send().await.unwrap(),
        client
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("chat_id=7&text=two+%C3%A9")
            .send()
            .await
            .unwrap(),
        client.post(&url).json(&json!({ "chat_id": "7", "text": "three" })).send().await.unwrap(),
        client
            .post(&url)
            .multipart(
                reqwest::multipart::Form::new()
                    .text("chat_id", "7")
                    .text("text", "four")
                    .text("reply_markup", keyboard),
            )
            .send()
            .await
            .unwrap(),
    ];
    for answer in answers {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(anna.received(), ["one & only", "two é", "three", "four"]);
    anna.press("b").unwrap();
    let broken =
        client.post(&url).header("content-type", "application/json").body("{\"chat_id\":").send().await.unwrap();
    assert_eq!(broken.status(), 400);
}

#[tokio::test]
async fn a_document_arrives_with_its_content() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("/export");
    let url = format!("{}/sendDocument", world.bot.base);
    let part = reqwest::multipart::Part::bytes(b"{\"turns\":[]}".to_vec())
        .file_name("me.json")
        .mime_str("application/json")
        .unwrap();
    let form = reqwest::multipart::Form::new().text("chat_id", "7").text("caption", "yours").part("document", part);
    let answer: Value = world.bot.client.post(&url).multipart(form).send().await.unwrap().json().await.unwrap();
    let document = &answer["result"]["document"];
    assert_eq!(
        (document["file_name"].as_str(), answer["result"]["caption"].as_str()),
        (Some("me.json"), Some("yours"))
    );
    let seen = anna.wait_for(said.seq, SOON, |event| matches!(event, Event::SawDocument { .. })).await.unwrap();
    let Event::SawDocument { file_id, size, .. } = &seen.event else { unreachable!() };
    assert_eq!((*size, &world.control.file(file_id).unwrap().content[..]), (12, &b"{\"turns\":[]}"[..]));
    world.bot.ok("sendDocument", json!({ "chat_id": 7, "document": file_id })).await;
    let empty = reqwest::multipart::Part::bytes(Vec::new()).file_name("me.json");
    let form = reqwest::multipart::Form::new().text("chat_id", "7").part("document", empty);
    let answer: Value = world.bot.client.post(&url).multipart(form).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["description"], "Bad Request: file must be non-empty");
    assert_eq!(world.bot.err("sendDocument", json!({ "chat_id": 7 })).await.0, 400);
}

#[tokio::test]
async fn reactions_are_of_the_documented_kind_and_one_at_most() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("i passed!");
    let react = |emoji: &[&str]| {
        let list: Vec<Value> = emoji.iter().map(|emoji| json!({ "type": "emoji", "emoji": emoji })).collect();
        json!({ "chat_id": 7, "message_id": said.message_id, "reaction": list })
    };
    world.bot.ok("setMessageReaction", react(&["🎉"])).await;
    world.bot.ok("setMessageReaction", react(&["❤\u{fe0f}"])).await;
    world.bot.ok("setMessageReaction", react(&[])).await;
    assert_eq!(world.bot.err("setMessageReaction", react(&["🧦"])).await.1, "Bad Request: REACTION_INVALID");
    assert_eq!(world.bot.err("setMessageReaction", react(&["🎉", "🔥"])).await.1, "Bad Request: REACTIONS_TOO_MANY");
    let seen = anna.wait_for(said.seq, SOON, |event| matches!(event, Event::SawReaction { .. })).await.unwrap();
    assert!(matches!(&seen.event, Event::SawReaction { reactions, .. } if *reactions == ["🎉"]));
}

#[tokio::test]
async fn commands_are_kept_by_scope_and_checked() {
    let world = World::new().await;
    let list = |name: &str| json!({ "commands": [{ "command": name, "description": "Begin" }] });
    world.bot.ok("setMyCommands", list("start")).await;
    assert_eq!(world.bot.ok("getMyCommands", json!({})).await[0]["command"], "start");
    let private = json!({ "scope": { "type": "all_private_chats" } });
    assert_eq!(world.bot.ok("getMyCommands", private).await, json!([]));
    assert_eq!(world.control.commands().len(), 1);
    for bad in ["", "Start", "has space", &"x".repeat(33)] {
        assert_eq!(world.bot.err("setMyCommands", list(bad)).await.1, "Bad Request: BOT_COMMAND_INVALID");
    }
    world.bot.ok("deleteMyCommands", json!({})).await;
    assert_eq!(world.bot.ok("getMyCommands", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_reply_names_a_message_that_exists() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("hi");
    let reply = |id: i64, lenient: bool| json!({ "chat_id": 7, "text": "re", "reply_parameters": { "message_id": id, "allow_sending_without_reply": lenient } });
    let sent = world.bot.ok("sendMessage", reply(said.message_id, false)).await;
    assert_eq!(sent["reply_to_message"]["text"], "hi");
    assert_eq!(world.bot.err("sendMessage", reply(999, false)).await.1, "Bad Request: message to be replied not found");
    world.bot.ok("sendMessage", reply(999, true)).await;
    anna.reply(sent["message_id"].as_i64().unwrap(), "re: re").unwrap();
    assert_eq!(world.bot.updates().await[1]["message"]["reply_to_message"]["text"], "re");
}

#[tokio::test]
async fn people_send_and_edit_every_kind_of_message() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let said = anna.say("/start@arthur_friend_bot now");
    anna.edit(said.message_id, "changed").unwrap();
    assert!(anna.edit(999, "no").is_err());
    let kinds = [
        Media::Photo,
        Media::Voice,
        Media::Sticker,
        Media::Video,
        Media::VideoNote,
        Media::Audio,
        Media::Animation,
        Media::Document,
        Media::Location,
        Media::Contact,
        Media::Dice,
    ];
    for media in kinds {
        anna.send(media, None);
    }
    anna.send(Media::Photo, Some("my cat"));
    let updates = world.bot.updates().await;
    assert_eq!(updates[0]["message"]["entities"][0]["type"], "bot_command");
    assert_eq!(updates[1]["edited_message"]["text"], "changed");
    let fields = [
        "photo",
        "voice",
        "sticker",
        "video",
        "video_note",
        "audio",
        "animation",
        "document",
        "location",
        "contact",
        "dice",
    ];
    for (update, field) in updates[2..].iter().zip(fields) {
        assert!(!update["message"][field].is_null(), "{field}: {update}");
    }
    assert_eq!(updates.last().unwrap()["message"]["caption"], "my cat");
    let long = anna.say(&"x".repeat(5000));
    assert!(long.message_id > 0);
    let updates = world.bot.updates().await;
    let texts: Vec<usize> =
        updates[14..].iter().map(|update| update["message"]["text"].as_str().unwrap().len()).collect();
    assert_eq!(texts, [4096, 904], "an app sends a long text in pieces");
}

#[tokio::test]
async fn the_pictures_of_an_album_come_alone_and_name_it() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let sent = anna.send_album(&[(Media::Photo, Some("us")), (Media::Video, None)]);
    anna.send_album(&[(Media::Photo, None)]);
    anna.send(Media::Photo, None);
    let updates = world.bot.updates().await;
    assert_eq!((sent.len(), updates.len()), (2, 4));
    let albums: Vec<&Value> = updates.iter().map(|update| &update["message"]["media_group_id"]).collect();
    assert!(albums[0].is_string() && albums[0] == albums[1] && albums[1] != albums[2], "{albums:?}");
    assert!(albums[3].is_null() && updates[1]["message"]["caption"].is_null());
}

#[tokio::test]
async fn what_is_sent_into_a_topic_is_shown_there() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let group = world.control.group("friends", &anna).unwrap();
    let (chat, mark) = (group.id(), world.control.mark());
    world.bot.ok("sendChatAction", json!({ "chat_id": chat, "message_thread_id": 5, "action": "typing" })).await;
    let keyboard = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "y" }]] });
    let text = json!({ "chat_id": chat, "message_thread_id": 5, "text": "sure?", "reply_markup": keyboard });
    let sent = world.bot.ok("sendMessage", text).await;
    assert_eq!((sent["message_thread_id"].as_i64(), sent["is_topic_message"].as_bool()), (Some(5), Some(true)));
    world.bot.ok("sendMessage", json!({ "chat_id": chat, "text": "to all" })).await;
    let topic = |event: &Event| match event {
        Event::SawAction { message_thread_id, .. } | Event::SawMessage { message_thread_id, .. } => {
            Some(*message_thread_id)
        }
        _ => None,
    };
    let shown: Vec<_> = world.control.ledger(mark).iter().filter_map(|entry| topic(&entry.event)).collect();
    assert_eq!(shown, [Some(5), Some(5), None]);
    group.press(&anna, "Yes").unwrap();
    assert_eq!(world.bot.updates().await.last().unwrap()["callback_query"]["message"]["message_thread_id"], 5);
}

#[tokio::test]
async fn a_draft_in_a_topic_of_a_private_chat_is_stopped_there() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    anna.say("hello");
    for (draft, topic) in [(1, json!(5)), (2, Value::Null)] {
        let mut params = json!({ "chat_id": 7, "draft_id": draft, "text": "I", "can_stop": true });
        if topic.is_i64() {
            params["message_thread_id"] = topic.clone();
        }
        let mark = world.control.mark();
        world.bot.ok("sendMessageDraft", params).await;
        let shown = |event: &Event| match event {
            Event::SawDraft { message_thread_id, .. } => json!(message_thread_id) == topic,
            _ => false,
        };
        assert!(world.control.ledger(mark).iter().any(|entry| shown(&entry.event)), "in {topic}");
        anna.stop_draft().unwrap();
        let updates = world.bot.updates().await;
        assert_eq!(updates.last().unwrap()["stopped_message_generation"]["message_thread_id"], topic);
    }
}

#[tokio::test]
async fn a_group_shows_the_bot_what_its_privacy_allows() {
    for reads_all in [true, false] {
        let world =
            World::with(Config { reads_all_group_messages: reads_all, limits: Limits::off(), ..Config::default() })
                .await;
        let (anna, ben) = (world.control.user(7, "Anna"), world.control.user(8, "Ben"));
        let group = world.control.group("friends", &anna).unwrap();
        assert!(group.say(&ben, "not in yet").is_err());
        group.add(&ben);
        let sent = world.bot.ok("sendMessage", json!({ "chat_id": group.id(), "text": "hello all" })).await;
        assert_eq!(group.say(&ben, "to anna only").unwrap().update_id.is_some(), reads_all);
        assert!(group.mention(&ben, "and you?").unwrap().update_id.is_some());
        assert!(group.say(&ben, "/help@arthur_friend_bot").unwrap().update_id.is_some());
        assert!(group.reply(&ben, sent["message_id"].as_i64().unwrap(), "hi").unwrap().update_id.is_some());
        group.remove_bot().unwrap();
        let (code, words) = world.bot.err("sendMessage", json!({ "chat_id": group.id(), "text": "?" })).await;
        assert_eq!((code, words.as_str()), (403, "Forbidden: bot was kicked from the group chat"));
    }
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_names_its_new_id() {
    let world = World::new().await;
    let anna = world.control.user(7, "Anna");
    let group = world.control.group("friends", &anna).unwrap();
    let joined = world.bot.updates().await.len();
    let new = group.migrate().unwrap();
    let (status, answer) = world.bot.call("sendMessage", json!({ "chat_id": group.id(), "text": "x" })).await;
    assert_eq!((status, answer["parameters"]["migrate_to_chat_id"].as_i64()), (400, Some(new.id())));
    world.bot.ok("sendMessage", json!({ "chat_id": new.id(), "text": "x" })).await;
    let updates = world.bot.updates().await;
    assert_eq!(updates[joined]["message"]["migrate_to_chat_id"], new.id());
    assert_eq!(updates[joined + 1]["message"]["migrate_from_chat_id"], group.id());
    assert_eq!(updates[joined + 1]["message"]["chat"]["type"], "supergroup");
    assert!(group.say(&anna, "old").is_err() && new.say(&anna, "new").is_ok());
    assert!(new.migrate().is_err());
}
