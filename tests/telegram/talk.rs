//! What people do reaches the bot, and what the bot does reaches people.

use std::time::Duration;

use friend_actors::ports::{ApiError, Messenger};
use friend_actors::split::{MOST_UNITS, split, units};
use friend_actors::types::{Button, ChatId, Event, Media, Outgoing};
use friend_sim::bot_api::{Event as Seen, Media as Kind};
use serde_json::{Value, json};

use crate::world::{ANN, SOON, World, text};

fn said(text: &str) -> Event {
    Event::Text { text: text.to_owned() }
}

#[tokio::test]
async fn the_bot_learns_who_it_is() {
    let me = World::new().await.telegram.me().await.unwrap();
    assert_eq!((me.id, me.username.as_str()), (110_201_543, "arthur_friend_bot"));
}

#[tokio::test]
async fn words_edits_media_and_buttons_arrive_as_what_they_are() {
    let world = World::new().await;
    let ann = world.ann();
    let message = ann.say("how are you").message_id;
    ann.edit(message, "how are you?").unwrap();
    ann.say("/Why me");
    ann.send(Kind::Photo, Some("look"));
    ann.send(Kind::VideoNote, None);
    ann.send(Kind::Animation, None);
    ann.send(Kind::Location, None);
    let media = |media, caption: Option<&str>| Event::Media { media, caption: caption.map(str::to_owned), album: None };
    let expected = [
        said("hello"),
        said("how are you"),
        Event::Edited { text: "how are you?".to_owned() },
        Event::Command { name: "why".to_owned(), args: "me".to_owned() },
        media(Media::Photo, Some("look")),
        media(Media::Voice, None),
        media(Media::Video, None),
        media(Media::Other, None),
    ];
    // Event's Debug never shows words, so compare one by one.
    let events = world.events().await;
    assert_eq!(events.len(), expected.len());
    for (event, expected) in events.iter().zip(&expected) {
        assert!(event == expected, "{event:?} is not the expected {expected:?}");
    }
}

#[tokio::test]
async fn incoming_names_the_chat_and_the_person() {
    let world = World::new().await;
    world.ann();
    let incoming = world.incoming().await.remove(0);
    assert_eq!((incoming.chat, incoming.user.0, incoming.private), (ANN, ANN.0, true));
    assert_eq!(incoming.name.as_deref(), Some("Ann"));
}

#[tokio::test]
async fn leaving_and_coming_back_are_heard() {
    let world = World::new().await;
    let ann = world.ann();
    ann.block();
    ann.unblock();
    assert!(world.events().await == [said("hello"), Event::Left, Event::Joined]);
}

#[tokio::test]
async fn in_a_group_the_bot_hears_only_what_is_meant_for_it() {
    let world = World::new().await;
    let ann = world.control.user(ANN.0, "Ann");
    let group = world.control.group("Friends", &ann).unwrap();
    group.say(&ann, "what a day").unwrap();
    group.say(&ann, "/why").unwrap();
    group.mention(&ann, "what do you think?").unwrap();
    group.say(&ann, "/why@arthur_friend_bot").unwrap();
    let events = world.events().await;
    let why = Event::Command { name: "why".to_owned(), args: String::new() };
    assert!(events == [Event::Joined, said("what do you think?"), why.clone()], "{events:?}");

    let ours = world.send(ChatId(group.id()), "I think it is fine.").await.unwrap().message_id.unwrap();
    group.reply(&ann, ours, "good").unwrap();
    let supergroup = group.migrate().unwrap();
    let events = world.events().await;
    assert!(events[0] == said("good"), "{events:?}");
    assert!(events.contains(&Event::Migrated { to: ChatId(supergroup.id()) }), "{events:?}");
}

#[tokio::test]
async fn a_text_is_shown_exactly_as_it_is() {
    let world = World::new().await;
    let ann = world.ann();
    let wild = "*not bold* _nor_ <b>this</b> [or](that) & \\ `so` 😀 /start";
    let sent = world.send(ANN, wild).await.unwrap();
    assert_eq!(ann.received(), [wild]);
    assert!(sent.message_id.is_some());
}

#[tokio::test]
async fn a_long_text_goes_in_parts_and_an_unsplit_one_is_refused() {
    let world = World::new().await;
    let ann = world.ann();
    let long = "😀".repeat(4096);
    assert!(matches!(world.send(ANN, &long).await, Err(ApiError::Rejected(_))));
    for part in split(&long, MOST_UNITS) {
        world.send(ANN, part).await.unwrap();
    }
    assert_eq!(ann.received().iter().map(|part| units(part)).collect::<Vec<_>>(), [MOST_UNITS, MOST_UNITS]);
}

