//! The chapters of the reference: which elements stand on which page.

/// A page of the reference.
pub(crate) struct Chapter {
    /// Name of its file below `docs/domain-xml`, without `.md`.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// Children of `<domain>`, or `devices/` and a device.
    pub(crate) elements: &'static [&'static str],
}

const fn chapter(
    file: &'static str,
    title: &'static str,
    elements: &'static [&'static str],
) -> Chapter {
    Chapter {
        file,
        title,
        elements,
    }
}

/// All chapters, in the order of the index.
pub(crate) const CHAPTERS: &[Chapter] = &[
    chapter(
        "general",
        "Name, machine and boot",
        &[
            "name",
            "uuid",
            "genid",
            "title",
            "description",
            "metadata",
            "os",
            "bootloader",
            "sysinfo",
            "idmap",
        ],
    ),
    chapter(
        "processors",
        "Processors, features and clock",
        &["vcpu", "vcpus", "cpu", "features", "clock", "perf"],
    ),
    chapter(
        "memory",
        "Memory and NUMA",
        &[
            "maxMemory",
            "memory",
            "currentMemory",
            "memoryBacking",
            "numatune",
            "devices/memory",
            "devices/memballoon",
        ],
    ),
    chapter(
        "tuning",
        "Tuning and I/O threads",
        &[
            "iothreads",
            "iothreadids",
            "defaultiothread",
            "cputune",
            "blkiotune",
            "memtune",
            "resource",
        ],
    ),
    chapter(
        "events",
        "Events and power",
        &[
            "on_poweroff",
            "on_reboot",
            "on_crash",
            "on_lockfailure",
            "pm",
        ],
    ),
    chapter(
        "security",
        "Security",
        &["seclabel", "keywrap", "launchSecurity"],
    ),
    chapter(
        "host-devices",
        "Host devices, iommufd and IOMMUs",
        &["iommufd", "devices/hostdev", "devices/iommu"],
    ),
    chapter(
        "disks",
        "Disks and folders",
        &["devices/disk", "devices/filesystem"],
    ),
    chapter(
        "network",
        "Network",
        &["devices/interface", "devices/vsock"],
    ),
    chapter(
        "controllers",
        "Controllers and hubs",
        &["devices/controller", "devices/hub"],
    ),
    chapter(
        "characters",
        "Consoles, channels and redirected devices",
        &[
            "devices/serial",
            "devices/parallel",
            "devices/console",
            "devices/channel",
            "devices/smartcard",
            "devices/redirdev",
            "devices/redirfilter",
        ],
    ),
    chapter(
        "display",
        "Display, input and sound",
        &[
            "devices/graphics",
            "devices/video",
            "devices/input",
            "devices/sound",
            "devices/audio",
        ],
    ),
    chapter(
        "smaller-devices",
        "Smaller devices",
        &[
            "devices/tpm",
            "devices/rng",
            "devices/watchdog",
            "devices/panic",
            "devices/shmem",
            "devices/crypto",
        ],
    ),
    chapter(
        "emulator",
        "The emulator and what only QEMU knows",
        &[
            "devices/emulator",
            "qemu:commandline",
            "qemu:capabilities",
            "qemu:override",
            "qemu:deprecation",
        ],
    ),
];
