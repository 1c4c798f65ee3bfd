//! `shelltrack redact` takes the lines of a private key together, and leaves all other lines as many as they are.

use shelltrack_tests::{Finished, Home};

use crate::redact::{check, redact};

const BEGIN: &str = concat!("-----BEGIN RSA PRIV", "ATE KEY-----");
const END: &str = concat!("-----END RSA PRIV", "ATE KEY-----");
/// Lines as those of a key.
const BODY: [&str; 3] = [
    "uX3kQz9vLm2Rt8Yw1Pq5Ns7Bd4Fg6Hj0Kc/TaVeXoZi+rUyEwQmAsDfGhJkLpOi",
    "b8Wn3Vq6Zr1Tx9Ym4Lk7Jh2Gf5Ds0Ap/QoWeRtYuIoPaSdFgHjKlZxCvBnM1q2w",
    "3e4r5t6y7u8i9o0pAaSsDdFf==",
];

fn key() -> String {
    format!("{BEGIN}\n{}\n{END}\n", BODY.join("\n"))
}

/// Asserts that nothing of the key is left, and that the lines around it are as they were.
#[track_caller]
fn check_hidden(input: &str, first: &str, last: &str) -> Finished {
    let told = redact(&Home::new(), &[], input.as_bytes()).expect(0);
    let parts = BODY.iter().map(|line| &line[2..12]);
    assert!(parts.clone().all(|part| input.contains(part)), "{input}");
    assert!(parts.clone().all(|part| !told.stdout.contains(part)), "{told:?}");
    assert!(told.stdout.contains("[redacted]"), "{told:?}");
    assert!(told.stdout.starts_with(first) && told.stdout.ends_with(last), "{told:?}");
    told
}

#[test]
fn certificates_and_public_keys_pass_line_by_line() {
    for label in ["CERTIFICATE", "PUBLIC KEY", "PGP PUBLIC KEY BLOCK", "CERTIFICATE REQUEST"] {
        let one = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BODY.join("\n"));
        let chain = one.repeat(3);
        check(&chain, &chain);
        check(&one.replace("-----END", "-----ENDE"), &one.replace("-----END", "-----ENDE"));
    }
    let long = format!("-----BEGIN CERTIFICATE-----\n{}", format!("{}\n", BODY[0]).repeat(2000));
    check(&long, &long);
}

#[test]
fn a_marker_that_is_only_mentioned_joins_nothing() {
    let script = format!(
        "#!/bin/sh\nawk '/{BEGIN}/,/{END}/' \"$1\"\ngrep -c '{BEGIN}' *.pem\nfi\ndone\nif grep -q \"{BEGIN}\" x; \
         then\n  echo one\nfi\necho {BEGIN}\n\n\nREADME\nthe end.\ncat <<EOF\n{BEGIN}\n...\n{END}\nEOF\n"
    );
    let told = redact(&Home::new(), &[], script.as_bytes()).expect(0);
    assert_eq!(told.stdout.lines().count(), script.lines().count(), "{told:?}");
    for (line, clean) in script.lines().zip(told.stdout.lines()).filter(|(line, _)| !line.contains("BEGIN")) {
        assert_eq!(line, clean);
    }
    let shown = format!("grep -c '{BEGIN}' *.pem\nexit\n");
    assert!(redact(&Home::new(), &[], shown.as_bytes()).expect(0).stdout.ends_with("\nexit\n"));
}

#[test]
fn a_key_is_hidden_with_its_headers_and_the_lines_around_it_stay() {
    let key = key();
    check(&format!("before\n{key}after\n"), "before\n[redacted]\nafter\n");
    check(&format!("{key}{key}"), "[redacted]\n[redacted]\n");
    let headers = format!("{BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n");
    check_hidden(&key.replace(&format!("{BEGIN}\n"), &headers), "[redacted]\n", "[redacted]\n");
    // As `cat` joins two files without a newline at the end, and as Windows ends lines.
    check_hidden(&format!("{}{key}after", key.trim_end()), "[redacted]", "\nafter\n");
    check_hidden(&format!("a\n{key}z\n").replace('\n', "\r\n"), "a\n[redacted]\n", "\nz\n");
}

