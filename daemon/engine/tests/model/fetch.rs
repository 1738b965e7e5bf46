//! Fetching from a hub on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha1::{Digest, Sha1};
use wstream_engine::model::catalog::Entry;
use wstream_engine::model::disk::{DiskError, PartFile, hexadecimal};
use wstream_engine::model::hub::HubError;
use wstream_engine::model::pull::{Origin, PullError, pull};

use crate::names;
use crate::server::{Manner, Server};

const BYTES: usize = 3 << 20;

/// A file that no two parts of are alike, and its entry in a catalog.
fn file() -> (Vec<u8>, Entry) {
    let file: Vec<u8> = (0..BYTES as u32 / 4).flat_map(u32::to_le_bytes).collect();
    let sha1 = hexadecimal(&Sha1::digest(&file));
    let entry = Entry {
        name: "made-up",
        bytes: BYTES as u64,
        sha1: sha1.leak(),
    };
    (file, entry)
}

fn hub_error(error: PullError) -> HubError {
    match error {
        PullError::Hub(error) | PullError::OnlyHub(error) => error,
        other => panic!("not the hub's: {other}"),
    }
}

/// That `dir` has the model and nothing else.
fn assert_fetched(dir: &Path, file: &[u8]) {
    assert_eq!(names(dir), ["ggml-made-up.bin"]);
    assert!(fs::read(dir.join("ggml-made-up.bin")).unwrap() == file);
}

#[test]
fn a_model_is_fetched_from_its_address() {
    let (file, entry) = file();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(file.clone(), vec![Manner::Whole]);
    let pulled = pull(&entry, &dir.path().join("new/folder"), server.address()).unwrap();
    let path = "/ggerganov/whisper.cpp/resolve/main/ggml-made-up.bin";
    let url = format!("{}{path}", server.address());
    assert_eq!(pulled.origin, Origin::Hub(url));
    assert_eq!(server.requests()[0].path, path);
    assert_fetched(&dir.path().join("new/folder"), &file);
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let (file, entry) = file();
    let dir = tempfile::tempdir().unwrap();
    let manners = vec![
        Manner::CutAfter(1_000_000),
        Manner::CutAfter(1_000_000),
        Manner::Whole,
    ];
    let server = Server::start(file.clone(), manners);
    pull(&entry, dir.path(), server.address()).unwrap();
    let ranges = [
        None,
        Some("bytes=1000000-".to_owned()),
        Some("bytes=2000000-".to_owned()),
    ];
    assert_eq!(server.ranges(), ranges);
    assert_fetched(dir.path(), &file);
}

