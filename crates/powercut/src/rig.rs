//! The environment: namespaces that end with their process, file systems on loop devices, commands.
//!
//! Mounts, loop devices and processes are made in private mount and PID namespaces. When the first process there ends, however it ends, the
//! kernel removes all of them.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Outcome, Trouble};

/// The folder of everything, in memory. Always the same path, because the program may store it.
pub const ROOM: &str = "/tmp/coatcheck-powercut";
/// The exit status if this machine can't run it (that of automake's skipped tests).
pub const CANNOT: u8 = 77;
/// The time after which a wait fails.
pub const DEADLINE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(10);
/// The loop devices of one lane: two disks, and other numbers for them.
pub const LANE: usize = 4;
/// The size of each disk: enough for XFS, which needs 300 MiB.
const DISK_BYTES: u64 = 1 << 30;

/// A file system to cut the power under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// Returns the kernel's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Returns the command that makes one.
    fn mkfs(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            Self::Xfs => &["mkfs.xfs", "-q", "-f"],
            Self::Btrfs => &["mkfs.btrfs", "-q", "-f"],
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Xfs => "rw,nouuid",
            _ => "rw",
        }
    }

    /// Returns the size, in bytes, of the unit that a disk writes whole or not at all: a sector of this file system.
    pub fn grain(self) -> usize {
        match self {
            Self::Btrfs => 4096,
            _ => 512,
        }
    }

    /// Makes one on a new file.
    ///
    /// # Errors
    /// With the message of `mkfs`.
    pub async fn make(self, image: &Path) -> Outcome<()> {
        fs::File::create(image)?.set_len(DISK_BYTES)?;
        let mut words = self.mkfs().iter().map(AsRef::as_ref).collect::<Vec<&OsStr>>();
        words.push(image.as_os_str());
        run(&words).await.map(drop)
    }
}

/// Returns the reason why power cannot be cut on this machine, if there is one.
pub fn lacks(file_systems: &[FileSystem]) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("root is needed, for mounts and loop devices".into());
    }
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse: {error}"));
    }
    let free = Loops::claim(LANE).numbers.len();
    if free < LANE {
        return Some(format!("{LANE} free loop devices are needed, {free} found"));
    }
    let makers = file_systems.iter().filter_map(|file_system| file_system.mkfs().first().copied());
    let missing = makers.chain(["mount", "umount", "cp"]).find(|program| {
        !["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
    });
    missing.map(|program| format!("{program} is not installed"))
}

/// Runs this program again, with `--inside`, as the first process of a PID namespace.
///
/// # Errors
/// If the kernel refuses, or the program can't be started.
pub fn enter(arguments: impl Iterator<Item = std::ffi::OsString>) -> Outcome<ExitCode> {
    nix::sched::unshare(CloneFlags::CLONE_NEWPID).at("a namespace of processes")?;
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).arg("--inside").stdin(Stdio::null());
    let status = command.spawn().at("/proc/self/exe")?.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    if let Some(signal) = status.signal() {
        return Err(Trouble::new(format!("the inner process was ended by signal {signal}")));
    }
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// The namespace of mounts that [`settle`] has left.
static OUTER: OnceLock<fs::File> = OnceLock::new();

/// Prepares the namespaces, as the first process inside. It ends with the process that started it.
///
/// # Errors
/// If the kernel refuses.
pub fn settle() -> Outcome<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let outer = fs::File::open("/proc/thread-self/ns/mnt").at("the namespace of mounts")?;
    OUTER.get_or_init(|| outer);
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).at("a namespace of mounts")?;
    let none = None::<&str>;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).at("private mounts")?;
    nix::mount::mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).at("/proc")?;
    fs::create_dir_all(ROOM).at(ROOM)?;
    nix::mount::mount(Some("powercut"), ROOM, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).at(ROOM)?;
    Ok(())
}

/// Checks whether loop devices can be mounted: a container's root may have only their names.
///
/// # Errors
/// With the message of `mount`.
pub async fn try_mount(loops: &[u32]) -> Outcome<()> {
    let (image, point) = (Path::new(ROOM).join("trial"), Path::new(ROOM).join("trial.d"));
    FileSystem::Ext4.make(&image).await?;
    Mount::new(FileSystem::Ext4, &image, &point, *loops.first().unwrap_or(&0)).await?.end().await?;
    Ok(fs::remove_file(&image)?)
}

/// Loop devices that are unused, and that no other run of this program uses while this value lives.
pub struct Loops {
    pub numbers: Vec<u32>,
    /// A name belongs to a socket until the socket's process ends, and needs no file.
    _names: Vec<UnixListener>,
}

impl Loops {
    /// Claims up to `count` free ones, the highest number first: other programs take the lowest.
    pub fn claim(count: usize) -> Self {
        let is_free = |number: &u32| {
            let node = Path::new("/dev").join(format!("loop{number}"));
            let backing = Path::new("/sys/block").join(format!("loop{number}/loop/backing_file"));
            node.exists() && !backing.exists()
        };
        let claim = |number: u32| {
            let name = SocketAddr::from_abstract_name(format!("coatcheck-powercut-loop{number}")).ok()?;
            Some((number, UnixListener::bind_addr(&name).ok()?))
        };
        let (numbers, names) = (0..64).rev().filter(is_free).filter_map(claim).take(count).unzip();
        Self { numbers, _names: names }
    }
}

/// Runs a command to its end. Returns its output.
///
/// # Errors
/// If it fails, with its output.
pub async fn run<S: AsRef<OsStr>>(words: &[S]) -> Outcome<String> {
    let told = words.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
    let (program, arguments) = words.split_first().ok_or_else(|| Trouble::new("no command"))?;
    let mut command = tokio::process::Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await.at(&told)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        return Err(Trouble::new(format!("{told}: {}: {out} {err}", output.status)));
    }
    Ok(text(&output.stdout))
}

