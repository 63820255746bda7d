//! `MODEL` as a name, a file or a folder.

use std::path::Path;

use ai_friend::cli::models::{Add, ModelsCommand};
use ai_friend::config::Config;
use ai_friend::models::library::Library;
use ai_friend::models::{self, commands, resolve_name as resolve};
use friend_actors::persona::TemplateKind;
use friend_gguf::convert::format::GgufFile;

use crate::fixture;
use crate::server::{Asked, Reply, Server};

/// Settings whose models live in `folder` and whose hub is `hub`; by default one that cannot be reached.
pub fn config(folder: &Path, hub: Option<&Server>) -> Config {
    let mut config = Config::default();
    config.models.dir = folder.join("models");
    config.models.hub_url = hub.map_or_else(|| "http://127.0.0.1:9".to_owned(), Server::url);
    config
}

/// A hub that holds the repository `owner/base` with the files of a fixture.
fn hub_of(folder: &str) -> Server {
    let folder = fixture(folder);
    Server::start(move |asked: &Asked, _| {
        let file = asked.path.strip_prefix("/owner/base/resolve/").and_then(|rest| rest.split_once('/'));
        match file.and_then(|(_, file)| std::fs::read(folder.join(file)).ok()) {
            Some(body) => Reply { status: 200, body, ..Reply::default() }.with("x-repo-commit", "abc123"),
            None => Reply::status(404),
        }
    })
}

#[tokio::test]
async fn a_folder_is_converted_once_and_found_ready_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let source = fixture("tiny/hf-safetensors");
    let model = resolve(source.to_str().unwrap(), &config).await.unwrap();
    assert_eq!(model.template, None, "nobody but the persona knows");
    assert_eq!(model.adapter, None);
    let made = std::fs::metadata(&model.gguf).unwrap().modified().unwrap();
    assert_eq!(GgufFile::open(&model.gguf).unwrap().metadata.text("general.architecture"), Some("gptneox"));
    let again = resolve(source.to_str().unwrap(), &config).await.unwrap();
    assert_eq!(again, model);
    assert_eq!(std::fs::metadata(&model.gguf).unwrap().modified().unwrap(), made, "not made twice");
}

#[tokio::test]
async fn a_half_made_or_changed_file_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let source = fixture("micro/hf-bin");
    let model = resolve(source.to_str().unwrap(), &config).await.unwrap();
    let whole = std::fs::read(&model.gguf).unwrap();
    std::fs::write(&model.gguf, &whole[..whole.len() / 2]).unwrap();
    resolve(source.to_str().unwrap(), &config).await.unwrap();
    assert_eq!(std::fs::read(&model.gguf).unwrap(), whole);
}

#[tokio::test]
async fn a_peft_folder_finds_its_base_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), None);
    config.model.adapter_scale = 0.5;
    let model = resolve(fixture("micro/lora-new").to_str().unwrap(), &config).await.unwrap();
    let (adapter, scale) = model.adapter.unwrap();
    assert!((scale - 0.5).abs() < 1e-6);
    assert_eq!(GgufFile::open(&adapter).unwrap().metadata.text("general.type"), Some("adapter"));
    config.model.use_adapter = false;
    assert_eq!(resolve(fixture("micro/lora-new").to_str().unwrap(), &config).await.unwrap().adapter, None);
}