#[test]
fn a_key_is_hidden_however_it_is_quoted_indented_or_prefixed() {
    let key = key();
    let each =
        |head: &str, tail: &str| key.lines().map(|line| format!("{head}{line}{tail}\n")).collect::<String>();
    let numbered: String = key.lines().zip(98..).map(|(line, at)| format!("{at}:{line}\n")).collect();
    let logged: String = key
        .lines()
        .zip(8..)
        .map(|(line, at)| format!("Nov 22 02:56:{at} host app[{at}]: {line}\n"))
        .collect();
    for text in [
        each("    ", ""),
        each("+", ""),
        each("> ", ""),
        each("# ", ""),
        each("\t\"", "\\n\" +"),
        each("  \"", "\","),
        each("", "\\"),
        each("\u{1b}[01;31m", "\u{1b}[m"),
        each("", "").replace('\n', "\n\n\n"),
        format!("[{}\n]\n", each("  \"", "\",").trim_end_matches(['\n', ','])),
        format!("KEY=\"{}\"\n", key.trim_end()),
        format!("key: |\n{}", each("  ", "")),
        format!("static const char key[] = {}", each("\"", "\\n\"")),
        numbered,
        logged,
    ] {
        check_hidden(&format!("before it\n{text}after it.\n"), "before it\n", "\nafter it.\n");
    }
}

#[test]
fn a_key_that_was_cut_off_is_left_at_the_first_line_that_is_none_of_it() {
    let cut = format!("{BEGIN}\n{}\n", BODY.join("\n"));
    check(&format!("{cut}\nand so on.\n"), "[redacted]\n\nand so on.\n");
    check(&format!("{cut}$ ls -l\n{}", key()), "[redacted]\n$ ls -l\n[redacted]\n");
    check(&cut, "[redacted]\n");
    let list = format!("  \"{BEGIN}\",\n  \"{}\"\n]\n", BODY.join("\",\n  \""));
    check(&list, "  \"[redacted]\n]\n");
}

#[test]
fn a_key_that_is_too_large_is_marked_as_a_whole_and_reading_goes_on() {
    for (body, times) in [(BODY[0], 1_100), ("abc", 20_000)] {
        let body = format!("{body}\n").repeat(times);
        check(&format!("a\n{BEGIN}\n{body}{END}\nz\n"), "a\n[redacted]\nz\n");
        check(&format!("{BEGIN}\n{body}"), "[redacted]\n");
    }
    let told =
        redact(&Home::new(), &["--explain"], format!("{BEGIN}\n{}", "abc\n".repeat(20_000)).as_bytes());
    let row: Vec<_> = told.stdout.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row, ["1", "redacted", "private-key"]);
}

#[test]
fn a_line_that_is_too_long_is_left_out_and_the_others_are_printed() {
    let long = "x".repeat(200_000);
    let told = redact(&Home::new(), &[], format!("a\n{long}\nb\n{long}\nc").as_bytes()).expect(1);
    assert_eq!(told.stdout, "a\nb\nc\n");
    assert!(told.stderr.contains("line 2: ") && told.stderr.contains("line 4: "), "{told:?}");
    // Within a key, and before one.
    let body = BODY[0].repeat(2000);
    let told = redact(&Home::new(), &[], format!("a\n{BEGIN}\n{body}\n{END}\nz\n").as_bytes()).expect(1);
    assert_eq!(told.stdout, "a\n[redacted]\nz\n");
    let told = redact(&Home::new(), &[], format!("{long} {}z\n", key()).as_bytes()).expect(1);
    assert_eq!(told.stdout, "[redacted]\nz\n");
    let told = redact(&Home::new(), &[], format!("{long}\n").repeat(30).as_bytes()).expect(1);
    assert_eq!((told.stderr.lines().count(), told.stdout.as_str()), (21, ""));
    assert!(told.stderr.contains("10 lines more"), "{told:?}");
}

#[test]
fn a_putty_key_without_its_private_part_is_ordinary_text() {
    let public = "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: x\nPublic-Lines: 1\nAAAAB3Nz\n";
    check(&format!("{public}and more\n"), &format!("{public}and more\n"));
    let whole = format!("{public}Private-Lines: 3\n{}\nPrivate-MAC: 5f00\n", BODY.join("\n"));
    check_hidden(&format!("{whole}after it\n"), "PuTTY-User-Key-File-3: ssh-rsa ", "[redacted]\nafter it\n");
}

#[test]
fn a_key_into_which_somebody_else_wrote_is_hidden_to_its_end() {
    let [first, second, third] = BODY;
    let torn = format!("a\n{BEGIN}\n{first}\n12:00 job 7 done!\n{second}\n{third}\n{END}\nb\n");
    check_hidden(&torn, "a\n", "\nb\n");
    let without_end = format!("a\n{BEGIN}\n{first}\n{second}\n{third}\nls -l /srv\nexit 0, at once\n");
    check_hidden(&without_end, "a\n", "\nls -l /srv\nexit 0, at once\n");
}
