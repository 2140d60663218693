//! The AWS adapter on MiniStack: each part by itself, every call failing in every way, and a process
//! that dies at every effect.
//!
//! One program, because each that is linked with the AWS SDK costs a minute. It wants
//! `GREENROOM_TEST_MINISTACK`, some of it a Docker engine as well, and says so where they are missing.
#![cfg(feature = "aws")]

#[path = "../support/account.rs"]
mod account;
mod alike;
#[path = "../support/aws_world.rs"]
mod aws_world;
mod bench;
mod bootstrap;
mod crash;
#[path = "../support/depth.rs"]
mod depth;
mod desk;
mod doctor;
#[path = "../support/edge.rs"]
mod edge;
#[path = "../support/estate.rs"]
mod estate;
mod faults;
#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../scenarios/fuse.rs"]
mod fuse;
mod ground;
#[path = "../support/hang.rs"]
mod hang;
mod marks;
#[path = "../support/ministack.rs"]
mod ministack;
#[path = "../support/own.rs"]
mod own;
mod props;
mod registry;
mod rollout;
mod stacks;
mod teardown;
mod templates;
mod thrift;
mod zones;
