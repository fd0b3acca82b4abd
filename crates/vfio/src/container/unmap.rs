//! [`unmap_certainly`]: an unmap after which memory can be freed.

use std::io;

use rustix::io::Errno;

/// Largest number of tries.
const MAX_TRIES: usize = 3;

/// Returns whether a failed call may still have taken effect: the kernel could not copy its result
/// back (`EFAULT`).
pub(crate) fn may_have_taken_effect(error: Option<&io::Error>) -> bool {
    error.and_then(Errno::from_io_error) == Some(Errno::FAULT)
}

/// Unmaps exactly one mapping; returns `Ok` only once the mapping is certainly gone.
///
/// - If `unmap` succeeds, then the mapping is gone.
/// - If it fails twice in a row with `ENOENT`, then the mapping is gone. Once is not enough: a
///   kernel with `CONFIG_IOMMUFD_TEST` returns `ENOENT` for an injected failure too.
/// - If it fails with `EFAULT`, then it may have taken effect, and is tried again.
/// - If it fails otherwise, or too often, then that error is returned.
pub(crate) fn unmap_certainly<T, E>(
    unmap: impl Fn() -> Result<T, E>,
    io: impl Fn(&E) -> Option<&io::Error>,
) -> Result<(), E> {
    let mut was_missing = false;
    let mut tries = 1;
    loop {
        let Err(error) = unmap() else { return Ok(()) };
        let kind = io(&error).map(io::Error::kind);
        let is_missing = kind == Some(io::ErrorKind::NotFound);
        if is_missing && was_missing {
            return Ok(());
        }
        let is_uncertain = is_missing || may_have_taken_effect(io(&error));
        if !is_uncertain || tries == MAX_TRIES {
            return Err(error);
        }
        was_missing = is_missing;
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const GONE: Errno = Errno::NOENT;
    const MAYBE: Errno = Errno::FAULT;

    /// Returns the result of unmaps that return these, one after the other, and their number.
    fn outcome(results: &[Result<(), Errno>]) -> (Result<(), Option<Errno>>, usize) {
        let left = RefCell::new(results.iter());
        let ask = || left.borrow_mut().next().unwrap().map_err(io::Error::from);
        let result =
            unmap_certainly(ask, |error| Some(error)).map_err(|error| Errno::from_io_error(&error));
        (result, results.len() - left.borrow().len())
    }

    #[test]
    fn success_or_two_enoent_mean_unmapped() {
        assert_eq!(outcome(&[Ok(())]), (Ok(()), 1));
        assert_eq!(outcome(&[Err(MAYBE), Ok(())]), (Ok(()), 2));
        assert_eq!(outcome(&[Err(GONE), Err(GONE)]), (Ok(()), 2));
        assert_eq!(outcome(&[Err(MAYBE), Err(GONE), Err(GONE)]), (Ok(()), 3));
        assert_eq!(outcome(&[Err(GONE), Ok(())]), (Ok(()), 2));
    }

    #[test]
    fn uncertain_unmap_is_an_error() {
        assert_eq!(outcome(&[Err(Errno::NOMEM)]), (Err(Some(Errno::NOMEM)), 1));
        assert_eq!(
            outcome(&[Err(MAYBE), Err(GONE), Err(MAYBE)]),
            (Err(Some(MAYBE)), 3)
        );
        assert_eq!(
            outcome(&[Err(GONE), Err(MAYBE), Err(GONE)]),
            (Err(Some(GONE)), 3)
        );
        assert_eq!(
            outcome(&[Err(GONE), Err(Errno::BUSY)]),
            (Err(Some(Errno::BUSY)), 2)
        );
    }
}
