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
    /// Nothing: overtaken by a later /start, /reset or erasure, or part of an album whose caption is answered.
    Nothing,
}

impl Step {
    /// The topic that it is about: there the answer belongs. What was said in another is another step.
    pub fn topic(&self, rows: &[Pending]) -> Option<i64> {
        let first = self.rows.first()?;
        rows.iter().find(|row| row.seq == *first)?.incoming.topic
    }
}

impl Deed {
    /// Whether more may follow at once that belongs to it: words of a burst, pictures of an album.
    pub fn may_grow(&self) -> bool {
        match self {
            Self::Answer(_) => true,
            Self::Reply(incoming) => matches!(incoming.event, Event::Media { .. }),
            Self::Hush(_) | Self::Nothing => false,
        }
    }
}

impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(words) => write!(f, "Answer({} characters)", words.newest.chars().count()),
            Self::Hush(words) => write!(f, "Hush({} characters)", words.newest.chars().count()),
            Self::Reply(incoming) => write!(f, "Reply({:?})", incoming.event),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

/// A person's words; they never reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// What comes before, where it is more than one turn takes, as turns of their own: remembered, and no part of what
    /// is answered now.
    pub earlier: Vec<String>,
    /// What is answered.
    pub newest: String,
}

impl Words {
    /// Cuts from the end what is too long for one turn: what was said last matters most.
    fn new(text: &str, longest_chars: usize) -> Self {
        let longest = longest_chars.max(1);
        let (before, newest) = text.split_at(last_turn(text, longest));
        // A turn is cut to no less than half of what it may hold: so there are never more than the most of them.
        let larger = 2 * before.chars().count().div_ceil(EARLIER_TURNS);
        let mut earlier = Vec::new();
        let mut rest = before.trim_end();
        while !rest.is_empty() {
            let (before, last) = rest.split_at(last_turn(rest, longest.max(larger)));
            earlier.push(last.to_owned());
            rest = before.trim_end();
        }
        earlier.reverse();
        Self { earlier, newest: newest.to_owned() }
    }
}

/// The most turns made of what comes before the words that are answered: of more words each turn holds more. Any number of
/// turns would leave nothing of what was spoken of before in the history.
pub const EARLIER_TURNS: usize = 32;

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
/// Words that follow each other in one topic are merged; those in another wait for an answer of their own. A wish to start
/// over overtakes the words before it, and only these: an erasure or a consent before it still counts. Captions are words:
/// a picture with words under it is answered by them, and so are the others of its album. What else comes without words is
/// replied to once where it is an album, or all of one kind.
pub fn next_step(rows: &[Pending], longest_chars: usize) -> Option<Step> {
    let first = rows.first()?;
    let fresh = rows.iter().rposition(|row| starts_over(&row.incoming.event)).unwrap_or(0);
    let is_over = |row: &&Pending| is_overtaken(&row.incoming.event) && row.incoming.topic == first.incoming.topic;
    let overtaken = rows[..fresh].iter().take_while(is_over);
    let overtaken: Vec<i64> = overtaken.map(|row| row.seq).collect();
    if !overtaken.is_empty() {
        return Some(Step { rows: overtaken, deed: Deed::Nothing });
    }
    if words(&first.incoming.event).is_none() && !Captioned::of(rows).has(&first.incoming.event) {
        let more = rows[1..].iter().take_while(|row| go_together(&first.incoming, &row.incoming));
        let rows = std::iter::once(first).chain(more).map(|row| row.seq).collect();
        return Some(Step { rows, deed: Deed::Reply(first.incoming.clone()) });
    }
    let Burst { rows, texts, hushed } = Burst::of(rows);
    let merged = Words::new(&texts.join("\n"), longest_chars);
    let deed = match (texts.is_empty(), hushed) {
        (true, _) => Deed::Nothing, // The caption stands behind something else, and is answered in its turn.
        (false, true) => Deed::Hush(merged),
        (false, false) => Deed::Answer(merged),
    };
    Some(Step { rows, deed })
}

/// Words that are answered together.
struct Burst<'a> {
    rows: Vec<i64>,
    texts: Vec<&'a str>,
    /// The person said stop behind them.
    hushed: bool,
}

impl<'a> Burst<'a> {
    /// The burst that the first of some rows begins.
    fn of(all: &'a [Pending]) -> Self {
        let (captioned, topic) = (Captioned::of(all), topic(all));
        let (mut rows, mut texts, mut hushed) = (Vec::new(), Vec::new(), false);
        for Pending { seq, incoming } in all {
            let event = &incoming.event;
            match words(event) {
                Some(text) if incoming.topic == topic => texts.push(text),
                None if stops(incoming, topic) && !texts.is_empty() => hushed = true,
                None if incoming.topic == topic && captioned.has(event) => {}
                // It belongs to another burst: this one may go on behind it.
                Some(_) => continue,
                None if incoming.topic != topic && (is_stop(event) || captioned.has(event)) => continue,
                None => break,
            }
            rows.push(*seq);
            if hushed {
                break;
            }
        }
        Self { rows, texts, hushed }
    }
}

