//! Lists in messages, which can be long: of interfaces, tunnels, virtual functions, processes.

/// DeviceNumber of items that are shown.
const SHOWN: usize = 8;

/// Joins the first eight items, and counts the others: `a; b and 3 more`.
pub fn abridge<T: ToString>(items: &[T], between: &str) -> String {
    let shown: Vec<String> = items.iter().take(SHOWN).map(T::to_string).collect();
    let text = shown.join(between);
    match items.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, Usage};

    #[test]
    fn long_list_of_uses_is_cut_and_counted() {
        let swap = |number: usize| Usage::Swap {
            block: format!("sda{number}"),
        };
        let message = |count| {
            let usages = (0..count).map(swap).collect();
            Error::InUse {
                device: "01:00.0".parse().unwrap(),
                usages,
            }
            .to_string()
        };
        assert_eq!(
            message(2),
            "0000:01:00.0 is in use: swap space on sda0; swap space on sda1"
        );
        assert!(message(8).ends_with("swap space on sda7"), "{}", message(8));
        assert!(
            message(100).ends_with("swap space on sda7 and 92 more"),
            "{}",
            message(100)
        );
    }
}
