//! Reads an NVMe disk from user space: prints its model, and its first blocks, which come by DMA.
//!
//! The disk must be on `vfio-pci`. Nothing is written to it. This is the smallest driver that
//! reads: one command at a time, polled.
#![allow(clippy::print_stdout, reason = "an example for people")]

use std::io::Write;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use passthru_pci::Address;
use passthru_vfio::container::{self, Access, AttachOptions, Member, Options, Policy};
use passthru_vfio::device::{Mmap, Region, Source, Word};
use passthru_vfio::dma::{Buffer, DmaPool, IovaAllocator};

/// Registers of the controller (NVM Express Base Specification 2.0, 3.1.3), by their offsets.
mod register {
    pub(super) const CAPABILITIES: u64 = 0x00;
    pub(super) const CONFIGURATION: u64 = 0x14;
    pub(super) const STATUS: u64 = 0x1c;
    pub(super) const ADMIN_QUEUE_ATTRIBUTES: u64 = 0x24;
    pub(super) const ADMIN_SUBMISSION_QUEUE: u64 = 0x28;
    pub(super) const ADMIN_COMPLETION_QUEUE: u64 = 0x30;
    pub(super) const DOORBELLS: u64 = 0x1000;
}

/// Commands, by their opcodes: of the admin queue, and to read.
mod opcode {
    pub(super) const CREATE_SUBMISSION_QUEUE: u32 = 0x01;
    pub(super) const CREATE_COMPLETION_QUEUE: u32 = 0x05;
    pub(super) const IDENTIFY: u32 = 0x06;
    pub(super) const READ: u32 = 0x02;
}

/// Configuration: enabled, commands of 64 bytes, completions of 16 bytes, pages of 4 KiB.
const ENABLE: u32 = 6 << 16 | 4 << 20 | 1;
const READY: u32 = 1;
const FATAL: u32 = 2;
const PAGE: usize = 4096;
/// Number of entries in each queue.
const ENTRIES: u16 = 16;
/// Offset of the PCI command register.
const COMMAND: u64 = 0x04;
/// Memory space and bus master, in the PCI command register.
const MEMORY_AND_BUS_MASTER: u16 = 0x6;

#[derive(Parser)]
#[command(about = "Reads the first blocks of an NVMe disk from user space")]
struct Arguments {
    /// PCI address, as 0000:01:00.0
    device: Address,
    /// auto, iommufd or type1
    #[arg(long, default_value = "auto")]
    backend: Policy,
    /// The first block
    #[arg(long, default_value_t = 0)]
    block: u64,
    /// Write the block to standard output, and nothing else
    #[arg(long)]
    raw: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let source = Source::Pci(arguments.device);
    let options = Options {
        policy: arguments.backend,
        ..Options::default()
    };
    let choice = container::open(&options, &[source.locate()?])?;
    let member = choice
        .container
        .attach(source.into(), AttachOptions::default())?;
    let iovas = IovaAllocator::new(&choice.container.iova_ranges()?, PAGE as u64);
    let pool = DmaPool::new(choice.container.clone(), iovas);

    let mut disk = Controller::start(member, &pool)?;
    let identity = disk.identify()?;
    let block_size = disk.block_size()?;
    let block = disk.read(arguments.block, block_size)?;
    if arguments.raw {
        return Ok(std::io::stdout().write_all(&block)?);
    }
    println!("{choice}");
    println!(
        "{} {}, blocks of {block_size} bytes",
        identity.model, identity.serial
    );
    for (row, bytes) in block.chunks(16).take(4).enumerate() {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        println!(
            "{:08x}  {}",
            arguments.block * block_size as u64 + row as u64 * 16,
            hex.join(" ")
        );
    }

    Ok(())
}

/// Serial number and model of the controller.
struct Identity {
    serial: String,
    model: String,
}

/// A running controller with its queues. It is stopped before its queues are freed.
struct Controller {
    registers: Registers,
    admin: Queue,
    io: Option<Queue>,
    data: Buffer,
}

