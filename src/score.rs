//! `ai-friend score`: how a message is felt, and which mode would answer it. Each message for itself: nothing is smoothed.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

use anyhow::Context;
use friend_actors::{
    mode::{Choice, Rules},
    ports::Scorer,
    types::{Label, Scores},
};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Lines scored in one call, if as many are waiting.
const BATCH_LINES: usize = 64;
/// Of a longer line only so much is kept, in bytes. The scorer shortens far below that.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Scores each line of `input` as one message, blank ones too, and answers each with one line of `output`: as JSON
/// `{"scores":{seven labels},"positive":…,"negative":…,"mode":"FIX"}`, else as words. Answers come as soon as no further line
/// is waiting. Ends with the input, or when nobody reads the output any more.
///
/// # Errors
/// If the input cannot be read, the output not written, or the scorer fails.
pub async fn lines(
    scorer: &dyn Scorer,
    rules: &Rules,
    json: bool,
    input: impl Read,
    mut output: impl Write,
) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    loop {
        let texts = waiting_lines(&mut input).context("standard input cannot be read")?;
        if texts.is_empty() {
            return Ok(());
        }
        let scores = scorer.score(texts).await.context("nothing was scored")?;
        let answers: String = scores.into_iter().map(|scores| Answer::new(rules, scores).line(json) + "\n").collect();
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
pub async fn message(scorer: &dyn Scorer, rules: &Rules, json: bool, text: String) -> anyhow::Result<String> {
    let scores = scorer.score(vec![text]).await.context("nothing was scored")?;
    let answer = Answer::new(rules, *scores.first().context("the scorer gave no answer")?);
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
}

impl Answer {
    fn new(rules: &Rules, scores: Scores) -> Self {
        Self { scores, choice: rules.choose(scores, None, false) }
    }

    fn line(&self, json: bool) -> String {
        let Choice { mode, negative, positive } = &self.choice;
        if json {
            return serde_json::to_string(self).unwrap_or_default(); // a map of numbers always serialises
        }
        let top = self.by_probability()[0];
        format!("{mode:8} {} {:.2}, positive {positive:.2}, negative {negative:.2}", top.name(), self.scores.get(top))
    }

    fn table(&self) -> String {
        let row = |label: Label| {
            let score = self.scores.get(label);
            let bar = "█".repeat((score * 40.0).round() as usize);
            format!("{:9} {score:.3}  {bar}", label.name()).trim_end().to_owned() + "\n"
        };
        let rows: String = self.by_probability().into_iter().map(row).collect();
        let Choice { mode, negative, positive } = &self.choice;
        format!("{rows}\npositive  {positive:.3}\nnegative  {negative:.3}\nmode      {mode}")
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
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("scores", &ByLabel(&self.scores))?;
        map.serialize_entry("positive", &self.choice.positive)?;
        map.serialize_entry("negative", &self.choice.negative)?;
        map.serialize_entry("mode", &self.choice.mode)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use friend_actors::{persona::Persona, ports::ScoreError};

    use super::*;

    /// Anger in what holds "grr", joy in all else.
    struct Fake;

    #[async_trait]
    impl Scorer for Fake {
        async fn score(&self, texts: Vec<String>) -> Result<Vec<Scores>, ScoreError> {
            let angry = |text: &String| if text.contains("grr") { Label::Anger } else { Label::Joy };
            let scores = |label| Scores(Label::ALL.map(|other| if other == label { 1.0 } else { 0.0 }));
            Ok(texts.iter().map(angry).map(scores).collect())
        }
    }

    async fn answers(json: bool, input: &[u8]) -> Vec<String> {
        let mut output = Vec::new();
        lines(&Fake, &Persona::arthur().rules, json, input, &mut output).await.unwrap();
        String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn every_line_has_its_line_of_json_blank_ones_too() {
        let answers = answers(true, b"grr\n\n  \nlast without end").await;
        assert_eq!(answers.len(), 4);
        let angry = r#"{"scores":{"anger":1.0,"disgust":0.0,"fear":0.0,"joy":0.0,"neutral":0.0,"sadness":0.0,"surprise":0.0},"positive":0.0,"negative":1.0,"mode":"FIX"}"#;
        assert_eq!(answers[0], angry);
        assert!(answers[1..].iter().all(|answer| answer.ends_with(r#""negative":0.0,"mode":"WARM"}"#)), "{answers:?}");
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
    async fn people_read_words() {
        assert_eq!(answers(false, b"grr\n").await, ["FIX      anger 1.00, positive 0.00, negative 1.00"]);
        let table = message(&Fake, &Persona::arthur().rules, false, "grr".into()).await.unwrap();
        assert!(table.starts_with("anger     1.000  ████") && table.ends_with("mode      FIX"), "{table}");
    }
}
