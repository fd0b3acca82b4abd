//! Support of the tests of network cards in use.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use passthru_lab::devices::{IGB, IGB_ADDRESS};
use passthru_lab::{Finished, run};

/// Address on the card's network in another namespace.
pub(super) const FAR: &str = "10.0.3.200";

/// The card, up and with its address, beside a namespace. Drop removes everything that a test made.
pub(super) struct Bench {
    pub(super) card: String,
}

impl Bench {
    pub(super) fn new() -> Self {
        let bench = Self {
            card: interface(IGB).unwrap(),
        };
        bench.clear();
        // The emulator's network advertises an IPv6 router of its own, to what a test makes too.
        for name in ["default", &bench.card] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0").unwrap();
        }
        ip(&format!("address add {IGB_ADDRESS} dev {}", bench.card));
        ip(&format!("link set {} up", bench.card));
        bench.wait_for_carrier();
        bench
    }

    fn wait_for_carrier(&self) {
        let carrier = format!("/sys/class/net/{}/carrier", self.card);
        let end = Instant::now() + Duration::from_secs(20);
        while fs::read_to_string(&carrier).is_ok_and(|carrier| carrier.trim() != "1") {
            assert!(Instant::now() < end, "{carrier} stays 0");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `ip`, with `CARD` replaced by the card's interface.
    pub(super) fn ip(&self, words: &str) {
        ip(&words.replace("CARD", &self.card));
    }

    /// Makes a namespace with an address of the card's network, over a macvlan of the card.
    ///
    /// The host gets a macvlan too, so that packets between the two pass on the card.
    pub(super) fn far(&self) {
        for (name, namespace) in [("near0", None), ("far0", Some("far"))] {
            self.ip(&format!(
                "link add {name} link CARD type macvlan mode bridge"
            ));
            if let Some(namespace) = namespace {
                ip(&format!("netns add {namespace}"));
                ip(&format!("link set {name} netns {namespace}"));
            }
        }

        self.ip(&format!("address del {IGB_ADDRESS} dev CARD"));
        ip(&format!("address add {IGB_ADDRESS} dev near0"));
        ip("link set near0 up");
        ip(&format!("-n far address add {FAR}/24 dev far0"));
        ip("-n far link set far0 up");
        ip("-n far link set lo up");
    }

    /// Removes everything that the tests here make.
    fn clear(&self) {
        let _ = try_ip("netns del far");
        for name in ["made0", "made1", "made2", "near0", "far0", "br0", "bond0"] {
            let _ = try_ip(&format!("link del {name}"));
        }
        let _ = try_ip(&format!("link set {} nomaster", self.card));
        for family in ["-4", "-6"] {
            let _ = try_ip(&format!("{family} address flush dev {}", self.card));
            let _ = try_ip(&format!("{family} route flush table 100"));
            let _ = try_ip(&format!("{family} rule del table 100"));
        }

        let _ = try_ip("nexthop flush");
        let _ = try_ip(&format!("link set {} down", self.card));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.clear();
    }
}

pub(super) fn try_ip(words: &str) -> Finished {
    run(Command::new("ip").args(words.split(' ')))
}

#[track_caller]
pub(super) fn ip(words: &str) {
    let _ = try_ip(words).expect_success();
}

#[track_caller]
pub(super) fn in_far(script: &str) -> Finished {
    run(Command::new("nsenter").args(["--net=/run/netns/far", "sh", "-c", script]))
}

/// Returns the network interface of a device, or `None` if it is in another namespace.
pub(super) fn interface(device: &str) -> Option<String> {
    let folder = Path::new("/sys/bus/pci/devices").join(device).join("net");
    let entry = fs::read_dir(folder).ok()?.next()?.unwrap();
    Some(entry.file_name().into_string().unwrap())
}

pub(super) fn bind(device: &str) -> Command {
    let mut command = Command::new("passthru");
    command
        .args(["bind", "--dry-run", device])
        .env_remove("SSH_CONNECTION");
    command
}

/// Returns the message that refuses a device.
#[track_caller]
pub(super) fn refused(device: &str) -> String {
    let finished = run(&mut bind(device));
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    finished.stderr
}

#[track_caller]
pub(super) fn expect_use(words: &str) {
    let said = refused(IGB);
    assert!(said.contains(words), "{words:?} is missing: {said}");
}

#[track_caller]
pub(super) fn expect_free(device: &str) {
    let _ = run(&mut bind(device)).expect_success();
}

/// A process that ends with the test.
pub(super) struct Service(pub(super) Child);

impl Service {
    pub(super) fn start(script: &str) -> Self {
        let mut command = Command::new("nsenter");
        command
            .args(["--net=/run/netns/far", "sh", "-c", script])
            .stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
pub(super) fn connect(to: &str) -> TcpStream {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect_timeout(&to.parse().unwrap(), Duration::from_secs(5)) {
            Ok(stream) => return stream,
            Err(error) if Instant::now() > end => panic!("{to}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

#[track_caller]
pub(super) fn wait_for_interface(device: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while interface(device).is_none() {
        assert!(Instant::now() < end, "{device} has no interface");
        std::thread::sleep(Duration::from_millis(20));
    }
}
