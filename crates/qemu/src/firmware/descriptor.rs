//! A firmware descriptor, as a package or the administrator of the host supplies it.

use serde::{Deserialize, Serialize};

/// A firmware descriptor: one file below `/usr/share/qemu/firmware` or `/etc/qemu/firmware`.
///
/// Members that play no part in the choice are not kept. Words that a newer QEMU defines are no
/// error: an unknown feature is ignored, and firmware with an unknown mapping is never chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareDescriptor {
    /// Name of the file, without its folder.
    name: String,
    #[serde(flatten)]
    body: Body,
}

/// A text that is not a firmware descriptor.
#[derive(Debug, thiserror::Error)]
#[error("{name} is not a firmware descriptor")]
pub struct FirmwareDescriptorError {
    /// Name of the file, without its folder.
    name: String,
    source: serde_json::Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Body {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

/// The mapping of a firmware into the guest (`FirmwareMapping`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "device", rename_all = "kebab-case")]
pub(super) enum Mapping {
    /// Flash memory.
    Flash(Flash),
    /// Read-only memory.
    Memory(Memory),
    /// A mapping for which a domain has no loader, such as that of a kernel or of an IGVM file.
    #[serde(other)]
    Other,
}

/// `FirmwareMappingFlash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flash {
    #[serde(default)]
    pub(super) mode: FlashMode,
    pub(super) executable: FlashFile,
    #[serde(rename = "nvram-template", skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<FlashFile>,
}

/// `FirmwareFlashMode`: the place of the variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FlashMode {
    /// A file of their own.
    #[default]
    Split,
    /// The file of the code.
    Combined,
    /// No file: variables do not outlive a start.
    Stateless,
}

/// `FirmwareFlashFile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FlashFile {
    pub(super) filename: String,
    pub(super) format: String,
}

/// `FirmwareMappingMemory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) filename: String,
    /// Variables that QEMU's device `uefi-vars` keeps.
    #[serde(rename = "uefi-vars", skip_serializing_if = "Option::is_none")]
    pub(super) uefi_vars: Option<UefiVars>,
}

/// `FirmwareMemoryUefiVars`, from QEMU 11.0: variables that the device `uefi-vars` keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UefiVars {
    pub(super) template: String,
}

/// `FirmwareTarget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    /// QEMU's name of the architecture, such as `i386`.
    pub(super) architecture: String,
    /// Patterns of machine types.
    pub(super) machines: Vec<String>,
}

impl FlashFile {
    /// Returns a file, whose name tells its format.
    fn new(path: &str) -> Self {
        let format = if path.ends_with(".qcow2") {
            "qcow2"
        } else {
            "raw"
        };
        Self {
            filename: path.to_owned(),
            format: format.to_owned(),
        }
    }
}

impl FirmwareDescriptor {
    /// Parses the descriptor in the file `name`.
    ///
    /// # Errors
    /// If the text is not JSON, or lacks a member of the specification, then
    /// [`FirmwareDescriptorError`].
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, FirmwareDescriptorError> {
        match serde_json::from_slice(text) {
            Ok(body) => Ok(Self {
                name: name.to_owned(),
                body,
            }),
            Err(source) => Err(FirmwareDescriptorError {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Returns the descriptor of UEFI firmware in flash memory, with the template of its variables.
    pub(super) fn for_flash(name: &str, code: &str, template: &str) -> Self {
        let mapping = Mapping::Flash(Flash {
            mode: FlashMode::Split,
            executable: FlashFile::new(code),
            template: Some(FlashFile::new(template)),
        });
        Self::for_mapping(name, mapping)
    }

    /// Returns the descriptor of UEFI firmware in read-only memory. Firmware whose variables QEMU
    /// keeps has a template of them.
    pub(super) fn for_memory(name: &str, code: &str, template: Option<&str>) -> Self {
        let mapping = Mapping::Memory(Memory {
            filename: code.into(),
            uefi_vars: template.map(|template| UefiVars {
                template: template.into(),
            }),
        });
        Self::for_mapping(name, mapping)
    }

    fn for_mapping(name: &str, mapping: Mapping) -> Self {
        Self {
            name: name.to_owned(),
            body: Body {
                interface_types: vec!["uefi".into()],
                mapping,
                targets: Vec::new(),
                features: Vec::new(),
            },
        }
    }

    /// Returns the descriptor with one more target.
    pub(super) fn for_target(mut self, architecture: &str, machines: &[&str]) -> Self {
        self.body.targets.push(Target {
            architecture: architecture.into(),
            machines: machines.iter().map(|machine| (*machine).into()).collect(),
        });
        self
    }

    /// Returns the descriptor with more features.
    pub(super) fn with_features(mut self, features: &[&str]) -> Self {
        let features = features.iter().map(|feature| (*feature).to_owned());
        self.body.features.extend(features);
        self
    }

    /// Returns the name of the file, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the path of the firmware's code; `None` for a mapping that is not known.
    pub fn code(&self) -> Option<&str> {
        match &self.body.mapping {
            Mapping::Flash(flash) => Some(&flash.executable.filename),
            Mapping::Memory(memory) => Some(&memory.filename),
            Mapping::Other => None,
        }
    }

    /// Returns the path of the template of the firmware's variables, if it has one.
    pub fn template(&self) -> Option<&str> {
        match &self.body.mapping {
            Mapping::Flash(flash) => Some(&flash.template.as_ref()?.filename),
            Mapping::Memory(memory) => Some(&memory.uefi_vars.as_ref()?.template),
            Mapping::Other => None,
        }
    }

    pub(super) const fn mapping(&self) -> &Mapping {
        &self.body.mapping
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.body.targets
    }

    /// Returns whether the guest's operating system finds an interface (`FirmwareOSInterface`).
    pub(super) fn has_interface(&self, interface: &str) -> bool {
        self.body.interface_types.iter().any(|i| i == interface)
    }

    /// Returns whether the firmware has a feature (`FirmwareFeature`).
    pub(super) fn has(&self, feature: &str) -> bool {
        self.body.features.iter().any(|f| f == feature)
    }
}
