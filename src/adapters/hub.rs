//! Downloads from the Hugging Face hub, or a mirror of it, over HTTP. What paths, headers and answers mean is
//! [`friend_gguf::hub`]'s; here are the requests, the clock and the disk.
//!
//! A cut download goes on where it was, also after a restart. A file takes its name only when it is whole, has the hash
//! that the hub announced, and is on disk. The token goes to the hub alone, never to the store it redirects to.

mod part;

use std::path::{Path, PathBuf};
use std::time::Duration;

use friend_gguf::convert::Progress;
use friend_gguf::hub::{Answer, FileInfo, RepoId, judge, resolve_path};
use reqwest::header::{AUTHORIZATION, CONTENT_RANGE, HeaderMap, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Client, Method, Response, redirect};
use tokio::time::{sleep, timeout};

use crate::config::{Secret, without_password};
use part::Part;

/// Bounds of patience. The defaults suit the real hub.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest wait for the next bytes.
    pub stall: Duration,
    /// Attempts in a row that bring no new byte.
    pub fruitless: u32,
    /// Attempts in all.
    pub attempts: u32,
    /// First wait between two attempts; it doubles up to 32 times itself.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall: Duration::from_secs(30), fruitless: 5, attempts: 200, pause: Duration::from_millis(250) }
    }
}

/// Where to download from, and as whom.
#[derive(Clone, Debug)]
pub struct Hub {
    client: Client,
    /// Follows no redirect: the headers wanted are those of the hub's own answer.
    asking: Client,
    base: String,
    token: Option<Secret>,
    patience: Patience,
}

/// A file of a repository, and where it goes.
#[derive(Clone, Debug)]
pub struct Order {
    /// The repository.
    pub repo: RepoId,
    /// Branch, tag or commit.
    pub revision: String,
    /// The file's name in it.
    pub file: String,
    /// Where it goes.
    pub target: PathBuf,
}

/// A file that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its sha256, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Whether the hub had announced that hash.
    pub verified: bool,
    /// The commit it belongs to, if the hub said.
    pub commit: Option<String>,
}

/// Why a file did not arrive. No message holds the token or a signed address.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HubError {
    #[error("{file} is not in {repo} at {base}; is the name right?")]
    Missing { file: String, repo: String, base: String },
    #[error(
        "{base} does not give {file} of {repo} to you; set HF_TOKEN to a token that has accepted the model's terms"
    )]
    Forbidden { file: String, repo: String, base: String },
    #[error("{file} could not be had from {base}: {why}; what has arrived is kept, so try again to go on")]
    Broken { file: String, base: String, why: String },
    #[error("{file} arrived damaged twice: its sha256 is {got}, {base} announces {expected}; nothing was kept")]
    WrongHash { file: String, base: String, got: String, expected: String },
    #[error("{file} needs {needed} MB and the disk of {folder} has {free} MB left")]
    NoSpace { file: String, folder: String, needed: u64, free: u64 },
    #[error("cannot write {path}: {source}")]
    Disk { path: String, source: std::io::Error },
}

/// Bytes of one file at most, where the hub does not say how many it has.
const MAX_FILE: u64 = 256 << 30;
const MAX_HOPS: usize = 4;

impl Hub {
    /// A client of the hub at `base` (`https://huggingface.co` or a mirror).
    ///
    /// # Errors
    /// When the TLS library cannot start.
    pub fn new(base: &str, token: Option<Secret>, patience: Patience) -> Result<Self, reqwest::Error> {
        let build = |policy| {
            let agent = concat!("ai-friend/", env!("CARGO_PKG_VERSION"));
            let builder = Client::builder().user_agent(agent).connect_timeout(patience.stall);
            builder.read_timeout(patience.stall).redirect(policy).build()
        };
        let (client, asking) = (build(redirect::Policy::limited(8))?, build(redirect::Policy::none())?);
        Ok(Self { client, asking, base: base.trim_end_matches('/').to_owned(), token, patience })
    }

