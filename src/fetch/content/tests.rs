//! All of it together: from encoded bytes, however they come, to decoded ones.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::Compression;

use super::gzip::{FIXED, HAS_COMMENT, HAS_CRC, HAS_EXTRA, HAS_NAME};
use super::*;
use crate::error::Failure;
use crate::random::Random;

/// What `BR` stands for, 40 times.
const UNIT: &str = "keepwire ";
const BR: &[u8] = &[
    0x1b, 0x67, 0x01, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0xb4, 0x2e, 0x4b, 0x5b, 0xbb, 0xd3, 0x20, 0x65,
    0x70, 0x72, 0x82, 0xb7, 0x60, 0x60, 0x46, 0xd8, 0x0e,
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn samples() -> Vec<(Coding, Vec<u8>)> {
    let text = UNIT.repeat(40);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(text.as_bytes()).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    raw.write_all(text.as_bytes()).unwrap();
    vec![
        (Coding::Gzip, gzip(text.as_bytes())),
        (Coding::Deflate, zlib.finish().unwrap()),
        (Coding::Deflate, raw.finish().unwrap()),
        (Coding::Brotli, BR.to_vec()),
        (Coding::Zstd, zstd::encode_all(text.as_bytes(), 3).unwrap()),
    ]
}

/// Feeds `encoded` in pieces of `size`, and takes pieces of `most`.
fn decode(codings: &[Coding], encoded: &[u8], size: usize, most: usize) -> io::Result<Vec<u8>> {
    let mut content = Content::new(codings);
    let mut rest = encoded.chunks(size.max(1));
    let mut all = Vec::new();
    for _ in 0..10_000_000 {
        let progress = content.work(most);
        assert!(content.decoded().len() <= most);
        all.append(content.decoded());
        match progress? {
            Progress::Hungry => match rest.next() {
                Some(piece) => content.feed(Bytes::copy_from_slice(piece)),
                None => content.end(),
            },
            Progress::Over => return Ok(all),
            Progress::Full | Progress::Paused => {}
        }
    }
    panic!("no end");
}

fn code(result: io::Result<Vec<u8>>) -> String {
    let error = result.unwrap_err();
    let failure = error.get_ref().unwrap().downcast_ref::<Failure>();
    failure.unwrap().code.to_string()
}

#[test]
fn content_is_the_same_however_its_bytes_come_and_go() {
    let text = UNIT.repeat(40);
    for (coding, encoded) in samples() {
        for size in [1, 2, 7, 10_000] {
            for most in [1, 3, 100, 10_000] {
                let decoded = decode(&[coding], &encoded, size, most).unwrap();
                assert_eq!(decoded, text.as_bytes(), "{coding:?} {size} {most}");
            }
            let twice = decode(&[coding, Coding::Gzip], &gzip(&encoded), size, 9).unwrap();
            assert_eq!(twice, text.as_bytes(), "{coding:?}, gzip {size}");
        }
    }
}

#[test]
fn content_that_breaks_off_anywhere_is_an_error() {
    for (coding, encoded) in samples() {
        for end in 1..encoded.len() {
            let cut = decode(&[coding], &encoded[..end], 10_000, 10_000);
            assert_eq!(code(cut), "Z_BUF_ERROR", "{coding:?} {end}");
        }
        assert_eq!(decode(&[coding], &[], 1, 10).unwrap(), b"");
    }
}

#[test]
fn a_fault_behind_the_end_of_the_inner_content_is_noticed_however_the_bytes_come() {
    let text = UNIT.repeat(40);
    for (coding, encoded) in samples() {
        if matches!(coding, Coding::Gzip | Coding::Zstd) {
            continue; // There, another member may follow.
        }
        let surplus = gzip(&[&encoded[..], &vec![b'x'; 100_000]].concat());
        let mut broken = surplus.clone();
        let at = broken.len() - 5;
        broken[at] ^= 1;
        for size in [1, 100, 1_000_000] {
            let decoded = decode(&[coding, Coding::Gzip], &surplus, size, 1_000);
            assert_eq!(decoded.unwrap(), text.as_bytes(), "{coding:?} {size}");
            let decoded = decode(&[coding, Coding::Gzip], &broken, size, 1_000);
            assert_eq!(code(decoded), "Z_DATA_ERROR", "{coding:?} {size}");
            let cut = &surplus[..surplus.len() - 9];
            let decoded = decode(&[coding, Coding::Gzip], cut, size, 1_000);
            assert_eq!(code(decoded), "Z_BUF_ERROR", "{coding:?} {size}");
        }
    }
    // As cargo-fuzz found it: an empty brotli stream, and raw deflate that breaks behind it.
    let found = [
        50, 255, 255, 255, 255, 5, 49, 0, 107, 68, 4, 43, 43, 198, 5, 49, 0, 107, 68,
    ];
    for size in 1..20 {
        let decoded = decode(&[Coding::Brotli, Coding::Deflate], &found, size, 1_000);
        assert_eq!(code(decoded), "Z_DATA_ERROR", "{size}");
    }
}

#[test]
fn members_follow_each_other_and_zeros_may_fill_gzip_up() {
    let (one, other) = (gzip(b"one "), gzip(b"other"));
    let both = [&one[..], &other[..]].concat();
    let padded = [&both[..], &[0; 600]].concat();
    for size in [1, 10_000] {
        let decode = |bytes| decode(&[Coding::Gzip], bytes, size, 100);
        assert_eq!(decode(&both).unwrap(), b"one other");
        assert_eq!(decode(&padded).unwrap(), b"one other");
        let junk = [&both[..], b"junk"].concat();
        assert_eq!(code(decode(&junk)), "Z_DATA_ERROR");
    }
    let frames = [
        zstd::encode_all(&b"a"[..], 1).unwrap(),
        zstd::encode_all(&b"b"[..], 1).unwrap(),
    ];
    let decoded = decode(&[Coding::Zstd], &frames.concat(), 3, 100).unwrap();
    assert_eq!(decoded, b"ab");
}

#[test]
fn gzip_headers_may_say_more_and_footers_are_checked() {
    let plain = gzip(b"hello");
    let rest = &plain[FIXED..];
    let mut head = plain[..FIXED].to_vec();
    head[3] = HAS_CRC | HAS_EXTRA | HAS_NAME | HAS_COMMENT;
    let told = [
        &head[..],
        b"\x03\0abc",
        b"name\0",
        b"comment\0",
        b"\x12\x34",
        rest,
    ]
    .concat();
    for size in [1, 10_000] {
        let decoded = decode(&[Coding::Gzip], &told, size, 100).unwrap();
        assert_eq!(decoded, b"hello");
    }
    for at in plain.len() - 8..plain.len() {
        let mut wrong = plain.clone();
        wrong[at] ^= 1;
        let decoded = decode(&[Coding::Gzip], &wrong, 10_000, 100);
        assert_eq!(code(decoded), "Z_DATA_ERROR");
    }
}

#[test]
fn a_call_does_little_however_much_the_bytes_stand_for() {
    // 1 GiB of zeros, and the same number of members without content.
    let zeros = gzip(&gzip(&gzip(&vec![0; 16 << 20]).repeat(64)));
    let nothing = gzip(&gzip(&gzip(b"").repeat(50_000)));
    for bomb in [zeros, nothing] {
        let mut content = Content::new(&[Coding::Gzip; 3]);
        content.feed(bomb.into());
        content.end();
        let mut paused = 0;
        while paused < 100 {
            match content.work(1 << 20) {
                Ok(Progress::Paused) => paused += 1,
                Ok(Progress::Full) => content.decoded().clear(),
                other => panic!("{other:?} after {paused}"),
            }
            assert!(content.decoded().capacity() < 4 << 20);
        }
    }
}

#[test]
fn any_bytes_come_to_an_end_without_a_panic() {
    let mut random = Random::new(1);
    let mut next = |end| random.below(end);
    let samples = samples();
    for _ in 0..4_000 {
        let (coding, encoded) = &samples[next(samples.len())];
        let (codings, mut bytes) = match next(3) {
            0 => (vec![*coding, Coding::Gzip], gzip(encoded)),
            1 => (vec![Coding::Deflate, *coding], encoded.clone()),
            _ => (vec![*coding], encoded.clone()),
        };
        for _ in 0..1 + next(4) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        bytes.truncate(1 + next(bytes.len()));
        let size = 1 + next(50);
        let whole = decode(&codings, &bytes, bytes.len(), 1 << 16);
        let pieces = decode(&codings, &bytes, size, 1 + next(200));
        assert_eq!(
            whole.is_ok(),
            pieces.is_ok(),
            "{codings:?} {bytes:?} {size}"
        );
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            assert_eq!(whole, pieces, "{codings:?} {bytes:?} {size}");
        }
    }
}
