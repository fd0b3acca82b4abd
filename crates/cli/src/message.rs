//! Messages on standard error. The program writes there only through this module, and writing
//! cannot fail. While a guest runs, a thread writes the messages, so that a slow reader delays
//! nothing else.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Limit on the bytes that wait for a reader while a guest runs. Beyond this limit, messages of the
/// VMM and log lines are lost.
const MAX_WAITING: usize = 256 << 10;
/// Bytes beyond [`MAX_WAITING`], for messages and errors of this program.
const RESERVE: usize = 64 << 10;
/// Time limit for the last messages, if the reader reads nothing.
const IDLE_TIME: Duration = Duration::from_millis(500);
/// Time limit for the last messages, if the reader is slow.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Messages on their way to standard error.
struct Queue {
    /// Whether a thread writes the messages.
    has_writer: bool,
    waiting: VecDeque<Vec<u8>>,
    /// Bytes of the waiting messages and of the one that is being written.
    bytes: usize,
    /// Number of messages lost since the last report of losses.
    lost: usize,
}

/// Importance of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A message of the VMM or a log line, which is lost first.
    Log,
    /// A message or an error of this program.
    Own,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue::new());
/// Condition variable that is notified when a message is added or written.
static CHANGED: Condvar = Condvar::new();

impl Queue {
    const fn new() -> Self {
        Self {
            has_writer: false,
            waiting: VecDeque::new(),
            bytes: 0,
            lost: 0,
        }
    }

    /// Adds a message, or counts it as lost if there is no room.
    fn push(&mut self, bytes: &[u8], weight: Weight) {
        let limit = if weight == Weight::Own {
            MAX_WAITING + RESERVE
        } else {
            MAX_WAITING
        };
        if self.bytes + bytes.len() > limit {
            self.lost += 1;
            return;
        }

        self.report_lost();
        self.add(bytes.to_vec());
    }

    /// Adds a report of lost messages, if there are any.
    fn report_lost(&mut self) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.add(
                format!(
                    "passthru: {lost} messages were lost: standard error was not read in time\n"
                )
                .into_bytes(),
            );
        }
    }

    fn add(&mut self, message: Vec<u8>) {
        self.bytes += message.len();
        self.waiting.push_back(message);
    }
}

/// Writes a message to standard error, as `eprintln!` does. If writing fails, the message is lost.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::message::write(
            format!("{}\n", format_args!($($argument)*)).as_bytes(),
            $crate::message::Weight::Own,
        )
    };
}
pub(crate) use say;

/// Writes bytes to standard error. Bytes that cannot be written are lost.
pub(crate) fn write(bytes: &[u8], weight: Weight) {
    let mut queue = lock();
    if queue.has_writer {
        queue.push(bytes, weight);
        CHANGED.notify_all();
    } else {
        write_to(&io::stderr(), bytes);
    }
}

/// Starts the thread that writes the messages from now on, unless the thread runs already.
pub(crate) fn start_writer() {
    let mut queue = lock();
    if !queue.has_writer {
        queue.has_writer = std::thread::Builder::new()
            .name("messages".into())
            .spawn(write_all)
            .is_ok();
    }
}

/// Waits until all messages are written, within the time limits for the last messages.
pub(crate) fn flush() {
    let end = Instant::now() + MAX_TIME;
    let mut queue = lock();
    if queue.has_writer {
        queue.report_lost();
        CHANGED.notify_all();
    }

    while queue.bytes > 0 && Instant::now() < end {
        let before = queue.bytes;
        let wait = CHANGED.wait_timeout_while(queue, IDLE_TIME, |queue| queue.bytes == before);
        queue = wait.unwrap_or_else(PoisonError::into_inner).0;
        if queue.bytes == before {
            return;
        }
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the messages as they come. Does not return.
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

/// Writes bytes to a file, and waits until the file takes them. Stops at an error.
fn write_to(file: &impl AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count @ 1..) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another process that shares the file has made it nonblocking.
            Err(Errno::AGAIN) if poll(&mut [PollFd::new(file, PollFlags::OUT)], None).is_ok() => {}
            // The reader has closed the pipe, or the disk is full.
            Ok(0) | Err(_) => return,
        }
    }
}

/// Standard error for `tracing`, which writes a line at a time.
pub(crate) struct Log;

/// A line of `tracing`.
pub(crate) struct LogLine(Weight);

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(Weight::Log)
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> LogLine {
        LogLine(if *line.level() == Level::ERROR {
            Weight::Own
        } else {
            Weight::Log
        })
    }
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes, self.0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn full_disk_and_dead_reader_lose_the_message() {
        write_to(
            &rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).unwrap(),
            b"lost",
        );
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

    #[test]
    fn vmm_messages_leave_room_for_errors() {
        let mut queue = Queue::new();
        let line = [b'x'; 1000];
        for _ in 0..1000 {
            queue.push(&line, Weight::Log);
        }
        assert!(queue.bytes <= MAX_WAITING, "{}", queue.bytes);

        let lost = queue.lost;
        assert_eq!(queue.waiting.len() + lost, 1000);

        let error = format!("error: {}\n", "y".repeat(1000));
        queue.push(error.as_bytes(), Weight::Own);
        let messages: Vec<_> = queue
            .waiting
            .iter()
            .rev()
            .take(2)
            .map(|m| String::from_utf8_lossy(m))
            .collect();
        assert_eq!(messages[0], error);
        assert_eq!(
            messages[1],
            format!("passthru: {lost} messages were lost: standard error was not read in time\n")
        );
        assert_eq!(queue.lost, 0);
    }
}
