//! Adapters that say what they are: which base they belong to, which template, what they may be used for; and those that
//! ship with the program.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ai_friend::cli::models::{DtypeName, Lora, ModelsCommand};
use ai_friend::config::Config;
use ai_friend::models::library::{Library, sha256};
use ai_friend::models::provenance::Bond;
use ai_friend::models::{commands, resolve_name as resolve};
use friend_actors::persona::TemplateKind;
use friend_gguf::convert::format::GgufFile;
use friend_gguf::convert::{Dtype, LoraOptions, MergeOptions, convert_lora, merge};

use crate::fixture;

/// A models' folder, a folder of shipped adapters, and a catalogue with one entry `tiny`.
struct House {
    folder: tempfile::TempDir,
    config: Config,
}

const SHIPPED: &str = "adapter.shipped = \"friend-tiny.gguf\"";

impl House {
    /// `lines` are the entry's own.
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.models.dir = folder.path().join("models");
        config.models.adapters = folder.path().join("adapters");
        config.models.hub_url = "http://127.0.0.1:9".to_owned();
        let house = Self { folder, config };
        fs::create_dir_all(&house.config.models.dir).unwrap();
        fs::create_dir_all(&house.config.models.adapters).unwrap();
        let base = if lines.contains("base.") { String::new() } else { format!("base.path = {:?}\n", base()) };
        let entry = format!(
            "[[model]]\nname = \"tiny\"\n{base}quantisation = \"Q8_0\"\ntemplate = \"chat\"\ncontext = 256\n\
             licence = \"MIT\"\ncommercial = true\n{lines}\n"
        );
        fs::write(house.config.models.dir.join("catalogue.toml"), entry).unwrap();
        house
    }

    /// The tiny adapter as a PEFT folder that says `said` of itself.
    fn peft(&self, said: &str) -> PathBuf {
        let folder = self.folder.path().join("peft");
        fs::create_dir_all(&folder).unwrap();
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            fs::copy(fixture("llama/lora-new").join(file), folder.join(file)).unwrap();
        }
        fs::write(folder.join("friend_adapter.json"), said).unwrap();
        folder
    }

    /// The same as the GGUF that ships.
    fn ship(&self, said: &str) -> PathBuf {
        let output = self.config.models.adapters.join("friend-tiny.gguf");
        let options = LoraOptions { adapter: self.peft(said), base: base(), output: output.clone(), dtype: Dtype::F16 };
        convert_lora(&options, &mut ()).unwrap();
        output
    }

    async fn adapter(&self) -> Result<Option<(PathBuf, f32)>, String> {
        resolve("tiny", &self.config).await.map(|model| model.adapter).map_err(|error| format!("{error:#}"))
    }

    async fn listed(&self) -> String {
        let mut out = Vec::new();
        commands::run(ModelsCommand::List, &self.config, &mut out).await.unwrap();
        let listed = String::from_utf8(out).unwrap();
        listed[listed.find("tiny (yours)").unwrap()..].to_owned()
    }
}

fn base() -> PathBuf {
    fixture("llama/gguf/model-f32.gguf")
}

