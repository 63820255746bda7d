//! The command line: what can be asked, and how flags become settings. What the commands do is the application's.

pub mod evaluate;
pub mod models;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, ConfigError, Loaded, Sources};

/// An AI companion for Telegram: feels how each message was meant, chooses how to answer, and generates everyone's
/// answers together on one CPU or GPU.
#[derive(Clone, Debug, Parser)]
#[command(name = "ai-friend", version, arg_required_else_help = true, after_long_help = AFTER_HELP)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub flags: Flags,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Loads the settings: file, then the process's environment, then these flags.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load_config(&self) -> Result<Loaded, ConfigError> {
        config::load(&self.flags.sources(std::env::vars_os().collect()))
    }
}

/// Flags that every command takes; they win over environment and file.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Settings file [env: AI_FRIEND_CONFIG; default: ai-friend.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// Language model: a catalogue name, a .gguf file or a model folder [env: MODEL]
    #[arg(long, global = true, value_name = "NAME|PATH", help_heading = "Settings")]
    pub model: Option<String>,

    /// Runs the model without its adapter, to see the difference
    #[arg(long, global = true, help_heading = "Settings")]
    pub no_adapter: bool,

    /// Persona: a file, or arthur or reference, which are built in [env: AI_FRIEND_PERSONA; default: arthur]
    #[arg(long, global = true, value_name = "NAME|FILE", help_heading = "Settings")]
    pub persona: Option<String>,

    /// Data folder [env: AI_FRIEND_DATA; default: ./data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub data: Option<String>,

    /// Folder of downloaded models [env: AI_FRIEND_MODELS; default: ./models/cache]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub models: Option<String>,

    /// How much to log: error, warn, info, debug, trace, or as "info,friend_actors=debug" [env: AI_FRIEND_LOG]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Settings")]
    pub log: Option<String>,
}

impl Flags {
    /// These flags, above an environment.
    pub fn sources(&self, env: Vec<(std::ffi::OsString, std::ffi::OsString)>) -> Sources {
        let given = [
            ("--model", "model", "name", self.model.clone()),
            ("--no-adapter", "model", "use_adapter", self.no_adapter.then(|| "false".to_owned())),
            ("--persona", "persona", "path", self.persona.clone()),
            ("--data", "store", "data", self.data.clone()),
            ("--models", "models", "dir", self.models.clone()),
            ("--log", "log", "level", self.log.clone()),
        ];
        let flags = given.into_iter().filter_map(|(flag, section, key, value)| Some((flag, section, key, value?)));
        // Not left to clap, which takes an empty variable for a mistake.
        let named = env.iter().find(|(name, value)| name.to_str() == Some(config::FILE_VARIABLE) && !value.is_empty());
        let file = self.config.clone().or_else(|| named.map(|(_, value)| PathBuf::from(value)));
        Sources { file, env, flags: flags.collect() }
    }
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serves Telegram: the service
    ///
    /// Needs a token from @BotFather in TG_BOT_TOKEN. Conversations live in the data folder and go on after a restart,
    /// also after a crash. Ctrl-C finishes the answers in flight and ends.
    Run,
    /// Talks to the friend in this terminal, over a Telegram emulator on this machine
    ///
    /// Starts the emulator on loopback and the real bot against it; you are the user. Without a terminal it answers
    /// each line of standard input and ends with it.
    Demo,
    /// Talks to the friend in this terminal, without the emulator
    Chat,
    /// Checks settings, persona, models and token, without starting
    Check,
    /// Says how a message is felt, and which mode would answer it
    Score(Score),
    /// Runs the Telegram emulator alone, for a bot of your own to talk to
    Botapi(Botapi),
    /// Lists and prepares language models
    Models(models::Models),
    /// Simulated users against the real bot, over the emulator, with a report
    Load(Load),
    /// Measures the model on written conversations: loss of the replies, or its own replies
    ///
    /// Conversations come as JSON Lines: `{"mode":"FIX","memory":["their dog is called Biscuit"],"turns":[{"who":"person",
    /// "text":"…"},{"who":"friend","text":"…"}]}`, with `"intro"` and `"seed"` where they should differ from the persona's
    /// and from 0.
    Evaluate(evaluate::Evaluate),
    /// Shows settings
    Config(Config),
}

/// `ai-friend score`.
#[derive(Clone, Debug, Args)]
pub struct Score {
    /// The message; `-` or nothing reads one message from each line of standard input
    #[arg(value_name = "TEXT")]
    pub text: Vec<String>,

    /// Prints one JSON object a message
    #[arg(long)]
    pub json: bool,
}

