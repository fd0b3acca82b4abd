//! The domain of a running guest, as its folder keeps it for the successor of a manager.

use std::io;
use std::path::{Path, PathBuf};

use passthru_domain::Domain;
use passthru_host::{read_own_within, replace};

use super::guest_folder::folder_path;

/// Largest size of the file, in bytes. A document has 16 MiB at most, and grows as it is completed.
const MAX_BYTES: u64 = 64 << 20;

/// Returns the path of the domain's file in a guest's folder.
pub(crate) fn domain_path(folder: &Path) -> PathBuf {
    folder.join("live.xml")
}

/// Writes the complete domain of a guest into the guest's folder, in place of the former one. The
/// passwords of its screens are left out.
///
/// # Errors
/// The error of a system call. The former domain stays then.
pub(crate) fn write_domain(folder: &Path, domain: &Domain) -> io::Result<()> {
    let mut domain = domain.clone();
    domain.devices.remove_display_passwords();
    replace(&domain_path(folder), domain.format_running().as_bytes())
}

/// Reads the domain from a guest's folder.
///
/// # Errors
/// - If the file cannot be read, or others can change it, then the error of that.
/// - If the file is not a domain, then `InvalidData`.
pub(crate) fn read_domain(folder: &Path) -> io::Result<Domain> {
    let bytes = read_own_within(&domain_path(folder), MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(not_a_domain)?;
    Domain::parse_running(&text).map_err(not_a_domain)
}

/// Reads the complete domain of a guest that runs, without the passwords of its screens. `run` is
/// the folder of the folders of all guests.
///
/// # Errors
/// - If the file cannot be read, or others can change it, then the error of that.
/// - If the file is not a domain, then `InvalidData`.
pub fn live_domain(run: &Path, name: &str) -> io::Result<Domain> {
    read_domain(&folder_path(run, name))
}

fn not_a_domain(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::plan::start_plan::StartPlan;
    use crate::start::user::User;

    #[test]
    fn domain_reads_back_without_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let xml = "<domain type='kvm'><name>vm</name><memory unit='MiB'>64</memory>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os>\
             <on_poweroff>preserve</on_poweroff><devices>\
             <graphics type='vnc' passwd='hunter2' passwdValidTo='2030-01-01T00:00:00'/>\
             <serial type='pty'/><controller type='usb' model='qemu-xhci'/>\
             <hostdev mode='subsystem' type='pci' managed='yes'><driver iommufd='yes'/>\
             <source><address domain='0' bus='1' slot='0' function='0'/></source></hostdev>\
             </devices></domain>";
        let plan = StartPlan::for_test(xml, folder.path(), User::choose(None).unwrap());
        write_domain(folder.path(), &plan.domain).unwrap();
        let text = fs::read_to_string(domain_path(folder.path())).unwrap();
        let mut expected = plan.domain;
        expected.devices.remove_display_passwords();

        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("<alias name='hostdev0'/>"), "{text}");
        assert_eq!(text, expected.format_running());

        let read = read_domain(folder.path()).unwrap();
        assert_eq!(read.format_running(), text);
        assert_eq!(read.devices.hostdevs[0].info.id(), "hostdev0");
    }

    #[test]
    fn damaged_domain_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "<domain", "\u{0}"] {
            replace(&domain_path(folder.path()), text.as_bytes()).unwrap();
            let error = read_domain(folder.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }
}
