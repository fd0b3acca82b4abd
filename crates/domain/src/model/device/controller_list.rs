//! The order of the controllers in a domain: by kind, then by index.

use std::collections::HashMap;

use super::controller::Controller;

/// Sorts controllers as if each was inserted after those before it ([`insert`]).
pub(crate) fn sort(controllers: &mut [Controller]) {
    let mut kinds = HashMap::new();
    for controller in controllers.iter() {
        let next = kinds.len();
        kinds.entry(controller.kind).or_insert(next);
    }

    // Moves each controller once, without a second list of them.
    controllers.sort_by_cached_key(|c| (kinds.get(&c.kind).copied(), c.index, c.master.is_some()));
}

/// Inserts a controller among those of its kind by index, a USB controller before its companions.
pub(crate) fn insert(controllers: &mut Vec<Controller>, new: Controller) {
    let mut at = None;
    for (n, other) in controllers
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, c)| c.kind == new.kind)
    {
        let leads = other.index == new.index && new.master.is_none() && other.master.is_some();
        if other.index > new.index || leads {
            at = Some(n);
        } else if at.is_none() {
            at = Some(n + 1);
        }
    }

    controllers.insert(at.unwrap_or(controllers.len()), new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::controller::{ControllerType, UsbMaster};

    /// A fixed sequence of pseudo-random numbers.
    struct Random(u32);

    impl Random {
        fn below(&mut self, limit: u32) -> u32 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 16) % limit
        }
    }

    #[test]
    fn sorting_gives_the_order_of_inserting_one_by_one() {
        let kinds = [
            ControllerType::Usb,
            ControllerType::Pci,
            ControllerType::Scsi,
        ];
        let mut random = Random(1);
        for _ in 0..200 {
            let mut controllers: Vec<Controller> = Vec::new();
            for _ in 0..random.below(12) {
                let kind = kinds[random.below(3) as usize];
                let mut controller = Controller::new(kind, random.below(4), None);
                controller.master = (random.below(2) == 0).then_some(UsbMaster {
                    startport: random.below(6),
                });
                controllers.push(controller);
            }
            let mut inserted = Vec::new();
            for controller in controllers.clone() {
                insert(&mut inserted, controller);
            }
            sort(&mut controllers);
            assert_eq!(controllers, inserted);
        }
    }
}
