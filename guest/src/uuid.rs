//! UUIDs of version 4 (RFC 9562, section 5.4): reads and writes the form with hyphens. Has no entropy.

/// Bytes of the form with hyphens.
const TEXT_BYTES: usize = 36;
/// Where its hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Where its version is, and its variant.
const VERSION: usize = 14;
const VARIANT: usize = 19;

/// A UUID v4 in small letters, if `text` is one in any case.
pub(crate) fn parse_uuid(text: &str) -> Option<String> {
    let fits = |(at, byte): (usize, u8)| match at {
        _ if HYPHENS.contains(&at) => byte == b'-',
        VERSION => byte == b'4',
        VARIANT => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
        _ => byte.is_ascii_hexdigit(),
    };
    let is_uuid = text.len() == TEXT_BYTES && text.bytes().enumerate().all(fits);
    is_uuid.then(|| text.to_ascii_lowercase())
}

/// A new UUID v4 from 16 random bytes.
pub(crate) fn new_uuid(bytes: [u8; 16]) -> String {
    let mut digits = bytes.into_iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
    let mut digit = || digits.next().unwrap_or(0);
    let character = |at| match at {
        _ if HYPHENS.contains(&at) => '-',
        VERSION => {
            digit();
            '4'
        }
        VARIANT => hex(digit() & 0x3 | 0x8),
        _ => hex(digit()),
    };
    (0..TEXT_BYTES).map(character).collect()
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::{new_uuid, parse_uuid};
    use proptest::prelude::*;
    use uuid::{Builder, Uuid, Variant, Version};

    fn reference(text: &str) -> Option<String> {
        let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36)?;
        let is_v4 = id.get_version() == Some(Version::Random) && id.get_variant() == Variant::RFC4122;
        is_v4.then(|| id.hyphenated().to_string())
    }

    #[test]
    fn what_is_no_uuid_of_version_4_is_none() {
        for text in [
            "",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "6f9619ff-8b86-4d01-c42d-00c04fc964ff",
            "6f9619ff-8b86-4d01-742d-00c04fc964ff",
            "6f9619ff8b864d01b42d00c04fc964ff",
            "{6f9619ff-8b86-4d01-b42d-00c04fc964ff}",
            "urn:uuid:6f9619ff-8b86-4d01-b42d-00c04fc964ff",
            "6f9619ff-8b86-4d01-b42d-00c04fc964f",
            "6f9619ff-8b86-4d01-b42d-00c04fc964ff0",
            "6f9619ff-8b86-4d01-b42d-00c04fc964fg",
            "6f9619ff-8b864-d01-b42d-00c04fc964ff",
            "6f9619ff+8b86-4d01-b42d-00c04fc964ff",
            "00000000-0000-0000-0000-000000000000",
            "６f9619ff-8b86-4d01-b42d-00c04fc964",
        ] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_new_one_is_that_of_the_reference_and_is_read_back(bytes: [u8; 16]) {
            let id = new_uuid(bytes);
            prop_assert_eq!(&id, &Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string());
            prop_assert_eq!(parse_uuid(&id.to_ascii_uppercase()), Some(id));
        }

        #[test]
        fn any_text_is_read_like_the_reference(
            text in "[0-9a-fA-F]{8}-[0-9a-f]{4}-[3-5][0-9a-f]{3}-[7-9a-dA-D][0-9a-f]{3}-[0-9a-g]{11,12}"
        ) {
            prop_assert_eq!(parse_uuid(&text), reference(&text));
        }
    }
}
