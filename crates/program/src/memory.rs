//! How much memory the allocator keeps of what a program has freed.
//!
//! glibc's malloc makes up to eight arenas a core, and each time it frees a large piece it takes pieces of that size from them from then
//! on (`mallopt(3)`). What is freed there is seldom returned, so after a burst of large answers a process held twice what it used.

/// Bytes from which on a piece of memory is a mapping of its own, which goes back to the system when it is freed: malloc's own first value,
/// which stays where it is once it was set.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: i32 = 128 << 10;

/// Bounds what malloc keeps. Arenas that there are already stay: call it before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_little(cores: usize) {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, mallopt};

    // Threads wait for each other where they share an arena, which they hardly do with one a core.
    let arenas = i32::try_from(cores.max(2)).unwrap_or(i32::MAX);
    for (parameter, value) in [(M_ARENA_MAX, arenas), (M_MMAP_THRESHOLD, MAPPED)] {
        // SAFETY: it takes two numbers, changes malloc's parameters under malloc's lock, and touches no memory of ours.
        // Where it refuses one, the program runs with what it has.
        unsafe { mallopt(parameter, value) };
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn keep_little(_: usize) {}
