//! The promises of the port `Blobs`, checked against every adapter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

use std::io::Read;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use rstest_reuse::{apply, template};
use task_data::blobs::folder::BlobFolder;
use task_data::blobs::{BlobError, BlobWriter, Blobs, SHARDS};
use task_data::task::{TaskId, Time};
use tempfile::TempDir;
use test_kit::eventually;

/// A promise, as one test an adapter.
#[template]
#[rstest::rstest]
#[case::folder(Fresh::folder())]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_blob_store(#[case] blobs: Fresh) {}

/// The blobs of a test, removed with it.
struct Fresh {
    blobs: Arc<dyn Blobs>,
    _folder: TempDir,
}

impl Fresh {
    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Arc::new(BlobFolder::open(folder.path().join("blobs")).unwrap());
        Self { blobs, _folder: folder }
    }
}

impl Deref for Fresh {
    type Target = dyn Blobs;

    fn deref(&self) -> &Self::Target {
        &*self.blobs
    }
}

/// Returns the time that many hours from now; negative for the past.
fn in_hours(hours: i64) -> Time {
    Time(Utc::now() + TimeDelta::hours(hours))
}

/// Begins a blob, and writes these bytes to it.
async fn begun(blobs: &dyn Blobs, id: TaskId, bytes: &'static [u8]) -> Box<dyn BlobWriter> {
    let mut writer = blobs.create(id).await.unwrap();
    writer.write(Bytes::from_static(bytes)).await.unwrap();
    writer
}

async fn kept(blobs: &dyn Blobs, bytes: &'static [u8]) -> TaskId {
    let id = TaskId::random();
    begun(blobs, id, bytes).await.keep(in_hours(0)).await.unwrap();
    id
}

/// Reads a blob's bytes; `None` if the blob does not exist.
async fn read(blobs: &dyn Blobs, id: TaskId) -> Option<Vec<u8>> {
    match blobs.open(id).await {
        Ok(mut reader) => {
            let mut bytes = Vec::new();
            let reading = tokio::task::spawn_blocking(move || reader.read_to_end(&mut bytes).map(|_| bytes));
            Some(reading.await.unwrap().unwrap())
        }
        Err(BlobError::Missing) => None,
        Err(error) => panic!("{error:?}"),
    }
}

fn shard_of(id: TaskId) -> u16 {
    id.0.as_bytes()[15].into()
}

/// Runs a sweep in a task of its own.
async fn spawn_sweep(blobs: Arc<dyn Blobs>) -> u64 {
    tokio::spawn(async move { blobs.remove_unfinished(in_hours(-1)).await.unwrap() }).await.unwrap()
}

#[apply(each_blob_store)]
async fn what_was_kept_is_read_again(blobs: Fresh) {
    let id = kept(&*blobs, b"abc").await;

    assert_eq!(read(&*blobs, id).await.as_deref(), Some(b"abc".as_slice()));
}

#[apply(each_blob_store)]
async fn chunks_of_every_size_are_kept_in_their_order(blobs: Fresh) {
    let id = TaskId::random();
    let mut writer = blobs.create(id).await.unwrap();
    let mut whole = Vec::new();
    for size in [0, 1, 65_536, 3, 1 << 20, 0, 7, 5 << 20] {
        let chunk: Vec<u8> = (0..size).map(|at| (at % 251) as u8 ^ whole.len() as u8).collect();
        whole.extend_from_slice(&chunk);
        writer.write(chunk.into()).await.unwrap();
    }

    writer.keep(in_hours(0)).await.unwrap();

    assert!(read(&*blobs, id).await.unwrap() == whole);
}

#[apply(each_blob_store)]
async fn an_empty_blob_is_one_too(blobs: Fresh) {
    let id = TaskId::random();

    blobs.create(id).await.unwrap().keep(in_hours(0)).await.unwrap();

    assert_eq!(read(&*blobs, id).await, Some(Vec::new()));
}

