#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aidb_lsm::decoders::log(data));
