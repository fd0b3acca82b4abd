//! Rights of a client, by the credentials that the kernel reports at its connection.

use std::io;
use std::os::unix::net::UnixStream;

use crate::sys::{peer_credentials, peer_groups};

/// Number of the user and group `nobody`. The kernel also shows it for every id that this user
/// namespace does not map.
const NOBODY: u32 = 65_534;

/// Extent of the requests that a client may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing.
    None,
    /// The requests that change only whether the guest runs, its console and its events.
    Operator,
    /// Every request.
    Admin,
}

/// Users and groups, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Numbers of users.
    pub users: Vec<u32>,
    /// Numbers of groups. A user's primary group counts as the supplementary ones do.
    pub groups: Vec<u32>,
}

/// The users and groups that an administrator has given rights to.
///
/// Root and the user of this process have [`Right::Admin`] in any case. `nobody` never has a right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Those with [`Right::Operator`].
    pub operators: Members,
    /// Those with [`Right::Admin`].
    pub admins: Members,
    /// User of the VMM. Unless this process runs as that user too, it never has a right.
    pub vmm: Option<u32>,
}

/// The process that made a connection, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Number of the process; 0 if this PID namespace does not show it.
    pub pid: u32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Peer {
    /// Reads the credentials of the process that connected a socket (`SO_PEERCRED`,
    /// `SO_PEERGROUPS`).
    ///
    /// # Errors
    /// If the kernel does not report them, then the kernel's error.
    pub fn from_stream(stream: &UnixStream) -> io::Result<Self> {
        let credentials = peer_credentials(stream)?;
        Ok(Self {
            pid: u32::try_from(credentials.pid).unwrap_or(0),
            uid: credentials.uid,
            gid: credentials.gid,
            groups: peer_groups(stream)?,
        })
    }
}

impl Members {
    fn contain(&self, peer: &Peer) -> bool {
        let has_user = peer.uid != NOBODY && self.users.contains(&peer.uid);
        has_user || self.has_group(peer.gid) || peer.groups.iter().any(|gid| self.has_group(*gid))
    }

    fn has_group(&self, gid: u32) -> bool {
        gid != NOBODY && self.groups.contains(&gid)
    }
}

impl Access {
    /// Returns the right of a client of a process that runs as the user `own_uid`.
    pub fn right_of(&self, peer: &Peer, own_uid: u32) -> Right {
        let is_vmm = self.vmm == Some(peer.uid) && peer.uid != own_uid;
        if is_vmm {
            return Right::None;
        }
        if peer.uid == 0 || peer.uid == own_uid || self.admins.contain(peer) {
            Right::Admin
        } else if self.operators.contain(peer) {
            Right::Operator
        } else {
            Right::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
        Peer {
            pid: 1,
            uid,
            gid,
            groups: groups.to_vec(),
        }
    }

    fn access() -> Access {
        Access {
            operators: Members {
                users: vec![1_001, NOBODY],
                groups: vec![200, NOBODY],
            },
            admins: Members {
                users: vec![1_000],
                groups: vec![100],
            },
            vmm: Some(2_000),
        }
    }

    #[test]
    fn other_user_is_refused() {
        assert_eq!(access().right_of(&peer(4_000, 4_000, &[]), 0), Right::None);
        assert_eq!(
            Access::default().right_of(&peer(1_000, 100, &[200]), 0),
            Right::None
        );
    }

    #[test]
    fn listed_user_or_group_has_its_right() {
        let access = access();

        assert_eq!(access.right_of(&peer(1_000, 5, &[]), 0), Right::Admin);
        assert_eq!(access.right_of(&peer(5, 100, &[]), 0), Right::Admin);
        assert_eq!(access.right_of(&peer(5, 5, &[7, 100]), 0), Right::Admin);
        assert_eq!(access.right_of(&peer(1_001, 5, &[]), 0), Right::Operator);
        assert_eq!(access.right_of(&peer(5, 200, &[]), 0), Right::Operator);
        assert_eq!(access.right_of(&peer(5, 5, &[200]), 0), Right::Operator);
    }

    #[test]
    fn member_of_both_lists_is_an_admin() {
        assert_eq!(access().right_of(&peer(1_001, 5, &[100]), 0), Right::Admin);
    }

    #[test]
    fn root_and_own_user_are_admins() {
        let nothing = Access::default();
        assert_eq!(nothing.right_of(&peer(0, 0, &[]), 0), Right::Admin);
        assert_eq!(nothing.right_of(&peer(0, 0, &[]), 1_000), Right::Admin);
        assert_eq!(nothing.right_of(&peer(1_000, 5, &[]), 1_000), Right::Admin);
        assert_eq!(nothing.right_of(&peer(1_001, 0, &[0]), 1_000), Right::None);
    }

    #[test]
    fn user_of_the_vmm_has_no_right() {
        assert_eq!(access().right_of(&peer(2_000, 100, &[200]), 0), Right::None);
        assert_eq!(access().right_of(&peer(2_000, 5, &[]), 2_000), Right::Admin);
    }

    #[test]
    fn unmapped_user_has_no_right() {
        let unmapped = peer(NOBODY, NOBODY, &[NOBODY]);
        assert_eq!(access().right_of(&unmapped, 0), Right::None);
    }

    #[test]
    fn rights_are_ordered() {
        assert!(Right::None < Right::Operator && Right::Operator < Right::Admin);
    }
}
