//! Every limit of the component by name, with its reason. No logic.
//!
//! Strings are counted in Unicode scalars, inputs in bytes, because the former is what a person and a
//! database column see and the latter is what costs time.

/// Text that is looked at, in bytes. Longer text is cut here before it is cleaned: no field keeps more
/// than [`METADATA_STRING_SCALARS_MAX`] scalars, and cleaning must stay within a few milliseconds.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// JSON text that is read, in bytes: room for the largest metadata with every scalar written as a
/// `\uXXXX` pair (three times its UTF-8), and still a few milliseconds of work.
pub const JSON_BYTES_MAX: usize = 128 * 1024;

/// Component name, as the Python models have it.
pub const COMPONENT_NAME_SCALARS_MAX: usize = 100;
/// Kind of shell: a class name, as long as a component's.
pub const SHELL_TYPE_SCALARS_MAX: usize = 100;
/// User name, as the Python models have it; Linux allows 32.
pub const USERNAME_SCALARS_MAX: usize = 100;
/// Home directory, as the Python models have it.
pub const HOME_SCALARS_MAX: usize = 500;
/// Working directory, as the Python models have it.
pub const CWD_SCALARS_MAX: usize = 500;
/// Host name: the longest name DNS can carry (RFC 1035, section 2.3.4).
pub const HOSTNAME_SCALARS_MAX: usize = 255;
/// Platform: `platform.platform()` with a long kernel name stays below.
pub const PLATFORM_SCALARS_MAX: usize = 200;
/// Version of Python, `sys.version` with compiler included.
pub const PYTHON_VERSION_SCALARS_MAX: usize = 100;
/// Each text of `metadata.origin`: names and device paths.
pub const ORIGIN_SCALARS_MAX: usize = 100;

/// Process ids: `PID_MAX_LIMIT` of 64-bit Linux, and the bound of the Python models.
pub const PID_MAX: u32 = 4_194_304;
/// Session ids as servers give them: component (100), time and suffix, with room for foreign servers.
pub const SESSION_ID_BYTES_MAX: usize = 200;
/// RFC 3339 text: a date, a time, nine digits and an offset are 35; the rest is room for long fractions.
pub const TIMESTAMP_BYTES_MAX: usize = 64;

/// Metadata as compact, clean JSON, in bytes: an event must stay small enough to be one file of the
/// spool and one row of the store.
pub const METADATA_BYTES_MAX: usize = 32 * 1024;
/// What the reserved keys may take in addition: two ids, a status, a reason and an `origin` of four
/// texts of 100 scalars of four bytes each.
pub const RESERVED_BYTES_MAX: usize = 4 * 1024;
/// Nesting of metadata, the outer object counted: recursion is bounded by it, and nobody reads deeper.
pub const METADATA_DEPTH_MAX: usize = 16;
/// Keys of one object.
pub const METADATA_KEYS_MAX: usize = 256;
/// Elements of one array.
pub const METADATA_ITEMS_MAX: usize = 1024;
/// Values in all of the metadata: bounds the number of changes and of violations.
pub const METADATA_VALUES_MAX: usize = 4096;
/// Values of an event besides those of the caller's metadata: its own members, and the reserved keys
/// with the members of `origin`.
pub const EVENT_VALUES_MAX: usize = 64;
/// A metadata key.
pub const METADATA_KEY_SCALARS_MAX: usize = 128;
/// A metadata string: the longest path of Linux (`PATH_MAX`).
pub const METADATA_STRING_SCALARS_MAX: usize = 4096;

/// Violations that are reported at once; hostile JSON could otherwise make thousands.
pub const VIOLATIONS_MAX: usize = 256;
/// Changes that are reported at once, for the same reason.
pub const CHANGES_MAX: usize = 256;
/// Bytes of a path in a report: deep paths are cut, so that a report stays readable.
pub const PATH_BYTES_MAX: usize = 256;
/// A metadata key longer than this is not repeated in a path but counted.
pub const PATH_KEY_BYTES_MAX: usize = 64;

/// Secret keys and prefixes an operator may add.
pub const POLICY_ENTRIES_MAX: usize = 64;
/// Length of one of them, in scalars.
pub const POLICY_ENTRY_SCALARS_MAX: usize = 64;
/// A shorter prefix would redact ordinary words.
pub const POLICY_PREFIX_SCALARS_MIN: usize = 4;

/// Passes of the sanitizer before it gives up looking for meaning in joiners and takes all of them
/// out. Ordinary text is stable after one pass, changed text after two or three.
pub const PASSES_LENIENT_MAX: usize = 8;
/// Passes before the text as a whole is replaced: a bound that is never reached in practice.
pub const PASSES_MAX: usize = 32;
