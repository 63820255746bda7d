//! `sendDocument`.

use serde_json::json;

use super::super::ledger::Event;
use super::super::markup;
use super::super::params::{Params, Upload};
use super::super::reply::{ApiError, MethodResult};
use super::super::state::State;
use super::super::text::{self, MAX_CAPTION, utf16_len};
use super::send;

/// Bytes of a file at most.
const MAX_FILE: usize = 50 * 1024 * 1024;

/// `sendDocument`: a file of up to 50 MB in the multipart body, or the id of one that was sent before.
pub fn send(state: &mut State, params: &Params) -> MethodResult {
    let caption = text::read(params, "caption", "caption_entities")?;
    let markup = markup::read(params, false)?;
    let upload = upload(state, params)?;
    let target = send::target(state, params)?;
    if utf16_len(&caption.text) > MAX_CAPTION {
        return Err(ApiError::bad_request("message caption is too long"));
    }
    send::pass_limits(state, target.chat)?;
    let (file_name, size) = (upload.name.clone(), upload.content.len() as u64);
    let mime = upload.mime.clone().unwrap_or_else(|| "application/octet-stream".to_owned());
    let file_id = state.keep_file(upload);
    let mut content = json!({
        "document": {
            "file_id": file_id,
            "file_unique_id": format!("u{file_id}"),
            "file_name": file_name,
            "mime_type": mime,
            "file_size": size,
        }
    });
    if !caption.text.is_empty() {
        content["caption"] = json!(caption.text);
    }
    let sent = send::keep(state, &target, content, &caption, markup);
    let event = Event::SawDocument {
        message_id: sent.id,
        file_id,
        file_name,
        size,
        caption: caption.text,
        message_thread_id: target.topic,
    };
    state.note(Some(target.chat), None, event);
    Ok(sent.json)
}

fn upload(state: &State, params: &Params) -> Result<Upload, ApiError> {
    if let Some(upload) = params.file("document") {
        if upload.content.is_empty() {
            return Err(ApiError::bad_request("file must be non-empty"));
        }
        if upload.content.len() > MAX_FILE {
            return Err(ApiError::new(413, "Request Entity Too Large"));
        }
        return Ok(upload.clone());
    }
    match params.text("document") {
        None => Err(ApiError::bad_request("there is no document in the request")),
        Some(id) => {
            state.file(&id).cloned().ok_or_else(|| ApiError::bad_request("wrong file identifier/HTTP URL specified"))
        }
    }
}
