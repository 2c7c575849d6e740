//! Looks for inputs for which something does not hold; the file that is included says what does.

#![no_main]

#[path = "../../it/properties/decode/mod.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode::hold(input));
