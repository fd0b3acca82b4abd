//! Storage servers that this host has mounted or attached, with or without an open connection.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::interface::HOST;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::disk::mounts::Mount;

use crate::{Host, sysfs};

/// The mounts of one mount namespace.
#[derive(Clone, Debug)]
pub(super) struct MountTable {
    /// Index, in the list of namespaces, of the network namespace of a process with these mounts.
    pub(super) network: usize,
    pub(super) mounts: Vec<Mount>,
}

/// A storage server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageServer {
    /// Index of the network namespace in the list of namespaces.
    pub(super) namespace: usize,
    pub(super) protocol: &'static str,
    pub(super) address: IpAddr,
    /// Address of this host that the connection is bound to.
    pub(super) source: Option<IpAddr>,
}

/// Lists the servers of all mounts. A mount whose server is unknown becomes a blind spot.
pub(super) fn mounted(tables: &[MountTable]) -> (Vec<StorageServer>, Vec<BlindSpot>) {
    let mut servers = Vec::new();
    let mut blind_spots = Vec::new();
    for table in tables {
        for mount in &table.mounts {
            let Some(protocol) = protocol(mount) else {
                continue;
            };
            let addresses = addresses(mount);
            if addresses.is_empty() {
                let usages = "connections of network file systems";
                let reason = "the mount's options have no address of its server";
                blind_spots.push(BlindSpot::new(usages, &mount.mount_point, reason));
            }
            for address in addresses {
                servers.push(StorageServer {
                    namespace: table.network,
                    protocol,
                    address,
                    source: None,
                });
            }
        }
    }

    (servers, blind_spots)
}

/// Lists the iSCSI and NVMe over Fabrics targets in sysfs.
pub(super) fn attached(host: &Host) -> Vec<StorageServer> {
    let connections = host.path("sys/class/iscsi_connection");
    let mut servers = Vec::new();
    for name in sysfs::names(&connections) {
        for file in ["address", "persistent_address"] {
            let text = sysfs::read(connections.join(&name).join(file));
            if let Some(address) = text.and_then(|text| parse_address(&text)) {
                servers.push(StorageServer {
                    namespace: HOST,
                    protocol: "iSCSI",
                    address,
                    source: None,
                });
            }
        }
    }

    let controllers = host.path("sys/class/nvme");
    for name in sysfs::names(&controllers) {
        servers.extend(nvme_target(&controllers.join(name)));
    }
    servers
}

/// Reads the target of an NVMe controller: `traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.2`.
fn nvme_target(controller: &Path) -> Option<StorageServer> {
    let protocol = match sysfs::read(controller.join("transport"))?.as_str() {
        "tcp" => "NVMe over TCP",
        "rdma" => "NVMe over RDMA",
        _ => return None,
    };
    let text = sysfs::read(controller.join("address"))?;
    let address = option(&text, "traddr").and_then(parse_address)?;
    let source = option(&text, "host_traddr").and_then(parse_address);
    let source = source.or_else(|| option(&text, "src_addr").and_then(parse_address));
    Some(StorageServer {
        namespace: HOST,
        protocol,
        address,
        source,
    })
}

/// Returns the value of an option in `NAME=VALUE,NAME=VALUE`.
fn option<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut options = text.split(',').filter_map(|option| option.split_once('='));
    let (_, value) = options.find(|(own, _)| *own == name)?;
    Some(value)
}

fn protocol(mount: &Mount) -> Option<&'static str> {
    Some(match mount.kind.as_str() {
        "nfs" | "nfs4" => "NFS",
        "cifs" | "smb3" => "SMB",
        "ceph" => "Ceph",
        "9p" if mount.options.split(',').any(|option| option == "trans=tcp") => "9P over TCP",
        _ => return None,
    })
}

