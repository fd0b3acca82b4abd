//! Module aliases: which module the kernel's build says is for a device, by `modules.alias`.

use std::fs;

use crate::{Device, Host, sysfs};

/// Returns the module whose `vfio_pci:` alias fits the device best, that is with the fewest
/// wildcards: the kernel's own rule for VFIO variant drivers.
pub(crate) fn vfio_module(host: &Host, device: &Device) -> Option<String> {
    let modalias = sysfs::read(host.pci(device.address).join("modalias"))?;
    let wanted = format!("vfio_{modalias}");
    let release = sysfs::read(host.path("proc/sys/kernel/osrelease"))?;
    let dir = host.path("lib/modules").join(release);
    let text =
        |name| fs::read(dir.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let loadable = text("modules.alias").unwrap_or_default();
    let built_in = text("modules.builtin.modinfo").unwrap_or_default();
    best(
        &wanted,
        loadable_aliases(&loadable).chain(built_in_aliases(&built_in)),
    )
    .map(str::to_owned)
}

/// Lines `alias PATTERN MODULE`.
fn loadable_aliases(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("alias ")?.trim().split_once(' '))
}

/// Entries `MODULE.alias=PATTERN`, each ended by a zero byte.
fn built_in_aliases(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('\0').filter_map(|entry| {
        let (key, pattern) = entry.split_once('=')?;
        Some((pattern, key.strip_suffix(".alias")?))
    })
}

fn best<'t>(wanted: &str, aliases: impl Iterator<Item = (&'t str, &'t str)>) -> Option<&'t str> {
    aliases
        .filter(|(pattern, _)| pattern.starts_with("vfio_pci:") && matches(pattern, wanted))
        .min_by_key(|(pattern, _)| pattern.matches('*').count())
        .map(|(_, module)| module)
}

/// Matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.strip_prefix(head).is_some_and(|text| {
        rest.is_empty()
            || (0..=text.len()).any(|i| text.get(i..).is_some_and(|text| matches(rest, text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const ALIASES: &str = "\
# Aliases extracted from modules themselves.
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* wider_vfio_pci
";

    fn module(modalias: &str, alias: &str, modinfo: &str) -> Option<String> {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.file(&format!("{dir}/modalias"), format!("{modalias}\n"));
        tree.file("proc/sys/kernel/osrelease", "7.2.0\n");
        tree.file("lib/modules/7.2.0/modules.alias", alias);
        tree.file("lib/modules/7.2.0/modules.builtin.modinfo", modinfo);
        vfio_module(&tree.host(), &tree.host().devices()[0])
    }

    const MLX5_VF: &str = "pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00";

    #[test]
    fn the_alias_with_fewest_wildcards_wins() {
        assert_eq!(
            module(MLX5_VF, ALIASES, "").as_deref(),
            Some("mlx5_vfio_pci")
        );
        let other = MLX5_VF.replace("101E", "1021");
        assert_eq!(
            module(&other, ALIASES, "").as_deref(),
            Some("wider_vfio_pci")
        );
        let intel = "pci:v00008086d000010C9sv00001AF4sd00001100bc02sc00i00";
        assert_eq!(module(intel, ALIASES, "").as_deref(), Some("vfio_pci"));
    }

    #[test]
    fn aliases_of_built_in_modules_count() {
        let modinfo =
            "vfio_pci.license=GPL\0mlx5_vfio_pci.alias=vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*\0";
        assert_eq!(
            module(MLX5_VF, "", modinfo).as_deref(),
            Some("mlx5_vfio_pci")
        );
        assert_eq!(module(MLX5_VF, "", ""), None);
    }
}