#[tokio::test]
async fn a_pressed_button_comes_back_and_is_answered() {
    let world = World::new().await;
    let ann = world.ann();
    world.incoming().await;
    let button = |label: &str, data: &str| Button { label: label.to_owned(), data: data.to_owned() };
    let buttons = vec![vec![button("Yes", "forget:yes"), button("No", "forget:no")]];
    let question = Outgoing::Text { text: "Forget everything?".to_owned(), buttons, topic: None };
    let id = world.telegram.send(ANN, &question).await.unwrap().message_id.unwrap();
    let pressed = ann.press("Yes").unwrap();
    let Event::Button { callback_id, data } = world.events().await.remove(0) else { panic!("no button") };
    assert_eq!(data, "forget:yes");

    let answer = Outgoing::ButtonAnswer { callback_id: callback_id.clone(), notice: "Forgotten.".to_owned() };
    world.telegram.send(ANN, &answer).await.unwrap();
    let noticed = |event: &Seen| matches!(event, Seen::SawNotice { text, .. } if text == "Forgotten.");
    ann.wait_for(pressed.seq, SOON, noticed).await.unwrap();
    assert!(matches!(world.telegram.send(ANN, &answer).await, Err(ApiError::Rejected(_))), "a button is answered once");

    world.telegram.edit(ANN, id, "All is forgotten.", &[]).await.unwrap();
    assert_eq!(world.telegram.edit(ANN, id, "All is forgotten.", &[]).await, Err(ApiError::NotModified));
    let edited = |event: &Seen| matches!(event, Seen::SawEdit { text, .. } if text == "All is forgotten.");
    ann.wait_for(pressed.seq, SOON, edited).await.unwrap();
}

#[tokio::test]
async fn a_document_made_in_memory_arrives_whole() {
    let world = World::new().await;
    let ann = world.ann();
    let content = json!({"turns": ["héllo 😀", "x".repeat(100_000)]}).to_string();
    let document = Outgoing::Document {
        file_name: "your-data.json".to_owned(),
        content: content.clone(),
        caption: "All I know".to_owned(),
        topic: None,
    };
    let sent = world.telegram.send(ANN, &document).await.unwrap();
    assert!(sent.message_id.is_some());
    let arrived = ann.wait_for(0, SOON, |event| matches!(event, Seen::SawDocument { .. })).await.unwrap();
    let Seen::SawDocument { file_id, file_name, caption, .. } = &arrived.event else { panic!("no document") };
    assert_eq!((file_name.as_str(), caption.as_str()), ("your-data.json", "All I know"));
    assert_eq!(world.control.file(file_id).unwrap().content, content.as_bytes());
}

#[tokio::test]
async fn what_was_asked_in_a_topic_is_answered_there() {
    let world = World::new().await;
    let ann = world.control.user(ANN.0, "Ann");
    let group = world.control.group("Forum", &ann).unwrap();
    let asked = json!({
        "message_id": 9, "date": 1, "chat": {"id": group.id(), "type": "supergroup", "is_forum": true},
        "from": {"id": ANN.0, "is_bot": false, "first_name": "Ann"}, "text": "@arthur_friend_bot hello",
        "message_thread_id": 7, "is_topic_message": true,
    });
    world.control.raw_update("message", asked);
    let incoming = world.incoming().await.pop().unwrap();
    assert!(incoming.event == said("hello") && incoming.topic == Some(7));

    let mark = world.control.mark();
    let file = ("a.json".to_owned(), "{}".to_owned(), "yours".to_owned());
    let document = Outgoing::Document { file_name: file.0, content: file.1, caption: file.2, topic: None };
    world.telegram.typing(incoming.chat, incoming.topic).await.unwrap();
    world.telegram.send(incoming.chat, &text("hi").in_topic(incoming.topic)).await.unwrap();
    world.telegram.send(incoming.chat, &document.in_topic(incoming.topic)).await.unwrap();
    world.telegram.send(incoming.chat, &text("hi all")).await.unwrap();
    let expected = [
        ("sendChatAction", json!(7)),
        ("sendMessage", json!(7)),
        ("sendDocument", json!("7")),
        ("sendMessage", json!(null)),
    ];
    assert_eq!(world.threads(mark), expected.map(|(method, thread)| (method.to_owned(), thread)));
}

#[tokio::test]
async fn what_was_asked_in_a_topic_of_a_private_chat_grows_and_is_stopped_there() {
    let world = World::new().await;
    let ann = world.ann();
    let asked = json!({
        "message_id": 9, "date": 1, "chat": {"id": ANN.0, "type": "private"}, "text": "a story",
        "from": {"id": ANN.0, "is_bot": false, "first_name": "Ann"}, "message_thread_id": 7, "is_topic_message": true,
    });
    world.control.raw_update("message", asked);
    let topic = world.incoming().await.pop().unwrap().topic;
    assert_eq!(topic, Some(7));

    let mark = world.control.mark();
    world.telegram.typing(ANN, topic).await.unwrap();
    world.telegram.draft(ANN, topic, 5, "Once").await.unwrap();
    world.telegram.draft(ANN, topic, 5, "Once upon").await.unwrap();
    ann.stop_draft().unwrap();
    world.telegram.send(ANN, &text("Once upon").in_topic(topic)).await.unwrap();
    let methods = ["sendChatAction", "sendMessageDraft", "sendMessageDraft", "sendMessage"];
    assert_eq!(world.threads(mark), methods.map(|method| (method.to_owned(), json!(7))));
    let stopped = world.incoming().await.pop().unwrap();
    assert!(stopped.event == Event::StopGeneration && stopped.topic == Some(7));
}

