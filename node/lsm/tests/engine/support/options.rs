use std::sync::Arc;
use std::time::Duration;

use aidb_lsm::io::Io;
use aidb_lsm::{Compression, Options, SyncMode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::ManualClock;

const TAIL_BYTES: usize = 64 << 20;

/// [`draw`] of a store that is asked for its records.
pub fn draw_followed(seed: u64, io: Arc<dyn Io>, clock: &ManualClock) -> Options {
    Options {
        tail_bytes: TAIL_BYTES,
        ..draw(seed, io, clock)
    }
}

/// Options that send a few hundred writes through every level. The same seed gives the same ones.
pub fn draw(seed: u64, io: Arc<dyn Io>, clock: &ManualClock) -> Options {
    let random = &mut StdRng::seed_from_u64(seed);
    let sync = match random.random_range(0..6) {
        0..3 => SyncMode::Group,
        3 => SyncMode::Interval(Duration::from_millis(random.random_range(0..20))),
        _ => SyncMode::None,
    };
    let pick = |random: &mut StdRng, from: &[usize]| *from.choose(random).unwrap();
    Options {
        sync,
        memtable_bytes: pick(random, &[4 << 10, 16 << 10, 64 << 10]),
        cache_bytes: pick(random, &[8 << 10, 256 << 10]),
        memory_bytes: random.random::<bool>().then_some(256 << 10),
        block_bytes: pick(random, &[128, 512, 2048]),
        bloom_bits_per_key: pick(random, &[0, 10]) as u32,
        compression: if random.random() {
            Compression::Lz4
        } else {
            Compression::None
        },
        segment_bytes: pick(random, &[2 << 10, 8 << 10, 32 << 10]) as u64,
        file_bytes: pick(random, &[2 << 10, 16 << 10]) as u64,
        l0_compact_at: pick(random, &[1, 2, 4]),
        // Slowing writers is tested elsewhere; here it would only cost time.
        l0_slow_at: 60,
        l0_stop_at: 80,
        level_base_bytes: pick(random, &[4 << 10, 32 << 10]) as u64,
        level_ratio: pick(random, &[2, 8]) as u64,
        expiry_grace: Duration::from_millis(pick(random, &[0, 20_000]) as u64),
        log_retention: Duration::from_millis(pick(random, &[0, 0, 50_000]) as u64),
        // Where nobody follows, a write by itself has a way of its own.
        tail_bytes: if seed.is_multiple_of(2) {
            TAIL_BYTES
        } else {
            0
        },
        queue_batches: pick(random, &[2, 1 << 10]),
        io,
        clock: Arc::new(clock.clone()),
        ..Options::default()
    }
}
