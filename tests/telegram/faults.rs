//! Each way in which a call goes wrong becomes the one error that says what to do, and none shows the token or a text.

use std::time::Duration;

use ai_friend::adapters::telegram::{Telegram, TelegramConfig};
use ai_friend::config::Secret;
use friend_actors::ports::{ApiError, Messenger, Sent};
use friend_actors::types::{ChatId, Outgoing};
use friend_sim::bot_api::{Fault, FaultRule};
use serde_json::json;

use crate::world::{ANN, World, config, secret, text};

/// What a send answers when it is struck, and how many messages Ann sees.
async fn struck(rule: FaultRule) -> (Result<Sent, ApiError>, usize) {
    let world = World::new().await;
    let ann = world.ann();
    world.control.inject(rule);
    let outcome = world.send(ANN, "hello Ann").await;
    (outcome, ann.received().len())
}

fn at_send(fault: Fault) -> FaultRule {
    FaultRule::new("sendMessage", fault)
}

#[tokio::test]
async fn a_wrong_token_is_said_to_be_one() {
    let world = World::new().await;
    let wrong = TelegramConfig { token: Secret::new("1:wrong"), ..config(&world.server.url()) };
    let telegram = Telegram::new(&wrong).unwrap();
    for error in [
        telegram.me().await.unwrap_err(),
        telegram.updates(None, Duration::ZERO).await.unwrap_err(),
        telegram.typing(ANN, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, ApiError::Unauthorized(401 | 404)), "{error}");
        assert!(error.to_string().contains("TG_BOT_TOKEN"));
    }
}

#[tokio::test]
async fn an_api_that_is_not_there_is_certainly_not_reached() {
    let world = World::new().await;
    let url = world.server.url();
    let telegram = Telegram::new(&config(&url)).unwrap();
    world.server.shutdown().await;
    for error in [telegram.me().await.unwrap_err(), telegram.typing(ANN, None).await.unwrap_err()] {
        assert!(matches!(error, ApiError::Unreachable(_)), "{error}");
        assert!(!error.to_string().contains(secret()), "{error}");
    }
}

