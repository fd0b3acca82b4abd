//! Boot order, CPUs, memory, firmware and graphics cards.

use crate::common;
use crate::common::{check, guest};
use crate::helpers::{VIRTIO_NET, accepted, refused};

fn card_with_order(order: u32) -> String {
    format!("{VIRTIO_NET}<boot order='{order}'/></interface>")
}

#[test]
fn contradictory_boot_orders_are_refused() {
    refused(
        "q35",
        &format!("{}{}", card_with_order(1), card_with_order(1)),
        "boot order 1 is used twice: by interface 0 and by interface 1",
        "<interface",
    );
    refused(
        "q35",
        &card_with_order(0),
        "must be 1 or more",
        "<interface",
    );
    let xml = guest("q35", &card_with_order(1)).replace("</os>", "<boot dev='hd'/></os>");
    common::refused(&xml, "cannot be used together with <boot dev='…'/>", "<os>");
}

fn with_part(machine: &str, part: &str) -> String {
    guest(machine, "").replace("<os>", &format!("{part}<os>"))
}

fn hugepages(page: &str) -> String {
    format!("<memoryBacking><hugepages><page {page}/></hugepages></memoryBacking>")
}

#[test]
fn contradictory_guest_settings_are_refused() {
    let cpu = "<vcpu>3</vcpu><cpu><topology sockets='1' cores='2' threads='2'/></cpu>";
    common::refused(
        &with_part("q35", cpu),
        "has 4 CPUs, but <vcpu> is 3",
        "<topology",
    );
    common::refused(
        &with_part("q35", "<features><gic version='3'/></features>"),
        "<gic> is for aarch64",
        "<gic",
    );
    let tcg = with_part("q35", "<cpu mode='host-passthrough'/>").replace("'kvm'", "'qemu'");
    common::refused(&tcg, "needs <domain type='kvm'>", "<cpu");
    common::refused(
        &with_part("q35", &hugepages("size='2048' nodeset='1'")),
        "the guest has 1, and no node 1",
        "<hugepages",
    );
    let uefi = guest("q35", "").replace("</os>", "<loader type='pflash'>/ovmf</loader></os>");
    common::refused(&uefi, "UEFI firmware needs ACPI", "<os>");
    common::refused(
        &guest("q35", "").replace("machine='q35'", "machine='pdp11'"),
        "no machine 'pdp11'",
        "<type",
    );
}

fn efi_guest(rest: &str) -> String {
    guest("q35", "")
        .replace("<os>", "<features><acpi/></features><os firmware='efi'>")
        .replace("</os>", &format!("{rest}</os>"))
}

#[test]
fn firmware_without_a_file_is_left_to_the_choice() {
    for rest in ["", "<loader secure='yes'/>"] {
        check(&efi_guest(rest)).unwrap();
    }

    check(&efi_guest(
        "<loader type='pflash' readonly='yes'>/ovmf</loader>",
    ))
    .unwrap();
    common::refused(
        &guest("q35", "").replace("</os>", "<loader/></os>"),
        "<loader> names no file",
        "<os>",
    );
    check(&guest("q35", "").replace("<os>", "<os firmware='bios'>")).unwrap();
}

fn video(model: &str) -> String {
    format!("<video><model type='{model}'/></video>")
}

#[test]
fn secondary_vga_card_is_refused() {
    refused(
        "pc",
        &video("vga").repeat(2),
        "model 'vga' must be the primary one",
        "<video",
    );
    accepted("pc", &format!("{}{}", video("vga"), video("virtio")));
}
