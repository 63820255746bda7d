//! Synthesised models: true shape, and as llama.cpp's own quantiser would lay them out.
#![cfg(feature = "llama")]

use std::path::{Path, PathBuf};

use friend_gguf::convert::format::{GgmlType, GgufFile};
use friend_gguf::convert::{QuantType, Shape, SynthesizeOptions, inspect, synthesize};
use friend_gguf::llama::{Exact, QuantizeOptions, quantize};

fn make(folder: &Path, kind: &str, seed: u64) -> PathBuf {
    let output = folder.join(format!("{kind}-{seed}.gguf"));
    let kind = kind.parse::<QuantType>().unwrap();
    synthesize(&SynthesizeOptions { shape: Shape::Tiny, kind, seed, output: output.clone() }, &mut ()).unwrap();
    output
}

#[test]
fn types_are_those_that_quantising_gives() {
    let folder = tempfile::tempdir().unwrap();
    let half = make(folder.path(), "F16", 1);
    for kind in ["Q4_K_M", "Q4_0", "Q8_0"] {
        let quantised = folder.path().join("quantised.gguf");
        let options = QuantizeOptions {
            input: half.clone(),
            output: quantised.clone(),
            kind: kind.parse().unwrap(),
            allow_requantize: false,
            importance: None,
            threads: 1,
        };
        quantize(&options, &mut ()).unwrap();
        let types = |path: &Path| -> Vec<(String, GgmlType)> {
            let mut types: Vec<_> =
                GgufFile::open(path).unwrap().tensors.iter().map(|tensor| (tensor.name.clone(), tensor.kind)).collect();
            types.sort_by(|a, b| a.0.cmp(&b.0));
            types
        };
        assert_eq!(types(&make(folder.path(), kind, 1)), types(&quantised), "{kind}");
    }
}

#[test]
fn a_synthesised_model_computes_sane_numbers_and_depends_on_its_seed_alone() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["Q4_K_M", "Q8_0", "F16"] {
        let model = make(folder.path(), kind, 7);
        Exact::open(&model, None)
            .unwrap()
            .with(|run| {
                let ids = run.tokenize("### Instruction:\nSay hello.\n\n### Response:\n");
                assert_eq!(ids[0], 50278, "Dolly's tokens are there");
                let logits = run.prompt(&ids)?;
                let spread = logits.iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
                assert!(
                    logits.iter().all(|logit| logit.is_finite()) && (0.01..100.0).contains(&spread),
                    "{kind}: {spread}"
                );
                Ok(())
            })
            .unwrap();
        let again = tempfile::tempdir().unwrap();
        let bytes = |path: &Path| std::fs::read(path).unwrap();
        assert_eq!(bytes(&make(again.path(), kind, 7)), bytes(&model));
        assert_ne!(bytes(&make(again.path(), kind, 8)), bytes(&model));
    }
}

#[test]
fn inspecting_tells_shape_quantisation_and_what_a_token_costs() {
    let folder = tempfile::tempdir().unwrap();
    let found = inspect(&make(folder.path(), "Q4_K_M", 1)).unwrap();
    assert_eq!((found.layers, found.embedding, found.heads, found.context), (4, 256, 4, 2048));
    assert_eq!((found.quantisation.as_str(), found.tokenizer.as_str()), ("Q4_K_M", "gpt2/olmo"));
    assert_eq!(found.kv_bytes_per_token, 4 * 2 * 256 * 2);
    assert_eq!(found.parameters, 2 * 50_280 * 256 + 4 * (12 * 256 * 256 + 13 * 256) + 2 * 256);
    assert_eq!(found.types.values().sum::<u64>() / 1_000_000, found.file_bytes / 1_000_000 - 2, "2 MB of header");
}
