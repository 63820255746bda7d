//! Groups and private chats with topics: what is said goes where it was asked.

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

fn text(text: &str) -> Event {
    Event::Text { text: text.to_owned() }
}

fn answers(answers: &[(Option<i64>, &str)]) -> Vec<(Option<i64>, String)> {
    answers.iter().map(|&(topic, text)| (topic, text.to_owned())).collect()
}

#[test]
fn each_topic_of_a_burst_gets_its_own_answer() {
    in_virtual_time(|| async {
        let world = World::open();
        for (topic, words) in [(7, "hello"), (9, "tell me"), (7, "you there?"), (9, "a story")] {
            world.does_in(Some(topic), FORUM, text(words));
            pass(ms(100)).await;
        }
        pass_s(20).await;
        world.does_in(None, FORUM, text("and here?"));
        pass_s(20).await;
        let expected = [(Some(7), "re: hello you there?"), (Some(9), "re: tell me a story"), (None, "re: and here?")];
        assert_eq!(told(&world), answers(&expected));
        assert_eq!(typed(&world), [Some(7), Some(9), None]);
        assert_eq!((world.engine.cancelled(), world.store.unanswered()), (0, 0));
    });
}

#[test]
fn only_words_in_the_topic_being_answered_cancel_its_answer() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.does_in(Some(7), FORUM, text("tell me"));
        pass_s(2).await;
        world.does_in(Some(9), FORUM, text("hello"));
        pass_s(20).await;
        assert_eq!(told(&world), answers(&[(Some(7), "re: tell me"), (Some(9), "re: hello")]));
        assert_eq!(world.engine.cancelled(), 0);

        world.does_in(Some(7), FORUM, text("tell me"));
        pass_s(2).await;
        for (topic, words) in [(9, "are you there?"), (7, "a story")] {
            world.does_in(Some(topic), FORUM, text(words));
        }
        pass_s(30).await;
        let expected = [(Some(7), "re: tell me a story"), (Some(9), "re: are you there?")];
        assert_eq!(told(&world)[2..], answers(&expected));
        assert_eq!((world.engine.cancelled(), world.store.unanswered()), (1, 0));
    });
}

#[test]
fn stop_said_in_a_topic_is_about_that_topic() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        let stop = || Event::Command { name: "stop".to_owned(), args: String::new() };
        world.does_in(Some(7), FORUM, text("tell me a story"));
        pass_s(2).await;
        world.does_in(Some(9), FORUM, text("hello"));
        world.does_in(Some(9), FORUM, stop());
        pass_s(20).await;
        let expected = [(Some(7), "re: tell me a story"), (Some(9), &texts().stopped)];
        assert_eq!(told(&world), answers(&expected));
        assert_eq!((world.engine.cancelled(), world.store.unanswered()), (0, 0));
    });
}

#[test]
fn in_a_private_chat_with_topics_the_answer_grows_and_stops_where_it_will_be() {
    in_virtual_time(|| async {
        let world = World::open();
        world.engine.pace(ms(1000));
        world.does_in(Some(7), ANN, text("tell me a very long story"));
        pass_s(4).await;
        world.does_in(Some(7), ANN, Event::StopGeneration);
        world.does_in(Some(9), ANN, text("hello"));
        pass_s(10).await;
        let calls = world.messenger.calls();
        let drafted: Vec<_> = calls
            .iter()
            .filter_map(
                |(_, call)| if let Call::Draft(ANN, topic, _, text) = call { Some((*topic, text)) } else { None },
            )
            .collect();
        assert!(drafted.contains(&(Some(7), &"re: tell".to_owned())), "{drafted:?}");
        assert!(drafted.contains(&(Some(9), &"re:".to_owned())), "{drafted:?}");
        let sent: Vec<_> = calls
            .iter()
            .filter_map(|(_, call)| {
                if let Call::Send(ANN, Outgoing::Text { topic, text, .. }) = call {
                    Some((*topic, text.as_str()))
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(sent, [(Some(7), "re: tell me"), (Some(9), "re: hello")]);
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
        world.does_in(Some(7), FORUM, text("hello"));
        pass_s(60).await;
        let topics: Vec<_> = told(&world).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics, [Some(7), Some(7)]);
    });
}
