//! `parse_mode` Markdown, the legacy one.

use serde_json::json;

use super::entities_markdown::error;
use super::reply::ApiError;
use super::text::{Formatted, entity, utf16_len};

/// Parses it: no nesting, no reserved characters but the markers themselves.
///
/// # Errors
/// 400 "can't parse entities: …" for an entity without its end.
pub fn parse(source: &str) -> Result<Formatted, ApiError> {
    let mut out = Formatted::default();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        if c == '\\' && rest[1..].starts_with(['_', '*', '`', '[']) {
            out.text.push_str(&rest[1..2]);
            at += 2;
            continue;
        }
        let (kind, begin, end) = match c {
            '*' => ("bold", "*", "*"),
            '_' => ("italic", "_", "_"),
            '`' if rest.starts_with("```") => ("pre", "```", "```"),
            '`' => ("code", "`", "`"),
            '[' => ("text_link", "[", "]"),
            c => {
                out.text.push(c);
                at += c.len_utf8();
                continue;
            }
        };
        let inner = &rest[begin.len()..];
        let length = inner
            .find(end)
            .ok_or_else(|| error(format!("Can't find end of the entity starting at byte offset {at}")))?;
        let from = utf16_len(&out.text);
        out.text.push_str(&inner[..length]);
        let mut made = entity(kind, from, utf16_len(&inner[..length]));
        at += begin.len() + length + end.len();
        if kind == "text_link" {
            let url =
                source[at..].strip_prefix('(').and_then(|after| after.split_once(')')).map(|(url, _)| url.to_owned());
            at += url.as_ref().map_or(0, |url| url.len() + 2);
            if url.as_ref().is_none_or(String::is_empty) {
                continue;
            }
            made["url"] = json!(url);
        }
        if length > 0 {
            out.entities.push(made);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_markdown_knows_no_nesting() {
        let parsed = parse("*a* b. [c](d) \\_e").unwrap();
        assert_eq!(parsed.text, "a b. c _e");
        assert!(
            parse("snake_case")
                .unwrap_err()
                .description
                .contains("Can't find end of the entity starting at byte offset 5")
        );
    }
}
