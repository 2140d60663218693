//! Tags of images that only this installation can tell.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::content::Fields;

/// Makes the tags.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    key: Option<Arc<SecretString>>,
}

impl Names {
    pub(super) fn with_key(key: &SecretString) -> Self {
        Self { key: Some(Arc::new(key.clone())) }
    }

    /// 32 digits over these parts, that nobody else can work out; without a key 16, that anybody can.
    pub(super) fn tag(&self, parts: &[&str]) -> String {
        let hash = hash(parts);
        let keyed = self.key.as_ref().and_then(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
            mac.update(hash.as_bytes());
            Some(hex::encode(&mac.finalize().into_bytes()[..16]))
        });
        keyed.unwrap_or_else(|| hash[..16].to_owned())
    }

    /// What the tag was before there was a key.
    pub(super) fn earlier_tag(&self, parts: &[&str]) -> Option<String> {
        self.key.is_some().then(|| hash(parts)[..16].to_owned())
    }
}

fn hash(parts: &[&str]) -> String {
    let mut fields = Fields::default();
    for part in parts {
        fields.add(part.as_bytes());
    }
    fields.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_keys_and_the_one_before_is_known() {
        let (plain, one, two) = (Names::default(), Names::with_key(&"one".into()), Names::with_key(&"two".into()));
        let parts = ["0123", "pr-1"];
        assert_eq!(one.tag(&parts), one.clone().tag(&parts));
        assert_eq!((one.tag(&parts).len(), plain.tag(&parts).len()), (32, 16));
        assert_ne!(one.tag(&parts), two.tag(&parts));
        assert_ne!(one.tag(&parts), one.tag(&["0123", "pr-2"]));
        assert_eq!((one.earlier_tag(&parts), plain.earlier_tag(&parts)), (Some(plain.tag(&parts)), None));
    }
}
