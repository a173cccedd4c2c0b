#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brownout_fuzz::path_match(data));