#[tokio::test]
async fn an_adapter_of_the_settings_goes_over_any_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), None);
    config.model.adapter = Some(fixture("micro/gguf/lora-f32.gguf"));
    let model = resolve(fixture("micro/gguf/model-f16.gguf").to_str().unwrap(), &config).await.unwrap();
    assert_eq!(model.adapter, Some((fixture("micro/gguf/lora-f32.gguf"), 1.0)));
    config.model.adapter = Some(fixture("micro/gguf/model-f16.gguf"));
    let error = resolve(fixture("micro/gguf/model-f16.gguf").to_str().unwrap(), &config).await.unwrap_err();
    assert!(error.to_string().contains("no LoRA adapter"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_the_nearest_name_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let complaint = async |model: &str| format!("{:#}", resolve(model, &config).await.unwrap_err());
    assert!(complaint("smollm2-135m-instuct").await.contains("did you mean `smollm2-135m-instruct`?"));
    assert!(complaint("nothing-like-it-at-all").await.contains("models list"));
    assert!(complaint("./no/such.gguf").await.contains("no/such.gguf"));
    assert!(complaint("owner/repo").await.contains("models add"));
    let told = complaint("dolly-v2-3b-lora-emphatic-dd").await;
    assert!(told.contains("ai-friend models add dolly-v2-3b-lora-emphatic-dd --adapter FOLDER"), "{told}");
    assert!(complaint("smollm2-135m-instruct").await.contains("make models"));
    assert!(complaint("dolly-v2-3b").await.contains("http://127.0.0.1:9"));
    std::fs::write(folder.path().join("empty.gguf"), "").unwrap();
    assert!(complaint(folder.path().join("empty.gguf").to_str().unwrap()).await.contains("empty"));
}

#[tokio::test]
async fn an_added_model_is_pulled_converted_and_quantised_once_with_its_adapter() {
    let server = hub_of("micro/hf-safetensors-v5");
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), Some(&server));
    let add = Add {
        name: "mine".into(),
        base: Some("owner/base".into()),
        adapter: Some(fixture("micro/lora-old").to_str().unwrap().into()),
        scale: Some(0.5),
        quantisation: Some("Q5_0".parse().unwrap()),
        template: None,
        licence: Some("MIT".into()),
    };
    let mut out = Vec::new();
    commands::run(ModelsCommand::Add(add), &config, &mut out).await.unwrap();
    let model = resolve("mine", &config).await.unwrap();
    assert_eq!(model.gguf, config.models.dir.join("mine.Q5_0.gguf"));
    assert_eq!(model.adapter, Some((config.models.dir.join("mine.lora.gguf"), 0.5)));
    assert_eq!(model.licence.as_deref(), Some("MIT"));
    assert_eq!(model.template, Some(TemplateKind::Dolly));
    let requests = server.asked();
    assert!(requests.iter().any(|asked| asked.path.ends_with("model-00002-of-00002.safetensors")));
    let later = requests.iter().filter(|asked| !asked.path.contains("/main/"));
    assert!(
        later.clone().count() > 0 && later.clone().all(|asked| asked.path.contains("/abc123/")),
        "one commit for all"
    );

    let again = resolve("mine", &config).await.unwrap();
    assert_eq!(again, model);
    let named =
        Config { model: ai_friend::config::Model { name: "mine".into(), ..config.model.clone() }, ..config.clone() };
    assert_eq!(models::resolve(&named).unwrap(), model, "also from outside a runtime");
    assert!(models::check(&named).unwrap().about.contains("mine.lora.gguf at 0.5"));
    assert_eq!(server.asked().len(), requests.len(), "the second start asks nobody");

    out.clear();
    commands::run(ModelsCommand::List, &config, &mut out).await.unwrap();
    let listed = String::from_utf8(out.clone()).unwrap();
    assert!(listed.contains("mine (yours)") && listed.contains("ready") && listed.contains("MIT"), "{listed}");

    commands::run(ModelsCommand::Remove { name: "mine".into() }, &config, &mut out).await.unwrap();
    assert!(!model.gguf.exists() && !config.models.dir.join("hub/owner--base").exists());
    assert!(resolve("mine", &config).await.is_err());
}

#[tokio::test]
async fn a_broken_catalogue_of_the_users_is_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    std::fs::create_dir_all(&config.models.dir).unwrap();
    let path = config.models.dir.join("catalogue.toml");
    std::fs::write(&path, "[[model]]\nnam = \"x\"\n").unwrap();
    let error = format!("{:#}", resolve("dolly-v2-3b", &config).await.unwrap_err());
    assert!(error.contains("catalogue.toml") && error.contains("nam"), "{error}");
    assert!(path.exists());
}

/// What a command prints.
async fn run(command: ModelsCommand, config: &Config) -> anyhow::Result<String> {
    let mut out = Vec::new();
    commands::run(command, config, &mut out).await?;
    Ok(String::from_utf8(out)?)
}

pub async fn add(name: &str, base: &str, config: &Config) -> anyhow::Result<String> {
    change(name, |add| add.base = Some(base.to_owned()), config).await
}

pub async fn remove(name: &str, config: &Config) -> anyhow::Result<String> {
    run(ModelsCommand::Remove { name: name.to_owned() }, config).await
}

/// Adds to what there is of an entry.
async fn change(name: &str, change: impl FnOnce(&mut Add), config: &Config) -> anyhow::Result<String> {
    let (base, adapter, scale, quantisation, template, licence) = (None, None, None, None, None, None);
    let mut add = Add { name: name.to_owned(), base, adapter, scale, quantisation, template, licence };
    change(&mut add);
    run(ModelsCommand::Add(add), config).await
}

#[tokio::test]
async fn what_is_said_anew_of_an_entry_replaces_what_was_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let entry = |name: &str| Library::open(&config.models).unwrap().entry(name).unwrap().clone();
    let file = fixture("micro/gguf/model-f16.gguf").to_str().unwrap().to_owned();

    // Other weights have another licence.
    assert!(entry("dolly-v2-3b").commercial.is_some());
    change("dolly-v2-3b", |add| add.base = Some(file.clone()), &config).await.unwrap();
    assert_eq!((entry("dolly-v2-3b").licence.as_str(), entry("dolly-v2-3b").commercial), ("", None));

    let adapter = fixture("micro/gguf/lora-f32.gguf").to_str().unwrap().to_owned();
    let refusal = change("dolly-v2-3b", |add| add.scale = Some(0.5), &config).await.unwrap_err().to_string();
    assert!(refusal.contains("no adapter") && refusal.contains("--scale"), "{refusal}");
    let scale = || entry("dolly-v2-3b").adapter.unwrap().scale;
    change("dolly-v2-3b", |add| (add.adapter, add.scale) = (Some(adapter), Some(0.5)), &config).await.unwrap();
    change("dolly-v2-3b", |add| add.licence = Some("MIT".to_owned()), &config).await.unwrap();
    assert_eq!((scale(), entry("dolly-v2-3b").licence.as_str()), (0.5, "MIT"), "as it was set");
    change("dolly-v2-3b", |add| add.scale = Some(1.0), &config).await.unwrap();
    assert_eq!(scale(), 1.0);
}

