//! Groups with topics: what is said goes where it was asked.

use super::*;

const FORUM: ChatId = ChatId(-100);

/// Where each message to the forum went, oldest first: its topic and its text or file name.
fn told(world: &World) -> Vec<(Option<i64>, String)> {
    let message = |(_, call)| match call {
        Call::Send(FORUM, Outgoing::Text { text, topic, .. }) => Some((topic, text)),
        Call::Send(FORUM, Outgoing::Document { file_name, topic, .. }) => Some((topic, file_name)),
        _ => None,
    };
    world.messenger.calls().into_iter().filter_map(message).collect()
}

/// The topics in which typing was shown, each once where it was shown again and again.
fn typed(world: &World) -> Vec<Option<i64>> {
    let shown = |(_, call)| if let Call::Typing(FORUM, topic) = call { Some(topic) } else { None };
    let mut topics: Vec<_> = world.messenger.calls().into_iter().filter_map(shown).collect();
    topics.dedup();
    topics
}

#[test]
fn an_answer_goes_to_the_topic_last_asked_in() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        let asks = |topic, text: &str| world.does_in(topic, FORUM, Event::Text { text: text.to_owned() });
        asks(Some(7), "hello");
        pass_s(20).await;
        asks(Some(9), "tell me");
        pass_s(2).await;
        asks(Some(7), "a story");
        pass_s(20).await;
        asks(None, "and here?");
        pass_s(20).await;
        let answers = [(Some(7), "re: hello"), (Some(7), "re: tell me a story"), (None, "re: and here?")];
        assert_eq!(told(&world), answers.map(|(topic, text)| (topic, text.to_owned())));
        assert_eq!(typed(&world), [Some(7), Some(9), Some(7), None]);
    });
}

#[test]
fn what_needs_no_model_goes_there_too() {
    in_virtual_time(|| async {
        let world = World::open();
        let command = |name: &str| Event::Command { name: name.to_owned(), args: String::new() };
        let sticker = || Event::Media { media: crate::types::Media::Sticker, caption: None, album: None };
        let pressed = Event::Button { callback_id: "cb".to_owned(), data: crate::reception::FORGET_NO.to_owned() };
        for (topic, event) in [
            (7, command("help")),
            (7, sticker()),
            (8, sticker()),
            (7, command("export")),
            (8, command("forget")),
            (9, pressed),
        ] {
            world.does_in(Some(topic), FORUM, event);
        }
        pass_s(60).await;
        let said = texts();
        let export = "conversation.json".to_owned();
        let told: Vec<_> = told(&world).into_iter().map(|(topic, said)| (topic.unwrap_or(0), said)).collect();
        let replies = [(7_i64, said.help), (7, said.sticker.clone()), (8, said.sticker), (7, export)];
        let asked = [(8_i64, said.forget_question), (9, said.kept)];
        assert_eq!(told, [&replies[..], &asked[..]].concat());
    });
}

#[test]
fn a_wait_is_told_where_the_answer_will_be() {
    in_virtual_time(|| async {
        let world = World::open();
        let wait = Duration::from_secs(10);
        let full = friend_gguf::request::SubmitError::Overloaded { queued: 9, wait };
        world.engine.play([crate::fakes::engine::Play::Refuse(full)]);
        world.does_in(Some(7), FORUM, Event::Text { text: "hello".to_owned() });
        pass_s(60).await;
        let topics: Vec<_> = told(&world).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics, [Some(7), Some(7)]);
    });
}
