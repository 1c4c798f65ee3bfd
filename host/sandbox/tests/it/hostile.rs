//! Every hostile component gives its typed error from every function, in both profiles, in bounded
//! time, and harms nobody else.

use std::time::{Duration, Instant};

use shelltrack_sandbox::testing::{Hostile, with_import};
use shelltrack_sandbox::{Error, Limits, Profile, Sandbox};

use crate::{end_context, policy, start_context};

const PROFILES: [Profile; 2] = [Profile::OneShot, Profile::Service];

fn load(hostile: Hostile, profile: Profile) -> Result<Sandbox, Error> {
    Sandbox::from_bytes(&hostile.component(), profile, Limits::default())
}

/// The error of each function that takes or gives text.
fn errors(sandbox: &Sandbox) -> Vec<Error> {
    let policy = policy();
    let errors = [
        sandbox.build_start(&start_context(), &policy).err(),
        sandbox.build_end(&end_context(), &policy).err(),
        sandbox.bind_session("{}", "id").err(),
        sandbox.sanitize_text("text", 10, &policy).err(),
        sandbox.sanitize_json("{}", &policy).err(),
        sandbox.validate_start("{}", &policy).err(),
        sandbox.validate_end("{}", &policy).err(),
    ];
    errors.into_iter().map(|error| error.expect("a hostile component gives no result")).collect()
}

#[track_caller]
fn check_calls(hostile: Hostile, expected: impl Fn(&Error) -> bool) {
    for profile in PROFILES {
        let sandbox = load(hostile, profile).unwrap();
        for error in errors(&sandbox) {
            assert!(expected(&error), "{hostile:?} in {profile:?}: {error:?}");
        }
    }
}

#[track_caller]
fn check_load(hostile: Hostile, expected: impl Fn(&Error) -> bool) {
    for profile in PROFILES {
        let error = load(hostile, profile).err().expect("it must not load");
        assert!(expected(&error), "{hostile:?} in {profile:?}: {error:?}");
    }
}

#[track_caller]
fn check_trap(hostile: Hostile, said: &str) {
    check_calls(hostile, |error| matches!(error, Error::Trap { reason, .. } if reason.contains(said)));
}

#[test]
fn a_trap_is_told_with_its_frames() {
    check_calls(
        Hostile::Trap,
        |error| matches!(error, Error::Trap { reason, frames } if reason.contains("unreachable") && frames.len() == 1),
    );
}

#[test]
fn an_endless_loop_is_a_timeout() {
    check_calls(Hostile::Loop, |error| matches!(error, Error::Timeout { limit_ms: 50 }));
}

#[test]
fn an_endless_loop_at_the_start_is_a_timeout_of_the_call() {
    check_calls(Hostile::StartLoop, |error| matches!(error, Error::Timeout { limit_ms: 50 }));
}

#[test]
fn an_endless_loop_ends_about_when_it_should() {
    let sandbox = load(Hostile::Loop, Profile::OneShot).unwrap();
    let begun = Instant::now();
    let result = sandbox.sanitize_text("", 1, &policy());
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert!(begun.elapsed() >= Duration::from_millis(50), "not before its time");
    assert!(begun.elapsed() < Duration::from_secs(10), "the ceiling must not be what ended it");
}

#[test]
fn one_gib_is_refused() {
    check_calls(Hostile::Memory, |error| {
        matches!(error, Error::Memory { asked_bytes: 1_073_741_825.., limit_bytes: 16_777_216 })
    });
}

#[test]
fn one_gib_from_the_start_is_refused() {
    check_load(Hostile::InitialMemory, |error| {
        matches!(error, Error::Memory { asked_bytes: 1_073_741_824, limit_bytes: 16_777_216 })
    });
}

#[test]
fn endless_recursion_is_a_trap() {
    check_trap(Hostile::Recursion, "stack");
}

#[test]
fn endless_recursion_is_a_trap_on_a_small_thread_too() {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    let test = thread.spawn(|| {
        let result = load(Hostile::Recursion, Profile::OneShot).unwrap().bind_session("", "");
        assert!(matches!(result, Err(Error::Trap { .. })), "{result:?}");
    });
    test.unwrap().join().unwrap();
}

#[test]
fn a_huge_text_is_cut_off_by_one_of_the_caps() {
    check_calls(Hostile::HugeText, |error| match error {
        Error::TooLarge { what: "output", bytes: 786_432, .. } => true,
        // Where a list comes before or right after the text, its length is what is noticed.
        Error::Trap { reason, .. } => reason.contains("fuel") || reason.contains("out of bounds"),
        _ => false,
    });
}

#[test]
fn a_list_longer_than_the_memory_is_a_trap() {
    check_trap(Hostile::BeyondMemory, "out of bounds");
}

