//! SCSI devices of the host: a block node for the device, and `scsi-generic`, which passes its
//! commands.

use passthru_domain::device::controller::{ControllerModel, ControllerType};
use passthru_domain::device::hostdev::{Hostdev, ScsiSource};
use passthru_domain::device::{Address, DriveAddress};

use super::node_number::scsi_node;
use super::secret;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Term, Want, WantKind};

/// Default port of iSCSI.
const PORT: u16 = 3260;

pub(crate) fn device(
    context: &Context<'_>,
    hostdev: &Hostdev,
    scsi: &ScsiSource,
) -> Result<Vec<Opt>, Error> {
    let node = format!("libvirt-{}-backend", scsi_node(context, hostdev));
    let secret = format!("{node}-secret0");
    let backend = if scsi.is_iscsi() {
        iscsi(scsi, &secret)?
    } else {
        generic(context, scsi)?
    };
    let backend = backend
        .with("node-name", node.as_str())
        .with("read-only", hostdev.readonly);
    let device = Object::driver("scsi-generic")
        .with("drive", node)
        .with("id", hostdev.info.id())
        .maybe("bootindex", hostdev.info.boot_order())
        .and(address(context, hostdev)?);
    let auth = scsi
        .auth
        .as_ref()
        .map(|auth| secret::object(context, &secret, auth.secret.as_ref()));
    let made = auth.transpose()?.into_iter();
    Ok(made
        .chain([Opt::json("-blockdev", backend), Opt::device(device)])
        .collect())
}

/// Returns the node of a device on an adapter. Only the host knows the `/dev/sgN`.
fn generic(context: &Context<'_>, scsi: &ScsiSource) -> Result<Object, Error> {
    if context.is_standalone() {
        return Err(Error::unsupported(format!(
            "the SCSI device {scsi} in a standalone command line"
        )));
    }

    let want = Want {
        name: scsi.to_string(),
        kind: WantKind::ScsiGeneric,
    };
    Ok(Object::driver("host_device").with("filename", Term::from(want)))
}

/// Returns the node of a unit of an iSCSI target. `secret` is the id of the password's object.
fn iscsi(scsi: &ScsiSource, secret: &str) -> Result<Object, Error> {
    let (target, unit) = scsi.target_and_unit();
    let unit: u64 = unit.parse().map_err(|_| {
        Error::unsupported(format!("the iSCSI unit '{unit}', which is not a number,"))
    })?;
    let host = scsi.host.clone().unwrap_or_default();
    let name = if host.name.contains(':') {
        format!("[{}]", host.name)
    } else {
        host.name
    };
    let initiator = scsi
        .initiator
        .as_ref()
        .and_then(|initiator| initiator.iqn.as_deref());
    Ok(Object::driver("iscsi")
        .with("portal", format!("{name}:{}", host.port.unwrap_or(PORT)))
        .with("target", target)
        .with("lun", unit)
        .with("transport", "tcp")
        .maybe(
            "user",
            scsi.auth.as_ref().map(|auth| auth.username.as_str()),
        )
        .maybe("password-secret", scsi.auth.as_ref().map(|_| secret))
        .maybe("initiator-name", initiator))
}

/// Returns the address in the guest. LSI's controller has units only.
fn address(context: &Context<'_>, hostdev: &Hostdev) -> Result<Object, Error> {
    let Some(Address::Drive(DriveAddress {
        controller,
        bus,
        target,
        unit,
    })) = &hostdev.info.address
    else {
        return Err(Error::Incomplete {
            device: super::pci::device_name(&hostdev.info),
            lacks: "address",
        });
    };
    let [controller, bus, target, unit] = [controller, bus, target, unit].map(|n| n.unwrap_or(0));
    let found = super::controller::find(context, ControllerType::Scsi, controller);
    let id = found.map_or_else(|| format!("scsi{controller}"), |c| c.info.id().to_owned());
    let device = Object::default().with("bus", format!("{id}.0"));
    Ok(match found.and_then(|c| c.model) {
        Some(ControllerModel::Lsilogic) => device.with("scsi-id", unit),
        _ => device
            .with("channel", bus)
            .with("scsi-id", target)
            .with("lun", unit),
    })
}
