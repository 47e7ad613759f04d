//! Any bytes as a request body are parsed or refused, without a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tasklane::http::fuzzing::body(bytes));
