//! What stays, what goes, and what becomes of it: characters, escape sequences, scripts.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crate::oracles::{check_sanitize_text, open_policy};
use crate::types::ChangeKind;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(check_sanitize_text(text, 500, &open_policy()).text, expected, "{text:?}");
}

#[test]
fn ordinary_text_in_any_script_stays_as_it_is() {
    for text in [
        "plain ASCII, 100% ~/x",
        "Jürgen Müßig",
        "Ελληνικά",
        "Русский йод",
        "עברית שָׁלוֹם",
        "العربية مُحَمَّد",
        "می‌خواهم خانه‌ها",
        "हिन्दी क्षत्रिय",
        "क्‍ष र्‍य",
        "বাংলা র‍্যাব",
        "ಕನ್ನಡ ರ‍್ಯಾಂಕ್",
        "සිංහල ශ්‍රී ලංකා",
        "తెలుగు సాఫ్ట్‌వేర్",
        "தமிழ்",
        "മലയാളം ന്‍",
        "ไทย ภาษา",
        "ລາວ",
        "မြန်မာ",
        "ខ្មែរ",
        "བོད་སྐད",
        "አማርኛ",
        "ქართული",
        "Հայերեն",
        "۱۴۰۵ ه\u{200D}.ش",
        "م\u{200D}",
        "中文 漢字",
        "日本語 カタカナ",
        "한국어",
        "ᠮᠣᠩᠭᠣᠯ",
        "葛\u{E0100}城",
        "👨‍👩‍👧‍👦",
        "👩🏽‍💻",
        "🏳️‍🌈",
        "❤️",
        "☎︎",
        "🇩🇪🇫🇷",
        "1️⃣ #️⃣",
        "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
        "👁️‍🗨️",
        "👩‍❤️‍💋‍👨",
        "∑∫√ → ☃",
        "C:\\Users\\Ünal",
        "\u{1F1E9}",
        "z̀̃",
        "ᠠ\u{180B}ᠨ\u{180C} ᠨ\u{180E}ᠠ",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "👨🏿‍🦰 👩🏻‍❤️‍👨🏾 🐻‍❄️ ⛹🏽‍♀️",
        "*️⃣ ©️ ™︎",
        "ગુજરાતી ક્\u{200C}ષ",
        "ଓଡ଼ିଆ ପଞ୍ଜାବੀ",
        "a\u{A0}b\u{202F}c\u{3000}d\u{2009}e",
        "ཧཱུྃ",
        "ⲙⲉⲧⲣⲉⲙⲛ̀ⲭⲏⲙⲓ",
        "Việt Nam Đặng",
        "𝕏 𠮷野家",
    ] {
        assert_eq!(check_sanitize_text(text, 500, &open_policy()).changes, Vec::new(), "{text:?}");
    }
}

