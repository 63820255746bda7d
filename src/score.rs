//! `ai-friend score`: how a message is felt, and which mode would answer it. Each message for itself: nothing is smoothed.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

use anyhow::Context;
use friend_actors::{
    mode::{Choice, Rules},
    ports::Scorer,
    safety::{Concern, Safety},
    tact::sobered,
    types::{Danger, Label, Reading, Scores},
};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Lines scored in one call, if as many are waiting.
const BATCH_LINES: usize = 64;
/// Of a longer line only so much is kept, in bytes. The scorer shortens far below that.
const MAX_LINE_BYTES: usize = 1 << 20;

/// What a message is judged by.
#[derive(Clone, Copy)]
pub struct Judges<'a> {
    /// How it is felt, and whether it hints at danger.
    pub scorer: &'a dyn Scorer,
    /// Which mode follows.
    pub rules: &'a Rules,
    /// Whether plain words speak of danger, and how sure a hint must be.
    pub safety: &'a Safety,
}

/// Scores each line of `input` as one message, blank ones too, and answers each with one line of `output`: as JSON
/// `{"scores":{seven labels},"positive":…,"negative":…,"mode":"FIX","bad_news":false,"danger":{two},"concern":null}`, else as words; of plain bad
/// news the sums and the mode are those that the bot goes by. Answers come as soon as no further line
/// is waiting. Ends with the input, or when nobody reads the output any more.
///
/// # Errors
/// If the input cannot be read, the output not written, or the scorer fails.
pub async fn lines(judges: Judges<'_>, json: bool, input: impl Read, mut output: impl Write) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    loop {
        let texts = waiting_lines(&mut input).context("standard input cannot be read")?;
        if texts.is_empty() {
            return Ok(());
        }
        let readings = judges.scorer.score(texts.clone()).await.context("nothing was scored")?;
        let answer = |(text, reading): (&String, Reading)| Answer::new(judges, text, reading).line(json) + "\n";
        let answers: String = texts.iter().zip(readings).map(answer).collect();
        match output.write_all(answers.as_bytes()).and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("standard output cannot be written")?,
        }
    }
}

/// Scores one message: as JSON, else as a table for people.
///
/// # Errors
/// If the scorer fails.
pub async fn message(judges: Judges<'_>, json: bool, text: String) -> anyhow::Result<String> {
    let readings = judges.scorer.score(vec![text.clone()]).await.context("nothing was scored")?;
    let answer = Answer::new(judges, &text, *readings.first().context("the scorer gave no answer")?);
    Ok(if json { answer.line(true) } else { answer.table() })
}

/// Waits for a line, then takes those that have come with it.
fn waiting_lines(input: &mut BufReader<impl Read>) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    while let Some(line) = next_line(input)? {
        lines.push(line);
        if lines.len() == BATCH_LINES || !input.buffer().contains(&b'\n') {
            break;
        }
    }
    Ok(lines)
}

/// One line without its end; what is no UTF-8 becomes �. `None` at the end of the input.
fn next_line(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let available = input.fill_buf()?;
        let end = available.iter().position(|&byte| byte == b'\n');
        let room = MAX_LINE_BYTES - line.len();
        let used = end.unwrap_or(available.len());
        let (nothing, none_left) = (line.is_empty(), available.is_empty());
        line.extend_from_slice(&available[..used.min(room)]);
        input.consume(used + usize::from(end.is_some()));
        match (end, none_left) {
            (None, true) if nothing => return Ok(None),
            (None, false) => {}
            _ => break,
        }
    }
    let text = line.strip_suffix(b"\r").unwrap_or(&line);
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

/// What was felt in one message and what follows from it.
struct Answer {
    scores: Scores,
    choice: Choice,
    /// Whether its words are plain bad news, which overrules the scores.
    bad_news: bool,
    danger: Option<Danger>,
    /// What the bot acts on: plain words, or else what the classifier heard.
    concern: Option<Concern>,
}

impl Answer {
    fn new(judges: Judges<'_>, text: &str, Reading { scores, danger }: Reading) -> Self {
        let concern = judges.safety.concern(text).or_else(|| judges.safety.heard(danger));
        let plain = sobered(judges.rules, text, scores);
        let choice = judges.rules.choose(plain.unwrap_or(scores), None, false);
        Self { scores, choice, bad_news: plain.is_some(), danger, concern }
    }

    fn line(&self, json: bool) -> String {
        let Choice { mode, negative, positive } = &self.choice;
        if json {
            return serde_json::to_string(self).unwrap_or_default(); // a map of numbers always serialises
        }
        let top = self.by_probability()[0];
        let concern = self.concern.map_or(String::new(), |concern| format!(", may be in danger: {}", spoken(concern)));
        let news = if self.bad_news { ", plain bad news" } else { "" };
        let score = self.scores.get(top);
        format!("{mode:8} {} {score:.2}, positive {positive:.2}, negative {negative:.2}{news}{concern}", top.name())
    }

    fn table(&self) -> String {
        let row = |label: Label| {
            let score = self.scores.get(label);
            let bar = "█".repeat((score * 40.0).round() as usize);
            format!("{:9} {score:.3}  {bar}", label.name()).trim_end().to_owned() + "\n"
        };
        let rows: String = self.by_probability().into_iter().map(row).collect();
        let Choice { mode, negative, positive } = &self.choice;
        let danger = self.danger.map_or(String::new(), |danger| format!("\ndanger    {:.3}", danger.total()));
        let care = self.concern.map_or(String::new(), |concern| {
            format!(
                "\n\nNo model would answer this: it may speak of danger to {}, and gets the written answer.",
                spoken(concern)
            )
        });
        let news = if self.bad_news { " (plain bad news: it counts as sad, whatever it sounds like)" } else { "" };
        format!("{rows}\npositive  {positive:.3}\nnegative  {negative:.3}{danger}\nmode      {mode}{news}{care}")
    }

