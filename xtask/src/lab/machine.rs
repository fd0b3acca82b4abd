//! The outer QEMU's command line, with devices at the addresses of `passthru_lab::devices`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use passthru_lab::{PARAMETER, devices};

use super::arch::Arch;
use super::disks::Disks;
use super::rootfs::Rootfs;
use super::tsc;

/// Accelerator of the virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Accel {
    /// Emulated in software: works everywhere
    Tcg,
    /// Emulated by a single thread for all CPUs
    TcgSingle,
    /// Under the machine's own KVM, which must be able to nest
    Kvm,
}

/// A channel of a job, as inherited by QEMU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    /// Name of the virtio-serial port, by which init finds the channel.
    pub(super) name: &'static str,
    pub(super) fd: i32,
}

/// A virtual host to boot.
pub(super) struct Machine<'a> {
    pub(super) arch: Arch,
    pub(super) accel: Accel,
    pub(super) memory_mib: u32,
    /// More words for the kernel's command line.
    pub(super) append: &'a str,
    pub(super) kernel: &'a Path,
    pub(super) initrd: &'a Path,
    pub(super) rootfs: &'a Rootfs,
    pub(super) disks: &'a Disks,
    /// Read-only 9p shares: tag and folder.
    pub(super) shares: &'a [(&'a str, &'a Path)],
    pub(super) channels: &'a [Channel],
    /// Whether the job has the terminal.
    pub(super) interactive: bool,
    pub(super) log: &'a Path,
}

impl Machine<'_> {
    /// Returns the command that runs the machine.
    pub(super) fn command(&self) -> Result<Command> {
        let mut line = Line {
            command: self.rootfs.qemu(),
        };
        line.flags(&[
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]);
        self.board(&mut line);
        self.boot(&mut line)?;
        self.plumbing(&mut line)?;
        self.devices(&mut line)?;
        Ok(line.command)
    }

    fn board(&self, line: &mut Line) {
        let Arch::X86_64 = self.arch;
        const EMULATED: &str = "EPYC-Rome,+svm,+npt";
        let (accel, cpu) = match self.accel {
            Accel::Tcg => ("tcg,thread=multi", EMULATED),
            Accel::TcgSingle => ("tcg,thread=single", EMULATED),
            Accel::Kvm => ("kvm", "host"),
        };
        line.flags(&[
            "-M",
            "q35,kernel-irqchip=split",
            "-accel",
            accel,
            "-cpu",
            cpu,
            "-smp",
            "2",
        ]);
        line.flags(&["-m", &self.memory_mib.to_string()]);
        line.device("intel-iommu,intremap=on,device-iotlb=on");
    }

    fn boot(&self, line: &mut Line) -> Result<()> {
        let tsc = match tsc::khz() {
            Some(khz) if self.accel != Accel::Kvm => format!("tsc_early_khz={khz} "),
            _ => String::new(),
        };
        // Periodic ticks: while a guest runs, the emulation sometimes loses the interrupt of a
        // one-shot timer (once in some hundred guests). The whole machine would then wait forever.
        let ticks = "nohz=off highres=off";
        let fixed = "console=ttyS0 panic=-1 intel_iommu=on scsi_debug.add_host=0";
        let more = self.append;
        line.option(
            "-append",
            &format!("{fixed} {ticks} {tsc}{PARAMETER} {more}"),
        );
        line.command
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initrd);
        line.option("-serial", &format!("file:{}", value(self.log)?));
        Ok(())
    }

    /// Adds the lab's own devices: shares, channels, randomness.
    fn plumbing(&self, line: &mut Line) -> Result<()> {
        for (tag, path) in self.shares {
            let options = "security_model=none,readonly=on,multidevs=remap";
            line.option(
                "-fsdev",
                &format!("local,id={tag},path={},{options}", value(path)?),
            );
            line.device(&format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
        }

        line.device("virtio-rng-pci");
        line.device("virtio-serial-pci");
        for Channel { name, fd } in self.channels {
            line.option("-chardev", &format!("socket,id={name},fd={fd}"));
            line.device(&format!("virtserialport,chardev={name},name={name}"));
        }

        if self.interactive {
            line.option("-chardev", "stdio,id=terminal,signal=off");
            line.device("virtconsole,chardev=terminal");
        }

        Ok(())
    }

    fn devices(&self, line: &mut Line) -> Result<()> {
        let Disks {
            assigned,
            data,
            cmb,
            multipath,
        } = self.disks;
        let drives = [
            ("assigned", assigned),
            ("data", data),
            ("cmb", cmb),
            ("multipath", multipath),
        ];
        for (id, file) in drives {
            let drive = format!(
                "file={},format=raw,if=none,snapshot=on,id={id}",
                value(file)?
            );
            line.option("-drive", &drive);
        }

        line.option("-netdev", "user,id=uplink,restrict=on");
        line.option("-netdev", &peer_network());
        let dma_mask = (1_u64 << devices::EDU_DMA_BITS) - 1;
        line.device(&format!(
            "edu,bus=pcie.0,addr={},dma_mask={dma_mask:#x}",
            slot(devices::EDU)
        ));
        line.behind_port(
            devices::NVME,
            &format!("nvme,drive=assigned,serial={}", devices::NVME_SERIAL),
        );
        line.behind_port(devices::IGB, "igb,netdev=peer");
        line.behind_port(devices::DATA_NVME, "nvme,drive=data,serial=data");
        line.behind_port(devices::UPLINK, "e1000e,netdev=uplink");
        line.behind_port(devices::SHARED_BRIDGE, "pcie-pci-bridge,id=shared");
        line.device(&format!(
            "edu,bus=shared,addr={}",
            slot(devices::SHARED_FREE)
        ));
        line.device(&format!(
            "e1000,bus=shared,addr={}",
            slot(devices::SHARED_COMPANION)
        ));
        line.behind_port(devices::CMB_NVME, "nvme,drive=cmb,serial=cmb,cmb_size_mb=1");
        let [first, second] = devices::TWO_PORT_NIC;
        line.behind_port(
            first,
            "igb,addr=0x0,multifunction=on,x-pcie-ari-nextfn-1=on",
        );
        line.device(&format!("igb,bus=port{},addr=0x0.0x1", bus(second)));
        line.device("nvme-subsys,id=paths");
        for (address, id) in devices::MULTIPATH_NVME.into_iter().zip(["path0", "path1"]) {
            line.behind_port(address, &format!("nvme,id={id},serial=paths,subsys=paths"));
        }
        line.device("nvme-ns,drive=multipath,bus=path0,nsid=1,shared=on");
        line.without_iommu(devices::NO_IOMMU, "edu");
        Ok(())
    }
}

