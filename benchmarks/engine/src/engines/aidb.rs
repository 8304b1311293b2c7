use std::ops::Bound;
use std::path::Path;

use aidb_lsm::{Compression, Direction, Op, Options, Range, Store, SyncMode};

use super::{BLOCK_BYTES, BLOOM_BITS, Engine, FILE_BYTES, LEVEL_BASE_BYTES, Settings, touch};

pub struct Aidb(Store);

impl Aidb {
    pub fn open(path: &Path, settings: &Settings) -> Aidb {
        let options = Options {
            sync: if settings.sync {
                SyncMode::Group
            } else {
                SyncMode::None
            },
            memtable_bytes: settings.memtable_bytes,
            cache_bytes: settings.cache_bytes,
            block_bytes: BLOCK_BYTES,
            bloom_bits_per_key: BLOOM_BITS,
            compression: Compression::None,
            file_bytes: FILE_BYTES,
            level_base_bytes: LEVEL_BASE_BYTES,
            // As in the others: nobody follows the log in memory.
            tail_bytes: 0,
            ..Options::default()
        };
        Aidb(Store::open(path, options).expect("open"))
    }
}

impl Engine for Aidb {
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.put(key, value, 0).expect("put");
    }

    fn put_batch(&self, items: &[(Vec<u8>, Vec<u8>)]) {
        let op = |(key, value): &(Vec<u8>, Vec<u8>)| Op::put(key.clone(), value.clone());
        let ops: Vec<Op> = items.iter().map(op).collect();
        self.0.write(ops.into()).expect("put batch");
    }

    fn get(&self, key: &[u8]) -> bool {
        let found = self.0.get(key).expect("get").entry;
        found.inspect(|entry| touch(&entry.value)).is_some()
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> usize {
        let (_, found) = self.0.get_many(keys).expect("get many");
        let touched = found.iter().flatten().map(|entry| touch(&entry.value));
        touched.count()
    }

    fn scan(&self, start: Option<&[u8]>, limit: usize, reverse: bool) -> usize {
        let mut range = Range::all();
        let from = start.map_or(Bound::Unbounded, |key| Bound::Included(key.to_vec()));
        let direction = if reverse {
            range.end = from;
            Direction::Reverse
        } else {
            range.start = from;
            Direction::Forward
        };
        let mut scan = self.0.snapshot().scan(range, direction).expect("scan");
        let mut count = 0;
        while count < limit
            && let Some(entry) = scan.step().expect("entry")
        {
            touch(entry.key);
            touch(entry.value);
            count += 1;
        }
        count
    }

    fn settle(&self) {
        self.0.flush().expect("flush");
        self.0.compact().expect("compact");
    }
}
