//! PulseAudio's cookie: 256 bytes that every client of its protocol sends.
//!
//! A local server knows its user by the socket and looks at the cookie's length only, but it
//! refuses a client without one, and a user who never ran a client of PulseAudio's own library
//! has none.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

/// `NATIVE_COOKIE_LENGTH` of PulseAudio's `native-common.h`.
const LENGTH: usize = 256;

/// The value for `$PULSE_COOKIE` where the user has no cookie: the path of one in memory, which
/// lives as long as the process. `None` where there is a cookie, or none can be made.
pub fn missing_pulse_cookie() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let in_home = |path: &str| home.as_deref().map(|home| home.join(path));
    let places = [
        std::env::var_os("PULSE_COOKIE").map(PathBuf::from),
        in_home(".config/pulse/cookie"),
        in_home(".pulse-cookie"),
    ];
    if places.iter().flatten().any(|path| is_cookie(path)) {
        return None;
    }
    let made = memfd_create("pulse-cookie", MemfdFlags::CLOEXEC);
    let mut file = std::fs::File::from(made.ok()?);
    file.write_all(&[0; LENGTH]).ok()?;
    let descriptor = std::os::fd::IntoRawFd::into_raw_fd(file);
    Some(PathBuf::from(format!("/proc/self/fd/{descriptor}")))
}

fn is_cookie(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() == LENGTH as u64)
}