#[tokio::test]
async fn the_pictures_of_an_album_arrive_as_one() {
    let world = World::new().await;
    let ann = world.control.user(ANN.0, "Ann");
    ann.send_album(&[(Kind::Photo, Some("us")), (Kind::Video, None)]);
    ann.send(Kind::Photo, None);
    let album = |event| if let Event::Media { album, .. } = event { album } else { None };
    let albums: Vec<_> = world.events().await.into_iter().map(album).collect();
    assert!(albums[0].is_some() && albums[0] == albums[1] && albums[2].is_none(), "{albums:?}");
}

#[tokio::test]
async fn typing_and_drafts_are_seen_and_stop_is_heard() {
    let world = World::new().await;
    let ann = world.ann();
    world.incoming().await;
    world.telegram.typing(ANN, None).await.unwrap();
    assert!(ann.sees_action());
    world.telegram.draft(ANN, None, 5, "I am").await.unwrap();
    world.telegram.draft(ANN, None, 5, "I am here").await.unwrap();
    assert_eq!(ann.draft().as_deref(), Some("I am here"));
    ann.stop_draft().unwrap();
    assert!(world.events().await == [Event::StopGeneration]);

    world.telegram.draft(ANN, None, 6, "Well").await.unwrap();
    world.send(ANN, "Well then.").await.unwrap();
    assert_eq!(ann.draft(), None, "the message takes the draft's place");
    assert!(matches!(world.telegram.draft(ANN, None, 0, "never zero").await, Err(ApiError::Rejected(_))));
}

#[tokio::test]
async fn commands_are_registered() {
    let world = World::new().await;
    world.telegram.set_commands(&[("start", "Begin"), ("why", "Why this mode")]).await.unwrap();
    let set = world.control.commands();
    let listed = serde_json::to_value(set.values().next().unwrap()).unwrap();
    assert_eq!(
        listed,
        json!([
            {"command": "start", "description": "Begin"},
            {"command": "why", "description": "Why this mode"},
        ])
    );
}

#[tokio::test]
async fn an_update_of_an_unknown_kind_hides_no_other() {
    let world = World::new().await;
    let strange = world.control.raw_update("telepathy", json!({"thought": [1, null]}));
    world.control.raw_update("message", json!({"message_id": "seven", "chat": 3}));
    world.ann();
    let future = json!({
        "message_id": 9, "date": 1, "chat": {"id": ANN.0, "type": "private"}, "text": "from the future",
        "from": {"id": ANN.0, "is_bot": false, "first_name": "Ann"}, "entities": [{"type": "hologram"}], "aura": {},
    });
    world.control.raw_update("message", future);
    let updates = world.telegram.updates(None, Duration::ZERO).await.unwrap();
    assert_eq!((updates.len(), updates[0].id), (4, strange));
    assert!(updates[0].incoming.is_none() && updates[1].incoming.is_none());
    let events: Vec<Event> = updates.into_iter().filter_map(|update| Some(update.incoming?.event)).collect();
    assert!(events == [said("hello"), said("from the future")]);
}

#[tokio::test]
async fn only_the_kinds_that_are_understood_are_asked_for() {
    let world = World::new().await;
    world.telegram.updates(None, Duration::ZERO).await.unwrap();
    let call = |event: &Seen| match event {
        Seen::Call { method, params, .. } if method == "getUpdates" => Some(params["allowed_updates"].clone()),
        _ => None,
    };
    let asked = world.control.ledger(0).iter().find_map(|entry| call(&entry.event)).unwrap();
    let kinds = ["message", "edited_message", "callback_query", "my_chat_member", "stopped_message_generation"];
    let asked: Value = asked.as_str().map_or_else(|| asked.clone(), |list| serde_json::from_str(list).unwrap());
    assert_eq!(asked, json!(kinds));
}

#[tokio::test]
async fn a_poll_answers_as_soon_as_something_comes() {
    let world = World::new().await;
    world.telegram.me().await.unwrap();
    let ann = world.control.user(ANN.0, "Ann");
    let (updates, ()) = tokio::join!(world.telegram.updates(None, Duration::from_secs(20)), async {
        tokio::task::yield_now().await;
        ann.say("now");
    });
    assert_eq!(updates.unwrap().len(), 1);
}
