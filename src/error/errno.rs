//! Names and libuv numbers of system errors.
//!
//! libuv negates the system's own number where there is one; on Windows, whose numbers are not POSIX's, it has numbers of
//! its own. One table holds what each platform calls an error, so that every column can be tested on any of them.

use std::borrow::Cow;
use std::io;

#[allow(
    dead_code,
    reason = "each build reads its own platform's column; the tests read them all"
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Platform {
    Linux,
    /// macOS and the BSDs, with Apple's number where they part.
    Bsd,
    Windows,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const HERE: Platform = Platform::Linux;
#[cfg(windows)]
const HERE: Platform = Platform::Windows;
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
const HERE: Platform = Platform::Bsd;

/// Name, number on Linux, on the BSDs, in Windows (0: it has none), and libuv's for Windows.
type Row = (&'static str, i32, i32, i32, i32);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("EPERM",             1,   1,     5, -4048),
    ("ENOENT",            2,   2,     2, -4058),
    ("EINTR",             4,   4, 10004, -4072),
    ("EIO",               5,   5,  1117, -4070),
    ("EBADF",             9,   9, 10009, -4083),
    ("EAGAIN",           11,  35, 10035, -4088),
    ("ENOMEM",           12,  12,     8, -4057),
    ("EACCES",           13,  13, 10013, -4092),
    ("EFAULT",           14,  14, 10014, -4074),
    ("ENOTDIR",          20,  20,     0, -4052),
    ("EINVAL",           22,  22, 10022, -4071),
    ("ENFILE",           23,  23,     0, -4061),
    ("EMFILE",           24,  24, 10024, -4066),
    ("ENOSPC",           28,  28,   112, -4055),
    ("EPIPE",            32,  32, 10058, -4047),
    ("ENAMETOOLONG",     36,  63,   206, -4064),
    ("ELOOP",            40,  62,  1921, -4067),
    ("EPROTO",           71, 100,     0, -4046),
    ("ENOTSOCK",         88,  38, 10038, -4050),
    ("EDESTADDRREQ",     89,  39, 10039, -4076),
    ("EMSGSIZE",         90,  40, 10040, -4065),
    ("EPROTOTYPE",       91,  41, 10041, -4044),
    ("ENOPROTOOPT",      92,  42, 10042, -4035),
    ("EPROTONOSUPPORT",  93,  43, 10043, -4045),
    ("ESOCKTNOSUPPORT",  94,  44, 10044, -4025),
    ("ENOTSUP",          95,  45, 10045, -4049),
    ("EAFNOSUPPORT",     97,  47, 10047, -4089),
    ("EADDRINUSE",       98,  48, 10048, -4091),
    ("EADDRNOTAVAIL",    99,  49, 10049, -4090),
    ("ENETDOWN",        100,  50, 10050, -4063),
    ("ENETUNREACH",     101,  51, 10051, -4062),
    ("ECONNABORTED",    103,  53, 10053, -4079),
    ("ECONNRESET",      104,  54, 10054, -4077),
    ("ENOBUFS",         105,  55, 10055, -4060),
    ("EISCONN",         106,  56, 10056, -4069),
    ("ENOTCONN",        107,  57, 10057, -4053),
    ("ESHUTDOWN",       108,  58,     0, -4042),
    ("ETIMEDOUT",       110,  60, 10060, -4039),
    ("ECONNREFUSED",    111,  61, 10061, -4078),
    ("EHOSTDOWN",       112,  64, 10064, -4031),
    ("EHOSTUNREACH",    113,  65, 10065, -4073),
    ("EALREADY",        114,  37, 10037, -4084),
    ("ECANCELED",       125,  89,   995, -4081),
];

/// libuv's end of stream, the same number everywhere.
const EOF: (&str, i32) = ("EOF", -4095);

fn raw_of(row: &Row, platform: Platform) -> i32 {
    match platform {
        Platform::Linux => row.1,
        Platform::Bsd => row.2,
        Platform::Windows => row.3,
    }
}

fn number_of(row: &Row, platform: Platform) -> i32 {
    match platform {
        Platform::Windows => row.4,
        Platform::Linux | Platform::Bsd => -raw_of(row, platform),
    }
}

fn by_raw(raw: i32, platform: Platform) -> Option<(&'static str, i32)> {
    TABLE
        .iter()
        .find(|row| raw != 0 && raw_of(row, platform) == raw)
        .map(|row| (row.0, number_of(row, platform)))
}

fn by_kind(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    Some(match kind {
        Kind::NotFound => "ENOENT",
        Kind::PermissionDenied => "EACCES",
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::NotConnected => "ENOTCONN",
        Kind::AddrInUse => "EADDRINUSE",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::BrokenPipe => "EPIPE",
        Kind::WouldBlock => "EAGAIN",
        Kind::InvalidInput => "EINVAL",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::WriteZero => "EPIPE",
        Kind::Interrupted => "EINTR",
        Kind::Unsupported => "ENOTSUP",
        Kind::OutOfMemory => "ENOMEM",
        _ => return None,
    })
}

/// libuv's number for the error called `name` in the table; 0 if it is not there.
pub(super) fn number(name: &str) -> i32 {
    TABLE
        .iter()
        .find(|row| row.0 == name)
        .map_or(0, |row| number_of(row, HERE))
}

/// The runtime's code and libuv's number for `err`.
pub(super) fn describe(err: &io::Error) -> (Cow<'static, str>, i32) {
    if let Some((name, number)) = err.raw_os_error().and_then(|raw| by_raw(raw, HERE)) {
        return (Cow::Borrowed(name), number);
    }
    if err.kind() == io::ErrorKind::UnexpectedEof {
        return (Cow::Borrowed(EOF.0), EOF.1);
    }
    if let Some(name) = by_kind(err.kind()) {
        return (Cow::Borrowed(name), number(name));
    }
    match (err.raw_os_error(), HERE) {
        (Some(raw), Platform::Linux | Platform::Bsd) => {
            (Cow::Owned(format!("Unknown system error {}", -raw)), -raw)
        }
        (Some(_), Platform::Windows) => (Cow::Borrowed("UNKNOWN"), -4094),
        (None, _) => (Cow::Borrowed("EIO"), number("EIO")),
    }
}

/// A non-blocking `connect` has begun and not failed.
pub(crate) fn is_in_progress(err: &io::Error) -> bool {
    match HERE {
        Platform::Linux => err.raw_os_error() == Some(115),
        Platform::Bsd => err.raw_os_error() == Some(36),
        Platform::Windows => err.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_finds_its_own_numbers() {
        assert_eq!(by_raw(111, Platform::Linux), Some(("ECONNREFUSED", -111)));
        assert_eq!(by_raw(61, Platform::Bsd), Some(("ECONNREFUSED", -61)));
        assert_eq!(
            by_raw(10061, Platform::Windows),
            Some(("ECONNREFUSED", -4078))
        );
        assert_eq!(
            by_raw(10054, Platform::Windows),
            Some(("ECONNRESET", -4077))
        );
        assert_eq!(by_raw(0, Platform::Windows), None);
    }

    #[test]
    fn no_two_errors_share_a_number_or_a_name() {
        for platform in [Platform::Linux, Platform::Bsd, Platform::Windows] {
            for (index, row) in TABLE.iter().enumerate() {
                for other in &TABLE[index + 1..] {
                    assert_ne!(row.0, other.0);
                    assert_ne!(
                        number_of(row, platform),
                        number_of(other, platform),
                        "{} {platform:?}",
                        row.0
                    );
                    let raw = raw_of(row, platform);
                    assert!(
                        raw == 0 || raw != raw_of(other, platform),
                        "{} {platform:?}",
                        row.0
                    );
                }
            }
        }
    }

    /// The standard library knows the system's numbers from the system's own headers.
    #[test]
    fn the_table_agrees_with_the_standard_library() {
        for row in TABLE.iter().filter(|row| raw_of(row, HERE) != 0) {
            let kind = io::Error::from_raw_os_error(raw_of(row, HERE)).kind();
            if let Some(name) = by_kind(kind) {
                let same = row.0 == name
                    || (row.0, name) == ("EPERM", "EACCES")
                    || (row.0, name) == ("ESHUTDOWN", "EPIPE");
                assert!(same, "{} is {kind:?} here", row.0);
            }
        }
    }

    #[test]
    fn an_error_without_a_number_is_told_by_its_kind() {
        assert_eq!(
            describe(&io::ErrorKind::TimedOut.into()),
            (Cow::Borrowed("ETIMEDOUT"), number("ETIMEDOUT"))
        );
        assert_eq!(
            describe(&io::ErrorKind::UnexpectedEof.into()),
            (Cow::Borrowed("EOF"), -4095)
        );
        assert_eq!(describe(&io::Error::other("odd")).0, "EIO");
    }

    #[cfg(unix)]
    #[test]
    fn an_unknown_number_is_named_as_libuv_names_it() {
        let (code, errno) = describe(&io::Error::from_raw_os_error(4000));
        assert_eq!((&*code, errno), ("Unknown system error -4000", -4000));
    }

    #[test]
    fn a_connection_under_way_is_no_error() {
        let raw = match HERE {
            Platform::Linux => 115,
            Platform::Bsd => 36,
            Platform::Windows => 10035,
        };
        assert!(is_in_progress(&io::Error::from_raw_os_error(raw)));
        assert!(!is_in_progress(&io::ErrorKind::ConnectionRefused.into()));
    }
}
