//! `<iommufd>` of the domain: /dev/iommu for all of its devices.

use crate::xml::place::Place;
use crate::xml::{Element, Visitor};

/// `<iommufd enabled='yes' fdgroup='NAME'/>`: the default for every VFIO device of the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainIommufd {
    /// Where the element stands.
    pub place: Place,
    /// Whether devices use iommufd when they say nothing of their own.
    pub enabled: bool,
    /// Name under which the caller hands in an open /dev/iommu.
    pub fdgroup: Option<String>,
}

impl Element for DomainIommufd {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.place(&mut self.place);
        let mut enabled = (!v.reading()).then_some(self.enabled);
        v.yes_no("enabled", &mut enabled);
        v.attr("fdgroup", &mut self.fdgroup);
        match enabled {
            Some(enabled) => self.enabled = enabled,
            None => v.error("<iommufd> needs the attribute 'enabled', 'yes' or 'no'".into()),
        }
    }
}
