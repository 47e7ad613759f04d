//! One conformance suite for both stores, and what each of them promises beyond it.

mod conformance;
mod fixture;
mod model;
mod postgres;
mod proxy;
mod sqlite;
