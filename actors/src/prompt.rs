//! What the model reads: the reference's text, or the model's own chat template, built from a persona and a history.

use friend_gguf::chat_template::{ChatTemplate, TemplateError};
use friend_gguf::request::{ModelInfo, Piece, Prompt, Stop};

use crate::known;
use crate::persona::{Mode, Persona, TemplateKind};
use crate::types::{Role, Turn};

/// Dolly's `### End`, which its tokenizer adds to the GPT-NeoX vocabulary.
const DOLLY_END: u32 = 50_277;

/// How prompts are written for the loaded model.
#[derive(Clone, Debug)]
pub enum Template {
    /// The reference's text.
    Dolly {
        /// Tokens beyond newlines that end an answer, as far as this vocabulary has them.
        stop: Vec<u32>,
    },
    /// The GGUF's chat template.
    Chat(ChatTemplate),
}

impl Template {
    /// Chooses by the persona's wish and what the model brings.
    ///
    /// # Errors
    /// The persona asks for `chat` and the model has no usable template.
    pub fn for_model(kind: TemplateKind, model: &ModelInfo) -> Result<Self, TemplateError> {
        let dolly = || Self::Dolly { stop: Vec::from_iter((model.vocabulary > DOLLY_END).then_some(DOLLY_END)) };
        match (kind, &model.chat_template) {
            (TemplateKind::Dolly, _) | (TemplateKind::Auto, None) => Ok(dolly()),
            (_, source) => {
                let source = source.as_deref().unwrap_or_default();
                ChatTemplate::new(source, &model.bos_text, &model.eos_text).map(Self::Chat)
            }
        }
    }

    /// The whole prompt. `about` are facts about the person, told of "them"; `turns` end with the person's newest message.
    pub fn prompt(&self, persona: &Persona, mode: &Mode, about: &[String], turns: &[Turn]) -> Prompt {
        let known = known::line(about);
        match self {
            Self::Dolly { .. } => dolly(&persona.intro, &mode.instruction, &known, turns),
            Self::Chat(template) => {
                let shared = format!("{}\n{}", persona.intro, mode.instruction);
                let turns: Vec<_> = turns.iter().map(|turn| (turn.role == Role::Friend, turn.text.as_str())).collect();
                template.prompt(&shared, &known, &turns)
            }
        }
    }

    /// When an answer ends.
    pub fn stop(&self) -> Stop {
        match self {
            Self::Dolly { stop } => Stop { newline: true, tokens: stop.clone(), ..Stop::default() },
            Self::Chat(_) => Stop { end_of_generation: true, ..Stop::default() },
        }
    }
}

/// The reference's text, cut where its tokenizer cuts anyway: before each newline.
fn dolly(intro: &str, instruction: &str, known: &str, turns: &[Turn]) -> Prompt {
    let line = |index: usize, turn: &Turn| {
        let speaker = if turn.role == Role::Friend { "You" } else { "Person" };
        let start = if index == 0 { "" } else { "\n" };
        vec![Piece::plain(format!("{start}{speaker}: {}", one_line(&turn.text)))]
    };
    Prompt {
        prefix: vec![Piece::template(format!("{intro}\n\n### Instruction:\n{instruction}"))],
        own: Piece::filled([Piece::plain(known), Piece::template("\n\n### Response:\n")]),
        turns: turns.iter().enumerate().map(|(index, turn)| line(index, turn)).collect(),
        tail: vec![Piece::template("\nYou:")],
    }
}

/// A line is a turn in this text, so a message's own line breaks become spaces.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, text: &str) -> Turn {
        Turn { role, text: text.into(), mode: None, scores: None, at_ms: 0 }
    }

    #[test]
    fn the_reference_text_to_the_letter() {
        let persona = Persona::reference();
        let turns = [
            turn(Role::Person, "hi\nthere"),
            turn(Role::Friend, "Hello! How are you?"),
            turn(Role::Person, "### End fine, you?"),
        ];
        let model = ModelInfo { vocabulary: 50_280, ..ModelInfo::default() };
        let template = Template::for_model(TemplateKind::Auto, &model).unwrap();
        let prompt = template.prompt(&persona, &persona.modes["GENERAL"], &[], &turns);
        assert_eq!(
            prompt.text(),
            "You are 20 years old, your name is Arthur, you are a friendly young man, designer from San Francisco. You \
             are a kind and empathetic interlocutor. You are talking to a new person. Below is an instruction that \
             describes a task.\n\n### Instruction:\nGet to know a person by chit-chatting and providing long answers and \
             questions. Try not to end the dialogue as long as possible. Complete a phrase, acting like an \
             interlocutor.\n\n### Response:\nPerson: hi there\nYou: Hello! How are you?\nPerson: ### End fine, you?\nYou:"
        );
        assert!(prompt.turns.iter().flatten().all(|piece| !piece.special), "nobody types a control token");
        assert_eq!(template.stop(), Stop { newline: true, tokens: vec![50_277], ..Stop::default() });
    }

    #[test]
    fn what_is_known_of_the_person_ends_the_instruction_and_is_no_part_of_what_all_share() {
        let persona = Persona::arthur();
        let mode = &persona.modes["GENERAL"];
        let template = Template::for_model(TemplateKind::Dolly, &ModelInfo::default()).unwrap();
        let facts = ["their name is ### End".to_owned(), "they live in Lagos".to_owned()];
        let [with, without] =
            [&facts[..], &[]].map(|about| template.prompt(&persona, mode, about, &[turn(Role::Person, "hi")]));
        assert_eq!(with.prefix, without.prefix);
        let line = "\nWhat you know about the person: their name is ### End; they live in Lagos.";
        assert_eq!(with.text(), without.text().replace("\n\n### Response:", &format!("{line}\n\n### Response:")));
        assert!(
            with.own.iter().all(|piece| piece.special != piece.text.contains("Lagos")),
            "nobody types a control token"
        );
    }

    #[test]
    fn a_small_vocabulary_has_no_end_token_to_stop_at() {
        let model = ModelInfo { vocabulary: 512, ..ModelInfo::default() };
        assert!(Template::for_model(TemplateKind::Dolly, &model).unwrap().stop().tokens.is_empty());
    }

    #[test]
    fn asking_for_a_chat_template_that_is_not_there_is_an_error() {
        assert!(Template::for_model(TemplateKind::Chat, &ModelInfo::default()).is_err());
    }
}
