//! Where the newest entry of a key lies in a list, by the key's hash: a search of the list touches a
//! dozen places in memory, this one or two.
//!
//! ```text
//! slot := hash:u64  entry:ptr      (hash 0: free)
//! ```
//!
//! Slots are probed one after the other from the hash's own on. One writer, any number of readers, who
//! take no lock. A slot's hash is stored (release) after its entry; later only its entry is replaced, by a
//! newer one of the same key, and nothing is ever taken out. When three quarters are taken, the writer
//! copies them to a table of twice the size and then makes that the current one; the old one stays, since
//! readers may be in it, and is complete for whatever was visible when they came.
//!
//! Rejected: entries without hashes, half the size: growing would visit every entry in memory, a stall of
//! tens of milliseconds; and a chain through the entries: one that is not there costs a visit of another.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::interleave::interleave;
use crate::prefetch::prefetch;

/// Few where orders are tried, so that tables grow among them.
const FIRST_SLOTS: usize = if cfg!(feature = "shuttle") { 4 } else { 64 };
/// 16 MiB: whoever fills a memtable with more, grows it once or twice.
const MOST_FIRST_SLOTS: usize = 1 << 20;
/// Tables double: this many are more than any memory holds.
const TABLES: usize = 32;

struct Slot {
    hash: AtomicU64,
    entry: AtomicPtr<u8>,
}

pub(crate) struct Newest {
    tables: [OnceLock<Box<[Slot]>>; TABLES],
    first_slots: usize,
    current: AtomicUsize,
    /// Slots taken; only the writer changes it.
    taken: AtomicUsize,
}

impl Newest {
    /// Begins with a table that `keys` fit in: growing costs as much memory again, and a visit of each entry's slot.
    pub(crate) fn with_room_for(keys: usize) -> Newest {
        let slots = (keys / 3 * 4 + 1).next_power_of_two();
        Newest {
            tables: [const { OnceLock::new() }; TABLES],
            first_slots: slots.clamp(FIRST_SLOTS, MOST_FIRST_SLOTS),
            current: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    /// How many it has, as the writer sees it.
    pub(crate) fn keys(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The entry with `hash` for which `is_it` holds.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(*mut u8) -> bool) -> Option<*mut u8> {
        let slots = self.tables[self.current.load(Ordering::Acquire)].get()?;
        let (slot, taken) = probe(slots, used(hash), is_it);
        taken.then(|| slots[slot].entry.load(Ordering::Acquire))
    }

    /// What the search for `hash` meets first, if it has that hash: for looking ahead.
    pub(crate) fn first(&self, hash: u64) -> Option<*mut u8> {
        let slots = self.tables[self.current.load(Ordering::Acquire)].get()?;
        let slot = &slots[hash as usize & (slots.len() - 1)];
        let same = slot.hash.load(Ordering::Acquire) == used(hash);
        same.then(|| slot.entry.load(Ordering::Acquire))
    }

    /// Asks for the place where a search for `hash` begins.
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(slots) = self.tables[self.current.load(Ordering::Acquire)].get() {
            prefetch(ptr::from_ref(&slots[hash as usize & (slots.len() - 1)]).cast());
        }
    }

    /// Puts `entry` in the place of the one for which `is_it` holds, if there is one. By one writer at a time.
    pub(crate) fn insert(&self, hash: u64, entry: *mut u8, is_it: impl Fn(*mut u8) -> bool) {
        let hash = used(hash);
        let slots = self.with_room();
        let (slot, taken) = probe(slots, hash, is_it);
        slots[slot].entry.store(entry, Ordering::Release);
        if !taken {
            interleave();
            slots[slot].hash.store(hash, Ordering::Release);
            let taken = self.taken.load(Ordering::Relaxed) + 1;
            self.taken.store(taken, Ordering::Relaxed);
        }
    }

    fn with_room(&self) -> &[Slot] {
        let current = self.current.load(Ordering::Relaxed);
        let slots = self.tables[current].get_or_init(|| free(self.first_slots));
        if self.taken.load(Ordering::Relaxed) < slots.len() / 4 * 3 {
            return slots;
        }
        let larger = self.tables[current + 1].get_or_init(|| {
            let larger = free(2 * slots.len());
            for slot in slots {
                let hash = slot.hash.load(Ordering::Relaxed);
                if hash != 0 {
                    let (to, _) = probe(&larger, hash, |_| false);
                    let entry = slot.entry.load(Ordering::Relaxed);
                    larger[to].entry.store(entry, Ordering::Relaxed);
                    larger[to].hash.store(hash, Ordering::Relaxed);
                }
            }
            larger
        });
        interleave();
        self.current.store(current + 1, Ordering::Release);
        larger
    }
}

/// 0 marks a free slot.
fn used(hash: u64) -> u64 {
    hash.max(1)
}

fn free(slots: usize) -> Box<[Slot]> {
    let Ok(layout) = Layout::array::<Slot>(slots) else {
        unreachable!("a table is far smaller than isize::MAX");
    };
    // SAFETY: the size is not 0, and the box gives it back with the layout of such a slice. All zeros are a slot: hash 0,
    // and no entry. (What the system hands out zeroed is not touched for it.)
    unsafe {
        let first = alloc_zeroed(layout).cast::<Slot>();
        if first.is_null() {
            handle_alloc_error(layout);
        }
        Box::from_raw(ptr::slice_from_raw_parts_mut(first, slots))
    }
}

/// The slot of the entry, and true; or the free one where it would be. (A quarter at least is free.)
fn probe(slots: &[Slot], hash: u64, is_it: impl Fn(*mut u8) -> bool) -> (usize, bool) {
    let mask = slots.len() - 1;
    // The filter of a table picks its line by the upper half of the same hash.
    let mut slot = hash as usize & mask;
    loop {
        interleave();
        match slots[slot].hash.load(Ordering::Acquire) {
            0 => return (slot, false),
            found if found == hash && is_it(slots[slot].entry.load(Ordering::Acquire)) => {
                return (slot, true);
            }
            _ => slot = (slot + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_keeps_apart_what_has_one_hash() {
        // Three keys to a hash, of which some begin at one slot.
        let hash = |key: usize| (key as u64 / 3) % 700 * 64;
        let newest = Newest::with_room_for(0);
        let mut entries: Vec<(usize, u64)> = (0..4_000).map(|index| (index % 2_000, 0)).collect();
        let all = entries.as_mut_ptr();
        let key_of = |entry: *mut u8| {
            // SAFETY: only addresses of entries go in.
            unsafe { (*entry.cast::<(usize, u64)>()).0 }
        };
        for index in 0..4_000 {
            // SAFETY: within the vector.
            let entry = unsafe { all.add(index) }.cast::<u8>();
            let key = key_of(entry);
            newest.insert(hash(key), entry, |other| key_of(other) == key);
        }
        for key in 0..2_000 {
            let found = newest.find(hash(key), |other| key_of(other) == key);
            // SAFETY: within the vector.
            assert_eq!(found, Some(unsafe { all.add(2_000 + key) }.cast()));
        }
        assert_eq!(newest.find(hash(2_001), |_| false), None);
        assert_eq!(newest.keys(), 2_000);
    }

    #[test]
    fn what_it_has_room_for_needs_no_second_table() {
        for keys in [1, 47, 48, 49, 1_000, 3_000] {
            let newest = Newest::with_room_for(keys);
            let mut entry = 0_u8;
            for key in 0..keys {
                newest.insert(key as u64 + 1, &mut entry, |_| false);
            }
            assert_eq!(newest.current.load(Ordering::Relaxed), 0, "{keys} keys");
        }
    }
}
