//! A key of this installation, made once and kept in its data folder.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use rand::Rng as _;
use secrecy::SecretString;

const DIGITS: usize = 64;

/// The key by which images are named; made at the first start. Nobody but this user can read it.
pub(super) fn image_key(data: &Path) -> anyhow::Result<SecretString> {
    let path = data.join("image-key");
    let trouble = || format!("cannot keep a key in {}", path.display());
    if let Some(key) = read(&path).with_context(trouble)? {
        return Ok(key);
    }
    fs::create_dir_all(data).with_context(trouble)?;
    let mut bytes = [0_u8; DIGITS / 2];
    rand::rng().fill_bytes(&mut bytes);
    // Whole or not at all, whoever else makes one at this moment. Its mode is 0600.
    let mut file = tempfile::NamedTempFile::new_in(data).with_context(trouble)?;
    file.write_all(hex::encode(bytes).as_bytes()).with_context(trouble)?;
    file.as_file().sync_all().with_context(trouble)?;
    match file.persist_noclobber(&path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(error.error).with_context(trouble),
        _ => {}
    }
    let key = read(&path).with_context(trouble)?;
    key.with_context(|| format!("{} holds no key: remove it", path.display()))
}

fn read(path: &Path) -> std::io::Result<Option<SecretString>> {
    match fs::read_to_string(path) {
        Ok(text) if text.len() == DIGITS => Ok(Some(text.into())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_nobody_elses() {
        let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let data = one.path().join("data");
        let key = image_key(&data).expect("a key");
        assert_eq!(key.expose_secret().len(), DIGITS);
        assert_eq!(key.expose_secret(), image_key(&data).expect("the same").expose_secret());
        assert_ne!(key.expose_secret(), image_key(two.path()).expect("another").expose_secret());
        let mode = fs::metadata(data.join("image-key")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(data.join("image-key"), "cut").expect("a file");
        assert!(image_key(&data).is_err(), "a key that was cut is not taken for another");
    }
}
