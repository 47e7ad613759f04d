//! `If-None-Match` and `Authorization` of any bytes are read or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tasklane::http::fuzzing::headers(bytes));
