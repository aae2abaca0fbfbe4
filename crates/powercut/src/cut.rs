//! A power cut: its time, and the writes after the last flush that are on the disk.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use fastrand::Rng;

use crate::error::Outcome;
use crate::record::copy;
use crate::recording::{Event, Kind, Record, Recording, base};

/// Decides which of the writes after the last flush are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// All are lost.
    None,
    /// All are there.
    All,
    /// Each is there or not, at random.
    Random,
    /// The same, and some are there only in part: their beginning, their end, or some sectors.
    Torn,
    /// The latest are there, what came before them is not.
    Tail,
    /// One is there.
    Lone,
    /// Few are there.
    Few,
    /// One disk has all of its own, the other none.
    Split,
}

/// Policies to draw from; the more useful ones are listed twice.
const POLICIES: [Policy; 10] = [
    Policy::None,
    Policy::All,
    Policy::Random,
    Policy::Random,
    Policy::Torn,
    Policy::Torn,
    Policy::Tail,
    Policy::Lone,
    Policy::Few,
    Policy::Split,
];

/// Whether the disks return under the numbers that they had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    Same,
    Changed,
}

/// A cut of the power.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The number of records before it.
    pub at: u64,
    pub policy: Policy,
    /// The seed of the policy's random choices.
    pub seed: u64,
    pub device: Device,
}

impl Cut {
    /// Formats the cut as the arguments of `powercut cut FOLDER`.
    pub fn to_arguments(self) -> String {
        let Self { at, policy, seed, device } = self;
        let lower = |word: String| word.to_lowercase();
        let (policy, device) = (lower(format!("{policy:?}")), lower(format!("{device:?}")));
        format!("--at {at} --policy {policy} --seed {seed} --device {device}")
    }
}

/// Chooses that many cuts of a recording, in the order of their places.
pub fn choose(recording: &Recording, count: usize, dice: &mut Rng) -> Vec<Cut> {
    let run = &recording.run;
    let (begin, end) = (run.begin, run.end);
    let flushes = (0_u64..)
        .zip(&recording.records)
        .filter(|(at, record)| (begin..end).contains(at) && record.kind == Kind::Flush)
        .map(|(at, _)| at)
        .collect::<Vec<_>>();
    let renames = recording.events.iter().filter(|noted| noted.event == Event::Rotated);
    let renames = renames.map(|noted| noted.sequence).filter(|at| *at <= end).collect::<Vec<_>>();
    let choose = |dice: &mut Rng| {
        let flush = dice.choice(&flushes).copied().unwrap_or(end);
        let at = match dice.u32(..100) {
            // Anywhere.
            0..35 => dice.u64(begin..=end),
            // A flush was just done, or its writes were made and it was not.
            35..50 => flush + 1,
            50..72 => flush,
            72..80 => flush + 1 + dice.u64(..4),
            // The log was just renamed.
            80..92 => (dice.choice(&renames).copied().unwrap_or(end) + dice.u64(..80)).saturating_sub(20),
            // The program was not ready yet.
            _ => dice.u64(begin..=run.ready),
        };
        let policy = dice.choice(POLICIES).unwrap_or(Policy::None);
        let device = if dice.u32(..3) == 0 { Device::Changed } else { Device::Same };
        Cut { at: at.clamp(begin, end), policy, seed: dice.u64(..1 << 32), device }
    };
    let mut cuts = (0..count).map(|_| choose(dice)).collect::<Vec<_>>();
    cuts.sort_by_key(|cut| cut.at);
    cuts
}

/// Makes the disks of one cut after the other, in the order of their places.
pub struct Replay<'recording> {
    recording: &'recording Recording,
    /// The image of each disk with all that is sure by the last cut, and the number of records in it.
    sure: Vec<(PathBuf, File, usize)>,
}

/// The disks after a cut.
pub struct Disks {
    pub images: Vec<PathBuf>,
    /// The number of writes after the last flush, and of those that are on the disk, wholly or in part.
    pub unsure: usize,
    pub kept: usize,
}

