//! `<vsock>`: sockets between guest and host.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::{Element, Visitor};

/// `<vsock>`: sockets between guest and host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vsock {
    /// Alias and address of the device.
    pub info: Info,
    /// Model.
    pub model: Option<VirtioModel>,
    /// Context id of the guest.
    pub cid: Option<Cid>,
    /// Options of the virtio device.
    pub driver: Option<VirtioOptions>,
}

/// `<cid>`: the context id of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cid {
    /// Choice of the context id at the start of the guest.
    pub auto: Option<bool>,
    /// The context id, from 3.
    pub address: Option<u32>,
}

impl Cid {
    /// Lowest context id that a guest can have.
    pub const FIRST: u32 = 3;
}

impl Element for Vsock {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.child("cid", &mut self.cid);
        self.info.visit(v);
        v.child("driver", &mut self.driver);
    }
}

impl Element for Cid {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("auto", &mut self.auto);
        v.attr("address", &mut self.address);
        if self.address.is_some_and(|cid| cid < Self::FIRST) {
            v.error("'address' of <cid> is below 3: 0 to 2 are reserved".into());
        }
    }
}
