//! The parameters of one call, however they came: JSON body, form, query or multipart.
//!
//! As in the Bot API, every value may be a string: numbers and booleans are read from strings too, and lists and
//! objects from strings that hold JSON.

use std::collections::HashMap;

use axum::extract::{FromRequest, Multipart, Query, Request};
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::reply::ApiError;

/// Bytes of a request at most: Telegram takes files of up to 50 MB.
pub const MAX_BODY: usize = 52 * 1024 * 1024;

/// One call's parameters and files.
#[derive(Debug, Default)]
pub struct Params {
    fields: Map<String, Value>,
    files: HashMap<String, Upload>,
}

/// A file that came with a call.
#[derive(Clone, Debug)]
pub struct Upload {
    /// As the sender called it.
    pub name: String,
    /// MIME type, if the sender gave one.
    pub mime: Option<String>,
    /// What is in it.
    pub content: Bytes,
}

impl Params {
    /// Reads query and body.
    ///
    /// # Errors
    /// 400 when the body is not what its content type says, 413 when it is larger than [`MAX_BODY`].
    pub async fn read(request: Request) -> Result<Self, ApiError> {
        let mut params = Self::default();
        if let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()) {
            params.fields.extend(query.into_iter().map(|(name, value)| (name, Value::String(value))));
        }
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "multipart/form-data" {
            params.read_multipart(request).await?;
            return Ok(params);
        }
        let body = axum::body::to_bytes(request.into_body(), MAX_BODY)
            .await
            .map_err(|_| ApiError::new(413, "Request Entity Too Large"))?;
        match kind.as_str() {
            "application/json" if !body.is_empty() => match serde_json::from_slice(&body) {
                Ok(Value::Object(fields)) => params.fields.extend(fields),
                Ok(_) => return Err(ApiError::bad_request("expected an object as the request's JSON body")),
                Err(_) => return Err(ApiError::bad_request("can't parse the request's JSON body")),
            },
            "application/x-www-form-urlencoded" => {
                let query = axum::http::Uri::builder().path_and_query(format!("/?{}", String::from_utf8_lossy(&body)));
                let form = query.build().ok().and_then(|uri| Query::<Vec<(String, String)>>::try_from_uri(&uri).ok());
                let Query(form) = form.ok_or_else(|| ApiError::bad_request("can't parse the request's form"))?;
                params.fields.extend(form.into_iter().map(|(name, value)| (name, Value::String(value))));
            }
            _ => {}
        }
        Ok(params)
    }

    async fn read_multipart(&mut self, request: Request) -> Result<(), ApiError> {
        let broken = || ApiError::bad_request("can't parse the request's multipart body");
        let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| broken())?;
        while let Some(field) = multipart.next_field().await.map_err(|_| broken())? {
            let Some(name) = field.name().map(str::to_owned) else { continue };
            let (file, mime) = (field.file_name().map(str::to_owned), field.content_type().map(str::to_owned));
            let content = field.bytes().await.map_err(|_| ApiError::new(413, "Request Entity Too Large"))?;
            if let Some(file) = file {
                self.files.insert(name, Upload { name: file, mime, content });
            } else {
                let text = String::from_utf8(content.to_vec())
                    .map_err(|_| ApiError::bad_request("strings must be encoded in UTF-8"))?;
                self.fields.insert(name, Value::String(text));
            }
        }
        Ok(())
    }

    /// Parameters made by a test.
    #[cfg(test)]
    pub fn from_fields(fields: Value) -> Self {
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Self { fields, files: HashMap::new() }
    }

    /// Everything but the files, for the ledger.
    pub fn fields(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// A text; numbers are taken as their digits.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A whole number, also from a string.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.fields.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A truth value; `true`, `yes`, `1` and a number other than zero are true, as in the public server.
    pub fn flag(&self, name: &str) -> bool {
        match self.fields.get(name) {
            Some(Value::Bool(value)) => *value,
            Some(Value::Number(number)) => number.as_f64().is_some_and(|n| n != 0.0),
            Some(Value::String(text)) => matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "yes" | "1"),
            _ => false,
        }
    }

    /// A list or an object, also from a string that holds JSON; `None` when absent, empty or null.
    ///
    /// # Errors
    /// 400 when a string is not JSON; `what` names it.
    pub fn json(&self, name: &str, what: &str) -> Result<Option<Value>, ApiError> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| ApiError::bad_request(format_args!("can't parse {what} JSON object"))),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// The file under `name`, or the one that `name` points to with `attach://…`.
    pub fn file(&self, name: &str) -> Option<&Upload> {
        let attached = self.fields.get(name).and_then(Value::as_str).and_then(|text| text.strip_prefix("attach://"));
        self.files.get(attached.unwrap_or(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_from_strings_as_well() {
        let params = Params::from_fields(json!({ "a": "12", "b": 12, "c": "True", "d": "[1]", "e": "x" }));
        assert_eq!((params.int("a"), params.int("b"), params.int("e")), (Some(12), Some(12), None));
        assert!(params.flag("c") && !params.flag("e"));
        assert_eq!(params.json("d", "list").unwrap(), Some(json!([1])));
        assert!(params.json("e", "list").is_err());
    }
}
