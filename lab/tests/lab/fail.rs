//! Injected failures, and the detection of leaks.

use std::fs::File;

use passthru_lab::{HeldResources, each_failure, host};

#[test]
fn operation_meets_each_failure_once_then_succeeds() {
    let mut results = Vec::new();
    let failures = each_failure(host(), |failure| {
        results.push(failure.during(|| File::open("/proc/self/status")).is_ok());
        File::open("/proc/self/status").unwrap();
    });
    assert_eq!(results.len() as u32, failures + 1);
    assert!(
        results.contains(&false) && results.last() == Some(&true),
        "{results:?}"
    );
}

#[test]
fn open_descriptor_is_counted_until_closed() {
    let _host = host();
    let before = HeldResources::read().unwrap();
    let file = File::open("/dev/null").unwrap();
    assert_ne!(HeldResources::read().unwrap(), before);

    drop(file);
    assert_eq!(HeldResources::read().unwrap(), before);
}
