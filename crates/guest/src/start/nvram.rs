//! The file of a guest's firmware variables.

use std::fs::File;
use std::io;
use std::path::Path;

use passthru_domain::Domain;
use passthru_domain::nvram::Nvram;
use passthru_qemu::NVRAM_DIR;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::opener::Opener;

/// Gives the file its default path, if the domain names a template but no file.
pub(crate) fn set_default_path(domain: &mut Domain) {
    let name = domain.name.clone().unwrap_or_default();
    if let Some(Nvram {
        path: path @ None, ..
    }) = &mut domain.os.nvram
    {
        *path = Some(format!("{NVRAM_DIR}/{name}_VARS.fd"));
    }
}

/// Returns the path of the file and of its template, if the file is missing.
pub(crate) fn missing<'a>(domain: &'a Domain, opener: &Opener<'_>) -> Option<(&'a str, &'a str)> {
    let nvram = domain.os.variables()?;
    let path = nvram.path.as_deref()?;
    let template = nvram.template.as_deref()?;
    // A file that the opener refuses is not missing: opening it later gives the error.
    match opener.stat(Path::new(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some((path, template)),
        _ => None,
    }
}

/// Makes the file from its template, as a whole or not at all. Does nothing if the file exists.
pub(crate) fn make(domain: &Domain, opener: &Opener<'_>) -> Result<(), Error> {
    let Some((path, template)) = missing(domain, opener) else {
        return Ok(());
    };
    let mut from = opener
        .open_regular(Path::new(template))
        .map_err(|source| failed("template of the nvram", template, source))?;
    copy(&mut from, Path::new(path), opener).map_err(|source| failed("nvram", path, source))
}

fn failed(what: &str, path: &str, source: io::Error) -> Error {
    Error::File {
        what: what.into(),
        path: path.into(),
        source,
    }
}

fn copy(from: &mut File, path: &Path, opener: &Opener<'_>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = opener.make_folder_of(path)?;
    let mut half = name.to_owned();
    half.push(".partial");
    match rustix::fs::unlinkat(&folder, &half, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }

    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(&folder, &half, flags, Mode::RUSR | Mode::WUSR)?;
    let mut to = File::from(to);
    io::copy(from, &mut to)?;
    to.sync_all()?;
    // A file or link that appeared meanwhile stays.
    Ok(rustix::fs::renameat_with(
        &folder,
        &half,
        &folder,
        name,
        RenameFlags::NOREPLACE,
    )?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::start::user::User;

    fn domain(nvram: &str) -> Domain {
        let xml = format!(
            "<domain type='kvm'><name>vm</name><memory>1024</memory>\
             <os><type>hvm</type>{nvram}</os></domain>"
        );
        Domain::parse(&xml).unwrap()
    }

    #[test]
    fn file_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let user = User::choose(None).unwrap();
        let at = |name| folder.path().join(name).display().to_string();
        fs::write(at("template"), "fresh").unwrap();
        let domain = domain(&format!(
            "<nvram template='{}'>{}</nvram>",
            at("template"),
            at("deep/vars")
        ));
        make(&domain, &Opener::new(&user)).unwrap();

        assert_eq!(fs::read_to_string(at("deep/vars")).unwrap(), "fresh");

        fs::write(at("deep/vars"), "used").unwrap();
        make(&domain, &Opener::new(&user)).unwrap();
        assert_eq!(fs::read_to_string(at("deep/vars")).unwrap(), "used");
    }

    #[test]
    fn unnamed_file_gets_a_path_that_outlives_a_reboot() {
        let mut domain = domain("<nvram template='/usr/share/vars'/>");
        set_default_path(&mut domain);
        assert_eq!(
            domain.os.nvram.unwrap().path.as_deref(),
            Some("/var/lib/passthru/nvram/vm_VARS.fd")
        );
    }

    #[test]
    fn link_of_others_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let vars = folder.path().join("vars");
        std::os::unix::fs::symlink("/nonexistent/vars", &vars).unwrap();
        let domain = domain(&format!("<nvram template='/t'>{}</nvram>", vars.display()));
        let user = User::choose(None).unwrap();
        assert_eq!(missing(&domain, &Opener::new(&user)), None);
    }

    #[test]
    fn missing_template_is_named() {
        let domain = domain("<nvram template='/nonexistent/t'>/nonexistent/vars</nvram>");
        let user = User::choose(None).unwrap();
        let error = make(&domain, &Opener::new(&user)).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/t"), "{error}");
    }
}
