//! From file, environment and flags to one checked [`Config`]: every problem found is reported, not just the first.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::setting::{Field, Raw};
use super::{Config, ConfigError, Place, Problem, nearest};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "ai-friend.toml";
/// The variable that names another one.
pub const FILE_VARIABLE: &str = "AI_FRIEND_CONFIG";

/// Variables of our own that are no settings: the file's place, and what scripts and the second start use.
const NOT_SETTINGS: [&str; 3] = [FILE_VARIABLE, "AI_FRIEND_PINS", "AI_FRIEND_REEXECUTED"];
/// The names that the reference's users know, and what they are in the file.
const FORMER_NAMES: [(&str, &str, &str); 3] =
    [("MODEL", "model", "name"), ("TG_BOT_TOKEN", "telegram", "token"), ("TG_API_URL", "telegram", "api_url")];

/// Where settings come from; the later ones win.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was asked for. None: `ai-friend.toml` in the working directory, if it is there.
    pub file: Option<PathBuf>,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// Flags: flag, section, key, value.
    pub flags: Vec<(&'static str, &'static str, &'static str, String)>,
}

/// Settings, and what the user should hear about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Things that look like mistakes but are none for certain.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// The settings in force, what was read, and what looks like a mistake.
    pub fn show(&self) -> String {
        let file = self.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        let warnings = self.warnings.iter().map(|warning| format!("# warning: {warning}\n"));
        format!("# from {file}, the environment and flags\n{}\n{}", warnings.collect::<String>(), self.config.show())
    }
}

/// Reads all sources.
///
/// # Errors
/// [`ConfigError`], which names place, setting, what was found and what was expected.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let default = Path::new(DEFAULT_FILE);
    let file = sources.file.clone().or_else(|| default.exists().then(|| default.to_owned()));
    let mut into = Into { config: Config::default(), problems: Vec::new() };
    if let Some(path) = &file {
        into.file(path)?;
    }
    let warnings = into.environment(&sources.env);
    for (flag, section, key, value) in &sources.flags {
        into.set(Place::Flag(flag), section, key, &Raw::Text(value.clone()));
    }
    let Into { config, mut problems } = into;
    if problems.is_empty() {
        problems = config.check();
    }
    // As they stand in the file, from top to bottom.
    problems.sort_by_key(|problem| if let Place::File(_, line) = &problem.place { *line } else { usize::MAX });
    if problems.is_empty() { Ok(Loaded { config, file, warnings }) } else { Err(ConfigError::Invalid(problems)) }
}

struct Into {
    config: Config,
    problems: Vec<Problem>,
}

impl Into {
    fn set(&mut self, place: Place, section: &str, key: &str, raw: &Raw) {
        if let Err(message) = self.config.set(section, key, raw) {
            self.problems.push(Problem { place, setting: Some(format!("{section}.{key}")), message });
        }
    }

    fn complain(&mut self, place: Place, message: String) {
        self.problems.push(Problem { place, setting: None, message });
    }

    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            ConfigError::NotUtf8 { path: path.to_owned(), line: 1 + good.iter().filter(|&&b| b == b'\n').count() }
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            message: syntax(error.message(), text, error.span().map_or(0, |span| span.start)),
        })?;
        let lines = key_lines(text);
        let place = |name: &str| Place::File(path.to_owned(), lines.get(name).copied().unwrap_or(0));
        let sections = Config::sections();
        for (section, value) in &table {
            let Some((_, _, fields)) = sections.iter().find(|(name, ..)| name == section) else {
                let message = unknown_section(section, &sections);
                self.complain(place(section), message);
                continue;
            };
            let Value::Table(settings) = value else {
                let found = if value.is_array() { "a list (is it in double brackets?)" } else { "a single value" };
                self.complain(place(section), format!("[{section}] is a section, but {found} was given"));
                continue;
            };
            for (key, value) in settings {
                let full = format!("{section}.{key}");
                if fields.iter().any(|field| field.name == key) {
                    self.set(place(&full), section, key, &Raw::Toml(value.clone()));
                } else {
                    let message = unknown_key(section, key, fields, &sections);
                    self.complain(place(&full), message);
                }
            }
        }
        Ok(())
    }

    /// An empty variable counts as not set: that is how compose files pass on what nobody gave.
    fn environment(&mut self, env: &[(OsString, OsString)]) -> Vec<String> {
        let sections = Config::sections();
        let variables: Vec<(String, &str, &str)> = sections
            .iter()
            .flat_map(|&(section, _, fields)| fields.iter().map(move |f| (f.variable(section), section, f.name)))
            .collect();
        let mut warnings = Vec::new();
        for (name, value) in env {
            let Some(name) = name.to_str() else { continue };
            let known = variables.iter().find(|(variable, ..)| variable == name);
            let place = Place::Environment(name.to_owned());
            match (known, value.to_str()) {
                (_, Some("")) => {}
                (Some(_), None) => self.complain(place, "its value is not valid UTF-8 text".to_owned()),
                (Some((_, section, key)), Some(value)) => self.set(place, section, key, &Raw::Text(value.to_owned())),
                (None, value) if is_meant_for_us(name, value) => {
                    let meant = meant(name, &variables);
                    let message = format!("no setting has this name; did you mean {meant}?");
                    let ours = |&(section, ..): &(&str, _, _)| {
                        name.starts_with(&format!("AI_FRIEND_{}_", section.to_uppercase()))
                    };
                    if sections.iter().any(ours) {
                        self.complain(place, message);
                    } else {
                        warnings.push(format!("{place}: {message}"));
                    }
                }
                (None, _) => {}
            }
        }
        warnings
    }
}

