//! Whether what lanes hold can be checked against what their logs give.
#![cfg(feature = "llama")]

mod support;

use std::time::{Duration, Instant};

use friend_gguf::backend::{Backend, Batch, LaneId};
use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::llama::{LlamaBackend, load_model, open};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{EngineConfig, KvLayout, OwnerId, Piece, Prompt, Request, Sampling, Stop};
use support::micro_f32;

fn request(owner: u64) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template("You are Arthur.\n")],
            turns: vec![vec![Piece::plain(format!("Person: number {owner}"))]],
            tail: vec![Piece::template("\nYou:")],
            ..Prompt::default()
        },
        sampling: Sampling { do_sample: false, ..Sampling::default() },
        stop: Stop::default(),
        min_new_tokens: 0,
        max_new_tokens: 8,
        seed: 5,
        time_limit: Duration::from_secs(60),
    }
}

#[test]
fn what_lanes_hold_is_what_their_logs_give_computed_anew_and_a_foreign_token_shows() {
    for kv_layout in [KvLayout::Unified, KvLayout::Split] {
        let config = EngineConfig {
            context_tokens: 128,
            slots: 4,
            lanes: 8,
            kv_tokens: 256 * 25,
            batch_tokens: 32,
            threads: 1,
            kv_layout,
            ..EngineConfig::for_model(micro_f32())
        };
        let model = load_model(&config.model, 0).expect("a model");
        let backend = LlamaBackend::new(open(&model, None, &config).expect("a context"));
        let settings = Settings {
            slots: 4,
            rows: 4,
            prompts: 4,
            prefixes: 2,
            parallel_rows: usize::MAX,
            inter_token_target: config.inter_token_target,
            host_bytes: 0,
        };
        let mut batcher = Batcher::new(backend, settings);
        let mailbox = Mailbox::new(8);
        let ask = |owner| mailbox.submit(request(owner), Instant::now()).expect("accepted");
        let _tickets: Vec<_> = (0..4).map(ask).collect();
        mailbox.take(false).jobs.into_iter().for_each(|job| batcher.accept(job));
        while !batcher.is_idle() {
            batcher.step(Instant::now());
        }
        batcher.check().expect("lengths that agree");
        assert!(batcher.recompute().expect("logits") < 0.05);
        // A token in the middle of a lane that its log does not name.
        let backend = batcher.backend();
        let lane = (0..8).map(LaneId).find(|lane| backend.len(*lane) > 10).expect("a conversation");
        let (held, limits) = (backend.len(lane), backend.limits());
        backend.truncate(lane, 5);
        let mut batch = Batch::new(limits);
        for _ in 5..held {
            batch.push(lane, 5, 9, false).expect("room");
        }
        backend.decode(&batch).expect("computed");
        batcher.check().expect("lengths still agree");
        assert!(batcher.recompute().expect("logits") > 0.2);
        batcher.check().expect("it left the lanes as their logs say");
    }
}