#[apply(each_blob_store)]
async fn blobs_that_are_written_at_once_are_told_apart(blobs: Fresh) {
    let texts: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];

    let ids = join_all(texts.map(|text| kept(&*blobs, text))).await;

    for (id, text) in ids.into_iter().zip(texts) {
        assert_eq!(read(&*blobs, id).await.as_deref(), Some(text));
    }
}

#[apply(each_blob_store)]
async fn nothing_is_seen_of_a_blob_before_it_is_kept(blobs: Fresh) {
    let id = TaskId::random();
    let writer = begun(&*blobs, id, b"abc").await;

    assert_eq!(read(&*blobs, id).await, None);
    assert_eq!(blobs.kept_before(shard_of(id), in_hours(1)).await.unwrap(), []);

    writer.keep(in_hours(0)).await.unwrap();
    assert!(read(&*blobs, id).await.is_some());
}

#[apply(each_blob_store)]
async fn a_blob_that_is_dropped_midway_is_gone(blobs: Fresh) {
    let id = TaskId::random();

    drop(begun(&*blobs, id, b"abc").await);

    // Its writer's thread may still be at it.
    eventually("the id can be written anew", async || {
        let mut writer = blobs.create(id).await.unwrap();
        writer.write(Bytes::from_static(b"anew")).await.ok()?;
        writer.keep(in_hours(0)).await.ok()
    })
    .await;
    assert_eq!(read(&*blobs, id).await.as_deref(), Some(b"anew".as_slice()));
    assert_eq!(blobs.remove_unfinished(in_hours(1)).await.unwrap(), 0);
}

#[apply(each_blob_store)]
async fn a_blob_is_gone_once_it_was_deleted_and_deleting_it_again_is_no_error(blobs: Fresh) {
    let (id, other) = (kept(&*blobs, b"abc").await, kept(&*blobs, b"other").await);

    blobs.delete(id).await.unwrap();
    blobs.delete(id).await.unwrap();

    assert_eq!(read(&*blobs, id).await, None);
    assert!(read(&*blobs, other).await.is_some());
}

#[apply(each_blob_store)]
async fn a_reader_reads_on_while_the_blob_is_deleted(blobs: Fresh) {
    let id = kept(&*blobs, b"abc").await;
    let mut reader = blobs.open(id).await.unwrap();

    blobs.delete(id).await.unwrap();

    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    assert_eq!(reading.await.unwrap().unwrap(), b"abc");
}

#[apply(each_blob_store)]
async fn what_needs_no_wait_and_what_does_are_the_blob_together(blobs: Fresh) {
    let content: &[u8] = (0..100_000_u32).map(|number| (number / 7) as u8).collect::<Vec<_>>().leak();
    let id = kept(&*blobs, content).await;
    let mut reader = blobs.open(id).await.unwrap();

    let reading = tokio::task::spawn_blocking(move || {
        let (mut bytes, mut buffer) = (Vec::<u8>::new(), [0; 7000]);
        loop {
            let length = match reader.read_ready(&mut buffer[..bytes.len() % 7000 + 1]) {
                Some(length) => length,
                None => reader.read(&mut buffer).unwrap(),
            };
            if length == 0 {
                return bytes;
            }
            bytes.extend(&buffer[..length]);
            // Both ways in turn go on where the other one ended.
            let length = reader.read(&mut buffer[..100]).unwrap();
            bytes.extend(&buffer[..length]);
        }
    });
    assert!(reading.await.unwrap() == content);
}

#[apply(each_blob_store)]
async fn the_shards_together_have_each_blob_once(blobs: Fresh) {
    let mut ids = join_all((0..40).map(|_| kept(&*blobs, b"abc"))).await;

    let mut found = Vec::new();
    for shard in 0..SHARDS {
        let of_shard = blobs.kept_before(shard, in_hours(1)).await.unwrap();
        assert!(of_shard.iter().all(|id| shard_of(*id) == shard));
        found.extend(of_shard);
    }

    ids.sort();
    found.sort();
    assert_eq!(found, ids);
}

