//! What tells one guest from another: its UUID, and the hardware addresses of its network cards.

use hmac_sha256::Hash;

use crate::model::device::interface::{InterfaceModel, InterfaceType, Mac};
use crate::model::domain::Domain;
use crate::model::uuid::Uuid;
use crate::platform::Machine;

/// Derives what is missing. Cards also get the machine's usual model.
pub(super) fn fill(domain: &mut Domain, machine: &Machine) {
    let name = domain.name.as_deref().unwrap_or_default();
    let uuid = *domain.uuid.get_or_insert_with(|| uuid_of(name));
    if let Some(genid) = &mut domain.genid {
        genid.uuid.get_or_insert_with(|| of_generation(uuid));
    }
    for (number, interface) in domain.devices.interfaces.iter_mut().enumerate() {
        interface.mac.get_or_insert_with(|| mac_of(uuid, number));
        if interface.hostdev.is_none() {
            interface.model.get_or_insert_with(|| match interface.kind {
                // Of these there is no other model.
                Some(InterfaceType::VhostUser | InterfaceType::Vdpa) => InterfaceModel::Virtio,
                _ => machine.interface.clone(),
            });
        }
    }
}

/// Derives a UUID from a name.
fn uuid_of(name: &str) -> Uuid {
    made_of(digest("uuid", name.as_bytes()))
}

/// Derives the identity of a guest that has never gone back in time.
fn of_generation(uuid: Uuid) -> Uuid {
    made_of(digest("generation", &uuid.0))
}

/// Makes a UUID (version 8, the one for own schemes).
fn made_of(digest: [u8; 32]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}

/// Derives a hardware address under QEMU's and KVM's prefix, 52:54:00.
fn mac_of(uuid: Uuid, number: usize) -> Mac {
    let number = u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
    let digest = digest("mac", &[uuid.0.as_slice(), number.as_slice()].concat());
    Mac([0x52, 0x54, 0x00, digest[0], digest[1], digest[2]])
}

fn digest(purpose: &str, of: &[u8]) -> [u8; 32] {
    let mut hash = Hash::new();
    hash.update("passthru domain ");
    hash.update(purpose);
    hash.update([0]);
    hash.update(of);
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_the_same_identity_each_time_and_another_name_another() {
        assert_eq!(uuid_of("vm").to_string(), uuid_of("vm").to_string());
        assert_ne!(uuid_of("vm"), uuid_of("vm2"));
        assert_eq!(uuid_of("vm").to_string().as_bytes()[14], b'8');
    }

    #[test]
    fn cards_of_one_guest_and_of_two_guests_differ() {
        let (one, other) = (uuid_of("one"), uuid_of("other"));
        let macs = [mac_of(one, 0), mac_of(one, 1), mac_of(other, 0)].map(|m| m.to_string());
        assert!(macs.iter().all(|m| m.starts_with("52:54:00:")));
        assert!(macs[0] != macs[1] && macs[0] != macs[2]);
    }
}
