//! `<serial>` and `<console>`: devices that carry characters.

use super::Info;
use crate::xml::text::{FilePath, of_form};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// What the host's end of a character device is.
    pub enum CharSourceType {
        /// A pseudo terminal.
        Pty = "pty",
        /// Nothing: what is written is dropped.
        Null = "null",
        /// The emulator's standard input and output.
        Stdio = "stdio",
        /// A file that output is written to.
        File = "file",
        /// A socket in the file system.
        Unix = "unix",
    }
}

words! {
    /// What the guest's end of a character device is.
    pub enum CharTargetType {
        /// Serial port of a PC.
        IsaSerial = "isa-serial",
        /// Serial port on a PCI card.
        PciSerial = "pci-serial",
        /// Serial port of the machine (Arm's PL011 …).
        SystemSerial = "system-serial",
        /// The first serial port, as a console.
        Serial = "serial",
        /// A port of a virtio-serial controller.
        Virtio = "virtio",
    }
}

words! {
    /// Model of a serial port.
    pub enum CharModel {
        /// 16550A of a PC.
        IsaSerial = "isa-serial",
        /// 16550A on a PCI card.
        PciSerial = "pci-serial",
        /// Arm's PL011.
        Pl011 = "pl011",
    }
}

words! {
    /// Who connects to whom.
    pub enum SocketMode {
        /// The emulator listens.
        Bind = "bind",
        /// The emulator connects.
        Connect = "connect",
    }
}

/// A serial port or a console.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chardev {
    /// Alias and address.
    pub info: Info,
    /// What the host's end is.
    pub kind: Option<CharSourceType>,
    /// `tty` attribute of a running guest's console; no effect.
    pub tty: Option<String>,
    /// Where the host's end is.
    pub source: Option<CharSource>,
    /// What the guest's end is.
    pub target: Option<CharTarget>,
}

/// `<source>` of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharSource {
    /// Path of a file, socket or terminal.
    pub path: Option<String>,
    /// Whether a file is appended to.
    pub append: Option<bool>,
    /// Who connects to whom.
    pub mode: Option<SocketMode>,
}

/// `<target>` of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharTarget {
    /// What the guest's end is.
    pub kind: Option<CharTargetType>,
    /// Number among its like, from 0.
    pub port: Option<u32>,
    /// Model of the port.
    pub model: Option<CharModel>,
}

impl Element for Chardev {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("type", &mut self.kind);
        v.attr("tty", &mut self.tty);
        v.child("source", &mut self.source);
        v.child("target", &mut self.target);
        self.info.visit(v);
        let path = self.source.as_ref().and_then(|s| s.path.as_ref());
        match self.kind {
            None => v.error("a character device needs the attribute 'type'".into()),
            Some(CharSourceType::File) if path.is_none() => {
                v.error("a character device of type 'file' needs a <source path='…'/>".into());
            }
            Some(_) => {}
        }
    }
}

impl Element for CharSource {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("mode", &mut self.mode);
        of_form::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.on_off("append", &mut self.append);
    }
}

impl Element for CharTarget {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("type", &mut self.kind);
        v.attr("port", &mut self.port);
        v.child_word("model", "name", &mut self.model);
    }
}
