//! Text of a form: what is not of it is refused where it stands. The domain keeps plain strings.

use super::value::Value;

/// Shows a string to a visitor as a text of the form `T`.
pub(crate) fn visit_as<T: From<String> + Into<String>>(
    slot: &mut Option<String>,
    visit: impl FnOnce(&mut Option<T>),
) {
    let mut text = slot.take().map(T::from);
    visit(&mut text);
    *slot = text.map(T::into);
}

/// Defines forms of text: each with its check, which says what is expected.
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
    /// The path of a file from the root.
    AbsolutePath: |text| expect(text.starts_with('/'), "expected a path that starts with '/'");
    /// A CPU's model or feature: it stands in an option where nothing can be quoted.
    CpuWord: |text| expect(
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)),
        "expected letters, digits, '.', '_', '+' and '-'",
    );
    /// A guest's name: it is part of paths.
    GuestName: guest_name;
}

/// Bytes of a guest's name. The name of a file may have 255, and the guest's files have names such
/// as `domain-NAME.lock` and `NAME_VARS.fd.partial`.
const MOST_NAME: usize = 224;

fn guest_name(text: &str) -> Result<(), &'static str> {
    expect(!text.is_empty(), "expected a name")?;
    expect(
        !matches!(text, "." | ".."),
        "'.' and '..' are folders, not names",
    )?;
    expect(
        text.len() <= MOST_NAME,
        "expected a name of at most 224 bytes: files are named after it",
    )?;
    // A terminal takes some of the characters from U+0080 on as commands.
    expect(
        !text.contains(|c: char| c == '/' || c.is_control()),
        "expected a name without a slash or control character",
    )
}

fn expect(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}
