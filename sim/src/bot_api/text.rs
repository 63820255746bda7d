//! Texts as Telegram measures them: UTF-16 units, entities inside the text, formatting parsed away.

use std::ops::Range;

use serde_json::{Value, json};

use super::params::Params;
use super::reply::ApiError;

/// UTF-16 units of a message at most, after parsing.
pub const MAX_TEXT: usize = 4096;
/// UTF-16 units of a caption at most, after parsing.
pub const MAX_CAPTION: usize = 1024;
/// Entities that may lie over any other.
const STYLES: [&str; 5] = ["bold", "italic", "underline", "strikethrough", "spoiler"];
/// Entities that may hold any other.
const QUOTES: [&str; 2] = ["blockquote", "expandable_blockquote"];

/// A text with its entities (the Bot API's `MessageEntity`, offsets in UTF-16 units).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Formatted {
    /// Without markup.
    pub text: String,
    /// In order of their beginning.
    pub entities: Vec<Value>,
}

/// Reads `field` with `parse_mode` or the list of entities under `entities_field`.
///
/// # Errors
/// 400 in Telegram's words: markup that does not parse, entities outside the text.
pub fn read(params: &Params, field: &str, entities_field: &str) -> Result<Formatted, ApiError> {
    let text = params.text(field).unwrap_or_default();
    let mode = params.text("parse_mode").unwrap_or_default();
    let mut formatted = match mode.to_ascii_lowercase().as_str() {
        "" => {
            let entities = params.json(entities_field, "message entities")?;
            Formatted { entities: check_entities(&text, entities)?, text }
        }
        "html" => super::entities_html::parse(&text)?,
        "markdownv2" => super::entities_markdown::parse(&text)?,
        "markdown" => super::entities_legacy::parse(&text)?,
        _ => return Err(ApiError::bad_request("unsupported parse_mode")),
    };
    trim(&mut formatted);
    add_found(&mut formatted);
    Ok(formatted)
}

/// Whether nothing of a text can be seen: white space, and what tdlib counts as empty besides. Characters that it takes for
/// visible are so here too, even where an app shows nothing (U+2060, U+3164).
pub fn is_invisible(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || c < ' '
            || matches!(
                c,
                '\u{30a}' | '\u{333}' | '\u{33f}' // lines through and under nothing
                    | '\u{180e}'
                    | '\u{200b}'..='\u{200f}' // zero width, marks of direction
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2800}' // Braille without a dot
                    | '\u{feff}'
                    | '\u{fffc}'
                    | '\u{e0000}'..='\u{e007f}' // tags
            )
    })
}

/// Length in UTF-16 units.
pub fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// An entity without further fields.
pub fn entity(kind: &str, offset: usize, length: usize) -> Value {
    json!({ "type": kind, "offset": offset, "length": length })
}

/// Commands and mentions in a text, which Telegram marks by itself.
pub fn find_entities(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let (mut offset, mut before) = (0, ' ');
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = match first {
            '/' => Some("bot_command"),
            '@' => Some("mention"),
            _ => None,
        };
        let starts_word = before.is_whitespace() || "([{\"'".contains(before);
        let word: String =
            rest.chars().skip(1).take_while(|c| c.is_ascii_alphanumeric() || "_@".contains(*c)).collect();
        if let (Some(kind), true, true) = (kind, starts_word, word.chars().any(|c| c.is_ascii_alphanumeric())) {
            found.push(entity(kind, offset, word.len() + 1));
            offset += word.len() + 1;
            rest = &rest[word.len() + 1..];
            before = 'a';
            continue;
        }
        offset += first.len_utf16();
        rest = &rest[first.len_utf8()..];
        before = first;
    }
    found
}

