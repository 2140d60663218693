use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use super::*;

/// What an RSA key looks like from outside: a long sequence in DER.
fn der() -> Vec<u8> {
    let filler = (0_u32..600).map(|number| (number.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]);
    [0x30, 0x82, 0x02, 0x58].into_iter().chain(filler).collect()
}

fn key() -> String {
    pem("RSA PRIVATE KEY", &STANDARD.encode(der()))
}

fn shown(given: &str) -> Option<String> {
    match key_text(given) {
        KeyText::Pem(key) => Some(key.expose_secret().to_owned()),
        KeyText::Path | KeyText::Wrong(_) => None,
    }
}

fn fault(given: &str) -> Option<KeyFault> {
    match key_text(given) {
        KeyText::Wrong(fault) => Some(fault),
        KeyText::Path | KeyText::Pem(_) => None,
    }
}

#[test]
fn a_key_is_read_in_every_form_that_keeps_it_whole() {
    let key = key();
    let folded: Vec<String> =
        STANDARD.encode(&key).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    for (what, given) in [
        ("as it is", key.clone()),
        ("with a line break more", format!("\n{key}\n\n")),
        ("with the breaks of Windows", key.replace('\n', "\r\n")),
        ("with its breaks written out", key.replace('\n', "\\n")),
        ("with those of Windows written out", key.replace('\n', "\\r\\n")),
        ("in one line", key.replace('\n', " ")),
        ("indented", key.replace('\n', "\n    ")),
        ("in quotation marks", format!("\"{}\"", key.replace('\n', "\\n"))),
        ("as base64", STANDARD.encode(&key)),
        ("as base64 with a line break", STANDARD.encode(&key) + "\n"),
        ("as base64 in lines", folded.join("\n")),
        ("as base64 for addresses", URL_SAFE_NO_PAD.encode(&key)),
        ("as base64 of what has its breaks written out", STANDARD.encode(key.replace('\n', "\\n"))),
        ("behind a certificate", format!("{}{key}", pem("CERTIFICATE", "AAAA"))),
        ("with a mark of the byte order", format!("\u{feff}{key}")),
    ] {
        assert_eq!(shown(&given).as_deref(), Some(key.as_str()), "{what}");
    }
    let newer = pem("PRIVATE KEY", &STANDARD.encode(der()));
    assert_eq!(shown(&newer).as_deref(), Some(newer.as_str()));
}

#[test]
fn what_is_no_key_is_called_by_its_name() {
    let key = key();
    let body = STANDARD.encode(der());
    let lines: Vec<&str> = key.lines().collect();
    let cases: &[(&str, KeyFault)] = &[
        ("", KeyFault::Empty),
        (" \n", KeyFault::Empty),
        ("\"\"", KeyFault::Empty),
        ("-----BEGIN RSA PRIVATE KEY-----", KeyFault::Markers),
        (&key[1..], KeyFault::Markers),
        (&key.trim_end()[..key.len() - 2], KeyFault::Markers),
        (&key.replace("-----BEGIN", "---- BEGIN"), KeyFault::Markers),
        (&key.replace("KEY-----\n", "KEY----\n"), KeyFault::Markers),
        (&lines[..4].join("\n"), KeyFault::Markers),
        (&lines[4..].join("\n"), KeyFault::Markers),
        (&lines[1..4].join("\n"), KeyFault::NoMarkers),
        (&lines[3..6].join("\\n"), KeyFault::NoMarkers),
        (&body, KeyFault::NoMarkers),
        (&body[..301], KeyFault::NoMarkers),
        (&body[40..400], KeyFault::NoMarkers),
        (&hex::encode(der()), KeyFault::Hexadecimal),
        (&hex::encode_upper(&key), KeyFault::Hexadecimal),
        (&key.replacen('\n', "\n§", 2), KeyFault::NotBase64),
        (&pem("PUBLIC KEY", "AAAA"), KeyFault::Public),
        (&STANDARD.encode(pem("PUBLIC KEY", &body)), KeyFault::Public),
        (&pem("CERTIFICATE", "AAAA"), KeyFault::Certificate),
        (&pem("OPENSSH PRIVATE KEY", "AAAA"), KeyFault::OpenSsh),
        (&pem("ENCRYPTED PRIVATE KEY", "AAAA"), KeyFault::Encrypted),
        (&pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"), KeyFault::Encrypted),
        (&pem("EC PRIVATE KEY", "AAAA"), KeyFault::NotRsa),
        ("SHA256:uF7Zr8wL0bY6Hk3v0Q0m8s5d9x2c4e6g8i0k2m4o6q8=", KeyFault::Fingerprint),
        ("ghp_0123456789abcdef0123456789abcdef0123", KeyFault::Token),
        ("Iv23li0123456789abcd", KeyFault::ClientId),
        ("Iv1.0123456789abcdef", KeyFault::ClientId),
        ("0123456789abcdef0123456789abcdef01234567", KeyFault::ClientSecret),
        ("12345", KeyFault::Number),
        ("one line\nand another", KeyFault::Lines),
    ];
    for (given, expected) in cases {
        assert_eq!(fault(given), Some(*expected), "{given:?}");
        let said = expected.to_string();
        assert_eq!(repeated(given, &said), None, "{said}");
    }
}

/// Something of the text that is said again.
fn repeated(given: &str, said: &str) -> Option<String> {
    let given: Vec<char> = given.chars().filter(|c| !c.is_whitespace()).collect();
    let said: String = said.chars().filter(|c| !c.is_whitespace()).collect();
    given.windows(12).map(|window| window.iter().collect::<String>()).find(|part| said.contains(part.as_str()))
}

#[test]
fn what_has_no_shape_may_be_the_path_of_a_file() {
    for path in
        ["app.pem", "/run/secrets/github-key", "keys/../MY PRIVATE KEY.pem", "./BEGIN", "0123456789abcdef.pem", "k"]
    {
        assert!(matches!(key_text(path), KeyText::Path), "{path}");
    }
    let long = format!("/nix/{}app.pem", "a.b/".repeat(60));
    assert!(matches!(key_text(&long), KeyText::Path), "{long}");
}

#[test]
fn a_file_holds_the_key_itself() {
    assert!(matches!(key_file(key().as_bytes()), KeyText::Pem(_)));
    assert!(matches!(key_file(STANDARD.encode(key()).as_bytes()), KeyText::Pem(_)));
    assert!(matches!(key_file(&der()), KeyText::Wrong(KeyFault::Binary)));
    let wide: Vec<u16> = key().encode_utf16().collect();
    let little = [0xff, 0xfe].into_iter().chain(wide.iter().flat_map(|unit| unit.to_le_bytes()));
    let big = [0xfe, 0xff].into_iter().chain(wide.iter().flat_map(|unit| unit.to_be_bytes()));
    assert!(matches!(key_file(&little.collect::<Vec<u8>>()), KeyText::Pem(_)));
    assert!(matches!(key_file(&big.collect::<Vec<u8>>()), KeyText::Pem(_)));
    assert!(matches!(key_file(b"\x89PNG\r\n\x1a\n\xff"), KeyText::Wrong(KeyFault::NoKey)));
    assert!(matches!(key_file(b"another.pem"), KeyText::Wrong(KeyFault::NoKey)));
    assert!(matches!(key_file(b""), KeyText::Wrong(KeyFault::Empty)));
}
