//! The content codings of a response, as its fields name them.

use http::{header, HeaderMap};

/// Most codings of one body; more are an attack.
const MOST_CODINGS: usize = 5;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a response in the order in which they were applied; none if there is one that nobody knows.
///
/// # Errors
///
/// Too many of them.
pub fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, &'static str> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or("?").split(',') {
            codings.push(match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Ok(Vec::new()),
            });
        }
    }
    if codings.len() > MOST_CODINGS {
        return Err("too many content-encodings in the response");
    }
    Ok(codings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: &[&str]) -> Result<Vec<Coding>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        codings(&headers)
    }

    #[test]
    fn codings_are_named_in_one_field_or_in_several() {
        use Coding::{Brotli, Gzip, Zstd};
        assert_eq!(named(&["gzip, BR"]), Ok(vec![Gzip, Brotli]));
        assert_eq!(named(&["x-gzip", "zstd"]), Ok(vec![Gzip, Zstd]));
        assert_eq!(named(&["gzip, unknown"]), Ok(vec![]));
        assert_eq!(named(&["identity"]), Ok(vec![]));
        assert!(named(&["gzip,gzip,gzip,gzip,gzip,gzip"]).is_err());
    }
}
