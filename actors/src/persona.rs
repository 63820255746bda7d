//! A friend as data: who he is, how he answers in each mode, what he says when no model is needed.

use std::collections::BTreeMap;
use std::path::Path;

use friend_gguf::request::Sampling;
use serde::{Deserialize, Serialize};

use crate::mode::Rules;
use crate::texts::Texts;

const ARTHUR: &str = include_str!("../../personas/arthur.toml");
const REFERENCE: &str = include_str!("../../personas/reference.toml");

/// One friend. Read from a TOML file of `personas/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persona {
    /// What he is called.
    pub name: String,
    /// Who he is: the first lines of every prompt.
    pub intro: String,
    /// How prompts are written for the model.
    #[serde(default)]
    pub template: TemplateKind,
    /// How tokens are drawn.
    #[serde(default)]
    pub sampling: SamplingRules,
    /// Which mode a score leads to.
    pub rules: Rules,
    /// The modes by name.
    pub modes: BTreeMap<String, Mode>,
    /// What he says without the model.
    #[serde(default)]
    pub texts: Texts,
}

/// One way of answering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// What the model is told to do.
    pub instruction: String,
    /// Fewest tokens of an answer, 0 to 200.
    #[serde(default)]
    pub min_new_tokens: u32,
}

/// How a prompt is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TemplateKind {
    /// The model's own chat template if its GGUF has one, else `dolly`.
    #[default]
    Auto,
    /// The GGUF's own chat template: intro and instruction become the system text.
    Chat,
    /// The reference's exact text.
    Dolly,
}

/// How tokens are drawn and when answers end; defaults are the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingRules {
    /// Above 0, at most 10; 1 is off.
    pub repetition_penalty: f32,
    /// 0 (off) to 1000.
    pub top_k: u32,
    /// Above 0, at most 1 (off).
    pub top_p: f32,
    /// Above 0, at most 5.
    pub temperature: f32,
    /// False decodes greedily.
    pub do_sample: bool,
    /// 1 to 1000.
    pub max_new_tokens: u32,
    /// A reply cut at `max_new_tokens` loses what follows its last whole sentence.
    pub whole_sentences: bool,
}

impl Default for SamplingRules {
    fn default() -> Self {
        let Sampling { repetition_penalty, top_k, top_p, temperature, do_sample } = Sampling::default();
        Self { repetition_penalty, top_k, top_p, temperature, do_sample, max_new_tokens: 100, whole_sentences: true }
    }
}

impl SamplingRules {
    /// What the engine needs of it.
    pub fn sampling(&self) -> Sampling {
        let Self { repetition_penalty, top_k, top_p, temperature, do_sample, .. } = *self;
        Sampling { repetition_penalty, top_k, top_p, temperature, do_sample }
    }
}

/// Why a persona cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PersonaError {
    /// The file cannot be read.
    #[error(
        "cannot read the persona {path}: {source}. Name an existing file with --persona, or arthur or reference, which are built in"
    )]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a wrong type; the message shows the line.
    #[error("the persona {path} is not valid:\n{message}")]
    Invalid {
        /// Which file.
        path: String,
        /// What is wrong and where.
        message: String,
    },
}

impl Persona {
    /// The shipped friend.
    pub fn arthur() -> Self {
        Self::parse(ARTHUR, "personas/arthur.toml").unwrap_or_else(|error| unreachable!("shipped and tested: {error}"))
    }

    /// The reference's numbers exactly: its rules, minimum lengths and greedy decoding.
    pub fn reference() -> Self {
        Self::parse(REFERENCE, "personas/reference.toml")
            .unwrap_or_else(|error| unreachable!("shipped and tested: {error}"))
    }

