//! Adapters that do not fit, and GGUF files that are broken or made to break their reader.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use friend_gguf::convert::format::{
    GgmlType, GgufFile, GgufWriter, MetaArray, MetaValue, Metadata, TensorPlan, TensorRecord,
};
use friend_gguf::convert::{Dtype, LoraOptions, convert_lora, preflight, preflight_adapter};
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::json;
use support::{copy, fixture, with_bytes, with_json};

const SAFE: &str = "micro/hf-safetensors";

fn lora_refusal(folder: &Path, base: &str) -> String {
    let output = folder.join("out.gguf");
    let options =
        LoraOptions { adapter: folder.to_owned(), base: fixture(base), output: output.clone(), dtype: Dtype::F32 };
    let error = convert_lora(&options, &mut ()).expect_err("this should be refused").to_string();
    assert!(!output.exists());
    error
}

#[test]
fn adapters_that_a_gguf_cannot_express_are_refused_by_name() {
    for (key, value, word) in [
        ("use_dora", json!(true), "DoRA"),
        ("rank_pattern", json!({"query_key_value": 8}), "rank_pattern"),
        ("alpha_pattern", json!({"query_key_value": 8}), "alpha_pattern"),
        ("modules_to_save", json!(["embed_out"]), "modules_to_save"),
        ("bias", json!("lora_only"), "lora_only"),
        ("lora_bias", json!(true), "lora_bias"),
        ("fan_in_fan_out", json!(true), "fan_in_fan_out"),
        ("layer_replication", json!([[0, 2]]), "layer_replication"),
        ("use_qalora", json!(true), "QA-LoRA"),
        ("alora_invocation_tokens", json!([1]), "alora"),
        ("trainable_token_indices", json!([1]), "trainable_token_indices"),
        ("target_parameters", json!(["x"]), "target_parameters"),
        ("peft_type", json!("PREFIX_TUNING"), "PREFIX_TUNING"),
        ("r", json!(0), "`r`"),
        ("r", json!(8), "this base and rank need"),
        ("lora_alpha", json!("x"), "lora_alpha"),
        ("init_lora_weights", json!("pissa"), "`pissa`"),
        ("init_lora_weights", json!("pissa_niter_16"), "`pissa_niter_16`"),
        ("init_lora_weights", json!("olora"), "`olora`"),
        ("init_lora_weights", json!("corda"), "`corda`"),
        ("init_lora_weights", json!("loftq"), "`loftq`"),
        ("init_lora_weights", json!("lora_ga"), "`lora_ga`"),
        ("init_lora_weights", json!(7), "`7`"),
    ] {
        let folder = with_json("micro/lora-new", "adapter_config.json", |config| config[key] = value);
        let error = lora_refusal(folder.path(), SAFE);
        assert!(error.contains(word), "{key}: {error}");
    }
}

