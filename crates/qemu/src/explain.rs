//! Explanation of QEMU's error messages: the device of the domain, and a hint for the user.

use std::fmt;

use passthru_pci::Address;
use serde_json::Value;

use crate::line::{CommandLine, Opt, Value as OptValue, WantKind};

/// QEMU's message with the device that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Id of the device (its alias in the domain), object or block node.
    pub id: Option<String>,
    /// Address on the host, for an assigned device.
    pub host: Option<Address>,
    /// QEMU's message without program, time and option.
    pub message: String,
    /// An imperative for the user, if one is known.
    pub hint: Option<&'static str>,
}

const CACHING_MODE: &str = "add <driver caching_mode='on'/> to <iommu model='intel'>: \
                            a device behind an Intel IOMMU needs it";

/// Hints for frequent messages. The first entry applies whose words are all in the message.
const HINTS: &[(&[&str], &str)] = &[
    (
        &["Cannot allocate memory"],
        "raise the locked-memory limit (RLIMIT_MEMLOCK) to the guest's memory \
         plus what the devices map",
    ),
    (
        &["group", "not viable"],
        "bind the other devices of the IOMMU group to vfio-pci, or leave them without a driver",
    ),
    (
        &["failed to open /dev/vfio"],
        "bind the device to vfio-pci, and give the VMM's user access to it",
    ),
    (
        &["Device or resource busy"],
        "stop the other guest or program that uses the device",
    ),
    (
        &["error bind device fd"],
        "open the VFIO device anew for each start: \
         an open one can be bound to an iommufd only once",
    ),
    (
        &["Could not access KVM kernel module", "No such file"],
        "load the kernel's KVM module and enable virtualization in the firmware, \
         or use <domain type='qemu'>",
    ),
    (
        &["Could not access KVM kernel module"],
        "give the VMM's user access to /dev/kvm",
    ),
    (&["caching-mode"], CACHING_MODE),
    (&["requires caching mode"], CACHING_MODE),
    (
        &["nsupported machine type"],
        "run QEMU with `-machine help` to list its machine types",
    ),
    (
        &["is not a valid device model name"],
        "install the package of QEMU's modules that has this device, or another QEMU",
    ),
    (
        &["vfio", "No such device"],
        "bind the device to vfio-pci, and switch the IOMMU on",
    ),
    (
        &["Failed to get", "lock"],
        "stop the other process that uses the image, \
         or mark a disk that guests may share <shareable/>",
    ),
    (
        &["PCI BAR?"],
        "ignore this if the guest needs no peer-to-peer DMA between devices",
    ),
    (
        &["host doesn't support requested feature"],
        "remove this feature from <cpu>: the host's processor lacks it",
    ),
];

/// Finds the device that QEMU's standard error is about; `None` if QEMU wrote no message.
///
/// `line` is the command line that QEMU was started with.
pub fn explain(stderr: &str, line: &CommandLine) -> Option<Explanation> {
    let lines = stderr.lines().filter_map(|text| Message::parse(text, line));
    // QEMU writes warnings first. The last message with an id ended QEMU; details may follow.
    let messages: Vec<_> = lines
        .filter(|message| !message.text.starts_with("warning: "))
        .collect();
    let message = messages
        .iter()
        .rfind(|message| message.id.is_some())
        .or(messages.last())?;
    let host = message.id.as_deref().and_then(|id| host_of(line, id));
    Some(Explanation {
        id: message.id.clone(),
        host,
        message: message.text.clone(),
        hint: hint(&message.text),
    })
}

/// A line that QEMU wrote.
struct Message {
    id: Option<String>,
    text: String,
}

impl Message {
    /// Reads `[TIME] PROGRAM: [-option value: ]text`.
    fn parse(text: &str, line: &CommandLine) -> Option<Self> {
        let text = without_time(text.trim());
        let program = line.emulator.rsplit('/').next().unwrap_or_default();
        let text = text
            .strip_prefix(&line.emulator)
            .or_else(|| text.strip_prefix(program))?;
        let text = text.strip_prefix(": ")?;
        let (id, text) = of_option(text).unwrap_or((None, text));
        let id = id.or_else(|| mentioned(text, line));
        Some(Self {
            id,
            text: text.to_owned(),
        })
    }
}

/// Removes the time that `-msg timestamp=on` puts first, as in `2026-11-21T01:45:00.123456Z `.
fn without_time(text: &str) -> &str {
    match text.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.contains('T') => rest,
        _ => text,
    }
}

/// Splits `-device {…}: text`: returns the id of the device or object, and the text.
fn of_option(text: &str) -> Option<(Option<String>, &str)> {
    if !text.starts_with('-') {
        return None;
    }
    let (_, value) = text.split_once(' ')?;
    if !value.starts_with('{') {
        let (option, rest) = value.split_once(": ")?;
        let id = option.split(',').find_map(|part| part.strip_prefix("id="));
        return Some((id.map(str::to_owned), rest));
    }

    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    let object = values.next()?.ok()?;
    let rest = value.get(values.byte_offset()..)?.strip_prefix(": ")?;
    let id = object["id"].as_str().or(object["node-name"].as_str());
    Some((id.map(str::to_owned), rest))
}

/// Returns the id of the first device that a text mentions.
fn mentioned(text: &str, line: &CommandLine) -> Option<String> {
    let mut ids = line.options.iter().filter_map(Opt::id);
    let id = ids.find(|id| mentions(text, line, id))?;
    Some(id.to_owned())
}

/// Returns whether a text mentions a device: by the host address (`vfio 0000:06:12.5: …`), or by
/// the id in quotes.
fn mentions(text: &str, line: &CommandLine, id: &str) -> bool {
    let host = host_of(line, id).map(|host| host.to_string());
    host.is_some_and(|host| text.contains(&host))
        || text.contains(&format!("'{id}'"))
        || text.contains(&format!("\"{id}\""))
}

/// Returns the host address of a device, from its want on the line or its `host=`.
fn host_of(line: &CommandLine, id: &str) -> Option<Address> {
    let by_want = line.wants().into_iter().find_map(|want| match &want.kind {
        WantKind::Vfio { host, .. } if want.name == id => Some(*host),
        _ => None,
    });
    by_want.or_else(|| {
        let option = line
            .options
            .iter()
            .find(|option| option.flag == "-device" && option.id() == Some(id))?;
        let OptValue::Json(device) = &option.value else {
            return None;
        };
        device.text("host")?.parse().ok()
    })
}

fn hint(text: &str) -> Option<&'static str> {
    HINTS
        .iter()
        .find(|(words, _)| words.iter().all(|word| text.contains(word)))
        .map(|(_, hint)| *hint)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.id, self.host) {
            (Some(id), Some(host)) => write!(f, "{id} (the host's {host}): {}", self.message),
            (Some(id), None) => write!(f, "{id}: {}", self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}
