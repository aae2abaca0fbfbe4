//! The whole suite: recordings, cuts, faults and mutants in parallel lanes, and a summary of the findings.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fastrand::Rng;
use parking_lot::{Mutex, MutexGuard};

use crate::cut::{Cut, Device, Policy, Replay, choose};
use crate::error::{Outcome, Trouble};
use crate::faults::Target;
use crate::judge::{Verdict, judge, said};
use crate::mutants::Mutant;
use crate::record::{Lane, Meanwhile, record};
use crate::recording::{Plan, Recording, StackKind};
use crate::rig::{FileSystem, ROOM, run};

/// A mutant must be found within this many cuts.
const MUTANT_CUTS: usize = 100;
/// How many findings are printed of a recording's first bad cut and of each later one, and how many characters of each line.
const TOLD: usize = 6;
const TOLD_LATER: usize = 1;
const WIDTH: usize = 240;

/// The beginning of the names of mutants' recordings.
const MUTANT: &str = "mutant-";

fn is_mutant(name: &str) -> bool {
    name.starts_with(MUTANT)
}

/// A recording and its cuts.
#[derive(Debug, Clone)]
pub enum Job {
    /// That many cuts of a sound program on sound disks.
    Cuts { plan: Plan, count: usize, seconds: f64 },
    /// Cuts at the end, after a disk has failed once.
    Fault { plan: Plan, target: Target, seconds: f64 },
    /// Cuts of a program without one of its flushes, until a cut finds that.
    Mutant { plan: Plan, mutant: Mutant, seconds: f64 },
}

impl Job {
    /// Returns the name of its recording.
    pub fn name(&self) -> String {
        match self {
            Self::Cuts { plan, .. } => plan.name(),
            Self::Fault { plan, target, .. } => format!("eio-{}-{}", plan.name(), target.name()),
            Self::Mutant { plan, mutant, .. } => format!("{MUTANT}{}-{mutant:?}", plan.name()).to_lowercase(),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Cuts { count, .. } => *count,
            Self::Fault { .. } => AFTER_A_FAULT.len(),
            Self::Mutant { .. } => 0,
        }
    }
}

/// The cuts after a disk has failed once, at the recording's end.
const AFTER_A_FAULT: [Policy; 3] = [Policy::All, Policy::None, Policy::Random];

/// Returns the whole suite: that many cuts of sound disks, a fault of each kind on each file, each mutant.
pub fn whole(cuts: usize) -> Vec<Job> {
    let stacks = [StackKind::Distributed, StackKind::Embedded];
    let plans = stacks.iter().flat_map(|stack| {
        FileSystem::ALL
            .into_iter()
            .flat_map(move |file_system| [2, 1].map(move |disks| Plan { file_system, stack: *stack, disks }))
    });
    // PostgreSQL starts more slowly, so it gets a third of them.
    let weight = |plan: &Plan| if plan.stack == StackKind::Embedded { 2 } else { 1 };
    let all = plans.clone().map(|plan| weight(&plan)).sum::<usize>();
    let mut before = 0;
    let mut jobs = Vec::new();
    for plan in plans {
        let first = cuts * before / all;
        before += weight(&plan);
        jobs.push(Job::Cuts { count: cuts * before / all - first, plan, seconds: 8.0 });
    }
    for (file_system, stack) in FileSystem::ALL.into_iter().flat_map(|it| stacks.map(|stack| (it, stack))) {
        let plan = Plan { file_system, stack, disks: 2 };
        jobs.extend(Target::all(stack).map(|target| Job::Fault { plan: plan.clone(), target, seconds: 4.0 }));
    }
    jobs.extend(Mutant::ALL.map(|mutant| {
        let plan = Plan { file_system: FileSystem::Ext4, stack: mutant.stack(), disks: 2 };
        Job::Mutant { plan, mutant, seconds: 4.0 }
    }));
    jobs
}

/// Returns the part for `make test`: the embedded stack on two disks with ext4, and one fault.
pub fn short() -> Vec<Job> {
    let plan = Plan { file_system: FileSystem::Ext4, stack: StackKind::Embedded, disks: 2 };
    let target = Target { of: crate::faults::Of::Wal, call: crate::disk::Call::Write };
    vec![Job::Cuts { plan: plan.clone(), count: 20, seconds: 3.0 }, Job::Fault { plan, target, seconds: 2.0 }]
}

