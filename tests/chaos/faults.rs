//! The faults. Each track causes one fault after the other until its time is over, and repairs what it did.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::rig::{Process, Rig, sibling};
use crate::kit::content::Dice;
use crate::kit::proxy::State;
use crate::tasks::log::LockHolder;

/// The time between two moves of the log in a spell of rotations.
const ROTATION: Duration = Duration::from_millis(30);
const MINUTE: Duration = Duration::from_secs(60);

fn between(dice: &mut Dice, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + dice.below(most - least))
}

fn one_of<'a>(dice: &mut Dice, processes: &'a [Process]) -> &'a Process {
    &processes[dice.below(processes.len() as u64) as usize]
}

/// Waits for a while; returns `false` once the time is over. The faults pass time only by this, as the fault itself or as the pause before
/// it.
async fn goes_on(pause: Duration, until: Instant) -> bool {
    sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
    Instant::now() < until
}

/// Kills, stops and ends processes; they are started again at once.
pub async fn of_processes(rig: &Rig, mut dice: Dice, until: Instant) {
    while goes_on(between(&mut dice, 200, 1800), until).await {
        rig.processes.iter().for_each(|process| process.revive(rig));
        let process = one_of(&mut dice, &rig.processes);
        match dice.below(20) {
            0..10 => {
                rig.count("process killed");
                process.kill(&rig.stack);
            }
            10 => {
                rig.count("all processes killed");
                rig.processes.iter().for_each(|process| process.kill(&rig.stack));
            }
            11..14 => {
                rig.count("process told to end");
                process.restart(rig).await;
            }
            14..17 => {
                rig.count("process stood still beyond its lease");
                stand_still(process, between(&mut dice, 2500, 5000)).await;
            }
            _ => {
                rig.count("process stood still");
                stand_still(process, between(&mut dice, 100, 1500)).await;
            }
        }
    }
    rig.processes.iter().for_each(|process| process.revive(rig));
}

async fn stand_still(process: &Process, length: Duration) {
    process.signal(Signal::SIGSTOP);
    sleep(length).await;
    process.signal(Signal::SIGCONT);
}

/// Stops the worker with a log of its own for a minute, or until the faults are over, and kills it.
pub async fn of_the_log_keeper(rig: &Rig, mut dice: Dice, until: Instant) {
    let Some(keeper) = &rig.log_keeper else { return };
    while goes_on(between(&mut dice, 2000, 6000), until).await {
        keeper.revive(rig);
        match dice.below(3) {
            0 => {
                rig.count("writer of the second log stood still for a minute");
                keeper.signal(Signal::SIGSTOP);
                goes_on(MINUTE, until).await;
                keeper.signal(Signal::SIGCONT);
            }
            _ => {
                rig.count("writer of the second log killed");
                keeper.kill(&rig.stack);
            }
        }
    }
    keeper.revive(rig);
}

/// Breaks the connection between one process and one server, or all connections to a server.
pub async fn of_the_network(rig: &Rig, mut dice: Dice, until: Instant) {
    if rig.servers.is_none() {
        return;
    }
    while goes_on(between(&mut dice, 200, 1500), until).await {
        let server = dice.below(3) as usize;
        let process = one_of(&mut dice, &rig.processes);
        let all = || rig.processes.iter().map(|process| &process.cables[server]);
        let cables: Vec<_> = if dice.below(4) == 0 { all().collect() } else { vec![&process.cables[server]] };
        let length = between(&mut dice, 200, 4000);
        match dice.below(12) {
            0..3 => {
                rig.count("connections cut");
                cables.iter().for_each(|cable| cable.cut());
            }
            3..6 => {
                rig.count("connections cut within an answer");
                let bytes = dice.below(2000) as u32;
                cables.iter().for_each(|cable| cable.cut_after(bytes));
            }
            6 | 7 => {
                rig.count("server out of reach");
                cables.iter().for_each(|cable| cable.pull_out());
                sleep(length).await;
            }
            8 => {
                rig.count("network stalled");
                cables.iter().for_each(|cable| cable.set(State::Stalled));
                sleep(length).await;
            }
            9 => {
                rig.count("network slow");
                let delay = between(&mut dice, 5, 80);
                cables.iter().for_each(|cable| cable.set(State::Slow(delay)));
                sleep(length).await;
            }
            _ => {
                rig.count("connections half open");
                cables.iter().for_each(|cable| cable.set(State::Deaf));
                sleep(length * 3).await;
            }
        }
        cables.iter().for_each(|cable| cable.put_in());
    }
}

