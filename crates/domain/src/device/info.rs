//! What every device has: an alias, and an address within the guest.

use super::address::Address;
use crate::xml::Visitor;
use crate::xml::place::Place;

/// Alias and address of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// Where the device's element stands.
    pub place: Place,
    /// `<alias name=…/>`: the device's id. `complete` gives one to every device.
    pub alias: Option<String>,
    /// Where the device is within the guest.
    pub address: Option<Address>,
}

impl Info {
    /// Returns the alias; empty before `complete`.
    pub fn id(&self) -> &str {
        self.alias.as_deref().unwrap_or_default()
    }

    pub(crate) fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.place(&mut self.place);
        let mut alias = self.alias.take().filter(|alias| alias.starts_with("ua-"));
        v.child_word("alias", "name", &mut alias);
        self.alias = alias;
        v.child("address", &mut self.address);
    }
}
