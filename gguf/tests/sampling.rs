//! The native sampler beside Hugging Face's processors on the same logits (fixture: `make_sampler_fixture.py`).

use friend_gguf::request::Sampling;
use friend_gguf::sampler::Sampler;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    vocabulary: u64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    seed: u64,
    repetition_penalty: f32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    history: Vec<u32>,
    masked: Vec<u32>,
    kept: usize,
    first: Vec<(u32, f64)>,
}

/// The maker's formula.
fn logits(seed: u64, vocabulary: u64) -> Vec<f32> {
    let value = |i: u64| ((i * 7919 + seed * 104_729 + i * i % 4099) % 10_007) as f64 / 10_007.0 * 24.0 - 12.0;
    (0..vocabulary).map(|i| value(i) as f32).collect()
}

#[test]
fn probabilities_equal_hugging_faces_to_a_millionth() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/sampler.json")).expect("the fixture");
    assert!(fixture.cases.len() >= 8);
    for case in fixture.cases {
        let sampling = Sampling {
            repetition_penalty: case.repetition_penalty,
            temperature: case.temperature,
            top_k: case.top_k,
            top_p: case.top_p,
            do_sample: true,
        };
        let logits = logits(case.seed, fixture.vocabulary);
        let mut sampler = Sampler::new(sampling, 0, logits.len());
        sampler.observe(&case.history);
        let kept = sampler.distribution(&logits, |token| case.masked.contains(&token));
        assert_eq!(kept.len(), case.kept, "tokens kept, case {}", case.seed);
        for ((probability, token), (expected_token, expected)) in kept.iter().zip(&case.first) {
            assert_eq!(token, expected_token, "case {}", case.seed);
            assert!(
                (f64::from(*probability) - expected).abs() < 1e-6,
                "case {}: {probability} for {expected}",
                case.seed
            );
        }
    }
}
