//! What a folder of downloads must be before it is believed: of one revision, and whole.

use std::fs;

use ai_friend::config::Config;
use ai_friend::models::resolve_name as resolve;

use crate::fixture;
use crate::resolve::config;
use crate::server::{Asked, Reply, Server};

/// A hub whose repository `owner/base` has its weights in another form in the revision `new` than in `old`.
fn hub() -> Server {
    Server::start(|asked: &Asked, _| {
        let file = asked.path.strip_prefix("/owner/base/resolve/").and_then(|rest| rest.split_once('/'));
        let place = file.map(|(revision, file)| match revision {
            "old" => fixture("micro/hf-safetensors").join(file),
            _ => fixture("micro/hf-bin").join(file),
        });
        match place.and_then(|place| fs::read(place).ok()) {
            Some(body) => Reply { status: 200, body, ..Reply::default() },
            None => Reply::status(404),
        }
    })
}

/// Makes `mine` an entry for that repository's `revision`.
fn list(revision: &str, config: &Config) {
    fs::create_dir_all(&config.models.dir).unwrap();
    let entry = format!(
        "[[model]]\nname = \"mine\"\nbase.hub = \"owner/base\"\nbase.revision = \"{revision}\"\nquantisation = \"F16\"\n\
         template = \"dolly\"\ncontext = 64\n"
    );
    fs::write(config.models.dir.join("catalogue.toml"), entry).unwrap();
}

#[tokio::test]
async fn nothing_of_another_revision_is_left_to_be_converted() {
    let (server, folder) = (hub(), tempfile::tempdir().unwrap());
    let config = config(folder.path(), Some(&server));
    let downloads = config.models.dir.join("hub/owner--base");
    list("old", &config);
    resolve("mine", &config).await.unwrap();
    assert!(downloads.join("model.safetensors").is_file());
    fs::write(downloads.join("model.safetensors"), "weights that nobody wants any more").unwrap();
    list("new", &config);
    resolve("mine", &config).await.unwrap();
    assert!(downloads.join("pytorch_model.bin").is_file() && !downloads.join("model.safetensors").exists());
}

#[tokio::test]
async fn an_empty_file_that_counts_as_arrived_is_fetched_again() {
    let (server, folder) = (hub(), tempfile::tempdir().unwrap());
    let config = config(folder.path(), Some(&server));
    list("old", &config);
    let made = resolve("mine", &config).await.unwrap().gguf;
    let downloads = config.models.dir.join("hub/owner--base");
    let manifest = downloads.join("files.json");
    let mut said: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    assert_eq!(said["complete"], true);
    said["files"]["tokenizer.json"][0] = 0.into();
    fs::write(&manifest, said.to_string()).unwrap();
    fs::write(downloads.join("tokenizer.json"), "").unwrap();
    fs::remove_file(made).unwrap();
    let before = server.asked().len();
    resolve("mine", &config).await.unwrap();
    let again: Vec<_> = server.asked().split_off(before).into_iter().map(|asked| (asked.method, asked.path)).collect();
    let path = || "/owner/base/resolve/old/tokenizer.json".to_owned();
    assert_eq!(again, [("HEAD".to_owned(), path()), ("GET".to_owned(), path())], "and nothing else");
}
