//! [`unmap_certainly`]: whether a mapping has gone, as memory is freed on it.

use std::io;

use rustix::io::Errno;

/// How often is asked at the most.
const MOST: usize = 3;

/// Whether it can be that the kernel did what it was asked for: it could not give its answer back
/// (`EFAULT`).
pub(crate) fn may_have_taken_effect(error: Option<&io::Error>) -> bool {
    error.and_then(Errno::from_io_error) == Some(Errno::FAULT)
}

/// Unmaps the own range of one mapping. It has gone where that succeeds, or where it is said twice
/// in a row that nothing is there: a kernel with `CONFIG_IOMMUFD_TEST` says so of what is there,
/// when it is told to fail. What says nothing (`EFAULT`: it may be done) is asked for again; any
/// other refusal is the answer.
pub(crate) fn unmap_certainly<T, E>(
    ask: impl Fn() -> Result<T, E>,
    io: impl Fn(&E) -> Option<&io::Error>,
) -> Result<(), E> {
    let mut was_gone = false;
    let mut asked = 1;
    loop {
        let Err(error) = ask() else { return Ok(()) };
        let is_gone = io(&error).is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
        match (
            is_gone && was_gone,
            is_gone || may_have_taken_effect(io(&error)),
        ) {
            (true, _) => return Ok(()),
            (false, true) if asked < MOST => (was_gone, asked) = (is_gone, asked + 1),
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const GONE: Errno = Errno::NOENT;
    const MAYBE: Errno = Errno::FAULT;

    /// What comes of answers, and how many of them were asked for.
    fn of(answers: &[Result<(), Errno>]) -> (Result<(), Option<Errno>>, usize) {
        let left = RefCell::new(answers.iter());
        let ask = || left.borrow_mut().next().unwrap().map_err(io::Error::from);
        let result =
            unmap_certainly(ask, |error| Some(error)).map_err(|error| Errno::from_io_error(&error));
        (result, answers.len() - left.borrow().len())
    }

    #[test]
    fn memory_is_freed_where_it_is_unmapped_or_is_twice_said_not_to_be_there() {
        assert_eq!(of(&[Ok(())]), (Ok(()), 1));
        assert_eq!(of(&[Err(MAYBE), Ok(())]), (Ok(()), 2));
        assert_eq!(of(&[Err(GONE), Err(GONE)]), (Ok(()), 2));
        assert_eq!(of(&[Err(MAYBE), Err(GONE), Err(GONE)]), (Ok(()), 3));
        assert_eq!(of(&[Err(GONE), Ok(())]), (Ok(()), 2));
    }

    #[test]
    fn what_is_not_known_to_have_gone_is_kept() {
        assert_eq!(of(&[Err(Errno::NOMEM)]), (Err(Some(Errno::NOMEM)), 1));
        assert_eq!(
            of(&[Err(MAYBE), Err(GONE), Err(MAYBE)]),
            (Err(Some(MAYBE)), 3)
        );
        assert_eq!(
            of(&[Err(GONE), Err(MAYBE), Err(GONE)]),
            (Err(Some(GONE)), 3)
        );
        assert_eq!(
            of(&[Err(GONE), Err(Errno::BUSY)]),
            (Err(Some(Errno::BUSY)), 2)
        );
    }
}
