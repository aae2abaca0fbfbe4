//! A service that is measured: Coatcheck on either stack, or the peer.

use std::path::PathBuf;
use std::time::Duration;

use crate::Bench;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::peer::Peer;
use crate::process::{Process, cpu_of_trees};
use crate::service::{Service, Stack};

/// The service that gets the files.
pub enum Target<'a> {
    /// One process for everything.
    Embedded(Box<Service>),
    /// An API and its workers, over PostgreSQL, RabbitMQ and Redis.
    Distributed(Box<Fleet<'a>>),
    Peer(&'a Peer),
}

/// A file with a line for each promise that is kept.
#[derive(Debug, Clone)]
pub struct Log {
    pub path: PathBuf,
    /// The positions of the id and the digest among a line's words.
    pub id: usize,
    pub digest: usize,
}

impl<'a> Target<'a> {
    /// Starts Coatcheck without any data, with one worker.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(bench: &'a Bench, stack: Stack) -> Result<Self, BenchError> {
        Ok(match stack {
            Stack::Embedded => {
                Self::Embedded(Box::new(Service::start(&bench.program, stack, &bench.servers).await?))
            }
            Stack::Distributed => Self::Distributed(Box::new(Fleet::start(bench, 1, &[]).await?)),
        })
    }

    /// Kills what does the tasks, and starts it on the same data with these settings.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restarted(
        self,
        bench: &Bench,
        settings: &[(&'static str, String)],
    ) -> Result<Self, BenchError> {
        Ok(match self {
            Self::Embedded(service) => {
                Self::Embedded(Box::new(service.restarted(&bench.program, settings).await?))
            }
            Self::Distributed(mut fleet) => {
                fleet.restart_worker(settings)?;
                Self::Distributed(fleet)
            }
            Self::Peer(_) => self,
        })
    }

    /// Runs another command of the program over the same data.
    ///
    /// # Errors
    /// If it fails, with its own message.
    pub fn run(&self, bench: &Bench, arguments: &[&str]) -> Result<(), BenchError> {
        match self {
            Self::Embedded(service) => service.run(&bench.program, arguments),
            Self::Distributed(fleet) => fleet.run(arguments),
            Self::Peer(_) => Ok(()),
        }
    }

    /// Returns the services to measure in turn: Coatcheck on these stacks, then the peer if there is one.
    pub fn all(bench: &'a Bench, stacks: &[Stack]) -> Vec<Choice<'a>> {
        let ours = stacks.iter().map(|stack| Choice::Ours(*stack));
        ours.chain(bench.peer.as_ref().map(Choice::Peer)).collect()
    }

    /// Returns its `HOST:PORT`.
    pub fn address(&self) -> &str {
        match self {
            Self::Embedded(service) => &service.address,
            Self::Distributed(fleet) => fleet.api.trim_start_matches("http://"),
            Self::Peer(peer) => &peer.address,
        }
    }

    /// Returns the path to which files are posted; results are below it.
    pub fn path(&self) -> &str {
        match self {
            Self::Embedded(_) | Self::Distributed(_) => "/api/v1/md5",
            Self::Peer(peer) => &peer.path,
        }
    }

    pub fn log(&self) -> Log {
        match self {
            Self::Embedded(service) => Log { path: service.outcome_log(), id: 1, digest: 4 },
            Self::Distributed(fleet) => Log { path: fleet.outcome_log(), id: 1, digest: 4 },
            Self::Peer(peer) => Log { path: peer.log.clone(), id: 0, digest: 1 },
        }
    }

    /// Returns the CPU time of its processes, without PostgreSQL, RabbitMQ and Redis.
    pub fn cpu(&self) -> Duration {
        match self {
            Self::Peer(peer) => cpu_of_trees(&peer.pids),
            ours => ours.processes().iter().map(|(_, process)| process.cpu()).sum(),
        }
    }

    /// Returns Coatcheck's processes, each with its name.
    pub fn processes(&self) -> Vec<(&'static str, &Process)> {
        match self {
            Self::Embedded(service) => vec![("all in one", &service.process)],
            Self::Distributed(fleet) => fleet.processes(),
            Self::Peer(_) => Vec::new(),
        }
    }
}

/// A service that a table has a row for.
#[derive(Clone, Copy)]
pub enum Choice<'a> {
    Ours(Stack),
    Peer(&'a Peer),
}

impl<'a> Choice<'a> {
    /// Starts the service.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(self, bench: &'a Bench) -> Result<Target<'a>, BenchError> {
        match self {
            Self::Ours(stack) => Target::start(bench, stack).await,
            Self::Peer(peer) => Ok(Target::Peer(peer)),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours(Stack::Embedded) => "Coatcheck, embedded",
            Self::Ours(Stack::Distributed) => "Coatcheck, distributed",
            Self::Peer(_) => "FastAPI, Celery",
        }
    }
}
