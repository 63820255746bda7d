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
    /// What may wait for no answer, however often others were begun in vain: see [`Pressing`].
    Pressing,
    /// A wish to start over: nobody wants the answer any more.
    StartOver,
    /// The person wants it to stop. These rows say so.
    Stop(Vec<i64>),
}

/// What may not wait until the answer being written is finished, beside words that are hushed with those it answers.
pub struct Pressing<'a> {
    /// Whether words speak of danger: what is said to them is written, and needs no model.
    pub concerns: &'a dyn Fn(&str) -> bool,
    /// Whether the answer is written in the mode that a person may take back.
    pub flirting: bool,
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

/// The step that settles the row `at` before all others, with the words around it that are of its burst.
pub fn step_with(rows: &[Pending], at: usize, longest_chars: usize) -> Option<Step> {
    let row = rows.get(at)?;
    let before = rows[..at].iter().rev().take_while(|row| words(&row.incoming.event).is_some()).count();
    let burst = (at - before..at).find(|&from| rows[from].incoming.topic == row.incoming.topic);
    let mut steps = burst.into_iter().chain([at]).filter_map(|from| next_step(&rows[from..], longest_chars));
    steps.find(|step| step.rows.contains(&row.seq))
}

/// What rows that are not `known` yet mean for the answer being written, which is to the first of all. The next look at the
/// inbox shows the first `shown` of them at least.
///
/// Only what belongs to it: words that would not be answered with it are no reason to begin it again, and a /stop said in
/// another topic is about what was said there. Danger is one wherever it is told.
pub fn news(rows: &[Pending], known: &[i64], shown: usize, pressing: &Pressing<'_>) -> News {
    let topic = topic(rows);
    let fresh: Vec<&Pending> = rows.iter().filter(|row| !known.contains(&row.seq)).collect();
    let any = |is: &dyn Fn(&Event) -> bool| fresh.iter().any(|row| is(&row.incoming.event));
    if any(&starts_over) {
        return News::StartOver;
    }
    let grows = |burst: &Burst<'_>| {
        fresh.iter().any(|row| words(&row.incoming.event).is_some() && burst.rows.contains(&row.seq))
    };
    let (burst, concerns) = (Burst::of(rows), pressing.concerns);
    let grown = grows(&burst);
    let danger = any(&|event| written(event).is_some_and(concerns)) || (grown && concerns(&burst.texts.join("\n")));
    if danger || (grown && burst.hushed) || (pressing.flirting && any(&withdraws)) {
        return News::Pressing;
    }
    if fresh.iter().any(|row| stops(&row.incoming, topic)) {
        // Words before a /stop that are not of this burst are hushed by it in their turn.
        let ours = |row: &&&Pending| words(&row.incoming.event).is_none() || row.incoming.topic != topic;
        let ours = fresh.iter().take_while(ours).filter(|row| stops(&row.incoming, topic));
        return News::Stop(ours.map(|row| row.seq).collect());
    }
    // Begun again for words that it does not see, the answer would be the same.
    if grows(&Burst::of(&rows[..shown.min(rows.len())])) { News::Words } else { News::Later }
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

/// All that a person wrote, whether or not it is answered by the model.
pub fn written(event: &Event) -> Option<&str> {
    match event {
        Event::Edited { text } | Event::Command { args: text, .. } => Some(text),
        _ => words(event),
    }
}

/// Whether it takes back the consent to be flirted with, where that was given.
pub fn withdraws(event: &Event) -> bool {
    match event {
        Event::Button { data, .. } => data == FLIRT_NO,
        Event::Command { name, .. } => name == "flirt",
        _ => false,
    }
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
mod tests;
