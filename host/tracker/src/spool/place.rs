//! Which spool belongs to this machine: homes are shared between machines and with containers, and a
//! pid says something only where it was given out.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Spool;
use crate::process;

/// Name of the spool directory of this machine and pid namespace. The machine's id goes in as a
/// keyed digest: machine-id(5) asks not to expose it.
pub(super) fn spool_name() -> String {
    let machine =
        process::machine_id().unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    let digest = Sha256::digest(format!("shelltrack spool\n{machine}").as_bytes());
    let machine: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("spool-{machine}-{:x}", process::pid_namespace())
}

/// Spools beside this one that were made on this machine in another pid namespace. Gives nothing for a
/// spool that is not this namespace's own.
pub(crate) fn siblings(root: &Path) -> Vec<PathBuf> {
    let own = spool_name();
    let Some((machine, _)) = own.rsplit_once('-') else { return Vec::new() };
    let (Some(name), Some(state_dir)) = (root.file_name(), root.parent()) else { return Vec::new() };
    if name != own.as_str() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(state_dir).into_iter().flatten().flatten();
    let is_sibling = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name != own && name.rsplit_once('-').is_some_and(|(theirs, _)| theirs == machine)
    };
    entries.map(|entry| entry.path()).filter(is_sibling).collect()
}

impl Spool {
    /// Whether it belongs to this machine and pid namespace.
    pub(crate) fn is_own(&self) -> bool {
        self.name() == spool_name()
    }

    /// Whether it belongs to this machine, as far as its name tells.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        let own = spool_name();
        let machine = |name: &str| name.rsplit_once('-').map(|(machine, _)| machine.to_owned());
        machine(self.name()) == machine(&own)
    }

    fn name(&self) -> &str {
        self.root().file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether nobody lives in the pid namespace that this spool belongs to. `false` where that cannot be
    /// told.
    pub(crate) fn is_of_a_gone_namespace(&self) -> bool {
        let namespace =
            self.name().rsplit_once('-').and_then(|(_, inode)| u64::from_str_radix(inode, 16).ok());
        namespace.is_some_and(process::is_namespace_gone)
    }
}
