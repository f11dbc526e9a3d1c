#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| heapmaster_fuzz::offsets::run(data));
