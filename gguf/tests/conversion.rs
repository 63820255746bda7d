//! Conversion, number by number: every tensor's bytes against the hashes of llama.cpp's own converters.

mod support;

use std::path::Path;

use friend_gguf::convert::format::{GgmlType, GgufFile, MetaArray, MetaValue, TensorRecord};
use friend_gguf::convert::{Dtype, LoraOptions, MergeOptions, Provenance, Summary, convert_lora, merge};
use serde_json::json as value;
use support::{convert, copy, fixture, hashes, json, manifest_hashes, with_json};

const CHECKPOINTS: [&str; 5] =
    ["micro/hf-safetensors", "micro/hf-safetensors-v5", "micro/hf-bin", "micro/hf-bin-sharded", "tiny/hf-safetensors"];

#[test]
fn every_form_of_a_checkpoint_gives_the_same_tensors() {
    let folder = tempfile::tempdir().unwrap();
    for checkpoint in CHECKPOINTS {
        let (size, _) = checkpoint.split_once('/').unwrap();
        for (dtype, file) in [(Dtype::F32, "model-f32.gguf"), (Dtype::F16, "model-f16.gguf")] {
            let output = convert(checkpoint, dtype, folder.path());
            assert_eq!(hashes(&output), manifest_hashes(size, file), "{checkpoint} as {dtype:?}");
        }
    }
}

#[test]
fn metadata_equals_the_manifest_and_adds_what_dolly_needs() {
    let folder = tempfile::tempdir().unwrap();
    for (checkpoint, end) in [("micro/hf-safetensors-v5", 502), ("tiny/hf-safetensors", 50277)] {
        let (size, _) = checkpoint.split_once('/').unwrap();
        let file = GgufFile::open(&convert(checkpoint, Dtype::F16, folder.path())).unwrap();
        let manifest = json(&fixture(&format!("{size}/gguf/manifest.json")));
        let expected = manifest["files"]["model-f16.gguf"]["kv"].as_object().unwrap();
        // The name is the folder's, and the size label is a comment of the other converter.
        let skipped = |key: &str| key.starts_with("GGUF.") || ["general.name", "general.size_label"].contains(&key);
        for (key, value) in expected.iter().filter(|(key, _)| !skipped(key)) {
            let ours = file.metadata.get(key).unwrap_or_else(|| panic!("{checkpoint}: {key} is missing"));
            assert!(same(ours, &value["value"]), "{checkpoint}: {key} is {ours:?}, expected {value}");
        }
        assert_eq!(file.metadata.integer("tokenizer.ggml.eot_token_id"), Some(end));
        assert_eq!(file.metadata.get("gptneox.rope.freq_base"), Some(&MetaValue::F32(10_000.0)));
    }
}

/// Whether a value is what the manifest says, which of long lists holds the first and last eight elements.
fn same(ours: &MetaValue, expected: &serde_json::Value) -> bool {
    match ours {
        MetaValue::Text(text) => expected.as_str() == Some(text),
        MetaValue::Bool(value) => expected.as_bool() == Some(*value),
        MetaValue::F32(value) => expected.as_f64().is_some_and(|wanted| wanted as f32 == *value),
        MetaValue::U32(value) => expected.as_u64() == Some(u64::from(*value)),
        MetaValue::Array(array) => {
            let items: Vec<serde_json::Value> = match array {
                MetaArray::Text(items) => items.iter().cloned().map(Into::into).collect(),
                MetaArray::I32(items) => items.iter().copied().map(Into::into).collect(),
                MetaArray::Raw { .. } => return false,
            };
            let ends = |key: &str| expected[key].as_array().unwrap().clone();
            expected["len"].as_u64() == Some(items.len() as u64)
                && items.starts_with(&ends("first8"))
                && items.ends_with(&ends("last8"))
        }
        _ => false,
    }
}

#[test]
fn q8_0_stays_within_half_a_step_of_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let exact = GgufFile::open(&convert("micro/hf-bin", Dtype::F32, folder.path())).unwrap();
    let packed = GgufFile::open(&convert("micro/hf-bin", Dtype::Q8_0, folder.path())).unwrap();
    assert_eq!(packed.metadata.integer("general.file_type"), Some(7));
    let mut matrices = 0;
    for tensor in packed.tensors.iter().filter(|tensor| tensor.kind == GgmlType::Q8_0) {
        let mut blocks = vec![0; tensor.bytes as usize];
        packed.read_at(tensor, 0, &mut blocks).unwrap();
        let source = exact.tensor(&tensor.name).unwrap();
        let mut bytes = vec![0; source.bytes as usize];
        exact.read_at(source, 0, &mut bytes).unwrap();
        for (block, weights) in blocks.chunks_exact(34).zip(bytes.chunks_exact(128)) {
            let step = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
            for (level, weight) in block[2..].iter().zip(weights.chunks_exact(4)) {
                let weight = f32::from_le_bytes(weight.try_into().unwrap());
                let error = (weight - step * f32::from(*level as i8)).abs();
                // Half a step, and the rounding of the step itself to half precision.
                assert!(error <= step * 0.5 + step * 127.0 * 0.0005, "{}: {error} of step {step}", tensor.name);
            }
        }
        matrices += 1;
    }
    assert_eq!(matrices, 2 + 2 * 4);
}

