//! Boot of the virtual host for one job, whose streams are forwarded.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::MachineArgs;
use super::boot_watch::BootWatch;
use super::job::{Input, Job, PORTS};
use super::kernel_log::KernelLog;
use super::machine::{Channel, Machine};
use super::outcome::Outcome;
use super::runs::Run;
use super::setup::Lab;
use super::streams::Event;
use crate::cargo;

/// Time for outputs after the end of the job, which background processes may hold open.
const OUTPUT_GRACE: Duration = Duration::from_secs(5);

/// Time without output in the kernel log after which a boot is stuck, before the job begins. A busy
/// machine stays well below.
const BOOT_SILENCE: Duration = Duration::from_secs(90);

/// Number of attempts to start a virtual host that gets stuck during its boot.
const MAX_STARTS: usize = 3;

/// Runs a job to its end and reports failures on stderr.
///
/// The booting kernel sometimes waits forever for a timer of the emulation. The virtual host is
/// then started again, unless the job's input would be lost.
pub(super) fn boot(lab: &Lab, args: &MachineArgs, job: &Job) -> Result<Outcome> {
    for _ in 1..MAX_STARTS {
        match boot_once(lab, args, job)? {
            Outcome::NotStarted if job.input == Input::None => {
                eprintln!("lab: the virtual host is started again");
            }
            outcome => return Ok(outcome),
        }
    }

    boot_once(lab, args, job)
}

fn boot_once(lab: &Lab, args: &MachineArgs, job: &Job) -> Result<Outcome> {
    let run = Run::begin(&lab.cache)?;
    let (sender, events) = channel();
    catch_signals(sender.clone())?;
    let end_mark = end_mark()?;
    job.write(&run, lab, args, &end_mark)?;
    if let Some(record) = &job.record {
        record.start_clock();
    }
    let mut qemu = start(&run, lab, args, job, job.open_channels(&end_mark, &sender)?)?;
    let outcome = wait(&mut qemu, &events, job, BootWatch::new(run.kernel_log()));
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

/// Returns a random text that no output contains.
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
    let named = PORTS.into_iter().zip(&channels);
    let named = named.map(|(name, channel)| Channel {
        name,
        fd: channel.as_raw_fd(),
    });
    let named: Vec<_> = named.collect();
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

/// Starts QEMU, which inherits the channels. Our copies are closed, so that a channel ends with
/// QEMU.
fn spawn(mut command: Command, channels: [OwnedFd; 4]) -> Result<Child> {
    // No other program is started meanwhile, so that none inherits the channels.
    for channel in &channels {
        fcntl_setfd(channel, FdFlags::empty())?;
    }
    command
        .spawn()
        .context("QEMU of the lab's root file system")
}

/// Waits until one of these ends the job:
/// - the job's exit status, and then the rest of its output
/// - the time limit
/// - a signal
/// - the end of QEMU
/// - a boot or an output that is stuck
fn wait(
    qemu: &mut Child,
    events: &Receiver<Event>,
    job: &Job,
    mut watch: BootWatch,
) -> Result<Outcome> {
    let mut deadline = job.limit.map(|limit| Instant::now() + limit);
    let mut status = None;
    let mut open_outputs = 2;
    loop {
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Exited(exited)) => {
                status = Some(exited);
                deadline = Some(Instant::now() + OUTPUT_GRACE);
            }
            Ok(Event::OutputEnded) => open_outputs -= 1,
            Ok(Event::Signal(signal)) => return Ok(Outcome::Interrupted(signal)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if let Some(end) = qemu.try_wait()? {
                    await_outputs(events, open_outputs);
                    return Ok(status.map_or_else(|| Outcome::from_emulator(end), Outcome::Exited));
                }
                if status.is_none() && watch.is_stuck(BOOT_SILENCE) {
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

/// Waits until the output that the job wrote before the end of its emulator has been read.
fn await_outputs(events: &Receiver<Event>, mut open: i32) {
    let deadline = Instant::now() + OUTPUT_GRACE;
    while open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::OutputEnded) => open -= 1,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Asks QEMU to end, and kills it after 3 s.
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

/// Reports a failure, with the last lines of the logs of the kernel and QEMU.
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
                BOOT_SILENCE.as_secs()
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
    for line in log.tail() {
        eprintln!("  {line}");
    }
}