impl<'recording> Replay<'recording> {
    /// Begins with the disks as they were before the recording.
    ///
    /// # Errors
    /// Returns the system's error, such as a full disk.
    pub async fn new(recording: &'recording Recording, room: &std::path::Path) -> Outcome<Self> {
        fs::create_dir_all(room)?;
        let mut sure = Vec::new();
        for disk in 0..recording.run.plan.disks {
            let path = room.join(format!("sure{disk}"));
            copy(&recording.folder.join(base(disk)), &path).await?;
            let file = OpenOptions::new().write(true).open(&path)?;
            sure.push((path, file, 0));
        }
        Ok(Self { recording, sure })
    }

    /// Makes the disks of a cut, which must not be before the one made last.
    ///
    /// # Errors
    /// Returns the system's error, such as a full disk.
    pub async fn make(&mut self, cut: &Cut) -> Outcome<Disks> {
        let recording = self.recording;
        let end = usize::try_from(cut.at).unwrap_or(usize::MAX).min(recording.records.len());
        let mut images = Vec::new();
        let mut files = Vec::new();
        let mut unsure = Vec::new();
        for (disk, (path, file, done)) in self.sure.iter_mut().enumerate() {
            let of_disk = |range: std::ops::Range<usize>| {
                let records = recording.records.get(range.clone()).unwrap_or_default();
                range.zip(records).filter(move |(_, record)| record.disk == disk)
            };
            let flush = of_disk(0..end).rfind(|(_, record)| record.kind == Kind::Flush);
            let sure = flush.map_or(0, |(at, _)| at + 1);
            for (_, record) in of_disk(*done..sure.max(*done)) {
                recording.apply_whole(file, record)?;
            }
            *done = sure.max(*done);
            unsure.extend(of_disk(sure..end).filter(|(_, record)| record.kind != Kind::Flush));
            let image = path.with_file_name(format!("image{disk}"));
            copy(path, &image).await?;
            files.push(OpenOptions::new().write(true).open(&image)?);
            images.push(image);
        }
        unsure.sort_by_key(|(at, _)| *at);
        let unsure = unsure.into_iter().map(|(_, record)| record).collect::<Vec<_>>();
        let kept = self.keep_some(&files, &unsure, cut)?;
        Ok(Disks { images, unsure: unsure.len(), kept })
    }

    /// Applies the unsure writes that the cut's policy keeps. Returns their number.
    fn keep_some(&self, files: &[File], unsure: &[&Record], cut: &Cut) -> Outcome<usize> {
        let mut dice = Rng::with_seed(cut.seed);
        let share = [0.1, 0.5, 0.9][dice.usize(..3)];
        let lone = dice.usize(..unsure.len().max(1));
        let disk = dice.usize(..files.len().max(1));
        let grain = self.recording.run.plan.file_system.grain();
        let mut kept = 0;
        for (at, record) in unsure.iter().enumerate() {
            let Some(file) = files.get(record.disk) else { continue };
            let is_kept = match cut.policy {
                Policy::None => false,
                Policy::All => true,
                Policy::Random => dice.f64() < share,
                Policy::Torn => dice.f64() < 0.65,
                Policy::Tail => at as f64 >= unsure.len() as f64 * share,
                Policy::Lone => at == lone,
                Policy::Few => dice.f64() < 0.05,
                Policy::Split => record.disk == disk,
            };
            if !is_kept {
                continue;
            }
            kept += 1;
            if cut.policy == Policy::Torn && dice.bool() {
                let grains = record.length.div_ceil(grain as u64);
                let (way, point, mut number) = (dice.u32(..3), dice.u64(..=grains), 0);
                self.recording.apply(file, record, grain, || {
                    number += 1;
                    match way {
                        0 => number <= point,
                        1 => number > point,
                        _ => dice.bool(),
                    }
                })?;
            } else {
                self.recording.apply_whole(file, record)?;
            }
        }
        Ok(kept)
    }
}