/// Adds the commands and mentions that Telegram finds beside the entities that were given. Where the two touch, what was
/// given stays, unless it is mere style or a quote around them: nothing is found in code and links.
fn add_found(formatted: &mut Formatted) {
    let given: Vec<_> = formatted.entities.iter().map(|entity| (span(entity), kind(entity).to_owned())).collect();
    let mut found = find_entities(&formatted.text);
    found.retain(|found| {
        let found = span(found);
        given.iter().all(|(given, kind)| {
            let apart = found.end <= given.start || given.end <= found.start;
            let inside = given.start <= found.start && found.end <= given.end;
            apart || STYLES.contains(&kind.as_str()) || (QUOTES.contains(&kind.as_str()) && inside)
        })
    });
    formatted.entities.extend(found);
    sort(&mut formatted.entities);
}

/// In order of their beginning; of those that begin together the one around the others comes first.
pub fn sort(entities: &mut [Value]) {
    let rank = |entity: &Value| match kind(entity) {
        kind if QUOTES.contains(&kind) => 0,
        kind if STYLES.contains(&kind) => 2,
        _ => 1,
    };
    entities.sort_by_key(|entity| {
        let Range { start, end } = span(entity);
        (start, std::cmp::Reverse(end), rank(entity))
    });
}

fn kind(entity: &Value) -> &str {
    entity["type"].as_str().unwrap_or_default()
}

/// Where an entity lies, in UTF-16 units.
fn span(entity: &Value) -> Range<usize> {
    let int = |field: &str| usize::try_from(entity[field].as_u64().unwrap_or(0)).unwrap_or(0);
    let start = int("offset");
    start..start.saturating_add(int("length"))
}

