//! Tests against links and renames of other users, and of ordinary links.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use nix::unistd::{Gid, Uid};
use rustix::fs::{CWD, RenameFlags};

use super::mode::OpenMode;
use super::opener::Opener;
use super::walk::{RefusedLink, Target, Walk};
use crate::start::user::{User, UserOrigin};

/// A root folder with /home/alice, which others can write to, and /home/bob, which has a disk.
struct Tree {
    root: tempfile::TempDir,
    user: User,
}

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let user = User {
            name: "self".into(),
            origin: UserOrigin::Caller,
            uid: Uid::effective(),
            gid: Gid::effective(),
            groups: Vec::new(),
        };
        let tree = Self { root, user };
        fs::create_dir_all(tree.at("/home/alice/vm")).unwrap();
        fs::create_dir_all(tree.at("/home/bob/vm")).unwrap();
        fs::set_permissions(tree.at("/home/alice"), Permissions::from_mode(0o777)).unwrap();
        fs::write(tree.at("/home/alice/vm/disk"), "alice").unwrap();
        fs::write(tree.at("/home/bob/vm/disk"), "bob").unwrap();
        symlink("../bob/vm", tree.at("/home/alice/link")).unwrap();
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn opener(&self) -> Opener<'_> {
        Opener {
            user: &self.user,
            root: self.root.path(),
            owner: self.user.uid(),
        }
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        self.opener()
            .open(Path::new(path), OpenMode::Read)?
            .read_to_string(&mut text)?;
        Ok(text)
    }
}

