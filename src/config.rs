//! Settings of the whole program: `ai-friend.toml` < environment < flags, in one documented struct.

mod error;
mod example;
mod load;
mod secret;
mod sections;
mod setting;

use toml::Value;

pub use error::{ConfigError, Place, Problem};
pub use example::example;
pub use load::{DEFAULT_FILE, FILE_VARIABLE, Loaded, Sources, load};
pub use secret::{Secret, without_password};
pub use sections::*;
pub use setting::{Field, Raw, Section};

macro_rules! config {
    ($($(#[doc = $doc:literal])* $name:ident: $section:ident,)*) => {
        /// Every setting of the program. Each field is a table of the file; the sections document their own settings.
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
        pub struct Config { $(
            $(#[doc = $doc])*
            pub $name: $section,
        )* }

        impl Config {
            /// Name, documentation and settings of every section.
            pub fn sections() -> Vec<(&'static str, &'static [&'static str], &'static [Field])> {
                vec![$((<$section as Section>::NAME, <$section as Section>::DOC, <$section as Section>::FIELDS)),*]
            }

            fn set(&mut self, section: &str, key: &str, raw: &Raw) -> Result<(), String> {
                match section {
                    $(<$section as Section>::NAME => self.$name.set(key, raw),)*
                    _ => Err("is no section".to_owned()),
                }
            }

            fn get(&self, section: &str, key: &str) -> Option<Value> {
                match section {
                    $(<$section as Section>::NAME => self.$name.get(key),)*
                    _ => None,
                }
            }
        }
    };
}

config! {
    /// The messenger.
    telegram: Telegram,
    /// The language model and its engine.
    model: Model,
    /// The emotion classifier.
    emotion: Emotion,
    /// Who the friend is.
    persona: Persona,
    /// How a conversation is led.
    conversation: Conversation,
    /// What is kept.
    store: Store,
    /// Where models live.
    models: Models,
    /// Self-harm.
    safety: Safety,
    /// The log.
    log: Log,
    /// Health and metrics.
    web: Web,
    /// Restarts.
    supervision: Supervision,
}

impl Config {
    /// The settings as a file would hold them, secrets hidden.
    pub fn show(&self) -> String {
        let secrets = [
            ("telegram", "token", self.telegram.token.is_some()),
            ("models", "hub_token", self.models.hub_token.is_some()),
        ];
        let mut text = String::new();
        for (section, _, fields) in Self::sections() {
            text.push_str(&format!("[{section}]\n"));
            for field in fields {
                if let Some(value) = self.get(section, field.name) {
                    let value = match value {
                        Value::String(text) => Value::String(without_password(&text)),
                        value => value,
                    };
                    text.push_str(&format!("{} = {value}\n", field.name));
                }
                if secrets.contains(&(section, field.name, true)) {
                    text.push_str(&format!("# {} is set, and never shown\n", field.name));
                }
            }
            text.push('\n');
        }
        text
    }

    /// What no single setting can tell: settings that do not fit together, and texts of a certain form.
    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, message: &str| {
            if !holds {
                problems.push(Problem { place: Place::Together, setting: None, message: message.to_owned() });
            }
        };
        let http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let (telegram, model, talk) = (&self.telegram, &self.model, &self.conversation);
        require(http(&telegram.api_url), "telegram.api_url (TG_API_URL) must begin with http:// or https://");
        // So writes who copies the address of a call; the bot would ask /bot…/bot…, and errors would show the token.
        let is_token = |part: &str| {
            let id = part.strip_prefix("bot").and_then(|token| token.split_once(':')).map(|(id, _)| id);
            id.is_some_and(|id| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_digit()))
        };
        require(
            !telegram.api_url.split('/').any(is_token),
            "telegram.api_url (TG_API_URL) has a token in it: it is the server's address alone, as in https://api.telegram.org; the \
             token belongs in telegram.token (TG_BOT_TOKEN)",
        );
        require(http(&self.models.hub_url), "models.hub_url (HF_ENDPOINT) must begin with http:// or https://");
        require(
            !model.name.is_empty(),
            "model.name (MODEL) is empty: name a model of `ai-friend models list` or a file",
        );
        require(model.lanes >= model.slots, "model.lanes must be at least model.slots: every answer needs a lane");
        require(
            model.kv_tokens == 0 || model.kv_tokens >= model.context_tokens,
            "model.kv_tokens must be 0 (as many as suit the memory) or at least model.context_tokens, or no conversation can fill its context",
        );
        require(
            talk.burst_max_ms >= talk.burst_quiet_ms,
            "conversation.burst_max_ms must be at least conversation.burst_quiet_ms",
        );
        require(
            self.supervision.backoff_max_ms >= self.supervision.backoff_min_ms,
            "supervision.backoff_max_ms must be at least supervision.backoff_min_ms",
        );
        let listen = self.web.listen.as_ref();
        require(
            listen.is_none_or(|address| address.parse::<std::net::SocketAddr>().is_ok()),
            "web.listen must be an address and a port, such as \"127.0.0.1:9090\" or \"[::1]:9090\"",
        );
        problems.extend(crate::app::safety(self).problems().into_iter().map(|message| Problem {
            place: Place::Together,
            setting: None,
            message,
        }));
        problems
    }
}

/// How the user fetches what ships with the project into a folder of models.
pub(crate) fn make_models(dir: &std::path::Path) -> String {
    let own =
        dir == Models::default().dir || dir.parent().is_some_and(|models| models.with_file_name("Makefile").is_file());
    if own { "`make models`".to_owned() } else { format!("`AI_FRIEND_MODELS={} make models`", dir.display()) }
}

/// The known word that is most like `word`, letter case apart. None only if nothing is known.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known.min_by_key(|candidate| strsim::damerau_levenshtein(&word, &candidate.to_lowercase()))
}
