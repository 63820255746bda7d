//! Checks of `reply_markup`: inline keyboards, reply keyboards, their sizes.

use serde_json::Value;

use super::params::Params;
use super::reply::ApiError;

/// Bytes of `callback_data`.
const CALLBACK_DATA: std::ops::RangeInclusive<usize> = 1..=64;
/// Buttons of one keyboard at most.
const MAX_BUTTONS: usize = 100;
/// What an inline button can do, one of them each.
const ACTIONS: [&str; 9] = [
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
];

/// Reads and checks `reply_markup`. `inline_only` is for edits. Rows of an inline keyboard without buttons are dropped, and
/// one without any row is no markup: so it is for Telegram, which compares an edit with what is left.
///
/// # Errors
/// 400 in Telegram's words.
pub fn read(params: &Params, inline_only: bool) -> Result<Option<Value>, ApiError> {
    let Some(mut markup) = params.json("reply_markup", "reply keyboard markup")? else { return Ok(None) };
    if !markup.is_object() {
        return Err(ApiError::bad_request("object expected as reply markup"));
    }
    if let Some(rows) = markup.get_mut("inline_keyboard") {
        check_inline(rows)?;
        let rows = rows.as_array_mut().map(|rows| {
            rows.retain(|row| row.as_array().is_some_and(|row| !row.is_empty()));
            rows.len()
        });
        return Ok((rows != Some(0)).then_some(markup));
    }
    if inline_only {
        return Err(ApiError::bad_request("inline keyboard expected"));
    }
    if let Some(rows) = markup.get("keyboard") {
        check_rows(rows, "keyboard button", |button| button.as_str().or_else(|| button["text"].as_str()).is_some())?;
    }
    Ok(Some(markup))
}

fn check_inline(rows: &Value) -> Result<(), ApiError> {
    check_rows(rows, "inline keyboard button", |button| button["text"].as_str().is_some_and(|text| !text.is_empty()))?;
    for button in buttons(rows) {
        if button["pay"].as_bool() == Some(true) || !button["disabled"].is_null() {
            continue;
        }
        match ACTIONS.iter().filter(|action| !button[**action].is_null()).count() {
            0 => {
                return Err(ApiError::bad_request(
                    "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
                ));
            }
            1 => {}
            _ => return Err(ApiError::bad_request("BUTTON_TYPE_INVALID")),
        }
        let data = &button["callback_data"];
        if !data.is_null() && !data.as_str().is_some_and(|data| CALLBACK_DATA.contains(&data.len())) {
            return Err(ApiError::bad_request("BUTTON_DATA_INVALID"));
        }
        if button["url"].as_str().is_some_and(|url| !url.contains('.') && !url.contains("://")) {
            return Err(ApiError::bad_request("BUTTON_URL_INVALID"));
        }
    }
    Ok(())
}

fn check_rows(rows: &Value, what: &str, valid: impl Fn(&Value) -> bool) -> Result<(), ApiError> {
    let not_rows = || ApiError::bad_request(format_args!("can't parse {what}: expected an Array of Arrays"));
    for row in rows.as_array().ok_or_else(not_rows)? {
        row.as_array().ok_or_else(not_rows)?;
    }
    if let Some(position) = buttons(rows).position(|button| !valid(button)) {
        return Err(ApiError::bad_request(format_args!("can't parse {what}: button {position} has no text")));
    }
    if buttons(rows).count() > MAX_BUTTONS {
        return Err(ApiError::bad_request("REPLY_MARKUP_TOO_LONG"));
    }
    Ok(())
}

/// All buttons of a keyboard.
pub fn buttons(rows: &Value) -> impl Iterator<Item = &Value> {
    rows.as_array().into_iter().flatten().flat_map(|row| row.as_array().into_iter().flatten())
}

/// The callback data of the button that carries this data or this text.
pub fn find_button(markup: &Value, wanted: &str) -> Option<String> {
    let rows = &markup["inline_keyboard"];
    let by = |field: &'static str| buttons(rows).find(move |button| button[field] == wanted);
    by("callback_data").or_else(|| by("text"))?["callback_data"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(markup: Value) -> Result<Option<Value>, ApiError> {
        read(&Params::from_fields(json!({ "reply_markup": markup })), false)
    }

    fn one(button: Value) -> Result<Option<Value>, ApiError> {
        check(json!({ "inline_keyboard": [[button]] }))
    }

    #[test]
    fn callback_data_has_1_to_64_bytes() {
        assert!(one(json!({ "text": "a", "callback_data": "x".repeat(64) })).is_ok());
        for data in [String::new(), "x".repeat(65), "é".repeat(33)] {
            let error = one(json!({ "text": "a", "callback_data": data })).unwrap_err();
            assert_eq!(error.description, "Bad Request: BUTTON_DATA_INVALID");
        }
    }

    #[test]
    fn an_inline_button_needs_a_text_and_something_to_do() {
        assert!(one(json!({ "text": "a" })).unwrap_err().description.contains("Text buttons are unallowed"));
        assert!(one(json!({ "callback_data": "a" })).is_err());
        assert!(one(json!({ "text": "a", "url": "https://example.org" })).is_ok());
    }

    #[test]
    fn shapes_that_are_no_keyboard_are_refused() {
        assert!(check(json!("{broken")).is_err());
        assert!(check(json!([1])).is_err());
        assert!(check(json!({ "inline_keyboard": [{ "text": "a" }] })).is_err());
        assert!(check(json!({ "keyboard": [["yes", "no"]] })).is_ok());
        assert!(
            check(json!({ "inline_keyboard": vec![vec![json!({ "text": "a", "callback_data": "a" })]; 101] })).is_err()
        );
    }

    #[test]
    fn rows_without_buttons_are_dropped_and_nothing_is_left_of_a_keyboard_of_them() {
        for nothing in [json!([]), json!([[]]), json!([[], []])] {
            assert_eq!(check(json!({ "inline_keyboard": nothing })).unwrap(), None);
        }
        let button = json!({ "text": "a", "callback_data": "b" });
        let some = check(json!({ "inline_keyboard": [[], [button], []] })).unwrap();
        assert_eq!(some, Some(json!({ "inline_keyboard": [[button]] })));
    }

    #[test]
    fn a_button_is_found_by_data_or_text() {
        let markup = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "y" }]] });
        assert_eq!(find_button(&markup, "y").as_deref(), Some("y"));
        assert_eq!(find_button(&markup, "Yes").as_deref(), Some("y"));
        assert_eq!(find_button(&markup, "no"), None);
    }
}
