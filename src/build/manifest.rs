//! What a registry holds under a name, and whether the target can run it. Pure.
//!
//! Checked before anything is deployed, because the target says it late and in other words:
//! `exec format error`, `no descriptor for platform`, `CannotPullContainerError`.

use serde::Deserialize;

use crate::model::{FailureKind, Platform, ServiceName};
use crate::port::PortError;

/// What is asked for with `platform` unset. Source: ECS, `RuntimePlatform`, default `X86_64`.
pub(super) const DEFAULT_PLATFORM: Platform = Platform::LinuxAmd64;

const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The types that are asked for.
pub(super) const ACCEPTED: [&str; 4] = [DOCKER_IMAGE, DOCKER_LIST, OCI_IMAGE, OCI_INDEX];

/// Configurations of images that hold programs; others are attestations, charts, caches.
const CONFIGS: [&str; 2] =
    ["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/// What a manifest leaves to find out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One image; the digest of its configuration, which names its platform.
    Image { config: String },
    /// Several, by platform: `linux/arm64`.
    Index { platforms: Vec<String> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    config: Option<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    platform: Option<RawPlatform>,
}

/// A platform as image configurations and indexes write it.
#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl RawPlatform {
    fn name(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// Reads a manifest; the reason why it is none that a container can be started from.
pub(super) fn read(media_type: &str, bytes: &[u8]) -> Result<Kind, String> {
    let broken = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
    match media_type {
        DOCKER_IMAGE | OCI_IMAGE => {
            let manifest: RawManifest = serde_json::from_slice(bytes).map_err(broken)?;
            let config = manifest.config.ok_or("its manifest names no configuration")?;
            match config.media_type.as_deref() {
                Some(known) if !CONFIGS.contains(&known) => Err(format!("it holds `{known}`, which is no program")),
                _ => Ok(Kind::Image { config: config.digest }),
            }
        }
        DOCKER_LIST | OCI_INDEX => {
            let manifest: RawManifest = serde_json::from_slice(bytes).map_err(broken)?;
            let entries = manifest.manifests.unwrap_or_default();
            // An attestation stands in an index for `unknown/unknown`.
            let platforms = entries.into_iter().filter_map(|entry| entry.platform).map(|platform| platform.name());
            Ok(Kind::Index { platforms: platforms.filter(|name| name != "unknown/unknown").collect() })
        }
        other => Err(format!("its manifest is of the type `{other}`")),
    }
}

/// The platform that an image's configuration names.
pub(super) fn platform_of(config: &[u8]) -> Result<String, String> {
    let read: Result<RawPlatform, _> = serde_json::from_slice(config);
    read.map(|platform| platform.name()).map_err(|error| format!("its configuration cannot be read: {error}"))
}

/// An image for other processors than the service's starts nowhere.
pub(super) fn check_platform(
    service: &ServiceName,
    wanted: Option<Platform>,
    found: &[String],
) -> Result<(), PortError> {
    let needed = wanted.unwrap_or(DEFAULT_PLATFORM).as_str();
    if found.iter().any(|platform| platform == needed) {
        return Ok(());
    }
    let found = match found {
        [] => "no platform at all".to_owned(),
        some => format!("`{}`", some.join("`, `")),
    };
    let summary = format!("The image of `{service}` is for {found}, and the service runs on `{needed}`");
    let set = if wanted.is_some() { "is" } else { "is not set, which means" };
    Err(PortError::failed(
        FailureKind::Build,
        summary,
        format!(
            "`build.platform` of `{service}` {set} `{needed}`: set it in `.github/greenroom.yml` to what the image is \
             for (`linux/amd64` or `linux/arm64`), or take `FROM --platform=...` out of the Dockerfile so that the \
             image follows it."
        ),
    ))
}

/// What is in the registry cannot be started by the target.
pub(super) fn refused(service: &ServiceName, reason: &str) -> PortError {
    PortError::failed(
        FailureKind::Build,
        format!("The image of `{service}` cannot be started: {reason}"),
        "Let the Dockerfile build an ordinary container image; with BuildKit, without attestations \
         (`--provenance=false --sbom=false`).",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> ServiceName {
        "web".parse().expect("a name")
    }

    #[test]
    fn each_kind_of_manifest_is_known() {
        let image =
            |config: &str| format!(r#"{{"config":{{"mediaType":"{config}","digest":"sha256:c"}},"layers":[]}}"#);
        let one = || Ok(Kind::Image { config: "sha256:c".into() });
        assert_eq!(read(DOCKER_IMAGE, image(CONFIGS[0]).as_bytes()), one());
        assert_eq!(read(OCI_IMAGE, image(CONFIGS[1]).as_bytes()), one());
        let chart = read(OCI_IMAGE, image("application/vnd.cncf.helm.config.v1+json").as_bytes());
        assert_eq!(chart, Err("it holds `application/vnd.cncf.helm.config.v1+json`, which is no program".into()));
        let index = r#"{"manifests":[
            {"digest":"sha256:a","platform":{"os":"linux","architecture":"arm64","variant":"v8"}},
            {"digest":"sha256:b","platform":{"os":"unknown","architecture":"unknown"}}]}"#;
        for media_type in [OCI_INDEX, DOCKER_LIST] {
            let read = read(media_type, index.as_bytes());
            assert_eq!(read, Ok(Kind::Index { platforms: vec!["linux/arm64".into()] }));
        }
        for (media_type, bytes, reason) in [
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}", "manifest.v1+prettyjws"),
            (OCI_IMAGE, "{}", "no configuration"),
            (OCI_IMAGE, "<html>", "cannot be read"),
            (OCI_INDEX, "[]", "cannot be read"),
        ] {
            let refused = read(media_type, bytes.as_bytes()).expect_err(reason);
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn another_processor_is_named_with_what_to_set() {
        let check = |wanted, found: &[&str]| {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            check_platform(&service(), wanted, &found)
        };
        assert!(check(None, &["linux/amd64"]).is_ok());
        assert!(check(Some(Platform::LinuxArm64), &["linux/amd64", "linux/arm64"]).is_ok());
        for (wanted, found, summary, advice) in [
            (None, vec!["linux/arm64"], "is for `linux/arm64`, and the service runs on `linux/amd64`", "is not set"),
            (Some(Platform::LinuxArm64), vec!["linux/amd64"], "the service runs on `linux/arm64`", "is `linux/arm64`"),
            (None, vec![], "no platform at all", "build.platform"),
        ] {
            match check(wanted, &found) {
                Err(PortError::Failed(failure)) => {
                    assert_eq!(failure.kind, FailureKind::Build);
                    assert!(failure.summary.contains(summary), "{}", failure.summary);
                    assert!(failure.advice.contains(advice), "{}", failure.advice);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_platform_stands_in_the_configuration() {
        assert_eq!(platform_of(br#"{"os":"linux","architecture":"amd64","config":{}}"#), Ok("linux/amd64".into()));
        assert!(platform_of(b"x").is_err());
    }
}
