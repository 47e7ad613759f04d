//! Any text as a path or query string is parsed or refused, without a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tasklane::http::fuzzing::path_and_query(text));
