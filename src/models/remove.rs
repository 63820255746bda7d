//! `models remove`: what was made and fetched for a model goes; what is somebody else's, or another model's too, stays.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use friend_gguf::convert::format::partial_path;
use friend_gguf::hub::RepoId;

use super::library::Library;
use super::prepare::{Workshop, leftovers};
use super::{pull, space};
use crate::config::Config;

/// Removes a model's files, and its entry if it is the user's own.
///
/// # Errors
/// When other models stand on it, or the disk refuses.
pub async fn remove(name: &str, config: &Config, out: &mut (dyn Write + Send)) -> Result<()> {
    let mut library = Library::open(&config.models)?;
    let entry = library.entry(name)?.clone();
    let standing = library.standing_on(name);
    if !standing.is_empty() {
        bail!(
            "`{name}` stays, as it is the base of {}: remove what stands on it first, or give that another base \
             (`ai-friend models add {} --base …`)",
            standing.join(", "),
            standing[0]
        );
    }
    let hub = super::hub(&config.models)?;
    let workshop = Workshop { library: &library, hub: &hub };
    // Nothing is taken away under a process that makes it.
    let _lock = workshop.lock().await?;
    // An entry whose base is gone has no file to remove, but can be removed itself.
    let target = workshop.target(&entry).ok();
    let others = library.entries().iter().filter(|other| other.name != name);
    let shared = target.is_some() && others.map(|other| workshop.target(other).ok()).any(|other| other == target);
    let given = library.root(&entry).is_ok_and(|root| root.base.path.is_some() && root.base.path == target);
    let lora = library.file(&format!("{name}.lora.gguf"));
    let mut halves = vec![partial_path(&lora)];
    let mut made = vec![lora];
    match target {
        Some(target) if shared && target.is_file() => {
            writeln!(out, "{} stays: another model stands on it", target.display())?;
        }
        // A file that was there before its entry is its owner's, wherever it lies.
        Some(target) if !given && !shared => {
            halves.extend(leftovers(&target));
            made.push(target);
        }
        _ => {}
    }
    let mut freed: u64 = halves.iter().map(|file| Library::remove(file)).sum();
    for file in made {
        // Only what has a record was made here.
        if Library::record(&file).is_some() {
            freed += Library::remove(&file);
        } else if file.is_file() {
            writeln!(out, "{} stays: it was not made here", file.display())?;
        }
    }
    if let (Some(repo), false) = (&entry.base.hub, shared) {
        let folder = pull::folder_of(&library, &RepoId::parse(repo).map_err(anyhow::Error::msg)?);
        freed += std::fs::read_dir(&folder)
            .map_or(0, |files| files.flatten().filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum());
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove the downloaded files");
            }
            _ => {}
        }
    }
    let own = library.is_own(name);
    if own {
        library.forget(name)?;
    }
    match freed {
        0 if !own => writeln!(out, "nothing of {name} was here to remove")?,
        _ => writeln!(out, "removed {name}: {} freed", space::human(freed))?,
    }
    Ok(())
}
