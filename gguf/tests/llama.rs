//! The engine over llama.cpp itself, with the tiny GPT-NeoX of the conversion fixtures: real tokens, real KV, real LoRA.
#![cfg(feature = "llama")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use friend_gguf::backend::{Backend, Batch, LaneId, Token};
use friend_gguf::convert::format::{MetaArray, MetaValue, Metadata};
use friend_gguf::llama::{LlamaBackend, StartError, load_model, open, start};
use friend_gguf::request::{
    Completion, Engine, EngineConfig, Finish, GenerateError, KvKeys, KvLayout, OwnerId, Piece, Prompt, Request,
    Sampling, Stop, SubmitError, Ticket,
};
use support::{fixture, micro_f32, with_keys};

fn config() -> EngineConfig {
    EngineConfig {
        context_tokens: 128,
        slots: 8,
        lanes: 8,
        kv_tokens: 768,
        batch_tokens: 32,
        queue: 16,
        threads: 1,
        ..EngineConfig::for_model(micro_f32())
    }
}

fn request(owner: u64, turn: &str) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template("You are Arthur.\n")],
            own: Vec::new(),
            turns: vec![vec![Piece::plain(turn)]],
            tail: vec![Piece::template("\nYou:")],
        },
        sampling: Sampling { do_sample: false, ..Sampling::default() },
        stop: Stop::default(),
        min_new_tokens: 0,
        max_new_tokens: 8,
        seed: 5,
        time_limit: Duration::from_secs(60),
    }
}

fn outcome(mut ticket: Ticket) -> Result<Completion, GenerateError> {
    let mut shown = String::new();
    while let Some(piece) = ticket.text.blocking_recv() {
        shown.push_str(&piece);
    }
    let outcome = ticket.done.blocking_recv().expect("exactly one outcome");
    if let Ok(answer) = &outcome {
        assert_eq!(answer.text, shown);
    }
    outcome
}

#[test]
fn a_user_gets_the_same_greedy_answer_in_a_crowd_as_alone() {
    let turn = |owner: u64| format!("Person: number {owner}{}", " and on".repeat(usize::try_from(owner).unwrap_or(0)));
    let crowd = start(config()).expect("an engine");
    let tickets: Vec<_> = (0..8).map(|owner| crowd.submit(request(owner, &turn(owner))).expect("accepted")).collect();
    let together: Vec<_> = tickets.into_iter().map(|ticket| outcome(ticket).expect("an answer")).collect();
    assert!(together.iter().skip(1).any(|answer| answer.usage.reused_tokens > 0), "the prefix is shared");
    for (owner, crowded) in (0..).zip(together) {
        let alone = start(config()).expect("an engine");
        let answer = outcome(alone.submit(request(owner, &turn(owner))).expect("accepted")).expect("an answer");
        assert_eq!(answer.text, crowded.text, "user {owner}");
        assert_eq!(answer.finish, Finish::Length);
    }
}

#[test]
fn turns_lanes_and_evictions_never_change_an_answer() {
    let engine = start(EngineConfig { slots: 2, lanes: 2, kv_tokens: 128, ..config() }).expect("an engine");
    let ask = |owner| {
        outcome(engine.submit(request(owner, &"hello there ".repeat(4))).expect("accepted")).expect("an answer")
    };
    let first = ask(1);
    let again = ask(1);
    assert!(again.usage.reused_tokens > first.usage.reused_tokens);
    assert_eq!(again.text, first.text);
    for owner in 2..9 {
        assert_eq!(ask(owner).text, first.text);
    }
    assert!(engine.status().evictions > 0);
    assert_eq!(ask(1).text, first.text);
    assert!(engine.status().restored > 0, "from memory");
    engine.forget(OwnerId(1));
    assert_eq!(ask(1).text, first.text);
}

#[test]
fn an_answer_is_the_same_however_many_threads_compute_its_steps() {
    // Long enough for trials of the other number.
    let ask = |threads| {
        let engine = start(EngineConfig { threads, ..config() }).expect("an engine");
        let long = Request { max_new_tokens: 90, ..request(1, "Person: tell me about the sea") };
        outcome(engine.submit(long).expect("accepted")).expect("an answer").text
    };
    assert_eq!(ask(1), ask(2));
}

