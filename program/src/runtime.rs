//! The runtime that a program's work is done on.

use std::process::ExitCode;

use crate::settings::refuse;

/// Runs a program to its end on a runtime with many threads. Threads that hang then, in a read of a disk that does not answer,
/// hold up nothing: what they did is safe to lose.
pub fn run(program: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let status = runtime.block_on(program);
            runtime.shutdown_background();
            status
        }
        Err(error) => refuse(&format!("the program can't start its threads: {error}")),
    }
}
