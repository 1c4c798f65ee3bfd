//! The breaker in a table: from a state, through steps at given times, to what is expected.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crate::breaker::STATE_BYTES_MAX;
use crate::oracles::check_breaker_step;
use crate::types::{BreakerInput, BreakerPhase, BreakerPolicy, BreakerStep, CallReport, Outcome};
use BreakerInput::{Ask, Disable, ForceOpen, Reset};
use BreakerPhase::{Closed, Disabled, ForcedOpen, HalfOpen, Open};
use Outcome::{Delivered, Garbled, Overloaded, Refused, ServerError, TimedOut, Unauthorized, Unreachable};

const POLICY: BreakerPolicy =
    BreakerPolicy { failure_threshold: 3, open_ms: 60_000, open_max_ms: 600_000, probe_ms: 15_000 };
/// A time at which tests begin.
const T: u64 = 1_700_000_000_000;

/// One step of a case.
#[derive(Clone, Copy)]
enum Do {
    /// An input.
    In(BreakerInput),
    /// A report of the generation that was allowed last.
    Say(Outcome),
    /// The same with `Retry-After` in milliseconds.
    SayAfter(Outcome, u64),
    /// A report of a generation that is over: so much older than the last one.
    Late(Outcome, u64),
    /// Time goes by.
    Wait(u64),
    /// The clock is set back.
    Back(u64),
}
use Do::{Back, In, Late, Say, SayAfter, Wait};

/// What is expected after the last step: phase, failures, whether an ask at this time is allowed and a
/// probe, and how long it would have to wait otherwise.
struct After {
    phase: BreakerPhase,
    failures: u32,
    allowed: bool,
    probe: bool,
    wait_ms: u64,
}

const fn passes(failures: u32) -> After {
    After { phase: Closed, failures, allowed: true, probe: false, wait_ms: 0 }
}

const fn waits(failures: u32, wait_ms: u64) -> After {
    After { phase: Open, failures, allowed: false, probe: false, wait_ms }
}

const fn probes(failures: u32) -> After {
    After { phase: Open, failures, allowed: true, probe: true, wait_ms: 0 }
}

const fn probing(failures: u32, wait_ms: u64) -> After {
    After { phase: HalfOpen, failures, allowed: false, probe: false, wait_ms }
}

const FORCED: After =
    After { phase: ForcedOpen, failures: 0, allowed: false, probe: false, wait_ms: u64::MAX };
const OFF: After = After { phase: Disabled, failures: 0, allowed: true, probe: false, wait_ms: 0 };

const FAIL: Do = Say(Unreachable);
const ASK: Do = In(Ask);

/// Opens the breaker.
macro_rules! opened { ($($step:expr),* $(,)?) => { &[ASK, FAIL, FAIL, FAIL $(, $step)*] } }
/// Sends the first probe.
macro_rules! probed { ($($step:expr),* $(,)?) => { opened![Wait(60_000), ASK $(, $step)*] } }

