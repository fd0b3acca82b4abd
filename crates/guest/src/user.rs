//! The unprivileged user that a guest's VMM runs as.

use nix::unistd::{self, Gid, Uid};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::Path;

/// Users that are tried when none is named.
const DEFAULTS: [&str; 2] = ["passthru", "nobody"];

/// The guest's user may not do a thing, or could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPermitted;

/// A user of the system. Never root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
}

/// Why a user cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such user.
    #[error("there is no user '{0}'")]
    Unknown(String),
    /// None of the default users is there.
    #[error("the system has neither a user 'passthru' nor a user 'nobody'")]
    NoDefault,
    /// The user is root.
    #[error("the guest's user must not be root ('{0}' has uid 0)")]
    Root(String),
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
            Self::Unknown(_) | Self::NoDefault => {
                Some("create a user: useradd --system --no-create-home --shell /usr/sbin/nologin passthru")
            }
            Self::Root(_) => Some("name another user with --user"),
            Self::Lookup { .. } => None,
        }
    }
}

impl User {
    /// Returns the user of that name or number; where none is named, `passthru`, else `nobody`.
    ///
    /// # Errors
    /// Where there is none, or it is root.
    pub fn choose(named: Option<&str>) -> Result<Self, Error> {
        if let Some(name) = named {
            return find(name)?.ok_or_else(|| Error::Unknown(name.into()));
        }
        for name in DEFAULTS {
            if let Some(user) = find(name)? {
                return Ok(user);
            }
        }
        Err(Error::NoDefault)
    }

    /// Returns the user's number.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Whether the user may read (and write) a file, by the kernel's own judgement: it is asked on a
    /// thread that has become the user. Where that cannot be done (without privileges), the answer is no.
    pub(crate) fn may_open(&self, path: &Path, write: bool) -> bool {
        let access = if write { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
        self.on_thread(|| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS))
            .is_ok_and(|may| may.is_ok())
    }

    /// Does something on a thread that has become the user.
    ///
    /// # Errors
    /// Where the thread could not become the user, or what was to be done was not permitted to it: then
    /// nothing has been done.
    pub(crate) fn on_thread<T: Send>(
        &self,
        work: impl FnOnce() -> rustix::io::Result<T> + Send,
    ) -> Result<rustix::io::Result<T>, NotPermitted> {
        let done = std::thread::scope(|scope| {
            let as_user = || self.enter().map_or(Err(NotPermitted), |()| Ok(work()));
            scope.spawn(as_user).join().unwrap_or(Err(NotPermitted))
        });
        match done {
            Ok(Err(Errno::ACCESS | Errno::PERM | Errno::NOENT)) => Err(NotPermitted),
            other => other,
        }
    }

    /// Makes the calling thread, and only that, the user's. There is no way back.
    pub(crate) fn enter(&self) -> rustix::io::Result<()> {
        let gid = |g: &Gid| rustix::process::Gid::from_raw(g.as_raw());
        let (uid, group) = (rustix::process::Uid::from_raw(self.uid.as_raw()), gid(&self.gid));
        // On the stack, since nothing may be allocated between fork and exec. The kernel's limit is 65536.
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

fn find(name: &str) -> Result<Option<User>, Error> {
    let lookup = |errno: nix::Error| Error::Lookup { name: name.into(), source: errno.into() };
    let found = match name.parse() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(name),
    };
    let Some(user) = found.map_err(lookup)? else { return Ok(None) };
    if user.uid.is_root() {
        return Err(Error::Root(user.name));
    }
    let c_name = CString::new(user.name.as_str()).map_err(|_| Error::Unknown(name.into()))?;
    let groups = unistd::getgrouplist(&c_name, user.gid).map_err(lookup)?;
    Ok(Some(User { name: user.name, uid: user.uid, gid: user.gid, groups }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_refused_by_name_and_by_number() {
        for name in ["root", "0"] {
            assert!(matches!(User::choose(Some(name)), Err(Error::Root(_))), "{name}");
        }
    }

    #[test]
    fn an_unknown_user_is_named() {
        let error = User::choose(Some("no-such-user")).unwrap_err();
        assert_eq!(error.to_string(), "there is no user 'no-such-user'");
    }

    #[test]
    fn without_a_name_a_user_is_found_that_is_not_root() {
        assert_ne!(User::choose(None).unwrap().uid(), 0);
    }
}
