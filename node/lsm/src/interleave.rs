//! Where another thread may come in between. A place that costs nothing, except with the feature `shuttle`,
//! which lets a seed decide who goes on: the lists' links lie in raw memory, where a checker's own atomics
//! have no room. It thus tries orders of accesses, all of them sequentially consistent; weaker ones are
//! left to the reasoning at each `Ordering`.

#[inline(always)]
pub(crate) fn interleave() {
    #[cfg(feature = "shuttle")]
    shuttle::thread::yield_now();
}
