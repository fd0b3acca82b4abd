use super::*;

fn domain(top: &str, devices: &str) -> Domain {
    let hostdev = |slot: u8| {
        format!(
            "<hostdev mode='subsystem' type='pci'><source>\
             <address domain='0' bus='1' slot='{slot}' function='0'/></source></hostdev>"
        )
    };
    let xml = format!(
        "<domain type='kvm'><name>a</name><memory unit='GiB'>1</memory>{top}\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{}{}{devices}</devices></domain>",
        hostdev(0),
        hostdev(1)
    );
    Domain::parse(&xml).unwrap()
}

fn limit(top: &str, devices: &str) -> Memlock {
    Memlock::for_domain(&domain(top, devices), &|_| 0)
}

/// Returns the bytes that a device adds to the limit, besides the share of each PCI device.
fn added_by(device: &str, number: u64) -> u64 {
    limit("", device).bytes() - limit("", "").bytes() - number * DEVICE
}

#[test]
fn limit_is_ram_and_a_little_more() {
    let bytes = limit("", "").bytes();
    assert!(bytes > 1 << 30 && bytes < (1 << 30) + 64 * MIB, "{bytes}");
}

#[test]
fn limit_is_the_sum_of_its_items() {
    let top =
        "<maxMemory unit='GiB' slots='2'>3</maxMemory><memoryBacking><locked/></memoryBacking>";
    let devices = "<iommu model='intel'/><shmem name='a'><size unit='M'>64</size></shmem>";
    let limit = limit(top, devices);
    assert_eq!(
        limit.items().iter().map(|item| item.bytes).sum::<u64>(),
        limit.bytes()
    );

    let what: Vec<&str> = limit
        .items()
        .iter()
        .map(|item| item.what.as_str())
        .collect();
    assert_eq!(
        what,
        [
            "guest memory",
            "memory that can be plugged in (<maxMemory>)",
            "BIOS and ROMs of the board",
            "ROMs and small BARs of 3 PCI devices",
            "shared memory ",
            "all of it again for 1 more address spaces (emulated IOMMU)",
            "guest memory and QEMU's own, which <locked/> locks",
        ]
    );
}

#[test]
fn emulated_iommu_pins_ram_once_for_each_device() {
    let without = limit("", "").bytes();
    assert_eq!(limit("", "<iommu model='intel'/>").bytes(), 2 * without);
    let accel = "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>";
    assert_eq!(limit("", accel).bytes(), without);
}

/// Returns the limit of a domain whose two hostdevs are on iommufd (true) or type1 (false).
fn bytes_with(devices: &str, iommufd: [bool; 2]) -> u64 {
    let mut domain = domain("", devices);
    for (hostdev, iommufd) in domain.devices.hostdevs.iter_mut().zip(iommufd) {
        hostdev.driver.get_or_insert_default().iommufd = Some(iommufd);
    }
    Memlock::for_domain(&domain, &|_| 0).bytes()
}

#[test]
fn hostdevs_on_both_backends_pin_ram_twice() {
    let once = limit("", "").bytes();
    assert_eq!(bytes_with("", [false, false]), once);
    assert_eq!(bytes_with("", [true, true]), once);
    assert_eq!(bytes_with("", [true, false]), 2 * once);

    let emulated = "<iommu model='intel'/>";
    assert_eq!(bytes_with(emulated, [true, false]), 2 * once);
}

