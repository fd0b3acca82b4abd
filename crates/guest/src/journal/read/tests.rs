//! Tests of the writer and the reader of journals.

use std::fs;
use std::path::Path;

use super::*;
use crate::start::record::Ids;

fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start_time: 7,
        boot_id: "boot".into(),
        pid_namespace: "pid:[1]".into(),
    }
}

fn header() -> Header {
    Header::new("vm", process(1), Ids { uid: 5, gid: 6 })
}

fn folder(name: &str) -> Op {
    Op::MakeFolder { path: name.into() }
}

fn read(folder: &Path) -> JournalState {
    read_journal(folder).unwrap().unwrap()
}

/// Writes a journal in which the VMM was spawned and one folder's undo failed.
fn write(folder_path: &Path) {
    let mut journal = Journal::create(folder_path, &header()).unwrap();
    journal.begin(1, &folder("/one")).unwrap();
    journal.done(1).unwrap();
    journal.begin(2, &folder("/two")).unwrap();
    journal.failed(2).unwrap();
    journal.begin(3, &Op::SetUp).unwrap();
    let effect = Effect::Process(process(42));
    journal.effect(3, &effect).unwrap();
    drop(journal);
    let mut journal = Journal::open(folder_path).unwrap();
    journal.undo(1).unwrap();
    journal.stuck(1, "it is busy").unwrap();
}

#[test]
fn journal_names_what_may_be_in_force() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(read_journal(root.path()).unwrap(), None);

    write(root.path());
    let state = read(root.path());

    assert_eq!(state.header, header());
    assert_eq!(state.vmm(), Some(&process(42)));
    assert!(!state.has_run);
    assert_eq!(state.next, 4);

    let states: Vec<_> = state.entries.iter().map(|e| (e.number, e.state)).collect();
    assert_eq!(states, [(1, EntryState::Undoing), (3, EntryState::Begun)]);
}

#[test]
fn guest_that_was_resumed_has_run_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(root.path(), &header()).unwrap();
    journal.begin(1, &Op::Resume).unwrap();
    assert!(!read(root.path()).has_run);

    journal.done(1).unwrap();
    journal.undo(1).unwrap();
    journal.undone(1).unwrap();
    assert!(read(root.path()).has_run);
    assert_eq!(read(root.path()).entries, []);
}

#[test]
fn journal_cut_off_anywhere_is_read() {
    let root = tempfile::tempdir().unwrap();
    write(root.path());
    let path = Journal::path_in(root.path());
    let text = fs::read(&path).unwrap();
    for length in 0..text.len() {
        fs::write(&path, &text[..length]).unwrap();
        let state = read_journal(root.path()).unwrap();
        let lines = text[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(state.is_some(), lines > 0, "{length}");
    }
}

#[test]
fn damaged_line_is_named() {
    let root = tempfile::tempdir().unwrap();
    write(root.path());
    let path = Journal::path_in(root.path());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("make-folder", "teleport")).unwrap();
    let error = read_journal(root.path()).unwrap_err();

    assert!(
        matches!(error, JournalError::Damaged { line: 2, .. }),
        "{error}"
    );
}

#[test]
fn journal_of_a_newer_program_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let header = Header {
        journal: 2,
        ..header()
    };
    Journal::create(root.path(), &header).unwrap();
    let error = read_journal(root.path()).unwrap_err();

    assert!(
        matches!(
            error,
            JournalError::Version {
                version: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn successor_goes_on_where_the_journal_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let before = read(folder.path());
    let path = Journal::path_in(folder.path());
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"line\":\"begin\",\"num");
    fs::write(&path, text).unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.adopted(process(9)).unwrap();
    journal.begin(8, &Op::Resume).unwrap();
    let state = read(folder.path());

    assert_eq!(state.header.manager, process(9));
    assert_eq!(state.entries.len(), before.entries.len() + 1);
    assert!(state.may_have_run && !state.has_run && !before.may_have_run);
}

#[test]
fn used_aliases_and_sets_stay_used() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let mut journal = Journal::open(folder.path()).unwrap();
    let device = "0000:01:00.0".parse().unwrap();
    let add = Op::AddDevice {
        alias: "hostdev7".into(),
        device: Some(device),
        options: serde_json::Value::Null,
    };
    journal
        .begin(8, &Op::PassDevice { device, set: 12 })
        .unwrap();
    journal.begin(9, &add).unwrap();
    journal.failed(9).unwrap();
    journal.failed(8).unwrap();
    let state = read(folder.path());

    assert!(state.used.aliases.contains("hostdev7"));
    assert_eq!(state.used.last_set, 12);
}

/// A journal that a program of version 1 wrote: journals on hosts must be read by later programs.
#[test]
fn journal_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("version_1.journal");
    fs::write(Journal::path_in(folder.path()), text).unwrap();
    let state = read(folder.path());
    let vmm = ProcessId {
        pid: 42,
        start_time: 9,
        ..process(42)
    };
    let ops = Vec::from_iter(state.entries.iter().map(|entry| &entry.op));

    assert_eq!(state.vmm(), Some(&vmm));
    assert_eq!(state.header.manager.pid, 43);
    assert_eq!((state.header.guest.as_str(), state.next), ("web", 12));
    assert!(state.has_run && state.may_have_run);
    assert_eq!(ops.len(), 10);
    assert!(matches!(ops[7], Op::HandOver { device } if device.to_string() == "0000:01:00.0"));
}
