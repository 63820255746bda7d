//! Texts as Telegram measures them: UTF-16 units, entities inside the text, formatting parsed away.

use serde_json::{Value, json};

use super::params::Params;
use super::reply::ApiError;

/// UTF-16 units of a message at most, after parsing.
pub const MAX_TEXT: usize = 4096;
/// UTF-16 units of a caption at most, after parsing.
pub const MAX_CAPTION: usize = 1024;

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
        "markdown" => super::entities_markdown::parse_legacy(&text)?,
        _ => return Err(ApiError::bad_request("unsupported parse_mode")),
    };
    trim(&mut formatted);
    if formatted.entities.is_empty() {
        formatted.entities = find_entities(&formatted.text);
    }
    Ok(formatted)
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
        let as_size = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap_or(0);
        let (offset, length) = (as_size(&entity["offset"]), as_size(&entity["length"]));
        let from = offset.saturating_sub(cut);
        let to = (offset + length).saturating_sub(cut).min(end);
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
