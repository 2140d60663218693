//! [`Forge`](crate::port::Forge) over GitHub's REST API, with octocrab as the client: as an App
//! ([`AppForge`](crate::port::AppForge) too), or with the token of one job of a workflow.
//!
//! # Guarantees
//!
//! - Every call ends within its deadline and never sleeps: what has to wait answers
//!   [`Retry`](crate::port::PortError::Retry) with the wait that GitHub asked for.
//! - A token reaches one repository with named permissions, is renewed before it expires and once
//!   when GitHub refuses it, and is sent to the API's own host alone. Made for a repository's number
//!   ([`Forge::only`](crate::port::Forge::only)), it writes to that one or to nobody, whatever name it is
//!   used under; what is kept of one repository is nothing to the next that has its name.
//! - Publishing twice makes one thing: a comment is found again by its marker, a check run by its
//!   `external_id`, a deployment by the key in its payload.
//! - Reads of what cannot change are made once; other reads are conditional, and free when nothing
//!   changed.
//! - After a limit was met, the account is left alone until GitHub's own time has come; writes stay
//!   under GitHub's documented budget.

mod answer;
mod api;
mod app;
mod cache;
mod check;
mod comment;
mod delivery;
mod deployment;
mod evidence;
mod forge;
mod identity;
mod installed;
mod job;
mod job_log;
mod key;
mod pace;
mod path;
mod proxy;
mod read;
mod settings;
mod source;
mod team;
mod token;
mod transport;
mod workflows;

pub use forge::GitHub;
pub use identity::identity;
pub use pace::WriteLimits;
pub use settings::{GitHubSettings, ProxySettings, SetupError, TokenSettings};

#[cfg(test)]
mod tests;
