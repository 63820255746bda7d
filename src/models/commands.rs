//! What `ai-friend models …` does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use friend_gguf::catalogue::{Adapter, Base, Entry, Template, check_name};
use friend_gguf::convert::format::GgufFile;
use friend_gguf::convert::{
    Dtype, Importance, LoraOptions, MergeOptions, ModelOptions, Provenance, QuantType, Summary, SynthesizeOptions,
    convert_lora, convert_model, merge, preflight, synthesize,
};
use friend_gguf::hub::RepoId;
use friend_gguf::llama::{QuantizeOptions, quantize};

use super::library::Library;
use super::prepare::{Workshop, blocking};
use super::progress::Bar;
use super::provenance::other_base;
use super::remove::remove;
use super::{report, space};
use crate::cli::models::{Add, DtypeName, LoraDtypeName, ModelsCommand, TemplateName};
use crate::complaint::complaint;
use crate::config::{Config, make_models};

/// Runs one command; what it finds goes to `out`, progress to standard error.
///
/// # Errors
/// What went wrong and what to do.
pub async fn run(command: ModelsCommand, config: &Config, out: &mut (dyn Write + Send)) -> Result<ExitCode> {
    match command {
        ModelsCommand::List => list(config, out)?,
        ModelsCommand::Pull { name } => fetch(&name, config, out).await?,
        ModelsCommand::Add(add) => add_entry(&add, config, out)?,
        ModelsCommand::Remove { name } => remove(&name, config, out).await?,
        ModelsCommand::Convert { folder, output, dtype } => {
            let options = ModelOptions { folder, output: output.clone(), dtype: dtype.into() };
            let summary = blocking(move || Ok(convert_model(&options, &mut Bar::stderr())?)).await?;
            tell(out, &output, &summary)?;
        }
        ModelsCommand::ConvertLora { folder, base, output, dtype } => {
            let options = LoraOptions { adapter: folder, base, output: output.clone(), dtype: dtype.into() };
            let summary = blocking(move || Ok(convert_lora(&options, &mut Bar::stderr())?)).await?;
            tell(out, &output, &summary)?;
        }
        ModelsCommand::Merge { base, lora, output, dtype } => {
            let (adapter, scale, dtype) = (lora.path, lora.scale, dtype.into());
            let options = MergeOptions { base, adapter, scale, output: output.clone(), dtype };
            let models = config.models.clone();
            let (other, summary) = blocking(move || {
                let other = other_base(&options.adapter, &options.base, &models)?;
                Ok((other, merge(&options, &mut Bar::stderr())?))
            })
            .await?;
            tell(out, &output, &summary)?;
            if let Some(other) = other {
                writeln!(out, "{other}")?;
            }
        }
        ModelsCommand::Quantize { input, output, kind, allow_requantize, importance, threads } => {
            let importance = importance.as_deref().map(Importance::open).transpose()?;
            let options =
                QuantizeOptions { input, output: output.clone(), kind, allow_requantize, importance, threads };
            let summary = blocking(move || Ok(quantize(&options, &mut Bar::stderr())?)).await?;
            tell(out, &output, &summary)?;
        }
        ModelsCommand::Inspect { file, json } => report::inspect(&file, json, out)?,
        ModelsCommand::Verify(verify) => return report::verify(verify, out).await,
        ModelsCommand::Synthesize { shape, kind, seed, output } => {
            let output = match output {
                Some(output) => output,
                None => Library::open(&config.models)?.file(&format!("{}-random.{kind}.gguf", shape.name())),
            };
            let options = SynthesizeOptions { shape, kind, seed, output: output.clone() };
            if let Some(folder) = output.parent() {
                std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            }
            let summary = blocking(move || Ok(synthesize(&options, &mut Bar::stderr())?)).await?;
            tell(out, &output, &summary)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(out: &mut dyn Write, path: &Path, summary: &Summary) -> io::Result<()> {
    let (parameters, size) = (summary.parameters as f64 / 1e6, space::human(summary.bytes));
    writeln!(out, "{}: {} tensors, {parameters:.1} million values, {size}", path.display(), summary.tensors)
}

fn list(config: &Config, out: &mut dyn Write) -> Result<()> {
    let library = Library::open(&config.models)?;
    let hub = super::hub(&config.models)?;
    let workshop = Workshop { library: &library, hub: &hub };
    for entry in library.entries() {
        let own = if library.is_own(&entry.name) { " (yours)" } else { "" };
        writeln!(out, "{}{own}\n    {}", entry.name, entry.about)?;
        match state(&workshop, entry) {
            Ok(lines) => writeln!(out, "    {}", lines.join("\n    "))?,
            // What is wrong with one entry hides none of the others.
            Err(error) => writeln!(out, "    cannot be served: {}", complaint(&error))?,
        }
    }
    for (file, bytes) in unused(&workshop, &config.model.name) {
        let (file, size) = (file.display(), space::human(bytes));
        writeln!(out, "no longer used, can be deleted: {file}, {size} on disk (an earlier form of a model above)")?;
    }
    Ok(())
}

/// What is here of an entry, and on what terms it may be used.
fn state(workshop: &Workshop<'_>, entry: &Entry) -> Result<Vec<String>> {
    let library = workshop.library;
    let target = workshop.target(entry)?;
    let state = match std::fs::metadata(&target) {
        Ok(about) => format!("ready, {} on disk", space::human(about.len())),
        Err(_) => match &library.root(entry)?.base.bundled {
            Some(source) if library.bundled(source).is_file() => "made at the first start".to_owned(),
            Some(source) => format!("not here: {source} is missing ({} fetches it)", make_models(library.dir())),
            None => "not here yet".to_owned(),
        },
    };
    let here = workshop.adapter_here(entry);
    let adapter = match &entry.adapter {
        Some(Adapter { missing: Some(_), .. }) if here.is_none() => {
            "; its adapter must be added: ai-friend models add --help"
        }
        Some(Adapter { shipped: Some(_), .. }) if here.is_none() => "; its adapter, which ships with it, is not here",
        Some(_) => "; with an adapter",
        None => "",
    };
    let file = [Some(&target), entry.base.path.as_ref()].into_iter().flatten().find(|file| file.is_file());
    let mut lines = vec![format!("{}: {state}{adapter}", entry.quantisation), terms_of(entry, file)];
    if let Some(here) = here {
        lines.push(match Provenance::of(&here) {
            Ok(said) => format!("its adapter: {}", terms(said.licence.as_deref(), said.commercial)),
            Err(error) => format!("its adapter: {error}"),
        });
    }
    Ok(lines)
}

/// Files of the models' folder that were made for an entry which is now served in another form, and their bytes; not the one that the
/// settings name, nor one that an own entry stands on.
fn unused(workshop: &Workshop<'_>, set: &str) -> Vec<(PathBuf, u64)> {
    let targets: Vec<_> = workshop.library.entries().iter().filter_map(|entry| workshop.target(entry).ok()).collect();
    let model = |file: &Path| {
        let (model, form) = file.file_name()?.to_str()?.strip_suffix(".gguf")?.rsplit_once('.')?;
        form.parse::<QuantType>().ok().map(|_| model.to_owned())
    };
    let served: Vec<String> = targets.iter().filter_map(|target| model(target)).collect();
    let real = |file: &Path| file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let used: Vec<PathBuf> = targets.iter().map(PathBuf::as_path).chain([Path::new(set)]).map(real).collect();
    let Ok(folder) = std::fs::read_dir(workshop.library.dir()) else { return Vec::new() };
    let mut found: Vec<_> = folder
        .flatten()
        .map(|file| file.path())
        // Only what has a record was made here: other files are their owner's.
        .filter(|file| !used.contains(&real(file)) && model(file).is_some_and(|model| served.contains(&model)))
        .filter_map(|file| Library::record(&file).map(|record| (file, record.bytes)))
        .collect();
    found.sort();
    found
}

/// What the catalogue says of an entry's licence, and where it says nothing the file itself, which may be a merged one.
fn terms_of(entry: &Entry, file: Option<&PathBuf>) -> String {
    let said = file.map_or_else(|| Ok(Provenance::default()), |file| Provenance::of(file));
    let said = match said {
        Ok(said) => said,
        Err(error) => return error.to_string(),
    };
    let licence = Some(entry.licence.as_str()).filter(|licence| !licence.is_empty());
    let commercial = said.commercial.filter(|allowed| !allowed).or(entry.commercial).or(said.commercial);
    terms(licence.or(said.licence.as_deref()), commercial)
}

/// A licence, and whether it allows commercial use, in words.
fn terms(licence: Option<&str>, commercial: Option<bool>) -> String {
    let commercial = match commercial {
        Some(true) => "commercial use allowed",
        Some(false) => "not for commercial use",
        None => "commercial use: nobody has checked",
    };
    format!("{} ({commercial})", licence.unwrap_or("unknown licence"))
}

async fn fetch(name: &str, config: &Config, out: &mut (dyn Write + Send)) -> Result<()> {
    let library = Library::open(&config.models)?;
    let hub = super::hub(&config.models)?;
    let workshop = Workshop { library: &library, hub: &hub };
    let entry = library.entry(name)?.clone();
    workshop.local_adapter(&entry)?;
    let gguf = workshop.base(&entry).await?;
    let hash = Library::record(&gguf).map_or_else(String::new, |record| format!("  sha256 {}", record.sha256));
    writeln!(out, "{}{hash}", gguf.display())?;
    if let Some((adapter, scale)) = workshop.adapter(&entry, &gguf).await? {
        writeln!(out, "{}  scale {scale}", adapter.display())?;
    }
    Ok(())
}

fn add_entry(add: &Add, config: &Config, out: &mut dyn Write) -> Result<()> {
    check_name(&add.name).map_err(anyhow::Error::msg)?;
    let mut library = Library::open(&config.models)?;
    let old = library.entry(&add.name).ok().cloned();
    let base = add.base.as_deref().map(|base| base_of(&library, base)).transpose()?;
    let mut entry = match (old, base) {
        (Some(old), None) => old,
        // Nobody has said how the new weights may be used.
        (Some(old), Some(base)) => {
            Entry { base, requantise: false, importance: None, licence: String::new(), commercial: None, ..old }
        }
        (None, Some(base)) => {
            let template = template_of(&library, &base)?;
            Entry { template, ..super::made_up(add.name.clone(), base, super::default_quantisation(u64::MAX)?) }
        }
        (None, None) => bail!("`{}` is new: say where its weights are with --base", add.name),
    };
    match (&add.adapter, add.scale, entry.adapter.as_mut()) {
        (Some(adapter), scale, _) => entry.adapter = Some(adapter_of(adapter, scale.unwrap_or(1.0))?),
        (None, Some(scale), Some(adapter)) => adapter.scale = scale,
        (None, Some(_), None) => {
            bail!("`{}` has no adapter that --scale could count for: name one with --adapter", add.name)
        }
        (None, None, _) => {}
    }
    entry.quantisation = add.quantisation.unwrap_or(entry.quantisation);
    entry.template = add.template.map_or(entry.template, Template::from);
    if let Some(licence) = &add.licence {
        (entry.licence, entry.commercial) = (licence.clone(), None);
    }
    library.add(entry)?;
    // What is only a download away `check` does not fetch.
    let next = match library.root(library.entry(&add.name)?)?.base.hub {
        Some(_) => format!("`ai-friend models pull {}` fetches it and makes it ready", add.name),
        None => format!("`MODEL={} ai-friend check` makes it ready and tries it", add.name),
    };
    writeln!(out, "added {}; {next}", add.name)?;
    Ok(())
}

fn base_of(library: &Library, text: &str) -> Result<Base> {
    let path = Path::new(text);
    if path.is_dir() {
        if !path.join("config.json").is_file() {
            bail!("{text} holds no config.json: it is no model's folder");
        }
        return Ok(Base { path: Some(path.canonicalize()?), ..Base::default() });
    }
    if path.is_file() {
        preflight(path)?;
        return Ok(Base { path: Some(path.canonicalize()?), ..Base::default() });
    }
    if library.entry(text).is_ok() {
        return Ok(Base { model: Some(text.to_owned()), ..Base::default() });
    }
    match RepoId::parse(text) {
        Ok(repo) => Ok(Base { hub: Some(repo.to_string()), ..Base::default() }),
        Err(_) => bail!("`{text}` is no name of the catalogue, no folder, no GGUF, and no repository (owner/name)"),
    }
}

/// How prompts are written for a base that nobody said it of: as its entry says, or by its own chat template where it has one.
fn template_of(library: &Library, base: &Base) -> Result<Template> {
    if let Some(name) = &base.model {
        return Ok(library.entry(name)?.template);
    }
    let own = match &base.path {
        Some(file) if file.is_file() => GgufFile::open(file)?.metadata.text("tokenizer.chat_template").is_some(),
        _ => false,
    };
    Ok(if own { Template::Chat } else { Template::Dolly })
}

fn adapter_of(text: &str, scale: f32) -> Result<Adapter> {
    let path = Path::new(text);
    if path.is_dir() && !path.join("adapter_config.json").is_file() {
        bail!("{text} holds no adapter_config.json: it is no PEFT folder");
    }
    if path.exists() {
        let path = path.canonicalize().with_context(|| format!("cannot read {text}"))?;
        return Ok(Adapter { path: Some(path), scale, ..Adapter::default() });
    }
    match RepoId::parse(text) {
        Ok(repo) => Ok(Adapter { hub: Some(repo.to_string()), scale, ..Adapter::default() }),
        Err(_) => bail!("`{text}` is no PEFT folder, no GGUF, and no repository (owner/name)"),
    }
}

impl From<DtypeName> for Dtype {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Self::F32,
            DtypeName::F16 => Self::F16,
            DtypeName::Q8_0 => Self::Q8_0,
        }
    }
}

impl From<LoraDtypeName> for Dtype {
    fn from(name: LoraDtypeName) -> Self {
        match name {
            LoraDtypeName::F32 => Self::F32,
            LoraDtypeName::F16 => Self::F16,
        }
    }
}

impl From<TemplateName> for Template {
    fn from(name: TemplateName) -> Self {
        match name {
            TemplateName::Dolly => Self::Dolly,
            TemplateName::Chat => Self::Chat,
        }
    }
}
