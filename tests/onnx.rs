//! The embedded emotion classifier through the real ONNX Runtime: the same numbers as Python's, whatever the batch, and no
//! text that can break it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ai_friend::adapters::onnx::{Encoder, LIBRARY, OnnxConfig, OnnxError, OnnxScorer};
use friend_actors::{
    ports::{ScoreError, Scorer},
    safety::{Concern, Safety},
    types::{Danger, Label, Reading, Scores},
};
use friend_sim::script::{MOODS, lines};
use futures_util::future::join_all;
use serde::Deserialize;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn config(model_dir: &Path) -> OnnxConfig {
    let models = std::env::var_os("AI_FRIEND_MODELS").unwrap_or_else(|| "models/cache".into());
    OnnxConfig {
        model_dir: model_dir.to_owned(),
        library: project("").join(models).join(LIBRARY),
        label_map: BTreeMap::new(),
        max_length_tokens: 128,
        queue: 64,
    }
}

fn scorer() -> OnnxScorer {
    OnnxScorer::start(config(&project("models/emotion"))).unwrap_or_else(|error| panic!("{error}"))
}

async fn read(scorer: &OnnxScorer, texts: &[&str]) -> Vec<Reading> {
    scorer.score(texts.iter().map(|&text| text.to_owned()).collect()).await.expect("a reading")
}

async fn score(scorer: &OnnxScorer, texts: &[&str]) -> Vec<Scores> {
    read(scorer, texts).await.into_iter().map(|reading| reading.scores).collect()
}

fn read_lines<T: for<'a> Deserialize<'a>>(path: &str) -> Vec<T> {
    let text = std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}: {line}")))
        .collect()
}

fn largest_difference(a: &Scores, b: &Scores) -> f32 {
    a.0.iter().zip(b.0).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn text_becomes_the_same_tokens_as_in_python() {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        ids: Vec<i64>,
    }
    let encoder = Encoder::load(&project("models/emotion/tokenizer.json"), 128).unwrap();
    let rows: Vec<Row> = read_lines("tests/fixtures/emotion/tokenizer_strings.jsonl");
    assert!(rows.len() >= 360);
    for Row { text, ids } in rows {
        let ours = encoder.encode(&text).unwrap();
        if ids.len() < 128 {
            assert_eq!(ours, ids, "{text:?}");
        } else {
            // Python's fixture keeps the beginning of what is too long, we keep beginning and end.
            assert_eq!((ours.len(), &ours[..64]), (128, &ids[..64]), "{text:?}");
        }
    }
}

#[test]
fn a_long_message_keeps_its_beginning_and_its_end() {
    let encoder = Encoder::load(&project("models/emotion/tokenizer.json"), 16).unwrap();
    let long = encoder.encode(&format!("first words {} last words", "and so on ".repeat(50))).unwrap();
    let (first, last) = (encoder.encode("first words").unwrap(), encoder.encode("last words").unwrap());
    assert_eq!(long.len(), 16);
    assert_eq!(long[..3], first[..3]);
    assert_eq!(long[13..], last[1..]);
}

#[tokio::test]
async fn company_does_not_change_a_score() {
    let scorer = scorer();
    let texts = [
        "i'm fine.",
        "not happy at all",
        "",
        "what time is it",
        "I passed the exam!!! 😊",
        "my dog died yesterday and i can't stop crying, i really do not know what to do with myself any more",
        "ugh",
    ];
    let together = score(&scorer, &texts).await;
    for (text, batched) in texts.iter().zip(&together) {
        let alone = score(&scorer, &[text]).await[0];
        assert!(largest_difference(batched, &alone) <= 1e-5, "{text:?}: {batched:?} in company, {alone:?} alone");
    }
    assert!(largest_difference(&together[4], &together[5]) > 0.1, "the scores say something at all");
}

/// How far the same file's probabilities may lie apart on two processors: ONNX Runtime picks its int8 kernels by the
/// instructions there are, and those for AVX2 saturate in 16 bits. Seen between AVX-512, where the file was made, and AVX2: 0.0226 for
/// one label of one text. On one machine Rust and Python agree to 1e-4, which `make emotion-eval` shows; a mistake in tokens or inputs
/// moves some of these scores by 0.1 and more.
const ACROSS_PROCESSORS: f32 = 0.03;
/// The same for danger, whose probabilities are steeper.
const DANGER_ACROSS_PROCESSORS: f32 = 0.05;

