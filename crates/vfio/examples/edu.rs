//! Drives QEMU's `edu` test device from user space: registers, an interrupt, and DMA both ways,
//! each checked.
//!
//! The device must be on `vfio-pci`. Memory goes to the device and back, by iommufd or type1.
#![allow(clippy::print_stdout, reason = "an example for people")]

use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use passthru_pci::Address;
use passthru_vfio::container::{self, Access, AttachOptions, Member, Options, Policy};
use passthru_vfio::device::{Event, Irq, Mmap, Region, Source};
use passthru_vfio::dma::{DmaPool, IovaAllocator};

/// Address of the device's own memory, as the device sees it.
const DEVICE_MEMORY: u64 = 0x4_0000;
/// Size of the device's own memory in bytes.
const DEVICE_MEMORY_SIZE: usize = 4096;
/// Address bits of the device's DMA, unless its `dma_mask` allows more.
const ADDRESS_BITS: u32 = 28;

mod register {
    pub(super) const IDENTIFICATION: u64 = 0x00;
    pub(super) const LIVENESS: u64 = 0x04;
    pub(super) const FACTORIAL: u64 = 0x08;
    pub(super) const STATUS: u64 = 0x20;
    pub(super) const INTERRUPT_STATUS: u64 = 0x24;
    pub(super) const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    pub(super) const DMA_SOURCE: u64 = 0x80;
    pub(super) const DMA_DESTINATION: u64 = 0x88;
    pub(super) const DMA_COUNT: u64 = 0x90;
    pub(super) const DMA_COMMAND: u64 = 0x98;
}

/// Bit of the status register.
const INTERRUPT_WHEN_DONE: u32 = 0x80;
/// Bits of the DMA command: start, from the device to memory.
const START: u64 = 1;
const TO_MEMORY: u64 = 2;
/// Longest wait for the device.
const PATIENCE: Duration = Duration::from_secs(10);
/// Offset of the PCI command register.
const COMMAND: u64 = 0x04;
/// Memory space and bus master, in the PCI command register.
const MEMORY_AND_BUS_MASTER: u16 = 0x6;

#[derive(Parser)]
#[command(about = "Drives QEMU's edu device from user space")]
struct Arguments {
    /// PCI address, as 0000:00:10.0
    device: Address,
    /// auto, iommufd or type1
    #[arg(long, default_value = "auto")]
    backend: Policy,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let source = Source::Pci(arguments.device);
    let options = Options {
        policy: arguments.backend,
        ..Options::default()
    };
    let choice = container::open(&options, &[source.locate()?])?;
    println!("{choice}");
    let member = choice
        .container
        .attach(source.into(), AttachOptions::default())?;
    let edu = Edu::new(member)?;
    edu.check_registers()?;
    edu.check_interrupt()?;
    let ranges = choice.container.iova_ranges()?;
    let iovas = IovaAllocator::with_width(&ranges, 4096, ADDRESS_BITS);
    edu.check_dma(&DmaPool::new(choice.container, iovas))
}

/// The device with its registers. Buffers are unmapped before it is detached, so a late write of
/// the device fails in the IOMMU.
struct Edu {
    registers: Mmap,
    interrupt: Event,
    _msi: Irq,
    _member: Member,
}

impl Edu {
    fn new(member: Member) -> Result<Self> {
        let device = member.device();
        let config = device.region(Region::CONFIG)?;
        let command: u16 = config.read(COMMAND)?;
        config.write(COMMAND, command | MEMORY_AND_BUS_MASTER)?;
        let bar = device.region(Region::BAR0)?;
        let area = bar
            .areas()
            .first()
            .context("the registers cannot be mapped")?
            .clone();
        let registers = bar.mmap(area)?;
        let identification: u32 = registers.read(register::IDENTIFICATION)?;
        ensure!(
            identification & 0xffff == 0xed,
            "this is not an edu device: its identification is {identification:#x}"
        );
        println!(
            "edu {}.{}",
            identification >> 24,
            identification >> 16 & 0xff
        );
        let msi = device.irq(Irq::MSI)?;
        let interrupt = Event::new()?;
        msi.set_triggers(0, &[Some(interrupt.as_fd())])?;
        Ok(Self {
            registers,
            interrupt,
            _msi: msi,
            _member: member,
        })
    }

    /// Checks that the device returns the complement of a number.
    fn check_registers(&self) -> Result<()> {
        self.registers.write(register::LIVENESS, 0x1234_5678_u32)?;
        let answer: u32 = self.registers.read(register::LIVENESS)?;
        ensure!(answer == !0x1234_5678, "the device answered {answer:#x}");
        println!("registers: written and read");
        Ok(())
    }

    /// Checks that the device interrupts when it has computed a factorial.
    fn check_interrupt(&self) -> Result<()> {
        self.registers
            .write(register::STATUS, INTERRUPT_WHEN_DONE)?;
        self.registers.write(register::FACTORIAL, 10_u32)?;
        ensure!(
            self.interrupt.wait(PATIENCE)? == 1,
            "no interrupt within {PATIENCE:?}"
        );
        let reason: u32 = self.registers.read(register::INTERRUPT_STATUS)?;
        self.registers
            .write(register::INTERRUPT_ACKNOWLEDGE, reason)?;
        let answer: u32 = self.registers.read(register::FACTORIAL)?;
        ensure!(
            (reason, answer) == (1, 3_628_800),
            "reason {reason}, 10! = {answer}"
        );
        println!("interrupt: 10! = {answer}, by MSI");
        Ok(())
    }

    /// Checks that bytes come back from the device as they were sent.
    fn check_dma(&self, pool: &Arc<DmaPool>) -> Result<()> {
        let mut out = pool.buffer(DEVICE_MEMORY_SIZE, Access::Read)?;
        let back = pool.buffer(DEVICE_MEMORY_SIZE, Access::Write)?;
        let sent: Vec<u8> = (0..DEVICE_MEMORY_SIZE)
            .map(|i| (i * 7 + i / 256) as u8)
            .collect();
        out.write(0, &sent);
        self.dma(out.iova(), DEVICE_MEMORY, START)?;
        self.dma(DEVICE_MEMORY, back.iova(), START | TO_MEMORY)?;
        let mut received = vec![0; sent.len()];
        back.read(0, &mut received);
        ensure!(received == sent, "other bytes came back");
        println!(
            "DMA: {} bytes from IOVA {:#x} through the device to {:#x}",
            sent.len(),
            out.iova(),
            back.iova()
        );
        out.close()?;
        Ok(back.close()?)
    }

    fn dma(&self, source: u64, destination: u64, command: u64) -> Result<()> {
        self.registers.write(register::DMA_SOURCE, source)?;
        self.registers
            .write(register::DMA_DESTINATION, destination)?;
        self.registers
            .write(register::DMA_COUNT, DEVICE_MEMORY_SIZE as u64)?;
        self.registers.write(register::DMA_COMMAND, command)?;
        let deadline = Instant::now() + PATIENCE;
        while self.registers.read::<u64>(register::DMA_COMMAND)? & START != 0 {
            ensure!(
                Instant::now() < deadline,
                "DMA is not done within {PATIENCE:?}"
            );
            sleep(Duration::from_millis(1));
        }

        Ok(())
    }
}
