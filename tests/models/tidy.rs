//! What is removed and what stays: leftovers of a process that was ended, files that others own; and where bundled models lie.

use std::fs;
use std::path::{Path, PathBuf};

use ai_friend::cli::models::ModelsCommand;
use ai_friend::models::library::{Library, sha256};
use ai_friend::models::{commands, resolve_name as resolve};
use friend_gguf::catalogue::Entry;

use crate::fixture;
use crate::resolve::{add, config, remove};

/// What a process that was ended in the middle of a conversion leaves beside `target`.
fn leave(target: &Path) -> [PathBuf; 3] {
    let left = ["f16.gguf", "f16.gguf.partial", "gguf.partial"].map(|ending| target.with_extension(ending));
    for file in &left {
        fs::write(file, "x".repeat(1_000_000)).unwrap();
    }
    left
}

#[tokio::test]
async fn a_file_that_was_there_before_its_entry_stays_also_in_the_models_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), None);
    config.models.dir = folder.path().canonicalize().unwrap().join("models");
    fs::create_dir_all(&config.models.dir).unwrap();
    // Another model's that was made here, too.
    for name in ["theirs.gguf", "made.gguf"] {
        let file = config.models.dir.join(name);
        fs::copy(fixture("micro/gguf/model-f16.gguf"), &file).unwrap();
        add("mine", file.to_str().unwrap(), &config).await.unwrap();
        if name == "made.gguf" {
            Library::put_record(&file, "made here").unwrap();
        }
        remove("mine", &config).await.unwrap();
        assert!(file.is_file(), "{name}");
        assert!(resolve("mine", &config).await.is_err(), "the entry is gone");
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_a_made_one_stays_if_it_was_not_made_here() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    add("mine", fixture("tiny/hf-safetensors").to_str().unwrap(), &config).await.unwrap();
    let theirs = ["mine.Q4_K_M.gguf", "mine.lora.gguf"].map(|name| config.models.dir.join(name));
    theirs.iter().for_each(|file| fs::write(file, "theirs").unwrap());
    let told = remove("mine", &config).await.unwrap();
    for file in theirs {
        assert!(file.is_file() && told.contains(&format!("{} stays", file.display())), "{told}");
    }
}

#[tokio::test]
async fn what_an_ended_conversion_left_goes_before_the_next_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(fixture("tiny/hf-safetensors").join(file), source.join(file)).unwrap();
    }
    fs::write(source.join("model.safetensors"), "no weights").unwrap();
    add("mine", source.to_str().unwrap(), &config).await.unwrap();
    let left = leave(&config.models.dir.join("mine.Q4_K_M.gguf"));
    assert!(resolve("mine", &config).await.is_err());
    assert!(left.iter().all(|file| !file.exists()), "although this one fails before it writes anything");
}

#[tokio::test]
async fn removing_a_model_removes_and_counts_what_an_ended_conversion_left() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    add("mine", fixture("tiny/hf-safetensors").to_str().unwrap(), &config).await.unwrap();
    let left = leave(&config.models.dir.join("mine.Q4_K_M.gguf"));
    let told = remove("mine", &config).await.unwrap();
    assert!(told.contains("3 MB freed"), "{told}");
    assert!(left.iter().all(|file| !file.exists()));
}

#[tokio::test]
async fn a_bundled_model_is_found_beside_the_shipped_adapters_where_the_models_folder_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), None);
    config.models.adapters = folder.path().join("app/models/adapters");
    let base = fixture("llama/gguf/model-f32.gguf");
    fs::create_dir_all(&config.models.dir).unwrap();
    let entry = format!(
        "[[model]]\nname = \"mine\"\nbase.bundled = \"tiny.F16.gguf\"\nbase.sha256 = \"{}\"\nquantisation = \"Q8_0\"\n\
         template = \"chat\"\ncontext = 64\n",
        sha256(&base).unwrap()
    );
    fs::write(config.models.dir.join("catalogue.toml"), entry).unwrap();
    let missing = resolve("mine", &config).await.unwrap_err();
    assert!(format!("{missing:#}").contains("tiny.F16.gguf is not here"), "{missing:#}");

    let shipped = folder.path().join("app/models/bundled");
    fs::create_dir_all(&shipped).unwrap();
    fs::copy(&base, shipped.join("tiny.F16.gguf")).unwrap();
    let mut listed = Vec::new();
    commands::run(ModelsCommand::List, &config, &mut listed).await.unwrap();
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed[listed.find("mine (yours)").unwrap()..].contains("made at the first start"), "{listed}");
    let made = resolve("mine", &config).await.unwrap().gguf;
    assert_eq!(made, config.models.dir.join("tiny.Q8_0.gguf"));

    // One in the models' folder goes first: here it is not the one that was pinned.
    fs::copy(fixture("micro/gguf/model-f16.gguf"), config.models.dir.join("tiny.F16.gguf")).unwrap();
    fs::remove_file(made).unwrap();
    let damaged = resolve("mine", &config).await.unwrap_err();
    assert!(format!("{damaged:#}").contains("models/tiny.F16.gguf is damaged"), "{damaged:#}");
}

#[tokio::test]
async fn models_added_by_several_processes_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    add("old", fixture("tiny/hf-safetensors").to_str().unwrap(), &config).await.unwrap();
    let old = Library::open(&config.models).unwrap().entry("old").unwrap().clone();
    // Each has read the folder before any of them writes.
    let libraries = (0..8).map(|_| Library::open(&config.models).unwrap()).collect::<Vec<_>>();
    let adding = libraries.into_iter().enumerate().map(|(number, mut library)| {
        let entry = Entry { name: format!("new{number}"), ..old.clone() };
        std::thread::spawn(move || if number == 0 { library.forget("old") } else { library.add(entry) })
    });
    let adding = adding.collect::<Vec<_>>();
    adding.into_iter().for_each(|one| one.join().unwrap().unwrap());
    let library = Library::open(&config.models).unwrap();
    assert!((1..8).all(|number| library.is_own(&format!("new{number}"))) && !library.is_own("old"));
}
