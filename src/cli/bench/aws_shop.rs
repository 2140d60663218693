//! The app that `greenroom bench aws` deploys: one container of a static busybox that serves a page.

use std::path::Path;

use anyhow::Context as _;

use crate::sandbox::FileChange;

/// Begins with the version's name; `exit` after it has the program end with code 3.
const SERVE: &str = "\
read name mode < /app
echo start $name
if [ \"$mode\" = exit ]; then echo 'it ends as ordered' >&2; exit 3; fi
mkdir -p /www
echo $name > /www/health
exec httpd -f -p 8080 -h /www
";

const DOCKERFILE: &str = "\
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY serve app /
CMD [\"/bin/sh\", \"/serve\"]
";

/// The repository's files. `app` is written with each version.
pub(super) fn files(busybox: &Path, zone: &str) -> anyhow::Result<Vec<FileChange>> {
    let program = std::fs::read(busybox).with_context(|| {
        format!("cannot read {}: name a statically linked busybox with --busybox", busybox.display())
    })?;
    let config = format!(
        "version: 1\napp: shop\ndomain: {{ zone: {zone}, dns: none }}\nservices:\n  web:\n    kind: ecs\n    \
         build: {{}}\n    host: \"@\"\n    port: 8080\n    health: {{ path: /health }}\n"
    );
    Ok(vec![
        FileChange::write(".github/greenroom.yml", config),
        FileChange::write("Dockerfile", DOCKERFILE),
        FileChange::write("serve", SERVE),
        FileChange::write("app", "none"),
        FileChange::write("busybox", program),
    ])
}
