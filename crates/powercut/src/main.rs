//! `powercut`: cuts the power under Coatcheck, and checks whether its earlier answers are still true.
//!
//! The program runs under load on disks that record each write and each flush ([`disk`]). A cut is a place in that recording: everything
//! that a flush has made sure is on the disk, and some of the later writes ([`cut`]). The file system is mounted as a machine that restarts
//! would, the program is started, and judged ([`judge`]). It uses Coatcheck only over HTTP, argv and the documented files.

mod cut;
mod disk;
mod error;
mod faults;
mod judge;
mod load;
mod mutants;
mod product;
mod record;
mod recording;
mod rig;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cut::{Cut, Device, Policy};
use error::{Context, Outcome, Trouble};
use product::{ThirdParty, World};
use record::Lane;
use recording::{Recording, StackKind};
use rig::{CANNOT, FileSystem, LANE, ROOM};
use suite::Suite;

/// Cut the power under Coatcheck, and check what it answered before
///
/// Needs root, FUSE and loop devices. Mounts, devices and processes are made in namespaces of their own, so that nothing of it is left
/// when it ends or is killed.
#[derive(Debug, Parser)]
#[command(
    name = "powercut",
    after_help = "\
Exit status: 0 nothing was found; 1 something was; 77 power cannot be cut on this machine, and one line says why."
)]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// The program to try [default: the one beside this one]
    #[arg(long, global = true, env = "COATCHECK_BIN", value_name = "PATH")]
    coatcheck: Option<PathBuf>,
    /// The folder for recordings with findings
    #[arg(long, global = true, value_name = "DIR", default_value = "target/powercut")]
    keep: PathBuf,
    /// RabbitMQ, whose virtual hosts are t1, t2, …
    #[arg(long, global = true, hide = true, env = "COATCHECK_TEST_AMQP")]
    amqp: Option<String>,
    #[arg(long, global = true, hide = true, env = "COATCHECK_TEST_REDIS")]
    redis: Option<String>,
    /// A folder in which numbers of virtual hosts and Redis databases are claimed
    #[arg(long, global = true, hide = true, env = "COATCHECK_TEST_CLAIMS")]
    claims: Option<PathBuf>,
    /// Set inside the namespaces
    #[arg(long, global = true, hide = true)]
    inside: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Run the whole suite: cuts on each file system and stack, disks that fail once, programs without a flush
    Run {
        /// The number of cuts on sound disks
        #[arg(long, env = "COATCHECK_CUTS", default_value_t = 1000)]
        cuts: usize,
        /// The seed for the choice of cuts
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Run only recordings whose names contain TEXT; repeatable
        #[arg(long, value_name = "TEXT")]
        only: Vec<String>,
    },
    /// Run a part that takes less than a minute and needs no servers
    Short,
    /// Repeat one cut of a kept recording
    Cut {
        /// The recording's folder
        recording: PathBuf,
        #[arg(long)]
        at: u64,
        #[arg(long)]
        policy: Policy,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value = "same")]
        device: Device,
    },
    /// Serve the disks of a recording
    #[command(hide = true)]
    Disk { folder: PathBuf, mount_point: PathBuf },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let What::Disk { folder, mount_point } = &cli.what {
        return match disk::serve(folder, mount_point) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    if !cli.inside {
        let file_systems = match cli.what {
            What::Short => &[FileSystem::Ext4][..],
            _ => &FileSystem::ALL,
        };
        if let Some(lack) = rig::lacks(file_systems) {
            return cannot(&lack);
        }
        return rig::enter(std::env::args_os().skip(1)).unwrap_or_else(|error| cannot(&error.to_string()));
    }
    if let Err(error) = rig::settle() {
        return cannot(&error.to_string());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let lanes = if matches!(cli.what, What::Run { .. }) { 2 } else { 1 };
    let loops = rig::Loops::claim(lanes * LANE);
    if let Err(error) = runtime.block_on(rig::try_mount(&loops.numbers)) {
        return cannot(&error.to_string());
    }
    match runtime.block_on(work(cli, &loops.numbers)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &Trouble) -> ExitCode {
    eprintln!("powercut: {error}");
    ExitCode::FAILURE
}

fn cannot(why: &str) -> ExitCode {
    eprintln!("powercut: power cannot be cut here: {why}");
    ExitCode::from(CANNOT)
}

async fn work(cli: Cli, loops: &[u32]) -> Outcome<bool> {
    let binary = match &cli.coatcheck {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("coatcheck"),
    };
    let binary = fs::canonicalize(&binary).at(binary.display())?;
    let scratch = Path::new(ROOM).join("scratch");
    fs::create_dir_all(&scratch)?;
    let third_party = ThirdParty::start(&binary, &scratch).await?;
    let world = |lane: usize| -> Outcome<World> {
        let scratch = scratch.join(lane.to_string());
        fs::create_dir_all(&scratch)?;
        let (amqp, redis) = (String::new(), String::new());
        Ok(World { binary: binary.clone(), third_party: third_party.url.clone(), amqp, redis, scratch })
    };
    match &cli.what {
        What::Run { cuts, seed, only } => {
            let mut jobs = suite::whole(*cuts);
            jobs.retain(|job| only.is_empty() || only.iter().any(|text| job.name().contains(text)));
            let is_distributed = jobs.iter().any(|job| job.name().contains("distributed"));
            let lanes = loops.chunks_exact(LANE).enumerate().map(|(number, loops)| {
                let world = world(number)?;
                lane(&cli, world, loops, is_distributed)
            });
            let lanes = lanes.collect::<Outcome<Vec<_>>>()?;
            Ok(Suite::new(jobs, *seed, cli.keep, &binary).run(lanes).await)
        }
        What::Short => {
            let lane = lane(&cli, world(0)?, loops, false)?;
            Ok(Suite::new(suite::short(), 1, cli.keep, &binary).run(vec![lane]).await)
        }
        What::Cut { recording, at, policy, seed, device } => {
            let run = Recording::read(recording)?.run;
            // The numbers that they had, if those are free.
            let (mut had, others): (Vec<u32>, Vec<u32>) =
                loops.iter().partition(|number| run.loops.contains(number));
            had.sort_by_key(|number| run.loops.iter().position(|other| other == number));
            let had = had.into_iter().chain(others.iter().copied()).take(2).collect::<Vec<_>>();
            let others = others.into_iter().filter(|number| !had.contains(number)).collect::<Vec<_>>();
            let lane =
                lane(&cli, world(0)?, &[had, others].concat(), run.plan.stack == StackKind::Distributed)?;
            let cut = Cut { at: *at, policy: *policy, seed: *seed, device: *device };
            suite::again(&lane, recording, &cut).await
        }
        What::Disk { .. } => Ok(true),
    }
}

/// Makes a lane, with servers if it runs the distributed stack.
fn lane(cli: &Cli, world: World, loops: &[u32], is_distributed: bool) -> Outcome<Lane> {
    let loops =
        loops.first_chunk().copied().ok_or_else(|| Trouble::new("expected more free loop devices"))?;
    let mut replays = world.clone();
    let mut world = world;
    if is_distributed {
        let (Some(amqp), Some(redis), Some(claims)) = (&cli.amqp, &cli.redis, &cli.claims) else {
            return Err(Trouble::new(
                "expected servers for the distributed stack; run this by tests/servers",
            ));
        };
        for world in [&mut world, &mut replays] {
            world.amqp = format!("{amqp}/t{}", claim(claims, 't')?);
            world.redis = format!("{redis}/{}", claim(claims, 'r')?);
        }
    }
    Ok(Lane { world, replays, loops })
}

/// Claims a number that no other process uses.
fn claim(claims: &Path, what: char) -> Outcome<u32> {
    let is_mine = |number: &u32| fs::create_dir(claims.join(format!("{what}{number}"))).is_ok();
    (1..240).find(is_mine).ok_or_else(|| Trouble::new("no virtual host or Redis database is left"))
}
