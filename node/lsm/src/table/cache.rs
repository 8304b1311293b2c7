use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::block::Block;

/// Data blocks by table number and offset, bounded in bytes. The crate's policy (a variant of
/// S3-FIFO) lets a scan pass through without displacing what is read again and again.
pub(crate) struct BlockCache(Cache<(u64, u64), Block, ByBytes>);

#[derive(Clone)]
struct ByBytes;

/// Itself, its heads, the cache's slot.
const BLOCK_OVERHEAD: usize = 192;

/// Allocators have few sizes: a block is rounded up by an eighth of its bytes, about.
fn memory(block_bytes: usize) -> usize {
    block_bytes + block_bytes / 8 + BLOCK_OVERHEAD
}

impl Weighter<(u64, u64), Block> for ByBytes {
    fn weight(&self, _: &(u64, u64), block: &Block) -> u64 {
        memory(block.bytes()) as u64
    }
}

impl BlockCache {
    pub(crate) fn new(capacity: usize, block_bytes: usize) -> BlockCache {
        let blocks = capacity / memory(block_bytes).max(1);
        BlockCache(Cache::with_weighter(
            blocks.max(1),
            capacity as u64,
            ByBytes,
        ))
    }

    pub(crate) fn get(&self, table: u64, offset: u64) -> Option<Block> {
        self.0.get(&(table, offset))
    }

    pub(crate) fn insert(&self, table: u64, offset: u64, block: Block) {
        self.0.insert((table, offset), block);
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.0.set_capacity(bytes);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    pub(crate) fn hits(&self) -> u64 {
        self.0.hits()
    }

    pub(crate) fn misses(&self) -> u64 {
        self.0.misses()
    }
}
