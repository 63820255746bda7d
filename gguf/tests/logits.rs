//! Logits, greedy tokens and token ids of converted models, computed by llama.cpp, against what transformers computes.
#![cfg(feature = "llama")]

mod support;

use std::path::{Path, PathBuf};

use friend_gguf::backend::Backend;
use friend_gguf::convert::format::{GgufFile, GgufWriter, MetaValue, Metadata, TensorPlan};
use friend_gguf::convert::{Dtype, LoraOptions, MergeOptions, convert_lora, merge};
use friend_gguf::llama::{Exact, LlamaBackend, Verification, VerifyOptions, load_model, open, verify};
use friend_gguf::request::EngineConfig;
use support::{convert, fixture, json, micro_f32};

/// Largest distances that pass: measured 0.016 and 0.063 over both fixtures.
const LIMIT_F32: f32 = 0.04;
const LIMIT_F16: f32 = 0.15;

fn compare(size: &str, model: &Path, adapter: Option<(&Path, f32)>, variant: &str) -> Verification {
    let options = VerifyOptions {
        model: model.to_owned(),
        adapter: adapter.map(|(path, scale)| (path.to_owned(), scale)),
        expected: fixture(&format!("{size}/expected/expected.json")),
        variant: variant.to_owned(),
    };
    verify(&options, &mut ()).unwrap_or_else(|error| panic!("{size} {variant}: {error}"))
}

#[track_caller]
fn passes(what: &str, found: &Verification, limit: f32) {
    assert!(found.passes(limit), "{what}: {found:#?}");
    let compared: usize = found.prompts.iter().map(|prompt| prompt.compared).sum();
    let agreed: usize = found.prompts.iter().map(|prompt| prompt.agreed).sum();
    assert!(agreed == compared && compared > 10, "{what}: {agreed} of {compared} greedy steps agree");
}

fn lora(size: &str, adapter: &str, folder: &Path) -> PathBuf {
    lora_as(Dtype::F32, size, adapter, folder)
}

fn lora_as(dtype: Dtype, size: &str, adapter: &str, folder: &Path) -> PathBuf {
    let output = folder.join(format!("{size}-{adapter}-{dtype:?}.gguf"));
    let (adapter, base) = (fixture(&format!("{size}/{adapter}")), fixture(&format!("{size}/hf-safetensors")));
    convert_lora(&LoraOptions { adapter, base, output: output.clone(), dtype }, &mut ()).unwrap();
    output
}

#[test]
fn logits_are_the_originals_for_base_adapter_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    for size in ["micro", "tiny"] {
        let adapter = lora(size, "lora-new", folder.path());
        for (dtype, limit) in [(Dtype::F32, LIMIT_F32), (Dtype::F16, LIMIT_F16)] {
            let model = convert(&format!("{size}/hf-safetensors"), dtype, folder.path());
            let what = |variant: &str| format!("{size} {dtype:?} {variant}");
            passes(&what("base"), &compare(size, &model, None, "base"), limit);
            for (scale, variant) in [(1.0, "lora_1.0"), (0.5, "lora_0.5")] {
                passes(&what(variant), &compare(size, &model, Some((&adapter, scale)), variant), limit);
            }
            let merged = folder.path().join("merged.gguf");
            let options =
                MergeOptions { base: model, adapter: adapter.clone(), scale: 1.0, output: merged.clone(), dtype };
            merge(&options, &mut ()).unwrap();
            passes(&what("merged"), &compare(size, &merged, None, "merged"), limit);
        }
    }
}

