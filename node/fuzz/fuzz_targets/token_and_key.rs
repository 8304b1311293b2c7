#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aidb_client::decoders::token_and_key(data));
