//! Events about devices, read as types.

use serde::Deserialize;

use super::answer::{optional_text, read, text};
use super::error::Error;
use super::event::Event;

/// An event about a device that was plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// `DEVICE_DELETED`: QEMU has removed the device. Its id can be used again.
    Deleted(DeviceName),
    /// `DEVICE_UNPLUG_GUEST_ERROR`: the guest refused to release the device.
    UnplugGuestError(DeviceName),
    /// `DEVICE_TRAY_MOVED`: the tray of a drive was opened or closed.
    TrayMoved(TrayMove),
}

/// The device of an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeviceName {
    /// Id; `None` for a part of a device, which has none.
    #[serde(default, deserialize_with = "optional_text")]
    pub device: Option<String>,
    /// Path of the object, such as `/machine/peripheral/hostdev0`.
    #[serde(deserialize_with = "text")]
    pub path: String,
}

/// A movement of a tray.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrayMove {
    /// Id of the drive's device, or its path if it has none.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Whether the tray is open now.
    pub tray_open: bool,
}

impl DeviceEvent {
    /// Names of the events that are read.
    pub const NAMES: [&'static str; 3] = [
        "DEVICE_DELETED",
        "DEVICE_UNPLUG_GUEST_ERROR",
        "DEVICE_TRAY_MOVED",
    ];

    /// Reads an event; `None` if it has another name.
    ///
    /// # Errors
    /// If the data does not have the form that QEMU's schema gives it, or has a text of more than
    /// 1,024 bytes, then [`Error::UnexpectedData`].
    pub fn read(event: &Event) -> Result<Option<Self>, Error> {
        let name = event.name.as_str();
        let data = &event.data;
        Ok(Some(match name {
            "DEVICE_DELETED" => Self::Deleted(read(name, data.clone())?),
            "DEVICE_UNPLUG_GUEST_ERROR" => Self::UnplugGuestError(read(name, data.clone())?),
            "DEVICE_TRAY_MOVED" => Self::TrayMoved(read(name, data.clone())?),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::monitor::Timestamp;

    fn event(name: &str, data: Value) -> Event {
        Event {
            name: name.into(),
            data,
            timestamp: Timestamp::default(),
        }
    }

    #[test]
    fn events_of_devices_are_read_by_their_names() {
        let path = "/machine/peripheral/hostdev0";
        let data = json!({ "device": "hostdev0", "path": path });
        let device = DeviceName {
            device: Some("hostdev0".into()),
            path: path.into(),
        };
        let deleted = DeviceEvent::read(&event("DEVICE_DELETED", data.clone()));

        assert_eq!(deleted.unwrap(), Some(DeviceEvent::Deleted(device.clone())));

        let refused = DeviceEvent::read(&event("DEVICE_UNPLUG_GUEST_ERROR", data));
        assert_eq!(
            refused.unwrap(),
            Some(DeviceEvent::UnplugGuestError(device))
        );

        let data = json!({ "device": "", "id": "sata0-0-0", "tray-open": true });
        let moved = DeviceEvent::read(&event("DEVICE_TRAY_MOVED", data)).unwrap();
        let id = "sata0-0-0".to_owned();
        let tray_open = true;
        assert_eq!(
            moved,
            Some(DeviceEvent::TrayMoved(TrayMove { id, tray_open }))
        );
    }

    #[test]
    fn part_of_a_device_has_a_path_alone() {
        let path = "/machine/peripheral/virtio-disk1/virtio-backend";
        let read = DeviceEvent::read(&event("DEVICE_DELETED", json!({ "path": path })));
        let Some(DeviceEvent::Deleted(name)) = read.unwrap() else {
            panic!("another event")
        };
        assert_eq!((name.device, name.path.as_str()), (None, path));
    }

    #[test]
    fn event_with_other_data_is_an_error_or_none() {
        let stop = event("STOP", Value::Null);
        assert_eq!(DeviceEvent::read(&stop).unwrap(), None);
        for data in [
            Value::Null,
            json!({ "device": "hostdev0" }),
            json!({ "device": 7, "path": "/" }),
            json!({ "device": "x".repeat(2000), "path": "/" }),
        ] {
            let error = DeviceEvent::read(&event("DEVICE_DELETED", data)).unwrap_err();
            assert!(matches!(error, Error::UnexpectedData { .. }), "{error}");
        }
    }
}
