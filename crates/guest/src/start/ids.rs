//! User and group ids of guests. Each guest has its own, from a range that only guests use.

use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs};

use nix::unistd::{Gid, Group, Uid, User};
use passthru_host::Host;

use crate::start::record::{Error, GuestRecord, Ids, Records};

/// Highest id of the system and its packages, by convention.
const HIGHEST_SYSTEM_ID: u32 = 999;
/// Ids that the kernel or programs use for "nobody" or "none".
const SPECIAL: [u32; 3] = [65_534, 65_535, u32::MAX];

/// Range of the ids of guests, `FIRST-LAST`. A guest's user and group have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UidRange {
    first: u32,
    last: u32,
}

impl Default for UidRange {
    /// Returns 2100000000-2100065535. Lower ids belong to containers and `/etc/subuid` (up to
    /// 1,879,048,191) and to directory services that compute ids (up to 2,000,200,000). Higher ids
    /// belong to systemd (from 2,147,352,576).
    fn default() -> Self {
        Self {
            first: 2_100_000_000,
            last: 2_100_065_535,
        }
    }
}

/// Error of a text that is not a usable range of user ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' cannot be a range of user ids: {reason}")]
pub struct RangeError {
    text: String,
    reason: String,
}

impl FromStr for UidRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        Self::parse(text).map_err(|reason| RangeError {
            text: text.into(),
            reason,
        })
    }
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl UidRange {
    /// Parses a range, or returns the reason for which the text is not usable.
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(first, last)| {
            Some(Self {
                first: first.trim().parse().ok()?,
                last: last.trim().parse().ok()?,
            })
        });
        let Some(range) = parsed else {
            return Err("it is not of the form FIRST-LAST".into());
        };
        if range.first > range.last {
            return Err("it is empty".into());
        }
        if range.first <= HIGHEST_SYSTEM_ID {
            return Err(format!("ids up to {HIGHEST_SYSTEM_ID} are the system's"));
        }
        match SPECIAL.iter().find(|id| range.contains(**id)) {
            Some(special) => Err(format!("{special} stands for nobody")),
            None => Ok(range),
        }
    }

    fn contains(&self, id: u32) -> bool {
        (self.first..=self.last).contains(&id)
    }

    /// Returns all ids of the range, starting at an id that depends on the guest's name. So a guest
    /// is likely to get the same id again, and unlikely to get the id of a forgotten guest.
    fn candidates(self, name: &str) -> impl Iterator<Item = u32> {
        let length = u64::from(self.last - self.first) + 1;
        let begin = fnv1a(name) % length;
        // The sum is not above `last`, which is a `u32`.
        (0..length).map(move |n| self.first + u32::try_from((begin + n) % length).unwrap_or(0))
    }
}

/// Chooses the ids of a guest: those of its record, else free ones of the range. Writes nothing:
/// the start of the guest writes the record.
///
/// # Errors
/// - If the system has given the recorded id to another user, then [`Error::UidInUse`].
/// - If no id of the range is free, then [`Error::NoFreeUid`].
/// - If the record of this or another guest cannot be read, then the error of that record.
pub(crate) fn choose_ids(
    name: &str,
    records: &Records,
    range: UidRange,
    host: &Host,
    etc: &Path,
) -> Result<Ids, Error> {
    if let Some(own) = records.read(name)?.and_then(|record| record.own) {
        return match owner(own.uid, etc) {
            Some(by) => Err(Error::UidInUse {
                name: name.into(),
                uid: own.uid,
                by,
            }),
            None => Ok(own),
        };
    }

    let others = records.others(name)?;
    for uid in range.candidates(name) {
        let recorded = others.iter().any(|other| GuestRecord::has_uid(other, uid));
        if !recorded && owner(uid, etc).is_none() && !has_processes(uid, host)? {
            return Ok(Ids { uid, gid: uid });
        }
    }

    Err(Error::NoFreeUid {
        range: range.to_string(),
    })
}

fn has_processes(uid: u32, host: &Host) -> Result<bool, Error> {
    match host.processes_of(uid) {
        Ok(processes) => Ok(!processes.is_empty()),
        Err(source) => Err(Error::File {
            what: "read",
            path: "/proc".into(),
            source,
        }),
    }
}

/// Returns the owner of an id in the system, in words: a user, a group, or a range of containers.
fn owner(id: u32, etc: &Path) -> Option<String> {
    for (file, kind) in [("passwd", "user"), ("group", "group")] {
        if let Some(name) = named_in(&etc.join(file), id) {
            return Some(format!("{kind} {name}"));
        }
    }

    for file in ["subuid", "subgid"] {
        let path = etc.join(file);
        if let Some(name) = range_in(&path, id) {
            return Some(format!("{} gives it to {name}", path.display()));
        }
    }

    // Directory services have users that the files do not have. A service that fails counts as
    // having none.
    let user = User::from_uid(Uid::from_raw(id))
        .ok()
        .flatten()
        .map(|user| format!("user {}", user.name));
    if user.is_some() {
        return user;
    }
    let group = Group::from_gid(Gid::from_raw(id)).ok().flatten()?;
    Some(format!("group {}", group.name))
}

