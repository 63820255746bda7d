//! What a Bot API method answers: a result, or an error in Telegram's own words.
//!
//! The wording follows the public Bot API server (`telegram-bot-api`), because bots match on it.

use serde_json::{Value, json};

/// The outcome of one method call.
pub type MethodResult = Result<Value, ApiError>;

/// An error as the Bot API reports it: `{"ok":false,"error_code":…,"description":…,"parameters":{…}}`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code} {description}")]
pub struct ApiError {
    /// HTTP status and `error_code`.
    pub code: u16,
    /// Telegram's description, with its prefix ("Bad Request: …").
    pub description: String,
    /// `parameters`: `retry_after` or `migrate_to_chat_id`.
    pub parameters: Option<Value>,
}

impl ApiError {
    /// An error without parameters; `description` carries its prefix already.
    pub fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), parameters: None }
    }

    /// 400 with the prefix "Bad Request: ".
    pub fn bad_request(what: impl std::fmt::Display) -> Self {
        Self::new(400, format!("Bad Request: {what}"))
    }

    /// 403 with the prefix "Forbidden: ".
    pub fn forbidden(what: impl std::fmt::Display) -> Self {
        Self::new(403, format!("Forbidden: {what}"))
    }

    /// 400 "chat not found".
    pub fn chat_not_found() -> Self {
        Self::bad_request("chat not found")
    }

    /// 401: the token is well formed, but no bot has it.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized")
    }

    /// 404: no such method.
    pub fn method_not_found() -> Self {
        Self::new(404, "Not Found: method not found")
    }

    /// 409: another poll took over.
    pub fn other_poller() -> Self {
        Self::new(
            409,
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
        )
    }

    /// 409: a webhook is set.
    pub fn webhook_active() -> Self {
        Self::new(
            409,
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
        )
    }

    /// 429 with `retry_after`, in whole seconds, at least one.
    pub fn too_many_requests(wait: std::time::Duration) -> Self {
        let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        Self {
            parameters: Some(json!({ "retry_after": seconds })),
            ..Self::new(429, format!("Too Many Requests: retry after {seconds}"))
        }
    }

    /// 400: the group lives on under another id.
    pub fn migrated(to: i64) -> Self {
        Self {
            parameters: Some(json!({ "migrate_to_chat_id": to })),
            ..Self::bad_request("group chat was upgraded to a supergroup chat")
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let mut body = json!({ "ok": false, "error_code": self.code, "description": self.description });
        if let Some(parameters) = &self.parameters {
            body["parameters"] = parameters.clone();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds_and_never_zero() {
        let seconds =
            |ms| ApiError::too_many_requests(Duration::from_millis(ms)).body()["parameters"]["retry_after"].clone();
        assert_eq!(seconds(0), 1);
        assert_eq!(seconds(1000), 1);
        assert_eq!(seconds(1001), 2);
    }

    #[test]
    fn a_migration_names_the_new_chat() {
        let body = ApiError::migrated(-100_123).body();
        assert_eq!(body["error_code"], 400);
        assert_eq!(body["parameters"]["migrate_to_chat_id"], -100_123);
    }
}
