//! The options of one device.

use passthru_domain::Domain;
use passthru_domain::device::Item;

use crate::capabilities::Capabilities;
use crate::context::{Context, Style};
use crate::error::Error;
use crate::line::{Opt, Want, distinct_wants};
use crate::section::{
    chardev, controller, crypto, disk, filesystem, hostdev, hub, input, iommu, memballoon, memory,
    net, overrides, panic, pci, redirdev, rng, shmem, smartcard, sound, tpm, video, vsock,
    watchdog,
};

/// Options of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragment {
    /// The options, in the order in which QEMU must take them; none for a device of the board.
    pub options: Vec<Opt>,
}

impl Fragment {
    /// Returns the files and descriptors that the options need, each once, in their order.
    pub fn wants(&self) -> Vec<&Want> {
        distinct_wants(&self.options)
    }
}

/// Returns the options of one device of a domain that is complete and valid.
///
/// The options are the same as on the guest's whole command line. A fragment lacks what several
/// devices share:
///
/// - iommufd objects;
/// - the floppy controller, and the controllers of other buses;
/// - the helper for persistent reservations;
/// - the master key of secrets.
///
/// # Errors
/// - If the domain has no such device, then [`Error::NoDevice`].
/// - If the device has no alias or address yet, then [`Error::Incomplete`].
/// - If its PCI address names a bus without a controller, then [`Error::NoBus`].
/// - If QEMU has no option for it, then [`Error::Unsupported`].
pub fn fragment(
    domain: &Domain,
    capabilities: &Capabilities,
    style: Style,
    item: Item,
) -> Result<Fragment, Error> {
    let context = Context::new(domain, capabilities, style)?;
    context_fragment(&context, item)
}

/// Returns the options of a device that is plugged into a running guest, or that gets a medium.
///
/// The options are those of [`fragment`] for a manager. But the block nodes are numbered from
/// `first_node`, since the numbers of a command line change with the list of disks. A running QEMU
/// has nodes already: [`next_node`](crate::next_node) finds a number above theirs.
///
/// # Errors
/// Those of [`fragment`].
pub fn plug_fragment(
    domain: &Domain,
    capabilities: &Capabilities,
    item: Item,
    first_node: usize,
) -> Result<Fragment, Error> {
    let context = Context::new(domain, capabilities, Style::Managed)?;
    let numbers = vec![first_node; domain.devices.disks.len() + 1];
    context.disk_nodes.get_or_init(|| numbers);
    context_fragment(&context, item)
}

fn context_fragment(context: &Context<'_>, item: Item) -> Result<Fragment, Error> {
    let mut options = device_options(context, item)?;
    overrides::apply_known(context.domain, &mut options);
    Ok(Fragment { options })
}

/// Returns the options of a device, before the overrides of `<qemu:override>`.
pub(crate) fn device_options(context: &Context<'_>, item: Item) -> Result<Vec<Opt>, Error> {
    let info = context.domain.devices.info(item);
    let info = info.ok_or(Error::NoDevice(item))?;
    let options = section_options(context, item).ok_or(Error::NoDevice(item))??;
    Ok(pci::with_zpci(context, info, options))
}

/// Returns the options from the section of the device's kind; `None` without such a device.
fn section_options(context: &Context<'_>, item: Item) -> Option<Result<Vec<Opt>, Error>> {
    let devices = &context.domain.devices;
    Some(match item {
        Item::Disk(n) => disk::device(context, n, devices.disks.get(n)?),
        Item::Filesystem(n) => filesystem::device(context, devices.filesystems.get(n)?),
        Item::Interface(n) => {
            let interface = devices.interfaces.get(n)?;
            match &interface.hostdev {
                Some(hostdev) => hostdev::device(context, hostdev),
                None => net::device(context, interface),
            }
        }
        Item::Hostdev(n) => hostdev::device(context, devices.hostdevs.get(n)?),
        Item::Controller(n) => controller::device(context, devices.controllers.get(n)?),
        Item::Smartcard(n) => Ok(smartcard::device(context, devices.smartcards.get(n)?)),
        Item::Serial(n) => chardev::serial(context, devices.serials.get(n)?),
        Item::Parallel(n) => Ok(chardev::parallel(context, devices.parallels.get(n)?)),
        Item::Console(n) => chardev::console(context, devices.consoles.get(n)?),
        Item::Channel(n) => chardev::channel(context, devices.channels.get(n)?),
        Item::Input(n) => input::device(context, devices.inputs.get(n)?),
        Item::Tpm(n) => Ok(tpm::device(context, devices.tpms.get(n)?)),
        Item::Sound(n) => sound::device(context, devices.sounds.get(n)?),
        Item::Video(n) => video::device(context, devices.videos.get(n)?),
        Item::Redirdev(n) => redirdev::device(context, devices.redirdevs.get(n)?),
        Item::Hub(n) => hub::device(context, devices.hubs.get(n)?),
        Item::Watchdog(n) => watchdog::device(context, devices.watchdogs.get(n)?),
        Item::Rng(n) => rng::device(context, devices.rngs.get(n)?),
        Item::Memory(n) => memory::device(context, devices.memories.get(n)?),
        Item::Panic(n) => panic::device(context, devices.panics.get(n)?),
        Item::Shmem(n) => shmem::device(context, devices.shmems.get(n)?),
        Item::Crypto(n) => crypto::device(context, devices.cryptos.get(n)?),
        Item::Iommu(n) => iommu::device(context, devices.iommus.get(n)?),
        Item::Memballoon(n) => memballoon::device(context, devices.memballoon.as_slice().get(n)?),
        Item::Vsock(n) => vsock::device(context, devices.vsock.as_slice().get(n)?),
    })
}