#[rustfmt::skip]
static CASES: &[(&str, &[Do], After)] = &[
    ("a new breaker lets calls pass", &[], passes(0)),
    ("asking alone changes nothing", &[ASK, ASK, ASK], passes(0)),
    ("a delivery counts nothing", &[ASK, Say(Delivered)], passes(0)),
    ("one failure is counted", &[ASK, FAIL], passes(1)),
    ("two failures are counted", &[ASK, FAIL, FAIL], passes(2)),
    ("the third failure opens", opened![], waits(3, 60_000)),
    ("an unreachable server is a failure", &[ASK, Say(Unreachable)], passes(1)),
    ("a timeout is a failure", &[ASK, Say(TimedOut)], passes(1)),
    ("a server error is a failure", &[ASK, Say(ServerError)], passes(1)),
    ("a garbled answer is a failure", &[ASK, Say(Garbled)], passes(1)),
    ("an overload without a time is a failure", &[ASK, Say(Overloaded)], passes(1)),
    ("a refusal is no failure", &[ASK, Say(Refused)], passes(0)),
    ("a refused identity is no failure", &[ASK, Say(Unauthorized)], passes(0)),
    ("any number of refusals opens nothing", &[ASK, Say(Refused), Say(Refused), Say(Refused), Say(Refused)], passes(0)),
    ("any number of refused identities opens nothing", &[ASK, Say(Unauthorized), Say(Unauthorized), Say(Unauthorized)], passes(0)),
    ("a delivery forgets a failure", &[ASK, FAIL, Say(Delivered)], passes(0)),
    ("a delivery forgets two failures", &[ASK, FAIL, FAIL, Say(Delivered)], passes(0)),
    ("a refusal forgets failures, since the server answers", &[ASK, FAIL, FAIL, Say(Refused)], passes(0)),
    ("a refused identity forgets failures, since the server answers", &[ASK, FAIL, FAIL, Say(Unauthorized)], passes(0)),
    ("failures count in a row only", &[ASK, FAIL, FAIL, Say(Delivered), FAIL, FAIL], passes(2)),
    ("kinds of failures add up", &[ASK, Say(TimedOut), Say(ServerError), Say(Garbled)], waits(3, 60_000)),
    ("three timeouts open", &[ASK, Say(TimedOut), Say(TimedOut), Say(TimedOut)], waits(3, 60_000)),
    ("three server errors open", &[ASK, Say(ServerError), Say(ServerError), Say(ServerError)], waits(3, 60_000)),
    ("three garbled answers open", &[ASK, Say(Garbled), Say(Garbled), Say(Garbled)], waits(3, 60_000)),
    ("three overloads open", &[ASK, Say(Overloaded), Say(Overloaded), Say(Overloaded)], waits(3, 60_000)),
    ("failures do not age", &[ASK, FAIL, FAIL, Wait(86_400_000)], passes(2)),
    ("failures far apart open as well", &[ASK, FAIL, Wait(3_600_000), FAIL, Wait(3_600_000), FAIL], waits(3, 60_000)),
    ("open: half of the interval is not enough", opened![Wait(30_000)], waits(3, 30_000)),
    ("open: one millisecond less is not enough", opened![Wait(59_999)], waits(3, 1)),
    ("open: the interval is enough", opened![Wait(60_000)], probes(3)),
    ("open: much later a probe goes out", opened![Wait(86_400_000)], probes(3)),
    ("open: asking early does not prolong it", opened![Wait(30_000), ASK, ASK, Wait(30_000)], probes(3)),
    ("open: a late failure is ignored", opened![Late(Unreachable, 1)], waits(3, 60_000)),
    ("open: a late delivery is ignored", opened![Late(Delivered, 1)], waits(3, 60_000)),
    ("open: many late failures are ignored", opened![Late(TimedOut, 1), Late(TimedOut, 1), Late(TimedOut, 1)], waits(3, 60_000)),
    ("open: a late wish to wait is ignored", opened![Wait(60_000), Late(Overloaded, 1)], probes(3)),
    ("half-open: only one probe goes out", probed![], probing(3, 15_000)),
    ("half-open: others wait for the probe", probed![Wait(1)], probing(3, 14_999)),
    ("half-open: they wait to the last millisecond", probed![Wait(14_999)], probing(3, 1)),
    ("half-open: a delivered probe closes", probed![Say(Delivered)], passes(0)),
    ("half-open: a refused probe closes, since the server answers", probed![Say(Refused)], passes(0)),
    ("half-open: an unauthorized probe closes, since the server answers", probed![Say(Unauthorized)], passes(0)),
    ("half-open: an unreachable probe opens for twice as long", probed![Say(Unreachable)], waits(4, 120_000)),
    ("half-open: a timeout opens for twice as long", probed![Say(TimedOut)], waits(4, 120_000)),
    ("half-open: a server error opens for twice as long", probed![Say(ServerError)], waits(4, 120_000)),
    ("half-open: a garbled probe opens for twice as long", probed![Say(Garbled)], waits(4, 120_000)),
    ("half-open: an overloaded probe opens for twice as long", probed![Say(Overloaded)], waits(4, 120_000)),
    ("half-open: a late failure is ignored", probed![Late(Unreachable, 1)], probing(3, 15_000)),
    ("half-open: a late delivery is ignored", probed![Late(Delivered, 2)], probing(3, 15_000)),
    ("half-open: a report of the future is ignored", probed![Late(Delivered, u64::MAX)], probing(3, 15_000)),
    ("half-open: after the probe's time a report of it is late once the next one is out", probed![Wait(15_000), ASK, Late(Delivered, 1)], probing(3, 15_000)),
    ("half-open: a slow probe still counts as long as no other is out", probed![Wait(20_000), Say(Delivered)], passes(0)),
    ("half-open: the second probe's delivery closes", probed![Wait(15_000), ASK, Say(Delivered)], passes(0)),
    ("half-open: the second probe's failure opens for twice as long", probed![Wait(15_000), ASK, FAIL], waits(4, 120_000)),
    ("grown: not before it is over", probed![FAIL, Wait(119_999)], waits(4, 1)),
    ("grown: a probe when it is over", probed![FAIL, Wait(120_000)], probes(4)),
    ("grown: it doubles again", probed![FAIL, Wait(120_000), ASK, FAIL], waits(5, 240_000)),
    ("grown: and again", probed![FAIL, Wait(120_000), ASK, FAIL, Wait(240_000), ASK, FAIL], waits(6, 480_000)),
    ("grown: up to the longest interval", probed![FAIL, Wait(120_000), ASK, FAIL, Wait(240_000), ASK, FAIL, Wait(480_000), ASK, FAIL], waits(7, 600_000)),
    ("grown: and not beyond", probed![FAIL, Wait(120_000), ASK, FAIL, Wait(240_000), ASK, FAIL, Wait(480_000), ASK, FAIL, Wait(600_000), ASK, FAIL], waits(8, 600_000)),
    ("grown: a delivery forgets the growth", probed![FAIL, Wait(120_000), ASK, Say(Delivered), ASK, FAIL, FAIL, FAIL], waits(3, 60_000)),
    ("retry-after: an overload with a time opens at once", &[ASK, SayAfter(Overloaded, 5_000)], waits(1, 60_000)),
    ("retry-after: a longer time than the interval counts", &[ASK, SayAfter(Overloaded, 90_000)], waits(1, 90_000)),
    ("retry-after: it counts at the threshold too", &[ASK, FAIL, FAIL, SayAfter(ServerError, 90_000)], waits(3, 90_000)),
    ("retry-after: below the threshold only an overload opens", &[ASK, SayAfter(ServerError, 90_000)], passes(1)),
    ("retry-after: of a delivery it means nothing", &[ASK, SayAfter(Delivered, 90_000)], passes(0)),
    ("retry-after: of a refusal it means nothing", &[ASK, SayAfter(Refused, 90_000)], passes(0)),
    ("retry-after: of a probe it counts", probed![SayAfter(Overloaded, 300_000)], waits(4, 300_000)),
    ("retry-after: a shorter one does not shorten the interval", probed![SayAfter(Overloaded, 1_000)], waits(4, 120_000)),
    ("retry-after: zero is no wish", &[ASK, FAIL, FAIL, SayAfter(ServerError, 0)], waits(3, 60_000)),
    ("retry-after: more than a day is a day", &[ASK, SayAfter(Overloaded, u64::MAX)], waits(1, 86_400_000)),
    ("retry-after: when it is over a probe goes out", &[ASK, SayAfter(Overloaded, 90_000), Wait(90_000)], probes(1)),
    ("by hand: forced open lets nothing pass", &[In(ForceOpen)], FORCED),
    ("by hand: forced open stays so", &[In(ForceOpen), Wait(u64::MAX / 4)], FORCED),
    ("by hand: forced open ignores reports", &[ASK, In(ForceOpen), Late(Delivered, 1), Say(Delivered)], FORCED),
    ("by hand: forced open from open", opened![In(ForceOpen)], FORCED),
    ("by hand: forced open from half-open", probed![In(ForceOpen), Say(Delivered)], FORCED),
    ("by hand: disabled lets everything pass", &[In(Disable)], OFF),
    ("by hand: disabled counts nothing", &[In(Disable), ASK, FAIL, FAIL, FAIL, FAIL], OFF),
    ("by hand: disabled from open lets pass at once", opened![In(Disable)], OFF),
    ("by hand: disabled from half-open", probed![In(Disable)], OFF),
    ("by hand: a reset closes what is open", opened![In(Reset)], passes(0)),
    ("by hand: a reset closes what is half-open", probed![In(Reset)], passes(0)),
    ("by hand: a reset closes what is forced open", &[In(ForceOpen), In(Reset)], passes(0)),
    ("by hand: a reset ends disabled", &[In(Disable), In(Reset)], passes(0)),
    ("by hand: a reset forgets failures", &[ASK, FAIL, FAIL, In(Reset)], passes(0)),
    ("by hand: a reset forgets the growth", probed![FAIL, In(Reset), ASK, FAIL, FAIL, FAIL], waits(3, 60_000)),
    ("by hand: after a reset old reports are late", &[In(ForceOpen), In(Reset), Late(Unreachable, 1), Late(Unreachable, 2)], passes(0)),
    ("by hand: disabled and then forced open", &[In(Disable), In(ForceOpen)], FORCED),
    ("by hand: forced open and then disabled", &[In(ForceOpen), In(Disable)], OFF),
    ("clock: set back while open, the wait does not grow", opened![Back(86_400_000)], waits(3, 60_000)),
    ("clock: set back in the middle, the wait begins anew at most", opened![Wait(30_000), Back(3_600_000)], waits(3, 60_000)),
    ("clock: set back to zero", opened![Back(T)], waits(3, 60_000)),
    ("clock: set back while a probe is out", probed![Back(86_400_000)], probing(3, 15_000)),
    ("clock: set back with a long wish to wait", &[ASK, SayAfter(Overloaded, 90_000), Back(3_600_000)], waits(1, 90_000)),
    ("clock: set forward, a probe goes out", opened![Wait(u64::MAX / 2)], probes(3)),
    ("clock: set forward while a probe is out, another goes out", probed![Wait(86_400_000), ASK, Say(Delivered)], passes(0)),
    ("clock: set back while closed changes nothing", &[ASK, FAIL, Back(86_400_000), FAIL], passes(2)),
];

