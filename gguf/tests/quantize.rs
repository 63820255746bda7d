//! Quantising through llama.cpp: what comes out, and what is refused.
#![cfg(feature = "llama")]

mod support;

use std::path::Path;

use friend_gguf::convert::format::{GgmlType, GgufFile};
use friend_gguf::convert::{Dtype, Progress, QuantType};
use friend_gguf::llama::{QuantizeOptions, quantize};
use support::{convert, fixture};

fn options(input: &Path, output: &Path, kind: &str) -> QuantizeOptions {
    QuantizeOptions {
        input: input.to_owned(),
        output: output.to_owned(),
        kind: kind.parse::<QuantType>().unwrap(),
        allow_requantize: false,
        threads: 1,
    }
}

#[derive(Default)]
struct Heard {
    stage: String,
    bytes: u64,
}

impl Progress for Heard {
    fn start(&mut self, stage: &str, _: u64) {
        stage.clone_into(&mut self.stage);
    }
    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

#[test]
fn a_model_is_never_replaced_by_its_own_quantisation() {
    let folder = tempfile::tempdir().unwrap();
    let input = convert("tiny/hf-safetensors", Dtype::F16, folder.path());
    let before = std::fs::read(&input).unwrap();
    let aside = folder.path().join("./").join(input.file_name().unwrap());
    let error = quantize(&options(&input, &aside, "Q8_0"), &mut Heard::default()).unwrap_err().to_string();
    assert!(error.contains("both input and output"), "{error}");
    assert!(std::fs::read(&input).unwrap() == before);
}

#[test]
fn a_model_is_quantised_whole_and_keeps_its_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let input = convert("tiny/hf-safetensors", Dtype::F16, folder.path());
    let before = GgufFile::open(&input).unwrap();
    for (name, kind) in [("Q8_0", GgmlType::Q8_0), ("q4_0", GgmlType::Q4_0), ("IQ4_NL", GgmlType::IQ4_NL)] {
        let output = folder.path().join(format!("{name}.gguf"));
        let mut heard = Heard::default();
        let summary = quantize(&options(&input, &output, name), &mut heard).unwrap();
        let after = GgufFile::open(&output).unwrap();
        assert_eq!(summary.bytes, after.file_bytes);
        assert_eq!(summary.tensors, before.tensors.len());
        assert_eq!(after.tensor("blk.0.ffn_up.weight").unwrap().kind, kind);
        assert_eq!(after.tensor("blk.0.ffn_up.bias").unwrap().kind, GgmlType::F32);
        for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.merges", "gptneox.rope.dimension_count"] {
            assert_eq!(after.metadata.get(key), before.metadata.get(key), "{key}");
        }
        assert_eq!(heard.stage, format!("quantising to {}", name.to_uppercase()));
        assert_eq!(heard.bytes, summary.bytes, "progress ends at the file's size");
    }
}

#[test]
fn a_quantised_model_is_quantised_again_only_when_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let input = convert("micro/hf-safetensors", Dtype::F16, folder.path());
    let (first, second) = (folder.path().join("q4.gguf"), folder.path().join("q8.gguf"));
    quantize(&options(&input, &first, "Q4_0"), &mut ()).unwrap();
    let refusal = quantize(&options(&first, &second, "Q8_0"), &mut ()).unwrap_err().to_string();
    assert!(refusal.contains("--allow-requantize"), "{refusal}");
    assert!(!second.exists());
    quantize(&QuantizeOptions { allow_requantize: true, ..options(&first, &second, "Q8_0") }, &mut ()).unwrap();
    assert_eq!(GgufFile::open(&second).unwrap().tensor("blk.0.ffn_up.weight").unwrap().kind, GgmlType::Q8_0);
}

#[test]
fn what_is_no_model_is_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.gguf");
    let garbage = folder.path().join("garbage.gguf");
    std::fs::write(&garbage, b"GGUF\x03\0\0\0 and then nothing of use").unwrap();
    let empty = folder.path().join("empty.gguf");
    std::fs::write(&empty, b"").unwrap();
    let cut = folder.path().join("cut.gguf");
    let whole = std::fs::read(convert("micro/hf-bin", Dtype::F16, folder.path())).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let adapter = fixture("micro/gguf/lora-f32.gguf");
    for (input, word) in [
        (garbage.as_path(), "declares"),
        (&empty, "empty"),
        (&cut, "cut short"),
        (&adapter, "adapter"),
        (&folder.path().join("missing.gguf"), "cannot open"),
        (folder.path(), "directory"),
    ] {
        let error = quantize(&options(input, &output, "Q8_0"), &mut ()).unwrap_err().to_string();
        assert!(error.contains(word), "{}: {error}", input.display());
    }
    assert!(!output.exists());
    assert!(!folder.path().join("out.gguf.partial").exists());
}
