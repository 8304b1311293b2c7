//! A server's memory in pages of the usual size.
//!
//! The allocator asks the kernel for huge pages where it can have them. Much of what a server holds is let go and taken
//! again in small pieces, and of a huge page no piece goes back: with half a million keys a primary held 320 MB instead of
//! 266, and a cache that was full grew by 13 MB in a single step, at some time in an hour, when the kernel made huge pages of
//! what it had in small ones. What budgets say has to hold. (Batches of 64 gets over half a million keys took 3.4 us of CPU a
//! key instead of 4.2, on a busy machine; of puts too little was measured to tell.)

/// For this process: a server's, never that of a program that embeds the engine. What cannot be set is left.
pub fn keep_small() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
