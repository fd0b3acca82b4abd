//! Descriptors that go with requests and answers.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::*;

/// Sends a text with copies of one descriptor, as a client that follows no rule.
fn send(client: &UnixStream, text: &str, fd: BorrowedFd<'_>, count: usize) {
    let fds = vec![fd; count];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let bytes = IoSlice::new(text.as_bytes());
    sendmsg(client, &[bytes], &mut control, SendFlags::empty()).unwrap();
}

/// Receives what is there, and its descriptors.
fn receive(client: &UnixStream) -> (String, Vec<OwnedFd>) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slice = io::IoSliceMut::new(&mut bytes);
    let received = recvmsg(client, &mut [slice], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }

    let text = String::from_utf8(bytes[..received.bytes].to_vec()).unwrap();
    (text, fds)
}

#[test]
fn descriptor_arrives_with_its_answer() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":\"console\"}\n").unwrap();
    let id = settle(&mut server)[0].client;
    read_hello(&client);
    let (mut reader, writer) = io::pipe().unwrap();

    assert!(server.send(id, &done(), Some(writer.into())));

    let (text, mut fds) = receive(&client);

    assert_eq!(text, "{\"result\":null}\n");
    assert_eq!(fds.len(), 1);

    File::from(fds.remove(0)).write_all(b"hello").unwrap();
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();

    assert_eq!(read, "hello");
}

#[test]
fn descriptors_of_a_request_come_with_it() {
    let (mut server, folder) = server(Access::default());
    let client = connect(&folder);
    settle(&mut server);
    let (mut reader, writer) = io::pipe().unwrap();
    // The first line wants none, so the descriptor belongs to the second.
    (&client).write_all(b"{\"command\":\"pause\"}\n").unwrap();
    send(&client, "{\"command\":\"save\"}\n", writer.as_fd(), 1);
    drop(writer);

    let pause = settle(&mut server).remove(0);

    assert_eq!(pause.request, Request::Pause {});
    assert!(pause.fds.is_empty());

    server.send(pause.client, &done(), None);
    let mut save = settle(&mut server).remove(0);

    assert_eq!(save.request, Request::Save {});

    File::from(save.fds.remove(0)).write_all(b"state").unwrap();
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();

    assert_eq!(read, "state");
}

#[test]
fn missing_descriptor_is_named() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client
        .write_all(b"{\"command\":\"attach\",\"xml\":\"\",\"fds\":[\"a\",\"b\"]}\n")
        .unwrap();

    let error = settle_refused(&mut server, &client);

    assert_eq!(error.message, "attach needs 2 descriptors, and 0 came");
}

#[test]
fn too_many_descriptors_are_closed_with_their_client() {
    let (mut server, folder) = server(Access::default());
    let client = connect(&folder);
    settle(&mut server);
    let (mut reader, writer) = io::pipe().unwrap();
    send(&client, "{\"command\":\"save\"}\n", writer.as_fd(), 40);
    drop(writer);

    let error = settle_refused(&mut server, &client);

    assert_eq!(error.message, "too many descriptors came");

    // No copy of the descriptor is left in the server.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn descriptors_of_a_refused_request_are_closed() {
    let (mut server, folder) = server(Access::default());
    let client = connect(&folder);
    settle(&mut server);
    let (mut reader, writer) = io::pipe().unwrap();
    send(&client, "nonsense\n", writer.as_fd(), 3);
    drop(writer);

    assert!(settle(&mut server).is_empty());
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}
