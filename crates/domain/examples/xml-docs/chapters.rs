//! The chapters of the reference, with all elements of a domain.

/// A page of the reference.
pub(crate) struct Chapter {
    /// Name of its file below `docs/domain-xml`, without `.md`.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) elements: &'static [Element],
}

/// Facts about an element that its description does not hold.
pub(crate) struct Element {
    /// Name of a child of `<domain>`, or `devices/` and the name of a device.
    pub(crate) path: &'static str,
    /// QEMU's options for the element.
    pub(crate) becomes: &'static str,
    /// First libvirt version with the element; empty if unknown.
    pub(crate) since: &'static str,
    /// Architectures or machines with the element; empty for all.
    pub(crate) arch: &'static str,
    /// Attributes that libvirt does not have.
    pub(crate) extensions: &'static [Extension],
}

/// An attribute that passthru adds to libvirt's: the path of its element, and its name.
pub(crate) type Extension = (&'static str, &'static str);

impl Element {
    const fn new(path: &'static str, becomes: &'static str) -> Self {
        Self {
            path,
            becomes,
            since: "",
            arch: "",
            extensions: &[],
        }
    }

    const fn since(self, since: &'static str) -> Self {
        Self { since, ..self }
    }

    const fn only_for(self, arch: &'static str) -> Self {
        Self { arch, ..self }
    }

    const fn extended_by(self, extensions: &'static [Extension]) -> Self {
        Self { extensions, ..self }
    }
}

