//! `<nvram>` and `<varstore>` of `<os>`: storage of the firmware's variables.

use crate::model::device::secret::Auth;
use crate::model::firmware::FirmwareFormat;
use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<nvram>`: storage of the firmware's variables, and their template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nvram {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Kind of storage. If it is absent, a file.
    pub kind: Option<NvramType>,
    /// Path of the template.
    pub template: Option<String>,
    /// Format of the template.
    pub template_format: Option<FirmwareFormat>,
    /// Format of the variables.
    pub format: Option<FirmwareFormat>,
    /// Location of the variables, for a given kind of storage.
    pub source: Option<NvramSource>,
    /// Path of the variables' file, for storage without a kind.
    pub path: Option<String>,
}

/// `<varstore>`: a file in which the emulator keeps the firmware's variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Varstore {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Path of the template.
    pub template: Option<String>,
    /// Path of the file.
    pub path: Option<String>,
}

words! {
    /// The kind of storage for the firmware's variables.
    pub enum NvramType {
        /// A file.
        File = "file",
        /// A block device.
        Block = "block",
        /// Network storage.
        Network = "network",
    }
}

words! {
    /// The protocol of network storage.
    pub enum NvramProtocol {
        /// Network block device.
        Nbd = "nbd",
        /// iSCSI.
        Iscsi = "iscsi",
    }
}

/// `<source>` of `<nvram>`: the location of the variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NvramSource {
    /// Path of the file.
    pub file: Option<String>,
    /// Path of the block device.
    pub dev: Option<String>,
    /// Protocol of the network storage.
    pub protocol: Option<NvramProtocol>,
    /// Name of the volume.
    pub name: Option<String>,
    /// Host of the volume.
    pub host: Option<NvramHost>,
    /// Login to the host (iSCSI).
    pub auth: Option<Auth>,
}

/// `<host>` of `<source>`: a host of network storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NvramHost {
    /// Name or address of the host.
    pub name: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
}

impl Nvram {
    /// Returns the path of the file or block device with the variables.
    pub fn file(&self) -> Option<&str> {
        let source = self
            .source
            .as_ref()
            .and_then(|s| s.file.as_deref().or(s.dev.as_deref()));
        self.path.as_deref().or(source)
    }

    /// Returns whether the location of the variables is absent, so that the caller chooses it.
    pub fn lacks_location(&self) -> bool {
        self.file().is_none() && self.kind != Some(NvramType::Network)
    }
}

impl Element for Nvram {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        visit_as::<FilePath>(&mut self.template, |path| v.attr("template", path));
        v.attr("templateFormat", &mut self.template_format);
        v.attr("type", &mut self.kind);
        v.attr("format", &mut self.format);
        v.child("source", &mut self.source);
        v.text(&mut self.path);
        if !v.reading() {
            return;
        }
        let source = self.source.as_ref();
        let (is_given, needs) = match self.kind {
            None => (
                source.is_none(),
                "a path as its text, or a type and a <source>",
            ),
            Some(NvramType::File) => (source.is_none_or(|s| s.file.is_some()), "a <source file=…>"),
            Some(NvramType::Block) => (source.is_some_and(|s| s.dev.is_some()), "a <source dev=…>"),
            Some(NvramType::Network) => (
                source.is_some_and(|s| s.protocol.is_some() && s.host.is_some()),
                "a <source protocol=…> with its <host>",
            ),
        };
        if !is_given {
            v.error(format!("<nvram> needs {needs}"));
        }
        if self.path.is_some() && source.is_some() {
            v.error("<nvram> gives its location twice: as text and as <source>".into());
        }
    }
}

impl Element for Varstore {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        visit_as::<FilePath>(&mut self.template, |path| v.attr("template", path));
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
    }
}

impl Element for NvramSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.file, |path| v.attr("file", path));
        visit_as::<FilePath>(&mut self.dev, |path| v.attr("dev", path));
        v.attr("protocol", &mut self.protocol);
        v.attr("name", &mut self.name);
        v.child("host", &mut self.host);
        v.child("auth", &mut self.auth);
        if self.auth.is_some() && self.protocol != Some(NvramProtocol::Iscsi) {
            v.error("<auth> of an <nvram> is for the protocol 'iscsi' only".into());
        }
    }
}

impl Element for NvramHost {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("port", &mut self.port);
        if self.name.is_none() {
            v.error("<host> needs the attribute 'name'".into());
        }
    }
}
