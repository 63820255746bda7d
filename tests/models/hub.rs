//! Downloads that are cut, stalled, lied about and damaged.

use std::path::Path;
use std::time::Duration;

use ai_friend::adapters::hub::{Arrival, Hub, HubError, Order, Patience};
use ai_friend::config::Secret;
use friend_gguf::hub::RepoId;

use crate::server::{Asked, Reply, Server};
use crate::sha256;

const PATIENCE: Patience =
    Patience { stall: Duration::from_millis(300), fruitless: 3, attempts: 20, pause: Duration::from_millis(1) };

fn content() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// The hub's answer before the file: where it is, how large, which hash.
fn announced(content: &[u8]) -> Reply {
    let reply = Reply::status(200).with("x-linked-etag", format!("\"{}\"", sha256(content)));
    Reply { length: Some(content.len()), ..reply.with("x-linked-size", content.len()).with("x-repo-commit", "c0ffee") }
}

/// What a decent server answers to a request for `content`, from the byte that was asked for.
fn served(asked: &Asked, content: &[u8]) -> Reply {
    match asked.from() {
        0 => Reply { status: 200, body: content.to_vec(), ..Reply::default() },
        from => {
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            Reply { status: 206, body: content[from..].to_vec(), ..Reply::default() }.with("content-range", range)
        }
    }
}

async fn download(server: &Server, folder: &Path) -> Result<Arrival, HubError> {
    let hub = Hub::new(&server.url(), Some(Secret::new("hf_SECRET")), PATIENCE).unwrap();
    let repo = RepoId::parse("owner/name").unwrap();
    let order = Order { repo, revision: "main".into(), file: "model.bin".into(), target: folder.join("model.bin") };
    hub.download(&order, &mut ()).await
}

/// A hub that only leads on to `store`, and says nothing of the file.
fn leading_to(store: &Server) -> Server {
    let place = format!("http://localhost:{}/blob", store.port());
    let etag = format!("\"{}\"", "0".repeat(64));
    Server::start(move |_, _| Reply::status(302).with("location", &place).with("etag", &etag))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_whole_file_arrives_with_its_hash_and_commit() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "HEAD" => announced(&content()),
        _ => served(asked, &content()),
    });
    let folder = tempfile::tempdir().unwrap();
    let arrival = download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
    let expected =
        Arrival { sha256: sha256(&content()), bytes: 400_000, verified: true, commit: Some("c0ffee".into()) };
    assert_eq!(arrival, expected);
    assert_eq!(server.asked()[0].path, "/owner/name/resolve/main/model.bin");
    assert_eq!(names(folder.path()), ["model.bin"]);
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was_cut() {
    let server = Server::start(|asked, number| match (asked.method.as_str(), number) {
        ("HEAD", _) => announced(&content()),
        (_, 1) => Reply { body: content()[..150_000].to_vec(), length: Some(400_000), ..served(asked, &content()) },
        _ => served(asked, &content()),
    });
    let folder = tempfile::tempdir().unwrap();
    download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
    let again: Vec<_> = server.asked().iter().skip(2).map(Asked::from).collect();
    assert_eq!(again, [150_000], "one request for the rest");
}

#[tokio::test]
async fn a_later_start_goes_on_with_what_an_earlier_one_left() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.bin.partial"), &content()[..300_000]).unwrap();
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "HEAD" => announced(&content()),
        _ => served(asked, &content()),
    });
    download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
    assert_eq!(server.asked()[1].from(), 300_000);
}

#[tokio::test]
async fn what_was_left_of_another_version_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.bin.partial"), vec![7; 300_000]).unwrap();
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "HEAD" => announced(&content()),
        _ => served(asked, &content()),
    });
    download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
}

#[tokio::test]
async fn a_server_that_stops_sending_is_asked_again() {
    let server = Server::start(|asked, number| match (asked.method.as_str(), number) {
        ("HEAD", _) => announced(&content()),
        (_, 1) => {
            Reply { body: content()[..1000].to_vec(), length: Some(400_000), stall: true, ..served(asked, &content()) }
        }
        _ => served(asked, &content()),
    });
    let folder = tempfile::tempdir().unwrap();
    download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
}

#[tokio::test]
async fn a_server_that_ignores_the_range_starts_again_and_nothing_is_doubled() {
    let server = Server::start(|asked, number| match (asked.method.as_str(), number) {
        ("HEAD", _) => announced(&content()),
        (_, 1) => Reply { status: 200, body: content()[..5000].to_vec(), length: Some(400_000), ..Reply::default() },
        _ => Reply { status: 200, body: content(), ..Reply::default() },
    });
    let folder = tempfile::tempdir().unwrap();
    download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
}