    /// Reads and checks a persona file. The names `arthur` and `reference` mean the shipped ones.
    ///
    /// # Errors
    /// [`PersonaError`], naming file, line and the nearest thing that would be right.
    pub fn load(path: &Path) -> Result<Self, PersonaError> {
        match path.to_str() {
            Some("arthur") => return Ok(Self::arthur()),
            Some("reference") => return Ok(Self::reference()),
            _ => {}
        }
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| PersonaError::Unreadable { path: shown.clone(), source })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            PersonaError::Invalid {
                path: shown.clone(),
                message: format!("line {line} is not UTF-8: save it as UTF-8"),
            }
        })?;
        Self::parse(&text, &shown)
    }

    /// Checks a persona's text; `path` is only for messages.
    ///
    /// # Errors
    /// [`PersonaError::Invalid`].
    pub fn parse(source: &str, path: &str) -> Result<Self, PersonaError> {
        let invalid = |message: String| PersonaError::Invalid { path: path.into(), message };
        let persona: Self = toml::from_str(source).map_err(|error| invalid(with_nearest(error.to_string())))?;
        let problems = persona.problems();
        if problems.is_empty() { Ok(persona) } else { Err(invalid(problems.join("\n"))) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut range = |name: &str, value: f32, low: f32, high: f32| {
            if !(low..=high).contains(&value) {
                problems.push(format!("{name} is {value}: it must be {low} to {high}"));
            }
        };
        range("rules.negative_above", self.rules.negative_above, 0.0, 1.0);
        range("rules.positive_above", self.rules.positive_above, 0.0, 1.0);
        range("rules.positive_unless_negative_above", self.rules.positive_unless_negative_above, 0.0, 1.0);
        range("rules.hysteresis", self.rules.hysteresis, 0.0, 1.0);
        range("rules.half_life_messages", self.rules.half_life_messages, 0.0, 100.0);
        range("sampling.repetition_penalty", self.sampling.repetition_penalty, 0.01, 10.0);
        range("sampling.top_k", self.sampling.top_k as f32, 0.0, 1000.0);
        range("sampling.top_p", self.sampling.top_p, 0.01, 1.0);
        range("sampling.temperature", self.sampling.temperature, 0.01, 5.0);
        range("sampling.max_new_tokens", self.sampling.max_new_tokens as f32, 1.0, 1000.0);
        for (name, mode) in &self.modes {
            let longest = self.sampling.max_new_tokens.min(200) as f32;
            range(&format!("modes.{name}.min_new_tokens"), mode.min_new_tokens as f32, 0.0, longest);
        }
        let known: Vec<&str> = self.modes.keys().map(String::as_str).collect();
        for mode in self.rules.modes().filter(|mode| !self.modes.contains_key(*mode)) {
            problems.push(format!("the rules choose the mode {mode}, but there are only {}", known.join(", ")));
        }
        for (what, text) in [("name", &self.name), ("intro", &self.intro)] {
            if text.trim().is_empty() {
                problems.push(format!("{what} is empty"));
            }
        }
        problems.extend(self.texts.problems());
        problems
    }
}

/// The message with the known word that is most like one that is not known; the parser names them all in backticks.
fn with_nearest(message: String) -> String {
    const FURTHEST: usize = 4;
    let nearest = || {
        let (_, told) = ["unknown field `", "unknown variant `"].iter().find_map(|start| message.split_once(start))?;
        let (typed, known) = told.split_once('`')?;
        let known = known.split('`').skip(1).step_by(2).map(|known| (strsim::damerau_levenshtein(typed, known), known));
        known.min().filter(|(distance, _)| *distance <= FURTHEST)
    };
    match nearest() {
        Some((_, known)) => format!("{}\ndid you mean `{known}`?", message.trim_end()),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_told_with_the_one_that_was_meant() {
        let told = |source: &str| Persona::parse(source, "p.toml").unwrap_err().to_string();
        let source = include_str!("../../personas/arthur.toml");
        let mistyped = told(&source.replacen("\ntemperature", "\ntemprature", 1));
        assert!(mistyped.contains("did you mean `temperature`?"), "{mistyped}");
        let strange = told(&format!("colour_of_the_eyes = 1\n{source}"));
        assert!(strange.contains("colour_of_the_eyes") && !strange.contains("did you mean"), "{strange}");
    }

    #[test]
    fn a_file_that_is_no_text_is_told_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"name = \"A\"\nintro = \"\xff\"\n").unwrap();
        let told = Persona::load(file.path()).unwrap_err().to_string();
        assert!(told.contains("line 2 is not UTF-8"), "{told}");
    }

    #[test]
    fn the_shipped_friends_are_valid_and_share_who_arthur_is() {
        let (arthur, reference) = (Persona::arthur(), Persona::reference());
        assert_eq!(arthur.intro, reference.intro);
        assert!(reference.intro.starts_with("You are 20 years old, your name is Arthur"));
        let min = |name: &str| reference.modes[name].min_new_tokens;
        assert_eq!((min("GENERAL"), min("FLIRT"), min("FIX")), (3, 10, 15));
        assert!(!reference.sampling.do_sample && arthur.sampling.do_sample);
    }

    #[test]
    fn a_typo_is_named_with_its_line() {
        let source = ARTHUR.replace("half_life_messages", "half_live_messages");
        let error = Persona::parse(&source, "typo.toml").unwrap_err().to_string();
        assert!(error.contains("half_live_messages") && error.contains("half_life_messages"), "{error}");
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn rules_that_choose_a_missing_mode_are_refused() {
        let source = ARTHUR.replace("negative_mode = \"FIX\"", "negative_mode = \"FXI\"");
        let error = Persona::parse(&source, "x.toml").unwrap_err().to_string();
        assert!(error.contains("FXI") && error.contains("WARM"), "{error}");
    }

    #[test]
    fn a_text_that_says_nothing_is_refused() {
        let error = Persona::parse(&format!("{ARTHUR}\n[texts]\ngreeting = ''\n"), "x.toml").unwrap_err().to_string();
        assert!(error.contains("texts.greeting is empty"), "{error}");
    }

    #[test]
    fn numbers_out_of_range_are_all_named_at_once() {
        let source = ARTHUR
            .replace("hysteresis = 0.05", "hysteresis = 7.0")
            .replace("negative_above = 0.3", "negative_above = -1.0");
        let error = Persona::parse(&source, "x.toml").unwrap_err().to_string();
        assert!(error.contains("rules.hysteresis is 7") && error.contains("rules.negative_above is -1"), "{error}");
    }
}
