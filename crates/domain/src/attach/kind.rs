//! The devices that a running guest can get and release.

/// The elements of the devices, for a message.
pub(super) const TAGS: &str = "<disk>, <hostdev> and <interface>";

/// Returns whether devices of an element can be plugged in.
pub(super) fn has_tag(tag: &str) -> bool {
    matches!(tag, "disk" | "hostdev" | "interface")
}
