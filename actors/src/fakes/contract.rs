//! What every [`Store`] must do, as checks that any implementation can be put through: the fake and the real one are
//! held to the same promises, so that a test with the fake says something about the real one.

use crate::ports::{Change, OutState, Pending, Store, StoreError};
use crate::types::{ChatId, Event, Incoming, Label, Outgoing, Profile, Role, Scores, Turn, UserId};

/// Runs all checks, each as a bot of its own.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_store(store: &dyn Store) {
    each_update_is_taken_once(store, 101).await;
    messages_wait_in_order_of_arrival(store, 102).await;
    an_answer_is_one_change(store, 103).await;
    an_old_owner_is_refused(store, 104).await;
    a_reset_hides_earlier_turns_but_keeps_them(store, 105).await;
    parts_leave_in_order_and_count_their_attempts(store, 106).await;
    a_group_keeps_its_conversation_when_its_id_changes(store, 107).await;
    an_erased_chat_leaves_only_the_keys_of_its_updates(store, 108).await;
    bots_share_nothing(store, 109).await;
}

/// A text message.
pub fn message(update_id: i64, chat: ChatId, text: &str) -> Incoming {
    Incoming {
        update_id,
        chat,
        private: chat.0 > 0,
        user: UserId(chat.0.abs()),
        name: Some("Ann".to_owned()),
        message_id: Some(update_id),
        topic: None,
        event: Event::Text { text: text.to_owned() },
    }
}

/// A turn of the person.
pub fn turn(role: Role, text: &str, at_ms: i64) -> Turn {
    Turn { role, text: text.to_owned(), mode: None, scores: None, at_ms }
}

/// A text to send.
pub fn outgoing(text: &str) -> Outgoing {
    Outgoing::Text { text: text.to_owned(), buttons: Vec::new(), topic: None }
}

/// The words of messages that wait.
pub fn words(pending: &[Pending]) -> Vec<&str> {
    let mut words = Vec::new();
    for row in pending {
        if let Event::Text { text } = &row.incoming.event {
            words.push(text.as_str());
        }
    }
    words
}

async fn each_update_is_taken_once(store: &dyn Store, bot: i64) {
    let (ann, ben) = (ChatId(1), ChatId(2));
    let first = vec![message(10, ann, "a"), message(7, ben, "b"), message(10, ann, "a again")];
    assert_eq!(store.ingest(bot, first).await, Ok(vec![ann, ben]));
    // Ids may become random: a smaller one is as new as a greater one, and a known one in between is not.
    let second = vec![message(3, ann, "c"), message(7, ben, "b again")];
    assert_eq!(store.ingest(bot, second).await, Ok(vec![ann]));
    assert_eq!(words(&store.pending(bot, ann, 10).await.unwrap()), ["a", "c"]);
    assert_eq!(words(&store.pending(bot, ben, 10).await.unwrap()), ["b"]);

    // Answering does not make an update new again.
    let epoch = store.claim(bot, ben, 10).await.unwrap().epoch;
    let done = store.pending(bot, ben, 10).await.unwrap().iter().map(|row| row.seq).collect();
    store.finish(bot, ben, epoch, Change { done, ..Change::default() }).await.unwrap();
    assert_eq!(store.ingest(bot, vec![message(7, ben, "b once more")]).await, Ok(vec![]));
    assert_eq!(store.waiting(bot).await, Ok(vec![ann]));
    assert_eq!(store.ingest(bot, Vec::new()).await, Ok(vec![]));
}

