//! Reads the configuration file. What may stand in it is decided where the tables are declared.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::Layer;
use crate::failure::Failure;

/// Reads a file that cannot keep us waiting or fill the memory: no pipe, no device, no giant.
fn read_regular(path: &Path) -> io::Result<String> {
    /// A configuration is a page of text.
    const FILE_BYTES_MAX: u64 = 1 << 20;
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// What the file says; nothing when there is none and none was named.
pub(crate) fn read_file(path: &Path, must_exist: bool) -> Result<Layer, Failure> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    let text = match read_regular(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), InvalidFilename | NotADirectory | NotFound) && !must_exist => {
            return Ok(Layer::default());
        }
        Err(error) => return Err(Failure::Usage(format!("{}: {error}", path.display()))),
    };
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| format!(" line {}:", before.matches('\n').count() + 1));
        let line = line.unwrap_or_default();
        Failure::Usage(format!("{}:{line} {}", path.display(), error.message()))
    })
}
