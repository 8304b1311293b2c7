use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

use super::{
    BACKGROUND_THREADS, BLOCK_BYTES, BLOOM_BITS, Engine, FILE_BYTES, LEVEL_BASE_BYTES, Settings,
};

pub struct Rocks {
    db: DB,
    sync: bool,
}

impl Rocks {
    pub fn open(path: &Path, settings: &Settings) -> Rocks {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_size(BLOCK_BYTES);
        blocks.set_bloom_filter(f64::from(BLOOM_BITS), false);
        blocks.set_block_cache(&Cache::new_lru_cache(settings.cache_bytes));
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(settings.memtable_bytes);
        options.set_compression_type(DBCompressionType::None);
        options.set_target_file_size_base(FILE_BYTES);
        options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES);
        options.set_max_background_jobs(BACKGROUND_THREADS);
        Rocks {
            db: DB::open(&options, path).expect("open"),
            sync: settings.sync,
        }
    }

    fn options(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        options
    }
}

impl Engine for Rocks {
    fn put(&self, key: &[u8], value: &[u8]) {
        self.db.put_opt(key, value, &self.options()).expect("put");
    }

    fn put_batch(&self, items: &[(Vec<u8>, Vec<u8>)]) {
        let mut batch = WriteBatch::default();
        for (key, value) in items {
            batch.put(key, value);
        }
        self.db
            .write_opt(batch, &self.options())
            .expect("put batch");
    }

    fn get(&self, key: &[u8]) -> bool {
        self.db.get_pinned(key).expect("get").is_some()
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> usize {
        let found = self.db.multi_get(keys).into_iter();
        found.filter(|value| value.as_ref().expect("get many").is_some()).count()
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
            std::hint::black_box(entry);
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
