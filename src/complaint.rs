//! Errors as a person reads them: what happened, then why, each thing once.

use std::io;

/// An error and its causes in one line. A cause that the words before it quote already is not said again.
pub fn complaint(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Whether it only says that nobody reads our output any more (`ai-friend models list | head -n 1`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read x: {source}")]
    struct Quoting {
        source: io::Error,
    }

    #[test]
    fn a_cause_is_told_once() {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let quoting = anyhow::Error::new(Quoting { source: missing() }).context("cannot start");
        assert_eq!(complaint(&quoting), "cannot start: cannot read x: entity not found");
        let plain = Err::<(), _>(missing()).context("cannot read y").unwrap_err();
        assert_eq!(complaint(&plain), "cannot read y: entity not found");
    }

    #[test]
    fn a_reader_who_went_away_is_known_behind_any_context() {
        let gone = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write");
        assert!(is_broken_pipe(&gone) && !is_broken_pipe(&anyhow::anyhow!("other")));
    }
}
