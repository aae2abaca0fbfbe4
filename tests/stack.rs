//! A whole service in a folder of its own: its settings, its data, and the program that runs on them.

use std::ffi::OsStr;
use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::program::{Program, coatcheck, eventually, stderr_of};

/// Tests a promise on every stack: `on_both_stacks!(name, |stack| async move { … })`, or with settings before the
/// closure: `on_both_stacks!(name, [("WORKERS", "1")], |stack| …)`.
///
/// A test is `{file}::{name}::{stack}`. A second stack is one more function here.
macro_rules! on_both_stacks {
    ($name:ident, |$stack:ident| $body:expr) => {
        on_both_stacks!($name, [], |$stack| $body);
    };
    ($name:ident, $settings:expr, |$stack:ident| $body:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "not every test needs what its file imports")]
            use super::*;

            async fn promise($stack: std::sync::Arc<$crate::stack::Stack>) {
                $body.await;
            }

            #[tokio::test]
            async fn embedded() {
                let settings: &[(&str, &str)] = &$settings;
                $crate::stack::on($crate::stack::Stack::embedded(settings), promise).await;
            }
        }
    };
}

/// A connection that was idle for longer is not used again: far less than what a server keeps one open.
const IDLE: Duration = Duration::from_secs(1);

/// One service. Its processes can be killed and started again; its folder is there until the test is over.
pub struct Stack {
    folder: TempDir,
    settings: Vec<(String, String)>,
    /// `HOST:PORT`; once it was started, the same each time.
    address: Mutex<String>,
    program: Mutex<Option<Program>>,
    pub(crate) http: reqwest::Client,
}

/// Starts a stack and lets a test have it. If the test fails, what its programs had to say is shown.
pub async fn on<F: Future<Output = ()>>(stack: Stack, test: impl FnOnce(Arc<Stack>) -> F) {
    let stack = Arc::new(stack);
    stack.start().await;
    let outcome = AssertUnwindSafe(test(stack.clone())).catch_unwind().await;
    drop(stack.program().take());
    if let Err(failure) = outcome {
        println!("{}", fs::read_to_string(stderr_of(stack.folder())).unwrap_or_default());
        resume_unwind(failure);
    }
}

impl Stack {
    /// The one program with its data under its working directory.
    pub fn embedded(settings: &[(&str, &str)]) -> Self {
        Self {
            folder: TempDir::with_prefix("coatcheck-test-").unwrap(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            address: Mutex::new(format!("{}:0", own_host())),
            program: Mutex::default(),
            http: reqwest::Client::builder().no_proxy().pool_idle_timeout(IDLE).build().unwrap(),
        }
    }

    /// Starts the program on the data that is there.
    pub async fn start(&self) {
        let mut command = coatcheck(self.folder(), [""; 0]);
        command.env("LISTEN", self.address());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let program = Program::start(command, self.folder()).await;
        *self.address.lock().unwrap() = program.address.clone();
        let before = self.program().replace(program);
        assert!(before.is_none(), "two programs on the same data");
    }

    /// `kill -9`. When this returns it is gone.
    pub fn kill(&self) {
        self.program().take().expect("no program to kill").kill();
    }

    pub fn signal(&self, signal: Signal) {
        self.program().as_mut().expect("no program to signal").signal(signal);
    }

    /// How the program has ended by itself.
    pub async fn exit(&self) -> ExitStatus {
        eventually("the end of the program", async || self.exit_status().ok_or("it still runs")).await
    }

    /// How the program has ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut program = self.program();
        let status = program.as_mut().expect("no program that could end").exit_status();
        if status.is_some() {
            *program = None;
        }
        status
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// `HOST:PORT`, also while nobody answers there.
    pub fn address(&self) -> String {
        self.address.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.program().as_ref().expect("no program").pid()
    }

    /// The program's working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path under `data/`.
    pub fn data(&self, path: &str) -> PathBuf {
        self.folder().join("data").join(path)
    }

    /// A client command that talks to this stack.
    pub fn coatcheck<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = coatcheck(self.folder(), arguments);
        command.env("COATCHECK_URL", self.url(""));
        command
    }

    fn program(&self) -> MutexGuard<'_, Option<Program>> {
        self.program.lock().unwrap()
    }
}

/// A loopback address for one stack alone: a client that asks for a program which is gone must never reach another test's.
fn own_host() -> String {
    static STACKS: AtomicU32 = AtomicU32::new(0);
    let (process, stack) = (std::process::id(), STACKS.fetch_add(1, Relaxed));
    let part = |number: u32| 1 + number % 254;
    format!("127.{}.{}.{}", part(process), part(process / 254), part(stack))
}