/// Keeps what a host keeps.
struct Host {
    state: String,
    generation: u64,
    now_ms: u64,
}

impl Host {
    fn new() -> Self {
        Host { state: String::new(), generation: 0, now_ms: T }
    }

    /// No entropy: the grown intervals come without jitter.
    fn step(&mut self, input: BreakerInput) -> BreakerStep {
        let step = check_breaker_step(&self.state, &POLICY, input, self.now_ms, 0);
        self.state.clone_from(&step.state);
        if step.allowed {
            self.generation = step.generation;
        }
        step
    }

    fn report(&mut self, outcome: Outcome, retry_after_ms: Option<u64>, age: u64) -> BreakerStep {
        let generation = self.generation.wrapping_sub(age);
        self.step(BreakerInput::Report(CallReport { generation, outcome, retry_after_ms }))
    }

    fn apply(&mut self, step: Do) {
        match step {
            In(input) => drop(self.step(input)),
            Say(outcome) => drop(self.report(outcome, None, 0)),
            SayAfter(outcome, ms) => drop(self.report(outcome, Some(ms), 0)),
            Late(outcome, age) => drop(self.report(outcome, None, age)),
            Wait(ms) => self.now_ms = self.now_ms.saturating_add(ms),
            Back(ms) => self.now_ms = self.now_ms.saturating_sub(ms),
        }
    }
}