fn refusal(error: &io::Error) -> String {
    RefusedLink::in_error(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn folder_link_of_others_is_not_followed() {
    let tree = Tree::new();
    let error = tree.read("/home/alice/link/disk").unwrap_err();
    assert!(
        refusal(&error).starts_with("/home/alice/link is a symbolic link"),
        "{error}"
    );
    assert_eq!(tree.read("/home/alice/vm/disk").unwrap(), "alice");
}

#[test]
fn file_link_of_others_is_not_followed_or_written() {
    let tree = Tree::new();
    symlink("../bob/vm/disk", tree.at("/home/alice/disk")).unwrap();
    symlink("/etc/new", tree.at("/home/alice/log")).unwrap();
    for (path, mode) in [
        ("/home/alice/disk", OpenMode::Read),
        ("/home/alice/log", OpenMode::Write),
    ] {
        let error = tree.opener().open(Path::new(path), mode).unwrap_err();
        assert!(!refusal(&error).is_empty(), "{path}: {error}");
    }

    assert!(!tree.at("/etc/new").exists());
}

#[test]
fn link_deep_below_a_folder_of_others_is_not_followed() {
    let tree = Tree::new();
    fs::create_dir_all(tree.at("/home/alice/a/b")).unwrap();
    symlink("/home/bob/vm", tree.at("/home/alice/a/b/vm")).unwrap();
    assert!(!refusal(&tree.read("/home/alice/a/b/vm/disk").unwrap_err()).is_empty());
}

#[test]
fn links_of_root_are_followed() {
    let tree = Tree::new();
    fs::create_dir_all(tree.at("/run/vm")).unwrap();
    fs::create_dir_all(tree.at("/var/lib")).unwrap();
    fs::write(tree.at("/run/vm/disk"), "run").unwrap();
    symlink("/run", tree.at("/var/run")).unwrap();
    symlink("../../run/vm", tree.at("/var/lib/vm")).unwrap();
    symlink("vm/disk", tree.at("/run/current")).unwrap();
    for path in [
        "/var/run/vm/disk",
        "/var/lib/vm/disk",
        "/var/run/current",
        "/run/vm/../vm/disk",
    ] {
        assert_eq!(tree.read(path).unwrap(), "run", "{path}");
    }

    symlink("/home/alice/vm", tree.at("/run/alices")).unwrap();

    assert_eq!(tree.read("/run/alices/disk").unwrap(), "alice");
}

#[test]
fn links_in_a_circle_are_an_error() {
    let tree = Tree::new();
    symlink("circle", tree.at("/home/circle")).unwrap();
    assert_eq!(
        tree.read("/home/circle").unwrap_err().raw_os_error(),
        Some(libc::ELOOP)
    );
}

#[test]
fn way_up_does_not_leave_the_root_or_gain_trust() {
    let tree = Tree::new();
    assert_eq!(tree.read("/../../home/alice/vm/disk").unwrap(), "alice");
    symlink("vm", tree.at("/home/alice/vm/../own")).unwrap();
    assert!(!refusal(&tree.read("/home/alice/vm/../own/disk").unwrap_err()).is_empty());
}

#[test]
fn fifo_socket_and_folder_are_refused_at_once() {
    let tree = Tree::new();
    let rw = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(CWD, tree.at("/home/fifo"), rw).unwrap();
    let _listener = UnixListener::bind(tree.at("/home/socket")).unwrap();
    for path in ["/home/fifo", "/home/socket", "/home/bob"] {
        let error = tree
            .opener()
            .open(Path::new(path), OpenMode::Read)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is neither a file nor a device",
            "{path}"
        );
    }

    let user = &tree.user;
    let error = Opener::new(user)
        .open_image(Path::new("/dev/null"))
        .unwrap_err();

    assert_eq!(error.to_string(), "it is neither a file nor a block device");

    let error = Opener::new(user)
        .open_regular(Path::new("/dev/zero"))
        .unwrap_err();
    assert_eq!(error.to_string(), "it is not a regular file");
    assert!(
        Opener::new(user)
            .open(Path::new("/dev/null"), OpenMode::ReadWrite)
            .is_ok()
    );
}

#[test]
fn log_is_made_and_not_emptied_by_opening_it() {
    let tree = Tree::new();
    let log = Path::new("/home/log");
    tree.opener().open(log, OpenMode::Write).unwrap();
    fs::write(tree.at("/home/log"), "earlier").unwrap();
    tree.opener().open(log, OpenMode::Write).unwrap();

    assert_eq!(tree.read("/home/log").unwrap(), "earlier");
    assert!(
        tree.opener()
            .open(Path::new("/home/none"), OpenMode::ReadWrite)
            .is_err()
    );
    assert!(!tree.at("/home/none").exists());
}

#[test]
fn socket_is_not_reached_through_a_link_of_others() {
    let tree = Tree::new();
    let _listener = UnixListener::bind(tree.at("/home/bob/vm/socket")).unwrap();
    assert!(
        tree.opener()
            .connect(Path::new("/home/bob/vm/socket"))
            .is_ok()
    );
    assert!(
        tree.opener()
            .connect(Path::new("/home/alice/link/socket"))
            .is_err()
    );
    assert!(
        tree.opener()
            .connect(Path::new("/home/bob/vm/disk"))
            .is_err()
    );
}

#[test]
fn own_folder_is_made_and_removed_with_its_contents() {
    let tree = Tree::new();
    let path = Path::new("/mnt/passthru/vm");
    let own = tree.opener().make_own_folder(path).unwrap();
    fs::write(tree.at("/mnt/passthru/vm/ram"), "x").unwrap();
    symlink("/home/bob", tree.at("/mnt/passthru/vm/link")).unwrap();
    // A killed manager leaves all of it.
    drop(own);
    let own = tree.opener().make_own_folder(path).unwrap();

    assert!(!tree.at("/mnt/passthru/vm/ram").exists());

    own.remove().unwrap();
    assert_eq!(fs::read_dir(tree.at("/mnt/passthru")).unwrap().count(), 0);
}

#[test]
fn folder_without_mark_is_kept() {
    let tree = Tree::new();
    let error = tree
        .opener()
        .make_own_folder(Path::new("/home/bob"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "it was there before and passthru has not made it"
    );
    assert_eq!(tree.read("/home/bob/vm/disk").unwrap(), "bob");

    // An empty one is as good as none.
    fs::create_dir(tree.at("/home/empty")).unwrap();
    assert!(
        tree.opener()
            .make_own_folder(Path::new("/home/empty"))
            .is_ok()
    );
}

#[test]
fn own_folder_is_not_made_where_others_can_write() {
    let tree = Tree::new();
    symlink("../bob", tree.at("/home/alice/passthru")).unwrap();
    assert!(
        tree.opener()
            .make_own_folder(Path::new("/home/alice/passthru/vm"))
            .is_err()
    );
    assert!(
        tree.opener()
            .make_own_folder(Path::new("/home/alice/new"))
            .is_err()
    );
    assert_eq!(tree.read("/home/bob/vm/disk").unwrap(), "bob");
}

#[test]
fn marked_name_that_is_a_link_is_removed_not_followed() {
    let tree = Tree::new();
    fs::create_dir(tree.at("/mnt")).unwrap();
    fs::write(tree.at("/mnt/vm.passthru"), "").unwrap();
    symlink("/home/bob", tree.at("/mnt/vm")).unwrap();
    tree.opener().make_own_folder(Path::new("/mnt/vm")).unwrap();

    assert!(tree.at("/mnt/vm").symlink_metadata().unwrap().is_dir());
    assert_eq!(tree.read("/home/bob/vm/disk").unwrap(), "bob");
}

/// Exchanges two names while `work` runs 10,000 times.
fn while_exchanged(one: &Path, other: &Path, mut work: impl FnMut()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..10_000 {
                work();
            }
        }));
        done.store(true, Relaxed);
        tried.unwrap();
    });
}

