//! Quantising through llama.cpp: what comes out, and what is refused.
#![cfg(feature = "llama")]

mod support;

use std::path::Path;

use friend_gguf::convert::format::{GgmlType, GgufFile, GgufWriter, MetaValue, Metadata, TensorPlan};
use friend_gguf::convert::{Dtype, Importance, MergeOptions, Progress, QuantType, merge};
use friend_gguf::llama::{QuantizeOptions, quantize};
use support::{convert, fixture};

fn options(input: &Path, output: &Path, kind: &str) -> QuantizeOptions {
    QuantizeOptions {
        input: input.to_owned(),
        output: output.to_owned(),
        kind: kind.parse::<QuantType>().unwrap(),
        allow_requantize: false,
        importance: None,
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
fn a_quantised_base_is_merged_as_llama_cpp_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let input = convert("tiny/hf-safetensors", Dtype::F16, folder.path());
    let adapter = fixture("tiny/lora-new");
    for kind in ["Q4_0", "Q8_0"] {
        let at = |name: &str| folder.path().join(format!("{kind}{name}"));
        quantize(&options(&input, &at(".gguf"), kind), &mut ()).unwrap();
        quantize(
            &QuantizeOptions { allow_requantize: true, ..options(&at(".gguf"), &at("-theirs.gguf"), "F16") },
            &mut (),
        )
        .unwrap();
        // An adapter at scale 0 changes nothing: what is merged is the base alone.
        let ours = at("-ours.gguf");
        let (base, adapter) = (at(".gguf"), adapter.clone());
        merge(&MergeOptions { base, adapter, scale: 0.0, output: ours.clone(), dtype: Dtype::F16 }, &mut ()).unwrap();
        let (ours, theirs) = (GgufFile::open(&ours).unwrap(), GgufFile::open(&at("-theirs.gguf")).unwrap());
        for tensor in &theirs.tensors {
            let read = |file: &GgufFile| {
                let tensor = file.tensor(&tensor.name).unwrap();
                let mut bytes = vec![0; usize::try_from(tensor.bytes).unwrap()];
                file.read_at(tensor, 0, &mut bytes).unwrap();
                (tensor.kind, bytes)
            };
            // Nothing added to minus zero is zero.
            let (ours, theirs) = (read(&ours), read(&theirs));
            let zero = |pair: &[u8]| if pair == [0, 0x80] { [0, 0] } else { [pair[0], pair[1]] };
            assert_eq!(ours.0, theirs.0, "{}", tensor.name);
            assert!(ours.1.chunks(2).map(zero).eq(theirs.1.chunks(2).map(zero)), "{kind}: {}", tensor.name);
        }
    }
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

/// An importance matrix as a file: `(tensor's name, its type, its bytes)`.
fn matrix(folder: &Path, kind: &str, tensors: &[(&str, GgmlType, Vec<u8>)]) -> std::path::PathBuf {
    let path = folder.join("importance.gguf");
    let mut metadata = Metadata::default();
    metadata.set("general.type", MetaValue::Text(kind.to_owned()));
    let plan = |(name, kind, bytes): &(&str, GgmlType, Vec<u8>)| {
        let size = if *kind == GgmlType::F32 { 4 } else { 1 };
        TensorPlan { name: (*name).to_owned(), dims: vec![(bytes.len() / size) as u64], kind: *kind }
    };
    let plans: Vec<_> = tensors.iter().map(plan).collect();
    let mut writer = GgufWriter::create(&path, &metadata, &plans).unwrap();
    for (name, _, bytes) in tensors {
        writer.begin(name).unwrap();
        writer.write(bytes).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A tensor's values in a file of F32, or of another type by way of F32.
fn values(file: &Path, name: &str, folder: &Path) -> Vec<f32> {
    let plain = folder.join("plain.gguf");
    let half = QuantizeOptions { allow_requantize: true, ..options(file, &plain, "F16") };
    quantize(&half, &mut ()).unwrap();
    let file = GgufFile::open(&plain).unwrap();
    let tensor = file.tensor(name).unwrap();
    let mut bytes = vec![0; tensor.bytes as usize];
    file.read_at(tensor, 0, &mut bytes).unwrap();
    bytes.as_chunks::<2>().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
}

const GATE: &str = "blk.0.ffn_gate.weight";
const UP: &str = "blk.0.ffn_up.weight";
const INPUTS: usize = 64;

#[test]
fn quantising_by_importance_errs_less_where_it_matters_and_more_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (fixture("llama/gguf/model-f32.gguf"), folder.path().join("out.gguf"));
    // The first of every four inputs counts 32 times as much as the others: five octaves.
    let octaves: Vec<u8> = (0..INPUTS).map(|i| (if i % 4 == 0 { -128_i8 } else { -88 }).cast_unsigned()).collect();
    let path = matrix(folder.path(), "imatrix", &[("blk.0.ffn_gate.weight.octaves", GgmlType::I8, octaves)]);
    let importance = Some(Importance::open(&path).unwrap());
    for name in [GATE, UP] {
        let before = values(&input, name, folder.path());
        // Mean squares of what went wrong in the inputs that count, and in the others.
        let error = |importance: Option<Importance>| {
            quantize(&QuantizeOptions { importance, ..options(&input, &output, "Q4_0") }, &mut ()).unwrap();
            let after = values(&output, name, folder.path());
            let mut sums = [0.0_f64; 2];
            for (i, (before, after)) in before.iter().zip(&after).enumerate() {
                sums[usize::from(i % 4 != 0)] += f64::from(before - after).powi(2);
            }
            sums
        };
        let (plain, weighed) = (error(None), error(importance.clone()));
        assert!(weighed[0] < plain[0] * 0.8 && weighed[1] > weighed[0], "{name}: {plain:?}, then {weighed:?}");
    }
}

#[test]
fn llama_cpps_own_form_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let input = fixture("llama/gguf/model-f32.gguf");
    let below: Vec<i8> = (0..INPUTS as i8).map(|i| i % 7).collect();
    let octaves = below.iter().map(|octaves| (-128 + 8 * octaves).cast_unsigned()).collect();
    let sums = floats(below.iter().map(|octaves| 90.0 * f32::exp2(-f32::from(*octaves))));
    let made = |name: &str, tensors: &[(&str, GgmlType, Vec<u8>)]| {
        let importance = Importance::open(&matrix(folder.path(), "imatrix", tensors)).unwrap();
        let output = folder.path().join(name);
        quantize(&QuantizeOptions { importance: Some(importance), ..options(&input, &output, "Q4_0") }, &mut ())
            .unwrap();
        std::fs::read(output).unwrap()
    };
    let small = made("small.gguf", &[("blk.0.ffn_gate.weight.octaves", GgmlType::I8, octaves)]);
    let own = [
        ("blk.0.ffn_gate.weight.in_sum2", GgmlType::F32, sums.clone()),
        ("blk.0.ffn_gate.weight.counts", GgmlType::F32, floats([90.0])),
    ];
    assert!(small == made("own.gguf", &own));
}

#[test]
fn an_importance_matrix_that_does_not_fit_is_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (fixture("llama/gguf/model-f32.gguf"), folder.path().join("out.gguf"));
    let name = "blk.0.ffn_gate.weight.octaves";
    let sums = "blk.0.ffn_gate.weight.in_sum2";
    let counts = "blk.0.ffn_gate.weight.counts";
    for (kind, tensors, word) in [
        ("model", vec![(name, GgmlType::I8, vec![0; INPUTS])], "not `imatrix`"),
        ("imatrix", vec![("blk.0.ffn_gate.weight", GgmlType::I8, vec![0; INPUTS])], "no tensor that ends in"),
        ("imatrix", vec![(name, GgmlType::I8, vec![0; 32])], "another model's"),
        ("imatrix", vec![("blk.9.ffn_gate.weight.octaves", GgmlType::I8, vec![0; INPUTS])], "another model's"),
        ("imatrix", vec![(name, GgmlType::F32, floats([1.0; INPUTS]))], "no importances"),
        ("imatrix", vec![(sums, GgmlType::F32, floats([1.0; INPUTS]))], "no importances"),
        (
            "imatrix",
            vec![(sums, GgmlType::F32, floats([f32::NAN; INPUTS])), (counts, GgmlType::F32, floats([1.0]))],
            "no importances",
        ),
        (
            "imatrix",
            vec![(sums, GgmlType::F32, floats([1.0; INPUTS])), (counts, GgmlType::F32, floats([1.0; 7]))],
            "no importances",
        ),
    ] {
        let path = matrix(folder.path(), kind, &tensors);
        let refused = Importance::open(&path).and_then(|importance| {
            quantize(&QuantizeOptions { importance: Some(importance), ..options(&input, &output, "Q4_0") }, &mut ())
        });
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(Importance::open(&folder.path().join("none.gguf")).unwrap_err().to_string().contains("none.gguf"));
    assert!(!output.exists() && !folder.path().join("out.gguf.partial").exists());
}

#[test]
fn the_shipped_matrix_is_sound_and_covers_every_layer() {
    let importance = Importance::shipped("smollm2-135m-instruct").unwrap().unwrap();
    assert_eq!(format!("{importance:?}"), "Importance(120 matrices)");
    assert!(Importance::shipped("another").is_none());
}
