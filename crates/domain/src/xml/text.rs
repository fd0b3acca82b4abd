//! Forms of text, such as paths and names. The parser reports a string of another form as an error
//! of its element. The model keeps plain strings.

use super::value::Value;

/// Shows a string to a visitor as a text of the form `T`.
///
/// `visit` gets the text and shows it as an attribute, a child or the element's text.
pub(crate) fn visit_as<T: From<String> + Into<String>>(
    slot: &mut Option<String>,
    visit: impl FnOnce(&mut Option<T>),
) {
    let mut text = slot.take().map(T::from);
    visit(&mut text);
    *slot = text.map(T::into);
}

/// Defines forms of text, each with its check. The check's error describes the form.
macro_rules! forms {
    ($($(#[$meta:meta])* $name:ident: $check:expr;)+) => {$(
        $(#[$meta])*
        #[derive(Default)]
        pub(crate) struct $name(String);

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl Value for $name {
            fn read(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                check(text).map(|()| Self(text.into())).map_err(Into::into)
            }

            fn write(&self) -> String {
                self.0.clone()
            }
        }
    )+};
}

forms! {
    /// The path of a file.
    FilePath: |text| expect(!text.is_empty(), "expected the path of a file");
    /// An absolute path of a file.
    AbsolutePath: |text| expect(text.starts_with('/'), "expected a path that starts with '/'");
    /// A CPU model or feature. QEMU's `-cpu` option cannot quote other characters.
    CpuWord: |text| expect(
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)),
        "expected letters, digits, '.', '_', '+' and '-'",
    );
    /// A guest's name, which is part of file names.
    GuestName: check_guest_name;
}

/// Longest name of a guest, in bytes.
///
/// A file's name has at most 255 bytes, and the guest's files have names such as
/// `domain-NAME.lock` and `NAME_VARS.fd.partial`.
const MAX_NAME: usize = 224;

fn check_guest_name(text: &str) -> Result<(), &'static str> {
    expect(!text.is_empty(), "expected a name")?;
    expect(
        !matches!(text, "." | ".."),
        "'.' and '..' are folders, not names",
    )?;
    expect(
        text.len() <= MAX_NAME,
        "expected a name of at most 224 bytes: files are named after it",
    )?;
    // Terminals execute some of the control characters from U+0080 on.
    expect(
        !text.contains(|c: char| c == '/' || c.is_control()),
        "expected a name without a slash or control character",
    )
}

/// Returns the error `expected` unless the condition holds.
fn expect(holds: bool, expected: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(expected) }
}
