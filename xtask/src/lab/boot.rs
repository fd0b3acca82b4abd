//! Boots the virtual host for one job, carries its streams, and gives its exit status.

use std::env;
use std::fs::{self, File};
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use passthru_lab::devices;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::tcgetwinsize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::MachineArgs;
use super::initrd;
use super::kernel_log::KernelLog;
use super::machine::{Channel, Machine};
use super::runs::Run;
use super::setup::Lab;
use super::streams::{self, Event, Record, Recorded};
use crate::cargo;

/// Exit code when the time limit is reached, as of `timeout`.
const TIMED_OUT: u8 = 124;

/// How long outputs may still come after the job ended: something in the background may hold them
/// open.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long the kernel's log may stand still before the job begins: longer than it ever does on a
/// busy machine.
const STANDSTILL: Duration = Duration::from_secs(90);

/// How often a virtual host that stands still while it starts is started.
const STARTS: usize = 3;

/// The ports, in the order of [`Job::open_channels`].
const PORTS: [&str; 4] = ["stdin", "stdout", "stderr", "status"];

/// What is run on the virtual host.
pub(super) struct Job {
    /// A shell script.
    pub(super) script: String,
    pub(super) input: Input,
    /// The target directory of the build that the job sees.
    pub(super) target: PathBuf,
    /// How long it may take, the boot included.
    pub(super) limit: Option<Duration>,
    /// Where its output is kept, besides being shown.
    pub(super) record: Option<Record>,
    /// The longest time without output, where the record shows a longer one to be a standstill.
    pub(super) silence: Option<Duration>,
}

impl Job {
    fn is_silent(&self) -> bool {
        match (&self.record, self.silence) {
            (Some(record), Some(most)) => record.quiet_for() > most,
            _ => false,
        }
    }
}

/// Where the job's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    None,
    /// Our standard input, unless it is a terminal.
    Forwarded,
    /// Our terminal, for output too.
    Terminal,
}

/// Runs a job to its end and reports on stderr what went wrong.
///
/// Now and then the kernel waits for ever for a timer of the emulation while it starts. It is
/// started again then, unless that would lose the job's input.
pub(super) fn boot(lab: &Lab, args: &MachineArgs, job: &Job) -> Result<Outcome> {
    for _ in 1..STARTS {
        match once(lab, args, job)? {
            Outcome::NotStarted if job.input == Input::None => {
                eprintln!("lab: the virtual host is started again");
            }
            outcome => return Ok(outcome),
        }
    }
    once(lab, args, job)
}

fn once(lab: &Lab, args: &MachineArgs, job: &Job) -> Result<Outcome> {
    let run = Run::begin(&lab.cache)?;
    let (sender, events) = channel();
    catch_signals(sender.clone())?;
    let end_mark = end_mark()?;
    job.write(&run, lab, args, &end_mark)?;
    if let Some(record) = &job.record {
        record.start_clock();
    }
    let mut qemu = start(&run, lab, args, job, job.open_channels(&end_mark, &sender)?)?;
    let outcome = wait(&mut qemu, &events, job, Start::watch(run.kernel_log()));
    end(&mut qemu);
    let outcome = match outcome? {
        Outcome::EmulatorDied if KernelLog::read(&run.kernel_log()).has_fault() => {
            Outcome::HostEnded
        }
        outcome => outcome,
    };
    report(&run, outcome, job);
    Ok(outcome)
}

/// The end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It exited with this status.
    Exited(u8),
    /// It did not end within its time limit.
    TimedOut,
    /// The virtual host stood still before the job began.
    NotStarted,
    /// The job's output stood still for too long.
    StoodStill,
    /// We were ended by this signal.
    Interrupted(i32),
    /// A signal ended the emulator, without a fault of the virtual host's kernel.
    EmulatorDied,
    /// The virtual host ended before the job did: its kernel panicked, or the job powered it off.
    HostEnded,
}

impl Outcome {
    /// Returns the exit code that stands for it.
    pub(super) fn code(self) -> Result<u8> {
        match self {
            Self::Exited(status) => Ok(status),
            Self::TimedOut => Ok(TIMED_OUT),
            Self::Interrupted(signal) => Ok(128 + signal as u8),
            Self::NotStarted => bail!("the virtual host does not start"),
            Self::StoodStill => bail!("the virtual host stands still"),
            Self::EmulatorDied => bail!("the emulator of the virtual host died"),
            Self::HostEnded => bail!("the virtual host ended before the command did"),
        }
    }
}

/// The start of the virtual host, as its kernel's log tells of it.
#[derive(Debug)]
struct Start {
    log: PathBuf,
    length: u64,
    since: Instant,
    done: bool,
}

impl Start {
    fn watch(log: PathBuf) -> Self {
        Self {
            log,
            length: 0,
            since: Instant::now(),
            done: false,
        }
    }

