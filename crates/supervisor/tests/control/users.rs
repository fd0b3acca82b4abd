//! Clients of other users. They need root, which changes the user of one thread.

use super::*;

/// Runs work on a thread whose user and groups are others. Returns `None` if this process is not
/// root.
fn run_as<T: Send + 'static>(
    uid: u32,
    gid: u32,
    groups: &[u32],
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if !geteuid().is_root() {
        return None;
    }
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let uid = Uid::from_raw(uid);
    let gid = Gid::from_raw(gid);
    let thread = thread::spawn(move || {
        rustix::thread::set_thread_groups(&groups).unwrap();
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        work()
    });
    Some(thread.join().unwrap())
}

fn connect_as(folder: &TempDir, uid: u32, gid: u32, groups: &[u32]) -> Option<UnixStream> {
    let path = control_path(folder.path(), "vm");
    run_as(uid, gid, groups, move || UnixStream::connect(path).unwrap())
}

fn access() -> Access {
    Access {
        operators: Members {
            users: vec![4_001],
            groups: vec![4_200],
        },
        admins: Members::default(),
        vmm: None,
    }
}

#[test]
fn other_user_is_refused_at_its_connection() {
    let (mut server, folder) = server(access());
    let Some(client) = connect_as(&folder, 4_000, 4_000, &[4_100]) else {
        return;
    };
    settle(&mut server);
    let error = read_refusal(&client);

    assert_eq!(error.kind, control::ErrorKind::NotAllowed);
    assert_eq!(error.message, "the user 4000 may not use the guest 'vm'");
    assert_eq!(server.poll_entries().len(), 1);
}

#[test]
fn operator_may_stop_and_not_attach() {
    let (mut server, folder) = server(access());
    for (uid, groups) in [(4_001, vec![]), (4_000, vec![1, 4_200])] {
        let Some(mut client) = connect_as(&folder, uid, 4_000, &groups) else {
            return;
        };
        settle(&mut server);
        read_hello(&client);
        client.write_all(b"{\"command\":\"stop\"}\n").unwrap();
        let incoming = settle(&mut server).remove(0);
        assert_eq!(server.peer(incoming.client).unwrap().uid, uid);
        server.send(incoming.client, &done(), None);
        assert_eq!(read_line(&client), json!({"result": null}));

        client
            .write_all(b"{\"command\":\"attach\",\"xml\":\"\"}\n")
            .unwrap();
        assert!(settle(&mut server).is_empty());
        let error = read_line(&client);
        assert_eq!(error["error"]["kind"], "not-allowed");

        // The connection goes on.
        client.write_all(b"{\"command\":\"info\"}\n").unwrap();
        assert_eq!(settle(&mut server)[0].request, Request::Info {});
    }
}

#[test]
fn operator_may_not_send_a_long_line() {
    let (mut server, folder) = server(access());
    let Some(client) = connect_as(&folder, 4_001, 4_001, &[]) else {
        return;
    };
    let sender = send_all(&client, vec![b'x'; MAX_REQUEST * 3]);

    assert!(settle_with(&mut server, sender).0.is_empty());

    read_hello(&client);
    let error = read_refusal(&client);

    assert_eq!(error.message, "the request is longer than 64 KiB");
}

#[test]
fn operators_leave_room_for_administrators() {
    let (mut server, folder) = server(access());
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let Some(client) = connect_as(&folder, 4_001, 4_001, &[]) else {
            return;
        };
        clients.push(client);
    }

    settle(&mut server);
    let error = read_refusal(&clients[MAX_CLIENTS - 1]);

    assert_eq!(error.kind, control::ErrorKind::Busy);

    let root = connect(&folder);
    settle(&mut server);
    read_hello(&root);
}

#[test]
fn peer_is_the_one_who_connected() {
    let pair = run_as(4_003, 4_004, &[4_005], || UnixStream::pair().unwrap());
    let Some((ours, _theirs)) = pair else { return };
    let peer = Peer::from_stream(&ours).unwrap();
    assert_eq!((peer.uid, peer.gid), (4_003, 4_004));
    assert_eq!(peer.groups, [4_005]);
}
