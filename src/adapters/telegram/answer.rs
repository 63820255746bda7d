//! What an answer of the server means: the table from HTTP and the API's JSON to [`ApiError`].

use std::time::Duration;

use friend_actors::ports::ApiError;
use friend_actors::types::ChatId;
use serde_json::Value;

/// What came over the wire.
pub(super) struct Answer<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// The header of that name, in seconds.
    pub(super) retry_after: Option<u64>,
    /// None: it broke off.
    pub(super) body: Option<&'a [u8]>,
}

/// A 429 that does not say how long.
const USUAL_WAIT: u64 = 5;

/// Reads an answer. A 2xx is a success whatever its body holds: the thing was done.
pub(super) fn read(answer: Answer<'_>) -> Result<Value, ApiError> {
    let Answer { status, retry_after, body } = answer;
    let mut json = body.and_then(|body| serde_json::from_slice::<Value>(body).ok()).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(json.get_mut("result").map(Value::take).unwrap_or_default());
    }
    if json["ok"] == Value::Bool(false) {
        return Err(refusal(status, retry_after, &json));
    }
    // Not the API speaks, but something on the way to it.
    Err(match status {
        401 => ApiError::Unauthorized(401),
        429 => ApiError::RetryAfter(Duration::from_secs(retry_after.unwrap_or(USUAL_WAIT))),
        // A proxy's limit on what passes through it: however often it is tried.
        413 => ApiError::Rejected("HTTP 413, too large for something on the way to the Bot API".to_owned()),
        500.. => ApiError::Ambiguous(format!("HTTP {status} without the API's JSON")),
        _ => ApiError::Unreachable(format!("HTTP {status}, and not from the Bot API: is TG_API_URL right?")),
    })
}