#[tokio::test]
async fn a_5xx_in_the_apis_json_is_certain_and_a_gateways_page_is_not() {
    let (outcome, seen) = struck(at_send(Fault::internal())).await;
    assert!(matches!(outcome, Err(ApiError::Unreachable(_))), "{outcome:?}");
    assert_eq!(seen, 0);
    for status in [500, 502, 503, 504] {
        let (outcome, _) = struck(at_send(Fault::Html { status })).await;
        assert!(matches!(outcome, Err(ApiError::Ambiguous(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_ambiguous_whether_or_not_the_message_went_out() {
    let (outcome, seen) = struck(at_send(Fault::Cut)).await;
    assert!(matches!(outcome, Err(ApiError::Ambiguous(_))), "{outcome:?}");
    assert_eq!(seen, 0);
    let (outcome, seen) = struck(at_send(Fault::Cut).after_effect()).await;
    assert!(matches!(outcome, Err(ApiError::Ambiguous(_))), "{outcome:?}");
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn a_2xx_is_sent_whatever_its_body_holds() {
    for fault in [Fault::Garbage, Fault::WrongShape, Fault::CutBody] {
        let (outcome, seen) = struck(at_send(fault.clone()).after_effect()).await;
        assert_eq!(outcome, Ok(Sent { message_id: None }), "{fault:?}");
        assert_eq!(seen, 1);
    }
}

#[tokio::test]
async fn no_answer_in_time_is_ambiguous() {
    let world = World::new().await;
    world.ann();
    let hasty = TelegramConfig { request_timeout: Duration::from_millis(100), ..config(&world.server.url()) };
    let telegram = Telegram::new(&hasty).unwrap();
    world.control.inject(at_send(Fault::Delay { ms: 5_000 }));
    let outcome = telegram.send(ANN, &text("hello")).await;
    assert!(matches!(outcome, Err(ApiError::Ambiguous(_))), "{outcome:?}");
}

#[tokio::test]
async fn any_retry_after_is_understood() {
    for seconds in [1, 65_535, 65_536, 10_000_000] {
        let (outcome, seen) = struck(at_send(Fault::too_many_requests(seconds))).await;
        assert_eq!((outcome, seen), (Err(ApiError::RetryAfter(Duration::from_secs(seconds))), 0));
    }
}

#[tokio::test]
async fn the_emulators_own_limits_answer_with_a_wait() {
    let world = World::new().await;
    world.ann();
    world.control.set_limits(friend_sim::bot_api::Limits::telegram());
    for _ in 0..50 {
        match world.send(ANN, "again").await {
            Err(ApiError::RetryAfter(wait)) => return assert!(!wait.is_zero()),
            outcome => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
    panic!("fifty messages at once, and no limit");
}

#[tokio::test]
async fn whoever_blocked_the_bot_or_is_gone_answers_forbidden() {
    let world = World::new().await;
    let ann = world.ann();
    ann.block();
    assert_eq!(world.send(ANN, "hello?").await, Err(ApiError::Forbidden));
    ann.unblock();
    assert!(world.send(ANN, "hello!").await.is_ok());
    ann.deactivate();
    assert_eq!(world.send(ANN, "hello?").await, Err(ApiError::Forbidden));
}

#[tokio::test]
async fn a_group_that_moved_says_where_to() {
    let world = World::new().await;
    let ann = world.control.user(ANN.0, "Ann");
    let group = world.control.group("Friends", &ann).unwrap();
    let moved = group.migrate_silently().unwrap();
    let outcome = world.send(ChatId(group.id()), "hello all").await;
    assert_eq!(outcome, Err(ApiError::Migrated(ChatId(moved.id()))));
    assert!(world.send(ChatId(moved.id()), "hello all").await.is_ok());
}

#[tokio::test]
async fn a_refusal_tells_the_kind_and_not_the_words() {
    let description = "Bad Request: can't find end of \"my secret\" thing";
    let refusal = Fault::Error { code: 400, description: description.to_owned(), parameters: None };
    let (outcome, _) = struck(at_send(refusal)).await;
    let Err(ApiError::Rejected(reason)) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("can't find end") && !reason.contains("secret"), "{reason}");
}

#[tokio::test]
async fn a_text_whose_formatting_is_refused_goes_out_plain() {
    let description = "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 3";
    let refusal = |times| {
        FaultRule::new("sendMessage", Fault::Error { code: 400, description: description.to_owned(), parameters: None })
            .times(times)
    };
    let (outcome, seen) = struck(refusal(1)).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(seen, 1);
    let (outcome, seen) = struck(refusal(2)).await;
    assert!(matches!(outcome, Err(ApiError::Rejected(_))), "twice is for good: {outcome:?}");
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn what_a_closed_or_deleted_topic_refuses_is_sent_without_it() {
    let file = ("a.json".to_owned(), "{}".to_owned(), "yours".to_owned());
    let document = Outgoing::Document { file_name: file.0, content: file.1, caption: file.2, topic: None };
    for (method, outgoing, thread) in [("sendMessage", text("hi"), json!(7)), ("sendDocument", document, json!("7"))] {
        for said in ["message thread not found", "TOPIC_CLOSED", "TOPIC_DELETED"] {
            let world = World::new().await;
            let ann = world.control.user(ANN.0, "Ann");
            let group = ChatId(world.control.group("Forum", &ann).unwrap().id());
            let refusal = || Fault::Error { code: 400, description: format!("Bad Request: {said}"), parameters: None };
            let mark = world.control.mark();
            world.control.inject(FaultRule::new(method, refusal()));
            let sent = world.telegram.send(group, &outgoing.clone().in_topic(Some(7))).await;
            assert!(sent.is_ok_and(|sent| sent.message_id.is_some()), "{said}");
            assert_eq!(world.threads(mark), [thread.clone(), json!(null)].map(|thread| (method.to_owned(), thread)));

            let mark = world.control.mark();
            world.control.inject(FaultRule::new(method, refusal()).times(2));
            let sent = world.telegram.send(group, &outgoing.clone().in_topic(Some(7))).await;
            assert!(matches!(sent, Err(ApiError::Rejected(_))), "once more, and no more: {sent:?}");
            assert_eq!(world.threads(mark).len(), 2);
        }
    }
}

#[tokio::test]
async fn a_text_whose_formatting_and_topic_are_refused_goes_out_plain_and_without_it() {
    let world = World::new().await;
    world.ann();
    for said in ["can't parse entities: Can't find end", "TOPIC_CLOSED"] {
        let description = format!("Bad Request: {said}");
        world.control.inject(at_send(Fault::Error { code: 400, description, parameters: None }));
    }
    let mark = world.control.mark();
    assert!(world.telegram.send(ANN, &text("hi").in_topic(Some(7))).await.is_ok());
    let threads: Vec<_> = world.threads(mark).into_iter().map(|(_, thread)| thread).collect();
    assert_eq!(threads, [json!(7), json!(7), json!(null)]);
}

#[tokio::test]
async fn an_api_that_answers_garbage_gives_clear_errors() {
    let world = World::new().await;
    for fault in
        [Fault::Garbage, Fault::WrongShape, Fault::CutBody, Fault::Html { status: 404 }, Fault::Html { status: 502 }]
    {
        for method in ["getMe", "getUpdates"] {
            let telegram = Telegram::new(&config(&world.server.url())).unwrap();
            world.control.fail(method, fault.clone(), 1);
            let error = match method {
                "getMe" => telegram.me().await.unwrap_err(),
                _ => telegram.updates(None, Duration::ZERO).await.unwrap_err(),
            };
            assert!(matches!(error, ApiError::Unreachable(_) | ApiError::Ambiguous(_)), "{method} {fault:?}: {error}");
            assert!(telegram.updates(None, Duration::ZERO).await.is_ok(), "and then it works again");
        }
    }
}

#[tokio::test]
async fn another_poller_or_a_webhook_is_a_conflict() {
    let world = World::new().await;
    world.control.set_webhook("https://example.org/hook");
    assert_eq!(world.telegram.updates(None, Duration::ZERO).await, Err(ApiError::Conflict));
}

#[tokio::test]
async fn a_poll_that_another_process_begins_ends_ours_with_a_conflict() {
    let world = World::new().await;
    let other = Telegram::new(&config(&world.server.url())).unwrap();
    let ours = world.telegram.updates(None, Duration::from_secs(20));
    // A poll that has to wait ends the one that waits already. Which of the two comes second is open: the first time, theirs
    // may be the one that is ended.
    let theirs = async {
        loop {
            let _ = other.updates(None, Duration::from_secs(20)).await;
        }
    };
    tokio::select! {
        ours = ours => assert_eq!(ours, Err(ApiError::Conflict)),
        () = theirs => unreachable!("it polls for ever"),
        () = tokio::time::sleep(crate::world::SOON) => panic!("both poll"),
    }
}

#[tokio::test]
async fn two_polls_of_one_process_are_never_open_at_once() {
    let world = World::new().await;
    world.telegram.me().await.unwrap();
    let mark = world.control.mark();
    let first = world.telegram.updates(None, Duration::from_secs(20));
    let second = async {
        let second = world.telegram.updates(None, Duration::ZERO).await;
        world.ann();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().len(), second), (1, Err(ApiError::Conflict)));
    assert_eq!(world.control.calls("getUpdates", mark), 1, "the second never left the process");
}

#[tokio::test]
async fn no_error_and_no_print_shows_the_token_or_a_text() {
    let world = World::new().await;
    world.ann();
    let mut prints = vec![format!("{:?} {:?}", world.telegram, config(&world.server.url()))];
    let faults = [
        Fault::internal(),
        Fault::Html { status: 502 },
        Fault::Html { status: 400 },
        Fault::Cut,
        Fault::Error {
            code: 400,
            description: format!("Bad Request: https://api/bot{}/sendMessage", world_token()),
            parameters: Some(json!({"x": 1})),
        },
    ];
    for fault in faults {
        world.control.inject(FaultRule::any(fault));
        let error = world.send(ANN, "my own words").await.unwrap_err();
        prints.push(format!("{error} {error:?}"));
        world.control.clear_faults();
    }
    let url = world.server.url();
    world.server.shutdown().await;
    let error = Telegram::new(&config(&url)).unwrap().me().await.unwrap_err();
    prints.push(format!("{error} {error:?}"));
    for print in prints {
        assert!(!print.contains(secret()) && !print.contains("own words"), "{print}");
    }
}

fn world_token() -> &'static str {
    friend_sim::bot_api::DEFAULT_TOKEN
}
