//! `<launchSecurity>`: guests whose memory the host cannot read.

use passthru_domain::security::{LaunchSecurity, LaunchSecurityType};

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// The object's id.
const ID: &str = "lsec0";

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(security) = &context.domain.launch_security else {
        return Ok(Vec::new());
    };
    let object = match security.kind {
        Some(LaunchSecurityType::Sev) => sev(security)?,
        Some(LaunchSecurityType::SevSnp) => sev_snp(security)?,
        Some(LaunchSecurityType::S390Pv) => Object::qom("s390-pv-guest", ID),
        Some(LaunchSecurityType::Tdx) => tdx(security),
        None => return Ok(Vec::new()),
    };
    Ok(vec![Opt::object(object)])
}

/// Returns the id of the object, for `-machine`.
pub(crate) fn id(context: &Context<'_>) -> Option<&'static str> {
    context.domain.launch_security.as_ref().map(|_| ID)
}

fn sev(security: &LaunchSecurity) -> Result<Object, Error> {
    if security.dh_cert.is_some() || security.session.is_some() {
        return Err(Error::unsupported(
            "<launchSecurity type='sev'> with <dhCert> or <session>",
        ));
    }

    Ok(common(security, Object::qom("sev-guest", ID))?
        .maybe("policy", security.policy)
        .maybe("kernel-hashes", security.kernel_hashes))
}

fn sev_snp(security: &LaunchSecurity) -> Result<Object, Error> {
    Ok(common(security, Object::qom("sev-snp-guest", ID))?
        .maybe("kernel-hashes", security.kernel_hashes)
        .maybe("policy", security.policy)
        .maybe(
            "guest-visible-workarounds",
            security.guest_visible_workarounds.as_deref(),
        )
        .maybe("id-block", security.id_block.as_deref())
        .maybe("id-auth", security.id_auth.as_deref())
        .maybe("host-data", security.host_data.as_deref())
        .maybe("author-key-enabled", security.author_key)
        .maybe("vcek-disabled", security.vcek.map(|vcek| !vcek)))
}

/// Adds the bits of addresses that encryption uses. They depend on the host, so a domain must name
/// them.
fn common(security: &LaunchSecurity, object: Object) -> Result<Object, Error> {
    let bits = security.cbitpos.zip(security.reduced_phys_bits);
    let Some((cbitpos, reduced)) = bits else {
        let what =
            "<launchSecurity> without <cbitpos> and <reducedPhysBits>, which depend on the host,";
        return Err(Error::unsupported(what));
    };
    Ok(object
        .with("cbitpos", cbitpos)
        .with("reduced-phys-bits", reduced))
}

fn tdx(security: &LaunchSecurity) -> Object {
    let socket = security.quote_generation_service.as_ref().map(|service| {
        let path = service
            .path
            .as_deref()
            .unwrap_or("/var/run/tdx-qgs/qgs.socket");
        Object::default().with("type", "unix").with("path", path)
    });
    Object::qom("tdx-guest", ID)
        .maybe("attributes", security.policy)
        .maybe("mrconfigid", security.mr_config_id.as_deref())
        .maybe("mrowner", security.mr_owner.as_deref())
        .maybe("mrownerconfig", security.mr_owner_config.as_deref())
        .maybe("quote-generation-socket", socket)
}
