//! What is not wrong with a domain, but may surprise.

use crate::device::Hostdev;
use crate::{Backend, Domain, Note};

impl Domain {
    /// Returns what is worth knowing of a completed domain, in the order of the source: which backend a
    /// device gets that names none, or another one than the domain.
    pub fn notes(&self) -> Vec<Note> {
        let vfio = self.devices.assigned().filter(|h| h.is_vfio());
        let mut notes: Vec<Note> = vfio.filter_map(|hostdev| backend(self, hostdev)).collect();
        notes.extend(self.emulator_capabilities.as_ref().map(|capabilities| {
            let message = "<qemu:capabilities> has no effect: what the emulator has is asked";
            Note::new(message.into(), capabilities.place.0.clone())
        }));
        notes.sort_by_key(|n| n.span.as_ref().map(|s| s.start));
        notes
    }
}

fn backend(domain: &Domain, hostdev: &Hostdev) -> Option<Note> {
    let whole = domain.iommufd.as_ref().map(|i| i.enabled);
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let text = match (hostdev.iommufd(), whole, domain.backend(hostdev)) {
        (Some(own), Some(whole), Some(backend)) if own != whole => format!(
            "says iommufd='{}' and the domain enabled='{}': the device's own word counts, it gets {}",
            yes_no(own),
            yes_no(whole),
            backend.as_str()
        ),
        (None, None, Some(Backend::Iommufd)) => {
            "is behind an accelerated virtual IOMMU: it gets iommufd, which alone works there".into()
        }
        (None, None, None) => {
            "names no backend: it is chosen at the start (type1 where nobody chooses)".into()
        }
        _ => return None,
    };
    Some(Note::new(format!("hostdev {} {text}", hostdev.host_name()), hostdev.info.place.0.clone()))
}