    /// Whether a file is there, and what the hub says of it. `None`: it is not there.
    ///
    /// # Errors
    /// [`HubError`] when the hub does not answer, or not to us.
    pub async fn info(&self, repo: &RepoId, revision: &str, file: &str) -> Result<Option<FileInfo>, HubError> {
        let mut url = format!("{}{}", self.base, resolve_path(repo, revision, file));
        let mut pause = Pause::new(self.patience);
        let mut hops = 0;
        // Whether the answer is that of the place to which the hub leads us.
        let mut beyond = false;
        loop {
            let client = if beyond { &self.client } else { &self.asking };
            let answer = match self.send(client, Method::HEAD, &url, 0).await {
                Ok(answer) => answer,
                Err(why) => {
                    pause.wait(None).await.map_err(|()| self.broken(file, why))?;
                    continue;
                }
            };
            let status = answer.status().as_u16();
            if (300..400).contains(&status) && !beyond {
                let info = FileInfo::from_redirect(reader(answer.headers()));
                let own = own_redirect(&self.base, answer.headers());
                match own.filter(|_| info.sha256.is_none() && hops < MAX_HOPS) {
                    // A renamed repository: the hub answers under the new name.
                    Some(next) => (url, hops) = (next, hops + 1),
                    // A mirror that only leads on does not know whether the file is there.
                    None if info == FileInfo::default() => beyond = true,
                    None => return Ok(Some(info)),
                }
                continue;
            }
            match judge(status, None, 0) {
                Answer::Restart => {
                    let info = FileInfo::from_headers(reader(answer.headers()));
                    // A store's own tag is no hash, and many stores tell no size before they send.
                    let size = info.size.filter(|size| *size > 0);
                    return Ok(Some(if beyond { FileInfo { size, sha256: None, ..info } } else { info }));
                }
                Answer::Missing => return Ok(None),
                // An address that is signed for GET alone refuses to be asked: only the download will tell.
                Answer::Forbidden | Answer::Refused if beyond => return Ok(Some(FileInfo::default())),
                Answer::Forbidden => return Err(self.forbidden(repo, file)),
                Answer::Wait => {
                    let failed = |()| self.broken(file, format!("it answers {status}"));
                    pause.wait(retry_after(answer.headers())).await.map_err(failed)?;
                }
                _ => return Err(self.broken(file, format!("it answers {status}"))),
            }
        }
    }

    /// Downloads a file, going on with what an earlier attempt left.
    ///
    /// # Errors
    /// [`HubError`]; a part that may still be of use stays as `<target>.partial`.
    pub async fn download(&self, order: &Order, progress: &mut (dyn Progress + Send)) -> Result<Arrival, HubError> {
        let info = self.info(&order.repo, &order.revision, &order.file).await?;
        let info = info.ok_or_else(|| self.missing(&order.repo, &order.file))?;
        let mut part = Part::open(&order.target, info.sha256.is_some()).await?;
        if let Some(size) = info.size {
            check_space(order, size.saturating_sub(part.bytes))?;
        }
        progress.start(&order.file, info.size.unwrap_or(0));
        progress.advance(part.bytes);
        for last in [false, true] {
            self.fill(order, &info, &mut part, progress).await?;
            let got = part.sha256();
            match &info.sha256 {
                Some(expected) if *expected != got => {
                    part.restart().await?;
                    if last {
                        part.discard().await;
                        let (file, base, expected) =
                            (order.file.clone(), without_password(&self.base), expected.clone());
                        return Err(HubError::WrongHash { file, base, got, expected });
                    }
                    progress
                        .start(&format!("{} again: its first copy was damaged", order.file), info.size.unwrap_or(0));
                }
                expected => {
                    let (bytes, verified) = (part.bytes, expected.is_some());
                    part.publish(&order.target).await?;
                    return Ok(Arrival { sha256: got, bytes, verified, commit: info.commit });
                }
            }
        }
        Err(self.broken(&order.file, "it arrived damaged"))
    }

