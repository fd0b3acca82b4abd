//! The file of a guest's firmware variables.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use passthru_domain::Domain;
use passthru_domain::nvram::{Nvram, NvramType};
use passthru_qemu::NVRAM_DIR;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::opener::Opener;

/// A file of firmware variables that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MissingVariables<'a> {
    /// Path of the file.
    pub(crate) path: &'a str,
    /// Path of the template; `None` for a file that begins empty.
    pub(crate) template: Option<&'a str>,
}

/// The variables of a guest's firmware, before its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoredVariables {
    /// None: the start makes them, or there will be none.
    None,
    /// A file.
    File(String),
    /// A device, or another host.
    Elsewhere,
}

/// Returns the variables that the domain would use, whichever firmware it gets.
pub(crate) fn stored(domain: &Domain, opener: &Opener<'_>) -> StoredVariables {
    let os = &domain.os;
    let loader = os.loader.as_ref();
    if loader.is_some_and(|loader| loader.stateless == Some(true)) {
        return StoredVariables::None;
    }
    let nvram = os.nvram.as_ref();
    let kind = nvram.and_then(|nvram| nvram.kind);
    if matches!(kind, Some(NvramType::Block | NvramType::Network)) {
        return StoredVariables::Elsewhere;
    }

    let varstore = os.varstore.as_ref();
    let named = nvram.and_then(Nvram::file).map(str::to_owned);
    let named = named.or_else(|| varstore?.path.clone());
    let paths = match named {
        Some(path) => vec![path],
        None => vec![default_path(domain, "fd"), default_path(domain, "json")],
    };
    let mut existing = paths.into_iter().filter(|path| exists(path, opener));
    existing
        .next()
        .map_or(StoredVariables::None, StoredVariables::File)
}

/// Returns the path of variables for which the domain names no place.
fn default_path(domain: &Domain, extension: &str) -> String {
    let name = domain.name.as_deref().unwrap_or_default();
    format!("{NVRAM_DIR}/{name}_VARS.{extension}")
}

/// Returns whether a file exists. A file that the opener refuses does.
fn exists(path: &str, opener: &Opener<'_>) -> bool {
    let found = opener.stat(Path::new(path));
    !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Gives the file its default path, if the domain names none.
pub(crate) fn set_default_path(domain: &mut Domain) {
    let flash = default_path(domain, "fd");
    let json = default_path(domain, "json");
    if let Some(nvram) = domain.os.nvram.as_mut().filter(|n| n.lacks_location()) {
        nvram.path = Some(flash);
    }
    if let Some(varstore) = &mut domain.os.varstore {
        varstore.path.get_or_insert(json);
    }
}

/// Returns the file of the variables with its template, if the file is missing.
///
/// # Errors
/// If flash memory needs the file and no template is known, then [`Error::NoTemplate`].
pub(crate) fn missing<'a>(
    domain: &'a Domain,
    opener: &Opener<'_>,
) -> Result<Option<MissingVariables<'a>>, Error> {
    let Some(variables) = missing_file(domain, opener) else {
        return Ok(None);
    };
    let os = &domain.os;
    let is_flash = os.variables().and_then(file).is_some();
    let loader = os.loader.as_ref().and_then(|loader| loader.path.clone());
    match (variables.template, loader) {
        (None, Some(loader)) if is_flash => Err(Error::NoTemplate {
            path: variables.path.to_owned(),
            loader,
        }),
        _ => Ok(Some(variables)),
    }
}

/// Returns the file of the variables if it is missing, also if it cannot be made.
pub(crate) fn missing_file<'a>(
    domain: &'a Domain,
    opener: &Opener<'_>,
) -> Option<MissingVariables<'a>> {
    let (path, template) = file_and_template(domain)?;
    // Opening a file that the opener refuses gives the error later.
    (!exists(path, opener)).then_some(MissingVariables { path, template })
}

/// Returns the path of the file in which a complete domain has variables, if it exists.
pub(crate) fn existing<'a>(domain: &'a Domain, opener: &Opener<'_>) -> Option<&'a str> {
    let (path, _) = file_and_template(domain)?;
    exists(path, opener).then_some(path)
}

