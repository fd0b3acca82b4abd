//! `<nvram>` of `<os>`: where the firmware keeps its variables.

use crate::model::firmware::FirmwareFormat;
use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<nvram>`: the firmware's variables, and the template that they start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nvram {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Where the variables are; a file when absent.
    pub kind: Option<NvramType>,
    /// Path of the template.
    pub template: Option<String>,
    /// Format of the template.
    pub template_format: Option<FirmwareFormat>,
    /// Format of the variables.
    pub format: Option<FirmwareFormat>,
    /// Where they are, for a given type.
    pub source: Option<NvramSource>,
    /// Path of the variables' file.
    pub path: Option<String>,
}

words! {
    /// Where the variables are.
    pub enum NvramType {
        /// In a file.
        File = "file",
        /// On a block device.
        Block = "block",
        /// On another host.
        Network = "network",
    }
}

words! {
    /// How another host is spoken to.
    pub enum NvramProtocol {
        /// A network block device.
        Nbd = "nbd",
        /// A SCSI disk.
        Iscsi = "iscsi",
    }
}

/// `<source>` of `<nvram>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NvramSource {
    /// Path of the file.
    pub file: Option<String>,
    /// Path of the block device.
    pub dev: Option<String>,
    /// How another host is spoken to.
    pub protocol: Option<NvramProtocol>,
    /// Name of the volume there.
    pub name: Option<String>,
    /// The host.
    pub host: Option<NvramHost>,
}

/// `<host>` of `<source>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NvramHost {
    /// Its name or address.
    pub name: Option<String>,
    /// Its port.
    pub port: Option<u16>,
}

impl Nvram {
    /// Returns the path of the file or block device that holds the variables.
    pub fn file(&self) -> Option<&str> {
        let source = self
            .source
            .as_ref()
            .and_then(|s| s.file.as_deref().or(s.dev.as_deref()));
        self.path.as_deref().or(source)
    }

    /// Whether nothing says where the variables are.
    pub fn is_unsaid(&self) -> bool {
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
        let (said, needs) = match self.kind {
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
        if !said {
            v.error(format!("<nvram> needs {needs}"));
        }
        if self.path.is_some() && source.is_some() {
            v.error("<nvram> gives its location twice: as text and as <source>".into());
        }
    }
}

impl Element for NvramSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.file, |path| v.attr("file", path));
        visit_as::<FilePath>(&mut self.dev, |path| v.attr("dev", path));
        v.attr("protocol", &mut self.protocol);
        v.attr("name", &mut self.name);
        v.child("host", &mut self.host);
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
