//! Devices by name: one way to go through all kinds of them.

use super::controller::ControllerType;
use super::{Address, Controller, Devices, Hostdev, Info, Interface};

/// Names one device of a guest: its kind, and its number among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A disk.
    Disk(usize),
    /// A controller.
    Controller(usize),
    /// A network interface.
    Interface(usize),
    /// A serial port.
    Serial(usize),
    /// A console.
    Console(usize),
    /// A device of the host.
    Hostdev(usize),
    /// The memory balloon.
    Memballoon,
    /// A random number generator.
    Rng(usize),
    /// A virtual IOMMU.
    Iommu(usize),
}

impl Devices {
    /// Names every device.
    pub fn items(&self) -> Vec<Item> {
        let mut items = Vec::new();
        items.extend((0..self.disks.len()).map(Item::Disk));
        items.extend((0..self.controllers.len()).map(Item::Controller));
        items.extend((0..self.interfaces.len()).map(Item::Interface));
        items.extend((0..self.serials.len()).map(Item::Serial));
        items.extend((0..self.consoles.len()).map(Item::Console));
        items.extend((0..self.hostdevs.len()).map(Item::Hostdev));
        items.extend(self.memballoon.as_ref().map(|_| Item::Memballoon));
        items.extend((0..self.rngs.len()).map(Item::Rng));
        items.extend((0..self.iommus.len()).map(Item::Iommu));
        items
    }

    /// Returns alias and address of a device, where there is such a device.
    pub fn info(&self, item: Item) -> Option<&Info> {
        match item {
            Item::Disk(n) => self.disks.get(n).map(|d| &d.info),
            Item::Controller(n) => self.controllers.get(n).map(|d| &d.info),
            Item::Interface(n) => self.interfaces.get(n).map(Interface::info),
            Item::Serial(n) => self.serials.get(n).map(|d| &d.info),
            Item::Console(n) => self.consoles.get(n).map(|d| &d.info),
            Item::Hostdev(n) => self.hostdevs.get(n).map(|d| &d.info),
            Item::Memballoon => self.memballoon.as_ref().map(|d| &d.info),
            Item::Rng(n) => self.rngs.get(n).map(|d| &d.info),
            Item::Iommu(n) => self.iommus.get(n).map(|d| &d.info),
        }
    }

    /// Returns alias and address of a device, to be changed.
    pub fn info_mut(&mut self, item: Item) -> Option<&mut Info> {
        match item {
            Item::Disk(n) => self.disks.get_mut(n).map(|d| &mut d.info),
            Item::Controller(n) => self.controllers.get_mut(n).map(|d| &mut d.info),
            Item::Interface(n) => self.interfaces.get_mut(n).map(Interface::info_mut),
            Item::Serial(n) => self.serials.get_mut(n).map(|d| &mut d.info),
            Item::Console(n) => self.consoles.get_mut(n).map(|d| &mut d.info),
            Item::Hostdev(n) => self.hostdevs.get_mut(n).map(|d| &mut d.info),
            Item::Memballoon => self.memballoon.as_mut().map(|d| &mut d.info),
            Item::Rng(n) => self.rngs.get_mut(n).map(|d| &mut d.info),
            Item::Iommu(n) => self.iommus.get_mut(n).map(|d| &mut d.info),
        }
    }

    /// Returns the PCI address of a device, where it has one.
    pub fn pci_address(&self, item: Item) -> Option<passthru_pci::Address> {
        self.info(item)?.address.as_ref().and_then(Address::pci)
    }

    /// Names a device for a message: `disk 'vda'`, `hostdev 0000:01:00.0`, `controller pci 3`.
    pub fn describe(&self, item: Item) -> String {
        match item {
            Item::Disk(n) => format!("disk '{}'", self.disks.get(n).map_or("", |d| &d.target.dev)),
            Item::Controller(n) => self.controllers.get(n).map_or_else(String::new, describe_controller),
            Item::Interface(n) => format!("interface {n}"),
            Item::Serial(n) => format!("serial {n}"),
            Item::Console(n) => format!("console {n}"),
            Item::Hostdev(n) => {
                format!("hostdev {}", self.hostdevs.get(n).map(Hostdev::host_name).unwrap_or_default())
            }
            Item::Memballoon => "memballoon".into(),
            Item::Rng(n) => format!("rng {n}"),
            Item::Iommu(n) => format!("iommu {n}"),
        }
    }

    /// Goes through the controllers of a kind.
    pub fn controllers_of(&self, kind: ControllerType) -> impl Iterator<Item = &Controller> {
        self.controllers.iter().filter(move |c| c.kind == Some(kind))
    }

    /// Returns the first controller of a kind and index.
    pub fn controller(&self, kind: ControllerType, index: u32) -> Option<&Controller> {
        self.controllers_of(kind).find(|c| c.index == Some(index))
    }
}

fn describe_controller(controller: &Controller) -> String {
    let kind = controller.kind.map_or("", ControllerType::as_str);
    match controller.index {
        Some(index) => format!("controller {kind} {index}"),
        None => format!("controller {kind}"),
    }
}