#[tokio::test]
async fn scores_are_those_of_python() {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        probabilities: BTreeMap<String, f32>,
        danger: Danger,
    }
    let scorer = scorer();
    let rows: Vec<Row> = read_lines("tests/fixtures/emotion/scores.jsonl");
    assert!(rows.len() >= 50);
    let readings = read(&scorer, &rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>()).await;
    for (row, ours) in rows.iter().zip(readings) {
        for label in Label::ALL {
            let difference = (ours.scores.get(label) - row.probabilities[label.name()]).abs();
            assert!(difference <= ACROSS_PROCESSORS, "{:?}: {} differs by {difference}", row.text, label.name());
        }
        let heard = ours.danger.expect("the shipped model hears danger");
        let apart = [heard.themselves - row.danger.themselves, heard.someone_else - row.danger.someone_else];
        assert!(apart.iter().all(|apart| apart.abs() <= DANGER_ACROSS_PROCESSORS), "{:?}: {heard:?}", row.text);
    }
}

/// Of the messages of danger/test.tsv that speak of danger, the share that the classifier hears by itself, and with the words; and of those that
/// do not, the share that is taken for it. Never lower the first two, nor raise the last.
const HEARD_ALONE: f64 = 0.66;
const HEARD: f64 = 0.69;
const MISTAKEN: f64 = 0.075;

#[tokio::test]
async fn veiled_words_of_danger_are_heard_and_harmless_ones_mostly_not() {
    let (scorer, safety) = (scorer(), Safety::default());
    let text = std::fs::read_to_string(project("models/emotion/danger/test.tsv")).unwrap();
    let lines: Vec<(&str, &str)> =
        text.lines().map(|line| line.split_once('\t').expect("label, tab, message")).collect();
    let readings = read(&scorer, &lines.iter().map(|(_, text)| *text).collect::<Vec<_>>()).await;
    let alone: Vec<_> = readings.iter().map(|reading| safety.heard(reading.danger)).collect();
    let both: Vec<_> = lines.iter().zip(&alone).map(|((_, text), heard)| safety.concern(text).or(*heard)).collect();
    let share = |found: &[Option<Concern>], harmless: bool| {
        let asked = lines.iter().zip(found).filter(|((label, _), _)| (*label == "nobody") == harmless);
        let found = asked.clone().filter(|(_, found)| found.is_some()).count();
        found as f64 / asked.count() as f64
    };
    let (heard_alone, heard, mistaken) = (share(&alone, false), share(&both, false), share(&both, true));
    let told = format!("{heard_alone:.3} heard by the classifier, {heard:.3} with the words, {mistaken:.3} mistaken");
    assert!(heard_alone >= HEARD_ALONE && heard >= HEARD && mistaken <= MISTAKEN, "{told}");
    let of = |label: &str, concern| {
        let of_label = lines.iter().zip(&alone).filter(|((meant, _), _)| *meant == label);
        of_label.filter(|(_, heard)| **heard == Some(concern)).count()
    };
    assert!(of("themselves", Concern::Themselves) > 10 * of("themselves", Concern::SomeoneElse));
    assert!(of("someone_else", Concern::SomeoneElse) > 10 * of("someone_else", Concern::Themselves));
}

#[tokio::test]
async fn every_simulated_user_is_answered_by_the_model() {
    let (scorer, safety) = (scorer(), Safety::default());
    let lines: Vec<&str> = MOODS.iter().flat_map(|mood| lines(*mood)).copied().collect();
    for (line, reading) in lines.iter().zip(read(&scorer, &lines).await) {
        assert_eq!(
            safety.concern(line).or_else(|| safety.heard(reading.danger)),
            None,
            "{line}: no load would be measured"
        );
    }
}

#[tokio::test]
async fn a_model_that_was_not_taught_to_hear_danger_is_not_asked() {
    let shipped = std::fs::read_to_string(project("models/emotion/config.json")).unwrap();
    let mut plain: serde_json::Value = serde_json::from_str(&shipped).unwrap();
    plain.as_object_mut().unwrap().remove("danger");
    let deaf = OnnxScorer::start(config(altered("config.json", Some(&plain.to_string())).path())).unwrap();
    let text = "I've said goodbye to everyone who matters and I'm not scared any more";
    assert_eq!(read(&deaf, &[text]).await[0].danger, None);
    plain["danger"] = serde_json::json!(["themselves", "nobody", "someone_else"]);
    let error = refusal(&altered("config.json", Some(&plain.to_string())));
    assert!(error.to_string().contains("its classes of danger are themselves, nobody, someone_else"), "{error}");
}