fn lora(adapter: &str, base: &Path, folder: &Path) -> std::path::PathBuf {
    let output = folder.join(format!("{}.gguf", adapter.replace('/', "-")));
    let (adapter_folder, base) = (fixture(adapter), base.to_owned());
    let options = LoraOptions { adapter: adapter_folder, base, output: output.clone(), dtype: Dtype::F32 };
    convert_lora(&options, &mut ()).unwrap_or_else(|error| panic!("{adapter}: {error}"));
    output
}

#[test]
fn both_forms_of_an_adapter_give_the_same_tensors_over_a_folder_or_a_gguf() {
    let folder = tempfile::tempdir().unwrap();
    for (size, adapters) in [("micro", &["lora-new", "lora-old"][..]), ("tiny", &["lora-new"])] {
        let converted = convert(&format!("{size}/hf-safetensors"), Dtype::F16, folder.path());
        for adapter in adapters {
            for base in [fixture(&format!("{size}/hf-safetensors")), converted.clone()] {
                let output = lora(&format!("{size}/{adapter}"), &base, folder.path());
                assert_eq!(hashes(&output), manifest_hashes(size, "lora-f32.gguf"), "{size}/{adapter}");
                let metadata = GgufFile::open(&output).unwrap().metadata;
                assert_eq!(metadata.float("adapter.lora.alpha"), Some(32.0));
                assert_eq!(metadata.text("general.type"), Some("adapter"));
                assert_eq!(metadata.text("adapter.type"), Some("lora"));
                assert_eq!(metadata.text("general.architecture"), Some("gptneox"));
            }
        }
    }
}

#[test]
fn a_stabilised_adapter_carries_alpha_times_the_root_of_its_rank() {
    let folder = tempfile::tempdir().unwrap();
    let output = lora("micro/lora-rslora", &fixture("micro/hf-safetensors"), folder.path());
    assert_eq!(GgufFile::open(&output).unwrap().metadata.float("adapter.lora.alpha"), Some(32.0 * 4.0));
}

fn llama_lora(adapter: &Path, base: &str, dtype: Dtype, output: &Path) -> Result<Summary, String> {
    let (adapter, base) = (adapter.to_owned(), fixture(base));
    let options = LoraOptions { adapter, base, output: output.to_owned(), dtype };
    convert_lora(&options, &mut ()).map_err(|error| error.to_string())
}

#[test]
fn a_llama_adapter_is_the_same_over_a_folder_or_a_gguf_and_half_as_large_in_half_precision() {
    let folder = tempfile::tempdir().unwrap();
    let output = |name: &str| folder.path().join(name);
    let adapter = fixture("llama/lora-new");
    let whole = llama_lora(&adapter, "llama/hf-safetensors", Dtype::F32, &output("a.gguf")).unwrap();
    llama_lora(&adapter, "llama/gguf/model-f32.gguf", Dtype::F32, &output("b.gguf")).unwrap();
    assert_eq!(hashes(&output("a.gguf")), hashes(&output("b.gguf")));
    let half = llama_lora(&adapter, "llama/hf-safetensors", Dtype::F16, &output("c.gguf")).unwrap();
    assert_eq!((whole.tensors, whole.parameters), (2 * 2 * 7, half.parameters));
    let tensors = |path: &Path| GgufFile::open(path).unwrap().tensors.iter().map(|tensor| tensor.bytes).sum::<u64>();
    assert_eq!(tensors(&output("a.gguf")), 2 * tensors(&output("c.gguf")));
    let file = GgufFile::open(&output("c.gguf")).unwrap();
    assert_eq!(file.metadata.text("general.architecture"), Some("llama"));
    assert_eq!(file.metadata.float("adapter.lora.alpha"), Some(8.0));
    assert_eq!(file.tensor("blk.1.attn_k.weight.lora_b").unwrap().dims, [4, 32]);
    assert_eq!(file.tensor("blk.0.ffn_down.weight.lora_a").unwrap().dims, [96, 4]);
    assert!(llama_lora(&adapter, "llama/hf-safetensors", Dtype::Q8_0, &output("d.gguf")).unwrap_err().contains("f16"));

    let stabilised = with_json("llama/lora-new", "adapter_config.json", |config| config["use_rslora"] = true.into());
    llama_lora(stabilised.path(), "llama/hf-safetensors", Dtype::F32, &output("e.gguf")).unwrap();
    assert_eq!(GgufFile::open(&output("e.gguf")).unwrap().metadata.float("adapter.lora.alpha"), Some(8.0 * 2.0));
}

