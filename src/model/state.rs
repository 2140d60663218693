//! Where the state of a repository lies when no server keeps it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A bucket, or a folder of a machine that several runs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateLocation {
    Bucket {
        bucket: String,
        /// Without a slash at either end; empty where there is none.
        prefix: String,
    },
    Folder(PathBuf),
}

impl StateLocation {
    /// The key of a repository's object.
    pub fn key(prefix: &str, number: u64) -> String {
        if prefix.is_empty() { format!("{number}.db") } else { format!("{prefix}/{number}.db") }
    }

    /// The key of the object that holds what a repository's images are named by. It begins with the state's own:
    /// whoever may reach that may reach this, and no other repository's.
    pub fn image_key(prefix: &str, number: u64) -> String {
        format!("{}.image-key", Self::key(prefix, number))
    }
}

impl FromStr for StateLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_end_matches('/');
            if !is_bucket_name(bucket) {
                return Err(format!("{bucket:?} is no name of a bucket"));
            }
            if !is_prefix(prefix) {
                return Err(format!(
                    "{prefix:?} is no prefix of Greenroom's: letters, digits and `-_.`, apart by single slashes"
                ));
            }
            return Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        if text.trim().is_empty() {
            return Err("a place for the state is missing".to_owned());
        }
        if text.contains("://") {
            return Err("the state lies in a bucket (s3://bucket/prefix) or in a folder".to_owned());
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

impl fmt::Display for StateLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(folder) => write!(f, "{}", folder.display()),
        }
    }
}

/// Source: "General purpose bucket naming rules" in the S3 User Guide.
fn is_bucket_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-' || c == '.')
        && name.starts_with(plain)
        && name.ends_with(plain)
        && !name.contains("..")
}

fn is_prefix(prefix: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    prefix.len() <= 500 && (prefix.is_empty() || prefix.split('/').all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_or_a_folder() {
        for (text, shown) in [
            ("s3://greenroom-state-1-eu-west-1", "s3://greenroom-state-1-eu-west-1"),
            ("s3://acme.state/", "s3://acme.state"),
            ("s3://acme/greenroom/state/", "s3://acme/greenroom/state"),
            ("/var/lib/greenroom", "/var/lib/greenroom"),
            ("state", "state"),
        ] {
            assert_eq!(text.parse::<StateLocation>().map(|at| at.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in
            ["", " ", "s3://", "s3://ab", "s3://Acme", "s3://a/b", "s3://acme//x", "s3://acme/../x", "gs://acme"]
        {
            assert!(text.parse::<StateLocation>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_repository_has_an_object_of_its_own() {
        assert_eq!(StateLocation::key("", 774), "774.db");
        assert_eq!(StateLocation::key("greenroom/a", 774), "greenroom/a/774.db");
    }
}
