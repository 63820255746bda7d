//! Wrong ONNX Runtime libraries: each is a clear error at the start. A process can load the library only once, so these
//! have a process of their own, in which the right one is never loaded.

use std::{collections::BTreeMap, path::Path, process::Command};

use ai_friend::adapters::onnx::{OnnxConfig, OnnxError, OnnxScorer};

fn start(library: &Path) -> OnnxError {
    let model_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/emotion");
    let config = OnnxConfig {
        model_dir,
        library: library.to_owned(),
        label_map: BTreeMap::new(),
        max_length_tokens: 128,
        queue: 4,
    };
    OnnxScorer::start(config).err().expect("this library must not do")
}

/// A shared library out of one file of C.
fn compile(folder: &Path, name: &str, source: &str) -> std::path::PathBuf {
    let (file, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&file, source).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&file).status();
    assert!(built.unwrap().success(), "a C compiler is needed to build this project anyway");
    library
}

#[test]
fn a_missing_library_says_how_to_get_it() {
    let error = start(Path::new("/nowhere/libonnxruntime.so"));
    assert!(matches!(error, OnnxError::NoLibrary(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("/nowhere/libonnxruntime.so") && text.contains("make models"), "{text}");
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libonnxruntime.so");
    std::fs::write(&file, "half a download").unwrap();
    assert!(matches!(start(&file), OnnxError::Library { .. }));
}

#[test]
fn another_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = start(&compile(folder.path(), "other", "int answer(void) { return 42; }"));
    assert!(error.to_string().contains("OrtGetApiBase"), "{error}");
}

#[test]
fn an_older_onnx_runtime_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let source = r#"
        static const void *get_api(unsigned version) { (void)version; return 0; }
        static const char *version(void) { return "1.17.3"; }
        static const struct { const void *(*get_api)(unsigned); const char *(*version)(void); } base = { get_api, version };
        const void *OrtGetApiBase(void) { return &base; }
    "#;
    let text = start(&compile(folder.path(), "old", source)).to_string();
    assert!(text.contains("1.17.3") && text.contains("1.22"), "{text}");
}