/// The counts of one job.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    changed: usize,
    with_findings: usize,
    looked_at: BTreeMap<&'static str, u64>,
    /// A failure of the harness.
    trouble: Option<String>,
}

/// A run of jobs.
pub struct Suite {
    queue: Mutex<VecDeque<Job>>,
    tallies: Mutex<BTreeMap<String, Tally>>,
    begun: Instant,
    cuts: usize,
    seed: u64,
    /// The folder for recordings with findings.
    keep: PathBuf,
    /// The command that repeats a cut, up to the recording's folder.
    again: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl Suite {
    /// Prepares the jobs without running them.
    pub fn new(jobs: Vec<Job>, seed: u64, keep: PathBuf, binary: &Path) -> Self {
        let cuts = jobs.iter().map(Job::count).sum();
        let again = format!("COATCHECK_BIN={} powercut cut", binary.display());
        let (queue, tallies) = (Mutex::new(jobs.into()), Mutex::default());
        Self { queue, tallies, begun: Instant::now(), cuts, seed, keep, again }
    }

    /// Runs all jobs in these lanes. Prints findings as they come, and a summary. Returns whether nothing was found.
    pub async fn run(&self, lanes: Vec<Lane>) -> bool {
        futures::future::join_all(lanes.iter().map(|lane| self.work(lane))).await;
        self.sum_up()
    }

    async fn work(&self, lane: &Lane) {
        loop {
            let Some(job) = lock(&self.queue).pop_front() else { return };
            let name = job.name();
            if let Err(trouble) = self.do_job(lane, &job).await {
                eprintln!("TROUBLE {name}: {trouble}");
                self.keep(&name).await;
                lock(&self.tallies).entry(name.clone()).or_default().trouble = Some(trouble.to_string());
            }
            let _ = fs::remove_dir_all(Path::new(ROOM).join(&name));
            let _ = fs::remove_dir_all(room_of(&name));
        }
    }

    async fn do_job(&self, lane: &Lane, job: &Job) -> Outcome<()> {
        let name = job.name();
        lock(&self.tallies).entry(name.clone()).or_default();
        let (plan, seconds, meanwhile) = match job {
            Job::Cuts { plan, seconds, .. } => (plan, *seconds, Meanwhile::Nothing),
            Job::Fault { plan, target, seconds } => (plan, *seconds, Meanwhile::Fault(*target)),
            Job::Mutant { plan, mutant, seconds } => (plan, *seconds, Meanwhile::Mutant(*mutant)),
        };
        let folder = record(lane, &name, plan, seconds, meanwhile).await?;
        let recording = Recording::read(&folder)?;
        let mut dice = Rng::with_seed(self.seed);
        let cuts = match job {
            Job::Cuts { count, .. } => choose(&recording, *count, &mut dice),
            Job::Mutant { .. } => {
                // In any order, for the first finding ends the job.
                let mut cuts = choose(&recording, MUTANT_CUTS, &mut dice);
                cuts.iter_mut().for_each(|cut| cut.device = Device::Same);
                cuts
            }
            Job::Fault { .. } => {
                let at = recording.run.end;
                AFTER_A_FAULT.map(|policy| Cut { at, policy, seed: 1, device: Device::Same }).to_vec()
            }
        };
        let mut replay = Replay::new(&recording, &room_of(&name)).await?;
        for cut in cuts {
            let disks = replay.make(&cut).await?;
            let verdict = judge(lane, &recording, &cut, &disks).await;
            let verdict =
                verdict.map_err(|error| Trouble::new(format!("{}: {error}", cut.to_arguments())))?;
            let is_first = self.count(&name, &cut, &verdict);
            if let Job::Mutant { mutant, .. } = job {
                if !verdict.found.is_empty() {
                    let first =
                        verdict.found.first().map(|found| found.chars().take(150).collect::<String>());
                    println!("{}: found, {}", mutant.name(), first.unwrap_or_default());
                    break;
                }
            } else if !verdict.found.is_empty() {
                if is_first {
                    self.keep(&name).await;
                    fs::copy(said(lane, &name), self.keep.join(&name).join("said-after"))?;
                }
                self.tell(&name, &cut, &verdict, if is_first { TOLD } else { TOLD_LATER });
            }
        }
        Ok(())
    }

    /// Counts a cut. Returns whether it is the first of its recording with findings.
    fn count(&self, name: &str, cut: &Cut, verdict: &Verdict) -> bool {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(name.to_owned()).or_default();
        tally.cuts += 1;
        tally.changed += usize::from(cut.device == Device::Changed);
        tally.with_findings += usize::from(!verdict.found.is_empty());
        for (what, count) in &verdict.looked_at {
            *tally.looked_at.entry(what).or_default() += count;
        }
        let is_first = tally.with_findings == 1 && !verdict.found.is_empty();
        let sound = || tallies.iter().filter(|(name, _)| !is_mutant(name)).map(|(_, tally)| tally);
        let done = sound().map(|tally| tally.cuts).sum::<usize>();
        let found = sound().map(|tally| tally.with_findings).sum::<usize>();
        if done.is_multiple_of(20) && !is_mutant(name) {
            let seconds = self.begun.elapsed().as_secs();
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            println!(
                "{minutes:3}:{seconds:02}  {done} of {} cuts, {found} with findings; now {name}",
                self.cuts
            );
        }
        is_first
    }

    fn tell(&self, name: &str, cut: &Cut, verdict: &Verdict, most: usize) {
        let count = verdict.found.len();
        let mut text = format!("FOUND {count} after a cut of {name}\n    again: {} ", self.again);
        let _ = writeln!(text, "{} {}", self.keep.join(name).display(), cut.to_arguments());
        for (at, line) in verdict.found.iter().take(most).flat_map(|found| found.lines().enumerate()) {
            let _ = writeln!(text, "    {}{}", if at > 0 { "  " } else { "" }, cut_off(line));
        }
        eprint!("{text}");
    }

    /// Keeps a recording for the search for the cause.
    async fn keep(&self, name: &str) {
        let from = Path::new(ROOM).join(name);
        let kept = fs::create_dir_all(&self.keep).map_err(Trouble::from);
        let words = ["cp", "--recursive", "--sparse=always", "--no-target-directory"].map(AsRef::as_ref);
        let to = self.keep.join(name);
        let words = [&words[..], &[from.as_os_str(), to.as_os_str()]].concat();
        let outcome = match kept {
            Ok(()) => run(&words).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            eprintln!("the recording {name} could not be kept: {error}");
        }
    }

    /// Prints the table. Returns whether nothing was found.
    fn sum_up(&self) -> bool {
        let tallies = lock(&self.tallies);
        let mut is_well = true;
        println!(
            "\n| recording | cuts | device changed | with findings | looked at |\n|---|---|---|---|---|"
        );
        for (name, tally) in tallies.iter() {
            let looked_at = tally.looked_at.iter().map(|(what, count)| format!("{count} {what}"));
            let looked_at = looked_at.collect::<Vec<_>>().join(", ");
            let Tally { cuts, changed, with_findings, trouble, .. } = tally;
            println!("| {name} | {cuts} | {changed} | {with_findings} | {looked_at} |");
            let should_find = is_mutant(name);
            is_well &= trouble.is_none() && should_find == (*with_findings > 0);
            if let Some(trouble) = trouble {
                println!("trouble with {name}: {trouble}");
            } else if should_find && *with_findings == 0 {
                println!("NOT SEEN: {name}");
            }
        }
        is_well
    }
}

/// Returns the beginning of a line.
fn cut_off(line: &str) -> String {
    line.chars().take(WIDTH).collect()
}

/// Returns the folder of the disks of a recording's cuts.
fn room_of(name: &str) -> PathBuf {
    Path::new(ROOM).join(format!("{name}.cut"))
}

/// Repeats one cut of a kept recording, and prints its findings. Returns whether nothing was found.
///
/// # Errors
/// If the harness fails.
pub async fn again(lane: &Lane, folder: &Path, cut: &Cut) -> Outcome<bool> {
    let recording = Recording::read(folder)?;
    let mut replay = Replay::new(&recording, &room_of(&recording.run.name)).await?;
    let disks = replay.make(cut).await?;
    println!("{} writes were after the last flush, {} of them are on the disk", disks.unsure, disks.kept);
    let verdict = judge(lane, &recording, cut, &disks).await?;
    for found in &verdict.found {
        println!("   {found}");
    }
    println!("{} findings; looked at {:?}", verdict.found.len(), verdict.looked_at);
    Ok(verdict.found.is_empty())
}
