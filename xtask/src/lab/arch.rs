//! [`Arch`]: properties of the virtual host's architecture.

/// An architecture of the virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
}

impl Arch {
    /// Parses the argument of `--arch`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            "arm64" => Err(
                "comes later: lab/kernel/arm64.config, a cross-built kernel, an arm64 root \
                    file system \
                            and the machine `virt` with an SMMUv3 are still missing"
                    .into(),
            ),
            _ => Err("known: x86_64".into()),
        }
    }

    /// Returns the kernel's name, as in the name of the kernel configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
        }
    }

    /// Returns Debian's name.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
        }
    }

    /// Returns the name of the library folder.
    pub(super) fn triplet(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
        }
    }

    /// Returns the path of the dynamic loader in a root file system.
    pub(super) fn loader(self) -> &'static str {
        match self {
            Self::X86_64 => "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        }
    }

    /// Returns the Debian package of the emulator.
    pub(super) fn qemu_package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
        }
    }

    /// Returns the path of the emulator in a root file system.
    pub(super) fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "usr/bin/qemu-system-x86_64",
        }
    }

    /// Returns the Debian packages of the firmware.
    pub(super) fn firmware_packages(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["ovmf", "seabios"],
        }
    }

    /// Returns the make target of the bootable kernel, and its path in the build tree.
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
