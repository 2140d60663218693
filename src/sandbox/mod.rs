//! An in-process GitHub for the demo and the tests, with a builder and a target that exist only in
//! memory beside it.
//!
//! # Guarantees
//!
//! - It listens on loopback only, and makes requests to the webhook's address alone.
//! - Its answers have the paths, status codes, headers and bodies that GitHub documents: the tests
//!   hold every exchange against GitHub's own `OpenAPI` description. Where GitHub has a trap
//!   (line-wrapped base64, `required_contexts`, `auto_merge`, `auto_inactive`, environments that
//!   outlive their deployments) the sandbox has it too.
//! - Rights are enforced: an App token opens App endpoints, an installation token opens its own
//!   repositories with its own permissions until it expires by the clock it was given.
//! - It is deterministic: ids, commit names, tokens and delivery ids come from a seed, time from a
//!   [`Clock`](crate::port::Clock).
//! - The private key is a fixed one that belongs to this fake alone and guards nothing.
//!
//! One value, [`World`](world::World), holds everything behind one mutex. [`Sandbox`] is the handle
//! with the verbs; `api` answers requests; `page` shows a pull request as a person sees it.

mod action;
mod api;
mod body;
mod builder;
mod cloud;
mod evidence;
mod fault;
mod gate;
mod git;
mod hook;
mod key;
mod meter;
mod moves;
mod page;
mod postman;
mod reads;
mod record;
mod review;
mod routes;
mod runs;
mod serve;
mod transcript;
mod verbs;
mod world;

pub use builder::SandboxBuilder;
pub use cloud::{Mishap, SandboxCloud};
pub use fault::{Fault, Matcher, Times};
pub use git::FileChange;
pub use hook::{DeliveryMode, HookDelivery, Order};
pub use record::{
    Account, AccountKind, Check, Comment, CommitStatus, Deployment, DeploymentStatus, Environment, ForeignApp, NewPull,
    Pull, PullState, ReactionRecord, ReviewComment, ReviewRecord, Visibility,
};
pub use runs::{ActionsSwitch, DispatchAnswer, Manners, Run};
pub use serve::{Sandbox, SandboxError, SandboxSettings, WebhookTarget};
pub use transcript::{Exchange, Recording, RequestCounts};
