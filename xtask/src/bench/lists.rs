//! Domains with as many elements of one kind as the reader accepts.

/// Elements for lists: a document may have 100,000, and some are not of the list.
const MOST_ELEMENTS: usize = 99_000;
/// Elements of a list whose elements have no children.
const USUAL: usize = 60_000;

/// A list whose elements are checked for order, place or uniqueness.
pub(super) struct List {
    pub(super) name: &'static str,
    /// Names of the enclosing elements, from the outside.
    within: &'static [&'static str],
    /// Elements of the document for each of the list.
    each: usize,
    element: fn(usize) -> String,
    /// Whether the limit on memory applies. Some devices have so many parts that each takes more
    /// than a KiB.
    pub(super) small: bool,
}

pub(super) const LISTS: &[List] = &[
    devices("PCI controllers", 1, |n| {
        let model = if n == 0 {
            "pcie-root"
        } else {
            "pcie-root-port"
        };
        format!("<controller type='pci' index='{n}' model='{model}'/>")
    }),
    devices("disks of a type that does not exist", 1, |_| {
        "<disk type='bogus'/>".into()
    }),
    large("disks without a source", 2, |n| {
        format!("<disk><target dev='sd{}'/></disk>", letters(n))
    }),
    large("targets of disks", 2, |n| {
        format!(
            "<disk device='cdrom'><target dev='sd{}' bus='scsi'/></disk>",
            letters(n)
        )
    }),
    devices("USB controllers", 1, |_| {
        "<controller type='usb' model='qemu-xhci'/>".into()
    }),
    devices("USB 2 groups", 1, |n| {
        format!("<controller type='usb' index='{n}' model='ich9-ehci1'/>")
    }),
    large("USB devices", 1, |_| {
        "<input type='mouse' bus='usb'/>".into()
    }),
    devices("USB ports", 2, |n| {
        let port = format!("1.{}.{}", n % 200 + 1, n / 200 + 1);
        format!("<input type='mouse' bus='usb'><address type='usb' bus='0' port='{port}'/></input>")
    }),
    devices("PCI addresses", 2, |n| {
        let bus = n % 256;
        let slot = n / 256 % 32;
        let function = n / 8192 % 8;
        let address =
            format!("<address type='pci' bus='{bus}' slot='{slot}' function='{function}'/>");
        format!("<controller type='usb' model='qemu-xhci'>{address}</controller>")
    }),
    devices("aliases", 2, |n| {
        format!("<input type='mouse' bus='ps2'><alias name='ua-{n}'/></input>")
    }),
    devices("channels", 2, |n| {
        format!("<channel type='pty'><target type='virtio' name='c{n}'/></channel>")
    }),
    large("places in the order of the boot", 2, |n| {
        format!(
            "<interface type='user'><boot order='{}'/></interface>",
            n + 1
        )
    }),
    large("network cards", 1, |_| "<interface type='user'/>".into()),
    devices("hostdevs", 3, |n| {
        let address = format!("<address domain='{}' bus='{}' slot='0'/>", n / 256, n % 256);
        format!("<hostdev mode='subsystem' type='pci'><source>{address}</source></hostdev>")
    }),
    devices("serial ports", 1, |_| "<serial type='pty'/>".into()),
    devices("screens", 1, |n| {
        format!("<graphics type='vnc' port='{}'/>", 5900 + n % 20_000)
    }),
    devices("graphics cards", 1, |_| "<video/>".into()),
    devices("shared memory", 1, |n| format!("<shmem name='s{n}'/>")),
    List {
        name: "I/O threads",
        within: &["iothreadids"],
        each: 1,
        element: |n| format!("<iothread id='{}'/>", n + 1),
        small: true,
    },
    List {
        name: "CPUs",
        within: &["vcpus"],
        each: 1,
        element: |n| format!("<vcpu id='{n}' enabled='yes'/>"),
        small: true,
    },
    List {
        name: "pinned CPUs",
        within: &["cputune"],
        each: 1,
        element: |n| format!("<vcpupin vcpu='{n}' cpuset='0'/>"),
        small: true,
    },
    List {
        name: "NUMA nodes",
        within: &["cpu", "numa"],
        each: 1,
        element: |n| format!("<cell id='{n}' cpus='{n}' memory='1024'/>"),
        small: true,
    },
    List {
        name: "huge pages",
        within: &["memoryBacking", "hugepages"],
        each: 1,
        element: |n| format!("<page size='2048' nodeset='{}'/>", n % 16_384),
        small: true,
    },
];

const fn devices(name: &'static str, each: usize, element: fn(usize) -> String) -> List {
    List {
        name,
        within: &["devices"],
        each,
        element,
        small: true,
    }
}

const fn large(name: &'static str, each: usize, element: fn(usize) -> String) -> List {
    List {
        small: false,
        ..devices(name, each, element)
    }
}

impl List {
    /// Returns the number of elements to measure.
    pub(super) fn most(&self) -> usize {
        USUAL.min(MOST_ELEMENTS / self.each / 1000 * 1000)
    }

    /// Returns a domain with this number of elements, each on a line of its own.
    pub(super) fn document(&self, count: usize) -> String {
        let open: String = self.within.iter().map(|name| format!("<{name}>")).collect();
        let close: String = self
            .within
            .iter()
            .rev()
            .map(|name| format!("</{name}>"))
            .collect();
        let mut list = String::new();
        for n in 0..count {
            list += &(self.element)(n);
            list.push('\n');
        }

        format!(
            "<domain type='kvm'><name>many</name><memory unit='GiB'>1</memory>\
             <os><type arch='x86_64' machine='q35'>hvm</type>\
             </os>\n{open}\n{list}{close}</domain>\n"
        )
    }
}

/// Returns the letters of disk `n`: a … z, aa, ab and so on.
pub(super) fn letters(n: usize) -> String {
    let first = if n >= 26 {
        letters(n / 26 - 1)
    } else {
        String::new()
    };
    let last = u8::try_from(n % 26).unwrap_or_default();
    first + &char::from(b'a' + last).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_names_count_in_letters() {
        assert_eq!(
            [0, 25, 26, 701, 702].map(letters),
            ["a", "z", "aa", "zz", "aaa"]
        );
    }

    #[test]
    fn document_has_as_many_elements_as_are_read() {
        for list in LISTS {
            let elements = list.document(list.most()).matches('<').count() / 2;
            assert!(elements <= 100_000, "{}: {elements}", list.name);
        }
    }
}
