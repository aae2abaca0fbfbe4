//! The runtime of a program.

use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use tokio::runtime::Builder;

use crate::memory;
use crate::settings::{refuse, tell_early};

/// The number of cores for each thread of the runtime. Its tasks are short, for requests and hashing have threads of their own; and threads
/// that share little work mostly wake each other.
const CORES_A_THREAD: usize = 4;

/// Runs a program to its end on a runtime with a few threads. Threads that hang at its end, such as in a read of a disk that does not
/// answer, are not waited for: losing their work is safe.
pub fn run(program: impl Future<Output = ExitCode>) -> ExitCode {
    let cores = available_parallelism().map_or(1, NonZero::get);
    memory::keep_little(cores);
    let threads = cores.div_ceil(CORES_A_THREAD);
    match Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => {
            let status = runtime.block_on(program);
            tell_early();
            runtime.shutdown_background();
            status
        }
        Err(error) => refuse(&format!("the program could not start its threads: {error}")),
    }
}
