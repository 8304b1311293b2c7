use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBWithThreadMode, MultiThreaded, Options, WriteBatch, WriteOptions,
};

use super::{
    BACKGROUND_THREADS, BLOCK_BYTES, BLOOM_BITS, Engine, FILE_BYTES, LEVEL_BASE_BYTES, MEMTABLES,
    Settings, touch,
};

pub struct Rocks {
    db: DBWithThreadMode<MultiThreaded>,
    sync: bool,
}

thread_local! {
    /// Making them anew for each write would be at RocksDB's expense.
    static WRITE: [WriteOptions; 2] = [false, true].map(|sync| {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        options
    });
}

impl Rocks {
    pub fn open(path: &Path, settings: &Settings) -> Rocks {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_size(BLOCK_BYTES);
        blocks.set_bloom_filter(f64::from(BLOOM_BITS), false);
        blocks.set_block_cache(&Cache::new_hyper_clock_cache(settings.cache_bytes, 0));
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(settings.memtable_bytes);
        options.set_max_write_buffer_number(MEMTABLES);
        options.set_compression_type(DBCompressionType::None);
        options.set_target_file_size_base(FILE_BYTES);
        options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES);
        options.set_max_background_jobs(BACKGROUND_THREADS);
        options.create_missing_column_families(true);
        // By name, because only a handle gets the batched MultiGet.
        let family = ColumnFamilyDescriptor::new(FAMILY, options.clone());
        Rocks {
            db: DBWithThreadMode::open_cf_descriptors(&options, path, [family]).expect("open"),
            sync: settings.sync,
        }
    }

    fn family(&self) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(FAMILY).expect("the column family")
    }

    fn written<T>(&self, write: impl FnOnce(&WriteOptions) -> T) -> T {
        WRITE.with(|options| write(&options[usize::from(self.sync)]))
    }
}

const FAMILY: &str = "default";

impl Engine for Rocks {
    fn put(&self, key: &[u8], value: &[u8]) {
        self.written(|options| self.db.put_opt(key, value, options))
            .expect("put");
    }

    fn put_batch(&self, items: &[(Vec<u8>, Vec<u8>)]) {
        let mut batch = WriteBatch::default();
        for (key, value) in items {
            batch.put(key, value);
        }
        self.written(|options| self.db.write_opt(batch, options))
            .expect("put batch");
    }

    fn get(&self, key: &[u8]) -> bool {
        let found = self.db.get_pinned(key).expect("get");
        found.inspect(|value| touch(value)).is_some()
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> usize {
        let found = self
            .db
            .batched_multi_get_cf(&self.family(), keys, false)
            .into_iter();
        found
            .filter_map(|value| value.expect("get many"))
            .inspect(|value| touch(value))
            .count()
    }

    fn scan(&self, start: Option<&[u8]>, limit: usize, reverse: bool) -> usize {
        let mut entries = self.db.raw_iterator();
        match (start, reverse) {
            (None, false) => entries.seek_to_first(),
            (None, true) => entries.seek_to_last(),
            (Some(key), false) => entries.seek(key),
            (Some(key), true) => entries.seek_for_prev(key),
        }
        let mut count = 0;
        while count < limit
            && let Some(entry) = entries.item()
        {
            touch(entry.0);
            touch(entry.1);
            count += 1;
            if reverse {
                entries.prev()
            } else {
                entries.next()
            }
        }
        entries.status().expect("scan");
        count
    }

    fn settle(&self) {
        self.db.flush().expect("flush");
        self.db.compact_range::<&[u8], &[u8]>(None, None);
    }
}