#[test]
fn every_case_of_the_table_ends_as_expected() {
    assert!(CASES.len() >= 80);
    for (name, steps, after) in CASES {
        let mut host = Host::new();
        steps.iter().for_each(|&step| host.apply(step));
        let last = host.step(Ask);
        assert_eq!(last.discarded, None, "{name}");
        assert_eq!((last.previous, last.failures), (after.phase, after.failures), "{name}");
        assert_eq!((last.allowed, last.probe), (after.allowed, after.probe), "{name}");
        let wait_ms = if last.retry_at_ms == u64::MAX {
            u64::MAX
        } else {
            last.retry_at_ms.saturating_sub(host.now_ms)
        };
        assert_eq!(wait_ms, after.wait_ms, "{name}");
    }
}

#[track_caller]
fn check_discarded(state: &str, reason: &str) {
    let step = check_breaker_step(state, &POLICY, Ask, T, 0);
    assert_eq!(step.discarded.as_deref(), Some(reason), "{state}");
    assert!(step.allowed && step.phase == Closed, "a discarded state is a new one: {step:?}");
}

#[test]
fn a_state_that_cannot_be_read_resets_to_closed_and_says_so() {
    for state in ["x", "{}", "[]", "null", "{\"version\":1}", "\0", "{\"version\":1,\"phase\":\"ajar\"}", " "]
    {
        check_discarded(state, "the state cannot be read");
    }
    let valid = Host::new().step(Ask).state;
    check_discarded(valid.get(..valid.len() - 1).unwrap(), "the state cannot be read");
    check_discarded(&valid.replace("\"failures\":0", "\"failures\":-1"), "the state cannot be read");
    check_discarded(&valid.replace("\"failures\":0", "\"failures\":4294967296"), "the state cannot be read");
    check_discarded(
        &valid.replace("\"failures\":0", "\"failures\":0,\"failures\":0"),
        "the state cannot be read",
    );
    check_discarded(
        &valid.replace("\"failures\":0", "\"failures\":0,\"more\":0"),
        "the state cannot be read",
    );
}

#[test]
fn a_state_of_another_version_resets_to_closed_and_says_so() {
    check_discarded("{\"version\":2}", "the state is of another version");
    check_discarded("{\"version\":0,\"anything\":[1,2]}", "the state is of another version");
    let valid = Host::new().step(Ask).state;
    check_discarded(&valid.replace("\"version\":1", "\"version\":2"), "the state is of another version");
}