/// All chapters, in the order of the index.
pub(crate) const CHAPTERS: &[Chapter] = &[
    Chapter {
        file: "general",
        title: "Name, machine and boot",
        elements: &[
            Element::new("name", "`-name guest=`"),
            Element::new("uuid", "`-uuid`"),
            Element::new("genid", "`-device vmgenid`").since("4.4.0"),
            Element::new("title", "nothing").since("0.9.10"),
            Element::new("description", "nothing").since("0.7.2"),
            Element::new("metadata", "nothing; kept to the letter").since("0.9.10"),
            Element::new(
                "os",
                "`-machine`, `-kernel`, `-initrd`, `-append`, `-boot`, `-bios`, `-blockdev` and \
                 `-device uefi-vars-x64` of the firmware",
            ),
            Element::new("bootloader", "refused: for Xen"),
            Element::new("sysinfo", "`-smbios`, `-fw_cfg`"),
            Element::new("idmap", "nothing: for containers"),
        ],
    },
    Chapter {
        file: "processors",
        title: "Processors, features and clock",
        elements: &[
            Element::new("vcpu", "`-smp`"),
            Element::new(
                "vcpus",
                "`-smp`, and `-device *-cpu` for those that are plugged in",
            )
            .since("2.2.0"),
            Element::new("cpu", "`-cpu`, `-smp`, `-numa`"),
            Element::new("features", "`-machine`, `-cpu`"),
            Element::new("clock", "`-rtc`, `-cpu`, `-global` of timers"),
            Element::new("perf", "nothing on the command line"),
        ],
    },
    Chapter {
        file: "memory",
        title: "Memory and NUMA",
        elements: &[
            Element::new("maxMemory", "`-m slots=,maxmem=`").since("1.2.14"),
            Element::new("memory", "`-m size=`"),
            Element::new("currentMemory", "the balloon's target at the start"),
            Element::new(
                "memoryBacking",
                "`-object memory-backend-*`, `-overcommit mem-lock=`",
            ),
            Element::new(
                "numatune",
                "`host-nodes`, `policy` of `-object memory-backend-*`",
            ),
            Element::new(
                "devices/memory",
                "`-object memory-backend-*`, `-device pc-dimm`, `nvdimm`, `virtio-mem-pci`, \
                 `virtio-pmem-pci`; `-M sgx-epc`",
            ),
            Element::new("devices/memballoon", "`-device virtio-balloon-pci`"),
        ],
    },
    Chapter {
        file: "tuning",
        title: "Tuning and I/O threads",
        elements: &[
            Element::new("iothreads", "`-object iothread`").since("1.2.8"),
            Element::new("iothreadids", "`-object iothread`").since("1.2.15"),
            Element::new("defaultiothread", "thread pool of QEMU's main loop"),
            Element::new("cputune", "nothing on the command line"),
            Element::new("blkiotune", "nothing on the command line"),
            Element::new(
                "memtune",
                "nothing on the command line; a hard limit bounds locked memory",
            ),
            Element::new("resource", "nothing on the command line"),
        ],
    },
    Chapter {
        file: "events",
        title: "Events and power",
        elements: &[
            Element::new("on_poweroff", "`-no-shutdown`"),
            Element::new("on_reboot", "`-no-reboot`"),
            Element::new(
                "on_crash",
                "what follows a crash that a panic device reports",
            ),
            Element::new("on_lockfailure", "nothing: there is no lock manager"),
            Element::new("pm", "`-global ICH9-LPC.disable_s3=`, `disable_s4=`")
                .since("0.10.2")
                .only_for("x86"),
        ],
    },
    Chapter {
        file: "security",
        title: "Security",
        elements: &[
            Element::new("seclabel", "nothing on the command line"),
            Element::new("keywrap", "`-machine aes-key-wrap=,dea-key-wrap=`")
                .since("1.2.8")
                .only_for("s390x"),
            Element::new(
                "launchSecurity",
                "`-object sev-guest`, `sev-snp-guest`, `tdx-guest`, `s390-pv-guest`; `-machine \
                 confidential-guest-support=`",
            ),
        ],
    },
    Chapter {
        file: "host-devices",
        title: "Host devices, iommufd and IOMMUs",
        elements: &[
            Element::new(
                "iommufd",
                "`-object iommufd`, `iommufd=` and `fd=` of the devices",
            ),
            Element::new(
                "devices/hostdev",
                "`-device vfio-pci`, `vfio-ccw`, `vfio-ap`, `usb-host`, `scsi-generic`, \
                 `vhost-scsi-pci`",
            ),
            Element::new(
                "devices/iommu",
                "`-device intel-iommu`, `amd-iommu`, `virtio-iommu-pci`, `arm-smmuv3`; \
                 `-machine iommu=smmuv3`",
            )
            .since("2.1.0; `smmuv3` 5.5.0, `pciBus` 11.10.0")
            .only_for("x86 (`q35`), aarch64 (`virt`)"),
        ],
    },
    Chapter {
        file: "disks",
        title: "Disks and folders",
        elements: &[
            Element::new(
                "devices/disk",
                "`-blockdev`, `-device virtio-blk-pci`, `scsi-hd`, `ide-hd`, `usb-storage`, \
                 `floppy` …",
            ),
            Element::new(
                "devices/filesystem",
                "`-device vhost-user-fs-pci`, `virtio-9p-pci`",
            ),
        ],
    },
    Chapter {
        file: "network",
        title: "Network",
        elements: &[
            Element::new(
                "devices/interface",
                "`-netdev`, `-device`; of type `hostdev`: `-device vfio-pci`",
            ),
            Element::new("devices/vsock", "`-device vhost-vsock-pci`").since("4.4.0"),
        ],
    },
    Chapter {
        file: "controllers",
        title: "Controllers and hubs",
        elements: &[
            Element::new(
                "devices/controller",
                "`-device` of bridges, ports, expanders and other controllers; those of the \
                 board become nothing",
            )
            .extended_by(&[("controller/target", "pref64Reserve")]),
            Element::new("devices/hub", "`-device usb-hub`"),
        ],
    },
    Chapter {
        file: "characters",
        title: "Consoles, channels and redirected devices",
        elements: &[
            Element::new(
                "devices/serial",
                "`-chardev`, `-device isa-serial` …, `-serial`",
            ),
            Element::new("devices/parallel", "`-chardev`, `-device isa-parallel`").only_for("x86"),
            Element::new(
                "devices/console",
                "`-chardev`, `-device virtconsole`, `sclpconsole`; the first is the first \
                 serial port",
            ),
            Element::new("devices/channel", "`-chardev`, `-device virtserialport`"),
            Element::new(
                "devices/smartcard",
                "`-device ccid-card-emulated`, `ccid-card-passthru`",
            )
            .since("0.8.8"),
            Element::new("devices/redirdev", "`-chardev`, `-device usb-redir`").since("0.9.5"),
            Element::new("devices/redirfilter", "`filter=` of `-device usb-redir`").since("1.0.2"),
        ],
    },
    Chapter {
        file: "display",
        title: "Display, input and sound",
        elements: &[
            Element::new("devices/graphics", "`-vnc`, `-spice`, `-display`"),
            Element::new("devices/video", "`-device VGA`, `qxl`, `virtio-vga` …"),
            Element::new(
                "devices/input",
                "`-device usb-tablet`, `virtio-keyboard-pci` …; PS/2 becomes nothing",
            ),
            Element::new("devices/sound", "`-device ich9-intel-hda`, `hda-duplex` …"),
            Element::new("devices/audio", "`-audiodev`"),
        ],
    },
    Chapter {
        file: "smaller-devices",
        title: "Smaller devices",
        elements: &[
            Element::new("devices/tpm", "`-tpmdev`, `-device tpm-crb` …"),
            Element::new("devices/rng", "`-object rng-*`, `-device virtio-rng-pci`").since("1.0.3"),
            Element::new(
                "devices/watchdog",
                "`-device i6300esb` …, `-watchdog-action`",
            ),
            Element::new("devices/panic", "`-device pvpanic` …"),
            Element::new(
                "devices/shmem",
                "`-object memory-backend-file`, `-device ivshmem-plain`, `ivshmem-doorbell`",
            ),
            Element::new(
                "devices/crypto",
                "`-object cryptodev-backend-*`, `-device virtio-crypto-pci`",
            ),
        ],
    },
    Chapter {
        file: "emulator",
        title: "The emulator and what only QEMU knows",
        elements: &[
            Element::new("devices/emulator", "the program"),
            Element::new(
                "qemu:commandline",
                "the arguments and environment variables, to the letter",
            ),
            Element::new("qemu:capabilities", "nothing; noted"),
            Element::new("qemu:override", "properties of `-device`, by alias"),
            Element::new("qemu:deprecation", "`-compat`"),
        ],
    },
];
