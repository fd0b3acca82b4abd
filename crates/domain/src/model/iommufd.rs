//! `<iommufd>` of `<domain>`: the default for the devices of the host.

use crate::xml::span::SourceSpan;
use crate::xml::{Element, Visitor};

/// Name of the iommufd object for devices that do not name one.
pub(crate) const DEFAULT_IOMMUFD: &str = "iommufd0";

/// `<iommufd enabled='yes' fdgroup='NAME'/>`: the default for all VFIO devices of the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainIommufd {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Backend of devices that do not choose one: iommufd (true) or type1 (false).
    pub enabled: bool,
    /// Name under which the caller passes an open `/dev/iommu`.
    pub fdgroup: Option<String>,
}

impl DomainIommufd {
    /// Returns whether the guest gets the caller's `/dev/iommu` even without a device that uses it.
    pub(crate) const fn is_for_later(&self) -> bool {
        self.enabled && self.fdgroup.is_some()
    }
}

impl Element for DomainIommufd {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        let mut enabled = (!v.reading()).then_some(self.enabled);
        v.yes_no("enabled", &mut enabled);
        v.attr("fdgroup", &mut self.fdgroup);
        match enabled {
            Some(enabled) => self.enabled = enabled,
            None => v.error("<iommufd> needs the attribute 'enabled' ('yes' or 'no')".into()),
        }
    }
}
