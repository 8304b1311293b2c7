#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aidb_node::replica::decoders::stream(data));