impl Controller {
    fn start(member: Member, pool: &Arc<DmaPool>) -> Result<Self> {
        let registers = Registers::map(member)?;
        registers.configure(0, 0)?;
        let admin = Queue::new(0, pool)?;
        let size = u32::from(ENTRIES - 1);
        registers.write(register::ADMIN_QUEUE_ATTRIBUTES, size << 16 | size)?;
        registers.write(register::ADMIN_SUBMISSION_QUEUE, admin.submissions.iova())?;
        registers.write(register::ADMIN_COMPLETION_QUEUE, admin.completions.iova())?;
        registers.configure(ENABLE, READY)?;
        let data = pool.buffer(PAGE, Access::ReadWrite)?;
        let mut controller = Self {
            registers,
            admin,
            io: None,
            data,
        };
        controller.create_queue(Queue::new(1, pool)?)?;
        Ok(controller)
    }

    /// Creates the queue for reads: first its completions, then its submissions.
    fn create_queue(&mut self, queue: Queue) -> Result<()> {
        let size = u32::from(ENTRIES - 1) << 16 | u32::from(queue.id);
        let contiguous = 1;
        let completions = Command::new(opcode::CREATE_COMPLETION_QUEUE, queue.completions.iova());
        self.admin.submit(
            &self.registers,
            &completions.arguments([size, contiguous, 0]),
        )?;
        let submissions = Command::new(opcode::CREATE_SUBMISSION_QUEUE, queue.submissions.iova());
        let completion_queue = u32::from(queue.id) << 16;
        self.admin.submit(
            &self.registers,
            &submissions.arguments([size, completion_queue | contiguous, 0]),
        )?;
        self.io = Some(queue);
        Ok(())
    }

    fn identify(&mut self) -> Result<Identity> {
        let controller = 1;
        let command =
            Command::new(opcode::IDENTIFY, self.data.iova()).arguments([controller, 0, 0]);
        self.admin.submit(&self.registers, &command)?;
        Ok(Identity {
            serial: self.text(4, 20),
            model: self.text(24, 40),
        })
    }

    /// Returns the block size of the first namespace, in bytes.
    fn block_size(&mut self) -> Result<usize> {
        let command = Command::new(opcode::IDENTIFY, self.data.iova()).namespace(1);
        self.admin.submit(&self.registers, &command)?;
        let format: u8 = self.data.load(26).context("no namespace")?;
        let format = 128 + 4 * usize::from(format & 0xf);
        let shift: u8 = self.data.load(format + 2).context("no format")?;
        ensure!(
            (9..=12).contains(&shift),
            "blocks of 2^{shift} bytes do not fit into a page"
        );
        Ok(1 << shift)
    }

    fn read(&mut self, block: u64, size: usize) -> Result<Vec<u8>> {
        let queue = self.io.as_mut().context("no queue")?;
        let command = Command::new(opcode::READ, self.data.iova()).namespace(1);
        let one_block = 0;
        let arguments = [block as u32, (block >> 32) as u32, one_block];
        queue
            .submit(&self.registers, &command.arguments(arguments))
            .with_context(|| format!("block {block}"))?;
        let mut bytes = vec![0; size];
        self.data.read(0, &mut bytes);
        Ok(bytes)
    }

    fn text(&self, offset: usize, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.data.read(offset, &mut bytes);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Stop writes to the queues. If that fails, the device is still detached before its memory
        // is freed.
        let _ = self.registers.configure(0, 0);
    }
}

/// Registers of the controller.
struct Registers {
    mmap: Mmap,
    /// Distance of two doorbells in bytes.
    stride: u64,
    timeout: Duration,
    _member: Member,
}

impl Registers {
    fn map(member: Member) -> Result<Self> {
        let config = member.device().region(Region::CONFIG)?;
        let command: u16 = config.read(COMMAND)?;
        config.write(COMMAND, command | MEMORY_AND_BUS_MASTER)?;
        let bar = member.device().region(Region::BAR0)?;
        let area = bar
            .areas()
            .first()
            .context("the registers cannot be mapped")?
            .clone();
        let mmap = bar.mmap(area)?;
        let capabilities: u64 = mmap.read(register::CAPABILITIES)?;
        let timeout = Duration::from_millis(500) * (capabilities >> 24 & 0xff) as u32;
        Ok(Self {
            mmap,
            stride: 4 << (capabilities >> 32 & 0xf),
            timeout,
            _member: member,
        })
    }