#[test]
fn a_state_that_contradicts_itself_resets_to_closed_and_says_so() {
    let valid = Host::new().step(Ask).state;
    check_discarded(&valid.replace("\"closed\"", "\"open\""), "the state contradicts itself");
    check_discarded(&valid.replace("\"closed\"", "\"half-open\""), "the state contradicts itself");
    check_discarded(&valid.replace("\"retry_at_ms\":0", "\"retry_at_ms\":9"), "the state contradicts itself");
    let forced = Host::new().step(ForceOpen).state;
    check_discarded(&forced.replace("\"failures\":0", "\"failures\":1"), "the state contradicts itself");
}

#[test]
fn a_state_that_is_too_long_resets_to_closed_and_says_so() {
    let valid = Host::new().step(Ask).state;
    check_discarded(&format!("{}{valid}", " ".repeat(2000)), "the state is too long");
}

#[test]
fn a_policy_that_makes_no_sense_is_put_right() {
    let policy = BreakerPolicy { failure_threshold: 0, open_ms: 0, open_max_ms: 0, probe_ms: 0 };
    let asked = check_breaker_step("", &policy, Ask, T, 0);
    let report = CallReport { generation: asked.generation, outcome: Unreachable, retry_after_ms: None };
    let open = check_breaker_step(&asked.state, &policy, BreakerInput::Report(report), T, 0);
    assert_eq!((open.phase, open.retry_at_ms), (Open, T + 1));
    assert!(check_breaker_step(&open.state, &policy, Ask, T + 1, 0).probe);
}

#[test]
fn a_policy_that_was_changed_counts_at_once() {
    let mut host = Host::new();
    opened![Wait(60_000), ASK, FAIL].iter().for_each(|&step| host.apply(step));
    let shorter = BreakerPolicy { open_ms: 1_000, open_max_ms: 2_000, ..POLICY };
    host.now_ms += 120_000;
    let probe = check_breaker_step(&host.state, &shorter, Ask, host.now_ms, 0);
    let report = CallReport { generation: probe.generation, outcome: TimedOut, retry_after_ms: None };
    let open = check_breaker_step(&probe.state, &shorter, BreakerInput::Report(report), host.now_ms, 0);
    assert_eq!(open.retry_at_ms, host.now_ms + 2_000);
}

#[test]
fn jitter_takes_up_to_a_quarter_off_a_grown_interval_and_nothing_off_the_first() {
    for (entropy, expected_ms) in
        [(0, 120_000), (u64::MAX / 3, 110_000), (u64::MAX / 2, 105_000), (u64::MAX, 90_000)]
    {
        let mut host = Host::new();
        opened![].iter().for_each(|&step| host.apply(step));
        host.now_ms += 60_000;
        let probe = host.step(Ask);
        assert!(probe.probe, "the first interval is exact");
        let report = CallReport { generation: probe.generation, outcome: TimedOut, retry_after_ms: None };
        let open =
            check_breaker_step(&host.state, &POLICY, BreakerInput::Report(report), host.now_ms, entropy);
        assert_eq!(open.retry_at_ms - host.now_ms, expected_ms, "{entropy}");
    }
}

#[test]
fn a_state_may_be_as_long_as_its_limit_and_no_longer() {
    let mut host = Host::new();
    opened![].iter().for_each(|&step| host.apply(step));
    for (bytes, phase, discarded) in [(STATE_BYTES_MAX, Open, false), (STATE_BYTES_MAX + 1, Closed, true)] {
        let padded = format!("{:bytes$}", host.state);
        let step = check_breaker_step(&padded, &POLICY, Ask, host.now_ms, 0);
        assert_eq!((step.previous, step.discarded.is_some()), (phase, discarded), "{bytes}");
    }
}

#[test]
fn every_transition_can_be_seen_and_begins_a_generation() {
    let mut host = Host::new();
    let mut last = 0;
    let mut seen = Vec::new();
    let mut watch = |step: &BreakerStep| {
        if step.previous != step.phase {
            assert!(step.generation > last, "{step:?}");
            seen.push(step.phase);
        }
        last = step.generation;
    };
    watch(&host.step(Ask));
    for _ in 0..3 {
        watch(&host.report(Unreachable, None, 0));
    }
    host.now_ms += 60_000;
    watch(&host.step(Ask));
    watch(&host.report(Delivered, None, 0));
    watch(&host.step(ForceOpen));
    watch(&host.step(Disable));
    watch(&host.step(Reset));
    assert_eq!(seen, [Open, HalfOpen, Closed, ForcedOpen, Disabled, Closed]);
}
