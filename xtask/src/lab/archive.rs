//! The Debian archive: its address, the versions in it, and downloads.
//!
//! The machine's own apt is used with lists and caches of the lab, so that no root is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::arch::Arch;
use super::cache::Cache;
use super::child::{dying_with_us, watched};

/// Debian release of the root file system.
pub(super) const SUITE: &str = "trixie";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// URIs of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    /// URI of the main archive.
    pub(super) main: String,
    /// URI of the security archive, if the machine uses one.
    security: Option<String>,
}

impl Mirrors {
    /// Returns the Debian source of this machine's apt, or debootstrap's default.
    pub(super) fn for_machine() -> Result<Self> {
        let format = "$(ORIGIN)|$(RELEASE)|$(REPO_URI)";
        let output = Command::new("apt-get")
            .args(["indextargets", "--format", format, "Created-By: Packages"])
            .output();
        let targets = output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        Self::from_targets(&targets).map_or_else(Self::for_debootstrap, Ok)
    }

    /// Finds the Debian source in the output of `apt-get indextargets`.
    fn from_targets(targets: &str) -> Option<Self> {
        let mut main = None;
        let mut security = None;
        for line in targets.lines() {
            let Some((release, uri)) = line
                .strip_prefix("Debian|")
                .and_then(|rest| rest.split_once('|'))
            else {
                continue;
            };
            let uri = uri.trim_end_matches('/').to_owned();
            if release.ends_with("-security") {
                security.get_or_insert(uri);
            } else {
                main.get_or_insert(uri);
            }
        }

        Some(Self {
            main: main?,
            security,
        })
    }

    /// Returns debootstrap's default.
    fn for_debootstrap() -> Result<Self> {
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

    /// Returns a sources.list of the root file system's release, its backports and its security
    /// updates.
    pub(super) fn sources_list(&self) -> String {
        let mut list = source_line(&self.main, "");
        list += &source_line(&self.main, "-backports");
        if let Some(security) = &self.security {
            list += &source_line(security, "-security");
        }
        list
    }
}

fn source_line(uri: &str, suffix: &str) -> String {
    format!("deb [signed-by={KEYRING}] {uri} {SUITE}{suffix} main\n")
}

/// Returns this machine's apt settings for access to archives: proxies, certificates, retries.
pub(super) fn access_settings() -> Result<String> {
    let output = Command::new("apt-config")
        .args(["dump", "Acquire"])
        .output()
        .context("apt-config")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut settings = String::new();
    for line in text.lines() {
        if !line.starts_with("Acquire::IndexTargets") && !line.starts_with("Acquire::cdrom") {
            settings.push_str(line);
            settings.push('\n');
        }
    }

    Ok(settings)
}

/// Package lists of one architecture, updated when opened.
pub(super) struct Archive {
    folder: PathBuf,
    arch: Arch,
    log: PathBuf,
}

impl Archive {
    /// Fetches the package lists.
    pub(super) fn update(cache: &Cache, arch: Arch) -> Result<Self> {
        let folder = cache.folder(&format!("apt-{}", arch.name()))?;
        for part in ["state/lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(
            folder.join("sources.list"),
            Mirrors::for_machine()?.sources_list(),
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

    /// Returns the newest version of a package, backports included.
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

    /// Downloads a package into a folder, and returns its file.
    pub(super) fn download(&self, package: &str, version: &str, folder: &Path) -> Result<PathBuf> {
        let mut apt = self.apt("apt-get");
        apt.args(["download", &format!("{package}={version}")])
            .current_dir(folder);
        watched(&mut apt, &self.log, |_| ())?;
        let start = format!("{package}_");
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&start) && name.ends_with(".deb") {
                return Ok(path);
            }
        }

        bail!("{package} is not in {}", folder.display())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = dying_with_us(program);
        let folder = self.folder.display();
        let options = [
            format!("Dir::State={folder}/state"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            format!("Dir::Etc::sourceparts={folder}/parts"),
            "Dir::Etc::preferences=/dev/null".into(),
            format!("Dir::Etc::preferencesparts={folder}/parts"),
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
        let targets = "Google|sdk|http://packages.example/\n\
                       Debian Backports|bookworm-backports|http://b.example/debian/\n\
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
        let source = "http://m.example trixie-backports/main amd64 Packages";
        let madison = format!(
            " linux-source-7.2 | 7.2.12-1 | {source}\n linux-source-7.2 | 7.2.9-1 | {source}\n"
        );
        assert_eq!(first_version(&madison).as_deref(), Some("7.2.12-1"));
        assert_eq!(first_version(""), None);
    }
}
