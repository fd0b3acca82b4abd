//! The host's console on a graphics device.

use std::fs;

use crate::{Device, Host, sysfs};

/// Says whether a device shows the console: the firmware's display, with the kernel's console on a
/// frame buffer that is the device's own or one that the firmware set up (a platform device).
pub(crate) fn shown(host: &Host, device: &Device) -> bool {
    device.boot_vga
        && !device.on_vfio()
        && has_framebuffer(host, device)
        && console_on_framebuffer(host)
}

fn has_framebuffer(host: &Host, device: &Device) -> bool {
    let Ok(own) = fs::canonicalize(host.pci(device.address)) else {
        return false;
    };
    let class = host.path("sys/class/graphics");
    let framebuffers = sysfs::names(&class)
        .into_iter()
        .filter(|name| name.starts_with("fb"));
    framebuffers
        .filter_map(|name| fs::canonicalize(class.join(name)).ok())
        .any(|path| path.starts_with(&own) || path.iter().any(|part| part == "platform"))
}

fn console_on_framebuffer(host: &Host) -> bool {
    let class = host.path("sys/class/vtconsole");
    sysfs::names(&class).iter().any(|name| {
        let dir = class.join(name);
        let on_framebuffer =
            sysfs::read(dir.join("name")).is_some_and(|name| name.contains("frame buffer"));
        on_framebuffer && sysfs::number(dir.join("bind")) == Some(1)
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
    fn the_boot_display_with_the_console_is_used() {
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
    fn another_display_and_a_console_that_was_taken_off_are_free() {
        assert_eq!(gpu("0\n", OWN, "1\n"), []);
        assert_eq!(gpu("1\n", OWN, "0\n"), []);
        assert_eq!(
            gpu("1\n", "sys/devices/pci/0000:02:00.0/graphics/fb0", "1\n"),
            []
        );
    }
}
