//! The architectures of a virtual host: all that differs between them, apart from the machine's
//! command line.

/// An architecture that a virtual host can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
}

impl Arch {
    /// Reads `--arch`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            "arm64" => {
                Err("comes later: lab/kernel/arm64.config, a cross-built kernel, an arm64 root file system \
                            and the machine `virt` with an SMMUv3 are still missing"
                    .into())
            }
            _ => Err("known: x86_64".into()),
        }
    }

    /// The kernel's name of it, as in the name of its configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
        }
    }

    /// Debian's name of it.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
        }
    }

    /// The folder of its libraries.
    pub(super) fn triplet(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
        }
    }

    /// The dynamic loader of its programs, in a root file system.
    pub(super) fn loader(self) -> &'static str {
        match self {
            Self::X86_64 => "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        }
    }

    /// Debian's package with QEMU for it.
    pub(super) fn qemu_package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
        }
    }

    /// QEMU for it, in a root file system.
    pub(super) fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "usr/bin/qemu-system-x86_64",
        }
    }

    /// Firmware packages for it.
    pub(super) fn firmware_packages(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["ovmf", "seabios"],
        }
    }

    /// The kernel's bootable image: make target and path in the build tree.
    pub(super) fn kernel_image(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("bzImage", "arch/x86/boot/bzImage"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arm64_is_refused_with_what_is_missing() {
        assert!(Arch::parse("arm64").unwrap_err().contains("arm64.config"));
        assert_eq!(Arch::parse("x86_64"), Ok(Arch::X86_64));
    }
}
