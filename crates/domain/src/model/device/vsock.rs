//! `<vsock>`: sockets between guest and host.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::{Element, Visitor};

/// A vsock device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vsock {
    /// Alias and address.
    pub info: Info,
    /// Model.
    pub model: Option<VirtioModel>,
    /// The guest's address.
    pub cid: Option<Cid>,
    /// Options of a virtio device.
    pub driver: Option<VirtioOptions>,
}

/// `<cid>`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cid {
    /// Whether it is chosen when the guest starts.
    pub auto: Option<bool>,
    /// The address, from 3.
    pub address: Option<u32>,
}

impl Cid {
    /// The lowest address that a guest can have.
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