    fn by_probability(&self) -> [Label; 7] {
        let mut labels = Label::ALL;
        labels.sort_by(|&a, &b| self.scores.get(b).total_cmp(&self.scores.get(a)));
        labels
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct ByLabel<'a>(&'a Scores);
        impl Serialize for ByLabel<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(Label::ALL.map(|label| (label.name(), self.0.get(label))))
            }
        }
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("scores", &ByLabel(&self.scores))?;
        map.serialize_entry("positive", &self.choice.positive)?;
        map.serialize_entry("negative", &self.choice.negative)?;
        map.serialize_entry("mode", &self.choice.mode)?;
        map.serialize_entry("bad_news", &self.bad_news)?;
        map.serialize_entry("danger", &self.danger)?;
        map.serialize_entry("concern", &self.concern)?;
        map.end()
    }
}

fn spoken(concern: Concern) -> &'static str {
    match concern {
        Concern::Themselves => "who writes",
        Concern::SomeoneElse => "someone else",
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use friend_actors::{persona::Persona, ports::ScoreError};

    use super::*;

    /// Anger in what holds "grr", joy in all else; danger in "soon it is over".
    struct Fake;

    #[async_trait]
    impl Scorer for Fake {
        async fn score(&self, texts: Vec<String>) -> Result<Vec<Reading>, ScoreError> {
            let angry = |text: &String| if text.contains("grr") { Label::Anger } else { Label::Joy };
            let scores = |label| Scores(Label::ALL.map(|other| if other == label { 1.0 } else { 0.0 }));
            let danger = |text: &String| Danger {
                themselves: if text.contains("soon it is over") { 0.75 } else { 0.25 },
                someone_else: 0.125,
            };
            Ok(texts.iter().map(|text| Reading { scores: scores(angry(text)), danger: Some(danger(text)) }).collect())
        }
    }

    async fn answers(json: bool, input: &[u8]) -> Vec<String> {
        let mut output = Vec::new();
        let (rules, safety) = (Persona::arthur().rules, Safety::default());
        lines(Judges { scorer: &Fake, rules: &rules, safety: &safety }, json, input, &mut output).await.unwrap();
        String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn every_line_has_its_line_of_json_blank_ones_too() {
        let answers = answers(true, b"grr\n\n  \nlast without end").await;
        assert_eq!(answers.len(), 4);
        let angry = r#"{"scores":{"anger":1.0,"disgust":0.0,"fear":0.0,"joy":0.0,"neutral":0.0,"sadness":0.0,"surprise":0.0},"positive":0.0,"negative":1.0,"mode":"FIX","bad_news":false,"danger":{"themselves":0.25,"someone_else":0.125},"concern":null}"#;
        assert_eq!(answers[0], angry);
        assert!(answers[1..].iter().all(|answer| answer.contains(r#""negative":0.0,"mode":"WARM","#)), "{answers:?}");
    }

    #[tokio::test]
    async fn broken_and_endless_lines_are_scored_too() {
        let mut input = vec![b'x'; 3 << 20];
        input.extend_from_slice(b"\n\xFF\xFEgrr\r\n");
        let answers = answers(true, &input).await;
        assert_eq!(answers.len(), 2);
        assert!(answers[1].contains("FIX"));
    }

    #[tokio::test]
    async fn no_input_is_no_output() {
        assert_eq!(answers(true, b"").await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn danger_is_told_of_be_it_said_plainly_or_only_heard() {
        let answers = answers(true, b"grr\nsoon it is over\ni want to die\nmy brother says he wants to die\n").await;
        let concerns = ["null", "\"themselves\"", "\"themselves\"", "\"someone_else\""];
        for (answer, concern) in answers.iter().zip(concerns) {
            assert!(answer.ends_with(&format!("\"concern\":{concern}}}")), "{answer}");
        }
        let safety = Safety { danger_above: 0.9, ..Safety::default() };
        let rules = Persona::arthur().rules;
        let judges = Judges { scorer: &Fake, rules: &rules, safety: &safety };
        let told = message(judges, false, "soon it is over".into()).await.unwrap();
        assert!(told.contains("danger    0.875") && !told.contains("No model"), "{told}");
    }

    #[tokio::test]
    async fn plain_bad_news_overrule_what_they_sound_like() {
        let told = answers(true, b"the tumour is back\n").await.concat();
        assert!(told.contains(r#""joy":1.0"#), "the classifier's own scores stay: {told}");
        assert!(told.contains(r#""positive":0.0,"negative":1.0,"mode":"FIX","bad_news":true"#), "{told}");
        let told = answers(false, b"the tumour is back\n").await.concat();
        assert_eq!(told, "FIX      joy 1.00, positive 0.00, negative 1.00, plain bad news");
    }

    #[tokio::test]
    async fn people_read_words() {
        assert_eq!(answers(false, b"grr\n").await, ["FIX      anger 1.00, positive 0.00, negative 1.00"]);
        let (rules, safety) = (Persona::arthur().rules, Safety::default());
        let judges = Judges { scorer: &Fake, rules: &rules, safety: &safety };
        let table = message(judges, false, "grr".into()).await.unwrap();
        assert!(table.starts_with("anger     1.000  ████") && table.ends_with("mode      FIX"), "{table}");
    }
}
