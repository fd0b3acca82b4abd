//! The unprivileged user that a guest's VMM runs as: one of the guest's own, or one that is named.

use crate::start::ids::{self, UidRange};
use crate::start::record::{Error as RecordError, Ids, Records};
use nix::unistd::{self, Gid, Uid};
use passthru_host::Host;
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::Path;
use std::thread;

/// User that other daemons and file systems use for whoever has no user. Nothing of a guest's is
/// safe with it.
pub(crate) const NOBODY: u32 = 65_534;
/// Folder of the files that say which ids the system has given to whom.
const ETC: &str = "/etc";

/// The guest's user may not do a thing, or could not be asked.
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
    /// It is the guest's own.
    Own,
    /// It was named.
    Named,
    /// It is the caller, who has no privileges.
    Caller,
}

/// Why a user cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such user.
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
    /// The user database could not be read.
    #[error("cannot look up the user '{name}'")]
    Lookup {
        /// The user.
        name: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    /// Returns what the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown(_) => Some(
                "create a user: useradd --system --no-create-home --shell /usr/sbin/nologin passthru",
            ),
            Self::Root(_) | Self::RootGroup(_) | Self::Nobody(_) => {
                Some("name another user, or none to give the guest one of its own")
            }
            Self::Lookup { .. } => None,
        }
    }
}

impl User {
    /// Returns the user of that name or number.
    ///
    /// # Errors
    /// If there is none, or it is root or `nobody`.
    pub fn named(name: &str) -> Result<Self, Error> {
        find(name)?.ok_or_else(|| Error::Unknown(name.into()))
    }

    /// Returns the user of a guest's own: the recorded one, else one that is free in the range. The
    /// record is made when the guest starts.
    ///
    /// # Errors
    /// If no id is free, or a record cannot be used.
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

    /// Returns the caller, who has no privileges to give up. `None` for root.
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
        let own = || {
            Self::own(Ids {
                uid: 2_100_000_000,
                gid: 2_100_000_000,
            })
        };
        named.map_or_else(|| Ok(own()), Self::named)
    }

    /// Returns the user's number.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Whether the user may read (and write) a file, by the kernel's own judgement: it is asked on
    /// a thread that has become the user. Where that cannot be done (without privileges), the
    /// answer is no.
    pub(crate) fn may_open(&self, path: &Path, write: bool) -> bool {
        let access = if write {
            Access::READ_OK | Access::WRITE_OK
        } else {
            Access::READ_OK
        };
        self.on_thread(|| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS))
            .is_ok_and(|may| may.is_ok())
    }

    /// Does something on a thread that has become the user.
    ///
    /// # Errors
    /// Where the thread could not become the user, or what was to be done was not permitted to it:
    /// then nothing has been done. If no thread can be made, then `EAGAIN`, as an error of the
    /// work.
    pub(crate) fn on_thread<T: Send>(
        &self,
        work: impl FnOnce() -> rustix::io::Result<T> + Send,
    ) -> Result<rustix::io::Result<T>, NotPermitted> {
        if self.origin == UserOrigin::Caller {
            return permitted(Ok(work()));
        }
        let done = thread::scope(|scope| {
            let as_user = || self.enter().map_or(Err(NotPermitted), |()| Ok(work()));
            match thread::Builder::new()
                .name("user".into())
                .spawn_scoped(scope, as_user)
            {
                Ok(thread) => thread.join().unwrap_or(Err(NotPermitted)),
                Err(error) => Ok(Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))),
            }
        });
        permitted(done)
    }

    /// Makes the calling thread, and only that, the user's. There is no way back.
    pub(crate) fn enter(&self) -> rustix::io::Result<()> {
        let gid = |g: &Gid| rustix::process::Gid::from_raw(g.as_raw());
        let (uid, group) = (
            rustix::process::Uid::from_raw(self.uid.as_raw()),
            gid(&self.gid),
        );
        // On the stack, since nothing may be allocated between fork and exec. The kernel's limit is
        // 65536.
        let mut groups = [group; 1024];
        let count = self.groups.len().min(groups.len());
        for (to, from) in groups.iter_mut().zip(&self.groups) {
            *to = gid(from);
        }
        rustix::thread::set_thread_groups(groups.get(..count).unwrap_or_default())?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    }
}

fn permitted<T>(
    done: Result<rustix::io::Result<T>, NotPermitted>,
) -> Result<rustix::io::Result<T>, NotPermitted> {
    match done {
        Ok(Err(Errno::ACCESS | Errno::PERM | Errno::NOENT)) => Err(NotPermitted),
        other => other,
    }
}

fn find(name: &str) -> Result<Option<User>, Error> {
    let lookup = |errno: nix::Error| Error::Lookup {
        name: name.into(),
        source: errno.into(),
    };
    let found = match name.parse() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(name),
    };
    let Some(user) = found.map_err(lookup)? else {
        return Ok(None);
    };
    if user.uid.is_root() {
        return Err(Error::Root(user.name));
    }
    if user.uid.as_raw() == NOBODY || user.name == "nobody" {
        return Err(Error::Nobody(user.name));
    }
    let c_name = CString::new(user.name.as_str()).map_err(|_| Error::Unknown(name.into()))?;
    let groups = unistd::getgrouplist(&c_name, user.gid).map_err(lookup)?;
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
    fn an_unknown_user_is_named() {
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
    fn user_is_asked_without_a_panic_where_no_thread_can_be_made() {
        let user = User::choose(None).unwrap();
        let test = "start::user::tests::user_is_asked_without_a_panic_where_no_thread_can_be_made";
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
