//! What the unanswered rows of a chat call for, and what news mean while an answer is being written.

use super::*;
use crate::types::{ChatId, Media, UserId};

fn row(seq: i64, event: Event) -> Pending {
    let incoming = Incoming {
        update_id: seq,
        chat: ChatId(1),
        private: true,
        user: UserId(1),
        name: None,
        message_id: Some(seq),
        topic: None,
        event,
    };
    Pending { seq, incoming }
}

fn text(text: &str) -> Event {
    Event::Text { text: text.into() }
}

fn command(name: &str) -> Event {
    Event::Command { name: name.into(), args: String::new() }
}

fn photo(caption: Option<&str>, album: Option<&str>) -> Event {
    Event::Media { media: Media::Photo, caption: caption.map(Into::into), album: album.map(Into::into) }
}

/// What comes while an ordinary answer is written to the first rows.
fn while_answering(rows: &[Pending], known: &[i64]) -> News {
    news(rows, known, 64, &Pressing { concerns: &|text| text.contains("danger"), flirting: false })
}

fn said(text: &str) -> Words {
    Words { earlier: Vec::new(), newest: text.into() }
}

#[test]
fn a_burst_is_one_turn_and_ends_at_a_command() {
    let rows = [row(1, text("hi")), row(2, text("you there?")), row(3, command("why")), row(4, text("hello?"))];
    let step = next_step(&rows, 100).unwrap();
    assert_eq!(step, Step { rows: vec![1, 2], deed: Deed::Answer(said("hi\nyou there?")) });
}

#[test]
fn starting_over_overtakes_what_came_before() {
    let rows = [row(1, text("hi")), row(2, command("reset")), row(3, text("hello"))];
    assert_eq!(next_step(&rows, 100), Some(Step { rows: vec![1], deed: Deed::Nothing }));
    assert!(matches!(next_step(&rows[1..], 100).unwrap().deed, Deed::Reply(_)));
}

#[test]
fn an_erasure_is_not_overtaken_by_starting_over() {
    let erase = Event::Button { callback_id: "c".into(), data: FORGET_YES.into() };
    let rows = [row(1, text("my secret")), row(2, erase), row(3, command("start"))];
    assert_eq!(next_step(&rows, 100), Some(Step { rows: vec![1], deed: Deed::Nothing }));
    assert_eq!(
        next_step(&rows[1..], 100).unwrap(),
        Step { rows: vec![2], deed: Deed::Reply(rows[1].incoming.clone()) }
    );
}

#[test]
fn words_followed_by_stop_are_kept_without_an_answer() {
    let rows = [row(1, text("tell me a story")), row(2, command("stop")), row(3, text("hm"))];
    let step = next_step(&rows, 100).unwrap();
    assert_eq!(step, Step { rows: vec![1, 2], deed: Deed::Hush(said("tell me a story")) });
}

#[test]
fn a_caption_is_words_and_a_bare_picture_is_not() {
    assert!(matches!(next_step(&[row(1, photo(Some("my dog"), None))], 9).unwrap().deed, Deed::Answer(_)));
    assert!(matches!(next_step(&[row(1, photo(None, None))], 9).unwrap().deed, Deed::Reply(_)));
}

#[test]
fn an_album_is_one_step_and_its_caption_is_what_is_answered() {
    let bare = || photo(None, Some("a"));
    let rows = [row(1, bare()), row(2, bare()), row(3, photo(None, Some("b"))), row(4, command("why"))];
    let step = next_step(&rows, 100).unwrap();
    assert_eq!(step, Step { rows: vec![1, 2, 3], deed: Deed::Reply(rows[0].incoming.clone()) });
    let film = |album: &str| Event::Media { media: Media::Video, caption: None, album: Some(album.into()) };
    let settled = |second| next_step(&[row(1, bare()), row(2, second)], 100).unwrap().rows;
    assert_eq!((settled(film("a")), settled(film("b"))), (vec![1, 2], vec![1]), "another kind, another album");

    let captioned = || photo(Some("my dog"), Some("a"));
    let rows = [row(1, text("look")), row(2, bare()), row(3, captioned()), row(4, bare()), row(5, command("stop"))];
    let step = next_step(&rows[..4], 100).unwrap();
    assert_eq!(step, Step { rows: vec![1, 2, 3, 4], deed: Deed::Answer(said("look\nmy dog")) });
    let step = next_step(&rows, 100).unwrap();
    assert_eq!(step, Step { rows: vec![1, 2, 3, 4, 5], deed: Deed::Hush(said("look\nmy dog")) });
    let apart = [row(1, bare()), row(2, command("stop")), row(3, captioned())];
    assert_eq!(next_step(&apart, 100), Some(Step { rows: vec![1], deed: Deed::Nothing }));
}

#[test]
fn of_too_many_words_the_newest_are_answered_and_the_others_kept() {
    let cut = |texts: &[&str], longest: usize| {
        let rows: Vec<Pending> = texts.iter().zip(1..).map(|(said, seq)| row(seq, text(said))).collect();
        match next_step(&rows, longest).unwrap().deed {
            Deed::Answer(words) => [words.earlier, vec![words.newest]].concat().join("|"),
            deed => panic!("{deed:?}"),
        }
    };
    assert_eq!(cut(&["abc", "défg"], 3), "ab|c\nd|éfg");
    assert_eq!(cut(&["one two", "three four"], 12), "one two|three four", "between messages");
    assert_eq!(cut(&["ab cd ef"], 6), "ab|cd ef", "between words");
    assert_eq!(cut(&["one two"], 7), "one two");
    assert_eq!(cut(&["ab"], 0), "a|b");
}

