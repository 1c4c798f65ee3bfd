//! How many bytes of text go in and come out, counted before they are copied in and after they are
//! copied out. Numbers count nothing; an element of a list counts as much as its place does.

use crate::types::*;

/// Memory an element of a list needs beside its text: otherwise a million empty strings were free.
const ELEMENT_BYTES: usize = 16;

/// Bytes of all texts in a value.
pub(crate) trait Size {
    fn size_bytes(&self) -> usize;
}

/// Sums the sizes of fields.
macro_rules! sized_by {
    ($($type:ty: $($field:ident)*;)*) => {$(
        impl Size for $type {
            fn size_bytes(&self) -> usize {
                0usize $(.saturating_add(self.$field.size_bytes()))*
            }
        }
    )*};
}

sized_by! {
    Policy: secret_keys secret_prefixes;
    UserInfo: username home;
    EnvironmentInfo: python_version platform cwd;
    Origin: sudo_user tty ssh_client parent_session;
    StartContext: component_name shell_type user hostname environment metadata correlation_id origin event_id timestamp;
    EndContext: metadata correlation_id started_at event_id timestamp;
    Violation: field message;
    Change: field detail;
    PreparedEvent: event_id timestamp wire changes;
    StartEvent: event_id component_name shell_type timestamp user hostname environment metadata correlation_id changes;
    EndEvent: session_id timestamp metadata event_id correlation_id changes;
    CleanText: text changes;
    BreakerStep: state discarded;
}

impl Size for &str {
    fn size_bytes(&self) -> usize {
        self.len()
    }
}

impl Size for String {
    fn size_bytes(&self) -> usize {
        self.len()
    }
}

impl Size for u64 {
    fn size_bytes(&self) -> usize {
        0
    }
}

impl<T: Size> Size for Option<T> {
    fn size_bytes(&self) -> usize {
        self.as_ref().map_or(0, Size::size_bytes)
    }
}

impl<T: Size> Size for Vec<T> {
    fn size_bytes(&self) -> usize {
        let each = |item: &T| item.size_bytes().saturating_add(ELEMENT_BYTES);
        self.iter().map(each).fold(0, usize::saturating_add)
    }
}

impl<T: Size, E: Size> Size for Result<T, E> {
    fn size_bytes(&self) -> usize {
        self.as_ref().map_or_else(Size::size_bytes, Size::size_bytes)
    }
}