    /// Whether it has not gone on for as long as `most`.
    fn stands_still(&mut self, most: Duration) -> bool {
        let length = fs::metadata(&self.log).map_or(0, |file| file.len());
        if !self.done && length != self.length {
            (self.length, self.since) = (length, Instant::now());
            self.done = KernelLog::read(&self.log).booted();
        }
        !self.done && self.since.elapsed() > most
    }
}

impl Job {
    /// Writes what init reads.
    fn write(&self, run: &Run, lab: &Lab, args: &MachineArgs, end_mark: &str) -> Result<()> {
        let folder = run.job();
        let text = |path: &Path| quoted(&path.to_string_lossy());
        let interactive = if self.input == Input::Terminal {
            "yes"
        } else {
            "no"
        };
        let (rows, columns) =
            tcgetwinsize(stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col));
        let settings = [
            ("SOURCE", text(cargo::root())),
            ("TARGET", text(&self.target)),
            ("PROFILE", args.profile().into()),
            ("UPLINK", devices::UPLINK.into()),
            ("DATA_NVME", devices::DATA_NVME.into()),
            ("DATA_MOUNT", devices::DATA_MOUNT.into()),
            ("END_MARK", quoted(end_mark)),
            ("INTERACTIVE", interactive.into()),
            ("ROWS", rows.to_string()),
            ("COLUMNS", columns.to_string()),
        ];
        let settings: String = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        fs::write(folder.join("settings"), settings)?;
        fs::write(folder.join("command"), environment() + &self.script)?;
        let guest = folder.join("guest");
        fs::copy(&lab.kernel, guest.join("vmlinuz"))
            .with_context(|| format!("{}", lab.kernel.display()))?;
        initrd::write(&lab.rootfs, "guest-init", &guest.join("initrd.gz"))?;
        initrd::write(&lab.rootfs, "init", &run.initrd())
    }

    /// The other ends of the job's channels, in the order of [`PORTS`].
    fn open_channels(&self, end_mark: &str, events: &Sender<Event>) -> Result<[OwnedFd; 4]> {
        let forward = self.input == Input::Forwarded && !stdin().is_terminal();
        Ok([
            streams::input(forward)?,
            streams::output(
                Recorded::new(stdout(), self.record.clone()),
                end_mark,
                events.clone(),
            )?,
            streams::output(stderr(), end_mark, events.clone())?,
            streams::status(events.clone())?,
        ])
    }
}

/// Variables of ours that the job sees.
fn environment() -> String {
    let passed = ["RUST_BACKTRACE", "RUST_LOG", "NO_COLOR", "TERM"];
    let set = passed
        .iter()
        .filter_map(|name| Some((name, env::var(name).ok()?)));
    set.map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
        .collect()
}

/// A word as the shell reads it.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A text that no output contains by chance.
fn end_mark() -> Result<String> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid")
        .context("/proc/sys/kernel/random/uuid")?;
    Ok(format!("<end of output {}>", random.trim()))
}

fn catch_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let _ = events.send(Event::Signal(signal));
        }
    });
    Ok(())
}

fn start(
    run: &Run,
    lab: &Lab,
    args: &MachineArgs,
    job: &Job,
    channels: [OwnedFd; 4],
) -> Result<Child> {
    let named: Vec<_> = PORTS
        .into_iter()
        .zip(&channels)
        .map(|(name, channel)| Channel {
            name,
            fd: channel.as_raw_fd(),
        })
        .collect();
    let machine = Machine {
        arch: args.arch,
        accel: args.accel,
        memory_mib: args.memory,
        append: &args.append,
        kernel: &lab.kernel,
        initrd: &run.initrd(),
        rootfs: &lab.rootfs,
        disks: &lab.disks,
        shares: &[
            ("root", lab.rootfs.path.as_path()),
            ("source", cargo::root()),
            ("target", &job.target),
            ("job", &run.job()),
        ],
        channels: &named,
        interactive: job.input == Input::Terminal,
        log: &run.kernel_log(),
    };
    let mut command = machine.command()?;
    if job.input != Input::Terminal {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }
    command
        .stderr(File::create(run.qemu_log())?)
        .env("TMPDIR", run.temporary());
    spawn(command, channels)
}

/// Starts QEMU, which inherits the channels. Our copies close, so that a channel ends with QEMU.
fn spawn(mut command: Command, channels: [OwnedFd; 4]) -> Result<Child> {
    // No other program is started at this time.
    for channel in &channels {
        fcntl_setfd(channel, FdFlags::empty())?;
    }
    command
        .spawn()
        .context("QEMU of the lab's root file system")
}