#[apply(each_blob_store)]
async fn a_young_blob_is_not_among_the_old(blobs: Fresh) {
    let id = kept(&*blobs, b"abc").await;

    assert_eq!(blobs.kept_before(shard_of(id), in_hours(-1)).await.unwrap(), []);
}

#[apply(each_blob_store)]
async fn what_is_being_written_stays_however_old_and_so_does_what_was_kept(blobs: Fresh) {
    let unfinished = TaskId::random();
    let writer = begun(&*blobs, unfinished, b"abc").await;
    let id = kept(&*blobs, b"abc").await;
    eventually("the part is there", async || {
        (blobs.unfinished_before(in_hours(1)).await.unwrap().len() == 1).then_some(())
    })
    .await;

    let old = blobs.remove_unfinished(in_hours(1)).await.unwrap();
    writer.keep(in_hours(0)).await.unwrap();
    let none = blobs.remove_unfinished(in_hours(1)).await.unwrap();

    assert_eq!((old, none), (0, 0));
    assert!(read(&*blobs, id).await.is_some() && read(&*blobs, unfinished).await.is_some());
}

#[apply(each_blob_store)]
async fn only_old_parts_are_told_and_they_stay(blobs: Fresh) {
    let unfinished = TaskId::random();
    let writer = begun(&*blobs, unfinished, b"abc").await;
    kept(&*blobs, b"abc").await;

    let told = eventually("the part is there", async || {
        let told = blobs.unfinished_before(in_hours(1)).await.unwrap();
        (!told.is_empty()).then_some(told)
    });

    assert_eq!(told.await, [format!("tmp/{unfinished}.upload")]);
    assert_eq!(blobs.unfinished_before(in_hours(-1)).await.unwrap(), [""; 0]);
    writer.keep(in_hours(0)).await.unwrap();
    assert_eq!(blobs.unfinished_before(in_hours(1)).await.unwrap(), [""; 0]);
}

#[apply(each_blob_store)]
async fn a_blob_whose_part_was_removed_is_not_kept(blobs: Fresh) {
    let id = TaskId::random();
    let writer = begun(&*blobs, id, b"abc").await;
    let parts = async || blobs.unfinished_before(in_hours(1)).await.unwrap();
    // Under its own name: in a folder it has another one until it is locked, and `abandon` does not know that.
    eventually("the part is there", async || {
        matches!(&parts().await[..], [name] if !name.ends_with(".part")).then_some(())
    })
    .await;

    blobs.abandon().await;
    assert_eq!(parts().await, [] as [String; 0]);

    let outcome = writer.keep(in_hours(0)).await;

    assert!(outcome.is_err(), "a promise must not be given for bytes that are gone");
    assert_eq!(read(&*blobs, id).await, None);
}

#[apply(each_blob_store)]
async fn free_space_is_told_or_not_known(blobs: Fresh) {
    let free = blobs.free_bytes().await.unwrap();

    assert_ne!(free, Some(0));
}

/// Properties of a folder alone: files, their names, modes and times.
mod folder {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::*;

    fn fresh() -> (BlobFolder, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (BlobFolder::open(folder.path().join("blobs")).unwrap(), folder)
    }

