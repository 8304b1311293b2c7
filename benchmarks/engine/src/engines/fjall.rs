use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{BACKGROUND_THREADS, Engine, Settings, touch};

/// Block size (4 KiB) and filters (10 bits) are its defaults; compression is switched off.
pub struct Fjall {
    db: Database,
    items: Keyspace,
    sync: bool,
}

impl Fjall {
    pub fn open(path: &Path, settings: &Settings) -> Fjall {
        let db = Database::builder(path)
            .cache_size(settings.cache_bytes as u64)
            .worker_threads(BACKGROUND_THREADS as usize)
            .open()
            .expect("open");
        let memtable_bytes = settings.memtable_bytes as u64;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(memtable_bytes)
                .data_block_compression_policy(fjall::config::CompressionPolicy::disabled())
        };
        let items = db.keyspace("items", options).expect("keyspace");
        Fjall {
            db,
            items,
            sync: settings.sync,
        }
    }

    fn persist(&self) {
        if self.sync {
            self.db.persist(PersistMode::SyncData).expect("sync");
        }
    }
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) {
        self.items.insert(key, value).expect("put");
        self.persist();
    }

    fn put_batch(&self, items: &[(Vec<u8>, Vec<u8>)]) {
        let mut batch = self.db.batch();
        for (key, value) in items {
            batch.insert(&self.items, key.as_slice(), value.as_slice());
        }
        batch.commit().expect("put batch");
        self.persist();
    }

    fn get(&self, key: &[u8]) -> bool {
        let found = self.items.get(key).expect("get");
        found.inspect(|value| touch(value)).is_some()
    }

    /// It has none: one by one.
    fn get_many(&self, keys: &[Vec<u8>]) -> usize {
        keys.iter().filter(|key| self.get(key)).count()
    }

    fn scan(&self, start: Option<&[u8]>, limit: usize, reverse: bool) -> usize {
        let entries = match (start, reverse) {
            (None, _) => self.items.iter(),
            (Some(key), false) => self.items.range(key..),
            (Some(key), true) => self.items.range(..=key),
        };
        let visit = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner().expect("entry");
            touch(&key);
            touch(&value);
        };
        if reverse {
            entries.rev().take(limit).map(visit).count()
        } else {
            entries.take(limit).map(visit).count()
        }
    }

    fn settle(&self) {
        self.items.rotate_memtable_and_wait().expect("flush");
        self.items.major_compact().expect("compact");
    }
}
