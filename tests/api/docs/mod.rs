//! What a newcomer reads and runs.
//!
//! - `documentation`: `/openapi.json`, `/docs`, `/redoc`: complete, correct, offline
//! - `demo`: `/demo`, the page and its token
//! - `greeting`: what a start in development prints
//! - `guide`: the commands of `docs/api.md`
//! - `readme`: the commands of README.md

mod demo;
mod documentation;
mod greeting;
mod guide;
mod readme;
