//! Settings as they are given: what is wrong with one is said without saying it again, because
//! whoever mixes variables up has put a secret where none belongs.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::wire::{KeyFault, KeyText, key_text, unquoted};

/// Where the App's number stands.
const WHERE: &str = "the App's number stands beside the words App ID on its page in GitHub's settings";

/// The number of the App, and a word for what was given in its place.
pub(super) fn app_id(text: &str) -> Result<u64, String> {
    let text = unquoted(text);
    if let Some(id) = text.parse::<u64>().ok().filter(|id| *id > 0) {
        return Ok(id);
    }
    let is = match key_text(text) {
        KeyText::Wrong(KeyFault::Empty) => "it is empty",
        KeyText::Wrong(KeyFault::ClientId) => "it is the App's client id",
        KeyText::Wrong(KeyFault::ClientSecret) => "it is no number, but has the form of a client secret",
        KeyText::Path | KeyText::Wrong(KeyFault::Number | KeyFault::Lines) => "it is no number of an App",
        KeyText::Pem(_) | KeyText::Wrong(_) => "it is no number, but has the form of a key or a token",
    };
    Err(format!("{is}: {WHERE}"))
}

/// Host and path of a registry. A login has its place elsewhere, from where no error can tell it.
pub fn registry(text: &str) -> Result<String, String> {
    let text = unquoted(text).trim_end_matches('/');
    if text.contains("://") {
        return Err("it has a scheme: write it without, as registry.example/team".to_owned());
    }
    if text.contains('@') {
        return Err("it holds a login: leave that out, and let `docker login` keep it".to_owned());
    }
    // Source: the grammar of the package `reference` of the registry "distribution", whose paths are lower-case.
    let is_foreign = |c: char| !c.is_ascii_alphanumeric() && !"._-:/[]".contains(c);
    let has_upper = |(_, path): (&str, &str)| path.contains(|c: char| c.is_ascii_uppercase());
    if text.is_empty() || text.contains(is_foreign) || text.split_once('/').is_some_and(has_upper) {
        return Err("it is no place of a registry: write it as registry.example/team".to_owned());
    }
    if has_form_of_secret(text) {
        return Err("it has the form of a key or a token: write it as registry.example/team".to_owned());
    }
    Ok(text.to_owned())
}

/// The path of a folder, which errors name whole.
pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    let text = unquoted(text);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if has_form_of_secret(text) {
        return Err("it has the form of a key or a token, not that of a folder's path".to_owned());
    }
    Ok(text.into())
}

/// Whether this looks like a key, or something else that nobody else may see.
fn has_form_of_secret(text: &str) -> bool {
    !matches!(key_text(text), KeyText::Path | KeyText::Wrong(KeyFault::Number))
}

/// An address that may hold a password, without the line break that came along from a file.
pub(super) fn address(text: &str) -> Result<SecretString, String> {
    match unquoted(text) {
        "" => Err("it is empty".to_owned()),
        address => Ok(address.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_app_is_told_from_what_stands_beside_it() {
        for (text, number) in [("12345", 12_345), (" 7\n", 7), ("\"12345\"", 12_345), ("'7'\n", 7)] {
            assert_eq!(app_id(text), Ok(number), "{text:?}");
        }
        for (text, said) in [
            ("Iv23li0123456789abcd", "client id"),
            ("Iv1.0123456789abcdef", "client id"),
            ("0123456789abcdef0123456789abcdef01234567", "client secret"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "a key"),
            ("ghp_0123456789abcdef0123456789abcdef0123", "a key"),
            ("my-greenroom", "no number"),
            ("0", "no number"),
            ("-7", "no number"),
            (" ", "empty"),
        ] {
            let why = app_id(text).expect_err("no number");
            assert!(why.contains(said) && why.contains("App ID"), "{text:?}: {why}");
            assert!(text.trim().len() < 4 || !why.contains(text.trim()), "{why}");
        }
    }

    #[test]
    fn a_registry_has_no_login_in_its_name() {
        for (text, place) in [
            ("registry.example/team", "registry.example/team"),
            (" localhost:5000/ \n", "localhost:5000"),
            ("\"[::1]:5000/a/b_c\"", "[::1]:5000/a/b_c"),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
        ] {
            assert_eq!(registry(text).as_deref(), Ok(place));
        }
        for text in ["https://registry.example", "me:hunter2@registry.example/team", "", "a hunter2"] {
            let why = registry(text).expect_err("no place");
            assert!(!why.contains("hunter2") && !why.contains("registry.example/team:"), "{why}");
        }
    }

    #[test]
    fn what_has_the_form_of_a_secret_is_neither_registry_nor_folder() {
        use base64::Engine as _;
        let key = "-----BEGIN RSA PRIVATE KEY-----\naHVudGVyMg==\n-----END RSA PRIVATE KEY-----\n";
        let encoded = base64::engine::general_purpose::STANDARD.encode(key);
        let digits = "0123456789abcdef".repeat(4);
        for given in [key, encoded.as_str(), digits.as_str(), "ghp_0123456789abcdef0123456789abcdef0123"] {
            for why in [registry(given).expect_err("no place"), folder(given).expect_err("no folder")] {
                assert!(!why.contains(&given[..8]), "{why}");
            }
        }
        assert!(registry("shop/Y2hlY2s").is_err() && registry("c2VjcmV0LXNlY3JldA==").is_err());
        for path in ["greenroom-data", "/var/lib/greenroom", "7", "./a b"] {
            assert_eq!(folder(path), Ok(PathBuf::from(path)));
        }
        assert_eq!(folder("\"/var/lib/greenroom\""), Ok(PathBuf::from("/var/lib/greenroom")));
        assert!(folder("").is_err());
    }

    #[test]
    fn a_line_break_is_no_part_of_an_address() {
        use secrecy::ExposeSecret as _;
        for given in ["sqlite://greenroom.db\n", "\"sqlite://greenroom.db\""] {
            let address = address(given).expect("an address");
            assert_eq!(address.expose_secret(), "sqlite://greenroom.db");
        }
        assert!(address(" \n").is_err());
    }
}
