//! The part of the engine's configuration that shapes compiled code, shared by `build.rs` and run
//! time: what one of them compiles, only an equal configuration of the other may load.
//!
//! How instances are allocated and what they may use does not belong here; see `limits` and `sandbox`.

use wasmtime::Config;

/// Address space reserved for a memory, in bytes: what a component may use at most, so that growing
/// never moves it. wasmtime's own choice is 4 GiB, which a shell under `ulimit -v` cannot reserve, and
/// which spares a comparison at each access: about 7 % of a long call.
const MEMORY_RESERVATION_BYTES: u64 = 16 << 20;
/// Address space behind a memory that traps, in bytes: accesses at constant offsets below it need no
/// comparison of their own. wasmtime's own choice, 32 MiB, would make a pool of them 1.5 GiB.
const MEMORY_GUARD_BYTES: u64 = 1 << 20;

/// Configuration for compiling components, and the start of every configuration for running them.
pub(crate) fn code_config() -> Config {
    let mut config = Config::new();
    // Every loop and every function asks whether its time is up (about 20 %; fuel would cost 31 %).
    config.epoch_interruption(true);
    // Calls are synchronous; the bookkeeping of concurrent tasks would cost every one of them.
    config.concurrency_support(false);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(MEMORY_GUARD_BYTES);
    // Frames are told by name; offsets into the wasm file would only make the code larger.
    config.generate_address_map(false);
    // Nothing unwinds through the component's frames: it traps, and wasmtime walks frame pointers.
    config.native_unwind_info(false);
    config
}
