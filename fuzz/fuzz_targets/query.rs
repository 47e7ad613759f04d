//! Paths and query strings of any text are read or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tasklane::http::fuzzing::path_and_query(text));