#[test]
fn exchange_of_folder_and_link_never_leads_elsewhere() {
    let tree = Tree::new();
    let mut opened = 0;
    let mut refused = 0;
    while_exchanged(
        &tree.at("/home/alice/vm"),
        &tree.at("/home/alice/link"),
        || match tree.read("/home/alice/vm/disk") {
            Ok(text) => {
                assert_eq!(text, "alice");
                opened += 1;
            }
            Err(_) => refused += 1,
        },
    );

    assert!(
        opened > 0 && refused > 0,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn exchange_of_file_and_link_never_leads_elsewhere() {
    let tree = Tree::new();
    let disk = tree.at("/home/alice/vm/disk");
    let link = tree.at("/home/alice/vm/link");
    symlink("../../bob/vm/disk", &link).unwrap();
    let bobs = fs::metadata(tree.at("/home/bob/vm/disk")).unwrap();
    let mut opened = 0;
    let mut refused = 0;
    while_exchanged(&disk, &link, || {
        match tree
            .opener()
            .open(Path::new("/home/alice/vm/disk"), OpenMode::Write)
        {
            Ok(file) => {
                let ino = std::os::unix::fs::MetadataExt::ino;
                assert_ne!(ino(&file.metadata().unwrap()), ino(&bobs));
                opened += 1;
            }
            Err(_) => refused += 1,
        }
    });

    assert!(
        opened > 0 && refused > 0,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn hard_link_to_a_file_of_others_is_refused() {
    let tree = Tree::new();
    let bobs = tree.at("/home/bob/vm/disk");
    fs::hard_link(&bobs, tree.at("/home/alice/vm/hard")).unwrap();
    // Root alone can give a file away. A file of the folder's own user may have several names.
    let given = std::os::unix::fs::chown(&bobs, Some(65534), None).is_ok();
    let walk = Walk {
        root: tree.root.path(),
        owners: &[tree.user.uid()],
    };
    let Target::Object(object) = walk.find(Path::new("/home/alice/vm/hard")).unwrap() else {
        panic!("the link is there")
    };

    assert_eq!(object.refuse_hard_link().is_err(), given);

    let Target::Object(object) = walk.find(Path::new("/home/bob/vm/disk")).unwrap() else {
        panic!("the disk is there")
    };
    assert!(object.refuse_hard_link().is_ok());
}