#[test]
fn escape_sequences_go_as_a_whole() {
    for (text, expected) in [
        ("a\u{1B}[31mb\u{1B}[0mc", "abc"),
        ("a\u{1B}[38;2;1;2;3mb", "ab"),
        ("a\u{1B}[?25lb", "ab"),
        ("a\u{1B}]0;title\u{7}b", "ab"),
        ("a\u{1B}]8;;https://x\u{1B}\\link\u{1B}]8;;\u{1B}\\b", "alinkb"),
        ("a\u{1B}]0;ünïcode 中文\u{7}b", "ab"),
        ("a\u{1B}P1$r0m\u{1B}\\b", "ab"),
        ("a\u{1B}Pмонета\u{1B}\\b", "ab"),
        ("a\u{1B}_apc\u{7}still\u{1B}\\b", "ab"),
        ("a\u{1B}^pm\u{1B}\\b", "ab"),
        ("a\u{1B}Xsos\u{1B}\\b", "ab"),
        ("a\u{1B}(Bb\u{1B}=c\u{1B}cd", "abcd"),
        ("a\u{9B}31mb", "ab"),
        ("a\u{9D}0;title\u{9C}b", "ab"),
        ("a\u{90}q\u{9C}b", "ab"),
        ("a\u{1B}[31", "a"),
        ("a\u{1B}", "a"),
        ("a\u{1B}]0;never ended", "a"),
        ("a\u{1B}[31\u{18}b", "ab"),
        ("a\u{1B}[3中b", "a中b"),
        ("\u{1B}é", "é"),
        ("\u{1B}\u{1B}[31mx", "x"),
        ("\u{1B}[\u{1B}[31m31mx", "31mx"),
        ("a\u{1B}[3\n1mb", "a b"),
        ("a\u{85}b", "a b"),
        ("a\u{98}sos\u{9C}b\u{9E}pm\u{9C}c\u{9F}apc\u{9C}d", "abcd"),
        ("a\u{1B}]0;t\u{18}b\u{1B}Pq\u{1A}c", "abc"),
        ("a\u{1B}]0;t\u{1B}[31mb", "ab"),
        ("a\u{1B}]52;c;aGk=\u{7}b\u{1B}]1337;File=x\u{7}c", "abc"),
        ("a\u{1B}P+q544e\u{1B}\\b\u{1B}]10;?\u{1B}\\c", "abc"),
        ("a\u{1B}[200~b\u{1B}[201~c", "abc"),
        ("a\u{1B}[>4;2mb\u{1B}[=1ub\u{1B}[!pb", "abbb"),
        ("a\u{1B}#8b\u{1B}%Gc\u{1B} Fd", "abcd"),
        ("a\u{9B}\u{9B}1mb", "ab"),
        ("a\u{1B}Xnever ended \u{1B}[0m b", "a b"),
        ("a\u{1B}_G\u{1F600}x\u{1B}\\b", "ab"),
        ("a\u{1B}\u{9B}1mb", "ab"),
    ] {
        check(text, expected);
    }
}

#[test]
fn controls_go_and_those_that_separate_words_become_spaces() {
    for (text, expected) in [
        ("a\tb\nc\r\nd\u{B}e\u{C}f", "a b c d e f"),
        ("a\0b\u{7}c\u{8}d\u{7F}e", "abcde"),
        ("line\u{2028}two\u{2029}three", "line two three"),
        ("\r\n user \r\n", "user"),
        ("2026-01-01 INFO ok\n2026-01-01 WARN forged", "2026-01-01 INFO ok 2026-01-01 WARN forged"),
    ] {
        check(text, expected);
    }
}

#[test]
fn invisible_and_bidirectional_characters_go_where_they_mean_nothing() {
    for (text, expected) in [
        ("ad\u{202E}nimda\u{202C}", "adnimda"),
        ("a\u{2066}b\u{2069}c\u{200E}d\u{200F}e\u{61C}f", "abcdef"),
        ("pay\u{200B}pal\u{FEFF}\u{2060}\u{AD}", "paypal"),
        ("a\u{200D}b\u{200C}c", "abc"),
        ("a\u{FE0F}b\u{FE00}c\u{E0100}d", "abcd"),
        ("1\u{FE0F}", "1"),
        ("😀\u{FE0F}\u{FE0F}", "😀"),
        ("👩\u{200D}", "👩"),
        ("👩\u{200D}x", "👩x"),
        ("👩\u{200D}\u{200D}👩", "👩\u{200D}👩"),
        ("\u{200D}👩", "👩"),
        ("د\u{200C}ر", "در"),
        ("क\u{200D}", "क"),
        ("क्\u{200C}", "क्"),
        ("र्\u{200C}password", "र्password"),
        ("x\u{E0041}\u{E0042}\u{E007F}", "x"),
        ("🏴\u{E0068}\u{E0069}\u{E007F}", "🏴"),
        ("🏴\u{E0067}\u{E0062}", "🏴"),
        ("\u{3164}\u{115F}\u{1160}\u{FFA0}x\u{34F}\u{17B4}", "x"),
        ("a\u{206A}b\u{206F}c\u{1BCA0}d\u{1D173}e\u{E0001}f\u{E0FFF}g\u{FFF0}h", "abcdefgh"),
        ("👍\u{E0061}\u{E007F}", "👍"),
        ("🏴\u{E0075}\u{E0073}\u{E0063}\u{E0061}\u{E007F}", "🏴"),
        ("中\u{FE0F}文\u{E0100}a\u{E0100}", "中文\u{E0100}a"),
        ("ᠠ\u{180B}\u{180C}", "ᠠ\u{180B}"),
        ("x\u{180B}", "x"),
        ("\u{2062}\u{2063}\u{2064}x", "x"),
        ("a\u{FFF9}b\u{FFFA}c\u{FFFB}", "abc"),
        ("a\u{180E}b", "ab"),
        ("葛\u{E0100}\u{E0101}城", "葛\u{E0100}城"),
        ("葛\u{E0130}城\u{E01EF}", "葛城"),
        ("ه\u{200D}ب", "هب"),
        ("ه\u{200D}\u{200D}.", "ه\u{200D}."),
        ("ه\u{200D}a", "هa"),
        ("د\u{200D}.", "د."),
        ("a\u{FDD0}b\u{FFFF}c\u{10FFFE}", "abc"),
        ("a\u{E000}b\u{10FFFD}", "a\u{FFFD}b\u{FFFD}"),
    ] {
        check(text, expected);
    }
}

