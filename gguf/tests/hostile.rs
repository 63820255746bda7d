//! Checkpoints that are broken, or made to break their reader: each is refused with a reason, and nothing is left behind.

mod support;

use std::collections::HashMap;
use std::path::Path;

use friend_gguf::convert::{Dtype, ModelOptions, convert_model, parsers};
use safetensors::tensor::{Dtype as SafeDtype, SafeTensors, TensorView};
use serde_json::{Value, json};
use support::{fixture, spoilt, with_bytes, with_json};

/// Converts a folder that must be refused; the reason.
fn refusal(folder: &Path) -> String {
    let output = folder.join("out.gguf");
    let options = ModelOptions { folder: folder.to_owned(), output: output.clone(), dtype: Dtype::F16 };
    let error = convert_model(&options, &mut ()).expect_err("this should be refused").to_string();
    assert!(!output.exists() && !folder.join("out.gguf.partial").exists(), "{error}: something was left");
    error
}

#[track_caller]
fn refused(folder: &Path, word: &str) {
    let error = refusal(folder);
    assert!(error.contains(word), "`{error}` should name `{word}`");
}

const SAFE: &str = "micro/hf-safetensors";
const FILE: &str = "model.safetensors";

#[test]
fn cut_empty_or_huge_safetensors_are_refused() {
    refused(with_bytes(SAFE, FILE, Vec::clear).path(), "empty");
    for length in [4, 100, 3000, 300_000] {
        refused(with_bytes(SAFE, FILE, |bytes| bytes.truncate(length)).path(), "cut short");
    }
    refused(with_bytes(SAFE, FILE, |bytes| bytes[..8].fill(0xFF)).path(), "cut short");
    refused(with_bytes(SAFE, FILE, |bytes| bytes.extend([0; 64])).path(), "damaged");
    let folder = spoilt(SAFE, |folder| {
        std::fs::remove_file(folder.join(FILE)).unwrap();
        std::fs::create_dir(folder.join(FILE)).unwrap();
    });
    refused(folder.path(), "directory");
    refused(spoilt(SAFE, |folder| std::fs::remove_file(folder.join(FILE)).unwrap()).path(), "no weights");
    let error = refusal(&fixture("micro/gguf/manifest.json"));
    assert!(error.contains("name the folder"), "{error}");
}

#[test]
fn overlapping_safetensors_are_refused() {
    // The header's offsets are moved onto each other, its length kept.
    let folder = with_bytes(SAFE, FILE, |bytes| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
        let at = header.find("\"data_offsets\":[").unwrap() + 16;
        let second = header[at..].find("\"data_offsets\":[").unwrap() + at + 16;
        let end = header[at..].find(']').unwrap();
        let mut changed = header.clone();
        let width = header[second..].find(']').unwrap();
        changed.replace_range(second..second + width, &format!("{:>width$}", &header[at..at + end.min(width)]));
        bytes[8..8 + length].copy_from_slice(&changed.into_bytes()[..length]);
    });
    refused(folder.path(), "safetensors");
}

