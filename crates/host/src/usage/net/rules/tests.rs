//! Tests of the rules, on made-up networks.

use super::super::interface::HOST;
use super::super::link::{Link, Tunnel};
use super::super::scene::{CARD, OTHER, Scene, address, link};

#[test]
fn card_with_an_address_and_its_network_is_free() {
    let scene = Scene::new()
        .default_over(OTHER, 254)
        .route(CARD, "10.0.3.0", 24, 254);
    assert_eq!(scene.usages(), [""; 0]);
    assert_eq!(scene.blind_spots(), [""; 0]);
}

#[test]
fn card_of_the_only_route_is_used() {
    let scene = Scene::new()
        .route(CARD, "10.0.3.0", 24, 254)
        .route(CARD, "fe80::", 64, 254);
    let only = "the route to 10.0.3.0/24 over eth0, on a host without a default route";
    assert_eq!(scene.usages(), [only]);

    let scene = scene.route(OTHER, "10.0.3.0", 24, 254);
    assert_eq!(scene.usages(), [""; 0]);
}

#[test]
fn card_with_a_default_route_has_one_usage() {
    let mut scene = Scene::new().default_over(CARD, 254);
    scene.snapshots[HOST].routes[0].has_gateway = false;
    scene.link(CARD).parent = None;
    let below = ["the default route over eth0"];
    assert_eq!(scene.usages_without_parents(), below);
}

#[test]
fn default_route_over_a_dummy_does_not_free_a_card() {
    let scene = Scene::new().add(Link {
        kind: "dummy".into(),
        ..link(9, "dummy0")
    });
    let mut scene = scene.default_over(9, 254).route(CARD, "10.0.3.0", 24, 254);
    scene.snapshots[HOST].routes[0].has_gateway = false;
    let only = "the route to 10.0.3.0/24 over eth0, on a host without a default route";

    assert_eq!(scene.usages(), [only]);
}

#[test]
fn default_route_of_a_table_counts_with_a_rule() {
    let mut scene = Scene::new()
        .default_over(OTHER, 254)
        .default_over(CARD, 100);
    assert_eq!(scene.usages(), [""; 0]);

    scene.snapshots[HOST].tables.insert(100);
    assert_eq!(scene.usages(), ["the default route of table 100 over eth0"]);
}

#[test]
fn parts_of_a_default_route_and_routers_are_used() {
    for (destination, length) in [("0.0.0.0", 1), ("128.0.0.0", 1), ("::", 1), ("2000::", 3)] {
        let scene = Scene::new()
            .default_over(OTHER, 254)
            .route(CARD, destination, length, 254);
        let expected = format!("the route to {destination}/{length} over eth0");
        assert_eq!(scene.usages(), [expected]);
    }

    let mut scene = Scene::new()
        .default_over(OTHER, 254)
        .route(CARD, "10.9.0.0", 16, 254);
    assert_eq!(scene.usages(), [""; 0]);

    scene.snapshots[HOST].routes.last_mut().unwrap().has_gateway = true;
    assert_eq!(scene.usages(), ["the route to 10.9.0.0/16 over eth0"]);
}

#[test]
fn bridge_with_the_tap_of_a_guest_is_used() {
    let mut scene = Scene::new().default_over(OTHER, 254);
    scene.link(CARD).master = Some(10);
    let scene = scene.add(Link {
        kind: "bridge".into(),
        ..link(10, "br0")
    });
    assert_eq!(scene.usages(), [""; 0]);

    let tap = Link {
        kind: "tun".into(),
        master: Some(10),
        ..link(11, "vnet0")
    };
    assert_eq!(
        scene.add(tap).usages(),
        ["br0, which joins eth0 with vnet0"]
    );
}

#[test]
fn tunnel_of_a_program_makes_routed_cards_unknown() {
    let scene = Scene::new().add(Link {
        kind: "tun".into(),
        ..link(10, "tun0")
    });
    let mut scene = scene.default_over(10, 254);
    scene.snapshots[HOST].routes[0].has_gateway = false;
    assert_eq!(scene.blind_spots(), [""; 0]);

    let scene = scene
        .route(CARD, "10.0.3.0", 24, 254)
        .default_over(OTHER, 254);
    assert_eq!(scene.usages(), [""; 0]);

    let tun = "interfaces that carry tunnels cannot be seen (tun0: a program carries its packets)";
    assert_eq!(scene.blind_spots(), [tun]);
}

