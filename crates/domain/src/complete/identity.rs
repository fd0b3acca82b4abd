//! The identity of a guest: its UUID, and the MAC addresses of its network cards.

use hmac_sha256::Hash;

use crate::model::device::interface::{Interface, InterfaceModel, InterfaceType, Mac};
use crate::model::domain::Domain;
use crate::model::sysinfo::Sysinfo;
use crate::model::uuid::Uuid;
use crate::platform::Machine;

/// Derives the missing UUIDs and MAC addresses. Cards without a model get the machine's default.
pub(super) fn fill(domain: &mut Domain, machine: &Machine) {
    let name = domain.name.as_deref().unwrap_or_default();
    let given = domain.uuid.or_else(|| smbios_uuid(&domain.sysinfos));
    let uuid = given.unwrap_or_else(|| uuid_of(name));
    domain.uuid = Some(uuid);
    normalize_smbios_uuids(&mut domain.sysinfos);
    if let Some(genid) = &mut domain.genid {
        genid.uuid.get_or_insert_with(|| generation_id(uuid));
    }
    for (number, interface) in domain.devices.interfaces.iter_mut().enumerate() {
        interface.mac = said_mac(interface).or_else(|| Some(mac_of(uuid, number)));
        fill_model(interface, machine);
    }
}

/// Gives the last of some cards a MAC address that no other one has, and the machine's default
/// model.
pub(crate) fn fill_last(interfaces: &mut [Interface], uuid: Uuid, machine: &Machine) {
    let Some((last, others)) = interfaces.split_last_mut() else {
        return;
    };
    // As many numbers as there are cards have one that is free.
    let numbers = others.len()..=2 * others.len();
    let mut macs = numbers.map(|number| Some(mac_of(uuid, number)));
    let free = macs.find(|mac| others.iter().all(|other| other.mac != *mac));
    last.mac = said_mac(last).or_else(|| free.flatten());
    fill_model(last, machine);
}

/// Returns the MAC address that the XML names. One of zeros asks for a choice, as in libvirt
/// (`virDomainNetDefParseXML`).
fn said_mac(interface: &Interface) -> Option<Mac> {
    interface.mac.filter(|mac| *mac != Mac([0; 6]))
}

/// Gives a card without a model the machine's default.
fn fill_model(interface: &mut Interface, machine: &Machine) {
    if interface.hostdev.is_some() {
        return;
    }
    interface.model.get_or_insert_with(|| match interface.kind {
        // These types have no other model.
        Some(InterfaceType::VhostUser | InterfaceType::Vdpa) => InterfaceModel::Virtio,
        _ => machine.interface.clone(),
    });
}

/// Returns the UUID in the SMBIOS tables, which is that of a guest without a `<uuid>`.
fn smbios_uuid(sysinfos: &[Sysinfo]) -> Option<Uuid> {
    let mut tables = sysinfos.iter().filter_map(|s| s.system.as_ref());
    tables.find_map(|table| table.get("uuid")?.parse().ok())
}

/// Spells the UUIDs in the SMBIOS tables with lower-case digits and dashes, as the emulator reads
/// them.
fn normalize_smbios_uuids(sysinfos: &mut [Sysinfo]) {
    let tables = sysinfos.iter_mut().filter_map(|s| s.system.as_mut());
    for entry in tables.flat_map(|table| &mut table.entries) {
        if entry.name.as_deref() != Some("uuid") {
            continue;
        }
        if let Some(Ok(uuid)) = entry.value.as_deref().map(str::parse::<Uuid>) {
            entry.value = Some(uuid.to_string());
        }
    }
}

/// Derives a UUID from a name.
fn uuid_of(name: &str) -> Uuid {
    from_digest(digest("uuid", name.as_bytes()))
}

/// Derives the generation id of a guest that was never restored to an earlier state.
fn generation_id(uuid: Uuid) -> Uuid {
    from_digest(digest("generation", &uuid.0))
}

/// Makes a UUID of a digest. Its version is 8, which is for custom schemes.
fn from_digest(digest: [u8; 32]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}

/// Derives the MAC address of a card, under the prefix of QEMU and KVM (52:54:00).
fn mac_of(uuid: Uuid, number: usize) -> Mac {
    let number = u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
    let digest = digest("mac", &[uuid.0.as_slice(), number.as_slice()].concat());
    Mac([0x52, 0x54, 0x00, digest[0], digest[1], digest[2]])
}

/// Returns the digest of some bytes for one purpose.
fn digest(purpose: &str, bytes: &[u8]) -> [u8; 32] {
    let mut hash = Hash::new();
    hash.update("passthru domain ");
    hash.update(purpose);
    hash.update([0]);
    hash.update(bytes);
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_name_gives_the_same_uuid() {
        assert_eq!(uuid_of("vm").to_string(), uuid_of("vm").to_string());
        assert_ne!(uuid_of("vm"), uuid_of("vm2"));
        assert_eq!(uuid_of("vm").to_string().as_bytes()[14], b'8');
    }

    #[test]
    fn mac_addresses_differ_by_card_and_by_guest() {
        let one = uuid_of("one");
        let other = uuid_of("other");
        let macs = [mac_of(one, 0), mac_of(one, 1), mac_of(other, 0)].map(|m| m.to_string());
        assert!(macs.iter().all(|m| m.starts_with("52:54:00:")));
        assert!(macs[0] != macs[1] && macs[0] != macs[2]);
    }
}