#[test]
fn a_tensor_without_values_is_refused_however_large_its_other_dimensions_are() {
    for shape in ["[0]", "[0, 1099511627776, 1099511627776]", "[0, 4, 1099511627776, 1099511627776]"] {
        let header = format!(r#"{{"hole": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, 0]}}}}"#);
        let error = parsers::safetensors(header.as_bytes()).expect_err("this should be refused");
        assert!(error.contains("`hole`") && error.contains("dimension of 0"), "{shape}: {error}");
    }
}

/// The micro checkpoint with one tensor replaced.
fn with_tensor(name: &str, dtype: SafeDtype, shape: &[usize], data: &[u8]) -> tempfile::TempDir {
    with_bytes(SAFE, FILE, |bytes| {
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let mut views: HashMap<String, TensorView> = tensors.tensors().into_iter().collect();
        views.insert(name.to_owned(), TensorView::new(dtype, shape.to_vec(), data).unwrap());
        *bytes = safetensors::serialize(views, None).unwrap();
    })
}

#[test]
fn tensors_that_are_no_weights_are_refused_by_name() {
    const NORM: &str = "gpt_neox.layers.1.input_layernorm.weight";
    let floats = |value: f32| [value; 64].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    for value in [f32::NAN, f32::INFINITY] {
        let error = refusal(with_tensor(NORM, SafeDtype::F32, &[64], &floats(value)).path());
        assert!(error.contains(NORM) && error.contains("diverged"), "{error}");
    }
    let error = refusal(with_tensor(NORM, SafeDtype::I64, &[64], &[0; 512]).path());
    assert!(error.contains(NORM) && error.contains("no weight"), "{error}");
    let error = refusal(with_tensor(NORM, SafeDtype::F32, &[32, 2], &floats(1.0)).path());
    assert!(error.contains("[32, 2]") && error.contains("[64]"), "{error}");
    refused(
        with_tensor("gpt_neox.layers.2.input_layernorm.weight", SafeDtype::F32, &[64], &floats(1.0)).path(),
        "no part",
    );
    let huge = [1e30_f32; 64 * 512].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    refused(with_tensor("embed_out.weight", SafeDtype::F32, &[512, 64], &huge).path(), "--dtype f32");
}

#[test]
fn a_config_that_cannot_be_followed_is_refused() {
    let set = |key: &'static str, value: Value| with_json(SAFE, "config.json", move |config| config[key] = value);
    refused(set("model_type", json!("llama")).path(), "`llama`");
    refused(set("hidden_size", json!(1_u64 << 60)).path(), "hidden_size");
    refused(set("num_attention_heads", json!(0)).path(), "num_attention_heads");
    refused(set("num_attention_heads", json!(5)).path(), "multiple");
    refused(set("num_hidden_layers", json!(3)).path(), "missing from the checkpoint");
    refused(set("num_hidden_layers", json!(1)).path(), "no part");
    refused(set("rotary_pct", Value::Null).path(), "positions are rotated");
    refused(set("rotary_pct", json!(1.5)).path(), "positions are rotated");
    refused(set("vocab_size", json!(511)).path(), "[511, 64]");
    refused(set("tie_word_embeddings", json!(true)).path(), "tie_word_embeddings");
    refused(set("rope_scaling", json!({"type": "linear"})).path(), "rope_scaling");
    refused(set("hidden_act", json!("relu")).path(), "relu");
    refused(with_bytes(SAFE, "config.json", |bytes| bytes.truncate(40)).path(), "EOF");
    refused(with_bytes(SAFE, "tokenizer.json", Vec::clear).path(), "empty");
    refused(with_json(SAFE, "tokenizer.json", |file| file["model"]["type"] = json!("Unigram")).path(), "byte-level");
    refused(with_json(SAFE, "tokenizer.json", |file| file["model"]["vocab"]["zzz"] = json!(600)).path(), "600");
    refused(with_json(SAFE, "tokenizer.json", |file| file["model"]["vocab"]["zzz"] = json!(7)).path(), "share the id");
}

#[test]
fn shard_indices_cannot_lead_out_of_their_folder() {
    const INDEX: &str = "pytorch_model.bin.index.json";
    const SHARDED: &str = "micro/hf-bin-sharded";
    let aimed = |place: &'static str| {
        with_json(SHARDED, INDEX, move |index| index["weight_map"]["embed_out.weight"] = json!(place))
    };
    for place in ["../secret.bin", "/etc/passwd", "sub/x.bin", "..\\x.bin", ".bin", "x.safetensors", "a\u{0}b.bin"] {
        refused(aimed(place).path(), "same folder");
    }
    refused(aimed("gone.bin").path(), "gone.bin");
    refused(aimed("pytorch_model-00001-of-00002.bin").path(), "does not place");
    let promised =
        with_json(SHARDED, INDEX, |index| index["weight_map"]["extra"] = json!("pytorch_model-00001-of-00002.bin"));
    refused(promised.path(), "promises");
    refused(with_json(SHARDED, INDEX, |index| index["weight_map"] = json!({})).path(), "0 shards");
}

