//! The Debian archive, as this machine reaches it: where it is (from apt's own configuration),
//! which versions it has, and packages from it. Uses the machine's apt with lists and caches of our
//! own, so it needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::arch::Arch;
use super::cache::Cache;
use super::child::{dying_with_us, watched};

/// The Debian release of the root file system.
pub(super) const SUITE: &str = "trixie";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    /// URI of the archive proper.
    pub(super) main: String,
    /// URI of the security archive, when the machine uses one.
    security: Option<String>,
}

impl Mirrors {
    /// Takes the machine's own Debian source, else debootstrap's default.
    pub(super) fn of_machine() -> Result<Self> {
        let format = "$(ORIGIN)|$(RELEASE)|$(REPO_URI)";
        let output = Command::new("apt-get")
            .args(["indextargets", "--format", format, "Created-By: Packages"])
            .output();
        let targets = output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        Self::from_targets(&targets).map_or_else(Self::of_debootstrap, Ok)
    }

    fn from_targets(targets: &str) -> Option<Self> {
        let debian = || {
            targets
                .lines()
                .filter_map(|line| line.strip_prefix("Debian|")?.split_once('|'))
        };
        let is_security = |release: &str| release.ends_with("-security");
        let find = |security| debian().find(|(release, _)| is_security(release) == security);
        let uri = |(_, uri): (&str, &str)| uri.trim_end_matches('/').to_owned();
        Some(Self {
            main: uri(find(false)?),
            security: find(true).map(uri),
        })
    }

    fn of_debootstrap() -> Result<Self> {
        let script =
            fs::read_to_string("/usr/sbin/debootstrap").context("/usr/sbin/debootstrap")?;
        let default = script
            .lines()
            .find_map(|line| line.strip_prefix("DEF_MIRROR="));
        let main = default
            .context("debootstrap names no default mirror")?
            .trim_matches('"')
            .to_owned();
        Ok(Self {
            main,
            security: None,
        })
    }

    /// The lines of a sources.list for the root file system's release, its backports, and security.
    pub(super) fn sources_list(&self) -> String {
        let line =
            |uri: &str, suffix| format!("deb [signed-by={KEYRING}] {uri} {SUITE}{suffix} main\n");
        let security = self
            .security
            .as_deref()
            .map(|uri| line(uri, "-security"))
            .unwrap_or_default();
        line(&self.main, "") + &line(&self.main, "-backports") + &security
    }
}

/// The machine's settings of how apt reaches archives: proxies, certificates, dates, retries.
pub(super) fn access_settings() -> Result<String> {
    let output = Command::new("apt-config")
        .args(["dump", "Acquire"])
        .output()
        .context("apt-config")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_local = |line: &&str| {
        !line.starts_with("Acquire::IndexTargets") && !line.starts_with("Acquire::cdrom")
    };
    Ok(text
        .lines()
        .filter(is_local)
        .map(|line| format!("{line}\n"))
        .collect())
}

/// The archive's index for one architecture, up to date when opened.
pub(super) struct Archive {
    folder: PathBuf,
    arch: Arch,
    log: PathBuf,
}

impl Archive {
    pub(super) fn update(cache: &Cache, arch: Arch) -> Result<Self> {
        let folder = cache.folder(&format!("apt-{}", arch.name()))?;
        for part in ["state/lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(
            folder.join("sources.list"),
            Mirrors::of_machine()?.sources_list(),
        )?;
        let archive = Self {
            folder,
            arch,
            log: cache.folder("logs")?.join("apt.log"),
        };
        watched(
            archive.apt("apt-get").args(["update", "--error-on=any"]),
            &archive.log,
            |_| (),
        )
        .context("the package lists can't be fetched")?;
        Ok(archive)
    }

    /// The newest version of a package, backports included.
    pub(super) fn newest(&self, package: &str) -> Result<Option<String>> {
        let output = self
            .apt("apt-cache")
            .args(["madison", package])
            .output()
            .context("apt-cache")?;
        ensure!(
            output.status.success(),
            "apt-cache madison {package}: {}",
            output.status
        );
        Ok(first_version(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Downloads a package into a folder and gives the file.
    pub(super) fn download(&self, package: &str, version: &str, folder: &Path) -> Result<PathBuf> {
        let mut apt = self.apt("apt-get");
        apt.args(["download", &format!("{package}={version}")])
            .current_dir(folder);
        watched(&mut apt, &self.log, |_| ())?;
        let is_wanted = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
        };
        let mut files = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        files
            .find(is_wanted)
            .with_context(|| format!("{package} is not in {}", folder.display()))
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = dying_with_us(program);
        let file = |name: &str| self.folder.join(name).display().to_string();
        let options = [
            format!("Dir::State={}", file("state")),
            format!("Dir::Cache={}", file("cache")),
            format!("Dir::Etc::sourcelist={}", file("sources.list")),
            format!("Dir::Etc::sourceparts={}", file("parts")),
            "Dir::Etc::preferences=/dev/null".into(),
            format!("Dir::Etc::preferencesparts={}", file("parts")),
            format!("APT::Architecture={}", self.arch.debian()),
            format!("APT::Architectures={}", self.arch.debian()),
            "APT::Sandbox::User=root".into(),
        ];
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command
    }
}

fn first_version(madison: &str) -> Option<String> {
    Some(madison.lines().next()?.split('|').nth(1)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_debian_source_of_the_machine_is_taken() {
        let targets = "Google|sdk|http://packages.example/\nDebian Backports|bookworm-backports|http://b.example/debian/\n\
                       Debian|bookworm-security|http://m.example/debian-security/\nDebian|bookworm|http://m.example/debian/\n";
        let mirrors = Mirrors::from_targets(targets).unwrap();
        assert_eq!(mirrors.main, "http://m.example/debian");
        assert_eq!(
            mirrors.security.as_deref(),
            Some("http://m.example/debian-security")
        );
        assert_eq!(
            Mirrors::from_targets("Ubuntu|noble|http://u.example/ubuntu/\n"),
            None
        );
    }

    #[test]
    fn source_list_has_the_suites_of_the_rootfs() {
        let mirrors = Mirrors {
            main: "http://m.example/debian".into(),
            security: None,
        };
        let list = mirrors.sources_list();
        assert!(
            list.contains("http://m.example/debian trixie main\n"),
            "{list}"
        );
        assert!(
            list.contains("http://m.example/debian trixie-backports main\n"),
            "{list}"
        );
    }

    #[test]
    fn first_version_listed_is_the_newest() {
        let madison = " linux-source-7.2 | 7.2.12-1 | http://m.example trixie-backports/main amd64 Packages\n\
                        linux-source-7.2 | 7.2.9-1 | http://m.example trixie-backports/main amd64 Packages\n";
        assert_eq!(first_version(madison).as_deref(), Some("7.2.12-1"));
        assert_eq!(first_version(""), None);
    }
}
