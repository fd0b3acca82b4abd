//! The users that the configuration gives rights to.

use nix::unistd::{Group, User};
use passthru_supervisor::control::{Access, Members};
use serde::Deserialize;

use crate::error::Error;
use crate::exit::Code;

/// Section `[access]` of the configuration: names of users, and of groups as `@NAME`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessLists {
    /// Those who may pause, stop and watch guests, and use their consoles.
    #[serde(default)]
    operators: Vec<String>,
    /// Those who may do what root may with guests.
    #[serde(default)]
    admins: Vec<String>,
}

impl AccessLists {
    /// Finds the numbers of the users and groups.
    ///
    /// # Errors
    /// If this system does not know a name, then an error with exit code 2.
    pub(crate) fn resolve(&self) -> Result<Access, Error> {
        Ok(Access {
            operators: members(&self.operators)?,
            admins: members(&self.admins)?,
            vmm: None,
        })
    }
}

fn members(names: &[String]) -> Result<Members, Error> {
    let mut members = Members::default();
    for name in names {
        match name.strip_prefix('@') {
            Some(group) => members.groups.push(group_id(group)?),
            None => members.users.push(user_id(name)?),
        }
    }

    Ok(members)
}

fn user_id(name: &str) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => Err(unknown("user", name)),
    }
}

fn group_id(name: &str) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => Err(unknown("group", name)),
    }
}

fn unknown(kind: &str, name: &str) -> Error {
    let error = format!("the configuration gives access to the {kind} '{name}', which is unknown");
    Error::new(Code::Usage, error).hint(Some("write a user as NAME, and a group as @NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(text: &str) -> AccessLists {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn names_and_numbers_are_resolved() {
        let lists = lists("operators = ['root', '4000']\nadmins = ['@root', '@4001']");
        let access = lists.resolve().unwrap();
        assert_eq!(access.operators.users, [0, 4000]);
        assert_eq!(access.admins.groups, [0, 4001]);
        assert!(access.admins.users.is_empty());
    }

    #[test]
    fn unknown_name_is_refused() {
        let error = lists("admins = ['@no-such-group']").resolve().unwrap_err();
        assert_eq!(error.code(), Code::Usage);
    }

    #[test]
    fn unknown_key_is_refused() {
        assert!(toml::from_str::<AccessLists>("owners = []").is_err());
    }
}
