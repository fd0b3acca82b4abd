//! Changes of media.

use super::*;

fn change(time: Duration, steps: &[Step]) -> Transaction {
    transaction(TransactionKind::Attach, steps.to_vec(), time)
}

fn change_medium() -> Step {
    Step::Do(Op::ChangeMedium {
        drive: "sata0-0-0".into(),
        from: Some("old".into()),
        to: Some("new".into()),
    })
}

#[test]
fn guest_that_locks_the_tray_is_asked_again() {
    let mut asked = 0;
    let mut stage = Stage::new(move |_| {
        asked += 1;
        Some(match asked {
            1 => Reply::error("Device 'sata0-0-0' is locked and force was not specified"),
            _ => Reply::good(),
        })
    });
    let end = stage.go_on(&mut change(LONG, &[change_medium()]));
    end.result.unwrap();
    let commands = [
        "blockdev-open-tray sata0-0-0",
        "blockdev-open-tray sata0-0-0",
        "blockdev-remove-medium sata0-0-0",
        "blockdev-insert-medium sata0-0-0",
        "blockdev-close-tray sata0-0-0",
    ];

    assert_eq!(stage.commands(), commands);
    assert_eq!(stage.in_force(), []);
}

#[test]
fn tray_that_stays_locked_is_named() {
    let mut stage = Stage::new(|_| Some(Reply::error("Device 'sata0-0-0' is locked")));
    let end = stage.go_on(&mut change(Duration::ZERO, &[change_medium()]));
    let error = end.result.unwrap_err();
    assert!(
        matches!(&error, Error::Hotplug(HotplugError::TrayLocked { drive, .. })
            if drive == "sata0-0-0"),
        "{error:?}"
    );
    assert_eq!(stage.in_force(), []);
}

#[test]
fn refused_medium_leaves_the_former_one() {
    let mut inserted = 0;
    let mut stage = Stage::new(move |name| {
        inserted += usize::from(name == "blockdev-insert-medium");
        let is_refused = name == "blockdev-insert-medium" && inserted == 1;
        Some(if is_refused {
            Reply::error("no")
        } else {
            Reply::good()
        })
    });
    let end = stage.go_on(&mut change(LONG, &[change_medium()]));
    assert!(end.result.is_err());

    let commands = stage.commands();
    assert_eq!(
        commands[2..],
        [
            "blockdev-insert-medium sata0-0-0",
            "blockdev-insert-medium sata0-0-0",
            "blockdev-close-tray sata0-0-0",
        ]
    );
}

#[test]
fn later_failure_puts_the_former_medium_back() {
    let mut stage = Stage::new(|name| {
        Some(match name {
            "object-add" => Reply::error("no"),
            _ => Reply::good(),
        })
    });
    let steps = [change_medium(), Step::Do(object("a"))];
    let end = stage.go_on(&mut change(LONG, &steps));
    assert!(end.result.is_err());

    let commands = stage.commands();
    let trays = commands
        .iter()
        .filter(|c| c.starts_with("blockdev-open-tray"));
    assert_eq!(trays.count(), 2);
    assert_eq!(stage.in_force(), []);
}
