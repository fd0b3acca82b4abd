//! Long lists in messages: of interfaces, tunnels, virtual functions, processes.

/// Maximum number of items in a message.
const MAX_ITEMS: usize = 8;

/// Joins the first eight items, and counts the others: `a; b and 3 more`.
pub fn abridge<T: ToString>(items: &[T], between: &str) -> String {
    let first: Vec<String> = items.iter().take(MAX_ITEMS).map(T::to_string).collect();
    let text = first.join(between);
    match items.len().saturating_sub(MAX_ITEMS) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, Usage};

    fn message(count: usize) -> String {
        let blocks = (0..count).map(|number| format!("sda{number}"));
        let usages = blocks.map(|block| Usage::Swap { block }).collect();
        let device = "01:00.0".parse().unwrap();
        Error::InUse { device, usages }.to_string()
    }

    #[test]
    fn long_list_of_usages_is_cut_and_counted() {
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