/// The same set-up with a stream for each of 8 lanes and 16 prefixes, and a spare one.
fn split() -> EngineConfig {
    EngineConfig { kv_tokens: 256 * 25, kv_layout: KvLayout::Split, ..config() }
}

#[test]
fn split_streams_answer_like_one_pool_of_cells() {
    let answers = |config: EngineConfig| {
        let engine = start(config).expect("an engine");
        let mut said = Vec::new();
        // Two rounds, so that lanes are used again; every third user pauses, so that the lanes taking part have gaps.
        for round in 0..2 {
            let tickets: Vec<_> = (0..8)
                .filter(|owner| round == 0 || owner % 3 != 0)
                .map(|owner| {
                    let turn = format!("Person: number {owner}{}", " and on".repeat(round + 3));
                    engine.submit(request(owner, &turn)).expect("accepted")
                })
                .collect();
            said.extend(tickets.into_iter().map(|ticket| outcome(ticket).expect("an answer")));
        }
        said
    };
    let (pool, streams) = (answers(config()), answers(split()));
    assert!(streams.iter().skip(1).any(|answer| answer.usage.reused_tokens > 0), "the prefix is copied, not computed");
    let texts = |answers: &[Completion]| answers.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&pool), texts(&streams));
}

#[test]
fn lanes_that_are_brought_together_keep_what_they_hold() {
    // Greedy continuations of lanes with gaps between them, of which each has moved meanwhile or not.
    let continued = |config: &EngineConfig| {
        let model = load_model(&config.model, 0).expect("a model");
        let mut backend = LlamaBackend::new(open(&model, None, config).expect("a context"));
        let mut batch = Batch::new(backend.limits());
        let mut next: Vec<Token> = Vec::new();
        for lane in 0..24_u16 {
            batch.clear();
            for position in 0..6 {
                batch.push(LaneId(lane), 0, u32::from(lane) * 7 % 50 + position + 3, position == 5).expect("room");
            }
            backend.decode(&batch).expect("logits");
            next.push(likeliest(backend.logits(0)));
        }
        let mut said = Vec::new();
        for step in 0..80 {
            let talking: Vec<u16> = (0..24).filter(|lane| (lane + step / 40) % 3 == 0).collect();
            batch.clear();
            for lane in &talking {
                let held = backend.len(LaneId(*lane));
                batch.push(LaneId(*lane), held, next[usize::from(*lane)], true).expect("room");
            }
            backend.decode(&batch).expect("logits");
            for (row, lane) in talking.iter().enumerate() {
                next[usize::from(*lane)] = likeliest(backend.logits(row));
                said.push(next[usize::from(*lane)]);
            }
        }
        let held: Vec<usize> = (0..24).map(|lane| backend.len(LaneId(lane))).collect();
        (said, held, backend.moves())
    };
    let pool = continued(&EngineConfig { kv_tokens: 2048, ..config() });
    let streams = continued(&split());
    assert!(streams.2 > 0 && pool.2 == 0, "{} streams moved", streams.2);
    assert_eq!((pool.0, pool.1), (streams.0, streams.1));
}

#[test]
fn lanes_far_apart_come_to_be_computed_in_one_pass_over_the_weights() {
    let config = split();
    let model = load_model(&config.model, 0).expect("a model");
    let mut backend = LlamaBackend::new(open(&model, None, &config).expect("a context"));
    let mut batch = Batch::new(backend.limits());
    let mut passes = |lanes: &[u16]| {
        batch.clear();
        for lane in lanes {
            let held = backend.len(LaneId(*lane));
            batch.push(LaneId(*lane), held, 7, true).expect("room");
        }
        let before = backend.passes();
        backend.decode(&batch).expect("logits");
        backend.passes() - before
    };
    for lane in 0..24 {
        assert_eq!(passes(&[lane]), 1);
    }
    let apart: Vec<u16> = (0..24).step_by(6).collect();
    let passes: Vec<u64> = (0..40).map(|_| passes(&apart)).collect();
    // Gaps of five are too wide to be filled.
    assert!(passes[0] > 1 && passes.is_sorted_by(|one, next| one >= next) && passes.ends_with(&[1; 20]), "{passes:?}");
}

fn likeliest(logits: &[f32]) -> Token {
    let best = logits.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
    best.map_or(0, |(token, _)| u32::try_from(token).expect("a token"))
}

