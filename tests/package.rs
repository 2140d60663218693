//! What is handed out: the Action and its script, the workflows to copy, releases and the packages made of them.

#[path = "package/action.rs"]
mod action;
#[path = "support/hang.rs"]
mod hang;
#[path = "package/init.rs"]
mod init;
#[path = "package/linters.rs"]
mod linters;
#[path = "package/machine.rs"]
mod machine;
#[path = "package/npm.rs"]
mod npm;
#[path = "package/page.rs"]
mod page;
#[path = "package/refused.rs"]
mod refused;
#[path = "package/release.rs"]
mod release;
#[path = "package/releases.rs"]
mod releases;
#[path = "package/script.rs"]
mod script;
#[path = "package/signals.rs"]
mod signals;
#[path = "package/workflows.rs"]
mod workflows;
#[path = "package/world.rs"]
mod world;
