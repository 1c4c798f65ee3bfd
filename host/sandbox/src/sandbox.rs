//! Makes a runnable sandbox of a component: engine, imports, contract check, and a fresh store for
//! each call. The calls themselves are in `call`, components from files in `file`.

use std::sync::{Condvar, Mutex, PoisonError};

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::bindings::{SessionTracker, SessionTrackerPre};
use crate::engine::code_config;
use crate::error::{Error, harmless};
use crate::imports;
use crate::limits::{CALLS_MAX, COMPONENT_BYTES_MAX, Limits, STACK_BYTES_MAX};
use crate::size::Size;
use crate::state::State;
use crate::ticker::{self, Ticker};

/// The component this binary was built with, as WebAssembly.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.wasm"));
/// The same, compiled for this target.
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.cwasm"));

/// What a component must export.
const INTERFACES: [&str; 5] = ["types", "events", "sanitizer", "validator", "breaker"];
const PACKAGE: &str = "shelltrack:session";
const VERSION: &str = "0.1.0";

/// How the sandbox is used, which decides how instances are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A few calls in a process that lives for milliseconds.
    OneShot,
    /// Many calls in a process that stays: pooled instances.
    Service,
}

/// A loaded component. Cheap to share (`&self` everywhere, `Send + Sync`); each call runs in a fresh store.
pub struct Sandbox {
    pre: SessionTrackerPre<State>,
    limits: Limits,
    ticker: Ticker,
    slots: Slots,
}

impl Sandbox {
    /// The component this binary was built with.
    pub fn standard(profile: Profile) -> Result<Self, Error> {
        let limits = Limits::default();
        let engine = engine(profile, &limits)?;
        #[allow(unsafe_code, reason = "the only way to load code that was compiled ahead of time")]
        // SAFETY: `build.rs` of this crate made these bytes with `precompile_component`, and they are
        // part of the same binary as this code. wasmtime checks version and configuration by itself.
        let component = unsafe { Component::deserialize(&engine, COMPILED) };
        Self::new(&component.map_err(|error| Error::of_load(&error))?, limits)
    }

    /// Another component with the same contract, given as WebAssembly. It is validated and compiled
    /// here, which takes a second per MiB in the worst case; `from_file` keeps the result.
    pub fn from_bytes(bytes: &[u8], profile: Profile, limits: Limits) -> Result<Self, Error> {
        check_bytes(bytes, &limits)?;
        let engine = engine(profile, &limits)?;
        let component = Component::from_binary(&engine, bytes).map_err(|error| Error::of_load(&error))?;
        Self::new(&component, limits)
    }

    pub(crate) fn new(component: &Component, limits: Limits) -> Result<Self, Error> {
        let engine = component.engine();
        let mut linker = Linker::new(engine);
        SessionTracker::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
            .map_err(|error| Error::of_load(&error))?;
        let pre = linker.instantiate_pre(component).map_err(|error| Error::of_load(&error))?;
        check_contract(component)?;
        let pre = SessionTrackerPre::new(pre).map_err(|error| Error::VersionSkew {
            expected: format!("{PACKAGE}@{VERSION}"),
            found: harmless(&format!("the same name with another content ({error:#})")),
        })?;
        Ok(Self { pre, limits, ticker: Ticker::new(engine.clone()), slots: Slots::default() })
    }

    /// Runs one call in a store of its own. `input` is what would be copied in.
    pub(crate) fn call<T: Size>(
        &self,
        input: &[&dyn Size],
        call: impl FnOnce(&SessionTracker, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        let input_bytes = input.iter().map(|value| value.size_bytes()).fold(0, usize::saturating_add);
        capped("input", input_bytes, self.limits.input_bytes_max)?;
        let _slot = self.slots.take();
        let _running = self.ticker.run()?;
        let mut store = Store::new(self.pre.engine(), State { limits: self.limits });
        store.limiter(|state| state);
        store.set_hostcall_fuel(self.limits.hostcall_fuel_bytes);
        ticker::limit_time(&mut store, &self.limits);
        let output = self
            .pre
            .instantiate(&mut store)
            .and_then(|component| call(&component, &mut store))
            .map_err(|error| Error::of_call(&error))?;
        capped("output", output.size_bytes(), self.limits.output_bytes_max)?;
        Ok(output)
    }
}

fn capped(what: &'static str, bytes: usize, limit_bytes: usize) -> Result<(), Error> {
    if bytes > limit_bytes { Err(Error::TooLarge { what, bytes, limit_bytes }) } else { Ok(()) }
}

/// Seats for calls under way: beyond them the pool of instances would refuse instead of wait.
#[derive(Default)]
struct Slots {
    taken: Mutex<u32>,
    freed: Condvar,
}

struct Slot<'a>(&'a Slots);