/// Albums that have words under one of their pictures.
struct Captioned<'a>(Vec<&'a str>);

impl<'a> Captioned<'a> {
    fn of(rows: &'a [Pending]) -> Self {
        let with_words = rows.iter().filter(|row| words(&row.incoming.event).is_some());
        Self(with_words.filter_map(|row| album(&row.incoming.event)).collect())
    }

    fn has(&self, event: &Event) -> bool {
        album(event).is_some_and(|album| self.0.contains(&album))
    }
}

/// What rows that came after `answering` mean for the answer being written, which is to the first of all.
///
/// Only what belongs to it: words that would not be answered with it are no reason to begin it again, and a /stop said in
/// another topic is about what was said there.
pub fn news(rows: &[Pending], answering: &[i64]) -> News {
    let topic = topic(rows);
    let fresh = || rows.iter().filter(|row| !answering.contains(&row.seq));
    let stops: Vec<i64> = fresh().filter(|row| stops(&row.incoming, topic)).map(|row| row.seq).collect();
    if fresh().any(|row| starts_over(&row.incoming.event)) {
        return News::StartOver;
    }
    if !stops.is_empty() {
        return News::Stop(stops);
    }
    let burst = Burst::of(rows).rows;
    let more = fresh().any(|row| words(&row.incoming.event).is_some() && burst.contains(&row.seq));
    if more { News::Words } else { News::Later }
}

/// The topic of what is to be done next.
fn topic(rows: &[Pending]) -> Option<i64> {
    rows.first()?.incoming.topic
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

/// The album that a picture is part of.
fn album(event: &Event) -> Option<&str> {
    match event {
        Event::Media { album, .. } => album.as_deref(),
        _ => None,
    }
}

/// Whether the reply to something without words does for what follows it.
fn go_together(first: &Incoming, next: &Incoming) -> bool {
    let (Event::Media { media, .. }, Event::Media { media: next_media, .. }) = (&first.event, &next.event) else {
        return false;
    };
    let same_album = album(&first.event).is_some() && album(&first.event) == album(&next.event);
    words(&next.event).is_none() && first.topic == next.topic && (same_album || media == next_media)
}

fn is_stop(event: &Event) -> bool {
    matches!(event, Event::StopGeneration) || matches!(event, Event::Command { name, .. } if name == "stop")
}

/// Whether it stops an answer in this topic. Who presses the button under a draft means that draft: rows written before its
/// topic was known have none.
fn stops(incoming: &Incoming, topic: Option<i64>) -> bool {
    let any = incoming.topic.is_none() && incoming.event == Event::StopGeneration;
    is_stop(&incoming.event) && (incoming.topic == topic || any)
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

/// Where the last part of a text begins that one turn takes: between words or messages if that leaves half a turn.
/// Looks at no more than that part, so that a long text can be cut in one pass.
fn last_turn(text: &str, longest: usize) -> usize {
    let Some((cut, _)) = text.char_indices().rev().nth(longest - 1) else { return 0 };
    let Some((before, _)) = text[..cut].char_indices().next_back() else { return 0 };
    let mut near = text[before..].char_indices().take(longest / 2);
    near.find(|(_, c)| c.is_whitespace()).map_or(cut, |(at, space)| before + at + space.len_utf8())
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
            assert_eq!(news(&rows, &[1]), News::Stop(vec![2]));
        }
        assert_eq!(news(&rows[..2], &[1]), News::Later);
        assert_eq!(news(&rows[..3], &[1]), News::Later);
        assert_eq!(news(&rows, &[1]), News::Words);
        let over = [rows[0].clone(), rows[1].clone(), seven(row(3, command("reset")))];
        assert_eq!(next_step(&over, 100), Some(Step { rows: vec![1], deed: Deed::Nothing }));
        assert_eq!(next_step(&over[1..], 100), Some(Step { rows: vec![2], deed: Deed::Nothing }));
    }

    #[test]
    fn news_during_an_answer() {
        let answering = [1];
        let old = row(1, text("hi"));
        assert_eq!(news(std::slice::from_ref(&old), &answering), News::Later);
        assert_eq!(news(&[old.clone(), row(2, command("why"))], &answering), News::Later);
        assert_eq!(news(&[old.clone(), row(2, text("wait"))], &answering), News::Words);
        let behind = [old.clone(), row(2, command("why")), row(3, text("wait"))];
        assert_eq!(news(&behind, &answering), News::Later, "they would not be answered with it");
        assert_eq!(news(&[old.clone(), row(2, command("reset"))], &answering), News::StartOver);
        assert_eq!(news(&[old, row(2, text("wait")), row(3, Event::StopGeneration)], &answering), News::Stop(vec![3]));
    }
}