/// A ZIP archive of stored entries, as PyTorch writes it.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let (start, size, length) = (out.len() as u32, (data.len() as u32).to_le_bytes(), name.len() as u16);
        let common =
            [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &size, &size, &length.to_le_bytes(), &[0, 0]].concat();
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &start.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, start) = ((entries.len() as u16).to_le_bytes(), out.len() as u32);
    out.extend(&directory);
    out.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            &count,
            &(directory.len() as u32).to_le_bytes(),
            &start.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

/// What is said of a checkpoint whose pickle is this.
fn pickle_refusal(pickle: &[u8]) -> String {
    let archive = archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 64])]);
    refusal(with_bytes("micro/hf-bin", "pytorch_model.bin", |bytes| *bytes = archive).path())
}

#[test]
fn a_pickle_with_code_is_named_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("it-ran");
    let command = format!("touch {}", proof.display());
    let by_name = |global: &str| {
        let length = (command.len() as u32).to_le_bytes();
        [b"\x80\x02", global.as_bytes(), b"X", &length, command.as_bytes(), b"\x85R."].concat()
    };
    for (global, name) in [
        ("cos\nsystem\n", "os.system"),
        ("cposix\nsystem\n", "posix.system"),
        ("cbuiltins\neval\n", "builtins.eval"),
        ("c__builtin__\nexec\n", "__builtin__.exec"),
        ("csubprocess\nPopen\n", "subprocess.Popen"),
        ("ctorch\nload\n", "torch.load"),
        ("ctorch.storage\n_load_from_bytes\n", "torch.storage._load_from_bytes"),
        ("\u{8c}\u{2}os\u{8c}\u{6}system\u{93}", ""),
    ] {
        let error = pickle_refusal(&by_name(global));
        assert!(name.is_empty() || (error.contains(name) && error.contains("nothing was run")), "{name}: {error}");
    }
    // The same through STACK_GLOBAL, and through INST, OBJ and NEWOBJ, which no checkpoint uses.
    let stacked = [b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.".to_vec()].concat();
    assert!(pickle_refusal(&stacked).contains("os.system"));
    for opcode in [b'i', b'o', 0x81, 0x92, 0x82, b'P'] {
        let error = pickle_refusal(&[b"\x80\x02(".as_slice(), &[opcode], b"os\nsystem\n."].concat());
        assert!(error.contains("opcode"), "{error}");
    }
    assert!(!proof.exists(), "the pickle was run");
}

#[test]
fn broken_pickles_and_archives_are_refused() {
    for (pickle, word) in [
        (&b""[..], "ends early"),
        (b"\x80\x02", "ends early"),
        (b"\x80\x02.", "empty stack"),
        (b"\x80\x02].", "no dictionary"),
        (b"\x80\x02}X\xff\xff\xff\xffabc", "ends early"),
        (b"\x80\x02}(K\x01K\x02u.", "no text"),
        (b"\x80\x02}X\x01\0\0\0aK\x02s.", "no tensor"),
        (b"\x80\x02h\x09.", "never kept"),
        (b"\x80\x02t.", "mark"),
        (b"\x80\x02\x8a\xff.", "64 bits"),
        (b"\x80\x02)Q.", "no storage"),
        (b"\x80\x02)K\x01K\x02s.", "no dictionary"),
    ] {
        let error = pickle_refusal(pickle);
        assert!(error.contains(word), "{pickle:?}: {error}");
    }
    // A pickle that makes a value of each byte, and one that doubles a tuple sixty times.
    assert!(pickle_refusal(&[vec![b')'; 2 << 20], b".".to_vec()].concat()).contains("more than"));
    let doubling = [b"\x80\x02)".to_vec(), b"q\x00h\x00\x86".repeat(60), b".".to_vec()].concat();
    assert!(pickle_refusal(&doubling).contains("no dictionary"));

    let bin = |spoil: fn(&mut Vec<u8>)| with_bytes("micro/hf-bin", "pytorch_model.bin", spoil);
    refused(bin(Vec::clear).path(), "empty");
    refused(bin(|bytes| bytes.truncate(bytes.len() / 2)).path(), "cut short");
    refused(bin(|bytes| *bytes = b"\x80\x02}q\x00.".to_vec()).path(), "PyTorch 1.6");
    refused(bin(|bytes| *bytes = archive(&[("m/other", b"x")])).path(), "data.pkl");
    refused(bin(|bytes| *bytes = archive(&[("m/data.pkl", b"}."), ("m/byteorder", b"big")])).path(), "big-endian");
    let twice = bin(|bytes| *bytes = archive(&[("m/data.pkl", b"}."), ("m/data.pkl", b"}.")]));
    refused(twice.path(), "twice");
    // Two entries of the directory point at the same bytes; then one is marked as compressed.
    let overlapping = bin(|bytes| {
        *bytes = archive(&[("m/data.pkl", b"}."), ("m/data/0", &[0; 64]), ("m/data/1", &[0; 64])]);
        let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect();
        let start = bytes[places[1] + 42..places[1] + 46].to_vec();
        bytes[places[2] + 42..places[2] + 46].copy_from_slice(&start);
    });
    refused(overlapping.path(), "overlap");
    let compressed = bin(|bytes| {
        *bytes = archive(&[("m/data.pkl", b"}.")]);
        let at = (0..bytes.len()).find(|at| bytes[*at..].starts_with(b"PK\x01\x02")).unwrap();
        bytes[at + 10] = 8;
    });
    refused(compressed.path(), "compressed");
}

