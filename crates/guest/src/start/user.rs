//! The unprivileged user that a guest's VMM runs as: the guest's own user or a named one.

use std::ffi::CString;
use std::path::Path;
use std::thread;

use nix::unistd::{self, Gid, Uid};
use passthru_host::Host;
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use crate::start::ids::{self, UidRange};
use crate::start::record::{Error as RecordError, Ids, Records};

/// Number of the user `nobody`. Other daemons and file systems use it too, so a guest is not safe
/// with it.
pub(crate) const NOBODY: u32 = 65_534;
/// Folder of the files that list the ids of the system.
const ETC: &str = "/etc";

/// The guest's user is not permitted something, or no thread could become the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPermitted;

/// User that a VMM runs as. Never root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name; the number of a user without one.
    pub name: String,
    pub(crate) origin: UserOrigin,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
}

/// Origin of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserOrigin {
    /// The guest's own user.
    Own,
    /// A user that the caller named.
    Named,
    /// The caller, who has no privileges.
    Caller,
}

/// Error of a guest's user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user does not exist.
    #[error("there is no user '{0}'")]
    Unknown(String),
    /// The user is `nobody`.
    #[error("the guest's user must not be nobody ('{0}' has uid 65534), which others use too")]
    Nobody(String),
    /// The user is root.
    #[error("the guest's user must not be root ('{0}' has uid 0)")]
    Root(String),
    /// The user is in the group `root`.
    #[error("the guest's user must not be in the group root ('{0}' is)")]
    RootGroup(String),
    /// The user database cannot be read.
    #[error("cannot look up the user '{name}'")]
    Lookup {
        /// Name of the user.
        name: String,
        /// Cause.
        source: std::io::Error,
    },
}

impl Error {
    /// Returns the hint for the error, if there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown(_) => Some(
                "create a user: useradd --system --no-create-home --shell /usr/sbin/nologin \
                 passthru",
            ),
            Self::Root(_) | Self::RootGroup(_) | Self::Nobody(_) => {
                Some("name another user, or none to give the guest one of its own")
            }
            Self::Lookup { .. } => None,
        }
    }
}

impl User {
    /// Returns the user with a name or number.
    ///
    /// # Errors
    /// - If the user does not exist, then [`Error::Unknown`].
    /// - If it is root, in the group root, or `nobody`, then the error that says so.
    pub fn named(name: &str) -> Result<Self, Error> {
        find(name)?.ok_or_else(|| Error::Unknown(name.into()))
    }

    /// Returns the guest's own user: the recorded one, else one with a free id of the range. The
    /// start of the guest writes the record.
    ///
    /// # Errors
    /// - If no id is free, then [`RecordError::NoFreeUid`].
    /// - If the recorded id belongs to another user now, then [`RecordError::UidInUse`].
    /// - If a record cannot be read, then the error of that record.
    pub fn for_guest(
        name: &str,
        records: &Records,
        range: UidRange,
        host: &Host,
    ) -> Result<Self, RecordError> {
        ids::choose_ids(name, records, range, host, Path::new(ETC)).map(Self::own)
    }

    pub(crate) fn own(ids: Ids) -> Self {
        Self {
            name: ids.uid.to_string(),
            origin: UserOrigin::Own,
            uid: Uid::from_raw(ids.uid),
            gid: Gid::from_raw(ids.gid),
            groups: Vec::new(),
        }
    }

    /// Returns the caller as a guest's user; `None` for root.
    pub fn caller() -> Option<Self> {
        let uid = Uid::effective();
        if uid.is_root() {
            return None;
        }
        let name = unistd::User::from_uid(uid)
            .ok()
            .flatten()
            .map(|user| user.name);
        let name = name.unwrap_or_else(|| uid.to_string());
        Some(Self {
            name,
            origin: UserOrigin::Caller,
            uid,
            gid: Gid::effective(),
            groups: Vec::new(),
        })
    }

    /// Returns a user for tests: the named one, else one that has no privileges.
    #[cfg(test)]
    pub(crate) fn choose(named: Option<&str>) -> Result<Self, Error> {
        match named {
            Some(name) => Self::named(name),
            None => Ok(Self::own(Ids {
                uid: 2_100_000_000,
                gid: 2_100_000_000,
            })),
        }
    }

