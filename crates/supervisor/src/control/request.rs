//! Requests of a client.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::peer::Right;

/// A request, one JSON object a line: `{"command":"stop","force":true}`.
///
/// Unknown commands and fields are errors. Fields that are left out are false, empty or `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "command",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
#[non_exhaustive]
pub enum Request {
    /// Describes the guest: state, process, devices, memory.
    Info {},
    /// Ends the guest: asks it to power off, then ends the VMM.
    Stop {
        /// Seconds that the guest gets to power off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// Whether the VMM is ended without asking the guest.
        #[serde(default)]
        force: bool,
    },
    /// Starts the guest again.
    Reboot {
        /// Whether the machine is reset without asking the guest.
        #[serde(default)]
        reset: bool,
    },
    /// Stops the guest's processors.
    Pause {},
    /// Lets the guest's processors go on.
    Resume {},
    /// Asks for the guest's console, a terminal that comes as a descriptor with the answer. The
    /// client holds the console as long as its connection is open.
    Console {
        /// Whether another client loses the console.
        #[serde(default)]
        force: bool,
    },
    /// Asks for the domain XML of the guest as it is now.
    DumpXml {},
    /// Gives the guest more devices.
    Attach {
        /// XML of one device, or of several in `<devices>`.
        xml: String,
        /// Names of the descriptors that come with the request, in their order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fds: Vec<String>,
        /// Whether another device at a known address is accepted.
        #[serde(default)]
        accept_new_device: bool,
    },
    /// Takes a device from the guest.
    Detach {
        /// Alias of the device, or its address on the host.
        device: String,
        /// Seconds that the guest gets to let go of the device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// Whether the device is taken although the guest does not let go of it.
        #[serde(default)]
        force: bool,
    },
    /// Asks for the guest's events, until the client closes the connection.
    Events {},
    /// Passes a command to the monitor of QEMU.
    Qmp {
        /// Command, as the monitor reads it.
        line: Value,
    },
    /// Saves the guest to the file whose descriptor comes with the request, and ends it.
    Save {},
}

impl Request {
    /// Parses a line.
    ///
    /// # Errors
    /// If the line is not a request, then the parser's error.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Returns the right that a client needs for this request.
    pub const fn right(&self) -> Right {
        match self {
            Self::Info {}
            | Self::Stop { .. }
            | Self::Reboot { .. }
            | Self::Pause {}
            | Self::Resume {}
            | Self::Console { .. }
            | Self::Events {} => Right::Operator,
            // These name files that root opens, show what the XML holds, or bypass the journal.
            Self::DumpXml {}
            | Self::Attach { .. }
            | Self::Detach { .. }
            | Self::Qmp { .. }
            | Self::Save {} => Right::Admin,
        }
    }

    /// Returns the number of descriptors that come with this request.
    pub const fn descriptors(&self) -> usize {
        match self {
            Self::Attach { fds, .. } => fds.len(),
            Self::Save {} => 1,
            _ => 0,
        }
    }

    /// Returns whether the line of this request may be longer than 64 KiB.
    pub(super) const fn may_be_long(&self) -> bool {
        matches!(self, Self::Attach { .. })
    }

    /// Returns the name of the command.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Info {} => "info",
            Self::Stop { .. } => "stop",
            Self::Reboot { .. } => "reboot",
            Self::Pause {} => "pause",
            Self::Resume {} => "resume",
            Self::Console { .. } => "console",
            Self::DumpXml {} => "dump-xml",
            Self::Attach { .. } => "attach",
            Self::Detach { .. } => "detach",
            Self::Events {} => "events",
            Self::Qmp { .. } => "qmp",
            Self::Save {} => "save",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Request> {
        let device = "hostdev0".to_owned();
        vec![
            Request::Info {},
            Request::Stop {
                timeout: Some(60),
                force: true,
            },
            Request::Reboot { reset: true },
            Request::Pause {},
            Request::Resume {},
            Request::Console { force: true },
            Request::DumpXml {},
            Request::Attach {
                xml: "<hostdev/>".into(),
                fds: vec!["net".into()],
                accept_new_device: true,
            },
            Request::Detach {
                device,
                timeout: None,
                force: false,
            },
            Request::Events {},
            Request::Qmp {
                line: serde_json::json!({"execute": "query-status"}),
            },
            Request::Save {},
        ]
    }

    #[test]
    fn line_of_each_request_reads_back() {
        for request in all() {
            let line = serde_json::to_value(&request).unwrap();
            assert_eq!(line["command"], request.name());
            assert_eq!(
                Request::parse(line.to_string().as_bytes()).unwrap(),
                request
            );
        }
    }

    #[test]
    fn absent_fields_ask_for_nothing() {
        let stop = Request::parse(br#"{"command":"stop"}"#).unwrap();
        let plain = Request::Stop {
            timeout: None,
            force: false,
        };

        assert_eq!(stop, plain);

        let attach = Request::parse(br#"{"command":"attach","xml":"<disk/>"}"#).unwrap();

        assert_eq!(attach.descriptors(), 0);
    }

    #[test]
    fn unknown_command_or_field_is_refused() {
        for line in [
            r#"{"command":"explode"}"#,
            r#"{"command":"pause","wait":true}"#,
            r#"{"command":"stop","forced":true}"#,
            r#"{"command":"attach","xml":"","accept_new_device":true}"#,
            r#"{"command":"stop","timeout":-1}"#,
            r#"{}"#,
            "[]",
            "stop",
        ] {
            assert!(Request::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn operator_may_not_use_requests_that_open_files() {
        let mut allowed = Vec::new();
        for request in all() {
            if request.right() <= Right::Operator {
                allowed.push(request.name());
            }
        }

        assert_eq!(
            allowed,
            [
                "info", "stop", "reboot", "pause", "resume", "console", "events"
            ]
        );
    }
}
