//! Events about devices that came while a transaction runs.

use std::collections::BTreeSet;

use passthru_qemu::monitor::DeviceEvent;

/// Devices by what the VMM reported about them. Only the aliases that the transaction asks for are
/// kept, since the VMM is not trusted to send few.
#[derive(Debug, Default)]
pub(super) struct DeviceNews {
    known: BTreeSet<String>,
    deleted: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl DeviceNews {
    /// Returns the news about devices with these aliases, of which there are none yet.
    pub(super) fn new(known: impl IntoIterator<Item = String>) -> Self {
        Self {
            known: known.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Keeps an event.
    pub(super) fn note(&mut self, event: DeviceEvent) {
        match event {
            DeviceEvent::Deleted(name) => {
                if let Some(alias) = name.device.filter(|alias| self.known.contains(alias)) {
                    self.deleted.insert(alias);
                }
            }
            DeviceEvent::UnplugGuestError(name) => {
                if let Some(alias) = name.device.filter(|alias| self.known.contains(alias)) {
                    self.refused.insert(alias);
                }
            }
            DeviceEvent::TrayMoved(_) => {}
        }
    }

    /// Notes that the VMM no longer has a device.
    pub(super) fn delete(&mut self, alias: &str) {
        self.deleted.insert(alias.to_owned());
    }

    /// Returns the devices that the VMM no longer has.
    pub(super) const fn deleted(&self) -> &BTreeSet<String> {
        &self.deleted
    }

    /// Returns whether the guest refused to release a device. The next call returns false.
    pub(super) fn take_refusal(&mut self, alias: &str) -> bool {
        self.refused.remove(alias)
    }
}
