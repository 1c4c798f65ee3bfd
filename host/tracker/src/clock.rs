//! What time it is.

/// Microseconds since 1970-01-01T00:00:00Z.
#[cfg(not(test))]
pub(crate) fn now_us() -> u64 {
    system_us()
}

/// In a unit test whose runtime has its time paused, that time counts: an hour is over in a moment.
#[cfg(test)]
pub(crate) fn now_us() -> u64 {
    virtual_time::now_us().unwrap_or_else(system_us)
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn now_ms() -> u64 {
    now_us() / 1_000
}

/// What the system's clock says.
pub(crate) fn system_us() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) mod virtual_time {
    use std::cell::Cell;

    use tokio::time::Instant;

    thread_local! {
        /// A moment of the runtime's clock, and what the wall clock said then.
        static ANCHOR: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
    }

    /// From now on this thread's wall clock shows `us` and goes as the runtime's does.
    pub(crate) fn set(us: u64) {
        ANCHOR.set(Some((Instant::now(), us)));
    }

    pub(super) fn now_us() -> Option<u64> {
        let (at, us) = ANCHOR.get()?;
        // Outside of the runtime there is no such time.
        tokio::runtime::Handle::try_current().ok()?;
        Some(us + u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
