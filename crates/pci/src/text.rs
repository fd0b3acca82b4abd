//! Serialization of an address as its text, in any format.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Address;

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_serializes_as_its_text() {
        let address: Address = "0000:06:12.5".parse().unwrap();
        let text = serde_json::to_string(&address).unwrap();
        assert_eq!(text, "\"0000:06:12.5\"");
        assert_eq!(serde_json::from_str::<Address>(&text).unwrap(), address);
    }

    #[test]
    fn bad_address_is_refused_with_the_reason() {
        let error = serde_json::from_str::<Address>("\"06:20.0\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("the slot is above 1f"), "{error}");
    }
}
