//! What the build decides about the machine that it runs on.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by its environment")]

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A new migration is a file that no source names.
    println!("cargo::rerun-if-changed=migrations");
    // Every address in the program's tables wants an entry of 24 bytes that the loader reads at the
    // start: two megabytes that stay in memory. Packed they are a fiftieth. Only a C library from
    // glibc 2.36 on reads them so (its NEWS, "DT_RELR").
    if glibc_minor().is_some_and(|minor| minor >= 36) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The `minor` of this machine's glibc `2.minor`, if the program is built for a machine like it.
fn glibc_minor() -> Option<u32> {
    let variable = |name| std::env::var(name).ok();
    if variable("TARGET")? != variable("HOST")? || variable("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return None;
    }
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    String::from_utf8(said.stdout).ok()?.trim().strip_prefix("glibc 2.")?.parse().ok()
}
