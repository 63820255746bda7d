//! Answers one message with a GGUF's own chat template: `cargo run --release -p friend-gguf --example talk -- MODEL TEXT`.

use std::time::Duration;

use friend_gguf::chat_template::ChatTemplate;
use friend_gguf::llama;
use friend_gguf::request::{Engine, EngineConfig, OwnerId, Request, Sampling, Stop};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    llama::reexec_with_quiet_libraries();
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: talk MODEL TEXT".into());
    };
    let engine = llama::start(EngineConfig::for_model(model))?;
    let info = engine.model();
    let source = info.chat_template.as_deref().ok_or("the model has no chat template")?;
    let template = ChatTemplate::new(source, &info.bos_text, &info.eos_text)?;
    let mut ticket = engine.submit(Request {
        owner: OwnerId(1),
        prompt: template.prompt(
            "You are Arthur, 20 years old, a friendly designer from San Francisco.",
            "",
            &[(false, &text)],
        ),
        sampling: Sampling::default(),
        stop: Stop { end_of_generation: true, ..Stop::default() },
        min_new_tokens: 1,
        max_new_tokens: 100,
        seed: 1,
        time_limit: Duration::from_secs(60),
    })?;
    while let Some(piece) = ticket.text.blocking_recv() {
        print!("{piece}");
    }
    let answer = ticket.done.blocking_recv()??;
    println!("\n{:?} {:?}", answer.finish, answer.usage);
    Ok(())
}