    fn path_of(folder: &TempDir, id: TaskId) -> PathBuf {
        let name = id.to_string();
        folder.path().join("blobs").join(&name[34..]).join(name)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_blob_lies_by_the_end_of_its_id_for_its_owner_alone() {
        let (blobs, folder) = fresh();

        let id = kept(&blobs, b"abc").await;

        let path = path_of(&folder, id);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(mode(&path), 0o600);
        for folder in [path.parent().unwrap(), &folder.path().join("blobs"), &folder.path().join("blobs/tmp")]
        {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
    }

    #[tokio::test]
    async fn an_upload_that_is_dropped_midway_leaves_no_file() {
        let (blobs, folder) = fresh();
        let writer = begun(&blobs, TaskId::random(), b"abc").await;
        let parts = || fs::read_dir(folder.path().join("blobs/tmp")).unwrap().count();
        eventually("the part is there", async || (parts() == 1).then_some(())).await;

        drop(writer);

        eventually("the part is gone", async || (parts() == 0).then_some(())).await;
    }

    /// Makes the files that killed processes leave: `upload` is locked while its writer lives, `part` never was.
    fn left(folder: &TempDir, extension: &str) -> PathBuf {
        let path = folder.path().join(format!("blobs/tmp/{}.{extension}", TaskId::random()));
        fs::write(&path, b"abc").unwrap();
        path
    }

    #[tokio::test]
    async fn a_part_goes_as_soon_as_its_writer_is_gone() {
        let (blobs, folder) = fresh();
        let (over, unknown) = (left(&folder, "upload"), left(&folder, "part"));

        let of_young = blobs.remove_unfinished(in_hours(-1)).await.unwrap();
        assert_eq!((of_young, over.exists(), unknown.exists()), (1, false, true));
        let of_old = blobs.remove_unfinished(in_hours(1)).await.unwrap();

        assert_eq!((of_old, unknown.exists()), (1, false));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sweeps_at_once_remove_each_part_once_and_none_that_is_written() {
        let (blobs, folder) = fresh();
        let blobs: Arc<dyn Blobs> = Arc::new(blobs);
        for _ in 0..10 {
            (0..200).for_each(|_| drop(left(&folder, "upload")));
            let writing = async {
                let mut ids = Vec::new();
                for _ in 0..50 {
                    ids.push(kept(&*blobs, b"abc").await);
                }
                ids
            };
            let (removed, ids) = tokio::join!(join_all((0..8).map(|_| spawn_sweep(blobs.clone()))), writing);

            assert_eq!((removed.iter().sum::<u64>(), ids.len()), (200, 50));
        }
    }

    #[tokio::test]
    async fn what_a_process_has_begun_goes_when_it_ends() {
        let (blobs, folder) = fresh();
        let _writer = begun(&blobs, TaskId::random(), b"abc").await;
        let id = kept(&blobs, b"abc").await;
        let parts = || fs::read_dir(folder.path().join("blobs/tmp")).unwrap().count();
        eventually("the part is there", async || (parts() == 1).then_some(())).await;

        blobs.abandon().await;

        assert_eq!(parts(), 0);
        assert!(read(&blobs, id).await.is_some());
    }

    #[tokio::test]
    async fn a_blobs_age_is_told_by_the_time_it_was_kept_with() {
        let (blobs, _folder) = fresh();
        let id = TaskId::random();
        let time = Time(in_hours(-5).0);
        begun(&blobs, id, b"abc").await.keep(time).await.unwrap();

        let before = blobs.kept_before(shard_of(id), time).await.unwrap();
        let after = blobs.kept_before(shard_of(id), Time(time.0 + TimeDelta::microseconds(1))).await.unwrap();

        assert_eq!((before, after), (vec![], vec![id]));
    }

    #[tokio::test]
    async fn a_second_blob_of_an_id_does_not_replace_the_first() {
        let (blobs, _folder) = fresh();
        let id = kept(&blobs, b"first").await;

        let outcome = begun(&blobs, id, b"second").await.keep(in_hours(0)).await;

        assert!(outcome.is_err());
        assert_eq!(read(&blobs, id).await.as_deref(), Some(b"first".as_slice()));
        assert_eq!(blobs.remove_unfinished(in_hours(1)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_not_named_by_an_id_is_left_alone() {
        let (blobs, folder) = fresh();
        fs::write(folder.path().join("blobs/00/notes.txt"), b"mine").unwrap();

        assert_eq!(blobs.kept_before(0, in_hours(1)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn blobs_are_there_when_the_folder_is_opened_anew() {
        let (blobs, folder) = fresh();
        let id = kept(&blobs, b"abc").await;

        let reopened = BlobFolder::open(folder.path().join("blobs")).unwrap();

        assert_eq!(read(&reopened, id).await.as_deref(), Some(b"abc".as_slice()));
    }
}
