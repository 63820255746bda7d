//! Every parser over damaged copies of good inputs: none may panic, hang, or take memory that the input does not justify.
//! The same entry points are fuzz targets in `fuzz/`.

mod support;

use std::time::{Duration, Instant};

use friend_gguf::convert::parsers::PARSERS;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::fixture;

/// Good inputs of a parser.
fn seeds(parser: &str) -> Vec<Vec<u8>> {
    let read = |path: &str| std::fs::read(fixture(path)).unwrap();
    match parser {
        "gguf" => vec![read("micro/gguf/lora-f32.gguf"), cut_after_header(&read("micro/gguf/model-f16.gguf"))],
        "safetensors" => {
            let whole = read("micro/lora-new/adapter_model.safetensors");
            let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
            vec![whole[8..8 + length].to_vec()]
        }
        "zip" => vec![read("micro/lora-old/adapter_model.bin")],
        "pickle" => vec![
            pickle_in(&read("micro/lora-old/adapter_model.bin")),
            pickle_in(&read("micro/hf-bin/pytorch_model.bin")),
        ],
        "shard_index" => vec![read("micro/hf-bin-sharded/pytorch_model.bin.index.json")],
        "model_config" => vec![
            read("micro/hf-bin/config.json"),
            read("micro/hf-safetensors-v5/config.json"),
            read("llama/hf-safetensors/config.json"),
        ],
        "tokenizer" => vec![read("micro/hf-bin/tokenizer.json")],
        "adapter_config" => {
            vec![read("micro/lora-new/adapter_config.json"), read("micro/lora-old/adapter_config.json")]
        }
        "friend_adapter" => {
            let sha = "0123456789abcdef".repeat(4);
            let said = format!(r#"{{"name": "x", "licence": "MIT", "commercial": false, "base_sha256": "{sha}"}}"#);
            vec![said.into_bytes(), br#"{"template": "chat", "data": "letters", "recipe": "rank 8"}"#.to_vec()]
        }
        "expected" => vec![read("micro/expected/expected.json")],
        "chat_template" => vec![
            b"{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + \
              '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
                .to_vec(),
        ],
        "importance" => {
            vec![friend_gguf::convert::Importance::shipped_bytes("smollm2-135m-instruct").unwrap_or_default().to_vec()]
        }
        "catalogue" => vec![friend_gguf::catalogue::SHIPPED.as_bytes().to_vec()],
        other => panic!("{other} has no seeds: give it some"),
    }
}

/// The first 64 kB: enough for the whole header of the micro model.
fn cut_after_header(file: &[u8]) -> Vec<u8> {
    file[..file.len().min(1 << 16)].to_vec()
}

/// `data.pkl` lies first in PyTorch's archives, stored: between the end of its local header and the next one.
fn pickle_in(archive: &[u8]) -> Vec<u8> {
    let start = archive.windows(2).position(|two| two == [0x80, 2]).unwrap();
    let end = archive[start..].windows(4).position(|four| four == b"PK\x07\x08" || four == b"PK\x03\x04").unwrap();
    archive[start..start + end].to_vec()
}

fn mutate(seed: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes[at] = *[0, 1, 0x7F, 0x80, 0xFF, b'(', b'"', b'.'].choose(random).unwrap(),
            // A count or length of eight, four or one bytes, as large as it gets.
            3 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xFF),
            4 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0x7F),
            5 => drop(bytes.drain(at..(at + random.random_range(1..64)).min(bytes.len()))),
            6 => {
                let from = random.random_range(0..bytes.len());
                let piece = bytes[from..(from + 48).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                // Another number in a text.
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    let digits = *["0", "-1", "1e308", "18446744073709551615", "4294967296"].choose(random).unwrap();
                    bytes.splice(at + digit..=at + digit, digits.bytes());
                }
            }
        }
    }
    bytes
}

/// Most memory that this process has held, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

const ROUNDS: usize = 4000;

#[test]
fn damaged_inputs_are_refused_in_time_and_within_memory() {
    let mut refused = 0;
    for (name, parse) in PARSERS {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for seed in seeds(name) {
            let limit = peak_memory() + (64 << 20);
            for round in 0..ROUNDS {
                let bytes = mutate(&seed, &mut random);
                let started = Instant::now();
                refused += usize::from(parse(&bytes).is_err());
                assert!(started.elapsed() < Duration::from_secs(5), "{name}, round {round}: a hang");
                assert!(peak_memory() < limit, "{name}, round {round}: {} bytes for {}", peak_memory(), bytes.len());
            }
        }
    }
    assert!(refused > PARSERS.len() * ROUNDS / 4, "{refused} refused: the mutations reach nothing");
}

#[test]
fn undamaged_inputs_are_accepted() {
    for (name, parse) in PARSERS {
        for seed in seeds(name) {
            let accepted = parse(&seed);
            // The seeds of these two are cut after what their parser reads, whose check of the whole file then objects.
            let cut = ["gguf", "safetensors"].contains(&name)
                && accepted.as_ref().is_err_and(|error| error.contains("cut short"));
            assert!(accepted.is_ok() || cut, "{name}: {accepted:?}");
        }
    }
}

#[test]
fn every_parser_has_a_fuzz_target() {
    let targets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(targets)
        .unwrap()
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    let mut expected: Vec<String> = PARSERS.iter().map(|(name, _)| format!("{name}.rs")).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
}
