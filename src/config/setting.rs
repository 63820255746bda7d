//! One setting: how its value is read from a file, an environment variable or a flag, and checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use friend_actors::types::Label;
use toml::Value;

use super::Secret;

/// A value as somebody wrote it.
#[derive(Clone, Debug)]
pub enum Raw {
    /// From a TOML file: typed.
    Toml(Value),
    /// From the environment or a flag: read as the setting's own type.
    Text(String),
}

/// A type that a setting can have. Errors are half sentences that say what was expected and what was found.
pub trait Setting: Sized {
    /// Reads a value. Text is read as the type itself would be written, without quotes.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The value as the example file shows it; none if it is not set.
    fn show(&self) -> Option<Value>;
}

/// What a section tells of one of its settings.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key in the file.
    pub name: &'static str,
    /// The environment variable, where it is not `AI_FRIEND_<SECTION>_<KEY>`.
    pub env: Option<&'static str>,
    /// Its documentation, one line an item.
    pub doc: &'static [&'static str],
    /// The range of a number, for people.
    pub range: Option<&'static str>,
}

impl Field {
    /// The environment variable that sets this.
    pub fn variable(&self, section: &str) -> String {
        self.env.map_or_else(|| format!("AI_FRIEND_{section}_{}", self.name).to_uppercase(), str::to_owned)
    }
}

/// A table of the file.
pub trait Section {
    /// Its name in the file.
    const NAME: &'static str;
    /// Its documentation, one line an item.
    const DOC: &'static [&'static str];
    /// Its settings, in the order of the example file.
    const FIELDS: &'static [Field];

    /// Sets one setting; the key is one of [`Section::FIELDS`].
    fn set(&mut self, key: &str, raw: &Raw) -> Result<(), String>;

    /// One setting's value, none if it is not set.
    fn get(&self, key: &str) -> Option<Value>;
}

/// Declares sections: struct, defaults, documentation, ranges and environment variables in one place.
macro_rules! sections {
    ($($(#[doc = $doc:literal])* $section:ident in $name:literal { $(
        $(#[doc = $field_doc:literal])*
        $field:ident: $type:ty = $default:expr $(, $low:literal ..= $high:literal)? $(, env $env:literal)?;
    )* })*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        pub struct $section { $(
            $(#[doc = $field_doc])*
            pub $field: $type,
        )* }

        impl Default for $section {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::setting::Section for $section {
            const NAME: &'static str = $name;
            const DOC: &'static [&'static str] = &[$($doc),*];
            const FIELDS: &'static [$crate::config::setting::Field] = &[$($crate::config::setting::Field {
                name: stringify!($field),
                env: $crate::config::setting::optional!($($env)?),
                doc: &[$($field_doc),*],
                range: $crate::config::setting::optional!($(concat!($low, " to ", $high))?),
            }),*];

            fn set(&mut self, key: &str, raw: &$crate::config::setting::Raw) -> Result<(), String> {
                match key {
                    $(stringify!($field) => {
                        $($crate::config::setting::whole_within(raw, $low as f64, $high as f64, concat!($low, " to ", $high))?;)?
                        let value = <$type as $crate::config::setting::Setting>::read(raw)?;
                        $($crate::config::setting::within(value, $low, $high)?;)?
                        self.$field = value;
                    })*
                    _ => return Err("is no setting".to_owned()),
                }
                Ok(())
            }

            fn get(&self, key: &str) -> Option<toml::Value> {
                match key {
                    $(stringify!($field) => $crate::config::setting::Setting::show(&self.$field),)*
                    _ => None,
                }
            }
        }
    )* };
}
pub(super) use sections;

/// `Some(x)` for something, `None` for nothing.
macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}
pub(super) use optional;

/// Declares a setting that is one of a few words.
macro_rules! choice {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
        pub enum $name { $(
            $(#[doc = $variant_doc])*
            $variant,
        )* }

        impl $crate::config::setting::Setting for $name {
            fn read(raw: &$crate::config::setting::Raw) -> Result<Self, String> {
                let text = String::read(raw)?;
                match text.as_str() {
                    $($word => Ok(Self::$variant),)*
                    _ => {
                        let words = [$($word),*];
                        let nearest = $crate::config::nearest(&text, words.iter().copied()).unwrap_or(words[0]);
                        Err(format!("expected one of {}, found {text:?}; did you mean {nearest:?}?", words.join(", ")))
                    }
                }
            }

            fn show(&self) -> Option<toml::Value> {
                Some(toml::Value::String(match self { $(Self::$variant => $word,)* }.to_owned()))
            }
        }
    };
}
pub(super) use choice;

/// Refuses a whole number outside its setting's range before it is read as a type, whose own range would be told else.
pub(super) fn whole_within(raw: &Raw, low: f64, high: f64, range: &str) -> Result<(), String> {
    let number: Option<i64> = match raw {
        Raw::Toml(Value::Integer(number)) => Some(*number),
        Raw::Text(text) => text.trim().parse().ok(),
        Raw::Toml(_) => None,
    };
    match number {
        Some(number) if !(low..=high).contains(&(number as f64)) => Err(format!("{number} is out of range: {range}")),
        _ => Ok(()),
    }
}

/// Refuses a number outside its range.
pub(super) fn within<T: PartialOrd + Display>(value: T, low: T, high: T) -> Result<(), String> {
    // Written so that NaN, which compares with nothing, is refused.
    if value >= low && value <= high { Ok(()) } else { Err(format!("{value} is out of range: {low} to {high}")) }
}

