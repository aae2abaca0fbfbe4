//! Bounds the freed memory that the allocator keeps.
//!
//! glibc's malloc makes up to eight arenas for each core, and each time it frees a large piece it raises its threshold, so that pieces of
//! that size come from the arenas from then on (`mallopt(3)`). Memory freed there is seldom returned, so after a burst of large answers a
//! process held twice what it used.

/// The size in bytes from which on a piece of memory is a mapping of its own, which returns to the system when it is freed. malloc's own
/// initial value, 128 KiB, would map, zero and unmap each buffer of an upload.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: i32 = 192 << 10;
/// The freed bytes at an arena's end that are kept: a few buffers of uploads, which would otherwise be returned and taken again each time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 2 << 20;

/// Bounds what malloc keeps. Existing arenas stay: call it before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_little(cores: usize) {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

    // Threads that share an arena wait for each other, which is rare with one for each core.
    let arenas = i32::try_from(cores.max(2)).unwrap_or(i32::MAX);
    for (parameter, value) in [(M_ARENA_MAX, arenas), (M_MMAP_THRESHOLD, MAPPED), (M_TRIM_THRESHOLD, KEPT)] {
        // SAFETY: it takes two numbers, changes malloc's parameters under malloc's lock, and touches no memory of ours. If it rejects one,
        // the program runs with what it has.
        unsafe { mallopt(parameter, value) };
    }
}

/// Leaves other allocators as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn keep_little(_: usize) {}
