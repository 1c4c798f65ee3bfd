//! Takes terminal escape sequences out as a whole (ECMA-48, parsed by vte): CSI, OSC, DCS, SOS, PM,
//! APC and plain escapes, in their 7-bit form and as U+0080 to U+009F.
//!
//! What a terminal would not show, because it belongs to a sequence, is gone; a string sequence that
//! is never terminated takes the rest of the text along, as in a terminal. Other controls stay for
//! the sanitizer to judge. Only ASCII is given to vte: the bytes of a longer character inside of a
//! sequence would be taken for C1 controls.

use crate::sanitize::Touch;
use crate::types::ChangeKind;
use vte::{Params, Parser, Perform};

const ESCAPE: char = '\u{1B}';
/// NEL separates lines.
const NEXT_LINE: char = '\u{85}';
/// Ends any sequence without effect (ECMA-48, 8.3.6).
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1A;

/// What a terminal would be asked to show or execute.
#[derive(Default)]
struct Shown {
    text: String,
    /// A character was shown: the parser is in its ground state.
    is_ground: bool,
}

impl Perform for Shown {
    fn print(&mut self, c: char) {
        self.text.push(c);
        self.is_ground = true;
    }

    fn execute(&mut self, byte: u8) {
        if byte != CANCEL && byte != SUBSTITUTE {
            self.text.push(char::from(byte));
        }
    }

    fn csi_dispatch(&mut self, _: &Params, _: &[u8], _: bool, _: char) {}
}

/// Follows vte only as far as is needed to know whether a string sequence is open.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// Ground, or a sequence that any character beyond ASCII ends.
    Other,
    /// Right after an escape.
    Escape,
    /// A control string; the flag is set for OSC, which a bell ends as well.
    String { osc: bool },
}

impl Within {
    fn after(self, c: char) -> Self {
        match (self, c) {
            (_, ESCAPE) => Within::Escape,
            (_, '\u{18}' | '\u{1A}') => Within::Other,
            (Within::Escape, ']') => Within::String { osc: true },
            (Within::Escape, 'P' | 'X' | '^' | '_') => Within::String { osc: false },
            (Within::Escape, '\0'..='\u{1F}' | '\u{7F}') => Within::Escape,
            (Within::String { osc: true }, '\u{7}') => Within::Other,
            (Within::String { osc }, _) => Within::String { osc },
            _ => Within::Other,
        }
    }
}

/// `text` without its escape sequences, or nothing when there are none.
pub(crate) fn strip(text: &str, touches: &mut Vec<Touch>) -> Option<String> {
    if !text.contains(|c| c == ESCAPE || is_c1(c)) {
        return None;
    }
    let mut parser = Parser::new();
    let mut shown = Shown { text: String::with_capacity(text.len()), is_ground: true };
    let mut within = Within::Other;
    let mut sequence_seen = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if shown.is_ground {
            // Nothing below can begin a sequence: it is shown as it is.
            let len = rest.find(|c| c == ESCAPE || is_c1(c)).unwrap_or(rest.len());
            let (plain, sequence) = rest.split_at_checked(len).unwrap_or((rest, ""));
            shown.text.extend(plain.chars().filter(|&c| !is_cancel(c)));
            shown.is_ground = false;
            rest = sequence;
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        sequence_seen |= c == ESCAPE || (is_c1(c) && c != NEXT_LINE);
        match seven_bit(c) {
            Some((bytes, count)) => {
                for &byte in bytes.iter().take(count) {
                    parser.advance(&mut shown, &[byte]);
                    within = within.after(char::from(byte));
                }
            }
            None if matches!(within, Within::String { .. }) => {}
            None => {
                parser.advance(&mut shown, &[CANCEL]);
                shown.print(c);
                within = Within::Other;
            }
        }
    }
    if sequence_seen {
        touches.push((ChangeKind::EscapeSequence, ""));
    }
    Some(shown.text)
}

fn is_c1(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9F}')
}

fn is_cancel(c: char) -> bool {
    matches!(c, '\u{18}' | '\u{1A}')
}

/// The 7-bit form of an ASCII character or C1 control; nothing for any other character.
fn seven_bit(c: char) -> Option<([u8; 2], usize)> {
    let code = u8::try_from(u32::from(c)).ok()?;
    match code {
        0..=0x7F => Some(([code, 0], 1)),
        // NEL separates lines; it must not glue two words together.
        0x85 => Some(([b'\n', 0], 1)),
        0x80..=0x9F => Some(([0x1B, code - 0x40], 2)),
        _ => None,
    }
}