fn found(raw: &Raw) -> String {
    match raw {
        Raw::Toml(Value::String(text)) | Raw::Text(text) => format!("the text {text:?}"),
        Raw::Toml(Value::Integer(number)) => format!("the whole number {number}"),
        Raw::Toml(Value::Float(number)) => format!("the number {number}"),
        Raw::Toml(Value::Boolean(value)) => value.to_string(),
        Raw::Toml(Value::Datetime(_)) => "a date".to_owned(),
        Raw::Toml(Value::Array(_)) => "a list".to_owned(),
        Raw::Toml(Value::Table(_)) => "a table".to_owned(),
    }
}

fn wrong<T>(expected: &str, raw: &Raw) -> Result<T, String> {
    Err(format!("expected {expected}, found {}", found(raw)))
}

impl Setting for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Toml(Value::Boolean(value)) => Ok(*value),
            Raw::Text(text) if ["1", "true", "on", "yes"].contains(&text.as_str()) => Ok(true),
            Raw::Text(text) if ["0", "false", "off", "no"].contains(&text.as_str()) => Ok(false),
            _ => wrong("true or false", raw),
        }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => { $(
        impl Setting for $type {
            fn read(raw: &Raw) -> Result<Self, String> {
                let number = match raw {
                    Raw::Toml(Value::Integer(number)) => Some(*number),
                    Raw::Text(text) => text.trim().parse::<i64>().ok(),
                    Raw::Toml(_) => None,
                };
                let Some(number) = number else { return wrong("a whole number", raw) };
                Self::try_from(number).map_err(|_| format!("{number} is out of range: {} to {}", Self::MIN, Self::MAX))
            }

            fn show(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Integer)
            }
        }
    )* };
}
whole_numbers!(u32, u64, usize);

impl Setting for f32 {
    fn read(raw: &Raw) -> Result<Self, String> {
        let number = match raw {
            Raw::Toml(Value::Float(number)) => Some(*number),
            Raw::Toml(Value::Integer(number)) => Some(*number as f64),
            Raw::Text(text) => text.trim().parse::<f64>().ok(),
            Raw::Toml(_) => None,
        };
        number.map_or_else(|| wrong("a number", raw), |number| Ok(number as Self))
    }

    fn show(&self) -> Option<Value> {
        // Through the shortest decimal text, or 0.05 would be shown as 0.05000000074505806.
        self.to_string().parse().ok().map(Value::Float)
    }
}

impl Setting for String {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Toml(Value::String(text)) | Raw::Text(text) => Ok(text.clone()),
            Raw::Toml(_) => wrong("a text in quotes", raw),
        }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

impl Setting for PathBuf {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = String::read(raw)?;
        if text.is_empty() { Err("expected a path, found an empty text".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.display().to_string()))
    }
}

impl Setting for Secret {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Toml(Value::String(text)) | Raw::Text(text) => Ok(Self::new(text)),
            // What was found instead may still be the secret, badly quoted: it is not repeated.
            Raw::Toml(_) => Err("expected a text in quotes".to_owned()),
        }
    }

    fn show(&self) -> Option<Value> {
        None
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(raw: &Raw) -> Result<Self, String> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(Setting::show)
    }
}

/// In the environment as in the file: `["one", "two"]`.
impl Setting for Vec<String> {
    fn read(raw: &Raw) -> Result<Self, String> {
        let list = match raw {
            Raw::Toml(value) => Some(value.clone()),
            Raw::Text(text) => {
                toml::from_str::<toml::Table>(&format!("list = {text}")).ok().and_then(|mut all| all.remove("list"))
            }
        };
        let texts = list.and_then(|list| list.try_into().ok());
        texts.map_or_else(|| wrong("a list of texts in quotes, such as [\"one\", \"two\"]", raw), Ok)
    }

    fn show(&self) -> Option<Value> {
        Some(Value::Array(self.iter().cloned().map(Value::String).collect()))
    }
}

impl Setting for Label {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = String::read(raw)?;
        let known = Self::ALL.into_iter().find(|label| label.name() == text);
        known.ok_or_else(|| format!("expected one of {}, found {text:?}", Self::ALL.map(Self::name).join(", ")))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.name().to_owned()))
    }
}

/// In the environment: `theirs=ours,theirs=ours`.
impl Setting for BTreeMap<String, Label> {
    fn read(raw: &Raw) -> Result<Self, String> {
        let pairs: Vec<(String, Raw)> = match raw {
            Raw::Toml(Value::Table(table)) => {
                table.iter().map(|(key, value)| (key.clone(), Raw::Toml(value.clone()))).collect()
            }
            Raw::Text(text) => {
                let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
                let split = pairs.map(|pair| pair.split_once('=').ok_or(pair));
                split
                    .map(|pair| match pair {
                        Ok((key, value)) => Ok((key.trim().to_owned(), Raw::Text(value.trim().to_owned()))),
                        Err(pair) => Err(format!("expected label=emotion pairs, found {pair:?}")),
                    })
                    .collect::<Result<_, _>>()?
            }
            Raw::Toml(_) => return wrong("a table of label = \"emotion\"", raw),
        };
        pairs.into_iter().map(|(key, value)| Label::read(&value).map(|label| (key, label))).collect()
    }

    fn show(&self) -> Option<Value> {
        let pairs = self.iter().map(|(key, label)| (key.clone(), Value::String(label.name().to_owned())));
        if self.is_empty() { None } else { Some(Value::Table(pairs.collect())) }
    }
}