impl Score {
    /// The message of the command line, or none for standard input.
    pub fn message(&self) -> Option<String> {
        match self.text.as_slice() {
            [] => None,
            [one] if one == "-" => None,
            words => Some(words.join(" ")),
        }
    }
}

/// `ai-friend botapi`.
#[derive(Clone, Debug, Args)]
pub struct Botapi {
    /// Address to listen on; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    pub listen: std::net::SocketAddr,
    /// Serves /control on an address that others can reach: they can read all that is said, and speak for everybody
    #[arg(long)]
    pub control: bool,
}

/// `ai-friend load`.
#[derive(Clone, Debug, Args)]
pub struct Load {
    /// Users at once
    #[arg(long, default_value_t = 8, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    pub users: usize,
    /// Messages of each
    #[arg(long, default_value_t = 4, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub turns: usize,
    /// Mean seconds from one message of a user to the next; 0 writes as soon as the answer is there
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub pace_s: f64,
    /// Seconds over which the users begin
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub ramp_s: f64,
    /// Seconds after which a user gives up on an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = seconds)]
    pub patience_s: f64,
    /// Same seed, same users
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Prints one JSON object
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 86400 seconds are possible".to_owned()) }
}

/// `ai-friend config`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// What to show.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `ai-friend config` shows.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints a settings file with every setting, its documentation and its default
    Example,
    /// Prints the settings in force (file, environment and flags together), secrets hidden
    Show,
}

impl ConfigCommand {
    /// What the command prints. `loaded` is asked only where settings are needed.
    ///
    /// # Errors
    /// As `loaded`.
    pub fn text<E>(self, loaded: impl FnOnce() -> Result<config::Loaded, E>) -> Result<String, E> {
        match self {
            Self::Example => Ok(config::example()),
            Self::Show => loaded().map(|loaded| loaded.show()),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  ai-friend demo                             talk to the friend here, nothing to set up
  ai-friend score \"i'm fine.\"                how is that felt, and which mode answers it
  TG_BOT_TOKEN=123:abc ai-friend run         serve Telegram
  MODEL=./dolly.gguf ai-friend check         would it start with this model
  ai-friend config example > ai-friend.toml  a settings file to change

Environment (wins over the file; flags win over both):
  TG_BOT_TOKEN      the bot's token, from @BotFather
  TG_API_URL        another Bot API server [default: https://api.telegram.org]
  MODEL             as --model
  AI_FRIEND_DATA    as --data
  AI_FRIEND_MODELS  as --models
  AI_FRIEND_CONFIG  as --config
  AI_FRIEND_LOG     as --log
  ORT_DYLIB_PATH    ONNX Runtime's shared library
  Every other setting: AI_FRIEND_<SECTION>_<KEY>, such as AI_FRIEND_MODEL_THREADS=2

Files:
  ai-friend.toml    settings; unknown keys are errors
  ./data            conversations and messages on their way (SQLite)
  ./models/cache    downloaded and converted models
";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_help_names_every_command() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for command in
            ["run", "demo", "chat", "check", "score", "botapi", "models", "load", "evaluate", "config", "TG_BOT_TOKEN"]
        {
            assert!(help.contains(command), "{command} is missing from --help");
        }
    }

    #[test]
    fn a_dash_and_no_text_both_read_standard_input() {
        let message = |args: &[&str]| match Cli::parse_from([&["ai-friend", "score"], args].concat()).command {
            Command::Score(score) => (score.message(), score.json),
            _ => unreachable!("score was asked for"),
        };
        assert_eq!(message(&["--json", "-"]), (None, true));
        assert_eq!(message(&[]), (None, false));
        assert_eq!(message(&["i", "am", "fine"]), (Some("i am fine".to_owned()), false));
    }

    #[test]
    fn an_empty_variable_names_no_settings_file() {
        let file = |args: &[&str], value: &str| {
            let flags = Cli::parse_from([&["ai-friend", "check"], args].concat()).flags;
            flags.sources(vec![(config::FILE_VARIABLE.into(), value.into())]).file
        };
        assert_eq!(file(&[], ""), None);
        assert_eq!(file(&[], "mine.toml"), Some("mine.toml".into()));
        assert_eq!(file(&["--config", "flag.toml"], "mine.toml"), Some("flag.toml".into()));
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for args in [["ai-friend", "--model", "a.gguf", "run"], ["ai-friend", "run", "--model", "a.gguf"]] {
            assert_eq!(Cli::parse_from(args).flags.model.as_deref(), Some("a.gguf"));
        }
    }
}