/// Waits for the job's status and the rest of its output, for the time limit, a signal, the end of
/// QEMU, or a start that does not go on.
fn wait(
    qemu: &mut Child,
    events: &Receiver<Event>,
    job: &Job,
    mut start: Start,
) -> Result<Outcome> {
    let mut deadline = job.limit.map(|limit| Instant::now() + limit);
    let mut status = None;
    let mut open_outputs = 2;
    loop {
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Exited(exited)) => {
                status = Some(exited);
                deadline = Some(Instant::now() + LAST_WORDS);
            }
            Ok(Event::OutputEnded) => open_outputs -= 1,
            Ok(Event::Signal(signal)) => return Ok(Outcome::Interrupted(signal)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if let Some(end) = qemu.try_wait()? {
                    await_outputs(events, open_outputs);
                    return Ok(status.map_or_else(|| end_of_emulator(end), Outcome::Exited));
                }
                if status.is_none() && start.stands_still(STANDSTILL) {
                    return Ok(Outcome::NotStarted);
                }
                if status.is_none() && job.is_silent() {
                    return Ok(Outcome::StoodStill);
                }
            }
        }
        let late = deadline.is_some_and(|deadline| Instant::now() > deadline);
        match status {
            Some(status) if open_outputs <= 0 || late => return Ok(Outcome::Exited(status)),
            None if late => return Ok(Outcome::TimedOut),
            _ => {}
        }
    }
}

/// Waits until what the job wrote before its emulator ended has been read.
fn await_outputs(events: &Receiver<Event>, mut open: i32) {
    let deadline = Instant::now() + LAST_WORDS;
    while open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::OutputEnded) => open -= 1,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Tells a signal from an end by itself: a panic of the virtual host's kernel ends QEMU with status
/// 0.
fn end_of_emulator(end: ExitStatus) -> Outcome {
    if end.signal().is_some() {
        Outcome::EmulatorDied
    } else {
        Outcome::HostEnded
    }
}

/// Asks QEMU to end, and makes it.
fn end(qemu: &mut Child) {
    if let Some(pid) = i32::try_from(qemu.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        if !matches!(qemu.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = qemu.kill();
    let _ = qemu.wait();
}

/// Tells what went wrong, with the kernel's and QEMU's words.
fn report(run: &Run, outcome: Outcome, job: &Job) {
    let log = KernelLog::read(&run.kernel_log());
    match outcome {
        Outcome::Exited(0) if !log.has_fault() => return,
        Outcome::Interrupted(_) => return,
        Outcome::Exited(_) => {}
        Outcome::TimedOut => {
            eprintln!(
                "lab: the time limit of {} s is reached (--timeout)",
                job.limit.unwrap_or_default().as_secs()
            );
        }
        Outcome::StoodStill => {
            eprintln!(
                "lab: no output for {} s",
                job.silence.unwrap_or_default().as_secs()
            );
        }
        Outcome::NotStarted => {
            eprintln!(
                "lab: the virtual host's kernel has said nothing for {} s",
                STANDSTILL.as_secs()
            );
        }
        Outcome::EmulatorDied | Outcome::HostEnded => {
            eprint!("{}", fs::read_to_string(run.qemu_log()).unwrap_or_default());
        }
    }
    if log.has_fault() {
        eprintln!("lab: the virtual host's kernel reports a fault");
    }
    if !log.booted() {
        eprintln!("lab: the virtual host did not come up");
    }
    eprintln!("lab: kernel log: {}", run.kernel_log().display());
    log.tail().iter().for_each(|line| eprintln!("  {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_without_log_before_the_job_is_stuck() {
        let log = env::temp_dir().join(format!("passthru-kernel-log-{}", std::process::id()));
        let mut start = Start::watch(log.clone());
        thread::sleep(Duration::from_millis(2));
        assert!(start.stands_still(Duration::from_millis(1)));
        fs::write(&log, "vgaarb: loaded\n").unwrap();
        assert!(!start.stands_still(Duration::from_secs(60)));
        thread::sleep(Duration::from_millis(2));
        assert!(start.stands_still(Duration::from_millis(1)));
        fs::write(&log, "vgaarb: loaded\npassthru-lab: the job begins\n").unwrap();
        assert!(!start.stands_still(Duration::from_secs(60)));
        thread::sleep(Duration::from_millis(2));
        assert!(!start.stands_still(Duration::from_millis(1)));
        fs::remove_file(&log).unwrap();
    }

    #[test]
    fn only_a_signal_is_the_death_of_the_emulator() {
        let end = |script: &str| Command::new("sh").args(["-c", script]).status().unwrap();
        assert_eq!(end_of_emulator(end("kill -ABRT $$")), Outcome::EmulatorDied);
        assert_eq!(end_of_emulator(end("exit 0")), Outcome::HostEnded);
        assert_eq!(end_of_emulator(end("exit 1")), Outcome::HostEnded);
    }

    #[test]
    fn quoted_word_is_one_word_of_the_shell() {
        let word = "it's $HOME; \"x\"";
        let output = Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(word))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
    }
}
