//! What the tests of conversion share: the fixtures, their manifests, and the hashes of a file's tensors.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use friend_gguf::convert::format::{GgufFile, GgufWriter, Metadata, TensorPlan};
use friend_gguf::convert::{Dtype, ModelOptions, convert_model};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A file or folder of the fixtures.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("fixtures are valid JSON")
}

/// `(type, dimensions, sha256 of the bytes)` of each tensor, by name.
pub type Hashes = BTreeMap<String, (String, Vec<u64>, String)>;

pub fn hashes(path: &Path) -> Hashes {
    let file = GgufFile::open(path).expect("our own output opens");
    let hash = |tensor: &friend_gguf::convert::format::TensorRecord| {
        let mut bytes = vec![0; tensor.bytes as usize];
        file.read_at(tensor, 0, &mut bytes).expect("tensors lie within the file");
        (tensor.kind.name(), tensor.dims.clone(), hex(&Sha256::digest(&bytes)))
    };
    file.tensors.iter().map(|tensor| (tensor.name.clone(), hash(tensor))).collect()
}

/// What a manifest says of one of its files.
pub fn manifest_hashes(size: &str, file: &str) -> Hashes {
    let manifest = json(&fixture(&format!("{size}/gguf/manifest.json")));
    let files = manifest["files"].as_object().expect("a manifest lists files");
    let file = files.iter().find(|(name, _)| name.starts_with(file)).expect("the file is listed").1;
    let entry = |tensor: &Value| {
        let dims = tensor["ne"].as_array().expect("dims").iter().map(|dim| dim.as_u64().expect("dim")).collect();
        let text = |key: &str| tensor[key].as_str().expect("text").to_owned();
        (text("name"), (text("type"), dims, text("sha256")))
    };
    file["tensors"].as_array().expect("tensors").iter().map(entry).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Converts a fixture's checkpoint into a folder of the test's own.
pub fn convert(checkpoint: &str, dtype: Dtype, folder: &Path) -> PathBuf {
    let output = folder.join(format!("{}-{dtype:?}.gguf", checkpoint.replace('/', "-")));
    let options = ModelOptions { folder: fixture(checkpoint), output: output.clone(), dtype };
    convert_model(&options, &mut ()).unwrap_or_else(|error| panic!("{checkpoint}: {error}"));
    output
}

/// The micro model as F32, to run: converted anew by each test program.
pub fn micro_f32() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("micro");
        std::fs::create_dir_all(&folder).expect("Cargo's folder for tests can be written");
        convert("micro/hf-safetensors-v5", Dtype::F32, &folder)
    };
    MADE.get_or_init(make).clone()
}

/// Copies a GGUF file, its keys changed.
pub fn with_keys(from: &Path, to: PathBuf, change: impl FnOnce(&mut Metadata)) -> PathBuf {
    let file = GgufFile::open(from).expect("our own output opens");
    let mut metadata = file.metadata.clone();
    change(&mut metadata);
    let plan = |tensor: &friend_gguf::convert::format::TensorRecord| TensorPlan {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        kind: tensor.kind,
    };
    let plans: Vec<TensorPlan> = file.tensors.iter().map(plan).collect();
    let mut writer = GgufWriter::create(&to, &metadata, &plans).expect("a folder of the test's own");
    for tensor in &file.tensors {
        let mut bytes = vec![0; tensor.bytes as usize];
        file.read_at(tensor, 0, &mut bytes).expect("tensors lie within the file");
        writer.begin(&tensor.name).expect("in the plans' order");
        writer.write(&bytes).expect("as many as planned");
    }
    writer.finish().expect("the whole file");
    to
}

/// Copies a fixture folder, so that a test may damage it.
pub fn copy(from: &str, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).expect("a folder of the test's own");
    for entry in std::fs::read_dir(fixture(from)).expect("the fixture is there").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
    to.to_owned()
}

/// A copy of the micro checkpoint, spoilt by `spoil`.
pub fn spoilt(from: &str, spoil: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    spoil(&copy(from, folder.path()));
    folder
}

pub fn with_bytes(from: &str, file: &str, spoil: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    spoilt(from, |folder| {
        let mut bytes = std::fs::read(folder.join(file)).unwrap();
        spoil(&mut bytes);
        std::fs::write(folder.join(file), bytes).unwrap();
    })
}

pub fn with_json(from: &str, file: &str, spoil: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    spoilt(from, |folder| {
        let mut value = json(&folder.join(file));
        spoil(&mut value);
        std::fs::write(folder.join(file), value.to_string()).unwrap();
    })
}