#[tokio::test]
async fn an_added_model_is_told_with_the_command_that_makes_it_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    assert!(add("fetched", "owner/base", &config).await.unwrap().contains("ai-friend models pull fetched"));
    assert!(add("above", "fetched", &config).await.unwrap().contains("ai-friend models pull above"));
    let file = fixture("micro/gguf/model-f16.gguf");
    assert!(add("here", file.to_str().unwrap(), &config).await.unwrap().contains("MODEL=here ai-friend check"));
}

#[tokio::test]
async fn a_file_that_bears_a_catalogue_name_is_written_to_in_its_own_way() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let file = folder.path().canonicalize().unwrap().join("dolly-v2-3b.gguf");
    std::fs::copy(fixture("micro/gguf/model-f16.gguf"), &file).unwrap();
    let model = resolve(file.to_str().unwrap(), &config).await.unwrap();
    assert_eq!(
        (model.gguf, model.template, model.licence),
        (file.clone(), None, None),
        "it is no model of the catalogue"
    );

    add("mine", file.to_str().unwrap(), &config).await.unwrap();
    let listed = resolve("mine", &config).await.unwrap();
    assert_eq!((listed.gguf, listed.template), (file, Some(TemplateKind::Dolly)), "as the catalogue says of it");
}

#[tokio::test]
async fn a_model_stays_while_another_one_stands_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let file = fixture("micro/gguf/model-f16.gguf").canonicalize().unwrap();
    add("ground", file.to_str().unwrap(), &config).await.unwrap();
    add("house", "ground", &config).await.unwrap();
    let refusal = remove("ground", &config).await.unwrap_err().to_string();
    assert!(refusal.contains("base of house") && refusal.contains("models add house --base"), "{refusal}");
    assert_eq!(resolve("house", &config).await.unwrap().gguf, file, "nothing was removed");

    remove("house", &config).await.unwrap();
    remove("ground", &config).await.unwrap();
    assert!(resolve("ground", &config).await.is_err());
    assert!(file.is_file(), "a file from elsewhere is its owner's");
}

#[tokio::test]
async fn models_that_would_stand_on_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let file = fixture("micro/gguf/model-f16.gguf").canonicalize().unwrap();
    add("a", file.to_str().unwrap(), &config).await.unwrap();
    add("b", "a", &config).await.unwrap();
    let refusal = add("a", "b", &config).await.unwrap_err().to_string();
    assert!(refusal.contains("`a` stands on itself") && refusal.contains("--base"), "{refusal}");

    // So deep is possible, and a new ground under it all would be too deep for the topmost.
    add("c", "b", &config).await.unwrap();
    add("d", "c", &config).await.unwrap();
    add("ground", file.to_str().unwrap(), &config).await.unwrap();
    let refusal = add("a", "ground", &config).await.unwrap_err();
    assert!(format!("{refusal:#}").contains("`d`"), "{refusal:#}");
    assert_eq!(resolve("d", &config).await.unwrap().gguf, file);
}

#[tokio::test]
async fn an_entry_that_leads_nowhere_hides_no_other_and_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    std::fs::create_dir_all(&config.models.dir).unwrap();
    let entry = |name: &str, base: &str| {
        format!(
            "[[model]]\nname = \"{name}\"\nbase.model = \"{base}\"\nquantisation = \"Q8_0\"\ntemplate = \"dolly\"\ncontext = 64\n"
        )
    };
    let own = [entry("orphan", "gone"), entry("chicken", "egg"), entry("egg", "chicken")].concat();
    std::fs::write(config.models.dir.join("catalogue.toml"), own).unwrap();
    add("mine", fixture("micro/gguf/model-f16.gguf").to_str().unwrap(), &config).await.unwrap();

    let listed = run(ModelsCommand::List, &config).await.unwrap();
    let told = |name: &str| {
        let lines = listed.lines().skip_while(|line| !line.starts_with(name));
        lines.skip(1).take_while(|line| line.starts_with(' ')).collect::<Vec<_>>().join("\n")
    };
    assert!(told("orphan").contains("cannot be served: `orphan` stands on `gone`"), "{listed}");
    assert!(told("chicken").contains("stands on itself") && told("egg").contains("stands on itself"), "{listed}");
    assert!(told("mine").contains("ready"), "{listed}");

    for name in ["mine", "orphan", "chicken", "egg"] {
        remove(name, &config).await.unwrap();
    }
    assert!(!run(ModelsCommand::List, &config).await.unwrap().contains("(yours)"));
}
