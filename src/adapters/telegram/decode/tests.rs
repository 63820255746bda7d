//! Updates as Telegram writes them, and as it may write them one day.

use serde_json::json;

use super::*;

fn arthur() -> Me {
    Me { id: 7, username: "arthur_bot".to_owned() }
}

fn read(body: Value) -> Option<Incoming> {
    let mut raw = body;
    raw["update_id"] = json!(99);
    update(raw, &arthur()).unwrap().incoming
}

fn event(body: Value) -> Option<Event> {
    read(body).map(|incoming| incoming.event)
}

/// A message of Ann in her private chat.
fn private(fields: Value) -> Value {
    message(json!({"id": 5, "type": "private", "first_name": "Ann"}), fields)
}

/// A message of Ann in a group.
fn group(fields: Value) -> Value {
    message(json!({"id": -100, "type": "supergroup", "title": "Us"}), fields)
}

fn message(chat: Value, fields: Value) -> Value {
    let mut message = json!({
        "message_id": 11, "date": 1, "chat": chat,
        "from": {"id": 5, "is_bot": false, "first_name": "Ann"},
    });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

fn text(text: &str) -> Option<Event> {
    Some(Event::Text { text: text.to_owned() })
}

#[test]
fn a_private_message_tells_who_said_what_where() {
    let incoming = read(json!({"message": private(json!({"text": "hello"}))})).unwrap();
    assert_eq!((incoming.update_id, incoming.chat, incoming.user), (99, ChatId(5), UserId(5)));
    assert_eq!((incoming.private, incoming.message_id, incoming.name.as_deref()), (true, Some(11), Some("Ann")));
    assert_eq!(incoming.event, Event::Text { text: "hello".to_owned() });
}

#[test]
fn parts_that_nobody_knows_yet_do_not_cost_the_words() {
    let strange = json!({
        "text": "hello", "aura": {"colour": "blue"}, "entities": [{"type": "hologram", "depth": 3}],
        "sender_chat": 5, "message_thread_id": 1_i64 << 40,
    });
    assert_eq!(event(json!({"message": private(strange)})), text("hello"));
    assert_eq!(event(json!({"message": private(json!({"text": "hello"})), "bonus": 1})), text("hello"));
}

#[test]
fn an_update_of_an_unknown_kind_still_gives_its_id() {
    let raw = json!({"update_id": 3, "telepathy": {"thought": "?"}});
    assert_eq!(update(raw, &arthur()), Some(Update { id: 3, incoming: None }));
    let broken = json!({"update_id": 4, "message": {"text": 5}});
    assert_eq!(update(broken, &arthur()), Some(Update { id: 4, incoming: None }));
    for raw in [json!({"message": {}}), json!("?"), json!(null), json!({"update_id": "x"})] {
        assert_eq!(update(raw, &arthur()), None);
    }
}

#[test]
fn commands_are_read_with_and_without_the_bots_name() {
    let command = |args: &str| Some(Event::Command { name: "why".to_owned(), args: args.to_owned() });
    assert_eq!(event(json!({"message": private(json!({"text": "/why"}))})), command(""));
    assert_eq!(event(json!({"message": private(json!({"text": "/why@arthur_bot me\ntoo"}))})), command("me\ntoo"));
    assert_eq!(event(json!({"message": group(json!({"text": "/why@Arthur_Bot"}))})), command(""));
    assert_eq!(event(json!({"message": group(json!({"text": "/why"}))})), None);
    assert_eq!(
        event(json!({"message": private(json!({"text": "/usr/bin is a folder"}))})),
        text("/usr/bin is a folder")
    );
}

#[test]
fn in_a_group_only_what_is_meant_for_the_bot_is_heard() {
    let reply =
        |id: i64| json!({"text": "so?", "reply_to_message": {"message_id": 1, "from": {"id": id, "is_bot": true}}});
    let link = json!({"text": "Arthur?", "entities": [{"type": "text_mention", "user": {"id": 7}}]});
    assert_eq!(event(json!({"message": group(json!({"text": "how are you all"}))})), None);
    assert_eq!(event(json!({"message": group(json!({"text": "@arthur_bot how are you"}))})), text("how are you"));
    assert_eq!(event(json!({"message": group(reply(7))})), text("so?"));
    assert_eq!(event(json!({"message": group(reply(8))})), None);
    assert_eq!(event(json!({"message": group(link)})), text("Arthur?"));
    assert_eq!(event(json!({"message": group(json!({"photo": []}))})), None);
    let photo = Event::Media { media: Media::Photo, caption: Some("@arthur_bot look".to_owned()), album: None };
    assert_eq!(event(json!({"message": group(json!({"photo": [], "caption": "@arthur_bot look"}))})), Some(photo));
}

#[test]
fn each_kind_of_media_has_its_name_and_service_messages_none() {
    let media = |fields: Value| match event(json!({"message": private(fields)})) {
        Some(Event::Media { media, .. }) => Some(media),
        _ => None,
    };
    assert_eq!(media(json!({"photo": [{}]})), Some(Media::Photo));
    assert_eq!(media(json!({"voice": {}})), Some(Media::Voice));
    assert_eq!(media(json!({"video_note": {}})), Some(Media::Voice));
    assert_eq!(media(json!({"sticker": {"emoji": "x"}})), Some(Media::Sticker));
    assert_eq!(media(json!({"animation": {}, "document": {}})), Some(Media::Video));
    assert_eq!(media(json!({"document": {}})), Some(Media::Document));
    assert_eq!(media(json!({"location": {}})), Some(Media::Other));
    assert_eq!(media(json!({"hologram": {}, "caption": "look"})), Some(Media::Other));
    for service in ["pinned_message", "new_chat_title", "left_chat_member", "boost_added"] {
        assert_eq!(media(json!({service: {}})), None, "{service}");
    }
}

#[test]
fn edits_buttons_and_stops_are_told_apart() {
    let edited = Event::Edited { text: "better".to_owned() };
    assert_eq!(event(json!({"edited_message": private(json!({"text": "better"}))})), Some(edited));
    assert_eq!(event(json!({"edited_message": private(json!({"location": {}}))})), None);
    let ann = json!({"id": 5, "is_bot": false, "first_name": "Ann"});
    let old = json!({"message_id": 2, "date": 0, "chat": {"id": 5, "type": "private"}});
    let pressed = json!({"callback_query": {"id": "cb", "from": ann, "message": old, "data": "yes"}});
    let button = Event::Button { callback_id: "cb".to_owned(), data: "yes".to_owned() };
    assert_eq!(event(pressed), Some(button));
    let stopped = json!({"stopped_message_generation": {"chat": {"id": 5, "type": "private"}, "draft_id": 3}});
    let incoming = read(stopped).unwrap();
    assert_eq!((incoming.event, incoming.user), (Event::StopGeneration, UserId(5)));
}

#[test]
fn coming_and_going_and_moving_are_heard() {
    let change = |old: Value, new: Value| {
        let ann = json!({"id": 5, "is_bot": false, "first_name": "Ann"});
        let chat = json!({"id": 5, "type": "private"});
        event(json!({"my_chat_member": {
            "chat": chat, "from": ann, "date": 1, "old_chat_member": old, "new_chat_member": new,
        }}))
    };
    let status = |status: &str| json!({"status": status, "user": {"id": 7}});
    assert_eq!(change(status("member"), status("kicked")), Some(Event::Left));
    assert_eq!(change(status("kicked"), status("member")), Some(Event::Joined));
    assert_eq!(change(status("member"), status("administrator")), None);
    assert_eq!(change(status("left"), json!({"status": "restricted", "is_member": true})), Some(Event::Joined));
    let mut moved = group(json!({"migrate_to_chat_id": -200}));
    assert_eq!(event(json!({"message": moved})), Some(Event::Migrated { to: ChatId(-200) }));
    moved.as_object_mut().unwrap().remove("from");
    assert_eq!(event(json!({"message": moved})), Some(Event::Migrated { to: ChatId(-200) }));
}

#[test]
fn bots_and_channels_are_not_answered() {
    let mut other_bot = private(json!({"text": "hello"}));
    other_bot["from"]["is_bot"] = json!(true);
    assert_eq!(event(json!({"message": other_bot})), None);
    let channel = message(json!({"id": -3, "type": "channel"}), json!({"text": "@arthur_bot"}));
    assert_eq!(event(json!({"message": channel})), None);
}

#[test]
fn who_writes_in_the_name_of_a_chat_is_no_bot() {
    let written = |id: i64, sender_chat: Value| {
        let fields = json!({
            "text": "@arthur_bot hello", "sender_chat": sender_chat,
            "from": {"id": id, "is_bot": true, "first_name": "Group"},
        });
        [json!({"message": group(fields.clone())}), json!({"edited_message": group(fields)})].map(event)
    };
    let heard = [text("hello"), Some(Event::Edited { text: "hello".to_owned() })];
    assert_eq!(written(1_087_968_824, json!({"id": -100, "type": "supergroup"})), heard, "an anonymous admin");
    assert_eq!(written(136_817_688, json!({"id": -3, "type": "channel"})), heard, "a member as a channel");
    for malformed in [json!(null), json!(5), json!([]), json!({"id": "x"})] {
        assert_eq!(written(8, malformed.clone()), [None, None], "{malformed}");
    }
}

#[test]
fn a_topic_is_one_only_where_the_message_says_so() {
    let topic = |fields: Value| read(json!({"message": group(fields)})).unwrap().topic;
    let said = |thread: Value, is_topic: Value| {
        topic(json!({"text": "@arthur_bot hi", "message_thread_id": thread, "is_topic_message": is_topic}))
    };
    assert_eq!(said(json!(7), json!(true)), Some(7));
    for (thread, is_topic) in [(json!(7), json!(false)), (json!(7), json!(null)), (json!("7"), json!(true))] {
        assert_eq!(said(thread.clone(), is_topic), None, "{thread}");
    }
    assert_eq!(topic(json!({"text": "@arthur_bot hi", "message_thread_id": 7})), None, "a thread of replies");

    let ann = json!({"id": 5, "is_bot": false, "first_name": "Ann"});
    let ours = group(json!({"message_thread_id": 7, "is_topic_message": true}));
    let pressed = json!({"callback_query": {"id": "cb", "from": ann, "message": ours, "data": "yes"}});
    assert_eq!(read(pressed).unwrap().topic, Some(7));
}

#[test]
fn a_stop_names_the_topic_of_its_draft() {
    let stopped = |thread: Value| {
        let chat = json!({"id": 5, "type": "private"});
        let update = json!({"chat": chat, "draft_id": 3, "message_thread_id": thread});
        let incoming = read(json!({"stopped_message_generation": update})).unwrap();
        assert_eq!(incoming.event, Event::StopGeneration);
        incoming.topic
    };
    assert_eq!(stopped(json!(7)), Some(7));
    for odd in [json!(null), json!("7"), json!({})] {
        assert_eq!(stopped(odd.clone()), None, "{odd}: it is a stop all the same");
    }
}

#[test]
fn a_picture_names_its_album() {
    let album = |fields: Value| match event(json!({"message": private(fields)})) {
        Some(Event::Media { album, .. }) => album,
        _ => panic!("no media"),
    };
    assert_eq!(album(json!({"photo": [{}], "media_group_id": "12"})), Some("12".to_owned()));
    assert_eq!(album(json!({"photo": [{}], "media_group_id": 12})), None);
    assert_eq!(album(json!({"photo": [{}]})), None);
}

#[test]
fn a_text_longer_than_telegram_allows_is_clipped() {
    let Some(Event::Text { text }) = event(json!({"message": private(json!({"text": "é".repeat(9000)}))})) else {
        panic!()
    };
    assert_eq!(text.chars().count(), LONGEST_TEXT);
}