/// Calls `look` repeatedly until it finds the awaited event.
///
/// # Errors
/// If the event has not happened by the deadline, with what was seen last; or if `look` fails.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Outcome<Result<T, String>>,
) -> Outcome<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() > deadline => {
                return Err(Trouble::new(format!("{what}: not within {} s, but {seen}", limit.as_secs())));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A mounted file system. Its loop device is released with it.
pub struct Mount {
    point: PathBuf,
}

impl Mount {
    /// Mounts an image through the loop device of that number.
    ///
    /// # Errors
    /// With the message of `mount`.
    pub async fn new(file_system: FileSystem, image: &Path, point: &Path, number: u32) -> Outcome<Self> {
        fs::create_dir_all(point)?;
        let options = format!("loop=/dev/loop{number},{}", file_system.options());
        let words: [&OsStr; 7] = [
            "mount".as_ref(),
            "-t".as_ref(),
            file_system.name().as_ref(),
            "-o".as_ref(),
            options.as_ref(),
            image.as_ref(),
            point.as_ref(),
        ];
        // The loop device of the previous mount may still be on its way out.
        until("a mount", Duration::from_secs(20), async || match run(&words).await {
            Err(error) if error.to_string().contains("failed to setup loop device") => {
                Ok(Err(error.to_string()))
            }
            outcome => outcome.map(|_| Ok(())),
        })
        .await?;
        Ok(Self { point: point.to_owned() })
    }

    /// Unmounts it, once nothing uses it.
    ///
    /// # Errors
    /// If it stays in use.
    pub async fn end(self) -> Outcome<()> {
        let umount: [&OsStr; 2] = ["umount".as_ref(), self.point.as_ref()];
        until("an unmount", Duration::from_secs(30), async || {
            Ok(run(&umount).await.map_err(|error| error.to_string()))
        })
        .await
        .map(drop)
    }
}

/// Makes a loop device send no request that FUSE would split: the loop driver reports a split request as done although one part failed.
///
/// # Errors
/// If the device has no such limit.
pub fn limit_requests(number: u32) -> Outcome<()> {
    let limit = format!("/sys/block/loop{number}/queue/max_sectors_kb");
    fs::write(&limit, "512").at(limit)
}

/// The processes that serve a recording's disks, and their figures.
pub struct Recorder {
    point: PathBuf,
    server: tokio::process::Child,
    sequence: Sequence,
}

impl Recorder {
    /// Starts to record on the disks of a folder.
    ///
    /// # Errors
    /// If FUSE is not available.
    pub async fn start(folder: &Path, point: &Path) -> Outcome<Self> {
        fs::create_dir_all(point)?;
        let words: [&OsStr; 3] = ["disk".as_ref(), folder.as_ref(), point.as_ref()];
        let mut command = tokio::process::Command::new("/proc/self/exe");
        let outer = OUTER
            .get()
            .ok_or_else(|| Trouble::new("expected an outer namespace of mounts, found none"))?
            .try_clone()?;
        let mut server = command.args(words).stdin(outer).kill_on_drop(true).spawn()?;
        let sequence = until("the recording disks", DEADLINE, async || {
            if let Some(status) = server.try_wait()? {
                return Err(Trouble::new(format!("the recording disks have ended: {status}")));
            }
            Ok(fs::File::open(point.join("sequence")).map(Sequence).map_err(|error| error.to_string()))
        })
        .await?;
        Ok(Self { point: point.to_owned(), server, sequence })
    }

    /// Returns where a disk's image is.
    pub fn image(&self, disk: usize) -> PathBuf {
        self.point.join(format!("disk{disk}"))
    }

    /// Returns a reader of the sequence, for as long as the recording goes on.
    ///
    /// # Errors
    /// If too many files are open.
    pub fn sequence(&self) -> Outcome<Sequence> {
        Ok(Sequence(self.sequence.0.try_clone()?))
    }

    /// Arms a fault; an empty text disarms it.
    ///
    /// # Errors
    /// If the disks are gone.
    pub fn control(&self, text: &str) -> Outcome<()> {
        let file = fs::OpenOptions::new().write(true).open(self.point.join("control"))?;
        Ok(file.write_all_at(format!("{text}\n").as_bytes(), 0)?)
    }

    /// Ends the recording; the disks must be unmounted and its sequences dropped.
    ///
    /// # Errors
    /// If they are still in use.
    pub async fn end(self) -> Outcome<()> {
        let Self { point, mut server, sequence } = self;
        drop(sequence);
        Mount { point }.end().await?;
        let status = server.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(Trouble::new(format!("the recording disks ended: {status}")))
        }
    }
}

/// The sequence of a recording's requests.
pub struct Sequence(fs::File);

impl Sequence {
    /// Returns the number of records, and how often a fault has struck.
    ///
    /// # Errors
    /// If the disks are gone.
    pub fn look(&self) -> Outcome<(u64, u64)> {
        let mut told = [0; 64];
        let length = self.0.read_at(&mut told, 0)?;
        let text = str::from_utf8(told.get(..length).unwrap_or_default())?;
        let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        match numbers[..] {
            [sequence, struck] => Ok((sequence, struck)),
            _ => Err(Trouble::new(format!("expected two numbers from the disks, got {text:?}"))),
        }
    }
}

/// Returns the last bytes of a file, as text.
pub fn end_of(path: &Path, bytes: usize) -> String {
    let mut content = Vec::new();
    let _ = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content));
    String::from_utf8_lossy(content.get(content.len().saturating_sub(bytes)..).unwrap_or_default())
        .into_owned()
}