fn of_base(file: &Path) -> String {
    format!(r#"{{"base_sha256": "{}", "base_name": "the tiny one"}}"#, sha256(file).unwrap())
}

#[tokio::test]
async fn an_adapter_that_ships_is_found_and_can_be_turned_off() {
    let mut house = House::new(&format!("{SHIPPED}\nadapter.scale = 0.5"));
    let missing = house.adapter().await.unwrap_err();
    assert!(missing.contains("friend-tiny.gguf") && missing.contains("--no-adapter"), "{missing}");
    assert!(house.listed().await.contains("is not here"));
    let shipped = house.ship(r#"{"licence": "Apache-2.0", "commercial": true}"#);
    assert_eq!(house.adapter().await, Ok(Some((shipped, 0.5))));
    let listed = house.listed().await;
    assert!(listed.contains("with an adapter"), "{listed}");
    assert!(listed.contains("    MIT (commercial use allowed)\n"), "{listed}");
    assert!(listed.contains("    its adapter: Apache-2.0 (commercial use allowed)\n"), "{listed}");
    house.config.model.use_adapter = false;
    assert_eq!(house.adapter().await, Ok(None));
}

#[tokio::test]
async fn a_form_that_is_no_longer_served_is_listed_to_be_deleted_and_other_peoples_files_are_not() {
    let mut house = House::new(&format!("base.path = {:?}", fixture("llama/hf-safetensors")));
    let dir = house.config.models.dir.clone();
    for name in ["tiny.Q4_0.gguf", "tiny.mine.gguf", "other.Q4_0.gguf", "tiny.Q5_0.gguf"] {
        fs::write(dir.join(name), "x".repeat(2000)).unwrap();
    }
    for name in ["tiny.Q4_0.gguf", "tiny.mine.gguf", "other.Q4_0.gguf"] {
        Library::put_record(&dir.join(name), "made here").unwrap();
    }
    let listed = house.listed().await;
    let unused: Vec<_> = listed.lines().filter(|line| line.starts_with("no longer used")).collect();
    assert!(unused.len() == 1 && unused[0].contains("tiny.Q4_0.gguf, 2 kB on disk"), "{listed}");
    house.config.model.name = dir.join("../models/tiny.Q4_0.gguf").display().to_string();
    assert!(!house.listed().await.contains("no longer used"), "the settings name it");
}

#[tokio::test]
async fn an_adapter_of_another_base_is_refused_and_the_bases_sum_is_remembered() {
    let house = House::new(SHIPPED);
    house.ship(&of_base(&base()));
    assert!(house.adapter().await.unwrap().is_some());
    // Changed in the memory only: that it is believed shows that the file is not hashed again.
    let memory = fs::read_dir(house.config.models.dir.join(".sums")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&memory).unwrap().replace(&sha256(&base()).unwrap(), &"0".repeat(64));
    fs::write(&memory, text).unwrap();
    let refused = house.adapter().await.unwrap_err();
    for word in ["friend-tiny.gguf", "model-f32.gguf", "the tiny one", &"0".repeat(64), "--no-adapter"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    fs::write(&memory, "{").unwrap();
    assert!(house.adapter().await.unwrap().is_some(), "a broken memory is made anew");
    house.ship(&of_base(&memory));
    assert!(house.adapter().await.unwrap_err().contains("does not belong"));
}

#[tokio::test]
async fn a_bundled_base_is_known_by_the_pin_of_its_source_or_by_what_was_made_of_it() {
    let pin = sha256(&base()).unwrap();
    let lines = format!("base.bundled = \"tiny.F16.gguf\"\nbase.sha256 = \"{pin}\"\n{SHIPPED}");
    let house = House::new(&lines);
    fs::copy(base(), house.config.models.dir.join("tiny.F16.gguf")).unwrap();
    house.ship(&of_base(&base()));
    assert!(house.adapter().await.unwrap().is_some());
    let made = house.config.models.dir.join("tiny.Q8_0.gguf");
    assert_ne!(sha256(&made).unwrap(), pin);
    house.ship(&of_base(&made));
    assert!(house.adapter().await.unwrap().is_some());
    house.ship(&of_base(&fixture("llama/hf-safetensors/model.safetensors")));
    let refused = house.adapter().await.unwrap_err();
    assert!(refused.contains("the tiny one") && refused.contains(&format!("tiny.F16.gguf {pin} as Q8_0")), "{refused}");
    assert!(!house.config.models.dir.join(".sums").exists(), "its record says all");
}

#[tokio::test]
async fn an_adapter_of_another_template_is_refused() {
    let mut house = House::new(SHIPPED);
    house.ship(r#"{"template": "dolly"}"#);
    let refused = house.adapter().await.unwrap_err();
    assert!(refused.contains("this model has them written in `chat`") && refused.contains("\"dolly\""), "{refused}");
    let adapter = house.ship(r#"{"template": "chat"}"#);
    assert!(house.adapter().await.unwrap().is_some());
    let persona = Path::new(env!("CARGO_MANIFEST_DIR")).join("personas/reference.toml");
    let persona = fs::read_to_string(persona).unwrap().replace("template = \"auto\"", "template = \"dolly\"");
    let own = house.folder.path().join("persona.toml");
    fs::write(&own, persona).unwrap();
    house.config.persona.path = Some(own);
    let refused = house.adapter().await.unwrap_err();
    assert!(refused.contains("this persona has them written in `dolly`"), "{refused}");
    // A file that nobody listed: its own template decides, and this one has none.
    house.config.persona.path = None;
    house.config.model.adapter = Some(adapter);
    let refused = resolve(base().to_str().unwrap(), &house.config).await.unwrap_err().to_string();
    assert!(refused.contains("`dolly`"), "{refused}");
}

#[tokio::test]
async fn a_peft_folder_brings_what_it_says_along() {
    let house = House::new("");
    let folder = house.peft(r#"{"licence": "CC BY-NC 4.0", "commercial": false, "data": "dialogues"}"#);
    let catalogue = house.config.models.dir.join("catalogue.toml");
    let text = fs::read_to_string(&catalogue).unwrap();
    fs::write(&catalogue, format!("{text}adapter.path = {folder:?}\n")).unwrap();
    let model = resolve("tiny", &house.config).await.unwrap();
    assert_eq!(model.commercial, Some(false), "whatever the base allows");
    assert!(house.listed().await.contains("its adapter: CC BY-NC 4.0 (not for commercial use)"));

    let log = Log::default();
    let (adapter, _) = model.adapter.unwrap();
    let bond = Bond { adapter, base: model.gguf, persona: TemplateKind::Auto, listed: None };
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let library = Library::open(&house.config.models).unwrap();
    tracing::subscriber::with_default(subscriber, || bond.check(&library)).unwrap();
    let told = log.text();
    assert!(told.contains("WARN") && told.contains("may not be used commercially") && told.contains("dialogues"));

    house.peft(r#"{"commercial": "perhaps"}"#);
    let broken = house.adapter().await.unwrap_err();
    assert!(broken.contains("friend_adapter.json"), "{broken}");
}

#[tokio::test]
async fn a_merged_model_is_listed_with_its_adapters_terms() {
    let house = House::new("");
    let adapter = house.ship(r#"{"licence": "CC BY-NC 4.0", "commercial": false}"#);
    let output = house.folder.path().join("merged.gguf");
    let options = MergeOptions { base: base(), adapter, scale: 1.0, output: output.clone(), dtype: Dtype::F16 };
    merge(&options, &mut ()).unwrap();
    let catalogue = house.config.models.dir.join("catalogue.toml");
    let text = fs::read_to_string(&catalogue).unwrap();
    let silent = text.replace("licence = \"MIT\"\ncommercial = true\n", "");
    fs::write(&catalogue, silent.replace(base().to_str().unwrap(), output.to_str().unwrap())).unwrap();
    let listed = house.listed().await;
    assert!(listed.contains("CC BY-NC 4.0 (not for commercial use)"), "{listed}");
    // Whatever the catalogue allows.
    fs::write(&catalogue, text.replace(base().to_str().unwrap(), output.to_str().unwrap())).unwrap();
    assert!(house.listed().await.contains("MIT (not for commercial use)"));
}

#[tokio::test]
async fn merging_over_another_base_than_the_adapters_is_told_and_not_refused() {
    let house = House::new("");
    let output = house.folder.path().join("merged.gguf");
    let merged = async |trained_for: &Path| {
        let lora = Lora { path: house.ship(&of_base(trained_for)), scale: 1.0 };
        let command = ModelsCommand::Merge { base: base(), lora, output: output.clone(), dtype: DtypeName::F16 };
        let mut out = Vec::new();
        commands::run(command, &house.config, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    };
    let told = merged(&base()).await;
    assert!(told.lines().count() == 1 && told.contains("tensors"), "{told}");
    let other = fixture("llama/hf-safetensors/model.safetensors");
    let told = merged(&other).await;
    for word in
        ["trained for the tiny one", &sha256(&other).unwrap(), "model-f32.gguf has sha256", &sha256(&base()).unwrap()]
    {
        assert!(told.contains(word), "{word}: {told}");
    }
    let metadata = GgufFile::open(&output).unwrap().metadata;
    assert_eq!(metadata.text("friend.merged.base_sha256"), Some(sha256(&other).unwrap().as_str()));
}

/// What was logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
