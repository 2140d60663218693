//! Processors as Docker tells them apart.
//!
//! Source: <https://pkg.go.dev/github.com/containerd/platforms#Normalize>.

/// System, processor and variant, by the names that images have for them; `None` of what names no
/// processor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Processor {
    os: String,
    architecture: String,
    variant: String,
}

impl Processor {
    pub(super) fn of(os: &str, architecture: &str, variant: &str) -> Self {
        let [os, architecture, variant] = [os, architecture, variant].map(str::to_ascii_lowercase);
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "7" | "v7" | "") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        let (architecture, variant) = (architecture.to_owned(), variant.to_owned());
        Self { os, architecture, variant }
    }

    /// As `FROM --platform` and `build.platform` have it: `linux/arm/v7`, `linux/arm64`, `arm64`.
    pub(super) fn read(written: &str) -> Option<Self> {
        match written.split('/').collect::<Vec<_>>().as_slice() {
            // One word is a system or a processor, and of a system alone it is not known which processor.
            ["linux" | "windows" | "darwin" | "freebsd" | ""] => None,
            [architecture] => Some(Self::of("linux", architecture, "")),
            [os, architecture] => Some(Self::of(os, architecture, "")),
            [os, architecture, variant] => Some(Self::of(os, architecture, variant)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_processor_has_many_names() {
        for (written, os, architecture, variant) in [
            ("linux/amd64", "linux", "amd64", ""),
            ("linux/x86_64", "linux", "amd64", ""),
            ("linux/arm64", "linux", "arm64", "v8"),
            ("linux/arm64/v8", "linux", "arm64", ""),
            ("aarch64", "linux", "arm64", ""),
            ("linux/arm", "linux", "arm", "v7"),
            ("linux/arm/v6", "linux", "arm", "v6"),
            ("Linux/AMD64", "linux", "amd64", ""),
            ("linux/i386", "linux", "386", ""),
            ("windows/amd64", "windows", "amd64", ""),
        ] {
            assert_eq!(Processor::read(written), Some(Processor::of(os, architecture, variant)), "{written}");
        }
        for (one, other) in [("linux/arm/v6", "linux/arm/v7"), ("linux/amd64/v3", "linux/amd64"), ("arm64", "amd64")] {
            assert_ne!(Processor::read(one), Processor::read(other), "{one} {other}");
        }
        for nothing in ["", "linux", "a/b/c/d"] {
            assert_eq!(Processor::read(nothing), None, "{nothing}");
        }
    }
}
