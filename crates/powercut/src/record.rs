//! Makes a recording: the program under load on disks that record.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Outcome, Trouble};
use crate::faults::{self, Target};
use crate::load::{Load, Notes};
use crate::mutants::Mutant;
use crate::product::{Places, Product, World};
use crate::recording::{self, Plan, Run, StackKind};
use crate::rig::{DEADLINE, LANE, Mount, ROOM, Recorder, limit_requests, run};

/// The servers and devices of one recording and its replay.
#[derive(Debug, Clone)]
pub struct Lane {
    pub world: World,
    /// A second set of servers, for replays.
    pub replays: World,
    /// The loop devices of the first and the second disk, and others for replays under other numbers.
    pub loops: [u32; LANE],
}

/// A disturbance of the program or the disks during a recording.
#[derive(Debug, Clone, Copy)]
pub enum Meanwhile {
    Nothing,
    /// One of the program's flushes is removed.
    Mutant(Mutant),
    /// The disk fails once.
    Fault(Target),
}

/// Returns where the disks of a recording of that name are mounted.
pub fn places(name: &str, disks: usize) -> Places {
    let point = |disk: &str| Path::new(ROOM).join("mnt").join(name).join(disk);
    let second = if disks > 1 { "b" } else { "a" };
    Places { database: point("a"), files: point(second) }
}

/// Mounts disks at a recording's places.
///
/// # Errors
/// Returns the message of `mount`.
pub async fn mount(plan: &Plan, places: &Places, images: &[PathBuf], loops: &[u32]) -> Outcome<Vec<Mount>> {
    let mut mounts = Vec::new();
    for ((image, number), point) in images.iter().zip(loops).zip([&places.database, &places.files]) {
        mounts.push(Mount::new(plan.file_system, image, point, *number).await?);
    }
    Ok(mounts)
}

/// Records for that many seconds. Returns the recording's folder.
///
/// # Errors
/// If the place can't be made, or the program does not become ready on sound disks.
pub async fn record(
    lane: &Lane,
    name: &str,
    plan: &Plan,
    seconds: f64,
    meanwhile: Meanwhile,
) -> Outcome<PathBuf> {
    let folder = Path::new(ROOM).join(name);
    fs::create_dir_all(&folder)?;
    for disk in 0..plan.disks {
        let (contents, base) = (folder.join(recording::contents(disk)), folder.join(recording::base(disk)));
        plan.file_system.make(&contents).await?;
        copy(&contents, &base).await?;
    }
    let recorder = Recorder::start(&folder, &Path::new(ROOM).join(format!("{name}.fuse"))).await?;
    let images = (0..plan.disks).map(|disk| recorder.image(disk)).collect::<Vec<_>>();
    let loops = lane.loops.into_iter().take(plan.disks).collect::<Vec<_>>();
    let places = places(name, plan.disks);
    let mounts = mount(plan, &places, &images, &loops).await?;
    for number in &loops {
        limit_requests(*number)?;
    }
    let wrap = match meanwhile {
        Meanwhile::Mutant(mutant) => mutant.wrap(&places),
        _ => Vec::new(),
    };
    let mut product = Product::new(&lane.world, plan.stack, places.clone(), folder.join("said"), wrap);
    product.is_unsafe = matches!(meanwhile, Meanwhile::Mutant(Mutant::Postgres));
    if plan.stack == StackKind::Distributed {
        // PostgreSQL's folder is created before records are counted.
        product.start_postgres().await?;
        product.cut().await?;
    }
    for point in [&places.database, &places.files] {
        run(&["sync".as_ref(), "--file-system".as_ref(), point.as_os_str()]).await?;
    }
    let notes = Arc::new(Notes::new(recorder.sequence()?, &folder.join(recording::EVENTS))?);
    let (begin, _) = notes.look()?;
    product.start().await?;
    let client = product.ready(DEADLINE).await?;
    let (ready, _) = notes.look()?;
    let uploaders = if let Meanwhile::Mutant(Mutant::Folders) = meanwhile { 1 } else { 4 };
    let load = Load::start(name, notes.clone(), client, places.log(), uploaders);
    match meanwhile {
        Meanwhile::Fault(target) => {
            let what = (target, seconds);
            faults::strike(what, plan, &places, &recorder, &notes, &mut product, &load).await?;
        }
        _ => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
    }
    let (end, _) = notes.look()?;
    // Requests in progress end with the program.
    let (stopped, cut) = tokio::join!(load.stop(), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        product.cut().await
    });
    stopped?;
    cut?;
    drop(Arc::into_inner(notes).ok_or_else(|| Trouble::new("a client is still running"))?);
    for mount in mounts {
        mount.end().await?;
    }
    recorder.end().await?;
    for disk in 0..plan.disks {
        fs::remove_file(folder.join(recording::contents(disk)))?;
    }
    let run = Run { name: name.to_owned(), plan: plan.clone(), begin, ready, end, loops };
    serde_json::to_writer(File::create(folder.join(recording::RUN))?, &run)?;
    Ok(folder)
}

/// Copies a file with its holes.
///
/// # Errors
/// Returns the message of `cp`.
pub async fn copy(from: &Path, to: &Path) -> Outcome<()> {
    run(&["cp".as_ref(), "--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()]).await.map(drop)
}