/// Crashes servers and brings them back; the broker loses its messages.
pub async fn of_servers(rig: &Rig, mut dice: Dice, until: Instant) {
    if rig.servers.is_none() {
        return;
    }
    let queue = format!("t1 coatcheck.{}.md5", rig.stack.sql("SELECT id FROM deployment"));
    while goes_on(between(&mut dice, 1000, 5000), until).await {
        let away = between(&mut dice, 0, 3000);
        match dice.below(10) {
            0..3 => {
                rig.count("PostgreSQL crashed");
                gone_for(rig, "stop", "postgres", away).await;
            }
            3..5 => {
                rig.count("Redis killed");
                gone_for(rig, "kill", "redis", away).await;
            }
            5 => {
                rig.count("RabbitMQ killed");
                gone_for(rig, "kill", "rabbit", away).await;
            }
            6 => {
                rig.count("RabbitMQ restarted");
                gone_for(rig, "stop", "rabbit", away).await;
            }
            7 => {
                rig.count("RabbitMQ short of memory");
                rig.order("alarm rabbit".to_owned()).await;
                sleep(away).await;
                rig.order("calm rabbit".to_owned()).await;
            }
            // The queue may be gone already, if it was deleted before.
            8 => {
                rig.count("queue purged");
                rig.try_order(format!("purge rabbit {queue}")).await;
            }
            _ => {
                rig.count("queue deleted");
                rig.try_order(format!("delete rabbit {queue}")).await;
            }
        }
    }
}

async fn gone_for(rig: &Rig, end: &str, server: &str, length: Duration) {
    rig.order(format!("{end} {server}")).await;
    sleep(length).await;
    rig.order(format!("start {server}")).await;
}

/// Moves the outcome log away again and again, and locks it as another program.
pub async fn of_the_log(rig: &Rig, mut dice: Dice, until: Instant) {
    let log = rig.log();
    let rotations = AtomicUsize::new(0);
    while goes_on(between(&mut dice, 500, 3000), until).await {
        let length = between(&mut dice, 500, 3000);
        match dice.below(3) {
            0 => {
                rig.count("log rotated each 30 ms");
                let end = Instant::now() + length;
                while goes_on(ROTATION, end).await {
                    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
                        let number = rotations.fetch_add(1, Relaxed);
                        // Only this track moves it, but it may be gone with the process that made it.
                        let _ = fs::rename(&log, sibling(&log, number));
                    }
                }
            }
            1 => {
                rig.count("log locked by another program");
                let path = log.clone();
                let holder = spawn_blocking(move || LockHolder::start(&path)).await.unwrap();
                sleep(length).await;
                spawn_blocking(|| holder.release()).await.unwrap();
            }
            _ => {
                rig.count("log locked by an open file");
                let holder = lock(&log);
                sleep(length).await;
                drop(holder);
            }
        }
    }
}

/// Tries for the lock that belongs to an open file; it is released with the file.
fn lock(path: &Path) -> Option<File> {
    let file = File::options().create(true).append(true).open(path).ok()?;
    let whole_file = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file)).ok().map(|_| file)
}

/// Fills the disks of the uploads and of the log for a while.
pub async fn of_disks(rig: &Rig, mut dice: Dice, until: Instant) {
    while goes_on(between(&mut dice, 2000, 8000), until).await {
        let (disk, fault) = match dice.below(2) {
            0 => (&rig.blob_disk, "disk of the uploads full"),
            _ => (&rig.log_disk, "disk of the log full"),
        };
        let length = between(&mut dice, 300, 3000);
        if let Some(disk) = disk {
            rig.count(fault);
            let filler = disk.fill();
            sleep(length).await;
            drop(filler);
        }
    }
}