#[tokio::test]
async fn a_server_that_sends_less_or_more_than_it_announced_is_given_up_and_the_target_is_not_made() {
    for body in [&content()[..1000], &[content(), vec![0; 64]].concat()] {
        let body = body.to_vec();
        let server = Server::start(move |asked, _| match (asked.method.as_str(), asked.from()) {
            ("HEAD", _) => announced(&content()),
            (_, 0) => Reply { status: 200, body: body.clone(), ..Reply::default() },
            // Nothing more to be had.
            _ => Reply::status(416),
        });
        let folder = tempfile::tempdir().unwrap();
        let error = download(&server, folder.path()).await.unwrap_err();
        assert!(matches!(error, HubError::Broken { .. }), "{error}");
        assert!(!folder.path().join("model.bin").exists());
    }
}

#[tokio::test]
async fn a_damaged_file_is_fetched_once_more_and_then_refused() {
    let mut damaged = content();
    damaged[77] ^= 1;
    let server = Server::start(move |asked, _| match asked.method.as_str() {
        "HEAD" => announced(&content()),
        _ => served(asked, &damaged),
    });
    let folder = tempfile::tempdir().unwrap();
    let error = download(&server, folder.path()).await.unwrap_err();
    assert!(matches!(error, HubError::WrongHash { .. }), "{error}");
    assert_eq!(server.asked().len(), 3);
    assert!(names(folder.path()).is_empty(), "nothing damaged is kept");
}

#[tokio::test]
async fn a_busy_server_is_waited_for_and_a_missing_file_is_not() {
    let server = Server::start(|asked, number| match (asked.method.as_str(), number) {
        (_, 0 | 2) => Reply::status(503).with("retry-after", 0),
        ("HEAD", _) => announced(&content()),
        _ => served(asked, &content()),
    });
    let folder = tempfile::tempdir().unwrap();
    download(&server, folder.path()).await.unwrap();

    let server = Server::start(|_, _| Reply::status(404));
    let error = download(&server, folder.path()).await.unwrap_err();
    assert!(matches!(error, HubError::Missing { .. }), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_redirects_own_length_and_tag_are_not_the_files() {
    // With the size that the store tells, and with none, where it is signed for GET alone.
    for head in [200, 403] {
        let store = Server::start(move |asked, _| match asked.method.as_str() {
            "HEAD" => Reply { status: head, length: Some(if head == 200 { 400_000 } else { 9 }), ..Reply::default() },
            _ => served(asked, &content()),
        });
        let server = leading_to(&store);
        let folder = tempfile::tempdir().unwrap();
        let arrival = download(&server, folder.path()).await.unwrap();
        assert_eq!((arrival.bytes, arrival.verified), (400_000, false), "{head}");
        assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
        assert!(store.asked().iter().all(|asked| asked.header("authorization").is_none()));
    }
    // One that leads on with a length of its own and says the file's hash.
    let store = Server::start(|asked, _| served(asked, &content()));
    let place = format!("http://localhost:{}/blob", store.port());
    let server = Server::start(move |_, _| {
        let reply = Reply { length: Some(77), ..Reply::status(302) }.with("location", &place);
        reply.with("x-linked-etag", sha256(&content()))
    });
    let folder = tempfile::tempdir().unwrap();
    let arrival = download(&server, folder.path()).await.unwrap();
    assert_eq!((arrival.bytes, arrival.verified), (400_000, true));
}

#[tokio::test]
async fn a_redirect_that_says_nothing_does_not_make_a_file_be_there() {
    let store = Server::start(|_, _| Reply::status(404));
    let server = leading_to(&store);
    let hub = Hub::new(&server.url(), None, PATIENCE).unwrap();
    let info = hub.info(&RepoId::parse("owner/name").unwrap(), "main", "model.bin").await.unwrap();
    assert_eq!(info, None);
    let folder = tempfile::tempdir().unwrap();
    let error = download(&server, folder.path()).await.unwrap_err();
    assert!(matches!(error, HubError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn the_token_goes_to_the_hub_alone_and_into_no_error() {
    let store = Server::start(|asked, _| served(asked, &content()));
    let place = format!("http://localhost:{}/blob?signature=SIGNED", store.port());
    let server = Server::start(move |asked, _| match asked.method.as_str() {
        "HEAD" => Reply { status: 302, length: Some(0), ..announced(&content()) }.with("location", &place),
        _ => Reply::status(302).with("location", &place),
    });
    let folder = tempfile::tempdir().unwrap();
    download(&server, folder.path()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), content());
    assert!(server.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer hf_SECRET")));
    assert!(!store.asked().is_empty() && store.asked().iter().all(|asked| asked.header("authorization").is_none()));

    let server = Server::start(|_, _| Reply::status(401));
    let error = download(&server, folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    assert!(!format!("{error} {error:?}").contains("SECRET"));
    drop(server);
    let gone = "http://127.0.0.1:9";
    let hub = Hub::new(gone, Some(Secret::new("hf_SECRET")), PATIENCE).unwrap();
    let error = hub.info(&RepoId::parse("owner/name").unwrap(), "main", "x").await.unwrap_err();
    assert!(error.to_string().contains(gone) && !format!("{error} {error:?} {hub:?}").contains("SECRET"), "{error}");
}
