//! Which spool belongs to this machine: homes are shared between machines and with containers, and a
//! pid says something only where it was given out.

use sha2::{Digest, Sha256};

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