/// A one-tensor pickle: the storage `0` of 64 bytes, seen with this offset, shape and strides.
fn tensor_pickle(offset: u32, shape: [u32; 2], strides: [u32; 2]) -> Vec<u8> {
    let int = |value: u32| [b"J".as_slice(), &value.to_le_bytes()].concat();
    let pair = |pair: [u32; 2]| [int(pair[0]), int(pair[1]), b"\x86".to_vec()].concat();
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ";
    let head = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(";
    [head.to_vec(), storage.to_vec(), int(offset), pair(shape), pair(strides), b"\x89}tRs.".to_vec()].concat()
}

#[test]
fn tensors_of_a_pickle_stay_within_their_storage() {
    let error = pickle_refusal(&tensor_pickle(0, [4, 4], [4, 1]));
    assert!(error.contains("gpt_neox.embed_in.weight") && error.contains("missing"), "sound in itself: {error}");
    for (offset, shape, strides, word) in [
        (1, [4, 4], [4, 1], "beyond its storage"),
        (0, [5, 4], [4, 1], "beyond its storage"),
        (0, [0x7FFF_FFFF, 0x7FFF_FFFF], [0x7FFF_FFFF, 1], "beyond its storage"),
        (0, [4, 4], [1, 4], "contiguous"),
        (0, [4, 4], [2, 1], "overlap"),
        (0xFFFF_FFFF, [1, 1], [1, 1], "before its storage"),
        (0, [0, 4], [4, 1], "dimension of 0"),
        (0, [4, 0], [1, 1], "dimension of 0"),
    ] {
        let error = pickle_refusal(&tensor_pickle(offset, shape, strides));
        assert!(error.contains(word), "{offset} {shape:?} {strides:?}: {error}");
    }
}

#[test]
fn an_older_output_survives_a_failed_conversion() {
    let folder = with_bytes(SAFE, FILE, |bytes| bytes.truncate(300_000));
    let output = folder.path().join("out.gguf");
    std::fs::write(&output, b"an older model").unwrap();
    let options = ModelOptions { folder: folder.path().to_owned(), output: output.clone(), dtype: Dtype::F16 };
    convert_model(&options, &mut ()).unwrap_err();
    assert_eq!(std::fs::read(&output).unwrap(), b"an older model");
    // An unwritable place is told before anything is read at length.
    let options = ModelOptions { folder: fixture(SAFE), output: folder.path().to_owned(), dtype: Dtype::F16 };
    assert!(convert_model(&options, &mut ()).unwrap_err().to_string().contains("directory"));
    let options = ModelOptions { folder: fixture(SAFE), output: "/nowhere/at/all.gguf".into(), dtype: Dtype::F16 };
    assert!(convert_model(&options, &mut ()).unwrap_err().to_string().contains("/nowhere/at/all.gguf"));
}
