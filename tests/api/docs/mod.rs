//! What a newcomer reads and runs.
//!
//! - `documentation`: `/openapi.json`, `/docs`, `/redoc`: complete, true to the routes, offline
//! - `demo`: `/demo`, the page and its token
//! - `greeting`: what a start in development prints
//! - `guide`: the lines of `docs/api.md`, run
//! - `readme`: the lines of README.md, run

mod demo;
mod documentation;
mod greeting;
mod guide;
mod readme;