/// Finds the name with an id in a file of lines `name:password:id:…`.
fn named_in(path: &Path, id: u32) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find_map(|fields| match fields.as_slice() {
        [name, _, number, ..] if number.parse() == Ok(id) => Some((*name).to_owned()),
        _ => None,
    })
}

/// Finds the name whose range has an id in a file of lines `name:first:count`.
fn range_in(path: &Path, id: u32) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let first: u64 = fields.next()?.trim().parse().ok()?;
        let count: u64 = fields.next()?.trim().parse().ok()?;
        let range = first..first.saturating_add(count);
        range.contains(&id.into()).then(|| name.to_owned())
    })
}

/// Hashes a name by FNV-1a. The hash must stay the same in all versions of this program.
fn fnv1a(text: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct Setup {
        folder: TempDir,
        records: Records,
    }

    fn setup() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("guests"));
        Setup { folder, records }
    }

    impl Setup {
        fn ids(&self, name: &str, range: &str) -> Result<Ids, Error> {
            let range = range.parse().unwrap();
            choose_ids(name, &self.records, range, &Host::new(), self.folder.path())
        }

        fn record(&self, name: &str, ids: Ids) {
            let mut record = GuestRecord::new(name);
            record.own = Some(ids);
            self.records.lock().unwrap().write(&record).unwrap();
        }
    }

    #[test]
    fn range_keeps_out_of_ids_with_a_meaning() {
        for text in [
            "0-10",
            "5",
            "20-10",
            "999-2000",
            "60000-70000",
            "4294967290-4294967295",
            "a-b",
        ] {
            assert!(text.parse::<UidRange>().is_err(), "{text}");
        }

        let range: UidRange = "2100000000-2100065535".parse().unwrap();
        assert_eq!(range, UidRange::default());
        // Systemd's table of ids, the largest range of /etc/subuid by default, and sssd's.
        for id in [
            60_513,
            61_184,
            65_519,
            600_100_000,
            524_288,
            1_879_048_191,
            2_000_200_000,
        ] {
            assert!(id < range.first, "{id}");
        }

        assert!(range.last < 2_147_352_576);
    }

    #[test]
    fn guest_keeps_its_id_and_others_get_another() {
        let setup = setup();
        let first = setup.ids("one", "2100000000-2100000001").unwrap();
        assert_eq!(setup.ids("one", "2100000000-2100000001").unwrap(), first);

        setup.record("one", first);
        let second = setup.ids("two", "2100000000-2100000001").unwrap();
        assert_ne!(first.uid, second.uid);

        setup.record("two", second);
        let error = setup.ids("three", "2100000000-2100000001").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no user id is free in 2100000000-2100000001"
        );
        // The record holds, whatever the range is now.
        assert_eq!(setup.ids("one", "2100000005-2100000006").unwrap(), first);
    }

    #[test]
    fn ids_of_the_system_are_left_out() {
        let setup = setup();
        let etc = setup.folder.path();
        fs::write(etc.join("passwd"), "x:x:2100000000:5::/:/bin/sh\n").unwrap();
        fs::write(etc.join("group"), "x:x:2100000001:\n").unwrap();
        fs::write(etc.join("subuid"), "x:2100000002:2\n").unwrap();
        let ids = setup.ids("vm", "2100000000-2100000004").unwrap();

        assert_eq!(
            ids,
            Ids {
                uid: 2_100_000_004,
                gid: 2_100_000_004
            }
        );

        fs::write(etc.join("subgid"), "y:2100000004:1\n").unwrap();
        assert!(matches!(
            setup.ids("vm", "2100000000-2100000004"),
            Err(Error::NoFreeUid { .. })
        ));

        setup.record("vm", ids);
        let error = setup
            .ids("vm", "2100000000-2100000004")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("'vm' is taken") && error.contains("gives it to y"),
            "{error}"
        );
    }

    #[test]
    fn no_id_is_given_while_a_record_cannot_be_read() {
        let setup = setup();
        setup.record(
            "one",
            Ids {
                uid: 2_100_000_000,
                gid: 2_100_000_000,
            },
        );
        fs::write(setup.records.path("broken"), "{").unwrap();
        assert!(matches!(
            setup.ids("two", "2100000000-2100000009"),
            Err(Error::Damaged { .. })
        ));
        assert_eq!(
            setup.ids("one", "2100000000-2100000009").unwrap().uid,
            2_100_000_000
        );
    }

    #[test]
    fn id_that_a_process_runs_as_is_left_out() {
        let setup = setup();
        let proc = setup.folder.path().join("proc/42");
        fs::create_dir_all(&proc).unwrap();
        fs::write(proc.join("status"), "Uid:\t2100000000\t0\t0\t0\n").unwrap();
        let host = Host::at(setup.folder.path());
        let range = "2100000000-2100000001".parse().unwrap();
        let ids = choose_ids("vm", &setup.records, range, &host, setup.folder.path()).unwrap();

        assert_eq!(ids.uid, 2_100_000_001);
    }
}
