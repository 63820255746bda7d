//! llama.cpp as a library: initialised once a process, its log turned down.

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use llama_cpp_2::llama_backend::LlamaBackend as Library;

use super::StartError;

static LIBRARY: Mutex<Option<&'static Library>> = Mutex::new(None);

/// The library, initialised by the first call and never torn down: everything that loads a model needs it, and it can
/// be initialised only once.
///
/// # Errors
/// [`StartError::Llama`] where somebody else initialised it.
pub fn library() -> Result<&'static Library, StartError> {
    let mut library = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = *library {
        return Ok(library);
    }
    // SAFETY: the callback is a plain function that lives as long as the process and ignores its data pointer.
    unsafe {
        llama_cpp_sys_2::llama_log_set(Some(log), std::ptr::null_mut());
        llama_cpp_sys_2::ggml_log_set(Some(log), std::ptr::null_mut());
    }
    #[cfg(feature = "dynamic-backends")]
    load_backends();
    let fresh = Library::init().map_err(|error| StartError::llama("initialise", error))?;
    let fresh: &'static Library = Box::leak(Box::new(fresh));
    *library = Some(fresh);
    Ok(fresh)
}

/// Loads the backends that lie beside the program, where a bundle or an image brought them, or else those of the build: with the build's
/// folder at hand llama.cpp would look nowhere else, and a CUDA backend that was put beside the program would never be found.
#[cfg(feature = "dynamic-backends")]
fn load_backends() {
    let beside = || {
        let folder = std::env::current_exe().ok()?.parent()?.to_owned();
        let is_backend = |name: &str| name.starts_with("libggml-cpu") && name.contains(".so");
        let brought = std::fs::read_dir(&folder).ok()?.flatten();
        let brought = brought.into_iter().any(|file| file.file_name().to_str().is_some_and(is_backend));
        // The wrapper panics where a path is no text.
        (brought && folder.to_str().is_some()).then_some(folder)
    };
    match beside() {
        Some(folder) => llama_cpp_2::llama_backend::load_backends_from_path(&folder),
        None => llama_cpp_2::llama_backend::load_backends(),
    }
}

/// llama.cpp tells as information what only its developers need: all but errors go to the debug level.
// SAFETY: only llama.cpp calls it, with a string that ends in NUL, or none.
unsafe extern "C" fn log(level: llama_cpp_sys_2::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a string that ends in NUL and lives during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    if level == llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR {
        tracing::warn!(target: "llama_cpp", "{text}");
    } else {
        tracing::debug!(target: "llama_cpp", "{text}");
    }
}