/// The API said no, in its own JSON: nothing was done.
fn refusal(status: u16, retry_after: Option<u64>, json: &Value) -> ApiError {
    let code = json["error_code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(status);
    let description = json["description"].as_str().unwrap_or_default();
    let parameters = &json["parameters"];
    if let Some(to) = parameters["migrate_to_chat_id"].as_i64() {
        return ApiError::Migrated(ChatId(to));
    }
    let seconds = parameters["retry_after"].as_f64().map(|seconds| seconds.ceil() as u64).or(retry_after);
    match code {
        404 if description.to_lowercase().contains("method") => ApiError::Rejected(kind_of(code, description)),
        401 | 404 => ApiError::Unauthorized(code),
        403 => ApiError::Forbidden,
        409 => ApiError::Conflict,
        429 => ApiError::RetryAfter(Duration::from_secs(seconds.unwrap_or(USUAL_WAIT))),
        400 if description.to_lowercase().contains("message is not modified") => ApiError::NotModified,
        400..500 => ApiError::Rejected(kind_of(code, description)),
        // It was sent, and something in the group removed it: sent again it would be removed again.
        500.. if description.to_lowercase().contains("immediately deleted") => {
            ApiError::Rejected(kind_of(code, description))
        }
        _ => ApiError::Unreachable(format!("HTTP {code}")),
    }
}

/// The part of a description that tells the kind of error. What follows may quote the person's text.
fn kind_of(code: u16, description: &str) -> String {
    let mut kinds = description.split(['"', '\n']).next().unwrap_or_default().splitn(3, ':');
    let (first, second) = (kinds.next().unwrap_or_default(), kinds.next());
    let kind = second.map_or_else(|| first.to_owned(), |second| format!("{first}:{second}"));
    format!("HTTP {code}, {}", kind.chars().take(100).collect::<String>().trim())
}

/// Whether [`ApiError::Rejected`] complains of a text's formatting.
pub(super) fn is_about_formatting(reason: &str) -> bool {
    reason.to_lowercase().contains("can't parse entities")
}

/// Whether [`ApiError::Rejected`] complains of the topic: it was closed or deleted after the question.
pub(super) fn is_about_topic(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    let named = ["message thread not found", "topic_closed", "topic_deleted"];
    reason.starts_with("http 400") && named.iter().any(|name| reason.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Value, ApiError> {
        read(Answer { status, retry_after: None, body: Some(body.as_bytes()) })
    }

    fn refused(code: u16, description: &str, parameters: &Value) -> ApiError {
        let body =
            serde_json::json!({"ok": false, "error_code": code, "description": description, "parameters": parameters});
        answer(code, &body.to_string()).unwrap_err()
    }

    #[test]
    fn every_2xx_is_a_success() {
        assert_eq!(answer(200, r#"{"ok":true,"result":{"message_id":7}}"#).unwrap()["message_id"], 7);
        for body in ["", "<html>", "{\"ok\":true", "[]", "null", "{\"ok\":true}"] {
            assert_eq!(answer(200, body), Ok(Value::Null));
        }
        assert_eq!(read(Answer { status: 200, retry_after: None, body: None }), Ok(Value::Null));
    }

    #[test]
    fn a_5xx_is_certain_only_in_the_apis_own_json() {
        assert!(matches!(answer(502, "<html>Bad Gateway</html>"), Err(ApiError::Ambiguous(_))));
        assert!(matches!(answer(502, r#"{"error":"gateway"}"#), Err(ApiError::Ambiguous(_))));
        assert!(matches!(refused(500, "Internal Server Error", &Value::Null), ApiError::Unreachable(_)));
        let removed = "Internal Server Error: sent message was immediately deleted";
        assert!(matches!(refused(500, removed, &Value::Null), ApiError::Rejected(_)), "not again and again");
    }

    #[test]
    fn each_refusal_becomes_what_is_to_be_done() {
        let none = Value::Null;
        assert_eq!(refused(401, "Unauthorized", &none), ApiError::Unauthorized(401));
        assert_eq!(refused(404, "Not Found", &none), ApiError::Unauthorized(404));
        assert!(matches!(refused(404, "Not Found: method not found", &none), ApiError::Rejected(_)));
        assert_eq!(refused(403, "Forbidden: bot was blocked by the user", &none), ApiError::Forbidden);
        assert_eq!(refused(409, "Conflict: terminated by other getUpdates request", &none), ApiError::Conflict);
        assert_eq!(refused(400, "Bad Request: message is not modified: specified new", &none), ApiError::NotModified);
        let moved = serde_json::json!({"migrate_to_chat_id": -1_001_234_567_890_i64});
        let group = "Bad Request: group chat was upgraded to a supergroup chat";
        assert_eq!(refused(400, group, &moved), ApiError::Migrated(ChatId(-1_001_234_567_890)));
    }

    #[test]
    fn any_retry_after_is_understood() {
        for (said, seconds) in [("3", 3), ("70000", 70_000), ("1.5", 2), ("1e300", u64::MAX), ("null", USUAL_WAIT)] {
            let parameters = serde_json::from_str(&format!("{{\"retry_after\":{said}}}")).unwrap();
            assert_eq!(refused(429, "Too Many", &parameters), ApiError::RetryAfter(Duration::from_secs(seconds)));
        }
        let html = read(Answer { status: 429, retry_after: Some(9), body: Some(b"<html>") });
        assert_eq!(html, Err(ApiError::RetryAfter(Duration::from_secs(9))));
    }

    #[test]
    fn a_description_never_brings_a_persons_words_into_an_error() {
        let said = "Bad Request: can't parse entities: Unsupported start tag \"my secret\" at byte offset 0";
        let ApiError::Rejected(reason) = refused(400, said, &Value::Null) else { panic!() };
        assert!(!reason.contains("secret"), "{reason}");
        assert!(is_about_formatting(&reason), "{reason}");
    }

    #[test]
    fn a_refused_topic_is_told_from_other_refusals() {
        let about_topic = |code: u16, description: &str| match refused(code, description, &Value::Null) {
            ApiError::Rejected(reason) => is_about_topic(&reason),
            error => panic!("{error}"),
        };
        for description in ["message thread not found", "Message thread not found", "TOPIC_CLOSED", "TOPIC_DELETED"] {
            assert!(about_topic(400, &format!("Bad Request: {description}")), "{description}");
        }
        assert!(!about_topic(400, "Bad Request: chat not found") && !about_topic(413, "TOPIC_CLOSED"));
        assert!(!about_topic(400, "Bad Request: can't find end of \"topic_closed\""), "a person's own words");
    }

    #[test]
    fn a_page_of_something_else_is_not_a_wrong_token() {
        let Err(ApiError::Unreachable(reason)) = answer(404, "<html>nginx</html>") else { panic!() };
        assert!(reason.contains("TG_API_URL"));
        assert!(matches!(answer(301, ""), Err(ApiError::Unreachable(_))));
        let too_large = answer(413, "<html>nginx</html>");
        assert!(matches!(too_large, Err(ApiError::Rejected(_))), "it would stand before all that follows for ever");
    }
}