#[test]
fn what_an_adapter_says_of_itself_is_kept_in_its_gguf() {
    let folder = tempfile::tempdir().unwrap();
    let (adapter, output) = (copy("llama/lora-new", &folder.path().join("mine")), folder.path().join("out.gguf"));
    llama_lora(&adapter, "llama/hf-safetensors", Dtype::F32, &output).unwrap();
    let unsaid = Provenance { name: Some("mine".into()), ..Provenance::default() };
    assert_eq!(Provenance::of(&output).unwrap(), unsaid, "the folder's name, as ever");
    let said = value!({"name": "a friend", "licence": "Apache-2.0", "commercial": false, "template": "chat",
        "base_sha256": "AB".repeat(32), "base_name": "tiny", "data": "letters", "recipe": "rank 4"});
    std::fs::write(adapter.join("friend_adapter.json"), said.to_string()).unwrap();
    llama_lora(&adapter, "llama/hf-safetensors", Dtype::F32, &output).unwrap();
    assert_eq!(Provenance::of(&output).unwrap(), Provenance::of(&adapter).unwrap());
    let metadata = GgufFile::open(&output).unwrap().metadata;
    for (key, text) in [
        ("general.name", "a friend"),
        ("general.license", "Apache-2.0"),
        ("friend.adapter.base_sha256", &"ab".repeat(32)),
        ("friend.adapter.base_name", "tiny"),
        ("friend.adapter.template", "chat"),
        ("friend.adapter.data", "letters"),
        ("friend.adapter.recipe", "rank 4"),
    ] {
        assert_eq!(metadata.text(key), Some(text), "{key}");
    }
    assert_eq!(metadata.get("friend.adapter.commercial"), Some(&MetaValue::Bool(false)));
    std::fs::write(adapter.join("friend_adapter.json"), r#"{"licens": "MIT"}"#).unwrap();
    let error = llama_lora(&adapter, "llama/hf-safetensors", Dtype::F32, &folder.path().join("no.gguf")).unwrap_err();
    assert!(error.contains("friend_adapter.json") && error.contains("licens"), "{error}");
}

fn values(file: &GgufFile, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap();
    let mut bytes = vec![0; tensor.bytes as usize];
    file.read_at(tensor, 0, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
fn merging_adds_the_scaled_product_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let base = convert("micro/hf-safetensors", Dtype::F32, folder.path());
    let adapter = lora("micro/lora-new", &base, folder.path());
    let merged = |base: &Path, adapter: &Path, scale: f32| {
        let output = folder.path().join("merged.gguf");
        let (base, adapter) = (base.to_owned(), adapter.to_owned());
        merge(&MergeOptions { base, adapter, scale, output: output.clone(), dtype: Dtype::F32 }, &mut ()).unwrap();
        GgufFile::open(&output).unwrap()
    };
    let (plain, factors) = (GgufFile::open(&base).unwrap(), GgufFile::open(&adapter).unwrap());
    for scale in [1.0, 0.5] {
        let from_gguf = merged(&base, &adapter, scale);
        let from_folders = merged(&fixture("micro/hf-bin-sharded"), &fixture("micro/lora-old"), scale);
        for tensor in &plain.tensors {
            let (ours, folders) = (values(&from_gguf, &tensor.name), values(&from_folders, &tensor.name));
            assert_eq!(ours, folders, "{}: both ways agree", tensor.name);
            let mut expected = values(&plain, &tensor.name);
            if tensor.name.ends_with("attn_qkv.weight") {
                let a = values(&factors, &format!("{}.lora_a", tensor.name));
                let b = values(&factors, &format!("{}.lora_b", tensor.name));
                for (at, value) in expected.iter_mut().enumerate() {
                    let (row, column) = (at / 64, at % 64);
                    let product: f64 =
                        (0..16).map(|k| f64::from(b[row * 16 + k]) * f64::from(a[k * 64 + column])).sum();
                    *value += (product * f64::from(scale) * 2.0) as f32;
                }
            }
            let worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{} at scale {scale}: off by {worst}", tensor.name);
        }
    }
}

#[test]
fn progress_ends_at_its_total_and_the_summary_is_true() {
    struct Heard(u64, u64);
    impl friend_gguf::convert::Progress for Heard {
        fn start(&mut self, _: &str, bytes: u64) {
            self.0 = bytes;
        }
        fn advance(&mut self, bytes: u64) {
            self.1 += bytes;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.gguf");
    let mut heard = Heard(0, 0);
    let options = friend_gguf::convert::ModelOptions {
        folder: fixture("micro/hf-bin"),
        output: output.clone(),
        dtype: Dtype::F16,
    };
    let summary = friend_gguf::convert::convert_model(&options, &mut heard).unwrap();
    assert_eq!(heard.0, heard.1);
    let bytes = std::fs::metadata(&output).unwrap().len();
    assert_eq!(summary, Summary { bytes, tensors: 28, parameters: summary.parameters });
    assert_eq!(
        summary.parameters,
        GgufFile::open(&output).unwrap().tensors.iter().map(TensorRecord::values).sum::<u64>()
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["out.gguf"], "no partial file stays");
}