/// Returns path and template of the variables of a complete domain, if they are in a file.
fn file_and_template(domain: &Domain) -> Option<(&str, Option<&str>)> {
    let os = &domain.os;
    let nvram = os.variables().and_then(file);
    nvram.or_else(|| {
        let varstore = os.varstore.as_ref()?;
        Some((varstore.path.as_deref()?, varstore.template.as_deref()))
    })
}

/// Returns path and template of variables in a file; `None` for a device or another host.
fn file(nvram: &Nvram) -> Option<(&str, Option<&str>)> {
    match nvram.kind {
        None | Some(NvramType::File) => Some((nvram.file()?, nvram.template.as_deref())),
        Some(NvramType::Block | NvramType::Network) => None,
    }
}

/// Checks that the file of the variables exists, or that its template can be opened.
///
/// # Errors
/// - Those of [`missing`].
/// - If the template cannot be opened, then [`Error::File`].
pub(crate) fn check(domain: &Domain, opener: &Opener<'_>) -> Result<(), Error> {
    let missing = missing(domain, opener)?;
    if let Some(template) = missing.and_then(|variables| variables.template) {
        open_template(template, opener)?;
    }
    Ok(())
}

fn open_template(template: &str, opener: &Opener<'_>) -> Result<File, Error> {
    let opened = opener.open_regular(Path::new(template));
    opened.map_err(|source| failed("template of the nvram", template, source))
}

/// Makes the file, as a whole or not at all. Does nothing if the file exists.
pub(crate) fn make(domain: &Domain, opener: &Opener<'_>) -> Result<(), Error> {
    let Some(MissingVariables { path, template }) = missing(domain, opener)? else {
        return Ok(());
    };
    let mut from: Box<dyn Read> = match template {
        Some(template) => Box::new(open_template(template, opener)?),
        None => Box::new(io::empty()),
    };
    copy(&mut from, Path::new(path), opener).map_err(|source| failed("nvram", path, source))
}

fn failed(what: &str, path: &str, source: io::Error) -> Error {
    Error::File {
        what: what.into(),
        path: path.into(),
        source,
    }
}

fn copy(from: &mut dyn Read, path: &Path, opener: &Opener<'_>) -> io::Result<()> {
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

        assert_eq!(missing(&domain, &Opener::new(&user)).unwrap(), None);
    }

    #[test]
    fn named_source_and_other_host_keep_their_location() {
        let source = "<nvram template='/t' type='file'><source file='/nonexistent/vars'/></nvram>";
        let mut domain = domain(source);
        set_default_path(&mut domain);
        let user = User::choose(None).unwrap();
        let found = missing(&domain, &Opener::new(&user)).unwrap().unwrap();

        assert_eq!(found.path, "/nonexistent/vars");

        let network = "<nvram template='/t' type='network'><source protocol='nbd'>\
            <host name='h'/></source></nvram>";
        let mut domain = self::domain(network);
        set_default_path(&mut domain);
        assert_eq!(missing(&domain, &Opener::new(&user)).unwrap(), None);
    }

    #[test]
    fn variables_without_template_are_refused_before_the_start() {
        let loader = "<loader type='pflash' readonly='yes'>/own/code</loader>\
            <nvram>/nonexistent/vars</nvram>";
        let domain = domain(loader);
        let user = User::choose(None).unwrap();
        let error = missing(&domain, &Opener::new(&user)).unwrap_err();

        assert_eq!(
            error.to_string(),
            "there is no /nonexistent/vars yet, and no template of the variables of /own/code is \
             known"
        );
    }

    #[test]
    fn store_without_template_begins_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vars.json");
        let domain = domain(&format!("<varstore path='{}'/>", path.display()));
        let user = User::choose(None).unwrap();
        make(&domain, &Opener::new(&user)).unwrap();

        assert_eq!(fs::read_to_string(path).unwrap(), "");
    }

    #[test]
    fn missing_template_is_named() {
        let domain = domain("<nvram template='/nonexistent/t'>/nonexistent/vars</nvram>");
        let user = User::choose(None).unwrap();
        let error = make(&domain, &Opener::new(&user)).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/t"), "{error}");
    }
}
