//! What the sandbox costs: the same event built natively, in a fresh store per call, and from nothing.
//! Ratios count, not absolute times.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make items; a benchmark may fail by panic"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use shelltrack_guest::{events, types as native};
use shelltrack_sandbox::{Profile, Sandbox, types};

/// The same value for the guest's own types and for the host's.
macro_rules! context {
    ($types:ident) => {
        $types::StartContext {
            component_name: "mahavishnu".into(),
            shell_type: "MahavishnuShell".into(),
            pid: 4242,
            user: $types::UserInfo { username: "ada".into(), home: "/home/ada".into() },
            hostname: "engine".into(),
            environment: $types::EnvironmentInfo {
                python_version: "3.13.0".into(),
                platform: "Linux x86_64".into(),
                cwd: "/home/ada/project".into(),
            },
            metadata: r#"{"version":"1.2.3","adapters":["prefect","agno"]}"#.into(),
            correlation_id: Some("6f9619ff-8b86-4d01-b42d-00c04fc964ff".into()),
            origin: None,
            event_id: None,
            timestamp: None,
        }
    };
}

macro_rules! policy {
    ($types:ident) => {
        $types::Policy {
            hide_cwd: false,
            hide_home: false,
            hide_hostname: false,
            hide_username: false,
            secret_keys: Vec::new(),
            secret_prefixes: Vec::new(),
        }
    };
}

fn build_start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build-start");
    let policy = policy!(native);
    group.bench_function("native", |bencher| {
        bencher.iter(|| {
            events::build_start(black_box(context!(native)), &policy, 1_700_000_000_000_000, [7; 16])
        });
    });
    let (context, policy) = (context!(types), policy!(types));
    for profile in [Profile::Service, Profile::OneShot] {
        let sandbox = Sandbox::standard(profile).unwrap();
        group.bench_function(format!("{profile:?}"), |bencher| {
            bencher.iter(|| sandbox.build_start(black_box(&context), &policy).unwrap());
        });
    }
    group.bench_function("from nothing", |bencher| {
        bencher.iter(|| Sandbox::standard(Profile::OneShot).unwrap().build_start(&context, &policy).unwrap());
    });
    group.finish();
}

fn backoff(criterion: &mut Criterion) {
    let sandbox = Sandbox::standard(Profile::Service).unwrap();
    let policy = types::BackoffPolicy { base_ms: 1_000, cap_ms: 10_000 };
    criterion
        .bench_function("emptiest call", |bencher| bencher.iter(|| sandbox.backoff_delay(&policy, 0, None)));
}

criterion_group!(benches, build_start, backoff);
criterion_main!(benches);