fn nvme_disk(target: &str, bus: u8) -> String {
    format!(
        "<disk type='nvme' device='disk'><source type='pci' managed='yes' namespace='1'>\
         <address domain='0' bus='{bus}' slot='0' function='0'/></source>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

#[test]
fn each_nvme_disk_pins_ram_beside_the_hostdevs() {
    let disks = nvme_disk("vda", 5) + &nvme_disk("vdb", 6);
    let limit = limit("", &disks);
    let once = self::limit("", "").bytes() + 2 * DEVICE;
    assert_eq!(limit.bytes(), 3 * once + 2 * NVME_DISK);

    let items: Vec<String> = limit.items().iter().map(ToString::to_string).collect();
    let disks = items.iter().filter(|item| item.contains("NVMe"));
    assert_eq!(disks.count(), 2, "{items:?}");
}

#[test]
fn nvme_disk_alone_pins_ram_once() {
    let mut domain = domain("", &nvme_disk("vda", 5));
    domain.devices.hostdevs.clear();
    let limit = Memlock::for_domain(&domain, &|_| 0);
    let what: Vec<&str> = limit
        .items()
        .iter()
        .map(|item| item.what.as_str())
        .collect();

    assert_eq!(
        what,
        [
            "guest memory",
            "BIOS and ROMs of the board",
            "ROMs and small BARs of 1 PCI devices",
            "queues and buffers of QEMU's own NVMe driver, for each of its disks: 1",
        ]
    );
    assert_eq!(limit.bytes_to_set(Some(1 << 16)), limit.bytes());
}

#[test]
fn shared_memory_is_counted() {
    let shmem = "<shmem name='a'><model type='ivshmem-plain'/><size unit='M'>256</size></shmem>";
    assert_eq!(added_by(shmem, 1), 256 * MIB);
}

#[test]
fn video_memory_is_counted_by_model() {
    let card = |model: &str| added_by(&format!("<video><model {model}/></video>"), 1) / MIB;
    assert_eq!(card("type='qxl'"), 128);
    assert_eq!(
        card("type='qxl' ram='131072' vram='65536' vgamem='32768'"),
        192
    );
    assert_eq!(
        card("type='qxl' ram='65536' vram='65536' vram64='262144' vgamem='65536'"),
        128 + 256
    );
    assert_eq!(card("type='vga'"), 16);
    assert_eq!(card("type='vga' vram='65536'"), 64);
    assert_eq!(card("type='cirrus'"), 4);
    assert_eq!(card("type='vmvga'"), 16);
    assert_eq!(card("type='bochs'"), 16);
    assert_eq!(card("type='virtio'"), 8);
    assert_eq!(card("type='ramfb'"), 0);
}

#[test]
fn memory_devices_are_counted_once_and_with_their_label() {
    let nvdimm = |label: &str| {
        format!(
            "<memory model='nvdimm'><source><path>/x</path></source><target>\
             <size unit='MiB'>256</size>{label}</target></memory>"
        )
    };
    // <memory> holds the devices too.
    assert_eq!(added_by(&nvdimm(""), 0), 0);
    assert_eq!(
        added_by(&nvdimm("<label><size unit='MiB'>2</size></label>"), 0),
        2 * MIB
    );
}

#[test]
fn pluggable_memory_is_counted() {
    let more = limit("<maxMemory unit='GiB' slots='4'>5</maxMemory>", "");
    assert_eq!(more.bytes() - limit("", "").bytes(), 4096 * MIB);
}

#[test]
fn firmware_and_option_roms_count_by_their_files() {
    let nic = "<interface type='user'><rom file='/rom'/></interface>";
    let with = Memlock::for_domain(&domain("", nic), &|_| 300 << 10);
    assert_eq!(with.bytes() - limit("", "").bytes(), DEVICE + (512 << 10));
}

#[test]
fn hard_limit_raises_and_never_lowers() {
    let said = |mib: u64| {
        limit(
            &format!("<memtune><hard_limit unit='MiB'>{mib}</hard_limit></memtune>"),
            "",
        )
        .bytes()
    };
    assert_eq!(said(8192), 8192 * MIB);
    assert_eq!(said(100), limit("", "").bytes());
}

#[test]
fn locked_memory_is_counted_on_top() {
    let backing = "<memoryBacking><locked/></memoryBacking>";
    assert_eq!(
        limit(backing, "").bytes() - limit("", "").bytes(),
        (1024 + 4096) * MIB
    );
}

#[test]
fn guest_without_devices_needs_no_higher_limit() {
    let mut domain = domain("", "");
    domain.devices.hostdevs.clear();
    let none = Memlock::for_domain(&domain, &|_| 0);
    assert_eq!(none.bytes_to_set(Some(1 << 16)), 1 << 16);
    assert_eq!(none.bytes_to_set(None), UNPINNED);
    assert_eq!(
        limit("", "").bytes_to_set(Some(1 << 16)),
        limit("", "").bytes()
    );
}

#[test]
fn failed_mapping_names_the_limit_and_what_to_raise() {
    let limit = limit("", "<shmem name='a'><size unit='M'>64</size></shmem>");
    let said = "qemu: vfio_container_dma_map(0x55d, 0xe0000000, 0x10000000, 0x7f) = -12 \
                (Cannot allocate memory)\n\
                qemu: hardware error: vfio: DMA mapping failed, unable to continue\n";
    let hint = limit.explain(said).unwrap();
    let raised = limit.mib() + 256;

    assert!(
        hint.contains(&format!(
            "may pin {} MiB (RLIMIT_MEMLOCK): 1024 MiB guest memory,",
            limit.mib()
        )),
        "{hint}"
    );
    assert!(hint.contains("64 MiB shared memory"), "{hint}");
    assert!(
        hint.ends_with(&format!(
            "<hard_limit unit='MiB'>{raised}</hard_limit></memtune>"
        )),
        "{hint}"
    );
    assert_eq!(
        limit.explain("qemu: cannot set up guest memory 'pc.ram': Cannot allocate memory"),
        None
    );
}
