//! Signals that whoever started us had ignored, where that would be lost: a command is to start as it would
//! without us. All others stay ignored by themselves, also across exec (POSIX, 2.4.3).
//!
//! - SIGPIPE: Rust's runtime ignores it before `main` runs and makes it the default again in every child, so
//!   what was before must be looked at sooner, and said again in the child.
//! - SIGXFSZ (`ulimit -f`): its default kills us instead of failing the write. Handled, it becomes the
//!   default again in a child; ignored, it stays so.

use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static FILE_SIZE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Called by the loader before the runtime begins.
// SAFETY: what stands in this section is called once, as a function without arguments; `look` asks the kernel and
// stores two atomics, and needs nothing of the runtime.
#[used]
#[allow(unsafe_code, reason = "there is no other moment before the runtime changes what is looked at")]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    PIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    FILE_SIZE_IGNORED.store(is_ignored(libc::SIGXFSZ), Ordering::Relaxed);
}

#[allow(unsafe_code, reason = "nix has no safe form that only asks")]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with no new action sigaction(2) only writes the present one, to memory of its type, and where
    // it says that it did, it is initialised.
    unsafe {
        libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Makes a write beyond `ulimit -f` an error (EFBIG) like any other.
pub(crate) fn survive_file_size_limits() {
    if !FILE_SIZE_IGNORED.load(Ordering::Relaxed) {
        // Fails only for signals that cannot be handled. Nobody looks at the flag: the error says it.
        drop(signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false))));
    }
}

/// Has a command ignore what it would have ignored without us.
#[allow(unsafe_code, reason = "the runtime resets SIGPIPE in children and offers no way to say otherwise")]
pub(crate) fn hand_on(command: &mut Command) -> &mut Command {
    if PIPE_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: signal(2) may be called between fork and exec (POSIX, 2.4.3, async-signal-safe).
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
                Ok(())
            });
        }
    }
    command
}