#[test]
fn text_is_brought_into_nfc_also_where_something_invisible_kept_it_apart() {
    check("e\u{301}", "é");
    check("e\u{200D}\u{301}", "é");
    check("\u{212B}", "Å");
    check("\u{1100}\u{1161}\u{11A8}", "각");
}

#[test]
fn a_pile_of_marks_is_cut_to_what_a_script_can_need() {
    check(&format!("Z{}algo", "\u{322}".repeat(200)), &format!("Z{}algo", "\u{322}".repeat(30)));
    check(&"\u{344}".repeat(40), &"\u{308}\u{301}".repeat(15));
    let tall = format!("o{}", "\u{302}".repeat(30));
    assert_eq!(check_sanitize_text(&tall, 500, &open_policy()).text, format!("ô{}", "\u{302}".repeat(29)));
}

#[test]
fn white_space_of_any_script_is_trimmed_at_the_ends() {
    check("\u{3000}\u{A0}\u{2003} a\u{2003}b \u{1680}\u{205F}\u{200B}\u{202F}", "a\u{2003}b");
}

#[test]
fn text_is_cut_on_a_grapheme_boundary() {
    for (text, max, expected) in [
        ("abc", 2, "ab"),
        ("ab cd", 3, "ab"),
        ("x👨‍👩‍👧‍👦", 5, "x"),
        ("👨‍👩‍👧‍👦x", 7, "👨‍👩‍👧‍👦"),
        ("🇩🇪🇫🇷", 3, "🇩🇪"),
        ("z̀̃x", 2, "z̀"),
        ("password=hunter2", 12, "password=[re"),
        ("abc", 0, ""),
    ] {
        let clean = check_sanitize_text(text, max, &open_policy());
        assert_eq!(clean.text, expected, "{text:?}");
        assert!(clean.changes.iter().any(|change| change.kind == ChangeKind::Truncated));
    }
}

#[test]
fn a_million_bytes_of_anything_are_cut_and_done_in_time() {
    for piece in [
        "a",
        "a ",
        "\u{301}",
        "\u{301}\u{200D}",
        "\u{1B}[",
        "\u{1B}]",
        "👩\u{200D}",
        "\u{1F3FD}\u{200D}",
        "password=",
        "password=x ",
        "password=\"",
        "key={",
        "key=\"",
        "://a:b@",
        "[redacted]",
        "[redacted]=",
        "eyJ.",
        "$6$",
        ":AA",
        " -p ",
        "sk-or-",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "hooks.slack.com/services/",
        "zip -P ",
        "1.",
        "é",
        "क्\u{200D}",
    ] {
        let started = std::time::Instant::now();
        check_sanitize_text(&piece.repeat(1_000_000 / piece.len()), 4096, &open_policy());
        assert!(started.elapsed().as_secs() < 10, "{piece:?} took {:?}", started.elapsed());
    }
}