/// The variable that was meant. Some settings have another than `AI_FRIEND_<SECTION>_<KEY>`, which is what people try first, and some
/// people leave the section out.
fn meant<'a>(name: &str, variables: &'a [(String, &str, &str)]) -> &'a str {
    let spelt = |section: &str, key: &str| format!("AI_FRIEND_{section}_{key}").to_uppercase();
    let regular = variables.iter().find(|(_, section, key)| name == spelt(section, key));
    let bare = name.strip_prefix("AI_FRIEND_").unwrap_or(name);
    let own = variables.iter().find(|(variable, ..)| variable == bare);
    let mut of_key = variables.iter().filter(|(_, _, key)| key.eq_ignore_ascii_case(bare));
    let alone = of_key.next().filter(|_| of_key.next().is_none());
    match regular.or(own).or(alone) {
        Some((variable, ..)) => variable,
        None => nearest(name, variables.iter().map(|(variable, ..)| variable.as_str())).unwrap_or_default(),
    }
}

/// Whether an unknown variable is a setting with a mistake in its name. Kubernetes puts variables into every container for each
/// service of its namespace, such as `AI_FRIEND_WEB_SERVICE_HOST` and `AI_FRIEND_WEB_PORT=tcp://…` for one named `ai-friend-web`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>): these are nobody's mistake.
fn is_meant_for_us(name: &str, value: Option<&str>) -> bool {
    let address = value.is_some_and(|value| ["tcp://", "udp://", "sctp://"].iter().any(|kind| value.starts_with(kind)));
    let port = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    let of_a_service = name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && address)
        || name.split("_PORT_").skip(1).any(port);
    name.starts_with("AI_FRIEND_") && !NOT_SETTINGS.contains(&name) && !of_a_service
}

/// What the parser says, and what it most often means. The line itself may hold a secret and is not shown.
fn syntax(told: &str, text: &str, at: usize) -> String {
    let line = text.lines().nth(line_at(text, at) - 1).unwrap_or_default();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    let bare = value.starts_with(|first: char| first.is_ascii_alphanumeric() || "./~".contains(first));
    let hint = if bare { "; a text stands in quotes, as in name = \"text\"" } else { "" };
    format!("{told}{hint}")
}

type Known = (&'static str, &'static [&'static str], &'static [Field]);

fn unknown_section(section: &str, sections: &[Known]) -> String {
    if let Some((_, owner, key)) = FORMER_NAMES.iter().find(|(name, ..)| *name == section) {
        return format!("`{section}` is the environment's name; in this file it is `{key}` in the section [{owner}]");
    }
    let owner = sections.iter().find(|(_, _, fields)| fields.iter().any(|field| field.name == section));
    match owner {
        Some((owner, ..)) => format!("`{section}` is a setting of the section [{owner}]: move it there"),
        None => {
            let nearest = nearest(section, sections.iter().map(|(name, ..)| *name)).unwrap_or_default();
            format!("unknown section [{section}]; did you mean [{nearest}]?")
        }
    }
}

fn unknown_key(section: &str, key: &str, fields: &[Field], sections: &[Known]) -> String {
    let owner = sections.iter().find(|(_, _, fields)| fields.iter().any(|field| field.name == key));
    match owner {
        Some((owner, ..)) => format!("unknown key `{key}` in [{section}]; it belongs to [{owner}]"),
        None => {
            let nearest = nearest(key, fields.iter().map(|field| field.name)).unwrap_or_default();
            format!("unknown key `{key}` in [{section}]; did you mean `{nearest}`?")
        }
    }
}

/// The line of every section and key, by `section` and `section.key`.
fn key_lines(text: &str) -> HashMap<String, usize> {
    let mut lines = HashMap::new();
    let Ok(document) = DeTable::parse(text) else { return lines };
    for (section, value) in document.get_ref() {
        lines.insert(section.get_ref().to_string(), line_at(text, section.span().start));
        if let DeValue::Table(settings) = value.get_ref() {
            for key in settings.keys() {
                let name = format!("{}.{}", section.get_ref(), key.get_ref());
                lines.insert(name, line_at(text, key.span().start));
            }
        }
    }
    lines
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
