//! What becomes of the parts of a domain, since which libvirt they are there, and for which
//! machines.

/// What is to be said of an element that its description does not hold.
pub(crate) struct Effect {
    /// The element: a child of `<domain>`, or `devices/` and a device.
    pub(crate) path: &'static str,
    /// The libvirt that brought it.
    pub(crate) since: &'static str,
    /// Architectures or machines, where it is not for all.
    pub(crate) arch: &'static str,
    /// QEMU's options.
    pub(crate) becomes: &'static str,
}

/// Returns the effect of the element at a path.
pub(crate) fn effect_of(path: &str) -> Effect {
    let effect = EFFECTS.iter().find(|effect| effect.path == path);
    effect.map_or(
        Effect {
            path: "",
            since: "",
            arch: "",
            becomes: "",
        },
        |e| Effect { ..*e },
    )
}

const fn effect(path: &'static str, becomes: &'static str) -> Effect {
    Effect {
        path,
        since: "",
        arch: "",
        becomes,
    }
}

const fn since(path: &'static str, since: &'static str, becomes: &'static str) -> Effect {
    Effect {
        path,
        since,
        arch: "",
        becomes,
    }
}

const fn on(
    path: &'static str,
    arch: &'static str,
    since: &'static str,
    becomes: &'static str,
) -> Effect {
    Effect {
        path,
        since,
        arch,
        becomes,
    }
}

