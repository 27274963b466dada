//! What breaks a response's body off, in the engine's words.

use std::error::Error;
use std::io;

use crate::error::{Failure, Prospect};

/// The failure of a body: the engine's own, the system's or a decoder's.
pub fn of_body(error: &(dyn Error + 'static)) -> Failure {
    if let Some(failure) = chain(error).find_map(|cause| cause.downcast_ref::<Failure>()) {
        return Failure {
            prospect: Prospect::None,
            ..failure.clone()
        };
    }
    let by_io = || chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    if let Some(error) = by_io().find(|error| error.raw_os_error().is_some()) {
        return Failure::from_io(error, "read", None, None);
    }
    match by_io().next() {
        // A connection's errors have a number; what is left is a decoder's.
        Some(error) => Failure::new("Z_DATA_ERROR", error.to_string()),
        None => {
            let last = chain(error).last();
            Failure::new("", last.map_or_else(String::new, ToString::to_string))
        }
    }
}

/// The error, what caused it, what caused that, …
pub fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An io::Error's own source() leaves out what it wraps.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fails_with_the_engines_error_the_systems_or_a_decoders() {
        let wrapped = io::Error::other(Failure::new("Z_BUF_ERROR", "unexpected end of file"));
        let refused = io::Error::from_raw_os_error(104);
        let broken = io::Error::other("the response broke off");
        let coded = [wrapped, refused, broken].map(|error| of_body(&error).code);
        assert_eq!(coded[0], "Z_BUF_ERROR");
        #[cfg(target_os = "linux")]
        assert_eq!(coded[1], "ECONNRESET");
        assert_eq!(coded[2], "Z_DATA_ERROR");
    }

    #[test]
    fn what_failed_a_body_is_nothing_for_the_runtimes_tls_to_try() {
        let failure = Failure {
            prospect: Prospect::Faint,
            ..Failure::new("ECONNRESET", "aborted")
        };
        assert_eq!(of_body(&failure).prospect, Prospect::None);
    }
}