#[test]
fn split_streams_survive_evictions_and_too_few_cells_are_refused() {
    let engine = start(EngineConfig { slots: 2, lanes: 2, ..split() }).expect("an engine");
    let ask = |owner| {
        outcome(engine.submit(request(owner, &"hello there ".repeat(4))).expect("accepted")).expect("an answer").text
    };
    let first = ask(1);
    for owner in 2..24 {
        assert_eq!(ask(owner), first);
    }
    assert!(engine.status().evictions > 0);
    assert_eq!(ask(1), first);
    assert!(engine.status().restored > 0, "from memory");
    let error = start(EngineConfig { kv_tokens: 256 * 24, ..split() }).err().expect("an error").to_string();
    assert!(error.contains("needs 6400"), "{error}");
}

#[test]
fn cells_that_are_left_to_the_memory_suffice_for_every_slot() {
    for kv_layout in [KvLayout::Auto, KvLayout::Unified, KvLayout::Split] {
        let config = EngineConfig { kv_tokens: 0, kv_layout, ..config() };
        let model = load_model(&config.model, 0).expect("a model");
        let context = open(&model, None, &config).expect("a context");
        // A tiny model's streams fit into any memory.
        assert_eq!(context.split, kv_layout != KvLayout::Unified);
        let needed = if context.split { 256 * (8 + 16) } else { 128 };
        assert!(context.limits.cells >= needed, "{kv_layout:?}: {}", context.limits.cells);
    }
}

#[test]
fn keys_in_eight_bits_are_refused_where_heads_have_no_whole_block() {
    let error = start(EngineConfig { kv_keys: KvKeys::Q8_0, ..config() }).err().expect("an error").to_string();
    assert!(error.contains("multiple of 32"), "{error}");
}

#[test]
fn an_adapter_changes_answers_and_scale_zero_does_not() {
    let ask = |adapter| {
        let engine = start(EngineConfig { adapter, ..config() }).expect("an engine");
        outcome(engine.submit(request(1, "Person: tell me about the sea")).expect("accepted")).expect("an answer").text
    };
    let plain = ask(None);
    assert_eq!(ask(Some((fixture("micro/gguf/lora-f32.gguf"), 0.0))), plain);
    assert_ne!(ask(Some((fixture("micro/gguf/lora-f32.gguf"), 1.0))), plain);
}

#[test]
fn nothing_that_a_caller_sends_ends_the_process() {
    let engine = start(config()).expect("an engine");
    let hostile = ["", "\0\0", "\u{FFFF}\u{200B}", "<|endoftext|>", &"x ".repeat(100_000), &"🙂".repeat(5_000)];
    for (owner, text) in (0..).zip(hostile) {
        let result = outcome(engine.submit(request(owner, text)).expect("accepted"));
        assert!(matches!(result, Ok(_) | Err(GenerateError::PromptTooLong { .. })), "{result:?}");
    }
    let values = [
        Request { max_new_tokens: u32::MAX, ..request(20, "x") },
        Request { min_new_tokens: 9, ..request(21, "x") },
        Request { sampling: Sampling { temperature: 0.0, ..Sampling::default() }, ..request(22, "x") },
        Request { stop: Stop { strings: vec![String::new()], ..Stop::default() }, ..request(23, "x") },
        Request { stop: Stop { tokens: vec![u32::MAX; 99], ..Stop::default() }, ..request(24, "x") },
    ];
    for request in values {
        assert!(matches!(outcome(engine.submit(request).expect("accepted")), Err(GenerateError::Invalid(_))));
    }
    let empty = Request { prompt: Prompt::default(), ..request(30, "") };
    assert!(outcome(engine.submit(empty).expect("accepted")).is_err());
    let endless = Request { time_limit: Duration::MAX, seed: u64::MAX, ..request(31, "x") };
    assert!(outcome(engine.submit(endless).expect("accepted")).is_ok());
}