#[test]
fn a_step_is_about_one_topic() {
    let within = |topic: Option<i64>, row: Pending| Pending { incoming: Incoming { topic, ..row.incoming }, ..row };
    let (seven, nine) = (|row| within(Some(7), row), |row| within(Some(9), row));
    let rows = [
        seven(row(1, text("hi"))),
        nine(row(2, text("hello"))),
        nine(row(3, command("stop"))),
        seven(row(4, text("there"))),
    ];
    let step = next_step(&rows, 100).unwrap();
    assert_eq!(step, Step { rows: vec![1, 4], deed: Deed::Answer(said("hi\nthere")) });
    assert_eq!(step.topic(&rows), Some(7));
    assert_eq!(next_step(&rows[1..3], 100).unwrap(), Step { rows: vec![2, 3], deed: Deed::Hush(said("hello")) });

    for button in [seven(row(2, Event::StopGeneration)), row(2, Event::StopGeneration)] {
        let rows = [rows[0].clone(), button];
        let step = next_step(&rows, 100).unwrap();
        assert_eq!((&step.rows[..], step.topic(&rows)), (&[1, 2][..], Some(7)));
        assert_eq!(while_answering(&rows, &[1]), News::Stop(vec![2]));
    }
    assert_eq!(while_answering(&rows[..2], &[1]), News::Later);
    assert_eq!(while_answering(&rows[..3], &[1]), News::Later);
    assert_eq!(while_answering(&rows, &[1]), News::Words);
    let over = [rows[0].clone(), rows[1].clone(), seven(row(3, command("reset")))];
    assert_eq!(next_step(&over, 100), Some(Step { rows: vec![1], deed: Deed::Nothing }));
    assert_eq!(next_step(&over[1..], 100), Some(Step { rows: vec![2], deed: Deed::Nothing }));
}

#[test]
fn news_during_an_answer() {
    let old = row(1, text("hi"));
    let news = |fresh: &[Event]| {
        let fresh = fresh.iter().zip(2..).map(|(event, seq)| row(seq, event.clone()));
        while_answering(&std::iter::once(old.clone()).chain(fresh).collect::<Vec<_>>(), &[1])
    };
    let (stop, wait, why) = (Event::StopGeneration, text("wait"), command("why"));
    assert_eq!(news(&[]), News::Later);
    assert_eq!(news(std::slice::from_ref(&why)), News::Later);
    assert_eq!(news(std::slice::from_ref(&wait)), News::Words);
    assert_eq!(news(&[why.clone(), wait.clone()]), News::Later, "they would not be answered with it");
    assert_eq!(news(&[command("reset")]), News::StartOver);
    assert_eq!(news(&[stop.clone(), command("stop")]), News::Stop(vec![2, 3]));
    assert_eq!(news(&[wait.clone(), stop.clone()]), News::Pressing, "all of it is hushed");
    assert_eq!(
        news(&[stop.clone(), wait.clone(), stop.clone()]),
        News::Stop(vec![2]),
        "the last hushes what it follows"
    );
    assert_eq!(news(&[why, wait, stop]), News::Stop(vec![]), "so it does behind another deed");
}

#[test]
fn danger_presses_wherever_it_is_told_and_flirting_where_it_is_taken_back() {
    let (old, edited) = (row(1, text("hi")), Event::Edited { text: "danger".into() });
    let command = Event::Command { name: "stop".into(), args: "danger".into() };
    for event in [text("danger"), edited, command] {
        let rows = [old.clone(), row(2, event)];
        assert_eq!(while_answering(&rows, &[1]), News::Pressing);
        assert_ne!(while_answering(&rows, &[1, 2]), News::Pressing, "what is known presses no more");
    }
    let no = Event::Button { callback_id: "c".into(), data: FLIRT_NO.into() };
    for (flirting, expected) in [(true, News::Pressing), (false, News::Later)] {
        let pressing = Pressing { concerns: &|_| false, flirting };
        assert_eq!(news(&[old.clone(), row(2, no.clone())], &[1], 64, &pressing), expected);
    }
}

#[test]
fn words_are_news_only_where_the_next_look_shows_them() {
    let rows = [row(1, text("hi")), row(2, text("wait"))];
    let pressing = Pressing { concerns: &|_| false, flirting: false };
    assert_eq!([1, 2].map(|shown| news(&rows, &[1], shown, &pressing)), [News::Later, News::Words]);
}

#[test]
fn a_row_that_presses_is_settled_with_its_own_burst_and_before_all_others() {
    let within = |topic, row: Pending| Pending { incoming: Incoming { topic, ..row.incoming }, ..row };
    let nine = |row| within(Some(9), row);
    let rows = [
        row(1, text("hi")),
        nine(row(2, text("listen"))),
        nine(row(3, text("danger"))),
        nine(row(4, text("ok?"))),
        row(5, Event::Edited { text: "danger".into() }),
    ];
    let step = step_with(&rows, 2, 100).unwrap();
    assert_eq!(step, Step { rows: vec![2, 3, 4], deed: Deed::Answer(said("listen\ndanger\nok?")) });
    let step = step_with(&rows, 4, 100).unwrap();
    assert_eq!(step, Step { rows: vec![5], deed: Deed::Reply(rows[4].incoming.clone()) });
}
