//! What cleaning costs beside a plain copy of the same text: ASCII, mixed scripts, hostile text of the
//! longest size that is looked at. Natively; the ratio is what counts.
#![allow(missing_docs, reason = "criterion's macros make items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shelltrack_guest::limits::TEXT_BYTES_MAX;
use shelltrack_guest::oracles::open_policy;
use shelltrack_guest::sanitize::sanitize_text;

/// Text of each kind, repeated up to the size.
#[rustfmt::skip]
const TEXTS: [(&str, &str); 6] = [
    ("ASCII", "2026-11-21T09:19:52Z info session opened in ~/src/project (main) after 12 ms; "),
    ("mixed scripts", "Jürgen, Ελληνικά, Русский, עברית, العربية می‌خواهم, हिन्दी क्षत्रिय, 中文, 日本語, 한국어 👨‍👩‍👧‍👦 "),
    ("escape sequences", "\u{1B}[31mred\u{1B}[0m \u{1B}]0;title\u{7}"),
    ("bidi and invisible", "a\u{202E}b\u{200B}c\u{2066}d\u{E0041}e\u{FE0F}"),
    ("pairs without values", "key="),
    ("secrets", "password=hunter2 https://me:hunter2@example.org/ "),
];

fn sanitize(criterion: &mut Criterion) {
    let policy = open_policy();
    for bytes in [1024, TEXT_BYTES_MAX] {
        let mut group = criterion.benchmark_group(format!("{bytes} bytes"));
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, unit) in TEXTS {
            let text = unit.repeat(bytes / unit.len());
            group.bench_with_input(BenchmarkId::new("copy", name), &text, |bencher, text| {
                bencher.iter(|| String::from(black_box(text.as_str())));
            });
            group.bench_with_input(BenchmarkId::new("sanitize", name), &text, |bencher, text| {
                bencher.iter(|| sanitize_text(black_box(text), u32::MAX, &policy));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, sanitize);
criterion_main!(benches);