#[test]
fn text_that_is_not_utf8_is_a_trap() {
    check_trap(Hostile::NotUtf8, "utf-8");
}

#[test]
fn a_variant_that_does_not_exist_is_a_trap() {
    check_calls(Hostile::NoSuchVariant, |error| matches!(error, Error::Trap { .. }));
}

#[test]
fn an_import_beyond_the_contract_is_named() {
    check_load(Hostile::OtherImport, |error| {
        matches!(error, Error::Imports { expected, found }
            if expected == "wasi:clocks/wall-clock@0.2.0, wasi:random/random@0.2.0"
                && found == "wasi:cli/environment@0.2.0")
    });
}

#[test]
fn an_import_with_nothing_in_it_is_one_too_many_all_the_same() {
    check_load(
        Hostile::EmptyImport,
        |error| matches!(error, Error::Imports { found, .. } if found == "wasi:filesystem/preopens@0.2.0"),
    );
    for name in ["a:b/c", "wasi:random/random@0.3.0", "wasi:random/insecure@0.2.0", "wasi:random/random"] {
        let bytes = with_import(name);
        let error = Sandbox::from_bytes(&bytes, Profile::OneShot, Limits::default()).err().unwrap();
        assert!(matches!(&error, Error::Imports { found, .. } if found == name), "{error}");
        assert!(error.to_string().contains("expected") && error.to_string().contains("found"), "{error}");
    }
}

#[test]
fn another_compatible_version_of_an_import_is_taken() {
    for name in ["wasi:random/random@0.2.6", "wasi:clocks/wall-clock@0.2.10"] {
        let sandbox = Sandbox::from_bytes(&with_import(name), Profile::OneShot, Limits::default()).unwrap();
        assert_eq!(sandbox.sanitize_text("a", 1, &policy()).unwrap().text, "a", "{name}");
    }
}

#[test]
fn an_import_too_many_is_told_before_anything_is_compiled() {
    let files = tempfile::tempdir().unwrap();
    let (path, cache) = (files.path().join("component.wasm"), files.path().join("cache"));
    std::fs::write(&path, Hostile::EmptyImport.component()).unwrap();
    let (_, digest) = Sandbox::read_file(&path).unwrap();
    let error = Sandbox::from_file(&path, &digest, &cache, Profile::OneShot).err().unwrap();
    assert!(matches!(error, Error::Imports { .. }), "{error}");
    assert!(!cache.exists());
}

#[test]
fn another_version_is_named() {
    check_load(Hostile::OtherVersion, |error| {
        matches!(error, Error::VersionSkew { expected, found }
            if expected.starts_with("shelltrack:session/") && found.ends_with("@0.9.0"))
    });
}

#[test]
fn another_patch_version_is_another_version() {
    check_load(Hostile::PatchVersion, |error| {
        matches!(error, Error::VersionSkew { expected, found }
            if expected.ends_with("@0.1.0") && found.ends_with("@0.1.1"))
    });
}

#[test]
fn a_component_without_the_contract_is_told_so() {
    check_load(
        Hostile::Empty,
        |error| matches!(error, Error::VersionSkew { found, .. } if found == "nothing of shelltrack:session"),
    );
}

#[test]
fn what_is_no_component_does_not_load() {
    for hostile in [Hostile::CoreModule, Hostile::Garbage, Hostile::Truncated] {
        check_load(hostile, |error| matches!(error, Error::Load(_)));
    }
}

#[test]
fn a_core_module_is_told_as_such() {
    check_load(Hostile::CoreModule, |error| {
        error.to_string().contains("is a core module, expected a component")
    });
}

#[test]
fn no_prefix_of_the_component_loads_or_panics() {
    let component = shelltrack_sandbox::COMPONENT;
    for len in (0..component.len()).step_by(component.len() / 50) {
        let result = Sandbox::from_bytes(&component[..len], Profile::OneShot, Limits::default());
        assert!(matches!(result, Err(Error::Load(_) | Error::VersionSkew { .. })), "{len} bytes");
    }
}

#[test]
fn hostile_calls_do_not_use_up_the_pool() {
    let sandbox = load(Hostile::Trap, Profile::Service).unwrap();
    for _ in 0..500 {
        let error = sandbox.bind_session("", "").err().unwrap();
        assert!(matches!(error, Error::Trap { ref reason, .. } if reason.contains("unreachable")), "{error}");
    }
}

#[test]
fn names_of_functions_cannot_steer_a_terminal() {
    let sandbox = load(Hostile::Trap, Profile::OneShot).unwrap();
    for error in errors(&sandbox) {
        assert!(matches!(&error, Error::Trap { frames, .. } if frames == &["?]0;owned?"]), "{error:?}");
    }
}