async fn messages_wait_in_order_of_arrival(store: &dyn Store, bot: i64) {
    let (ann, ben) = (ChatId(1), ChatId(2));
    for (id, chat, text) in [(900, ben, "1"), (20, ann, "2"), (800, ben, "3"), (1, ben, "4")] {
        store.ingest(bot, vec![message(id, chat, text)]).await.unwrap();
    }
    assert_eq!(store.waiting(bot).await, Ok(vec![ben, ann]));
    let pending = store.pending(bot, ben, 10).await.unwrap();
    assert_eq!(words(&pending), ["1", "3", "4"]);
    assert_eq!(pending[0].incoming, message(900, ben, "1"));
    assert!(pending.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!(words(&store.pending(bot, ben, 2).await.unwrap()), ["1", "3"]);
}

async fn an_answer_is_one_change(store: &dyn Store, bot: i64) {
    let ann = ChatId(1);
    store.ingest(bot, vec![message(1, ann, "hi"), message(2, ann, "there"), message(3, ann, "late")]).await.unwrap();
    let owned = store.claim(bot, ann, 10).await.unwrap();
    assert_eq!((owned.turns.len(), &owned.profile), (0, &Profile::default()));
    let rows = store.pending(bot, ann, 2).await.unwrap();

    let felt = Scores([0.1, 0.0, 0.0, 0.6, 0.2, 0.05, 0.05]);
    let said = Turn { scores: Some(felt), ..turn(Role::Person, "hi there", 1000) };
    let answer = Turn { mode: Some("WARM".to_owned()), ..turn(Role::Friend, "hello \u{1f600}", 2000) };
    let profile = Profile { last_scores: Some(felt), mode: Some("WARM".to_owned()), flirt: true, ..Profile::default() };
    let change = Change {
        done: rows.iter().map(|row| row.seq).collect(),
        reset: false,
        turns: vec![said.clone(), answer.clone()],
        profile: Some(profile.clone()),
        out: vec![outgoing("hello"), outgoing("you")],
    };
    store.finish(bot, ann, owned.epoch, change).await.unwrap();

    assert_eq!(words(&store.pending(bot, ann, 10).await.unwrap()), ["late"]);
    assert_eq!(store.unsent(bot).await, Ok(vec![ann]));
    let again = store.claim(bot, ann, 10).await.unwrap();
    assert_eq!(again.turns, [said, answer.clone()]);
    assert_eq!(again.profile, profile);
    assert!(again.profile.last_scores.is_some_and(|felt| (felt.get(Label::Joy) - 0.6).abs() < 1e-6));
    assert_eq!(store.claim(bot, ann, 1).await.unwrap().turns, [answer]);
}

async fn an_old_owner_is_refused(store: &dyn Store, bot: i64) {
    let ann = ChatId(1);
    store.ingest(bot, vec![message(1, ann, "hi")]).await.unwrap();
    assert_eq!(store.finish(bot, ann, 1, Change::default()).await, Err(StoreError::Fenced), "nobody claimed it yet");
    let old = store.claim(bot, ann, 10).await.unwrap().epoch;
    let new = store.claim(bot, ann, 10).await.unwrap().epoch;
    assert!(new > old);
    let seq = store.pending(bot, ann, 1).await.unwrap()[0].seq;
    let change = || Change {
        done: vec![seq],
        turns: vec![turn(Role::Friend, "hello", 1)],
        out: vec![outgoing("hello")],
        ..Change::default()
    };
    assert_eq!(store.finish(bot, ann, old, change()).await, Err(StoreError::Fenced));
    assert_eq!(store.pending(bot, ann, 10).await.unwrap().len(), 1, "a refused change leaves nothing");
    assert_eq!(store.unsent(bot).await, Ok(vec![]));
    assert_eq!(store.finish(bot, ann, new, change()).await, Ok(()));
    assert_eq!(store.claim(bot, ann, 10).await.unwrap().turns.len(), 1);
}

async fn a_reset_hides_earlier_turns_but_keeps_them(store: &dyn Store, bot: i64) {
    let ann = ChatId(1);
    let epoch = store.claim(bot, ann, 10).await.unwrap().epoch;
    let said = |text, at| Change { turns: vec![turn(Role::Person, text, at)], ..Change::default() };
    store.finish(bot, ann, epoch, said("before", 1)).await.unwrap();
    store.finish(bot, ann, epoch, Change { reset: true, ..said("after", 2) }).await.unwrap();
    store.finish(bot, ann, epoch, said("later", 3)).await.unwrap();
    let owned = store.claim(bot, ann, 10).await.unwrap();
    let texts: Vec<_> = owned.turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(texts, ["after", "later"]);

    let export = store.export(bot, ann).await.unwrap();
    let turns = export["turns"].as_array().expect("turns");
    let shown: Vec<_> = turns.iter().map(|turn| (&turn["text"], &turn["before_reset"])).collect();
    assert_eq!(
        shown,
        [(&"before".into(), &true.into()), (&"after".into(), &false.into()), (&"later".into(), &false.into())]
    );
}

async fn parts_leave_in_order_and_count_their_attempts(store: &dyn Store, bot: i64) {
    let (ann, ben) = (ChatId(1), ChatId(2));
    for (chat, texts) in [(ann, ["1", "2"]), (ben, ["3", "4"])] {
        let epoch = store.claim(bot, chat, 0).await.unwrap().epoch;
        let out = texts.map(outgoing).to_vec();
        store.finish(bot, chat, epoch, Change { out, ..Change::default() }).await.unwrap();
    }
    assert_eq!(store.unsent(bot).await, Ok(vec![ann, ben]));
    let next = async |chat| store.next_out(bot, chat).await.unwrap();
    let first = next(ann).await.expect("a row");
    assert_eq!((first.chat, &first.outgoing, first.state, first.attempts), (ann, &outgoing("1"), OutState::Pending, 0));

    store.mark(first.id, OutState::Sending).await.unwrap();
    let begun = next(ann).await.expect("the same row");
    assert_eq!((begun.id, begun.state, begun.attempts), (first.id, OutState::Sending, 1));
    store.mark(first.id, OutState::Pending).await.unwrap();
    assert_eq!(next(ann).await.map(|row| (row.state, row.attempts)), Some((OutState::Pending, 0)));
    store.mark(first.id, OutState::Sending).await.unwrap();
    assert_eq!(store.mark(first.id, OutState::Sending).await, Ok(true));
    assert_eq!(next(ann).await.map(|row| row.attempts), Some(2));

    store.mark(first.id, OutState::Sent).await.unwrap();
    let second = next(ann).await.expect("the second");
    assert_eq!(second.outgoing, outgoing("2"));
    store.mark(second.id, OutState::Failed).await.unwrap();
    assert_eq!(next(ann).await, None);
    let third = next(ben).await.expect("another chat's own order");
    store.mark(third.id, OutState::Ambiguous).await.unwrap();
    assert_eq!(next(ben).await.map(|row| row.outgoing), Some(outgoing("4")));
    assert_eq!(store.unsent(bot).await, Ok(vec![ben]));
    assert_eq!(store.mark(i64::MAX, OutState::Sent).await, Ok(false), "an erased row needs no mark");
    assert_eq!(store.mark(i64::MAX, OutState::Sending).await, Ok(false), "and is told of");
}

async fn a_group_keeps_its_conversation_when_its_id_changes(store: &dyn Store, bot: i64) {
    let (group, supergroup) = (ChatId(-5), ChatId(-1005));
    store.ingest(bot, vec![message(1, group, "hi")]).await.unwrap();
    let old = store.claim(bot, group, 10).await.unwrap().epoch;
    let profile = Profile { mode: Some("GENERAL".to_owned()), ..Profile::default() };
    let hidden = Change { turns: vec![turn(Role::Person, "hidden", 1)], ..Change::default() };
    store.finish(bot, group, old, hidden).await.unwrap();
    let change = Change {
        reset: true,
        turns: vec![turn(Role::Person, "seen", 2)],
        profile: Some(profile.clone()),
        out: vec![outgoing("hello")],
        ..Change::default()
    };
    store.finish(bot, group, old, change).await.unwrap();
    // The new id is already known: its first message came before the news.
    store.ingest(bot, vec![message(2, supergroup, "me too")]).await.unwrap();
    let early = store.claim(bot, supergroup, 10).await.unwrap().epoch;

    for _ in 0..2 {
        store.migrate(bot, group, supergroup).await.unwrap();
    }
    assert_eq!(store.waiting(bot).await, Ok(vec![supergroup]));
    assert_eq!(store.unsent(bot).await, Ok(vec![supergroup]));
    assert_eq!(store.next_out(bot, supergroup).await.unwrap().map(|row| row.chat), Some(supergroup));
    let pending = store.pending(bot, supergroup, 10).await.unwrap();
    assert_eq!(words(&pending), ["hi", "me too"]);
    assert!(pending.iter().all(|row| row.incoming.chat == supergroup));
    for (chat, epoch) in [(group, old), (supergroup, early)] {
        assert_eq!(store.finish(bot, chat, epoch, Change::default()).await, Err(StoreError::Fenced));
    }
    let owned = store.claim(bot, supergroup, 10).await.unwrap();
    assert_eq!(owned.turns, [turn(Role::Person, "seen", 2)]);
    assert_eq!(owned.profile, profile);
    store.migrate(bot, supergroup, supergroup).await.unwrap();
    assert_eq!(store.claim(bot, supergroup, 10).await.unwrap().turns.len(), 1);
}

async fn an_erased_chat_leaves_only_the_keys_of_its_updates(store: &dyn Store, bot: i64) {
    let (ann, ben) = (ChatId(1), ChatId(2));
    let batch = vec![message(1, ann, "my secret"), message(2, ben, "his own")];
    store.ingest(bot, batch.clone()).await.unwrap();
    let epoch = store.claim(bot, ann, 10).await.unwrap().epoch;
    let change = Change {
        turns: vec![turn(Role::Person, "my secret", 1)],
        profile: Some(Profile { flirt: true, ..Profile::default() }),
        out: vec![outgoing("your secret is safe")],
        ..Change::default()
    };
    store.finish(bot, ann, epoch, change).await.unwrap();
    let on_its_way = store.next_out(bot, ann).await.unwrap().expect("a row");
    store.mark(on_its_way.id, OutState::Sending).await.unwrap();

    store.ingest(bot, vec![message(3, ann, "hello again")]).await.unwrap();
    let last = store.pending(bot, ann, 10).await.unwrap().pop().expect("a row").seq;
    store.erase(bot, ann, last).await.unwrap();
    assert!(!store.export(bot, ann).await.unwrap().to_string().contains("secret"));
    assert_eq!(words(&store.pending(bot, ann, 10).await.unwrap()), ["hello again"], "it was written afterwards");
    assert_eq!(store.unsent(bot).await, Ok(vec![]));
    assert_eq!(store.mark(on_its_way.id, OutState::Sent).await, Ok(false));
    assert_eq!(store.ingest(bot, batch).await, Ok(vec![]), "nothing erased comes back");

    // The owner that erased can still say so.
    let farewell = Change { out: vec![outgoing("all forgotten")], ..Change::default() };
    assert_eq!(store.finish(bot, ann, epoch, farewell).await, Ok(()));
    let owned = store.claim(bot, ann, 10).await.unwrap();
    assert_eq!((owned.turns.len(), owned.profile), (0, Profile::default()));
    assert_eq!(words(&store.pending(bot, ben, 10).await.unwrap()), ["his own"]);
}

async fn bots_share_nothing(store: &dyn Store, bot: i64) {
    let (other, ann) = (bot + 1000, ChatId(1));
    store.ingest(bot, vec![message(1, ann, "to one")]).await.unwrap();
    assert_eq!(store.ingest(other, vec![message(1, ann, "to the other")]).await, Ok(vec![ann]));
    assert_eq!(words(&store.pending(bot, ann, 10).await.unwrap()), ["to one"]);
    let seq = store.pending(bot, ann, 10).await.unwrap()[0].seq;
    let epoch = store.claim(other, ann, 10).await.unwrap().epoch;
    let change = Change { done: vec![seq], turns: vec![turn(Role::Friend, "hello", 1)], ..Change::default() };
    store.finish(other, ann, epoch, change).await.unwrap();
    assert_eq!(store.waiting(bot).await, Ok(vec![ann]), "one bot cannot answer for another");
    assert_eq!(store.claim(bot, ann, 10).await.unwrap().turns.len(), 0);
    store.erase(other, ann, i64::MAX).await.unwrap();
    assert_eq!(store.waiting(bot).await, Ok(vec![ann]));
}