#[test]
fn adapters_that_left_their_base_alone_are_converted_however_they_began() {
    for began in [json!(null), json!(true), json!(false), json!("gaussian"), json!("eva"), json!("orthogonal")] {
        let folder = with_json("micro/lora-new", "adapter_config.json", |config| config["init_lora_weights"] = began);
        let (adapter, output) = (folder.path().to_owned(), folder.path().join("out.gguf"));
        let options = LoraOptions { adapter, base: fixture(SAFE), output, dtype: Dtype::F32 };
        convert_lora(&options, &mut ()).unwrap();
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let error =
        lora_refusal(copy("micro/lora-new", tempfile::tempdir().unwrap().path()).as_path(), "tiny/hf-safetensors");
    assert!(error.contains("this base and rank need"), "{error}");
    const WEIGHTS: &str = "adapter_model.safetensors";
    let with = |change: fn(&mut HashMap<String, TensorView>)| {
        with_bytes("micro/lora-new", WEIGHTS, |bytes| {
            let tensors = SafeTensors::deserialize(bytes).unwrap();
            let mut views: HashMap<String, TensorView> = tensors.tensors().into_iter().collect();
            change(&mut views);
            *bytes = safetensors::serialize(views, None).unwrap();
        })
    };
    const FIRST: &str = "base_model.model.gpt_neox.layers.0.attention.query_key_value.lora_A.weight";
    for (change, word) in [
        (
            (|views| {
                views.remove(FIRST);
            }) as fn(&mut HashMap<String, TensorView>),
            "only one of its two",
        ),
        (|views| rename(views, "layers.0", "layers.9"), "does not have"),
        (|views| rename(views, "query_key_value", "q_proj"), "does not have"),
        (|views| rename(views, "lora_A", "lora_magnitude_vector"), "DoRA"),
        (|views| rename(views, "lora_A", "lora_embedding_A"), "embedding"),
        (|views| rename(views, "lora_A", "bias"), "no LoRA factor"),
        (|views| views.clear(), "no tensors"),
    ] {
        let error = lora_refusal(with(change).path(), SAFE);
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn llama_adapters_on_other_modules_or_of_other_shapes_are_refused() {
    const LLAMA: &str = "llama/hf-safetensors";
    type Change = fn(&mut HashMap<String, TensorView>);
    let changed = |change: Change| {
        with_bytes("llama/lora-new", "adapter_model.safetensors", |bytes| {
            let copy = bytes.clone();
            let tensors = SafeTensors::deserialize(&copy).unwrap();
            let mut views: HashMap<String, TensorView> = tensors.tensors().into_iter().collect();
            change(&mut views);
            *bytes = safetensors::serialize(views, None).unwrap();
        })
    };
    let cases: [(Change, &str); 8] = [
        (|views| rename(views, "self_attn.q_proj", "self_attn.qkv_proj"), "qkv_proj"),
        (|views| rename(views, "mlp.gate_proj", "mlp.experts"), "it has self_attn.q_proj"),
        (|views| rename(views, "model.layers.0.self_attn.q_proj", "lm_head"), "layer of Llama"),
        (|views| rename(views, "layers.1", "layers.2"), "with 2 layers"),
        (|views| rename(views, "v_proj.lora_A", "v_proj.lora_magnitude_vector"), "DoRA"),
        (|views| rename(views, "down_proj", "modules_to_save.down_proj"), "retrained module"),
        (|views| rename(views, "k_proj.lora_B", "q_proj.lora_B"), "shape"),
        (|views| views.retain(|name, _| !name.contains("lora_B")), "only one of its two"),
    ];
    for (change, word) in cases {
        let error = lora_refusal(changed(change).path(), LLAMA);
        assert!(error.contains(word), "{word}: {error}");
    }
    for (key, value) in [("use_dora", json!(true)), ("rank_pattern", json!({"q_proj": 8})), ("bias", json!("all"))] {
        let folder = with_json("llama/lora-new", "adapter_config.json", |config| config[key] = value);
        assert!(lora_refusal(folder.path(), LLAMA).contains(key), "{key}");
    }
    // Adapters and bases of different families, and a base that no adapter is converted for.
    assert!(lora_refusal(&fixture("micro/lora-new"), LLAMA).contains("layer of Llama"));
    assert!(lora_refusal(&fixture("llama/lora-new"), SAFE).contains("layer of GPT-NeoX"));
    let mistral = with_json(LLAMA, "config.json", |config| config["model_type"] = json!("mistral"));
    assert!(lora_refusal(&fixture("llama/lora-new"), mistral.path().to_str().unwrap()).contains("`mistral`"));
}

fn rename(views: &mut HashMap<String, TensorView>, from: &str, to: &str) {
    let name = views.keys().find(|name| name.contains(from)).unwrap().clone();
    if let Some(view) = views.remove(&name) {
        views.insert(name.replace(from, to), view);
    }
}

type Plans = Vec<TensorPlan>;
type Change = fn(&mut Plans);

fn gguf(folder: &Path, change: impl FnOnce(&mut Metadata, &mut Plans)) -> PathBuf {
    let mut metadata = GgufFile::open(&fixture("micro/gguf/model-f16.gguf")).unwrap().metadata;
    let mut plans = vec![TensorPlan { name: "token_embd.weight".into(), dims: vec![64, 2], kind: GgmlType::F32 }];
    change(&mut metadata, &mut plans);
    made(folder.join("made.gguf"), &metadata, &plans)
}

/// A LoRA for two layers, all its values 0.
fn adapter(folder: &Path, change: impl FnOnce(&mut Metadata, &mut Plans)) -> PathBuf {
    let file = GgufFile::open(&fixture("micro/gguf/lora-f32.gguf")).unwrap();
    let plan =
        |tensor: &TensorRecord| TensorPlan { name: tensor.name.clone(), dims: tensor.dims.clone(), kind: tensor.kind };
    let mut metadata = file.metadata.clone();
    let mut plans: Plans = file.tensors.iter().map(plan).collect();
    change(&mut metadata, &mut plans);
    made(folder.join("adapter.gguf"), &metadata, &plans)
}

fn made(path: PathBuf, metadata: &Metadata, plans: &[TensorPlan]) -> PathBuf {
    let mut writer = GgufWriter::create(&path, metadata, plans).unwrap();
    for plan in plans {
        writer.begin(&plan.name).unwrap();
        writer.write(&vec![0; plan.bytes().unwrap() as usize]).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// What would end the process inside llama.cpp is an error before it gets there.
#[test]
fn models_that_llama_cpp_would_die_of_are_refused_before_it_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    preflight(&gguf(folder.path(), |_, _| {})).unwrap();
    let doubled = |metadata: &mut Metadata, _: &mut Plans| {
        metadata.set("tokenizer.ggml.tokens", MetaValue::Array(MetaArray::Text(vec!["a".into(), "a".into()])));
    };
    let set =
        |key: &'static str, value: MetaValue| move |metadata: &mut Metadata, _: &mut Plans| metadata.set(key, value);
    let complaint = |path: PathBuf| preflight(&path).unwrap_err().to_string();
    assert!(complaint(gguf(folder.path(), doubled)).contains("twice"));
    // llama.cpp names empty tokens by their places, and so they may be many.
    let tokens = |tokens: [&str; 3]| MetaValue::Array(MetaArray::Text(tokens.map(str::to_owned).to_vec()));
    let vocabulary = |words: MetaValue| {
        move |metadata: &mut Metadata, _: &mut Plans| {
            metadata.0.retain(|(key, _)| !key.starts_with("tokenizer."));
            metadata.set("tokenizer.ggml.tokens", words);
        }
    };
    preflight(&gguf(folder.path(), vocabulary(tokens(["", "a", ""])))).unwrap();
    assert!(complaint(gguf(folder.path(), vocabulary(tokens(["", "a", "[EMPTY_0]"])))).contains("`[EMPTY_0]` twice"));
    for (key, value, word) in [
        ("gptneox.block_count", MetaValue::U32(0), "block_count"),
        ("gptneox.block_count", MetaValue::U32(513), "block_count"),
        ("gptneox.block_count", MetaValue::Text("2".into()), "block_count"),
        ("gptneox.attention.head_count", MetaValue::U32(0), "head_count"),
        ("gptneox.expert_count", MetaValue::U32(9), "experts"),
        ("general.architecture", MetaValue::Text("../x".into()), "architecture"),
        ("general.type", MetaValue::Text("mmproj".into()), "mmproj"),
        ("tokenizer.ggml.eos_token_id", MetaValue::U32(512), "eos"),
        ("tokenizer.ggml.token_type", MetaValue::Array(MetaArray::I32(vec![1])), "token types"),
    ] {
        let error = complaint(gguf(folder.path(), set(key, value)));
        assert!(error.contains(word), "{key}: {error}");
    }
    assert!(complaint(fixture("micro/gguf/lora-f32.gguf")).contains("adapter"));
}

/// Names, codes, values and bytes of a block, after ggml.h and ggml-common.h.
#[test]
fn tensors_in_all_of_ggmls_stored_types_are_measured_as_ggml_does() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code, block, bytes) in [
        ("IQ2_XXS", 16, 256, 2 + 64),
        ("IQ2_XS", 17, 256, 2 + 64 + 8),
        ("IQ3_XXS", 18, 256, 2 + 96),
        ("IQ1_S", 19, 256, 2 + 32 + 16),
        ("IQ3_S", 21, 256, 2 + 104 + 4),
        ("IQ2_S", 22, 256, 2 + 64 + 16),
        ("IQ1_M", 29, 256, 32 + 16 + 8),
        ("TQ1_0", 34, 256, 2 + 4 + 48),
        ("TQ2_0", 35, 256, 2 + 64),
        ("MXFP4", 39, 32, 1 + 16),
        ("NVFP4", 40, 64, 4 + 32),
        ("Q1_0", 41, 128, 2 + 16),
        ("Q2_0", 42, 64, 2 + 16),
    ] {
        let kind = GgmlType::from_code(code);
        assert_eq!((kind.name().as_str(), kind.code()), (name, code));
        assert_eq!((kind.bytes(4 * block), kind.bytes(block - 1)), (Some(4 * bytes), None), "{name}");
        let file = preflight(&gguf(folder.path(), |_, plans| {
            plans[0] = TensorPlan { name: "token_embd.weight".into(), dims: vec![block, 2], kind };
        }));
        assert_eq!(file.unwrap().tensors[0].bytes, 2 * bytes, "{name}");
    }
}

#[test]
fn adapters_that_llama_cpp_would_die_of_are_refused_before_it_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    preflight_adapter(&fixture("micro/gguf/lora-f32.gguf")).unwrap();
    preflight_adapter(&adapter(folder.path(), |metadata, _| metadata.remove("adapter.lora.alpha"))).unwrap();
    let complaint = |path: &Path| preflight_adapter(path).unwrap_err().to_string();
    for (key, value, word) in [
        ("adapter.lora.alpha", MetaValue::F64(32.0), "adapter.lora.alpha"),
        ("adapter.lora.alpha", MetaValue::U32(32), "adapter.lora.alpha"),
        ("adapter.lora.alpha", MetaValue::Text("32".into()), "adapter.lora.alpha"),
        ("adapter.lora.alpha", MetaValue::F32(f32::NAN), "adapter.lora.alpha"),
        ("adapter.type", MetaValue::U32(1), "LoRA adapter"),
        ("adapter.type", MetaValue::Text("mora".into()), "LoRA adapter"),
        ("general.type", MetaValue::Bool(true), "LoRA adapter"),
        ("general.architecture", MetaValue::I32(3), "general.architecture"),
    ] {
        let error = complaint(&adapter(folder.path(), |metadata, _| metadata.set(key, value)));
        assert!(error.contains(word), "{key}: {error}");
    }
    let changes: [(Change, &str); 8] = [
        (|plans| plans.clear(), "no LoRA factors"),
        (|plans| drop(plans.remove(0)), "other factor"),
        (|plans| drop(plans.remove(1)), "other factor"),
        (|plans| plans[0].name.push('x'), "no LoRA factor"),
        (|plans| plans[0].kind = GgmlType::I8, "I8"),
        (|plans| plans[0].kind = GgmlType::Q4_0, "Q4_0"),
        (|plans| plans[1].dims.push(2), "no matrix"),
        (|plans| plans[0].dims[1] = 8, "rank 8"),
    ];
    for (change, word) in changes {
        let error = complaint(&adapter(folder.path(), |_, plans| change(plans)));
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(complaint(&gguf(folder.path(), |_, _| {})).contains("a model is no adapter"));
}

#[test]
fn damaged_gguf_headers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("micro/gguf/model-f16.gguf")).unwrap();
    let path = folder.path().join("x.gguf");
    let complaint = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        GgufFile::open(&path).unwrap_err().to_string()
    };
    for length in (0..whole.len() - 1).step_by(997) {
        let error = complaint(&whole[..length]);
        assert!(
            ["empty", "early", "cut short", "declares"].iter().any(|word| error.contains(word)),
            "{length}: {error}"
        );
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    assert!(complaint(&with(0, b"GGML")).contains("begin"));
    assert!(complaint(&with(4, &1_u32.to_le_bytes())).contains("version 1"));
    assert!(complaint(&with(4, &3_u32.to_be_bytes())).contains("version"));
    assert!(complaint(&with(8, &u64::MAX.to_le_bytes())).contains("declares"));
    assert!(complaint(&with(16, &u64::MAX.to_le_bytes())).contains("declares"));
    assert!(complaint(&with(24, &u64::MAX.to_le_bytes())).contains("early"));

    // The second of two tensors is moved onto the first.
    let two = gguf(folder.path(), |_, plans| {
        plans.push(TensorPlan { name: "output.weight".into(), dims: vec![64, 2], kind: GgmlType::F32 });
    });
    let mut bytes = std::fs::read(two).unwrap();
    let name = bytes.windows(13).position(|name| name == b"output.weight").unwrap();
    let offset = name + 13 + 4 + 16 + 4;
    assert_eq!(bytes[offset..offset + 8], 512_u64.to_le_bytes());
    bytes[offset..offset + 8].copy_from_slice(&0_u64.to_le_bytes());
    assert!(complaint(&bytes).contains("overlap"));
    bytes[offset..offset + 8].copy_from_slice(&(1_u64 << 62).to_le_bytes());
    assert!(complaint(&bytes).contains("beyond the end"));
    bytes[offset - 20..offset - 12].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    assert!(complaint(&bytes).contains("impossible"));
}
