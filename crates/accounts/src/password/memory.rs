//! The memory that argon2 works in, allocated once and reused.
//!
//! A hash needs 19 MiB. Allocated and freed for each hash, this memory ends up in the allocator's arenas, one or several for each thread
//! that ever hashed, and never returns to the system: thirty wrong passwords then cost a gigabyte. So there are as many buffers as hashes
//! at a time.

use argon2::password_hash::Error as HashError;
use argon2::{Argon2, Block};
use parking_lot::Mutex;

/// Buffers that no hash uses at the moment.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// Fills `digest` with the hash of a password.
    ///
    /// # Errors
    /// If the algorithm rejects its inputs, or there is not enough memory.
    pub(super) fn hash(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        digest: &mut [u8],
    ) -> Result<(), HashError> {
        let needed = argon2.params().block_count();
        let mut blocks = self.0.lock().pop().unwrap_or_default();
        if blocks.len() < needed {
            blocks = Vec::new();
            blocks.try_reserve_exact(needed).map_err(|_| HashError::OutOfMemory)?;
            blocks.resize(needed, Block::new());
        }
        let outcome = argon2.hash_password_into_with_memory(password, salt, digest, &mut blocks);
        self.0.lock().push(blocks);
        Ok(outcome?)
    }

    /// Returns the number of buffers while no hash is in progress.
    #[cfg(test)]
    pub(super) fn buffers(&self) -> usize {
        self.0.lock().len()
    }
}
