//! The file of a guest's firmware variables: where it is when the domain does not say, and its making from
//! the template.

use crate::error::Error;
use passthru_domain::{Domain, Nvram};
use passthru_qemu::NVRAM_DIR;
use rustix::fs::{CWD, RenameFlags};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Names the file where the domain does not.
pub(crate) fn settle(domain: &mut Domain) {
    let name = domain.name.clone().unwrap_or_default();
    if let Some(Nvram { path: path @ None, .. }) = &mut domain.os.nvram {
        *path = Some(format!("{NVRAM_DIR}/{name}_VARS.fd"));
    }
}

/// The file that has to be made, and the template that it is made from; nothing where it is there.
pub(crate) fn missing(domain: &Domain) -> Option<(&str, &str)> {
    let nvram = domain.os.nvram.as_ref()?;
    let (path, template) = (nvram.path.as_deref()?, nvram.template.as_deref()?);
    // What cannot be looked at is not missing: opening it says what is wrong.
    matches!(Path::new(path).try_exists(), Ok(false)).then_some((path, template))
}

/// Makes the file from its template, whole or not at all.
pub(crate) fn make(domain: &Domain) -> Result<(), Error> {
    let Some((path, template)) = missing(domain) else { return Ok(()) };
    let failed =
        |what: &str, path: &str, source| Error::File { what: what.into(), path: path.into(), source };
    let mut from = File::open(template).map_err(|e| failed("template of the nvram", template, e))?;
    copy(&mut from, Path::new(path)).map_err(|e| failed("nvram", path, e))
}

fn copy(from: &mut File, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let half = PathBuf::from(format!("{}.partial", path.display()));
    let _ = fs::remove_file(&half);
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    io::copy(from, &mut to)?;
    to.sync_all()?;
    // A file, or a link to nowhere, that has appeared in the meantime stays.
    Ok(rustix::fs::renameat_with(CWD, &half, CWD, path, RenameFlags::NOREPLACE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(nvram: &str) -> Domain {
        let xml = format!(
            "<domain type='kvm'><name>vm</name><memory>1024</memory><os><type>hvm</type>{nvram}</os></domain>"
        );
        Domain::parse(&xml).unwrap()
    }

    #[test]
    fn the_file_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name| folder.path().join(name).display().to_string();
        fs::write(at("template"), "fresh").unwrap();
        let domain = domain(&format!("<nvram template='{}'>{}</nvram>", at("template"), at("deep/vars")));
        make(&domain).unwrap();
        assert_eq!(fs::read_to_string(at("deep/vars")).unwrap(), "fresh");
        fs::write(at("deep/vars"), "used").unwrap();
        make(&domain).unwrap();
        assert_eq!(fs::read_to_string(at("deep/vars")).unwrap(), "used");
    }

    #[test]
    fn a_domain_that_names_no_file_gets_one_that_outlives_a_reboot() {
        let mut domain = domain("<nvram template='/usr/share/vars'/>");
        settle(&mut domain);
        assert_eq!(domain.os.nvram.unwrap().path.as_deref(), Some("/var/lib/passthru/nvram/vm_VARS.fd"));
    }

    #[test]
    fn a_missing_template_is_named() {
        let error = make(&domain("<nvram template='/nonexistent/t'>/nonexistent/vars</nvram>")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/t"), "{error}");
    }
}
