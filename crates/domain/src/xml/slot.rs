//! The fields of an element that hold values. A visitor reads and writes them as text.

use super::value::Value;

/// A field for values of one type: at most one (`Option`), or any number of them (`Vec`).
pub(crate) trait ValueSlot {
    /// Reads a value and adds it to the field.
    ///
    /// # Errors
    /// If the text is not a value, the error describes the expected form. The field is unchanged.
    fn read(&mut self, text: &str) -> Result<(), String>;

    /// Removes all values.
    fn clear(&mut self);

    /// Returns the text of each value.
    fn write(&self) -> Vec<String>;

    /// Returns the error of reading a text that is not a value; `None` if every text is a value.
    fn expected(&self) -> Option<String>;
}

impl<T: Value> ValueSlot for Option<T> {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = Some(T::read(text)?);
        Ok(())
    }

    fn clear(&mut self) {
        *self = None;
    }

    fn write(&self) -> Vec<String> {
        self.iter().map(Value::write).collect()
    }

    fn expected(&self) -> Option<String> {
        expected::<T>()
    }
}

impl<T: Value> ValueSlot for Vec<T> {
    fn read(&mut self, text: &str) -> Result<(), String> {
        self.push(T::read(text)?);
        Ok(())
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn write(&self) -> Vec<String> {
        self.iter().map(Value::write).collect()
    }

    fn expected(&self) -> Option<String> {
        expected::<T>()
    }
}

/// A field for at most one value.
pub(crate) trait OneValue: ValueSlot {}

impl<T: Value> OneValue for Option<T> {}

/// A field for any number of values.
pub(crate) trait ManyValues: ValueSlot {}

impl<T: Value> ManyValues for Vec<T> {}

/// A field that always has a value.
pub(crate) trait RequiredSlot {
    /// Reads a value and replaces the field's value with it.
    ///
    /// # Errors
    /// If the text is not a value, the error describes the expected form. The field is unchanged.
    fn read(&mut self, text: &str) -> Result<(), String>;

    /// Returns the value's text.
    fn write(&self) -> String;

    /// Returns the error of reading a text that is not a value; `None` if every text is a value.
    fn expected(&self) -> Option<String>;
}

impl<T: Value> RequiredSlot for T {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = T::read(text)?;
        Ok(())
    }

    fn write(&self) -> String {
        Value::write(self)
    }

    fn expected(&self) -> Option<String> {
        expected::<T>()
    }
}

/// Returns the error of reading a text that is not a value of the type, if it has one.
fn expected<T: Value>() -> Option<String> {
    T::read("\0").err()
}