#[test]
fn external_tunnel_makes_routed_cards_unknown() {
    let tunnel = Tunnel {
        is_external: true,
        ..Tunnel::default()
    };
    let vxlan = Link {
        kind: "vxlan".into(),
        tunnel,
        ..link(10, "vxlan_sys_4789")
    };
    let scene = Scene::new().add(vxlan).default_over(OTHER, 254);
    assert_eq!(scene.blind_spots(), [""; 0]);
    assert_eq!(
        scene.route(CARD, "10.0.3.0", 24, 254).blind_spots().len(),
        1
    );
}

#[test]
fn card_in_another_namespace_is_used_there() {
    let mut scene = Scene::new()
        .default_over(OTHER, 254)
        .namespace("network namespace blue");
    let card = scene.snapshots[HOST].links.remove(&CARD).unwrap();
    scene.snapshots[1].links.insert(CARD, card);
    assert_eq!(scene.usages(), ["eth0 in network namespace blue"]);
}

#[test]
fn macvlan_of_a_container_is_carried_by_its_card() {
    let mut scene = Scene::new()
        .default_over(OTHER, 254)
        .namespace("network namespace blue");
    let below = Some(CARD);
    let macvlan = Link {
        kind: "macvlan".into(),
        below,
        below_namespace: Some(0),
        ..link(9, "mv0")
    };
    scene.snapshots[1].links.insert(9, macvlan);
    scene.snapshots[1].neighbours.insert(0, HOST);

    assert_eq!(
        scene.usages(),
        ["mv0 in network namespace blue, carried by eth0"]
    );
}

#[test]
fn macvtap_that_is_up_is_used() {
    let macvtap = Link {
        kind: "macvtap".into(),
        below: Some(CARD),
        ..link(9, "macvtap0")
    };
    let scene = Scene::new().default_over(OTHER, 254).add(macvtap);
    assert_eq!(scene.usages(), ["the tap macvtap0, carried by eth0"]);
}

#[test]
fn storage_and_ssh_are_found_by_their_routes() {
    let scene = Scene::new()
        .default_over(OTHER, 254)
        .answer("10.0.3.100", CARD);
    let nfs = scene.connection("10.0.3.15:50000", "10.0.3.100:2049");
    assert_eq!(nfs.usages(), ["NFS with 10.0.3.100 over eth0"]);

    let scene = Scene::new()
        .default_over(OTHER, 254)
        .answer("10.0.3.2", CARD);
    let ssh = scene.connection("10.0.3.15:22", "10.0.3.2:50000");
    assert_eq!(ssh.usages(), ["the SSH session of 10.0.3.2 over eth0"]);

    let scene = Scene::new()
        .default_over(OTHER, 254)
        .answer("10.0.3.2", CARD);
    assert_eq!(
        scene.connection("10.0.3.15:40000", "10.0.3.2:443").usages(),
        [""; 0]
    );
}

#[test]
fn ssh_server_on_another_port_is_known_by_its_sockets() {
    let scene = Scene::new()
        .default_over(OTHER, 254)
        .answer("10.0.3.2", CARD);
    let mut scene = scene.connection("10.0.3.15:2222", "10.0.3.2:50000");
    assert_eq!(scene.usages(), [""; 0]);

    scene
        .ssh_sockets
        .insert(scene.snapshots[HOST].connections[0].inode);
    assert_eq!(scene.usages(), ["the SSH session of 10.0.3.2 over eth0"]);
}

#[test]
fn ssh_server_bound_to_one_address_needs_its_card() {
    let mut scene = Scene::new()
        .default_over(OTHER, 254)
        .connection("10.0.3.15:22", "1.1.1.1:1");
    scene.snapshots[HOST]
        .addresses
        .push((CARD, address("10.0.3.15")));
    scene.snapshots[HOST].connections[0].remote = None;
    assert_eq!(
        scene.usages(),
        ["the SSH server's address 10.0.3.15 on eth0"]
    );

    scene.snapshots[HOST].connections[0]
        .local
        .set_ip(address("0.0.0.0"));
    assert_eq!(scene.usages(), [""; 0]);
}

#[test]
fn only_link_that_is_up_informs() {
    let mut scene = Scene::new();
    scene.link(CARD).is_running = true;
    assert_eq!(scene.usages(), ["eth0, the only network link that is up"]);
    scene.link(OTHER).is_running = true;
    assert_eq!(scene.usages(), [""; 0]);
}
