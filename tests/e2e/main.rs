//! The real parts end to end: `greenroom serve` in a process of its own, fed signed webhooks by the
//! sandbox GitHub, with a database on disk or on a PostgreSQL, programs and containers of this machine,
//! and clients that ask through the proxy.
//!
//! What is waited for is a condition, never a span of time. When a test ends, the server must have
//! stopped cleanly, and every request that it made to GitHub must be one that GitHub documents.
//! Containers want a Docker engine (`DOCKER_HOST`), and stages on AWS MiniStack as well; a PostgreSQL is
//! looked for where `GREENROOM_TEST_POSTGRES_URL` says, and workflows want the program that
//! `GREENROOM_TEST_ACT` names. Without them those tests fail and say so.

#[cfg(feature = "aws")]
#[path = "../support/account.rs"]
mod account;
mod acts;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod aws_commands;
#[cfg(feature = "aws")]
mod aws_kills;
#[cfg(feature = "aws")]
mod aws_many;
#[cfg(feature = "aws")]
mod aws_two;
#[cfg(feature = "aws")]
mod aws_world;
mod clients;
mod containers;
mod database;
#[cfg(feature = "aws")]
#[path = "../support/depth.rs"]
mod depth;
mod docker;
mod door;
#[cfg(feature = "aws")]
#[path = "../support/edge.rs"]
mod edge;
#[cfg(feature = "aws")]
#[path = "../support/estate.rs"]
mod estate;
mod exhaustion;
#[path = "../support/hang.rs"]
mod hang;
#[cfg(feature = "aws")]
#[path = "../support/iam.rs"]
mod iam;
mod kills;
#[path = "../support/load.rs"]
mod load;
#[cfg(feature = "aws")]
#[path = "../support/ministack.rs"]
mod ministack;
mod moves;
#[path = "../support/openapi.rs"]
mod openapi;
mod other;
#[path = "../support/own.rs"]
mod own;
#[path = "../support/postgres.rs"]
mod postgres;
mod processes;
mod program;
mod server;
mod stopping;
mod two;
mod unrest;
mod upgrade;
mod world;
