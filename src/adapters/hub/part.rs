//! A download on its way to the disk: it grows as `<target>.partial`, and its hash with it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::HubError;

/// A file that is growing, and the hash of what it holds.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    hash: Sha256,
    /// Bytes that have arrived.
    pub(super) bytes: u64,
}

impl Part {
    /// Opens `<target>.partial`; what it holds is kept where the announced hash can tell whether it was right.
    pub(super) async fn open(target: &Path, keep: bool) -> Result<Self, HubError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(disk(folder))?;
        }
        let mut options = OpenOptions::new();
        let file =
            options.create(true).read(true).write(true).truncate(!keep).open(&path).await.map_err(disk(&path))?;
        let mut part = Self { path, file, hash: Sha256::new(), bytes: 0 };
        let mut buffer = vec![0; 1 << 20];
        loop {
            let got = part.file.read(&mut buffer).await.map_err(disk(&part.path))?;
            if got == 0 {
                return Ok(part);
            }
            part.hash.update(&buffer[..got]);
            part.bytes += got as u64;
        }
    }

    pub(super) async fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).await.map_err(disk(&self.path))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) async fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).await.map_err(disk(&self.path))?;
        self.file.rewind().await.map_err(disk(&self.path))?;
        (self.hash, self.bytes) = (Sha256::new(), 0);
        Ok(())
    }

    /// The hash of what has arrived, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Removes it: nothing in it is of use.
    pub(super) async fn discard(&self) {
        let _ = tokio::fs::remove_file(&self.path).await;
    }

    /// Gives the whole file its name.
    pub(super) async fn publish(mut self, target: &Path) -> Result<(), HubError> {
        self.file.flush().await.map_err(disk(&self.path))?;
        self.file.sync_all().await.map_err(disk(&self.path))?;
        tokio::fs::rename(&self.path, target).await.map_err(disk(target))
    }
}

fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> HubError {
    let path = path.display().to_string();
    move |source| HubError::Disk { path, source }
}
