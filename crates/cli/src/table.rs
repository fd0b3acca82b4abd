//! Tables on standard output, which fit the terminal.

use comfy_table::{ContentArrangement, Table, presets};

use crate::terminal;

/// Makes a table without lines, as wide as the terminal at most.
pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    if let Some(width) = terminal::width() {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }

    table
}

/// Returns the text of a cell, `-` for none.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}