#[test]
fn a_word_of_many_thousand_letters_does_not_overflow_the_engines_stack() {
    // llama.cpp splits this tokenizer's texts with std::regex, which recurses for each letter.
    let split_by_regex = |metadata: &mut Metadata| {
        metadata.set("tokenizer.ggml.pre", MetaValue::Text("tekken".into()));
        metadata.set("gptneox.context_length", MetaValue::U32(8192));
    };
    let folder = tempfile::tempdir().expect("a folder");
    let model = with_keys(&micro_f32(), folder.path().join("tekken.gguf"), split_by_regex);
    let config = EngineConfig { model, slots: 1, lanes: 1, context_tokens: 8192, kv_tokens: 8192, ..config() };
    let engine = start(config).expect("an engine");
    // Its vocabulary has no piece with two of them, so that they are too many tokens, which is known once they are split.
    let long = outcome(engine.submit(request(1, &"z".repeat(30_000))).expect("accepted"));
    assert!(matches!(long, Err(GenerateError::PromptTooLong { needed, .. }) if needed > 30_000), "{long:?}");
    outcome(engine.submit(request(1, "hello there")).expect("accepted")).expect("an answer");
}

#[test]
fn a_model_with_a_sliding_window_gets_a_stream_for_each_lane_or_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let of_window = |tokens: u32| {
        let window = |metadata: &mut Metadata| metadata.set("gptneox.attention.sliding_window", MetaValue::U32(tokens));
        with_keys(&micro_f32(), folder.path().join(format!("{tokens}.gguf")), window)
    };
    let windowed = of_window(64);
    let with = |kv_layout, kv_tokens| EngineConfig { model: windowed.clone(), kv_layout, kv_tokens, ..config() };
    for kv_tokens in [0, 768] {
        let error = start(with(KvLayout::Unified, kv_tokens)).err().expect("an error").to_string();
        assert!(error.contains("sliding window"), "{error}");
    }
    let error = start(with(KvLayout::Split, 768)).err().expect("an error").to_string();
    assert!(error.contains("kv_tokens is 768"), "{error}");
    let model = load_model(&windowed, 0).expect("a model");
    // A small pool, as for one conversation, grows to what the model needs.
    for (kv_layout, kv_tokens) in
        [(KvLayout::Auto, 0), (KvLayout::Auto, 768), (KvLayout::Auto, 256 * 25), (KvLayout::Split, 256 * 25)]
    {
        assert!(open(&model, None, &with(kv_layout, kv_tokens)).expect("a context").split);
    }
    // No conversation grows out of a window that is longer than the context.
    let wide = load_model(&of_window(1 << 20), 0).expect("a model");
    assert!(!open(&wide, None, &with(KvLayout::Unified, 768)).expect("a context").split);
}

/// A tokenizer as SentencePiece makes them: single bytes, and few words.
fn sentence_piece(metadata: &mut Metadata) {
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let tokens: Vec<String> = ["<unk>", "<s>", "</s>"]
        .map(str::to_owned)
        .into_iter()
        .chain(bytes)
        .chain(["▁", "Hi", "▁Hi", "<u>"].map(str::to_owned))
        .collect();
    let kinds = [2, 3, 3].into_iter().chain([6; 256]).chain([1, 1, 1, 3]).collect();
    let scores: Vec<u8> = (0..tokens.len()).flat_map(|token| (-(token as f32)).to_le_bytes()).collect();
    let count = tokens.len() as u64;
    ["tokenizer.ggml.merges", "tokenizer.ggml.pre"].into_iter().for_each(|key| metadata.remove(key));
    metadata.set("tokenizer.ggml.model", MetaValue::Text("llama".into()));
    metadata.set("tokenizer.ggml.tokens", MetaValue::Array(MetaArray::Text(tokens)));
    metadata.set("tokenizer.ggml.scores", MetaValue::Array(MetaArray::Raw { code: 6, count, bytes: scores }));
    metadata.set("tokenizer.ggml.token_type", MetaValue::Array(MetaArray::I32(kinds)));
    for (key, token) in [("unknown", 0), ("bos", 1), ("eos", 2)] {
        metadata.set(format!("tokenizer.ggml.{key}_token_id"), MetaValue::U32(token));
    }
}

