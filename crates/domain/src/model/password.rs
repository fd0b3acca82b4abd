//! Passwords.

use std::fmt;

use crate::xml::value::Value;

/// A password. Only [`Password::as_str`] shows it, so that it reaches no log by accident.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Returns the text of the password.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    /// Shows that there is a password, and nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Value for Password {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.into()))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}
