//! The choice of the firmware: by the host's descriptors, then by the guest's record.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use passthru_lab::{Finished, host, run};

use super::support::{Domain, Running};

#[test]
fn chosen_uefi_firmware_boots_and_is_recorded() {
    let _ = host();
    // The kernel is not signed, so secure boot would refuse it.
    let wish = "<firmware><feature enabled='no' name='secure-boot'/></firmware><kernel>";
    let script = "test -d /sys/firmware/efi && echo started by UEFI; sleep 300";
    let xml = Domain::new("uefi-chosen")
        .script(script)
        .xml()
        .replace("<os>", "<os firmware='efi'>")
        .replace("<kernel>", wish);
    let path = Path::new("/tmp/uefi-chosen.xml");
    fs::write(path, &xml).unwrap();
    let mut running = Running::start(&["--stop-timeout", "1"], path, "uefi-chosen");
    running.wait_for("started by UEFI");
    running.signal(running.manager(), "-TERM");

    assert_eq!(running.wait(), Some(0));

    let vars = "/var/lib/passthru/nvram/uefi-chosen_VARS.fd";
    assert_eq!(fs::metadata(vars).unwrap().mode() & 0o777, 0o600);

    let record = fs::read_to_string("/var/lib/passthru/guests/uefi-chosen.json").unwrap();
    for part in ["/usr/share/OVMF/OVMF_CODE_4M.fd", "60-edk2-x86_64.json"] {
        assert!(record.contains(part), "{part}: {record}");
    }

    let winner = Winner::new();
    recorded_firmware_is_kept(path, &xml);
    lost_firmware_is_refused_until_its_variables_are_gone(path, Path::new(vars));
    variables_without_a_record_are_noted(path, Path::new(vars));
    drop(winner);
}

/// A descriptor before all others, with its files.
struct Winner {
    descriptor: PathBuf,
}

impl Winner {
    const CODE: &str = "/tmp/uefi-own/code.fd";

    fn new() -> Self {
        let files = Path::new("/tmp/uefi-own");
        fs::create_dir_all(files).unwrap();
        for (from, to) in [("CODE", "code.fd"), ("VARS", "vars.fd")] {
            let from = format!("/usr/share/OVMF/OVMF_{from}_4M.fd");
            fs::copy(from, files.join(to)).unwrap();
        }

        let text = fs::read_to_string("/usr/share/qemu/firmware/60-edk2-x86_64.json").unwrap();
        let text = text
            .replace("/usr/share/OVMF/OVMF_CODE_4M.fd", Self::CODE)
            .replace("/usr/share/OVMF/OVMF_VARS_4M.fd", "/tmp/uefi-own/vars.fd");
        let folder = Path::new("/etc/qemu/firmware");
        fs::create_dir_all(folder).unwrap();
        let descriptor = folder.join("10-own.json");
        fs::write(&descriptor, text).unwrap();
        Self { descriptor }
    }
}

impl Drop for Winner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.descriptor);
    }
}

/// Checks that a new descriptor is for new guests only.
fn recorded_firmware_is_kept(path: &Path, xml: &str) {
    let mut kept = Command::new("passthru");
    let kept = run(kept.args(["run", "--dry-run"]).arg(path)).expect_success();
    assert!(
        kept.stdout.contains("/usr/share/OVMF/OVMF_CODE_4M.fd")
            && !kept.stdout.contains(Winner::CODE),
        "{kept}"
    );

    let other = Path::new("/tmp/uefi-new.xml");
    fs::write(other, xml.replace("uefi-chosen", "uefi-new")).unwrap();
    let mut new = Command::new("passthru");
    let new = run(new.args(["run", "--dry-run"]).arg(other)).expect_success();
    assert!(new.stdout.contains(Winner::CODE), "{new}");
}

/// Runs `passthru run` where an empty folder hides the package's firmware.
fn run_without_firmware(arguments: &str, path: &Path) -> Finished {
    let line = format!(
        "mount -t tmpfs none /usr/share/OVMF && passthru run {arguments} {}",
        path.display()
    );
    run(Command::new("unshare").args(["--mount", "sh", "-c", &line]))
}

/// Checks starts and dry runs where an empty folder hides the package's firmware.
fn lost_firmware_is_refused_until_its_variables_are_gone(path: &Path, vars: &Path) {
    for arguments in ["", "--dry-run"] {
        let refused = run_without_firmware(arguments, path).expect_failure();
        for part in [
            "there is no /usr/share/OVMF/OVMF_CODE_4M.fd",
            "60-edk2-x86_64.json",
            &format!("remove {}", vars.display()),
        ] {
            assert!(refused.stderr.contains(part), "{part}: {refused}");
        }
    }

    fs::remove_file(vars).unwrap();
    let chosen = run_without_firmware("--dry-run", path).expect_success();
    assert!(chosen.stdout.contains(Winner::CODE), "{chosen}");
    assert!(chosen.stderr.contains("chosen anew"), "{chosen}");
}

/// Checks that variables of an unknown firmware are named.
fn variables_without_a_record_are_noted(path: &Path, vars: &Path) {
    fs::write(vars, "").unwrap();
    let _ = run(Command::new("passthru").args(["forget", "uefi-chosen"])).expect_success();
    let mut noted = Command::new("passthru");
    let noted = run(noted.args(["run", "--dry-run"]).arg(path)).expect_success();
    assert!(
        noted.stderr.contains(&format!("remove {}", vars.display())),
        "{noted}"
    );
}
