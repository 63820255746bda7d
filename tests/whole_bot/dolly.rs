//! Dolly's path through the whole bot: a GPT-NeoX checkpoint and its LoRA out of Hugging Face folders,
//! the reference's prompt, the reference's stops; over HTTP against the emulator, with the real tokenizer.

mod bot;
mod doctored;

use std::path::{Path, PathBuf};

use bot::Bot;
use doctored::Doctored;

const NEWLINE: usize = 187;
const DOLLY_END: usize = 50_277;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gguf/tests/fixtures/tiny").join(name)
}

#[actix::test]
async fn the_reference_text_reaches_the_model_and_its_adapter_is_on() {
    let mut bot = Bot::start(&fixture("hf-safetensors"), Some(&fixture("lora-new"))).await;
    let first = bot.answer("hi, who are you?\nand what is ### End?").await;
    bot.answer("where do you live?").await;
    assert!(bot.adapter().is_some_and(|adapter| adapter.ends_with("x 1")), "{:?}", bot.adapter());

    let opening = "You are 20 years old, your name is Arthur, you are a friendly young man, designer from San Francisco. You \
        are a kind and empathetic interlocutor. You are talking to a new person. Below is an instruction that describes a \
        task.\n\n### Instruction:\nGet to know a person by chit-chatting and providing long answers and questions. Try not \
        to end the dialogue as long as possible. Complete a phrase, acting like an interlocutor.\n\n### Response:\n";
    let person = "Person: hi, who are you? and what is ### End?";
    assert_eq!(bot.prompts()[0], format!("{opening}{person}\nYou:"));
    let said = first.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(bot.prompts()[1], format!("{opening}{person}\nYou: {said}\nPerson: where do you live?\nYou:"));
    bot.stop().await;
}

#[actix::test]
async fn the_adapter_changes_what_is_said() {
    let mut with = Bot::start(&fixture("hf-safetensors"), Some(&fixture("lora-new"))).await;
    let mut without = Bot::start(&fixture("hf-safetensors"), None).await;
    assert!(without.adapter().is_none());
    assert_ne!(with.answer("hello").await, without.answer("hello").await, "both decode greedily");
    with.stop().await;
    without.stop().await;
}

#[actix::test]
async fn an_answer_ends_at_a_newline_and_at_dollys_end() {
    for end in [NEWLINE, DOLLY_END] {
        let model = Doctored::always_says(end);
        let mut bot = Bot::start(model.folder(), Some(&fixture("lora-new"))).await;
        let text = bot.answer("hello").await;
        assert!(!text.is_empty() && !text.contains('\n') && !text.contains("### End"), "{text:?}");
        let usage = bot.usage().await;
        assert_eq!(usage.new_tokens, 3, "GENERAL's min_new_tokens, then the end, which does not count (token {end})");
        bot.stop().await;
    }
}