/// The share of behavioural cases that the shipped classifier passes, rounded down. 0.90 is wanted; never lower this.
const FLOOR: f64 = 0.94;

/// One behavioural case: an accepted mode (FLIRT stands for positive) or label, or that a sum is higher or lower than for
/// another text.
#[derive(Deserialize)]
struct Case {
    text: String,
    mode: Option<Vec<String>>,
    label: Option<Vec<String>>,
    more: Option<String>,
    less: Option<String>,
    than: Option<String>,
}

impl Case {
    fn passes(&self, here: &Scores, there: &Scores) -> bool {
        let accepted = |names: &Option<Vec<String>>, ours: &str| {
            names.as_ref().is_none_or(|names| names.iter().any(|name| name == ours))
        };
        let moved = |name: &Option<String>, sign: f32| {
            name.as_ref().is_none_or(|name| {
                let (here, there) = (amount(here, name), amount(there, name));
                (here - there) * sign >= 0.05 || (here - 0.5) * sign >= 0.4
            })
        };
        let mode = match (amount(here, "negative") > 0.3, amount(here, "positive") > 0.5) {
            (true, _) => "FIX",
            (_, true) => "FLIRT",
            _ => "GENERAL",
        };
        let top = Label::ALL.into_iter().max_by(|&a, &b| here.get(a).total_cmp(&here.get(b))).unwrap();
        accepted(&self.mode, mode)
            && accepted(&self.label, top.name())
            && moved(&self.more, 1.0)
            && moved(&self.less, -1.0)
    }
}

/// A label's probability, or the sum that a mode looks at.
fn amount(scores: &Scores, name: &str) -> f32 {
    match name {
        "negative" => scores.sum(&[Label::Anger, Label::Disgust, Label::Fear, Label::Sadness]),
        "positive" => scores.sum(&[Label::Joy, Label::Surprise]),
        label => scores.get(Label::ALL.into_iter().find(|ours| ours.name() == label).expect("a known label")),
    }
}

#[tokio::test]
async fn behavioural_cases_are_felt_as_meant_as_often_as_in_python() {
    let scorer = scorer();
    let cases: Vec<Case> = read_lines("models/emotion/behaviour.jsonl");
    assert!(cases.len() >= 200);
    let here = score(&scorer, &cases.iter().map(|case| case.text.as_str()).collect::<Vec<_>>()).await;
    let others: Vec<&str> = cases.iter().map(|case| case.than.as_deref().unwrap_or(&case.text)).collect();
    let there = score(&scorer, &others).await;
    let passed =
        cases.iter().zip(here.iter().zip(&there)).filter(|(case, (here, there))| case.passes(here, there)).count();
    let rate = passed as f64 / cases.len() as f64;
    let metrics = std::fs::read_to_string(project("models/emotion/metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    let in_python = metrics["behaviour"]["pass_rate"].as_f64().expect("a measured pass rate");
    assert!((rate - in_python).abs() < 0.01, "{rate:.3} here, {in_python:.3} in metrics.json");
    assert!(rate >= FLOOR, "{passed} of {}", cases.len());
}

/// A seeded stream of hostile text: every plane of Unicode, controls, joiners, right to left, combining marks, broken UTF-16.
fn hostile(seed: &mut u64) -> String {
    let mut next = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let ranges: [(u32, u32); 10] = [
        (0x20, 0x7E),
        (0x00, 0x1F),
        (0x1F300, 0x1FAFF),
        (0x590, 0x6FF),
        (0x200B, 0x206F),
        (0x300, 0x36F),
        (0x4E00, 0x9FFF),
        (0xE000, 0xF8FF),
        (0xD7F0, 0xE010),
        (0x0, 0x0010_FFFF),
    ];
    let length = if next(50) == 0 { next(400) } else { next(12) };
    let mut units = Vec::new();
    let mut range = ranges[0];
    for _ in 0..length {
        if next(4) == 0 {
            range = ranges[next(10) as usize];
        }
        let code = range.0 + next(u64::from(range.1 - range.0 + 1)) as u32;
        // Surrogates stay alone, as a client's broken JSON gives them.
        match char::from_u32(code) {
            Some(c) => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            None => units.push(code as u16),
        }
    }
    String::from_utf16_lossy(&units)
}

#[tokio::test]
async fn no_text_breaks_the_scorer() {
    let scorer = scorer();
    let mut seed = 7;
    let mut texts: Vec<String> = (0..9_990).map(|_| hostile(&mut seed)).collect();
    texts.extend([
        String::new(),
        " ".repeat(1 << 20),
        "a".repeat(1 << 20),
        "😀".repeat(1 << 18),
        "\u{200b}".repeat(5000),
    ]);
    texts.extend(["\0".into(), "שלום مرحبا".repeat(900), "e\u{301}".repeat(9000), "[SEP][CLS][PAD]".repeat(99)]);
    texts.push("word ".repeat(1 << 18));
    assert_eq!(texts.len(), 10_000);
    for batch in texts.chunks(64) {
        let readings = scorer.score(batch.to_vec()).await.expect("every text has a score");
        assert_eq!(readings.len(), batch.len());
        for (Reading { scores, danger }, text) in readings.iter().zip(batch) {
            let total: f32 = scores.0.iter().sum();
            let sane = scores.0.iter().all(|score| (0.0..=1.0).contains(score)) && (total - 1.0).abs() < 1e-4;
            let sane = sane && danger.is_some_and(|danger| (0.0..=1.0).contains(&danger.total()));
            assert!(sane, "{scores:?}, {danger:?} for {:?}", text.chars().take(80).collect::<String>());
        }
    }
}

#[tokio::test]
async fn nothing_to_score_is_no_score() {
    assert_eq!(scorer().score(vec![]).await, Ok(vec![]));
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused_and_the_others_answered() {
    let scorer = OnnxScorer::start(OnnxConfig { queue: 2, ..config(&project("models/emotion")) }).unwrap();
    let answers = join_all((0..50).map(|_| scorer.score(vec!["a little work for every call ".repeat(20)]))).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(ScoreError::Overloaded))).count();
    let scored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(refused > 0 && scored > 0 && refused + scored == 50, "{refused} refused, {scored} scored");
}

/// A copy of the model folder in which one file is another.
fn altered(file: &str, content: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "tokenizer.json", "config.json"] {
        if name != file {
            std::os::unix::fs::symlink(project("models/emotion").join(name), folder.path().join(name)).unwrap();
        }
    }
    if let Some(content) = content {
        std::fs::write(folder.path().join(file), content).unwrap();
    }
    folder
}

