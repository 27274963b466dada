//! There is a verdict on any chain, whatever is trusted and whatever lists there are, and it is the same when asked again.
//! The input is a series of pieces, each after its kind and length: 0 was sent, 1 is trusted, 2 is a list, in DER.

#![no_main]

use std::time::Duration;

use keepwire::fuzzing::{Dialect, Trust};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::{CertificateDer, UnixTime};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else {
        return;
    };
    let dialect = [Dialect::OpenSsl, Dialect::BoringSsl, Dialect::Webpki][usize::from(first % 3)];
    let (mut sent, mut trusted, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    while let [kind, high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (piece, after) = after.split_at(len);
        match kind % 3 {
            0 => sent.push(CertificateDer::from(piece.to_vec())),
            1 => trusted.extend(pem("CERTIFICATE", piece)),
            _ => lists.push(pem("X509 CRL", piece)),
        }
        rest = after;
    }
    let trust = Trust::from_pem(&trusted, first & 0x80 != 0, dialect);
    let lists: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let verdict = trust.judge(&sent, &lists, now);
    assert_eq!(verdict, trust.judge(&sent, &lists, now));
});

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for chunk in der.chunks(3) {
        let byte = |at| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if is_padding { b'=' } else { DIGITS[value as usize] });
        }
    }
    text.extend(format!("\n-----END {label}-----\n").into_bytes());
    text
}
