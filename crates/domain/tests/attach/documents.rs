//! Documents: one device, or a list of them.

use passthru_domain::DeviceDocument;

#[test]
fn errors_of_a_document_have_line_and_column() {
    let xml = "<?xml version='1.0'?>\n<hostdev mode='subsystem' type='pci' manged='yes'>\n\
               <source><address bus='1' slot='x'/></source></hostdev>";
    let errors = DeviceDocument::parse(xml).unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.line_column(xml).unwrap(), error.message.as_str()))
        .collect();
    assert_eq!(found[0].0, (2, 38));
    assert_eq!(found[0].1, "<hostdev> has no attribute 'manged'");
    assert_eq!(found[1].0, (3, 32), "{found:?}");

    let errors = DeviceDocument::parse("<hostdev>\n<source>\n</hostdev>").unwrap_err();
    let first = errors.iter().next().unwrap();
    assert!(first.message.contains("not well-formed"), "{first}");
}