fn check_entities(text: &str, entities: Option<Value>) -> Result<Vec<Value>, ApiError> {
    let Some(entities) = entities else { return Ok(Vec::new()) };
    let not_entities = || ApiError::bad_request("can't parse MessageEntity: expected an Array of MessageEntity");
    let entities = entities.as_array().ok_or_else(not_entities)?;
    let borders: std::collections::HashSet<usize> = text
        .chars()
        .scan(0, |at, c| {
            let here = *at;
            *at += c.len_utf16();
            Some(here)
        })
        .chain([utf16_len(text)])
        .collect();
    let end = utf16_len(text);
    let mut checked = Vec::new();
    for entity in entities {
        let int = |name: &str| entity[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let (Some(offset), Some(length), Some(_)) = (int("offset"), int("length"), entity["type"].as_str()) else {
            return Err(ApiError::bad_request("can't parse MessageEntity: wrong fields"));
        };
        if length == 0 {
            continue;
        }
        let problem = if offset >= end {
            Some(format!("entity begins after the end of the text at UTF-16 offset {offset}"))
        } else if offset.saturating_add(length) > end {
            Some(format!(
                "entity beginning at UTF-16 offset {offset} ends after the end of the text at UTF-16 offset {end}"
            ))
        } else if !borders.contains(&offset) {
            Some(format!("entity begins in a middle of a UTF-16 symbol at UTF-16 offset {offset}"))
        } else if !borders.contains(&(offset + length)) {
            Some(format!("entity beginning at UTF-16 offset {offset} ends in a middle of a UTF-16 symbol"))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(ApiError::bad_request(problem));
        }
        checked.push(entity.clone());
    }
    Ok(checked)
}

/// Cuts white space at both ends, as Telegram does, and moves the entities along.
fn trim(formatted: &mut Formatted) {
    let start = formatted.text.len() - formatted.text.trim_start().len();
    let cut = utf16_len(&formatted.text[..start]);
    let text = formatted.text.trim().to_owned();
    let end = utf16_len(&text);
    formatted.entities.retain_mut(|entity| {
        let Range { start, end: stop } = span(entity);
        let from = start.saturating_sub(cut);
        let to = stop.saturating_sub(cut).min(end);
        entity["offset"] = json!(from);
        entity["length"] = json!(to.saturating_sub(from));
        to > from
    });
    formatted.text = text;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(fields: Value) -> Result<Formatted, ApiError> {
        read(&Params::from_fields(fields), "text", "entities")
    }

    #[test]
    fn length_counts_utf16_units() {
        assert_eq!((utf16_len("añ"), utf16_len("😀"), utf16_len("")), (2, 2, 0));
    }

    #[test]
    fn commands_and_mentions_are_marked() {
        let found = find_entities("😀 /start@bot and @anna, mail a@b.c 1/2");
        assert_eq!(found, [entity("bot_command", 3, 10), entity("mention", 18, 5)]);
    }

    #[test]
    fn commands_and_mentions_are_marked_beside_what_was_given_but_not_in_code_and_links() {
        let kinds = |text: &str| {
            let read = read_json(json!({ "text": text, "parse_mode": "MarkdownV2" })).unwrap();
            read.entities.iter().map(|entity| kind(entity).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds("*bold* and @anna /help"), ["bold", "mention", "bot_command"]);
        assert_eq!(kinds("*hello @anna*"), ["bold", "mention"]);
        assert_eq!(kinds("*@anna*"), ["mention", "bold"]);
        assert_eq!(kinds(">@anna"), ["blockquote", "mention"]);
        assert_eq!(kinds("`@anna`"), ["code"]);
        assert_eq!(kinds("```\n/help\n```"), ["pre"]);
        assert_eq!(kinds("[@anna](https://example.org)"), ["text_link"]);
        assert_eq!(kinds("/he`lp`"), ["code"], "what was given stays where the two overlap");
    }

    #[test]
    fn a_text_of_which_nothing_can_be_seen_is_invisible() {
        for text in ["", " \n\t", "\u{200b}\u{200d}", "\u{2800} \u{fffc}", "\u{feff}\u{a0}\u{3000}", "\u{202e}"] {
            assert!(is_invisible(text), "{text:?}");
        }
        for text in ["a", "\u{200b}.", "❤\u{fe0f}", "e\u{30a}", "\u{3164}"] {
            assert!(!is_invisible(text), "{text:?}");
        }
    }

    #[test]
    fn entities_outside_the_text_or_inside_a_symbol_are_refused() {
        let with = |offset: i64, length: i64| {
            read_json(json!({ "text": "a😀b", "entities": [{ "type": "bold", "offset": offset, "length": length }] }))
        };
        assert!(with(0, 4).is_ok());
        for (offset, length, word) in
            [(4, 1, "begins after"), (0, 5, "ends after"), (2, 1, "begins in"), (0, 2, "ends in")]
        {
            let error = with(offset, length).unwrap_err();
            assert!(error.description.contains(word), "{error}");
        }
        assert!(with(-1, 2).is_err());
    }

    #[test]
    fn white_space_at_the_ends_goes_and_entities_move_along() {
        let read =
            read_json(json!({ "text": "  ab  ", "entities": [{ "type": "bold", "offset": 1, "length": 4 }] })).unwrap();
        assert_eq!((read.text.as_str(), read.entities), ("ab", vec![entity("bold", 0, 2)]));
    }

    #[test]
    fn hostile_texts_never_break_a_parser_and_entities_always_lie_inside() {
        use rand::seq::IndexedRandom;
        use rand::{Rng, SeedableRng};
        let parts = [
            "<", ">", "</", "b", "a href=", "\"", "'", "&", ";", "#x1F600", "lt", "*", "_", "__", "~", "||", "`",
            "```", "\\", "[", "](", ")", "![", "\n", "\n>", "**>", " ", "é", "😀", "\u{200b}", "x", "/start", "@",
            "code", "span", "=", "\0",
        ];
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for _ in 0..20_000 {
            let text: String = (0..rng.random_range(0..14)).filter_map(|_| parts.choose(&mut rng)).copied().collect();
            for mode in ["", "HTML", "MarkdownV2", "Markdown"] {
                let Ok(read) = read_json(json!({ "text": text, "parse_mode": mode })) else { continue };
                let end = utf16_len(&read.text) as u64;
                for entity in &read.entities {
                    let (offset, length) = (entity["offset"].as_u64().unwrap(), entity["length"].as_u64().unwrap());
                    assert!(length > 0 && offset + length <= end, "{mode} {text:?}: {read:?}");
                }
            }
        }
    }
}