fn refusal(folder: &tempfile::TempDir) -> OnnxError {
    OnnxScorer::start(config(folder.path())).err().expect("this model must not do")
}

#[test]
fn missing_and_damaged_files_are_named() {
    for file in ["model.onnx", "tokenizer.json", "config.json"] {
        for content in [None, Some(""), Some("{\"half\": ")] {
            let error = refusal(&altered(file, content));
            assert!(matches!(&error, OnnxError::File { .. }) && error.to_string().contains(file), "{error}");
        }
    }
}

#[test]
fn labels_that_do_not_fit_are_listed_on_both_sides() {
    let labels =
        r#"{"id2label": {"0": "LABEL_0", "1": "joy", "2": "fear", "3": "love", "4": "a", "5": "b", "6": "c"}}"#;
    let text = refusal(&altered("config.json", Some(labels))).to_string();
    for part in ["LABEL_0 has no meaning", "joy, fear, love", "anger, disgust, fear, joy, neutral, sadness, surprise"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn another_number_of_labels_than_the_graph_gives_is_refused_at_the_start() {
    let error = refusal(&altered("config.json", Some(r#"{"id2label": {"0": "joy", "1": "anger"}}"#)));
    assert!(matches!(error, OnnxError::Shape { .. }), "{error}");
    assert!(error.to_string().contains('2') && error.to_string().contains('7'), "{error}");
}

#[test]
fn a_multi_label_model_is_refused() {
    let config = r#"{"id2label": {"0": "joy"}, "problem_type": "multi_label_classification"}"#;
    assert!(matches!(refusal(&altered("config.json", Some(config))), OnnxError::Shape { .. }));
}

#[tokio::test]
async fn a_models_own_label_names_are_mapped_by_config() {
    let labels = r#"{"id2label": {"0": "L0", "1": "L1", "2": "L2", "3": "L3", "4": "L4", "5": "L5", "6": "L6"}}"#;
    let folder = altered("config.json", Some(labels));
    let label_map = Label::ALL.iter().enumerate().map(|(index, &label)| (format!("L{index}"), label)).collect();
    let renamed = OnnxScorer::start(OnnxConfig { label_map, ..config(folder.path()) }).unwrap();
    let text = "I passed the exam!!! 😊";
    assert_eq!(score(&renamed, &[text]).await, score(&scorer(), &[text]).await);
}
