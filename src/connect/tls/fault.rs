//! What rustls refuses and what a peer alerts of, in OpenSSL's words.

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::error::{Failure, Prospect, TlsFault};

/// OpenSSL's words for what rustls says.
pub(super) fn of(error: &Error) -> TlsFault {
    let (reason, alert) = match error {
        Error::AlertReceived(alert) => (alert_reason(*alert), u8::from(*alert)),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => ("wrong version number", 0),
        Error::InvalidMessage(_) => ("bad record type", 0),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            ("unexpected message", 0)
        }
        Error::DecryptError => ("decryption failed or bad record mac", 0),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => ("unsupported protocol", 0),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments) => ("record too small", 0),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests) => {
            ("too many key updates", 0)
        }
        Error::PeerMisbehaved(PeerMisbehaved::TooManyWarningAlertsReceived) => {
            ("too many warn alerts", 0)
        }
        Error::InvalidCertificate(_) => ("bad signature", 0),
        other => {
            return TlsFault {
                reason: other.to_string(),
                alert: 0,
                incompatible: is_incompatible(other),
            }
        }
    };
    TlsFault {
        reason: reason.to_owned(),
        alert,
        incompatible: is_incompatible(error),
    }
}

/// Whether it may be for want of what rustls leaves out: old versions, suites, groups, kinds of keys.
fn is_incompatible(error: &Error) -> bool {
    match error {
        Error::AlertReceived(alert) => matches!(
            alert,
            AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
        ),
        Error::InvalidMessage(message) => matches!(
            message,
            InvalidMessage::UnsupportedCurveType
                | InvalidMessage::UnsupportedKeyExchangeAlgorithm(_)
        ),
        // Of a certificate, the handshake looks at nothing but the key.
        Error::PeerIncompatible(_) | Error::PeerMisbehaved(_) | Error::InvalidCertificate(_) => {
            true
        }
        _ => false,
    }
}

/// A handshake that cannot begin, or that failed.
pub(super) fn refused(error: &Error) -> Failure {
    let fault = of(error);
    Failure {
        prospect: if fault.incompatible {
            Prospect::Good
        } else {
            Prospect::None
        },
        ..Failure::new("EPROTO", fault.reason)
    }
}

fn alert_reason(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CloseNotify => "application data after close notify",
        AlertDescription::UnexpectedMessage => "sslv3 alert unexpected message",
        AlertDescription::BadRecordMac => "sslv3 alert bad record mac",
        AlertDescription::DecryptionFailed => "tlsv1 alert decryption failed",
        AlertDescription::RecordOverflow => "tlsv1 alert record overflow",
        AlertDescription::DecompressionFailure => "sslv3 alert decompression failure",
        AlertDescription::HandshakeFailure => "sslv3 alert handshake failure",
        AlertDescription::NoCertificate => "sslv3 alert no certificate",
        AlertDescription::BadCertificate => "sslv3 alert bad certificate",
        AlertDescription::UnsupportedCertificate => "sslv3 alert unsupported certificate",
        AlertDescription::CertificateRevoked => "sslv3 alert certificate revoked",
        AlertDescription::CertificateExpired => "sslv3 alert certificate expired",
        AlertDescription::CertificateUnknown => "sslv3 alert certificate unknown",
        AlertDescription::IllegalParameter => "sslv3 alert illegal parameter",
        AlertDescription::UnknownCA => "tlsv1 alert unknown ca",
        AlertDescription::AccessDenied => "tlsv1 alert access denied",
        AlertDescription::DecodeError => "tlsv1 alert decode error",
        AlertDescription::DecryptError => "tlsv1 alert decrypt error",
        AlertDescription::ExportRestriction => "tlsv1 alert export restriction",
        AlertDescription::ProtocolVersion => "tlsv1 alert protocol version",
        AlertDescription::InsufficientSecurity => "tlsv1 alert insufficient security",
        AlertDescription::InternalError => "tlsv1 alert internal error",
        AlertDescription::InappropriateFallback => "tlsv1 alert inappropriate fallback",
        AlertDescription::UserCanceled => "tlsv1 alert user cancelled",
        AlertDescription::NoRenegotiation => "tlsv1 alert no renegotiation",
        AlertDescription::MissingExtension => "tlsv13 alert missing extension",
        AlertDescription::UnsupportedExtension => "tlsv1 unsupported extension",
        AlertDescription::CertificateUnobtainable => "tlsv1 certificate unobtainable",
        AlertDescription::UnrecognisedName => "tlsv1 unrecognized name",
        AlertDescription::BadCertificateStatusResponse => "tlsv1 bad certificate status response",
        AlertDescription::BadCertificateHashValue => "tlsv1 bad certificate hash value",
        AlertDescription::UnknownPSKIdentity => "tlsv1 alert unknown psk identity",
        AlertDescription::CertificateRequired => "tlsv13 alert certificate required",
        AlertDescription::NoApplicationProtocol => "tlsv1 alert no application protocol",
        _ => "unknown alert type",
    }
}
