//! A key of this installation, made once and kept in its data folder, or beside its state.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use rand::Rng as _;
use secrecy::SecretString;

use crate::port::{Expect, Got, Objects, PortError, PortResult};

const DIGITS: usize = 64;
/// How often an object is looked for and made.
const TRIES: u32 = 4;

/// The key by which images are named; made at the first start. Nobody but this user can read it.
pub(super) fn image_key(data: &Path) -> anyhow::Result<SecretString> {
    let path = data.join("image-key");
    let trouble = || format!("cannot keep a key in {}", path.display());
    if let Some(key) = read(&path).with_context(trouble)? {
        return Ok(key);
    }
    fs::create_dir_all(data).with_context(trouble)?;
    let made = chance();
    // Whole or not at all, whoever else makes one at this moment. Its mode is 0600.
    let mut file = tempfile::NamedTempFile::new_in(data).with_context(trouble)?;
    file.write_all(made.as_bytes()).with_context(trouble)?;
    file.as_file().sync_all().with_context(trouble)?;
    match file.persist_noclobber(&path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(error.error).with_context(trouble),
        _ => {}
    }
    let key = read(&path).with_context(trouble)?;
    key.with_context(|| format!("{} holds no key: remove it", path.display()))
}

/// The same, kept in an object. Whoever makes one at the same moment, all get the one that was first.
pub(super) async fn shared_image_key(objects: &dyn Objects, at: &str) -> PortResult<SecretString> {
    let mut last = PortError::retry("another run makes the key by which images are named");
    for _ in 0..TRIES {
        if let Got::Found { bytes, .. } = objects.get(at, None).await? {
            let key = std::str::from_utf8(&bytes).ok().filter(|text| text.len() == DIGITS);
            let reason = format!("the object {at} of the state's bucket holds no key: remove it");
            return key.map(SecretString::from).ok_or(PortError::Denied { reason });
        }
        // Written, lost or not answered: what is there is read.
        match objects.put(at, Bytes::from(chance()), &Expect::Absent).await {
            Ok(_) => {}
            Err(error @ PortError::Retry { .. }) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn chance() -> String {
    let mut bytes = [0_u8; DIGITS / 2];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
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
    use std::sync::Mutex;

    use async_trait::async_trait;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::port::{ETag, Put};

    /// One object, and somebody who may be a moment faster with theirs.
    #[derive(Default)]
    struct Shelf {
        content: Mutex<Option<Bytes>>,
        rival: Mutex<Option<Bytes>>,
    }

    #[async_trait]
    impl Objects for Shelf {
        async fn get(&self, _: &str, _: Option<&ETag>) -> PortResult<Got> {
            let content = self.content.lock().expect("no panic").clone();
            Ok(content.map_or(Got::Absent, |bytes| Got::Found { etag: ETag("1".to_owned()), bytes }))
        }

        async fn put(&self, _: &str, bytes: Bytes, expect: &Expect) -> PortResult<Put> {
            assert_eq!(*expect, Expect::Absent, "no key is ever replaced");
            let mut content = self.content.lock().expect("no panic");
            if let Some(rival) = self.rival.lock().expect("no panic").take() {
                *content = Some(rival);
            }
            if content.is_some() {
                return Ok(Put::Lost);
            }
            *content = Some(bytes);
            Ok(Put::Written(ETag("1".to_owned())))
        }
    }

    #[tokio::test]
    async fn runs_that_share_a_bucket_share_the_key() {
        let shelf = Shelf::default();
        let first = shared_image_key(&shelf, "7.db.image-key").await.expect("a key");
        let second = shared_image_key(&shelf, "7.db.image-key").await.expect("the same");
        assert_eq!(first.expose_secret(), second.expose_secret());
        let faster = "f".repeat(DIGITS);
        let shelf = Shelf { rival: Mutex::new(Some(Bytes::from(faster.clone()))), ..Shelf::default() };
        let key = shared_image_key(&shelf, "7.db.image-key").await.expect("the faster one's");
        assert_eq!(key.expose_secret(), faster);
        let shelf = Shelf { content: Mutex::new(Some(Bytes::from_static(b"cut"))), ..Shelf::default() };
        assert!(shared_image_key(&shelf, "7.db.image-key").await.is_err(), "what was cut is no key");
    }

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
