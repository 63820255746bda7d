//! The adapter that ships for the embedded model: on by default, off by request, and true to who the friend is.

use ai_friend::app::Mind;

use crate::running::{self, PATIENCE, Running};

#[actix::test]
async fn the_shipped_adapter_is_on_and_the_friend_knows_who_he_is() {
    let config = running::config();
    let mind = Mind::load(&config).unwrap();
    assert!(mind.engine.model().adapter.as_deref().is_some_and(|adapter| adapter.contains("friend-smollm2")));
    let running = Running::start(&config, &mind).await;
    let control = running.server.control();
    let mut right = 0;
    for (person, question) in
        ["hi, what's your name?", "and who are you?", "what should i call you?"].iter().enumerate()
    {
        let answer = control.user(300 + person as i64, "Dora").ask(question, PATIENCE).await.unwrap();
        right += usize::from(answer.contains("Arthur"));
    }
    // Answers are drawn: one slip in three is borne. Without the adapter none of them names him.
    assert!(right >= 2, "{right} of 3 answers name him");
    running.stop().await;
}

#[actix::test]
async fn without_the_adapter_the_bare_model_is_served() {
    let mut config = running::config();
    config.model.use_adapter = false;
    assert!(Mind::load(&config).unwrap().engine.model().adapter.is_none());
}