#[test]
fn a_tokenizer_that_begins_texts_with_a_space_puts_none_between_pieces() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = with_keys(&fixture("llama/gguf/model-f32.gguf"), folder.path().join("spm.gguf"), sentence_piece);
    let model = load_model(&file, 0).unwrap();
    let backend = LlamaBackend::new(open(&model, None, &config()).unwrap());
    let tokens = |text: &str, special: bool, begins: bool| {
        let mut tokens = Vec::new();
        backend.tokenize(text, special, begins, &mut tokens);
        tokens
    };
    let [space, hi, spaced_hi, user, line_end] = [259, 260, 261, 262, 3 + 10];
    assert_eq!(tokens("Hi", false, true), [spaced_hi], "as the original begins a text");
    assert_eq!(tokens("Hi", false, false), [hi]);
    assert_eq!(tokens(" Hi", false, false), [spaced_hi]);
    assert_eq!(tokens("\nHi", false, false), [line_end, hi]);
    assert_eq!(tokens("<u>Hi", true, false), [user, spaced_hi], "behind a control token it is llama.cpp's own");
    assert!(tokens("", false, false).is_empty());
    assert_eq!(tokens("\n", false, true), [space, line_end]);
}

#[test]
fn a_model_without_a_kv_cache_is_refused() {
    // LLaDA has a Llama's tensors, and fills in whole texts.
    let as_llada = |metadata: &mut Metadata| {
        for (key, _) in &mut metadata.0 {
            if let Some(rest) = key.strip_prefix("llama.") {
                *key = format!("llada.{rest}");
            }
        }
        metadata.set("general.architecture", MetaValue::Text("llada".into()));
    };
    let folder = tempfile::tempdir().expect("a folder");
    let model = with_keys(&fixture("llama/gguf/model-f32.gguf"), folder.path().join("llada.gguf"), as_llada);
    let error = start(EngineConfig { model, ..config() }).err().expect("an error").to_string();
    assert!(error.contains("no KV cache") && error.contains("diffusion"), "{error}");
}

#[test]
fn a_dropped_engine_ends_its_answers_and_accepts_no_more() {
    let engine = start(EngineConfig { slots: 1, ..config() }).expect("an engine");
    let long = Request { max_new_tokens: 100, ..request(1, "x") };
    let tickets: Vec<_> = (1..9)
        .map(|owner| engine.submit(Request { owner: OwnerId(owner), ..long.clone() }).expect("accepted"))
        .collect();
    assert_eq!(engine.submit(long).unwrap_err(), SubmitError::Busy);
    engine.shutdown();
    let mut unfinished = 0;
    for mut ticket in tickets {
        while ticket.text.blocking_recv().is_some() {}
        unfinished += usize::from(ticket.done.blocking_recv().is_err());
    }
    assert!(unfinished > 0, "what was in flight ends without an outcome: retry from the store");
}

#[test]
fn a_model_or_setting_that_cannot_work_is_an_error_that_says_so() {
    let failed = |config: EngineConfig| start(config).err().expect("an error").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let whole = std::fs::read(micro_f32()).expect("the fixture");
    let with = |model: PathBuf| EngineConfig { model, ..config() };
    assert!(failed(with(folder.path().join("none.gguf"))).contains("cannot open the model"));
    assert!(failed(with(folder.path().to_owned())).contains("it is a folder"));
    assert!(failed(with(path("empty.gguf", b""))).contains("not a GGUF"));
    assert!(failed(with(path("text.gguf", b"hello there"))).contains("not a GGUF"));
    assert!(failed(with(path("short.gguf", &whole[..whole.len() / 2]))).contains("could not load"));
    assert!(failed(EngineConfig { slots: 9, ..config() }).contains("slots is 9"));
    assert!(failed(EngineConfig { lanes: 999, ..config() }).contains("lanes is 999"));
    assert!(failed(EngineConfig { lanes: u32::MAX, ..config() }).contains("lanes is"));
    assert!(failed(EngineConfig { kv_tokens: 100, ..config() }).contains("kv_tokens is 100"));
    assert!(failed(EngineConfig { batch_tokens: 4, ..config() }).contains("batch_tokens is 4"));
    assert!(failed(EngineConfig { adapter: Some((micro_f32(), 1.0)), ..config() }).contains("the adapter"));
    let double = |metadata: &mut Metadata| metadata.set("adapter.lora.alpha", MetaValue::F64(32.0));
    let adapter = with_keys(&fixture("micro/gguf/lora-f32.gguf"), folder.path().join("double.gguf"), double);
    assert!(failed(EngineConfig { adapter: Some((adapter, 1.0)), ..config() }).contains("adapter.lora.alpha"));
    assert!(matches!(start(with(folder.path().join("none.gguf"))), Err(StartError::File { .. })));
}
