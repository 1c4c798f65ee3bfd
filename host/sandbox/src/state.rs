//! What belongs to one call: its limiter, and the two things it may ask the host for, the time of day
//! and random bytes. There is nothing else to reach.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::{ResourceLimiter, Result, format_err};

use crate::bindings::wasi::clocks::wall_clock::{self, Datetime};
use crate::bindings::wasi::random::random;
use crate::error::Stopped;
use crate::limits::{Limits, RANDOM_BYTES_MAX};

/// Data of one store.
pub(crate) struct State {
    pub(crate) limits: Limits,
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit_bytes = self.limits.memory_bytes_max;
        if desired > limit_bytes {
            // An error ends the call. A mere `false` would let it go on with -1 for an answer.
            return Err(Stopped::Memory { asked_bytes: desired, limit_bytes }.into());
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.limits.table_elements_max;
        if desired > limit {
            return Err(format_err!("a table of {desired} elements; the limit is {limit}"));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances_max
    }

    fn tables(&self) -> usize {
        self.limits.tables_max
    }

    fn memories(&self) -> usize {
        self.limits.memories_max
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> Result<Datetime> {
        // A clock set before 1970 is 1970 here: the contract cannot say anything earlier.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> Result<Datetime> {
        Ok(Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            return Err(format_err!("{len} random bytes; the limit is {RANDOM_BYTES_MAX}"));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        getrandom::fill(&mut bytes).map_err(|error| format_err!("no entropy: {error}"))?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        getrandom::u64().map_err(|error| format_err!("no entropy: {error}"))
    }
}
