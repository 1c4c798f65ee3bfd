//! What the component may use, and what may go in and come out. Each default with its reason.
//!
//! Decides nothing: the store (`state`), the clock (`ticker`) and the calls enforce these numbers.

/// Limits of one call. A fresh store is made for each call, so nothing adds up across calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of the calling thread, in milliseconds. Default 50: a call takes 10–100 µs, so this
    /// is never met by honest work, and a person does not notice it. CPU time, because a thousand
    /// shells that open at once on a small machine wait for the processor through no fault of the
    /// component.
    pub deadline_ms: u64,
    /// Wall time, in milliseconds, whatever CPU time was given. Default 10,000: the component cannot
    /// block, so this only ends the wait on a machine that gives the thread no time at all.
    pub ceiling_ms: u64,
    /// Linear memory in bytes. Default 16 MiB: the largest input needs less than 4.
    pub memory_bytes_max: usize,
    /// Linear memories. Default 1: all a guest of `wasm32` can use.
    pub memories_max: usize,
    /// Tables. Default 4: wit-component makes one for its shim, the guest has one.
    pub tables_max: usize,
    /// Elements of one table. Default 10,000: the guest's has some hundreds, one per indirect function.
    pub table_elements_max: usize,
    /// Core instances. Default 8: wit-component makes four.
    pub instances_max: usize,
    /// Bytes the host copies out of the component per lifted result or argument. Default 1 MiB: at
    /// wasmtime's default a hostile list of strings costs the host 142 MiB, at this 15.
    pub hostcall_fuel_bytes: usize,
    /// Bytes of all strings passed in. Default 256 KiB: four times the largest event. No limit inside
    /// the component stops a large argument, for it is copied before the component runs.
    pub input_bytes_max: usize,
    /// Bytes of all strings of a result. Default 512 KiB: a cleaned input and what was changed in it.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 50,
            ceiling_ms: 10_000,
            memory_bytes_max: 16 << 20,
            memories_max: 1,
            tables_max: 4,
            table_elements_max: 10_000,
            instances_max: 8,
            hostcall_fuel_bytes: 1 << 20,
            input_bytes_max: 256 << 10,
            output_bytes_max: 512 << 10,
        }
    }
}

/// Bytes of a component that is not the built-in one. The built-in one has less than 400,000; Cranelift
/// takes about a second for this much.
pub(crate) const COMPONENT_BYTES_MAX: usize = 4 << 20;
/// Calls at the same time in [`Profile::Service`](crate::Profile::Service); further ones wait. A call
/// takes microseconds, so more than a few per core only wait for the processor.
pub(crate) const CALLS_MAX: u32 = 32;
/// Bytes the component may ask from the entropy source at once. It needs 16 for an id.
pub(crate) const RANDOM_BYTES_MAX: u64 = 4096;
/// Native stack of the component, in bytes. Python gives its threads on macOS 512 KiB in all.
pub(crate) const STACK_BYTES_MAX: usize = 256 << 10;
/// Frames told of a trap; the innermost ones say where.
pub(crate) const FRAMES_MAX: usize = 32;
/// Characters of a text that a component had a hand in (names of functions, imports, exports).
pub(crate) const FOREIGN_TEXT_CHARS_MAX: usize = 500;