impl Slots {
    fn take(&self) -> Slot<'_> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= CALLS_MAX {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = taken.saturating_add(1);
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(1);
        drop(taken);
        self.0.freed.notify_one();
    }
}

/// The engine that runs components in this profile.
pub(crate) fn engine(profile: Profile, limits: &Limits) -> Result<Engine, Error> {
    let mut config = code_config();
    config.max_wasm_stack(STACK_BYTES_MAX);
    if profile == Profile::Service {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    }
    Engine::new(&config).map_err(|error| Error::of_load(&error))
}

/// A pool with room for [`CALLS_MAX`] calls that each use all they may.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let count = |each: usize| CALLS_MAX.saturating_mul(u32::try_from(each).unwrap_or(u32::MAX));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CALLS_MAX)
        .total_core_instances(count(limits.instances_max))
        .total_memories(count(limits.memories_max))
        .total_tables(count(limits.tables_max))
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        // What stays resident need not be given back to the system and fetched again between calls.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Refuses what is no component, imports too much, or would not even start within the limits.
pub(crate) fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(Error::load(format!("{} bytes; the limit is {COMPONENT_BYTES_MAX}", bytes.len())));
    }
    let invalid =
        |error: wasmparser::BinaryReaderError| Error::load(format!("not a valid component: {error}"));
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(Error::load("is a core module, expected a component"));
    }
    if !wasmparser::Parser::is_component(bytes) {
        return Err(Error::load("not a WebAssembly component"));
    }
    wasmparser::Validator::new().validate_all(bytes).map_err(invalid)?;
    imports::check(bytes)?;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        if let wasmparser::Payload::MemorySection(memories) = payload.map_err(invalid)? {
            for memory in memories {
                check_memory(&memory.map_err(invalid)?, limits)?;
            }
        }
    }
    Ok(())
}

/// Seen before compiling, a memory that is too large from the start is told alike in both profiles.
fn check_memory(memory: &wasmparser::MemoryType, limits: &Limits) -> Result<(), Error> {
    let page_bytes = 1u64 << memory.page_size_log2.unwrap_or(16);
    let asked_bytes = memory.initial.saturating_mul(page_bytes);
    let limit_bytes = limits.memory_bytes_max as u64;
    if asked_bytes > limit_bytes { Err(Error::Memory { asked_bytes, limit_bytes }) } else { Ok(()) }
}

/// Compares what the component exports with what we call, so that another version is told by name.
fn check_contract(component: &Component) -> Result<(), Error> {
    for interface in INTERFACES {
        let expected = format!("{PACKAGE}/{interface}@{VERSION}");
        // By its full name: what is looked up by wasmtime may be of another patch version.
        let ty = component.component_type();
        if !ty.exports(component.engine()).any(|(name, _)| name == expected) {
            return Err(Error::VersionSkew { expected, found: found(component, interface) });
        }
    }
    Ok(())
}

/// The export that comes closest to what is missing.
fn found(component: &Component, interface: &str) -> String {
    let ty = component.component_type();
    let names = || ty.exports(component.engine()).map(|(name, _)| name);
    let versioned = format!("{PACKAGE}/{interface}@");
    let other_version = names().find(|name| name.starts_with(&versioned));
    let other_interface = || names().find(|name| name.starts_with(PACKAGE));
    match other_version.or_else(other_interface) {
        Some(name) => harmless(name),
        None => format!("nothing of {PACKAGE}"),
    }
}