#[test]
fn a_stabilised_adapter_gives_the_originals_logits() {
    let folder = tempfile::tempdir().unwrap();
    let model = convert("micro/hf-safetensors", Dtype::F32, folder.path());
    let expected = json(&fixture("micro/expected/expected.json"));
    let bytes = std::fs::read(fixture("micro/expected/rslora_logits.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let rows = bytes[header..].chunks_exact(512 * 4);
    for (adapter, right) in [("lora-rslora", true), ("lora-new", false)] {
        let adapter = (lora("micro", adapter, folder.path()), 1.0);
        let mut worst = 0.0_f32;
        Exact::open(&model, Some(&adapter))
            .unwrap()
            .with(|run| {
                for (prompt, row) in expected["prompts"].as_array().unwrap().iter().zip(rows.clone()) {
                    let ids: Vec<u32> = serde_json::from_value(prompt["ids"].clone()).unwrap();
                    let logits = run.prompt(&ids)?;
                    let theirs = row.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
                    worst = logits.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(worst, f32::max);
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(worst <= LIMIT_F32, right, "off by {worst}");
        assert!(right || worst > 4.0, "without the root the mistake would show: {worst}");
    }
}

#[test]
fn every_string_gives_the_originals_token_ids() {
    let folder = tempfile::tempdir().unwrap();
    for size in ["micro", "tiny"] {
        let model = convert(&format!("{size}/hf-safetensors"), Dtype::F16, folder.path());
        let cases = json(&fixture(&format!("{size}/expected/tokenizer.json")));
        let cases = cases["cases"].as_array().unwrap();
        assert!(cases.len() >= 28, "{size}: {}", cases.len());
        Exact::open(&model, None)
            .unwrap()
            .with(|run| {
                for case in cases {
                    let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
                    let text = case["text"].as_str().unwrap();
                    assert_eq!(run.tokenize(text), ids, "{size}: {text:?}");
                }
                Ok(())
            })
            .unwrap();
    }
}

/// The engine's own way to tokens, which every user's text takes.
#[test]
fn the_engine_gives_the_originals_token_ids_too() {
    let model = load_model(&micro_f32(), 0).unwrap();
    let config = EngineConfig {
        context_tokens: 320,
        slots: 1,
        lanes: 1,
        kv_tokens: 512,
        batch_tokens: 64,
        ..EngineConfig::for_model("")
    };
    let backend = LlamaBackend::new(open(&model, None, &config).unwrap());
    let cases = json(&fixture("micro/expected/tokenizer.json"));
    let mut decomposed = 0;
    for case in cases["cases"].as_array().unwrap() {
        let (text, mut ids) = (case["text"].as_str().unwrap(), Vec::new());
        backend.tokenize(text, true, true, &mut ids);
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(ids, expected, "{text:?}");
        decomposed += usize::from(case["nfc"] != case["text"]);
    }
    assert!(decomposed > 0, "one of them needs normalising");
}

/// A model in memory, to be spoilt as a careless converter would.
struct Loaded {
    metadata: Metadata,
    tensors: Vec<(TensorPlan, Vec<u8>)>,
}

impl Loaded {
    fn read(path: &Path) -> Self {
        let file = GgufFile::open(path).unwrap();
        let tensors = file.tensors.iter().map(|tensor| {
            let mut bytes = vec![0; tensor.bytes as usize];
            file.read_at(tensor, 0, &mut bytes).unwrap();
            (TensorPlan { name: tensor.name.clone(), dims: tensor.dims.clone(), kind: tensor.kind }, bytes)
        });
        Self { tensors: tensors.collect(), metadata: file.metadata.clone() }
    }

    fn write(&self, path: &Path) {
        let plans: Vec<_> = self.tensors.iter().map(|(plan, _)| plan.clone()).collect();
        let mut writer = GgufWriter::create(path, &self.metadata, &plans).unwrap();
        for (plan, bytes) in &self.tensors {
            writer.begin(&plan.name).unwrap();
            writer.write(bytes).unwrap();
        }
        writer.finish().unwrap();
    }

    /// Puts rows of the attention projection back into the checkpoint's order, head by head.
    fn unsplit_heads(&mut self, ending: &str, heads: usize) {
        for (plan, bytes) in self.tensors.iter_mut().filter(|(plan, _)| plan.name.ends_with(ending)) {
            let rows = if plan.dims.len() == 1 { plan.dims[0] } else { plan.dims[1] } as usize;
            let (width, size) = (bytes.len() / rows, rows / 3 / heads);
            let split = bytes.clone();
            for row in 0..rows {
                let (head, part, d) = (row / (3 * size), row / size % 3, row % size);
                let from = ((part * heads + head) * size + d) * width;
                bytes[row * width..(row + 1) * width].copy_from_slice(&split[from..from + width]);
            }
        }
    }
}

impl Loaded {
    /// Puts the rows of a Llama's queries or keys back into the checkpoint's order, the halves of a head apart.
    fn part_halves(&mut self, ending: &str, heads: usize) {
        for (plan, bytes) in self.tensors.iter_mut().filter(|(plan, _)| plan.name.ends_with(ending)) {
            let rows = plan.dims[1] as usize;
            let (width, size) = (bytes.len() / rows, rows / heads);
            let joined = bytes.clone();
            for row in 0..rows {
                let (head, within) = (row / size, row % size);
                let (half, d) = (within / (size / 2), within % (size / 2));
                let from = (head * size + 2 * d + half) * width;
                bytes[row * width..(row + 1) * width].copy_from_slice(&joined[from..from + width]);
            }
        }
    }
}

/// For each mistake: how far logits must move (the original's authors measured it in transformers), and that it is caught.
#[test]
fn every_mistake_of_a_converter_would_be_caught() {
    let folder = tempfile::tempdir().unwrap();
    for (size, heads, head_size) in [("micro", 4, 16), ("tiny", 2, 16)] {
        let model = convert(&format!("{size}/hf-safetensors"), Dtype::F32, folder.path());
        let adapter = lora(size, "lora-new", folder.path());
        let controls = json(&fixture(&format!("{size}/expected/negative-controls.json")));
        let spoilt = folder.path().join("spoilt.gguf");
        let check = |mistake: &str, found: &Verification| {
            let moved = controls["controls"][mistake]["max_abs_logit"].as_f64().unwrap() as f32;
            assert!((found.distance() - moved).abs() < 0.1, "{size} {mistake}: {} for {moved}", found.distance());
            assert!(!found.passes(LIMIT_F16), "{size} {mistake} was not caught");
        };
        let spoil = |mistake: &str, spoil: &dyn Fn(&mut Loaded)| {
            let mut loaded = Loaded::read(&model);
            spoil(&mut loaded);
            loaded.write(&spoilt);
            check(mistake, &compare(size, &spoilt, None, "base"));
        };
        spoil("qkv_weight_and_bias_not_reordered", &|model| {
            model.unsplit_heads("attn_qkv.weight", heads);
            model.unsplit_heads("attn_qkv.bias", heads);
        });
        spoil("qkv_bias_only_not_reordered", &|model| model.unsplit_heads("attn_qkv.bias", heads));
        spoil("sequential_residual", &|model| {
            model.metadata.set("gptneox.use_parallel_residual", MetaValue::Bool(false));
        });
        spoil("rotary_pct_1.0", &|model| {
            model.metadata.set("gptneox.rope.dimension_count", MetaValue::U32(head_size));
        });
        spoil("tied_embeddings", &|model| {
            let of = |name: &str| model.tensors.iter().position(|(plan, _)| plan.name == name).unwrap();
            let (from, to) = (of("token_embd.weight"), of("output.weight"));
            model.tensors[to].1 = model.tensors[from].1.clone();
        });

        let mut factors = Loaded::read(&adapter);
        factors.unsplit_heads("lora_b", heads);
        factors.write(&spoilt);
        check("lora_B_not_reordered", &compare(size, &model, Some((&spoilt, 1.0)), "lora_1.0"));
        check("lora_ignored", &compare(size, &model, None, "lora_1.0"));
        check("lora_half_scale", &compare(size, &model, Some((&adapter, 0.5)), "lora_1.0"));
    }
}

/// The base is a GGUF that gguf-py wrote, so that the converter of adapters alone is on trial.
#[test]
fn a_llama_with_an_adapter_over_all_its_matrices_gives_the_originals_logits() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama/gguf/model-f32.gguf");
    let pass = |what: &str, found: Verification, limit: f32| {
        println!("llama {what}: largest |Δlogit| {:.5}", found.distance());
        passes(what, &found, limit);
    };
    pass("base", compare("llama", &model, None, "base"), LIMIT_F32);
    for (dtype, limit) in [(Dtype::F32, LIMIT_F32), (Dtype::F16, LIMIT_F16)] {
        let adapter = lora_as(dtype, "llama", "lora-new", folder.path());
        for (scale, variant) in [(1.0, "lora_1.0"), (0.5, "lora_0.5")] {
            pass(&format!("{variant} {dtype:?}"), compare("llama", &model, Some((&adapter, scale)), variant), limit);
        }
        let merged = folder.path().join("merged.gguf");
        let options = MergeOptions {
            base: model.clone(),
            adapter: adapter.clone(),
            scale: 1.0,
            output: merged.clone(),
            dtype: Dtype::F32,
        };
        merge(&options, &mut ()).unwrap();
        pass(&format!("merged {dtype:?}"), compare("llama", &merged, None, "lora_1.0"), limit);
    }
}

#[test]
fn every_mistake_with_a_llama_adapter_would_be_caught() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama/gguf/model-f32.gguf");
    let adapter = lora("llama", "lora-new", folder.path());
    let controls = json(&fixture("llama/expected/negative-controls.json"));
    let check = |mistake: &str, found: &Verification| {
        let moved = controls["controls"][mistake]["max_abs_logit"].as_f64().unwrap() as f32;
        println!("llama {mistake}: largest |Δlogit| {:.5} (Transformers: {moved:.5})", found.distance());
        assert!((found.distance() - moved).abs() < 0.1, "{mistake}: {} for {moved}", found.distance());
        assert!(!found.passes(LIMIT_F16), "{mistake} was not caught");
    };
    let mut factors = Loaded::read(&adapter);
    factors.part_halves("attn_q.weight.lora_b", 4);
    factors.part_halves("attn_k.weight.lora_b", 2);
    let spoilt = folder.path().join("spoilt.gguf");
    factors.write(&spoilt);
    check("lora_B_not_permuted", &compare("llama", &model, Some((&spoilt, 1.0)), "lora_1.0"));
    check("lora_ignored", &compare("llama", &model, None, "lora_1.0"));
    check("lora_half_scale", &compare("llama", &model, Some((&adapter, 0.5)), "lora_1.0"));
}

#[test]
fn what_cannot_be_compared_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let model = micro_f32();
    let options = |expected: PathBuf, variant: &str| VerifyOptions {
        model: model.clone(),
        adapter: None,
        expected,
        variant: variant.to_owned(),
    };
    let complaint = |options: VerifyOptions| verify(&options, &mut ()).unwrap_err().to_string();
    let micro = fixture("micro/expected/expected.json");
    assert!(complaint(options(micro.clone(), "lora_2.0")).contains("no variant `lora_2.0`, only base"));
    let broken = folder.path().join("expected.json");
    std::fs::write(&broken, "{\"prompts\": [{\"name\": 1}]}").unwrap();
    assert!(complaint(options(broken, "base")).contains("line 1"));
    // Tokens of another vocabulary reach no assertion of llama.cpp's.
    let other = folder.path().join("other.json");
    let text = std::fs::read_to_string(&micro).unwrap().replacen("\"ids\": [", "\"ids\": [50000, ", 1);
    std::fs::write(&other, text.replacen("\"ids\":[", "\"ids\":[50000,", 1)).unwrap();
    assert!(complaint(options(other, "base")).contains("outside the model's vocabulary"));
    let wrong =
        VerifyOptions { adapter: Some((fixture("tiny/gguf/lora-f32.gguf"), 1.0)), ..options(micro, "lora_1.0") };
    assert!(complaint(wrong).contains("adapter"));
}
