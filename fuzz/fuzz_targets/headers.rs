//! Any bytes in request headers are parsed or refused, without a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tasklane::http::fuzzing::headers(bytes));
