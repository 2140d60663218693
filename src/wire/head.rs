//! Whether a request's headers can be those of a delivery, before a byte of its body is read.

use super::parse::{WireError, named};
use super::signature::{SignatureError, claimed};

/// Why a request is no delivery, whatever its body holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Named(#[from] WireError),
}

/// Holds when there is a signature of the right form, an event and a delivery's id. Whether they are
/// true, the body decides.
pub fn check_head(
    event_header: Option<&str>,
    delivery_header: Option<&str>,
    signature_header: Option<&str>,
) -> Result<(), HeadError> {
    claimed(signature_header)?;
    named(event_header, delivery_header)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_never_sends_is_told_by_the_headers_alone() {
        let signature = format!("sha256={}", "0".repeat(64));
        let check = |event, id, signature| check_head(event, id, signature).map_err(|error| error.to_string());
        let (event, id) = (Some("push"), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
        assert_eq!(check(event, id, Some(&signature)), Ok(()));
        let long = "x".repeat(101);
        for (event, id, signature, said) in [
            (event, id, None, "the signature header is missing"),
            (event, id, Some("sha256=00"), "is not sha256= and 64"),
            (event, id, Some("sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"), "is not sha256= and 64"),
            (None, id, Some(signature.as_str()), "the X-GitHub-Event header"),
            (event, None, Some(&signature), "the X-GitHub-Delivery header"),
            (event, Some(long.as_str()), Some(&signature), "the X-GitHub-Delivery header"),
        ] {
            assert!(check(event, id, signature).is_err_and(|error| error.contains(said)), "{said}");
        }
    }
}