/// Returns a network that leads only to a TCP service that echoes.
fn peer_network() -> String {
    let service = format!(
        "guestfwd=tcp:{}:{}-cmd:cat",
        devices::PEER,
        devices::PEER_PORT
    );
    format!("user,id=peer,restrict=on,net=10.0.3.0/24,{service}")
}

/// A command line in the making.
struct Line {
    command: Command,
}

impl Line {
    fn flags(&mut self, flags: &[&str]) {
        self.command.args(flags);
    }

    fn option(&mut self, name: &str, value: &str) {
        self.command.args([name, value]);
    }

    fn device(&mut self, device: &str) {
        self.option("-device", device);
    }

    /// Adds a device behind a root port of a second host bridge, which bypasses the IOMMU.
    fn without_iommu(&mut self, address: &str, device: &str) {
        let root = bus(address) - 1;
        let port = bus(address);
        self.device(&format!(
            "pxb-pcie,id=root{root},bus=pcie.0,addr=0x1d,bus_nr={root},bypass_iommu=on"
        ));
        self.device(&format!(
            "pcie-root-port,id=port{port},bus=root{root},chassis={port},x-speed={SPEED}"
        ));
        self.device(&format!("{device},bus=port{port}"));
    }

    /// Adds a device behind a root port of its own.
    ///
    /// The firmware numbers the ports' buses by slot, so the slot of the port of bus n grows with
    /// n.
    fn behind_port(&mut self, address: &str, device: &str) {
        let bus = bus(address);
        let slot = FIRST_PORT_SLOT + bus;
        self.device(&format!(
            "pcie-root-port,id=port{bus},bus=pcie.0,addr={slot:#x},chassis={bus},slot={bus},x-speed={SPEED}"
        ));
        self.device(&format!("{device},bus=port{bus}"));
    }
}

/// Speed of the ports' links, in GT/s.
///
/// After a bus reset, the kernel waits for the link of a faster port to report that it is up.
/// QEMU's link never does, and the reset would count as failed.
const SPEED: u8 = 5;

/// Base slot of the root ports, above the virtual host's own devices.
const FIRST_PORT_SLOT: u8 = 0x10;

fn bus(address: &str) -> u8 {
    part(address, 1)
}

fn slot(address: &str) -> String {
    format!("{:#x}", part(address, 2))
}

/// Returns the number n of an address DOMAIN:BUS:SLOT.FUNCTION.
fn part(address: &str, n: usize) -> u8 {
    let part = address.split([':', '.']).nth(n);
    part.and_then(|part| u8::from_str_radix(part, 16).ok())
        .unwrap_or_default()
}

/// Returns a path as a value among QEMU's options, where commas are doubled.
fn value(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{}: not UTF-8, which QEMU needs", path.display()))?;
    Ok(text.replace(',', ",,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_gives_the_port_of_its_bus() {
        let mut line = Line {
            command: Command::new("qemu"),
        };
        line.behind_port("0000:03:00.0", "nvme");
        let words: Vec<_> = line
            .command
            .get_args()
            .filter_map(|word| word.to_str())
            .collect();
        assert_eq!(
            words[1],
            "pcie-root-port,id=port3,bus=pcie.0,addr=0x13,chassis=3,slot=3,x-speed=5"
        );
        assert_eq!(words[3], "nvme,bus=port3");
        assert_eq!(slot("0000:06:1f.0"), "0x1f");
    }

    #[test]
    fn comma_in_a_path_is_doubled() {
        assert_eq!(value(Path::new("/a,b")).unwrap(), "/a,,b");
    }
}
