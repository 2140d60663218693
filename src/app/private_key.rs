//! The App's private key, from its variable or from the file that the variable names.
//!
//! Guarantee: no error says again what the variable holds, nor what the file does.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::wire::{KeyText, key_file, key_text, unquoted};

const NAME: &str = "GREENROOM_GITHUB_PRIVATE_KEY";
/// What is said where it is not right.
const WANTED: &str = "give the App's private key as GitHub gave it, the base64 of that, or the path of its file; what it holds is not shown";
/// The largest keys have a tenth of it.
const MOST_BYTES: u64 = 64 * 1024;

/// The key in its text form.
pub(super) fn read(given: &str) -> anyhow::Result<SecretString> {
    match key_text(given) {
        KeyText::Pem(key) => Ok(key),
        KeyText::Wrong(fault) => bail!("{NAME} {fault}: {WANTED}"),
        KeyText::Path => in_file(unquoted(given)),
    }
}

/// Whoever reads the error knows what they wrote; the log, which others read, may not.
fn in_file(path: &str) -> anyhow::Result<SecretString> {
    let bytes = start_of(Path::new(path)).with_context(|| {
        let hint = match path.chars().next() {
            Some('/') => "",
            Some('~') => " (what `~` is only a shell knows)",
            _ => " (it is looked for from the folder where this program was started)",
        };
        format!("{NAME} is neither a private key nor the path of a file that can be read{hint}: {WANTED}")
    })?;
    match key_file(&bytes) {
        KeyText::Pem(key) => Ok(key),
        KeyText::Wrong(fault) => bail!("the file that {NAME} names {fault}: {WANTED}"),
        KeyText::Path => bail!("the file that {NAME} names holds no private key: {WANTED}"),
    }
}

fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    /// Every cause of the error, as a log and as a reader of `Debug` sees it.
    fn said(given: &str) -> String {
        let error = read(given).expect_err("no key");
        format!("{error:#} {error:?}")
    }

    #[test]
    fn nothing_that_was_given_is_said_again() {
        for given in [
            "hunter2-hunter2-hunter2",
            "hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2",
            "/home/hunter2/hunter2",
            "~/hunter2",
            "MIIEhunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2",
            "hunter2\nhunter2",
            &"hunter2".repeat(2_000),
        ] {
            let said = said(given);
            assert!(!said.contains("hunter2") && said.contains(NAME) && said.contains(WANTED), "{said}");
        }
    }

    #[test]
    fn a_file_is_read_and_neither_its_path_nor_what_it_holds_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hunter2.pem").display().to_string();
        assert!(said(&path).contains("No such file"), "{}", said(&path));
        for (held, fault) in [
            ("", "is empty"),
            ("hunter2", "holds no private key"),
            ("-----BEGIN PUBLIC KEY-----\nhunter2=\n-----END PUBLIC KEY-----\n", "is a public key"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2", "is damaged or missing"),
        ] {
            std::fs::write(&path, held).expect("a file");
            let said = said(&path);
            assert!(!said.contains("hunter2") && said.contains(fault), "{held:?}: {said}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        std::fs::write(&path, key).expect("a file");
        for given in [format!("{path}\n"), format!("\"{path}\""), format!("'{path}'\n")] {
            assert_eq!(read(&given).expect("a key").expose_secret(), key, "{given}");
        }
        assert!(said(&folder.path().display().to_string()).contains(NAME), "a folder");
    }
}
