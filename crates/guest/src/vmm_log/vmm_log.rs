//! The log of a VMM.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use passthru_qemu::{format_utc, printable};

use super::fifo::Fifo;
use super::line_splitter::LineSplitter;
use super::log_file::LogFile;

/// Folder of the logs of the VMMs that root started.
pub const LOG_DIR: &str = "/var/log/passthru";

/// Returns the path of the log of a guest's VMM.
pub(crate) fn log_path(folder: &Path, guest: &str) -> PathBuf {
    folder.join(format!("{guest}.log"))
}

/// Name of the FIFO in the guest's folder.
const FIFO: &str = "stderr";
/// Number of lines that are kept in memory.
const MAX_LINES: usize = 50;
/// Number of bytes that are read at a time.
const CHUNK: usize = 64 << 10;
/// Number of bytes that are taken in one [`PERIOD`]. A VMM that writes more loses lines.
const MAX_RATE: usize = 256 << 10;
const PERIOD: Duration = Duration::from_secs(1);

/// The messages that a VMM writes to standard error.
///
/// The VMM is not trusted: lines are escaped, and their number, length and rate are bounded. A
/// supervisor that is stopped costs lines, and never holds up the VMM.
#[derive(Debug)]
pub struct VmmLog {
    fifo: Fifo,
    splitter: LineSplitter,
    last_lines: VecDeque<String>,
    file: Option<LogFile>,
    path: PathBuf,
    /// Whether each line is also a message of this program.
    is_shown: bool,
    /// Whether the last write to the file failed, which was warned about.
    has_failed: bool,
    has_ended: bool,
    /// Start of the current period.
    period: Instant,
    /// Number of bytes that were read in the current period.
    read: usize,
}

impl VmmLog {
    /// Makes the FIFO for a new VMM in the guest's folder, and opens the log file.
    ///
    /// A log file that cannot be opened is warned about. The last lines are kept all the same.
    ///
    /// # Errors
    /// If the FIFO cannot be made, then the kernel's error.
    pub fn create(folder: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self::new(Fifo::create(&folder.join(FIFO))?, path))
    }

    /// Opens the FIFO of a VMM that another supervisor has started, and the log file.
    ///
    /// # Errors
    /// If the FIFO cannot be opened, then the kernel's error.
    pub fn open(folder: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self::new(Fifo::open(&folder.join(FIFO))?, path))
    }

    fn new(fifo: Fifo, path: &Path) -> Self {
        let mut log = Self {
            fifo,
            splitter: LineSplitter::default(),
            last_lines: VecDeque::new(),
            file: None,
            path: path.into(),
            is_shown: false,
            has_failed: false,
            has_ended: false,
            period: Instant::now(),
            read: 0,
        };
        match LogFile::open(path) {
            Ok(file) => log.file = Some(file),
            Err(error) => log.warn(&error),
        }

        log
    }

    /// Opens the descriptor that becomes the VMM's standard error. A write to it never waits.
    ///
    /// # Errors
    /// If it cannot be opened, then the kernel's error.
    pub fn open_writer(&mut self) -> io::Result<OwnedFd> {
        self.has_ended = false;
        self.fifo.open_writer()
    }

    /// Returns the descriptor to wait for, until it is readable. `None` if the VMM has closed its
    /// end, or has written too much: then until [`VmmLog::deadline`].
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        let is_read = !self.has_ended && self.deadline().is_none();
        is_read.then(|| self.fifo.as_fd())
    }

    /// Returns the time at which to call [`VmmLog::ready`] for a VMM that has written too much.
    pub fn deadline(&self) -> Option<Instant> {
        let is_over = self.read >= MAX_RATE && !self.has_ended;
        is_over.then(|| self.period + PERIOD)
    }

    /// Takes what the VMM has written, at most 64 KiB. Call it when the descriptor is readable, or
    /// the deadline is over.
    pub fn ready(&mut self) {
        if self.period.elapsed() >= PERIOD {
            self.period = Instant::now();
            self.read = 0;
        }
        self.take();
    }

    /// Reads once. Returns whether bytes came.
    fn take(&mut self) -> bool {
        let mut buffer = vec![0; CHUNK];
        let count = match self.fifo.read(&mut buffer) {
            Ok(None) => return false,
            Ok(Some(count)) => count,
            Err(error) => {
                tracing::debug!("cannot read the VMM's standard error: {error}");
                0
            }
        };
        self.read += count;
        self.has_ended = count == 0;
        let mut lines = self.splitter.push(&buffer[..count]);
        if self.has_ended {
            lines.extend(self.splitter.finish());
        }
        self.add("VMM", lines);
        count > 0
    }

    /// Takes what a VMM that has ended has written. A child of the VMM that keeps the descriptor
    /// open is not waited for.
    pub fn finish(&mut self) {
        for _ in 0..MAX_RATE / CHUNK {
            if !self.take() {
                break;
            }
        }

        let line = self.splitter.finish();
        self.add("VMM", line.into_iter().collect());
    }

    /// Returns the last 50 lines of the VMM, each with a line end.
    pub fn messages(&self) -> String {
        let mut text = String::new();
        for line in &self.last_lines {
            text.push_str(line);
            text.push('\n');
        }

        text
    }

    /// Makes each line that is kept a message of this program, and from now on each line that
    /// comes.
    pub fn show(&mut self) {
        self.is_shown = true;
        for line in &self.last_lines {
            tracing::warn!("VMM: {line}");
        }
    }

    /// Makes the lines that come no messages of this program any more.
    pub fn hide(&mut self) {
        self.is_shown = false;
    }

    /// Adds a line of the supervisor to the log file, for example that the guest was started. The
    /// VMM cannot write such a line.
    pub fn note(&mut self, text: &str) {
        let line = printable(text, usize::MAX);
        self.write("passthru", &[line]);
    }

    fn add(&mut self, author: &str, lines: Vec<String>) {
        self.write(author, &lines);
        for line in lines {
            if self.is_shown {
                tracing::warn!("{author}: {line}");
            }
            if self.last_lines.len() == MAX_LINES {
                self.last_lines.pop_front();
            }
            self.last_lines.push_back(line);
        }
    }

    /// Writes lines to the log file, in parts of about 64 KiB.
    fn write(&mut self, author: &str, lines: &[String]) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = format_utc(since.unwrap_or_default().as_secs()) + "Z";
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("{time} {author}: {line}\n"));
            if text.len() >= CHUNK {
                self.append(&text);
                text.clear();
            }
        }

        if !text.is_empty() {
            self.append(&text);
        }
    }

    fn append(&mut self, text: &str) {
        let Some(file) = &mut self.file else {
            return;
        };
        match file.append(text) {
            Ok(()) => self.has_failed = false,
            Err(error) => self.warn(&error),
        }
    }

    /// Warns about the file once. The guest is worth more than its log.
    fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let path = self.path.display();
            tracing::warn!("cannot write {path}: {error}; messages of the VMM are missing there");
        }
    }
}
