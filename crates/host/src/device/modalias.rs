//! Module aliases: the modules that a kernel build has for a device, by `modules.alias`.

use std::fs;
use std::path::Path;

use crate::{Device, Host, sysfs};

/// A module and one of its aliases.
struct Alias<'t> {
    pattern: &'t str,
    module: &'t str,
}

/// Returns the module whose `vfio_pci:` alias fits the device best: the one with the fewest
/// wildcards. That is the kernel's own rule for VFIO variant drivers.
pub(super) fn vfio_module(host: &Host, device: &Device) -> Option<String> {
    let modalias = sysfs::read(host.pci(device.address).join("modalias"))?;
    let wanted = format!("vfio_{modalias}");
    let release = sysfs::read(host.path("proc/sys/kernel/osrelease"))?;
    let dir = host.path("lib/modules").join(release);
    let loadable = read(&dir.join("modules.alias"));
    let built_in = read(&dir.join("modules.builtin.modinfo"));
    let mut aliases = loadable_aliases(&loadable);
    aliases.extend(built_in_aliases(&built_in));
    aliases
        .retain(|alias| alias.pattern.starts_with("vfio_pci:") && matches(alias.pattern, &wanted));
    let best = aliases
        .iter()
        .min_by_key(|alias| alias.pattern.matches('*').count())?;
    Some(best.module.to_owned())
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses lines `alias PATTERN MODULE`.
fn loadable_aliases(text: &str) -> Vec<Alias<'_>> {
    let mut aliases = Vec::new();
    for line in text.lines() {
        if let Some(alias) = line.strip_prefix("alias ")
            && let Some((pattern, module)) = alias.trim().split_once(' ')
        {
            aliases.push(Alias { pattern, module });
        }
    }

    aliases
}

/// Parses entries `MODULE.alias=PATTERN`, each of which ends with a zero byte.
fn built_in_aliases(text: &str) -> Vec<Alias<'_>> {
    let mut aliases = Vec::new();
    for entry in text.split('\0') {
        if let Some((key, pattern)) = entry.split_once('=')
            && let Some(module) = key.strip_suffix(".alias")
        {
            aliases.push(Alias { pattern, module });
        }
    }

    aliases
}

/// Returns whether a text matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    if rest.is_empty() {
        return true;
    }
    (0..=text.len()).any(|i| text.get(i..).is_some_and(|text| matches(rest, text)))
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
    fn alias_with_the_fewest_wildcards_wins() {
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