    /// Returns the user's number.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Returns whether the user may read a file and, if `write` is set, write it. Asks the kernel
    /// on a thread that has become the user. Returns false if no thread can become the user.
    pub(crate) fn may_open(&self, path: &Path, write: bool) -> bool {
        let access = if write {
            Access::READ_OK | Access::WRITE_OK
        } else {
            Access::READ_OK
        };
        self.on_thread(|| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS))
            .is_ok_and(|may| may.is_ok())
    }

    /// Runs work on a thread that has become the user.
    ///
    /// # Errors
    /// - If the thread cannot become the user, then [`NotPermitted`], and the work is not done.
    /// - If the work fails with `EACCES`, `EPERM` or `ENOENT`, then [`NotPermitted`].
    /// - If no thread can be made, then `EAGAIN` as an error of the work.
    pub(crate) fn on_thread<T: Send>(
        &self,
        work: impl FnOnce() -> rustix::io::Result<T> + Send,
    ) -> Result<rustix::io::Result<T>, NotPermitted> {
        if self.origin == UserOrigin::Caller {
            return permitted(Ok(work()));
        }
        let done = thread::scope(|scope| {
            let builder = thread::Builder::new().name("user".into());
            let spawned = builder.spawn_scoped(scope, || match self.enter() {
                Ok(()) => Ok(work()),
                Err(_) => Err(NotPermitted),
            });
            match spawned {
                Ok(thread) => thread.join().unwrap_or(Err(NotPermitted)),
                Err(error) => Ok(Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))),
            }
        });
        permitted(done)
    }

    /// Gives the calling thread, and only that thread, to the user. Nothing can undo this.
    pub(crate) fn enter(&self) -> rustix::io::Result<()> {
        let uid = rustix::process::Uid::from_raw(self.uid.as_raw());
        let group = rustix::process::Gid::from_raw(self.gid.as_raw());
        // The array is on the stack, since nothing may be allocated between fork and exec. The
        // kernel's own limit is 65536.
        let mut groups = [group; 1024];
        let count = self.groups.len().min(groups.len());
        for (to, from) in groups.iter_mut().zip(&self.groups) {
            *to = rustix::process::Gid::from_raw(from.as_raw());
        }
        rustix::thread::set_thread_groups(groups.get(..count).unwrap_or_default())?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    }
}

/// Makes errors of permission, and of a missing file, [`NotPermitted`].
fn permitted<T>(
    done: Result<rustix::io::Result<T>, NotPermitted>,
) -> Result<rustix::io::Result<T>, NotPermitted> {
    match done {
        Ok(Err(Errno::ACCESS | Errno::PERM | Errno::NOENT)) => Err(NotPermitted),
        other => other,
    }
}

/// Finds a user that a guest may have, by name or number.
fn find(name: &str) -> Result<Option<User>, Error> {
    let found = match name.parse() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(name),
    };
    let Some(user) = found.map_err(|errno| lookup_error(name, errno))? else {
        return Ok(None);
    };
    if user.uid.is_root() {
        return Err(Error::Root(user.name));
    }
    if user.uid.as_raw() == NOBODY || user.name == "nobody" {
        return Err(Error::Nobody(user.name));
    }
    let c_name = CString::new(user.name.as_str()).map_err(|_| Error::Unknown(name.into()))?;
    let groups =
        unistd::getgrouplist(&c_name, user.gid).map_err(|errno| lookup_error(name, errno))?;
    if groups
        .iter()
        .chain([&user.gid])
        .any(|group| group.as_raw() == 0)
    {
        return Err(Error::RootGroup(user.name));
    }

    Ok(Some(User {
        name: user.name,
        origin: UserOrigin::Named,
        uid: user.uid,
        gid: user.gid,
        groups,
    }))
}

fn lookup_error(name: &str, errno: nix::Error) -> Error {
    Error::Lookup {
        name: name.into(),
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_threads::{forbid_threads, is_without_threads};

    #[test]
    fn root_is_refused_by_name_and_by_number() {
        for name in ["root", "0"] {
            assert!(
                matches!(User::choose(Some(name)), Err(Error::Root(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn unknown_user_is_named() {
        let error = User::choose(Some("no-such-user")).unwrap_err();
        assert_eq!(error.to_string(), "there is no user 'no-such-user'");
    }

    #[test]
    fn nobody_is_refused_by_name_and_by_number() {
        for name in ["nobody", "65534"] {
            assert!(
                matches!(User::choose(Some(name)), Err(Error::Nobody(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn own_user_has_no_groups_and_no_rights_to_roots_files() {
        let user = User::choose(None).unwrap();
        assert_eq!((user.uid(), user.groups.len()), (2_100_000_000, 0));
        assert!(user.may_open(Path::new("/dev/null"), true));
        assert!(!user.may_open(Path::new("/etc/shadow"), false));
    }

    #[test]
    fn access_check_without_threads_does_not_panic() {
        let user = User::choose(None).unwrap();
        let test = "start::user::tests::access_check_without_threads_does_not_panic";
        let may = !is_without_threads(test);
        if !may {
            forbid_threads();
        }

        assert_eq!(user.may_open(Path::new("/dev/null"), false), may);

        let expected = if may {
            Ok(Ok(7))
        } else {
            Ok(Err(Errno::AGAIN))
        };
        assert_eq!(user.on_thread(|| Ok(7)), expected);
    }
}