    fn write<W: Word>(&self, offset: u64, value: W) -> Result<()> {
        Ok(self.mmap.write(offset, value)?)
    }

    /// Starts or stops the controller, and waits until it reports `ready`.
    fn configure(&self, configuration: u32, ready: u32) -> Result<()> {
        self.write(register::CONFIGURATION, configuration)?;
        let deadline = Instant::now() + self.timeout;
        loop {
            let status: u32 = self.mmap.read(register::STATUS)?;
            ensure!(
                status & FATAL == 0 || ready == 0,
                "the controller failed (status {status:#x})"
            );
            if status & READY == ready {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the controller is not ready after {:?} (status {status:#x})",
                self.timeout
            );
            sleep(Duration::from_millis(1));
        }
    }

    /// Signals a new command (`completion` 0), or a completion that was read (1).
    fn ring(&self, queue: u16, completion: u64, index: u16) -> Result<()> {
        let doorbell = register::DOORBELLS + (2 * u64::from(queue) + completion) * self.stride;
        self.write(doorbell, u32::from(index))
    }
}

/// A command of 64 bytes, as sixteen words. The controller transfers one page at most.
struct Command([u32; 16]);

impl Command {
    fn new(opcode: u32, data: u64) -> Self {
        let mut words = [0; 16];
        words[0] = opcode;
        words[6] = data as u32;
        words[7] = (data >> 32) as u32;
        Self(words)
    }

    fn namespace(mut self, id: u32) -> Self {
        self.0[1] = id;
        self
    }

    /// Sets words 10 to 12.
    fn arguments(mut self, words: [u32; 3]) -> Self {
        self.0[10..13].copy_from_slice(&words);
        self
    }
}

/// A pair of queues: commands go in, completions come out.
struct Queue {
    id: u16,
    submissions: Buffer,
    completions: Buffer,
    tail: u16,
    head: u16,
    /// Phase bit of a new completion; it changes with each round.
    phase: u16,
}

impl Queue {
    fn new(id: u16, pool: &Arc<DmaPool>) -> Result<Self> {
        let submissions = pool.buffer(PAGE, Access::Read)?;
        let completions = pool.buffer(PAGE, Access::ReadWrite)?;
        Ok(Self {
            id,
            submissions,
            completions,
            tail: 0,
            head: 0,
            phase: 1,
        })
    }

    /// Submits a command, and waits for its completion.
    fn submit(&mut self, registers: &Registers, command: &Command) -> Result<()> {
        for (index, word) in command.0.iter().enumerate() {
            let offset = usize::from(self.tail) * 64 + index * 4;
            self.submissions
                .store(offset, word.to_le())
                .context("a queue that is too short")?;
        }

        self.tail = (self.tail + 1) % ENTRIES;
        registers.ring(self.id, 0, self.tail)?;
        let status = self.wait_for_completion(registers.timeout)?;
        self.head = (self.head + 1) % ENTRIES;
        self.phase ^= u16::from(self.head == 0);
        registers.ring(self.id, 1, self.head)?;
        match status {
            0 => Ok(()),
            _ => bail!(
                "the controller refused command {:#x} with status {status:#x}",
                command.0[0]
            ),
        }
    }

    /// Waits for the next completion and returns its status, 0 for success.
    fn wait_for_completion(&self, timeout: Duration) -> Result<u16> {
        let deadline = Instant::now() + timeout;
        let offset = usize::from(self.head) * 16 + 14;
        loop {
            let word = u16::from_le(
                self.completions
                    .load(offset)
                    .context("a queue that is too short")?,
            );
            if word & 1 == self.phase {
                return Ok(word >> 1);
            }
            ensure!(
                Instant::now() < deadline,
                "the controller did not answer within {timeout:?}"
            );
            sleep(Duration::from_micros(50));
        }
    }
}