/// Returns the addresses of a mount's server. With Ceph, those are the addresses of the monitors.
fn addresses(mount: &Mount) -> Vec<IpAddr> {
    let texts: Vec<&str> = match mount.kind.as_str() {
        "ceph" => match option(&mount.options, "mon_addr") {
            Some(monitors) => monitors.split('/').collect(),
            None => {
                let (monitors, _) = mount.source.split_once(":/").unwrap_or((&mount.source, ""));
                monitors.split(',').collect()
            }
        },
        "9p" => vec![&mount.source],
        _ => option(&mount.options, "addr").into_iter().collect(),
    };
    texts.into_iter().filter_map(parse_address).collect()
}

/// Reads an address with or without a port, a zone (`%eth0`) or brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = text
        .split('%')
        .next()?
        .trim_start_matches('[')
        .trim_end_matches(']');
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;
    use crate::usage::disk::mounts;

    fn table(line: &str) -> MountTable {
        let text = format!("30 22 0:44 / /data rw - {line}\n");
        MountTable {
            network: HOST,
            mounts: mounts::parse(text.as_bytes()),
        }
    }

    fn servers(line: &str) -> Vec<(&'static str, String)> {
        let (servers, blind_spots) = mounted(&[table(line)]);
        assert_eq!(blind_spots, []);
        servers
            .iter()
            .map(|server| (server.protocol, server.address.to_string()))
            .collect()
    }

    #[test]
    fn server_of_a_mount_is_read_from_its_options() {
        let nfs =
            servers("nfs4 nas:/export rw,vers=4.2,proto=tcp,clientaddr=10.0.3.15,addr=10.0.3.100");
        assert_eq!(nfs, [("NFS", "10.0.3.100".into())]);

        let nfs = servers("nfs nas:/export rw,proto=tcp6,addr=fe80::1%eth0,mountproto=tcp");
        assert_eq!(nfs, [("NFS", "fe80::1".into())]);
        assert_eq!(
            servers("cifs //nas/x rw,addr=2001:db8::5"),
            [("SMB", "2001:db8::5".into())]
        );
        assert_eq!(
            servers("9p 10.0.3.100 rw,trans=tcp"),
            [("9P over TCP", "10.0.3.100".into())]
        );
        assert_eq!(servers("9p root rw,trans=virtio"), []);
        assert_eq!(servers("ext4 /dev/sda1 rw"), []);
    }

    #[test]
    fn ceph_monitors_are_read_in_both_spellings() {
        let expected = [
            ("Ceph", "10.0.0.1".to_owned()),
            ("Ceph", "10.0.0.2".to_owned()),
        ];
        assert_eq!(
            servers("ceph 10.0.0.1:6789,10.0.0.2:6789:/vms rw,name=x"),
            expected
        );
        assert_eq!(
            servers("ceph x@fsid.fs=/ rw,mon_addr=10.0.0.1:3300/10.0.0.2:3300"),
            expected
        );
    }

    #[test]
    fn mount_without_an_address_is_a_blind_spot() {
        let (servers, blind_spots) = mounted(&[table("nfs nas:/x rw,proto=tcp")]);
        assert_eq!(servers, []);
        assert_eq!(blind_spots[0].place, "/data");
    }

    #[test]
    fn targets_are_read_from_sysfs() {
        let tree = Tree::new();
        tree.file(
            "sys/class/iscsi_connection/connection1:0/address",
            "10.0.3.100\n",
        );
        tree.file("sys/class/nvme/nvme0/transport", "pcie\n");
        tree.file("sys/class/nvme/nvme0/address", "0000:01:00.0\n");
        tree.file("sys/class/nvme/nvme1/transport", "tcp\n");
        let address = "traddr=10.0.3.101,trsvcid=4420,src_addr=10.0.3.15\n";
        tree.file("sys/class/nvme/nvme1/address", address);
        let servers = attached(&tree.host());
        let texts: Vec<_> = servers
            .iter()
            .map(|s| (s.protocol, s.address.to_string()))
            .collect();
        let expected = [
            ("iSCSI", "10.0.3.100".into()),
            ("NVMe over TCP", "10.0.3.101".into()),
        ];

        assert_eq!(texts, expected);
        assert_eq!(servers[1].source, Some("10.0.3.15".parse().unwrap()));
    }
}
