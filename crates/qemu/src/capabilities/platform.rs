//! What completing and validating a domain must know of the emulator.

use super::{Capabilities, boards};
use passthru_domain::{Arch, Error, Machine, Platform};

impl Platform for Capabilities {
    fn arch(&self) -> Arch {
        self.arch
    }

    fn emulator(&self, arch: Arch) -> String {
        let usual = || format!("/usr/bin/qemu-system-{}", boards::target_of_arch(arch));
        self.binary()
            .filter(|_| arch == self.arch)
            .map_or_else(usual, |path| path.display().to_string())
    }

    fn machine(&self, arch: Arch, name: Option<&str>) -> Result<Machine, Error> {
        let name = name.unwrap_or(boards::default_machine(arch));
        match &self.probed {
            Some(probed) if !self.runs(arch) => {
                let target = &probed.target;
                let binary = probed.binary.display();
                let message = format!(
                    "{binary} is for {target} and cannot run guests of architecture {arch}"
                );
                let hint = format!("name an emulator for {arch} in <emulator>");
                Err(Error::new(message).hint(hint))
            }
            Some(probed) if !probed.machines.contains(name) => {
                let message = format!("QEMU {} has no machine type '{name}'", probed.version);
                Err(Error::new(message).hint(self.machines_like(arch, name)))
            }
            None if !boards::is_known(arch, name) => {
                let message = format!("there is no machine type '{name}' for architecture {arch}");
                Err(Error::new(message).hint(self.machines_like(arch, name)))
            }
            _ => Ok(boards::machine(arch, name)),
        }
    }
}

impl Capabilities {
    /// A 64-bit x86 emulator also runs 32-bit guests.
    fn runs(&self, arch: Arch) -> bool {
        arch == self.arch || (arch == Arch::I686 && self.arch == Arch::X86_64)
    }

    /// The machine types that may have been meant: the versions of the same board, or all families.
    fn machines_like(&self, arch: Arch, name: &str) -> String {
        let board = boards::board(arch, name);
        let machines = self
            .probed
            .iter()
            .flat_map(|probed| &probed.machines)
            .map(String::as_str);
        let like: Vec<_> = machines
            .filter(|known| boards::is_known(arch, known) && boards::board(arch, known) == board)
            .collect();
        let like = if like.is_empty() {
            boards::families(arch).to_vec()
        } else {
            like
        };
        format!("known are {}", like.join(", "))
    }
}