#[test]
fn what_came_before_the_network_was_gone_is_kept_for_the_next_time() {
    let (file, entry) = file();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(
        file.clone(),
        vec![
            Manner::CutAfter(1_234_567),
            Manner::Status("503 Service Unavailable"),
        ],
    );
    let error = hub_error(pull(&entry, dir.path(), server.address()).unwrap_err());
    assert!(
        matches!(
            error,
            HubError::Broken {
                kept: 1_234_567,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(names(dir.path()), ["ggml-made-up.bin.part"]);

    let server = Server::start(file.clone(), vec![Manner::Whole]);
    pull(&entry, dir.path(), server.address()).unwrap();
    assert_eq!(server.ranges(), [Some("bytes=1234567-".to_owned())]);
    assert_fetched(dir.path(), &file);
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_for_the_whole() {
    let (file, entry) = file();
    let dir = tempfile::tempdir().unwrap();
    let manners = vec![Manner::CutAfter(1_000_000), Manner::IgnoreRange];
    let server = Server::start(file.clone(), manners);
    pull(&entry, dir.path(), server.address()).unwrap();
    assert_fetched(dir.path(), &file);
}

#[test]
fn remains_of_another_file_do_no_harm() {
    let (file, entry) = file();
    // As long as the file, longer than it, and the file itself, which needs no server.
    let other = vec![1; BYTES];
    let longer = vec![1; BYTES + 1];
    for (remains, requests) in [(&other, 2), (&longer, 2), (&file, 0)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ggml-made-up.bin.part"), remains).unwrap();
        let server = Server::start(file.clone(), vec![Manner::Whole]);
        pull(&entry, dir.path(), server.address()).unwrap();
        assert_eq!(server.requests().len(), requests);
        assert_fetched(dir.path(), &file);
    }
}

#[test]
fn a_file_without_a_length_is_fetched_too() {
    let (file, entry) = file();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(file.clone(), vec![Manner::NoLength]);
    pull(&entry, dir.path(), server.address()).unwrap();
    assert_fetched(dir.path(), &file);
}

#[test]
fn a_file_that_is_not_the_published_one_is_not_kept() {
    let (mut file, entry) = file();
    file[BYTES / 2] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(file, vec![Manner::Whole]);
    let error = hub_error(pull(&entry, dir.path(), server.address()).unwrap_err());
    assert!(matches!(&error, HubError::Checksum { .. }), "{error}");
    assert!(error.to_string().contains(entry.sha1), "{error}");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_file_without_an_end_is_not_fetched_to_the_end() {
    let (file, mut entry) = file();
    entry.bytes = 1 << 20;
    for manner in [Manner::Whole, Manner::NoLength] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(file.clone(), vec![manner]);
        let error = hub_error(pull(&entry, dir.path(), server.address()).unwrap_err());
        assert!(
            matches!(&error, HubError::TooLong { .. }),
            "{manner:?}: {error}"
        );
        assert!(names(dir.path()).is_empty());
    }
}

#[test]
fn answers_that_are_no_file() {
    let (file, entry) = file();
    for status in ["404 Not Found", "403 Forbidden", "401 Unauthorized"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(file.clone(), vec![Manner::Status(status)]);
        let error = hub_error(pull(&entry, dir.path(), server.address()).unwrap_err());
        assert!(
            matches!(&error, HubError::Status { .. }),
            "{status}: {error}"
        );
        assert!(
            error.to_string().contains(&status[..3]),
            "{status}: {error}"
        );
        assert_eq!(
            server.requests().len(),
            1,
            "{status}: asking again is no use"
        );
        assert!(names(dir.path()).is_empty());
    }
}

#[test]
fn two_downloads_of_one_model_are_refused() {
    let (file, entry) = file();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(file, vec![Manner::Whole]);
    let _held = PartFile::open(dir.path(), "ggml-made-up.bin").unwrap();
    let error = pull(&entry, dir.path(), server.address()).unwrap_err();
    assert!(
        matches!(error, PullError::Disk(DiskError::Busy(_))),
        "{error}"
    );
    assert!(server.requests().is_empty());
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_fetched() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let (file, entry) = file();
    let server = Server::start(file, vec![Manner::Whole]);
    let error = hub_error(pull(&entry, disk.path(), server.address()).unwrap_err());
    let HubError::Disk(DiskError::Full { needed, free, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*needed, BYTES as u64);
    assert!(*free <= 1 << 20, "{free}");
    assert!(
        error
            .to_string()
            .contains("3.1 MB more needed, 1.0 MB free"),
        "{error}"
    );
    assert!(error.to_string().contains("WSTREAM_MODELS_DIR"), "{error}");
    assert!(names(disk.path()).is_empty());
}

#[test]
fn a_disk_that_fills_up_keeps_what_has_come() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let (file, mut entry) = file();
    let other = disk.path().join("other");
    // Without a length the room cannot be checked beforehand, and half of it is taken meanwhile.
    entry.bytes = 700_000;
    fs::write(&other, vec![0; 300_000]).unwrap();
    let file = file[..1_200_000].to_vec();
    entry.sha1 = hexadecimal(&Sha1::digest(&file)).leak();
    let server = Server::start(file.clone(), vec![Manner::NoLength]);
    let error = hub_error(pull(&entry, disk.path(), server.address()).unwrap_err());
    assert!(
        matches!(&error, HubError::Disk(DiskError::Full { .. })),
        "{error}"
    );
    assert_eq!(names(disk.path()), ["ggml-made-up.bin.part", "other"]);

    // With room, it goes on from there.
    fs::remove_file(other).unwrap();
    let part = disk.path().join("ggml-made-up.bin.part");
    let kept = fs::metadata(part).unwrap().len();
    assert!(kept > 500_000, "{kept}");
    disk.grow();
    let server = Server::start(file.clone(), vec![Manner::Whole]);
    pull(&entry, disk.path(), server.address()).unwrap();
    assert_eq!(server.ranges(), [Some(format!("bytes={kept}-"))]);
    assert_fetched(disk.path(), &file);
}

/// A file system of one megabyte. Only root can make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(dir));
        }
        eprintln!("skipped: a small disk can be mounted by root only");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn grow(&self) {
        let grown = Command::new("mount")
            .args(["-o", "remount,size=4m"])
            .arg(self.path())
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A test that fails here leaves a mount, and no other harm.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
