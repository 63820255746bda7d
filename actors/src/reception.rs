//! What a person's deeds call for: pure decisions over the unanswered inbox rows of one chat.

use crate::ports::Pending;
use crate::types::{Event, Incoming};

/// The next thing to do for a chat, with the inbox rows ([`Pending::seq`]) that it settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Rows settled by this step.
    pub rows: Vec<i64>,
    /// What to do.
    pub deed: Deed,
}

/// What there is to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Deed {
    /// Answer these words: one message, or a burst merged.
    Answer(Words),
    /// The person wrote and then said stop: the words are kept, the answer left out.
    Hush(Words),
    /// Anything that is not answered by the model.
    Reply(Incoming),
    /// Nothing: overtaken by a later /start, /reset or erasure.
    Nothing,
}

impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(words) => write!(f, "Answer({} characters)", words.0.chars().count()),
            Self::Hush(words) => write!(f, "Hush({} characters)", words.0.chars().count()),
            Self::Reply(incoming) => write!(f, "Reply({:?})", incoming.event),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

/// A person's words; they never reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Words(pub String);

/// What new rows mean for an answer that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing for now: they wait their turn.
    Later,
    /// More words: the answer is out of date.
    Words,
    /// A wish to start over: nobody wants the answer any more.
    StartOver,
    /// The person wants it to stop. These rows say so.
    Stop(Vec<i64>),
}

/// Button data of the erasure's confirmation.
pub const FORGET_YES: &str = "forget:yes";
/// Button data of the erasure's refusal.
pub const FORGET_NO: &str = "forget:no";
/// How the data of a button that drops a fact begins; the fact's time follows.
pub const DROP_FACT: &str = "remember:drop:";
/// Button data of an adult's wish to be flirted with.
pub const FLIRT_YES: &str = "flirt:yes";
/// Button data of the refusal.
pub const FLIRT_NO: &str = "flirt:no";

/// The next step for rows in order of arrival; none if there are no rows.
///
/// Words that follow each other are merged. A wish to start over overtakes the words before it, and only these: an
/// erasure or a consent before it still counts. Captions are words: a picture with words under it is answered by them.
pub fn next_step(rows: &[Pending], longest_chars: usize) -> Option<Step> {
    let first = rows.first()?;
    let fresh = rows.iter().rposition(|row| starts_over(&row.incoming.event)).unwrap_or(0);
    let overtaken = rows[..fresh].iter().take_while(|row| is_overtaken(&row.incoming.event));
    let overtaken: Vec<i64> = overtaken.map(|row| row.seq).collect();
    if !overtaken.is_empty() {
        return Some(Step { rows: overtaken, deed: Deed::Nothing });
    }
    if words(&first.incoming.event).is_none() {
        return Some(Step { rows: vec![first.seq], deed: Deed::Reply(first.incoming.clone()) });
    }
    let (mut settled, mut texts) = (Vec::new(), Vec::new());
    let mut hushed = false;
    for row in rows {
        match words(&row.incoming.event) {
            Some(text) => texts.push(text),
            None if is_stop(&row.incoming.event) => hushed = true,
            None => break,
        }
        settled.push(row.seq);
        if hushed {
            break;
        }
    }
    let merged = Words(newest_chars(&texts.join("\n"), longest_chars));
    Some(Step { rows: settled, deed: if hushed { Deed::Hush(merged) } else { Deed::Answer(merged) } })
}

/// What rows that came after `answering` mean for the answer being written.
pub fn news(rows: &[Pending], answering: &[i64]) -> News {
    let fresh = || rows.iter().filter(|row| !answering.contains(&row.seq));
    let stops: Vec<i64> = fresh().filter(|row| is_stop(&row.incoming.event)).map(|row| row.seq).collect();
    if fresh().any(|row| starts_over(&row.incoming.event)) {
        News::StartOver
    } else if !stops.is_empty() {
        News::Stop(stops)
    } else if fresh().any(|row| words(&row.incoming.event).is_some()) {
        News::Words
    } else {
        News::Later
    }
}

/// Whether this event is words for the friend.
pub fn words(event: &Event) -> Option<&str> {
    match event {
        Event::Text { text } => Some(text.as_str()),
        Event::Media { caption, .. } => caption.as_deref(),
        _ => None,
    }
    .filter(|text| !text.trim().is_empty())
}

fn is_stop(event: &Event) -> bool {
    matches!(event, Event::StopGeneration) || matches!(event, Event::Command { name, .. } if name == "stop")
}

fn starts_over(event: &Event) -> bool {
    match event {
        Event::Command { name, .. } => name == "start" || name == "reset",
        Event::Button { data, .. } => data == FORGET_YES,
        Event::Left => true,
        _ => false,
    }
}

/// Whether a later wish to start over leaves nothing of this.
fn is_overtaken(event: &Event) -> bool {
    words(event).is_some() || is_stop(event) || matches!(event, Event::Edited { .. } | Event::Media { .. })
}

/// The end of a text that is too long: what was said last matters most.
fn newest_chars(text: &str, longest: usize) -> String {
    let surplus = text.chars().count().saturating_sub(longest);
    text.chars().skip(surplus).collect()
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_burst_is_one_turn_and_ends_at_a_command() {
        let rows = [row(1, text("hi")), row(2, text("you there?")), row(3, command("why")), row(4, text("hello?"))];
        let step = next_step(&rows, 100).unwrap();
        assert_eq!(step, Step { rows: vec![1, 2], deed: Deed::Answer(Words("hi\nyou there?".into())) });
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
        assert_eq!(step, Step { rows: vec![1, 2], deed: Deed::Hush(Words("tell me a story".into())) });
    }

    #[test]
    fn a_caption_is_words_and_a_bare_picture_is_not() {
        let photo = |caption: Option<&str>| Event::Media { media: Media::Photo, caption: caption.map(Into::into) };
        assert!(matches!(next_step(&[row(1, photo(Some("my dog")))], 9).unwrap().deed, Deed::Answer(_)));
        assert!(matches!(next_step(&[row(1, photo(None))], 9).unwrap().deed, Deed::Reply(_)));
    }

    #[test]
    fn of_too_many_words_the_newest_stay() {
        let step = next_step(&[row(1, text("abc")), row(2, text("défg"))], 3).unwrap();
        assert_eq!(step.deed, Deed::Answer(Words("éfg".into())));
    }

    #[test]
    fn news_during_an_answer() {
        let answering = [1];
        let old = row(1, text("hi"));
        assert_eq!(news(std::slice::from_ref(&old), &answering), News::Later);
        assert_eq!(news(&[old.clone(), row(2, command("why"))], &answering), News::Later);
        assert_eq!(news(&[old.clone(), row(2, text("wait"))], &answering), News::Words);
        assert_eq!(news(&[old.clone(), row(2, command("reset"))], &answering), News::StartOver);
        assert_eq!(news(&[old, row(2, text("wait")), row(3, Event::StopGeneration)], &answering), News::Stop(vec![3]));
    }
}
