//! Clients of the guest's screens: the handshakes of VNC and SPICE, up to the server's verdict.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time limit for each message of a server.
const LIMIT: Duration = Duration::from_secs(20);
/// Security type of VNC for a challenge that the password answers.
const VNC_CHALLENGE: u8 = 2;
/// Begin of each message of SPICE's link stage.
const SPICE_MAGIC: &[u8; 4] = b"REDQ";
/// Bytes of the server's public key: an RSA key of 1024 bits in DER.
const SPICE_KEY: usize = 162;
/// Capabilities of the client: it selects the mechanism, and can send a ticket.
const SPICE_CAPABILITIES: u32 = 0b11;

/// Connects to VNC with a password. Returns the server's verdict, 0 if the client is let in.
pub(super) fn vnc(port: u16, password: &str) -> u32 {
    let mut server = connect(port);
    let version = read::<12>(&mut server);
    assert_eq!(&version, b"RFB 003.008\n");

    server.write_all(&version).unwrap();
    let [count] = read(&mut server);
    let mut types = vec![0; count.into()];
    server.read_exact(&mut types).unwrap();
    assert_eq!(types, [VNC_CHALLENGE], "the server asks for no password");

    server.write_all(&[VNC_CHALLENGE]).unwrap();
    let challenge: [u8; 16] = read(&mut server);
    server
        .write_all(&vnc_response(password, &challenge))
        .unwrap();
    u32::from_be_bytes(read(&mut server))
}

/// Encrypts a challenge by DES. The key is the password, padded with zeros; the bits of each byte
/// are reversed.
fn vnc_response(password: &str, challenge: &[u8]) -> Vec<u8> {
    let mut key = String::new();
    for at in 0..8 {
        let byte = password.as_bytes().get(at).copied().unwrap_or(0);
        key += &format!("{:02x}", byte.reverse_bits());
    }

    // Triple DES with three equal keys is DES, which OpenSSL has no more by default.
    let key = key.repeat(3);
    openssl(&["enc", "-des-ede3-ecb", "-nopad", "-K", &key], challenge)
}

/// Connects to SPICE's main channel with a password, which may be empty. Returns the server's
/// verdict, 0 if the client is let in.
pub(super) fn spice(port: u16, password: &str) -> u32 {
    let mut server = connect(port);
    server.write_all(&spice_link()).unwrap();

    let header: [u8; 16] = read(&mut server);
    assert_eq!(&header[..4], SPICE_MAGIC);
    let mut reply = vec![0; word(&header, 12).try_into().unwrap()];
    server.read_exact(&mut reply).unwrap();
    assert_eq!(word(&reply, 0), 0, "the server refuses the link");

    let mechanism: u32 = 1;
    server.write_all(&mechanism.to_le_bytes()).unwrap();
    let ticket = spice_ticket(&reply[4..4 + SPICE_KEY], password);
    server.write_all(&ticket).unwrap();
    u32::from_le_bytes(read(&mut server))
}

/// Returns the first message of the link stage: header, then the wish for the main channel.
fn spice_link() -> Vec<u8> {
    let mut wish = Vec::new();
    let connection: u32 = 0;
    wish.extend(connection.to_le_bytes());
    let main_channel = [1, 0];
    wish.extend(main_channel);
    // One word of common capabilities, none of the channel, and their place.
    for number in [1, 0, 18, SPICE_CAPABILITIES] {
        wish.extend(number.to_le_bytes());
    }

    let mut message = SPICE_MAGIC.to_vec();
    let version: u32 = 2;
    let length = u32::try_from(wish.len()).unwrap();
    for number in [version, version, length] {
        message.extend(number.to_le_bytes());
    }
    message.extend(wish);
    message
}

/// Encrypts a password and the zero after it with the server's key (RSA-OAEP with SHA-1).
fn spice_ticket(key: &[u8], password: &str) -> Vec<u8> {
    let file = format!("/tmp/spice-{}.der", std::process::id());
    fs::write(&file, key).unwrap();
    let arguments = [
        "pkeyutl",
        "-encrypt",
        "-pubin",
        "-keyform",
        "DER",
        "-inkey",
        &file,
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        "rsa_oaep_md:sha1",
    ];
    let ticket = openssl(&arguments, format!("{password}\0").as_bytes());
    fs::remove_file(&file).unwrap();
    ticket
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Returns the number of 32 bits at a place.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Runs openssl(1) with this input, and returns its output.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}
