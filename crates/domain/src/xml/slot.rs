//! The fields of an element, as a visitor sees them: by what can be read into them and written from
//! them, whatever their type.

use super::Element;
use super::value::Value;

/// A field for values of one type: at most one (`Option`), or any number of them (`Vec`).
pub(crate) trait ValueSlot {
    /// Reads a value and adds it. The error says what is expected; the field stays as it was.
    fn read(&mut self, text: &str) -> Result<(), String>;

    /// Removes all values.
    fn clear(&mut self);

    /// Returns the values as they are written.
    fn write(&self) -> Vec<String>;

    /// Returns the error of a text that no value has, or none if each text is a value.
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
    /// Reads a value in place of the one that is there. The error says what is expected.
    fn read(&mut self, text: &str) -> Result<(), String>;

    /// Returns the value as it is written.
    fn write(&self) -> String;

    /// Returns the error of a text that no value has, or none if each text is a value.
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

fn expected<T: Value>() -> Option<String> {
    T::read("\0").err()
}

/// A field for elements of one type: at most one (`Option`), or any number of them (`Vec`).
pub(crate) trait ElementSlot {
    /// Adds an element with nothing in it yet, and returns it. An `Option` forgets the one that it
    /// had.
    fn add(&mut self) -> &mut dyn Element;

    /// Makes room for so many more elements, and no more than that.
    fn reserve(&mut self, more: usize);

    /// Removes the element that was added last.
    fn drop_last(&mut self);

    /// Returns the elements that are there.
    fn elements(&mut self) -> Vec<&mut dyn Element>;
}

impl<E: Element + Default> ElementSlot for Option<E> {
    fn add(&mut self) -> &mut dyn Element {
        self.insert(E::default())
    }

    fn reserve(&mut self, _: usize) {}

    fn drop_last(&mut self) {
        *self = None;
    }

    fn elements(&mut self) -> Vec<&mut dyn Element> {
        self.iter_mut()
            .map(|element| element as &mut dyn Element)
            .collect()
    }
}

impl<E: Element + Default> ElementSlot for Vec<E> {
    fn add(&mut self) -> &mut dyn Element {
        let next = self.len();
        self.push(E::default());
        &mut self[next]
    }

    fn reserve(&mut self, more: usize) {
        self.reserve_exact(more);
    }

    fn drop_last(&mut self) {
        self.pop();
    }

    fn elements(&mut self) -> Vec<&mut dyn Element> {
        self.iter_mut()
            .map(|element| element as &mut dyn Element)
            .collect()
    }
}

/// A field for at most one element.
pub(crate) trait OneElement: ElementSlot {}

impl<E: Element + Default> OneElement for Option<E> {}

/// A field for any number of elements.
pub(crate) trait ManyElements: ElementSlot {}

impl<E: Element + Default> ManyElements for Vec<E> {}