/// In the order of the domain.
pub(crate) const EFFECTS: &[Effect] = &[
    effect("name", "`-name guest=`"),
    effect("uuid", "`-uuid`"),
    since("genid", "4.4.0", "`-device vmgenid`"),
    since("title", "0.9.10", "nothing"),
    since("description", "0.7.2", "nothing"),
    since("metadata", "0.9.10", "nothing; kept to the letter"),
    since("maxMemory", "1.2.14", "`-m slots=,maxmem=`"),
    effect("memory", "`-m size=`"),
    effect("currentMemory", "the balloon's target at the start"),
    effect(
        "memoryBacking",
        "`-object memory-backend-*`, `-overcommit mem-lock=`",
    ),
    effect("blkiotune", "nothing on the command line"),
    effect(
        "memtune",
        "nothing on the command line; a hard limit bounds locked memory",
    ),
    effect("vcpu", "`-smp`"),
    since(
        "vcpus",
        "2.2.0",
        "`-smp`, and `-device *-cpu` for those that are plugged in",
    ),
    since("iothreads", "1.2.8", "`-object iothread`"),
    since("iothreadids", "1.2.15", "`-object iothread`"),
    effect("defaultiothread", "thread pool of QEMU's main loop"),
    effect("cputune", "nothing on the command line"),
    effect(
        "numatune",
        "`host-nodes`, `policy` of `-object memory-backend-*`",
    ),
    effect("resource", "nothing on the command line"),
    effect(
        "iommufd",
        "`-object iommufd`, `iommufd=` and `fd=` of the devices",
    ),
    effect("sysinfo", "`-smbios`, `-fw_cfg`"),
    effect("bootloader", "refused: for Xen"),
    effect(
        "os",
        "`-machine`, `-kernel`, `-initrd`, `-append`, `-boot`, `-bios`, `-blockdev` of the firmware",
    ),
    effect("idmap", "nothing: for containers"),
    effect("features", "`-machine`, `-cpu`"),
    effect("cpu", "`-cpu`, `-smp`, `-numa`"),
    effect("clock", "`-rtc`, `-cpu`, `-global` of timers"),
    effect("on_poweroff", "`-no-shutdown`"),
    effect("on_reboot", "`-no-reboot`"),
    effect(
        "on_crash",
        "what follows a crash that a panic device reports",
    ),
    effect("on_lockfailure", "nothing: there is no lock manager"),
    on(
        "pm",
        "x86",
        "0.10.2",
        "`-global ICH9-LPC.disable_s3=`, `disable_s4=`",
    ),
    effect("perf", "nothing on the command line"),
    effect("seclabel", "nothing on the command line"),
    on(
        "keywrap",
        "s390x",
        "1.2.8",
        "`-machine aes-key-wrap=,dea-key-wrap=`",
    ),
    effect(
        "launchSecurity",
        "`-object sev-guest`, `sev-snp-guest`, `tdx-guest`, `s390-pv-guest`; `-machine confidential-guest-support=`",
    ),
    effect(
        "qemu:commandline",
        "the arguments and environment variables, to the letter",
    ),
    effect("qemu:capabilities", "nothing; noted"),
    effect("qemu:override", "properties of `-device`, by alias"),
    effect("qemu:deprecation", "`-compat`"),
    effect("devices/emulator", "the program"),
    effect(
        "devices/disk",
        "`-blockdev`, `-device virtio-blk-pci`, `scsi-hd`, `ide-hd`, `usb-storage`, `floppy` …",
    ),
    effect(
        "devices/controller",
        "`-device` of bridges, ports, expanders and other controllers; those of the board become nothing",
    ),
    effect(
        "devices/filesystem",
        "`-device vhost-user-fs-pci`, `virtio-9p-pci`",
    ),
    effect(
        "devices/interface",
        "`-netdev`, `-device`; of type `hostdev`: `-device vfio-pci`",
    ),
    since(
        "devices/smartcard",
        "0.8.8",
        "`-device ccid-card-emulated`, `ccid-card-passthru`",
    ),
    effect(
        "devices/serial",
        "`-chardev`, `-device isa-serial` …, `-serial`",
    ),
    on(
        "devices/parallel",
        "x86",
        "",
        "`-chardev`, `-device isa-parallel`",
    ),
    effect(
        "devices/console",
        "`-chardev`, `-device virtconsole`, `sclpconsole`; the first is the first serial port",
    ),
    effect("devices/channel", "`-chardev`, `-device virtserialport`"),
    effect(
        "devices/input",
        "`-device usb-tablet`, `virtio-keyboard-pci` …; PS/2 becomes nothing",
    ),
    effect("devices/tpm", "`-tpmdev`, `-device tpm-crb` …"),
    effect("devices/graphics", "`-vnc`, `-spice`, `-display`"),
    effect("devices/sound", "`-device ich9-intel-hda`, `hda-duplex` …"),
    effect("devices/audio", "`-audiodev`"),
    effect("devices/video", "`-device VGA`, `qxl`, `virtio-vga` …"),
    effect(
        "devices/hostdev",
        "`-device vfio-pci`, `vfio-ccw`, `vfio-ap`, `usb-host`, `scsi-generic`, `vhost-scsi-pci`",
    ),
    since(
        "devices/redirdev",
        "0.9.5",
        "`-chardev`, `-device usb-redir`",
    ),
    since(
        "devices/redirfilter",
        "1.0.2",
        "`filter=` of `-device usb-redir`",
    ),
    effect("devices/hub", "`-device usb-hub`"),
    effect(
        "devices/watchdog",
        "`-device i6300esb` …, `-watchdog-action`",
    ),
    effect("devices/memballoon", "`-device virtio-balloon-pci`"),
    since(
        "devices/rng",
        "1.0.3",
        "`-object rng-*`, `-device virtio-rng-pci`",
    ),
    effect(
        "devices/memory",
        "`-object memory-backend-*`, `-device pc-dimm`, `nvdimm`, `virtio-mem-pci`, `virtio-pmem-pci`; `-M sgx-epc`",
    ),
    effect("devices/panic", "`-device pvpanic` …"),
    effect(
        "devices/shmem",
        "`-object memory-backend-file`, `-device ivshmem-plain`, `ivshmem-doorbell`",
    ),
    effect(
        "devices/crypto",
        "`-object cryptodev-backend-*`, `-device virtio-crypto-pci`",
    ),
    since("devices/vsock", "4.4.0", "`-device vhost-vsock-pci`"),
    on(
        "devices/iommu",
        "x86 (`q35`), aarch64 (`virt`)",
        "2.1.0; `smmuv3` 5.5.0, `pciBus` 11.10.0",
        "`-device intel-iommu`, `amd-iommu`, `virtio-iommu-pci`, `arm-smmuv3`; `-machine iommu=smmuv3`",
    ),
];
