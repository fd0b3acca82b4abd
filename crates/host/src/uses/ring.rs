//! Files registered with an io_uring, which are in no `/proc/PID/fd`. The ring's `fdinfo` lists them
//! by path, as `UserFiles`, whenever the ring is not busy at that moment.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Unseen;
use crate::node::Number;
use crate::{Host, sysfs};

const FILES: &str = "devices registered with an io_uring";

/// Returns the devices that are registered with a ring of the process in the folder `dir`, by the
/// ring's file in `fdinfo`.
///
/// # Errors
/// When the ring stayed busy, or a path of its list leads to nothing.
pub(crate) fn registered(host: &Host, dir: &Path, info: &Path) -> Result<Vec<Number>, Unseen> {
    let mut paths = None;
    for _ in 0..20 {
        // Without a file, the process has ended meanwhile.
        let Some(text) = sysfs::read(info) else { return Ok(Vec::new()) };
        paths = user_files(&text);
        if paths.is_some() {
            break;
        }
        sleep(Duration::from_millis(2));
    }
    let paths = paths.ok_or_else(|| Unseen::new(FILES, info.display(), "the ring is busy"))?;
    let mut numbers = Vec::new();
    for path in paths.iter().filter(|path| path.starts_with('/')) {
        let inside = dir.join("root").join(&path[1..]);
        match host.number_at(&inside).or_else(|_| host.number_at(&host.path(&path[1..]))) {
            Ok(number) => numbers.extend(number),
            Err(error) => return Err(Unseen::new(FILES, path, error)),
        }
    }
    Ok(numbers)
}

/// Reads the list of registered files: `UserFiles: COUNT`, then a line `INDEX: PATH` for each.
/// `None` where it is missing.
fn user_files(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("UserFiles:"));
    lines.next()?;
    let files = lines.map_while(|line| {
        let (index, path) = line.trim_start().split_once(": ")?;
        index.parse::<u32>().is_ok().then(|| super::mounts::unescape(path))
    });
    Some(files.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const INFO: &str = "pos:\t0\nUserFiles:\t3\n    0: /dev/xvda\n    2: socket:[12]\n\
                        UserBufs:\t1\n    0: 0x7f/4096\nPollList:\n";

    fn ring(info: &str) -> Tree {
        let tree = Tree::new();
        tree.file("proc/77/fdinfo/5", info);
        tree
    }

    fn found(tree: &Tree) -> Result<Vec<Number>, Unseen> {
        registered(&tree.host(), &tree.path("proc/77"), &tree.path("proc/77/fdinfo/5"))
    }

    #[test]
    fn registered_disk_is_found_in_the_root_of_its_process() {
        let tree = ring(INFO);
        tree.file("proc/77/root/dev/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![Number::Block(259, 0)]));
    }

    #[test]
    fn busy_ring_and_path_without_file_are_unseen() {
        assert_eq!(found(&ring("pos:\t0\n")).unwrap_err().reason, "the ring is busy");
        assert_eq!(found(&ring(INFO)).unwrap_err().place, "/dev/xvda");
    }
}