    /// Attempts until all bytes are there.
    async fn fill(
        &self,
        order: &Order,
        info: &FileInfo,
        part: &mut Part,
        progress: &mut (dyn Progress + Send),
    ) -> Result<(), HubError> {
        let url = format!("{}{}", self.base, resolve_path(&order.repo, &order.revision, &order.file));
        let mut pause = Pause::new(self.patience);
        loop {
            if info.size == Some(part.bytes) {
                return Ok(());
            }
            if info.size.is_some_and(|size| part.bytes > size) {
                part.restart().await?;
            }
            let before = part.bytes;
            let answer = self.send(&self.client, Method::GET, &url, part.bytes).await;
            let (why, after) = match answer {
                Err(why) => (why, None),
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
                    match judge(status, range, part.bytes) {
                        verdict @ (Answer::Append | Answer::Restart) => {
                            if verdict == Answer::Restart {
                                part.restart().await?;
                            }
                            match self.receive(answer, info, part, progress).await? {
                                Received::All => return Ok(()),
                                Received::Some(why) => (why, None),
                            }
                        }
                        Answer::AskAgain => {
                            part.restart().await?;
                            (format!("it does not go on from byte {before}"), None)
                        }
                        Answer::Wait => (format!("it answers {status}"), retry_after(answer.headers())),
                        Answer::Missing => return Err(self.missing(&order.repo, &order.file)),
                        Answer::Forbidden => return Err(self.forbidden(&order.repo, &order.file)),
                        Answer::Refused => return Err(self.broken(&order.file, format!("it answers {status}"))),
                    }
                }
            };
            if part.bytes > before {
                pause.fruitful();
            }
            pause.wait(after).await.map_err(|()| self.broken(&order.file, why))?;
        }
    }

    /// Takes one answer's body, as far as it comes.
    async fn receive(
        &self,
        mut answer: Response,
        info: &FileInfo,
        part: &mut Part,
        progress: &mut (dyn Progress + Send),
    ) -> Result<Received, HubError> {
        let most = info.size.unwrap_or(MAX_FILE);
        loop {
            let chunk = match timeout(self.patience.stall, answer.chunk()).await {
                Err(_) => return Ok(Received::Some("it stopped sending".to_owned())),
                Ok(Err(error)) => return Ok(Received::Some(plain(error))),
                Ok(Ok(None)) if info.size.is_none() || info.size == Some(part.bytes) => return Ok(Received::All),
                Ok(Ok(None)) => return Ok(Received::Some("it sent less than it announced".to_owned())),
                Ok(Ok(Some(chunk))) => chunk,
            };
            if part.bytes + chunk.len() as u64 > most {
                part.restart().await?;
                return Ok(Received::Some("it sent more than it announced".to_owned()));
            }
            part.append(&chunk).await?;
            progress.advance(chunk.len() as u64);
        }
    }

    async fn send(&self, client: &Client, method: Method, url: &str, from: u64) -> Result<Response, String> {
        let mut request = client.request(method, url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        match timeout(self.patience.stall, request.send()).await {
            Err(_) => Err("it does not answer".to_owned()),
            Ok(answer) => answer.map_err(plain),
        }
    }

    fn missing(&self, repo: &RepoId, file: &str) -> HubError {
        HubError::Missing { file: file.to_owned(), repo: repo.to_string(), base: without_password(&self.base) }
    }

    fn forbidden(&self, repo: &RepoId, file: &str) -> HubError {
        HubError::Forbidden { file: file.to_owned(), repo: repo.to_string(), base: without_password(&self.base) }
    }

    fn broken(&self, file: &str, why: impl Into<String>) -> HubError {
        HubError::Broken { file: file.to_owned(), base: without_password(&self.base), why: why.into() }
    }
}

enum Received {
    All,
    /// Not all, and why it ended.
    Some(String),
}

/// An error's words and those of its causes, without the address: a store's address is signed.
fn plain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

fn reader<'a>(headers: &'a HeaderMap) -> impl Fn(&str) -> Option<&'a str> {
    |name: &str| headers.get(name).and_then(|value| value.to_str().ok())
}

/// Where a redirect leads, if it stays with the hub.
fn own_redirect(base: &str, headers: &HeaderMap) -> Option<String> {
    let place = headers.get(LOCATION)?.to_str().ok()?;
    if place.starts_with('/') && !place.starts_with("//") {
        let host_end = base.find("://").and_then(|at| base[at + 3..].find('/').map(|slash| at + 3 + slash));
        return Some(format!("{}{place}", &base[..host_end.unwrap_or(base.len())]));
    }
    place.strip_prefix(base).filter(|rest| rest.starts_with('/')).map(|_| place.to_owned())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(120)))
}

/// Counts attempts and waits between them.
struct Pause {
    patience: Patience,
    attempts: u32,
    fruitless: u32,
}

impl Pause {
    fn new(patience: Patience) -> Self {
        Self { patience, attempts: 0, fruitless: 0 }
    }

    fn fruitful(&mut self) {
        self.fruitless = 0;
    }

    /// Waits before the next attempt, or tells that it was the last.
    async fn wait(&mut self, asked: Option<Duration>) -> Result<(), ()> {
        self.attempts += 1;
        self.fruitless += 1;
        if self.attempts >= self.patience.attempts || self.fruitless >= self.patience.fruitless {
            return Err(());
        }
        sleep(asked.unwrap_or_else(|| self.patience.pause * (1 << self.fruitless.min(5)))).await;
        Ok(())
    }
}

fn check_space(order: &Order, needed: u64) -> Result<(), HubError> {
    let folder = order.target.parent().unwrap_or(Path::new("."));
    match crate::models::space::free(folder) {
        Some(free) if free < needed => Err(HubError::NoSpace {
            file: order.file.clone(),
            folder: folder.display().to_string(),
            needed: needed >> 20,
            free: free >> 20,
        }),
        _ => Ok(()),
    }
}
