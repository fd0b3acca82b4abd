//! The host's console on a graphics device.

use std::fs;

use crate::{Device, Host, sysfs};

/// Returns whether a device shows the host's console.
///
/// That is the firmware's display, if the kernel's console is on a frame buffer. The frame buffer
/// belongs to the device, or to a platform device that the firmware set up.
pub(super) fn is_on(host: &Host, device: &Device) -> bool {
    device.boot_vga && !device.on_vfio() && has_framebuffer(host, device) && is_on_framebuffer(host)
}

fn has_framebuffer(host: &Host, device: &Device) -> bool {
    let Ok(own) = fs::canonicalize(host.pci(device.address)) else {
        return false;
    };
    let class = host.path("sys/class/graphics");
    let mut names = sysfs::names(&class);
    names.retain(|name| name.starts_with("fb"));
    names
        .iter()
        .filter_map(|name| fs::canonicalize(class.join(name)).ok())
        .any(|path| path.starts_with(&own) || path.iter().any(|part| part == "platform"))
}

/// Returns whether a console of the kernel is bound to a frame buffer.
fn is_on_framebuffer(host: &Host) -> bool {
    let class = host.path("sys/class/vtconsole");
    sysfs::names(&class).iter().any(|name| {
        let dir = class.join(name);
        let driver = sysfs::read(dir.join("name")).unwrap_or_default();
        driver.contains("frame buffer") && sysfs::number(dir.join("bind")) == Some(1)
    })
}

#[cfg(test)]
mod tests {
    use crate::Usage;
    use crate::test_tree::Tree;

    const OWN: &str = "sys/devices/pci/0000:01:00.0/graphics/fb0";

    fn gpu(boot_vga: &str, framebuffer: &str, bind: &str) -> Vec<Usage> {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x030000);
        tree.place("0000:01:00.0", Some("amdgpu"), 1);
        tree.file(&format!("{dir}/boot_vga"), boot_vga);
        tree.class("graphics", framebuffer);
        tree.file(
            "sys/class/vtconsole/vtcon1/name",
            "(M) frame buffer device\n",
        );
        tree.file("sys/class/vtconsole/vtcon1/bind", bind);
        tree.host().usage_report(&tree.host().devices()[0]).usages
    }

    #[test]
    fn boot_display_with_the_console_is_used() {
        assert_eq!(gpu("1\n", OWN, "1\n"), [Usage::Console]);
        assert_eq!(
            gpu(
                "1\n",
                "sys/devices/platform/efi-framebuffer.0/graphics/fb0",
                "1\n"
            ),
            [Usage::Console]
        );
    }

    #[test]
    fn other_display_or_unbound_console_is_free() {
        assert_eq!(gpu("0\n", OWN, "1\n"), []);
        assert_eq!(gpu("1\n", OWN, "0\n"), []);
        assert_eq!(
            gpu("1\n", "sys/devices/pci/0000:02:00.0/graphics/fb0", "1\n"),
            []
        );
    }
}
