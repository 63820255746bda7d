//! What the model's columns mean in our seven words.

use std::{collections::BTreeMap, path::Path};

use friend_actors::types::{Label, Scores};
use serde::Deserialize;

use super::OnnxError;

/// One of our labels for each column of the model's output. Several columns may mean the same (their probabilities add
/// up), and one of ours may have no column (it is never felt).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<Label>);

/// The part of a Hugging Face `config.json` that says what the columns are.
#[derive(Debug, Deserialize)]
struct ModelConfig {
    id2label: BTreeMap<String, String>,
    problem_type: Option<String>,
    /// The classes of the output beside, where the model was taught to hear danger.
    danger: Option<Vec<String>>,
}

impl ModelConfig {
    fn read(file: &Path) -> Result<Self, OnnxError> {
        let damaged = |why: String| OnnxError::File { file: file.to_owned(), why };
        let text = std::fs::read_to_string(file).map_err(|error| damaged(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))
    }
}

/// The classes of danger, in the order in which a model that hears it is to give them.
const DANGER_CLASSES: [&str; 3] = ["nobody", "themselves", "someone_else"];

/// Whether a model tells of danger, by its `config.json`.
///
/// # Errors
/// [`OnnxError::File`] if that cannot be read, [`OnnxError::Shape`] for other classes than those that are known here.
pub fn hears_danger(file: &Path) -> Result<bool, OnnxError> {
    let Some(classes) = ModelConfig::read(file)?.danger else { return Ok(false) };
    if classes != DANGER_CLASSES {
        let why = format!("its classes of danger are {}, not {}", classes.join(", "), DANGER_CLASSES.join(", "));
        return Err(OnnxError::Shape { file: file.to_owned(), why });
    }
    Ok(true)
}

impl Columns {
    /// Reads `config.json` and translates its labels: by `map` first, else by the label's own name in any case.
    ///
    /// # Errors
    /// [`OnnxError::File`] if it cannot be read; [`OnnxError::Labels`] for a label without a meaning, a mapping whose label
    /// the model does not have, or ids that are not 0, 1, 2…; [`OnnxError::Shape`] for a multi-label model.
    pub fn read(file: &Path, map: &BTreeMap<String, Label>) -> Result<Self, OnnxError> {
        let config = ModelConfig::read(file)?;
        if config.problem_type.as_deref() == Some("multi_label_classification") {
            let why =
                "it scores each label for itself (multi_label_classification); one that chooses among labels is needed";
            return Err(OnnxError::Shape { file: file.to_owned(), why: why.to_owned() });
        }
        Self::translate(&config.id2label, map)
    }

    fn translate(id2label: &BTreeMap<String, String>, map: &BTreeMap<String, Label>) -> Result<Self, OnnxError> {
        let misfit = |why: String| OnnxError::Labels {
            why,
            model: listed(id2label.values().cloned()),
            mapped: listed(map.iter().map(|(theirs, ours)| format!("{theirs} = {}", ours.name()))),
            ours: listed(Label::ALL.iter().map(|label| label.name().to_owned())),
        };
        if id2label.is_empty() {
            return Err(misfit("id2label is empty".to_owned()));
        }
        if let Some(unknown) = map.keys().find(|key| !id2label.values().any(|label| label == *key)) {
            return Err(misfit(format!("the model has no label {unknown}")));
        }
        let meaning = |column: usize| {
            let theirs = id2label.get(&column.to_string()).ok_or_else(|| misfit(format!("id2label lacks {column}")))?;
            let own_name = || Label::ALL.into_iter().find(|ours| ours.name().eq_ignore_ascii_case(theirs));
            map.get(theirs).copied().or_else(own_name).ok_or_else(|| misfit(format!("{theirs} has no meaning here")))
        };
        (0..id2label.len()).map(meaning).collect::<Result<_, _>>().map(Self)
    }

    /// Labels of the model.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One row of logits as probabilities of our labels (softmax, then the sum of what means the same).
    /// `None` if a logit is not finite.
    pub fn scores(&self, logits: &[f32]) -> Option<Scores> {
        if logits.len() != self.0.len() {
            return None;
        }
        let mut scores = Scores([0.0; 7]);
        for (&label, probability) in self.0.iter().zip(softmax(logits)?) {
            scores.0[label as usize] += probability;
        }
        Some(scores)
    }
}

/// Logits as probabilities. `None` if one is not finite.
pub fn softmax(logits: &[f32]) -> Option<Vec<f32>> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = powers.iter().sum();
    logits.iter().all(|logit| logit.is_finite()).then(|| powers.into_iter().map(|power| power / total).collect())
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(theirs: &[&str], map: &[(&str, Label)]) -> Result<Columns, String> {
        let id2label = theirs.iter().enumerate().map(|(id, label)| (id.to_string(), (*label).to_owned())).collect();
        let map = map.iter().map(|(theirs, ours)| ((*theirs).to_owned(), *ours)).collect();
        Columns::translate(&id2label, &map).map_err(|error| error.to_string())
    }

    #[test]
    fn a_models_own_names_and_the_configs_names_both_count() {
        let columns =
            translate(&["Joy", "LABEL_1", "love"], &[("LABEL_1", Label::Fear), ("love", Label::Joy)]).unwrap();
        assert_eq!(columns.0, [Label::Joy, Label::Fear, Label::Joy]);
    }

    #[test]
    fn labels_that_mean_the_same_add_up() {
        let columns = translate(&["joy", "love", "anger"], &[("love", Label::Joy)]).unwrap();
        let scores = columns.scores(&[1.0, 1.0, 1.0]).unwrap();
        assert!((scores.get(Label::Joy) - 2.0 / 3.0).abs() < 1e-6);
        assert!((scores.0.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_label_without_a_meaning_is_an_error_that_lists_all_sides() {
        let error = translate(&["joy", "love"], &[("joy", Label::Joy)]).unwrap_err();
        for part in ["love has no meaning here", "The model has: joy, love", "maps: joy = joy", "surprise"] {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }

    #[test]
    fn a_mapping_for_a_label_that_the_model_lacks_is_an_error() {
        let error = translate(&["joy"], &[("LABEL_9", Label::Fear)]).unwrap_err();
        assert!(error.contains("the model has no label LABEL_9"), "{error}");
    }

    #[test]
    fn not_a_number_is_never_a_score() {
        let columns = translate(&["joy", "anger"], &[]).unwrap();
        assert_eq!(columns.scores(&[f32::NAN, 0.0]), None);
        assert_eq!(columns.scores(&[f32::INFINITY, 0.0]), None);
        assert_eq!(columns.scores(&[0.0]), None);
        let extreme = columns.scores(&[1e30, -1e30]).unwrap();
        assert_eq!(extreme.get(Label::Joy), 1.0);
    }
}
