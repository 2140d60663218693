//! Images in a registry, for real: a Docker engine builds and pushes, MiniStack is ECR, and a plain
//! registry under another setting.

mod story;
mod world;
