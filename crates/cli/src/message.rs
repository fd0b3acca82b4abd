//! The one way to standard error: a writer that cannot fail, and that nobody waits for while a guest
//! runs.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait for a reader while a guest runs. Messages beyond are lost.
const MOST_WAITING: usize = 256 << 10;
/// How long the last messages wait for a reader.
const PATIENCE: Duration = Duration::from_millis(500);

/// Messages on their way to standard error.
struct Queue {
    /// Whether a thread writes them.
    has_writer: bool,
    waiting: VecDeque<Vec<u8>>,
    /// Bytes of those that wait and of the one that is being written.
    bytes: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { has_writer: false, waiting: VecDeque::new(), bytes: 0 });
/// Notified when a message was added, and when one was written.
static CHANGED: Condvar = Condvar::new();

/// Writes a message to standard error, as `eprintln!` does. Where that fails, the message is lost and
/// nothing else happens.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::message::write(format!("{}\n", format_args!($($argument)*)).as_bytes())
    };
}
pub(crate) use say;

/// Writes bytes to standard error. What it does not take is lost.
pub(crate) fn write(bytes: &[u8]) {
    let mut queue = lock();
    if !queue.has_writer {
        write_to(&io::stderr(), bytes);
    } else if queue.bytes + bytes.len() <= MOST_WAITING {
        queue.bytes += bytes.len();
        queue.waiting.push_back(bytes.to_vec());
        CHANGED.notify_all();
    }
}

/// From now on a thread writes the messages: a reader that does not read stops nobody else.
pub(crate) fn stop_waiting() {
    let mut queue = lock();
    if !queue.has_writer {
        queue.has_writer = std::thread::Builder::new().name("messages".into()).spawn(write_all).is_ok();
    }
}

/// Waits until all messages are written, but not for a reader that does not read.
pub(crate) fn flush() {
    let wait = CHANGED.wait_timeout_while(lock(), PATIENCE, |queue| queue.bytes > 0);
    drop(wait.unwrap_or_else(PoisonError::into_inner));
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the messages as they come, without an end.
fn write_all() {
    loop {
        let mut queue = lock();
        let message = loop {
            match queue.waiting.pop_front() {
                Some(message) => break message,
                None => queue = CHANGED.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        write_to(&io::stderr(), &message);
        lock().bytes -= message.len();
        CHANGED.notify_all();
    }
}

/// Writes all that a file takes, and waits for that.
fn write_to(file: &impl AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count @ 1..) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else has set it so: a process that it is shared with.
            Err(Errno::AGAIN) if poll(&mut [PollFd::new(file, PollFlags::OUT)], None).is_ok() => {}
            // The reader has gone, or the disk is full.
            Ok(0) | Err(_) => return,
        }
    }
}

/// Standard error for `tracing`, which hands over a line at a time.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn full_disk_and_dead_reader_lose_the_message() {
        write_to(&rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).unwrap(), b"lost");
        let (writer, reader) = UnixStream::pair().unwrap();
        drop(reader);
        write_to(&writer, b"lost");
    }

    #[test]
    fn nonblocking_file_gets_the_whole_message() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let message = vec![b'x'; 4 << 20];
        let thread = std::thread::spawn(move || write_to(&writer, &message));
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        thread.join().unwrap();
        assert_eq!(got.len(), 4 << 20);
    }
}
